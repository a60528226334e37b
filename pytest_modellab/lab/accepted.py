"""Accepted runs: read by name, written from this session's runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import (
    BaselineInvalid,
    BaselineMissing,
    FirstBaselineWorse,
    ModellabError,
    ScoringError,
    Unable,
)
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.store import said

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline, Despite
    from pytest_modellab.judging.beside import Beside
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.lab.runs import Runs
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.records.runs import RunRecord


@dataclasses.dataclass(frozen=True)
class ChurnFound:
    """What a second run of a variant showed.

    Attributes:
        rate: share of the samples that flipped.
        abnormal: True where that is more than three times what the accepted run or the base did.
        words: both in words, with the counts.
    """

    rate: float
    abnormal: bool
    words: str


class Accepted:
    """Reads and writes baselines.

    They are read by name: a variant that was accepted may be one that cannot be run here.

    Args:
        config: the configuration.
        settings: what the user asked for.
        runs: this session's.
        beside_base: compares a variant's run with its base's; None where there is nothing to
            compare with.
        narrowed: takes a task set's name and a baseline as it was recorded; returns it with the
            samples that the session asks.
    """

    def __init__(
        self,
        config: LabConfig,
        settings: Settings,
        runs: Runs,
        beside_base: Callable[[Resolved, TaskSet], Beside | None],
        narrowed: Callable[[str, Baseline], Baseline] = lambda _, baseline: baseline,
    ) -> None:
        self._config = config
        self._settings = settings
        self._beside_base = beside_base
        self._narrowed = narrowed
        self._runs = runs
        self._read: dict[Path, tuple[tuple[int, int], Baseline | None]] = {}
        self._before: dict[tuple[str, str], Baseline | None] = {}
        self._written: dict[tuple[str, str], tuple[Baseline | None, Baseline]] = {}

    def path(self, variant: str, task_set: str) -> Path:
        """Return where a variant's baseline lies."""
        from pytest_modellab.baselines import file

        return file.path_of(self._config.baselines, task_set, variant)

    def baseline(self, variant: str, task_set: str) -> Baseline:
        """Read a variant's accepted run."""
        path = self.path(variant, task_set)
        found = self._current(variant, task_set)
        if found is None:
            if (commit := self._settings.compare_to) is not None:
                raise BaselineMissing(
                    f"no baseline of {variant!r} on {task_set!r} at {commit}: "
                    f"{commit.name(path)} is not in that commit; name another one, or compare "
                    "with the working tree's: leave out --modellab-compare-to.",
                    command=self._command(variant, task_set),
                    where="there",
                )
            raise BaselineMissing(
                f"no baseline of {variant!r} on {task_set!r}: {path} does not exist.",
                command=self._command(variant, task_set),
                cause="nothing accepted yet to compare with",
            )
        named = (found.run.variant["name"], found.run.task_set["name"])
        if named != (variant, task_set):
            raise BaselineInvalid(
                f"{path}: is the run of {named[0]!r} on {named[1]!r}, not of {variant!r} on "
                f"{task_set!r}: copied or renamed; record it again: "
                f"{self._command(variant, task_set)}"
            )
        return found

    def missing_second_run(self, variant: str, task_set: str) -> BaselineMissing:
        """Say that a baseline was recorded without a second run, and how to add one."""
        return BaselineMissing(
            f"the baseline of {variant!r} on {task_set!r} has no second run, which decides what "
            f"capabilities it has: {self.path(variant, task_set)}.",
            command=self._command(variant, task_set),
        )

    def missing_metric(
        self, variant: str, task_set: str, metric: str, *, anchor: bool = False
    ) -> BaselineMissing:
        """Say that an accepted run, or the one that its chain began with, lacks a metric."""
        command, where = self._command(variant, task_set), self.path(variant, task_set)
        if anchor:
            return BaselineMissing(
                f"the anchor of {variant!r} on {task_set!r} has no {metric}: it was accepted "
                f"before baselines kept it, so drift cannot be measured from there: {where}.",
                command=f"{command} --new-anchor",
            )
        return BaselineMissing(
            f"the baseline of {variant!r} on {task_set!r} has no {metric}, which was not kept "
            f"when it was recorded: {where}.",
            command=command,
        )

    def _command(self, variant: str, task_set: str) -> str:
        from pytest_modellab.config.find import named as configured

        named = "" if len(self._config.task_sets) == 1 else f" --task-set {task_set}"
        return f"modellab accept {variant}{named}{configured(self._config.path)}"

    def _current(self, variant: str, task_set: str) -> Baseline | None:
        """Read a file once, as long as nobody changes it: every capability's test asks for it."""
        path = self.path(variant, task_set)
        seen = (0, 0)
        if self._settings.compare_to is None:  # a commit stays as it is
            try:
                status = path.stat()
            except OSError:
                return self._found(variant, task_set)
            seen = (status.st_mtime_ns, status.st_size)
        if self._read.get(path, (None, None))[0] != seen:
            self._read[path] = (seen, self._found(variant, task_set))
        return self._read[path][1]

    def _found(self, variant: str, task_set: str) -> Baseline | None:
        """Read a file, and leave the samples that the session asks."""
        found = self._settings.read(self.path(variant, task_set))
        return None if found is None else self._narrowed(task_set, found)

    def accept(
        self, variant: Resolved, task_set: TaskSet, *, new_anchor: bool, first: bool
    ) -> tuple[Baseline | None, Baseline]:
        """Make this session's complete run the baseline, with the churn of a second run."""
        from pytest_modellab.baselines import file
        from pytest_modellab.baselines.chain import descend, one_chain
        from pytest_modellab.judging import comparable

        key = (variant.name, task_set.name)
        if key in self._written:
            return self._written[key]
        path, record = self.path(*key), self._runs.record(variant, task_set)
        if problem := comparable.too_many_missing(record):
            raise ScoringError(
                f"{variant.name!r} on {task_set.name!r}: not accepted as a baseline: {problem}"
            )
        record = self._reading(variant, task_set, record)
        old, despite = None if new_anchor else self._found(*key), None
        if old is None or not one_chain(old.run, record):
            despite = self._despite(variant, task_set)
        if despite is not None and not path.exists() and not first:
            raise FirstBaselineWorse(
                f"{variant.name!r} on {task_set.name!r}: not accepted: as a first baseline it "
                f"would be {despite}; later runs are compared with it, and may be as bad: mend the "
                f"variant, or accept it all the same: {self._command(*key)} --first"
            )
        repeat = self._runs.repeat(variant, task_set)
        self._before.setdefault(key, old)
        new = descend(old, record, repeat)
        if despite is not None:
            new = dataclasses.replace(new, despite=despite)
        if new != old:
            try:
                file.write(path, new)
            except OSError as error:
                raise ModellabError(f"{path}: cannot be written: {error.strerror}") from error
        self._written[key] = old, new
        return old, new

    def _despite(self, variant: Resolved, task_set: TaskSet) -> Despite | None:
        """What would begin a chain though it is worse than its base beyond chance, or None."""
        from pytest_modellab.baselines.accepted import Despite, Fall

        found = self._beside_base(variant, task_set)
        if found is None or not found.worse:
            return None
        fell = (Fall(one.name, one.baseline or 0.0, one.candidate) for one in found.worse)
        return Despite(str(variant.spec.base), tuple(fell))

    def _reading(self, variant: Resolved, task_set: TaskSet, record: RunRecord) -> RunRecord:
        """Let a variant read its own replies; one that cannot read is accepted all the same."""
        try:
            return self._runs.read(variant, task_set, record)
        except ScoringError as error:
            # who writes down what media hold tells of no text how likely it is, which is no news
            media = any(sample.media for sample in task_set.samples)
            if not isinstance(error, Unable):
                said.say(f"accepted without the likelihood of its replies: {error}")
            elif not media:
                said.say(
                    f"{variant.name}: accepted without the likelihood of its replies, which "
                    f"{'its server' if variant.plan.served is not None else 'its engine'} does "
                    "not tell"
                )
            return record

    def remember(self, variant: str, task_set: str) -> Baseline | None:
        """Return the run that was accepted when this was first asked, whatever replaces it."""
        key = (variant, task_set)
        if key not in self._before:
            self._before[key] = self._found(*key)
        return self._before[key]

    def recorded(self, variant: str, task_set: str) -> Path | None:
        """Return the path of the baseline that this session wrote, or None."""
        old, new = self._written.get((variant, task_set), (None, None))
        return None if new == old else self.path(variant, task_set)

    def replaced(self, variant: str, task_set: str) -> float | None:
        """Return the mean score of the baseline that this session replaced, or None."""
        old, new = self._written.get((variant, task_set), (None, None))
        if old is None or old == new:
            return None
        return old.run.mean

    def churn(self, variant: Resolved, task_set: TaskSet) -> ChurnFound:
        """Run a variant a second time and count the samples that flip."""
        from pytest_modellab.baselines.accepted import flips
        from pytest_modellab.gate.churn import abnormal

        record, repeat = self._runs.record(variant, task_set), self._runs.repeat(variant, task_set)
        own, key = flips(record, repeat), (variant.name, task_set.name)
        before = self._written[key][0] if key in self._written else self._current(*key)
        references = {variant.name: before}
        if (base := variant.spec.base) is not None:
            references[base] = self._current(base, task_set.name)
        words, high = [own.explain()], False
        for name, reference in references.items():
            known = None if reference is None else reference.count_churn()
            if known is not None:
                words.append(f"{known.flips} of {known.n} did when {name} was last accepted")
                high = high or abnormal(own, known)
        if high:
            words.append("ABNORMAL, more than three times as many: its verdicts are less sure")
        return ChurnFound(own.rate, high, "; ".join(words))
