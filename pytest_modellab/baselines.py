"""Accepted runs: read, check, write. One sample a line, so that a change can be reviewed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pytest_modellab import atomic
from pytest_modellab.comparison import OWN_ANCHOR
from pytest_modellab.errors import BaselineInvalid
from pytest_modellab.records import (
    Fingerprint,
    RunRecord,
    SampleResult,
    canonical_json,
    digest,
)

if TYPE_CHECKING:
    from pytest_modellab.gate.churn import Churn

NOT_KEPT = "(not kept)"
"""The outputs of an anchor or a second run, of which only the scores are kept."""

SCHEMA = 2
"""Version of the file's layout; 2 has the second run and the anchor."""

MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType(
    {1: lambda data: {**data, "schema": 2, "anchor": None, "repeat": None}}
)
"""Old schema → the function that brings a file one schema further."""


@dataclasses.dataclass(frozen=True)
class Repeat:
    """A second run of what was accepted, in another sample order and batch size.

    Attributes:
        scores: in the task set's order; None where the variant gave no answer.
        environment: where and in which batches it ran.
    """

    scores: tuple[float | None, ...]
    environment: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Anchor:
    """The accepted run that a chain of accepted changes began with.

    Attributes:
        scores: in the task set's order.
        fingerprint: key of what was run.
        recorded: when it ran, ``YYYY-MM-DD``.
        accepted: how many changed runs were accepted since, the present one included.
    """

    scores: tuple[float | None, ...]
    fingerprint: str
    recorded: str
    accepted: int


@dataclasses.dataclass(frozen=True)
class Baseline:
    """An accepted run with what is known about it.

    Attributes:
        run: the run.
        repeat: its second run, or None where none was made.
        anchor: the run that it descends from; None where the run is its own anchor.
    """

    run: RunRecord
    repeat: Repeat | None = None
    anchor: Anchor | None = None

    @property
    def churn(self) -> float | None:
        """Share of samples whose score differs in the second run, or None without one."""
        counted = self.count_churn()
        return None if counted is None else counted.rate

    def count_churn(self) -> Churn | None:
        """Count the samples whose score differs in the second run, or None without one."""
        return None if self.repeat is None else flips(self.run, self.repeat)

    @property
    def anchor_words(self) -> str:
        """The anchor as a reader should see it."""
        if self.anchor is None:
            return OWN_ANCHOR
        changes = "1 change" if self.anchor.accepted == 1 else f"{self.anchor.accepted} changes"
        return f"anchor of {self.anchor.recorded} ({changes} accepted since)"

    def second_run(self) -> RunRecord | None:
        """Return the second run as a record without outputs, or None."""
        if self.repeat is None:
            return None
        return dataclasses.replace(
            _with_scores(self.run, self.repeat.scores), environment=self.repeat.environment
        )

    def anchor_run(self) -> RunRecord:
        """Return the anchor as a record without outputs; the run itself where it is its own."""
        return self.run if self.anchor is None else _with_scores(self.run, self.anchor.scores)


def flips(run: RunRecord, repeat: Repeat) -> Churn:
    """Count the samples whose score differs between a run and its second run."""
    from pytest_modellab.gate.churn import churn

    return churn([sample.score for sample in run.samples], repeat.scores)


def _with_scores(run: RunRecord, scores: tuple[float | None, ...]) -> RunRecord:
    samples = tuple(
        dataclasses.replace(sample, score=score, output=NOT_KEPT, metrics={})
        for sample, score in zip(run.samples, scores, strict=True)
    )
    return dataclasses.replace(run, samples=samples)


def descend(old: Baseline | None, run: RunRecord, repeat: Repeat | None) -> Baseline:
    """Make the baseline that follows an old one.

    Args:
        old: what was accepted before; None begins a new chain.
        run: the run that is accepted now.
        repeat: its second run.

    Returns:
        The old baseline's chain continued: its anchor is kept as long as both runs were asked the
        same samples and judged by the same scorers. Where the answers are the old ones, so are
        the run and, unless it had none, its second run.
    """
    if old is None or not one_chain(old.run, run):
        return Baseline(run, repeat)
    if same_answers(old.run, run):
        return dataclasses.replace(old, repeat=old.repeat or repeat)
    if same_answers(_without_metrics(old.run), _without_metrics(run)):  # another figure is listed
        return dataclasses.replace(old, run=run, repeat=old.repeat or repeat)
    first = old.anchor or Anchor(
        scores=tuple(sample.score for sample in old.run.samples),
        fingerprint=old.run.fingerprint.key,
        recorded=str(old.run.environment.get("recorded", "")),
        accepted=0,
    )
    return Baseline(run, repeat, dataclasses.replace(first, accepted=first.accepted + 1))


def _without_metrics(run: RunRecord) -> RunRecord:
    samples = tuple(dataclasses.replace(sample, metrics={}) for sample in run.samples)
    return dataclasses.replace(run, samples=samples)


def one_chain(a: RunRecord, b: RunRecord) -> bool:
    """Tell whether two runs were asked the same samples and judged by the same scorers."""
    return a.task_set["hash"] == b.task_set["hash"] and dict(a.scorers) == dict(b.scorers)


def path_of(folder: Path, task_set: str, variant: str) -> Path:
    """Return where the baseline of a variant on a task set lies."""
    return folder / task_set / f"{variant}.json"


def write(path: Path, baseline: Baseline) -> None:
    """Write an accepted run, whole or not at all.

    Per-sample seconds are left out: they would change every line of every accepted run.

    Args:
        path: destination.
        baseline: the run with its second run and anchor.

    Raises:
        OSError: the folder cannot be written; the old file is untouched.
    """
    data = _to_data(baseline)
    samples = ",\n".join(canonical_json(sample) for sample in data.pop("samples"))
    header = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
    atomic.write_text(path, f'{header[:-2]},\n "samples": [\n{samples}\n]\n}}\n')


def read(path: Path) -> Baseline | None:
    """Read an accepted run.

    Args:
        path: where it should lie.

    Returns:
        The baseline, or None where there is no file.

    Raises:
        BaselineInvalid: the file is truncated, was edited, or has another schema.
    """
    anew = f"modellab accept {path.stem} --task-set {path.parent.name} --new-anchor"
    mend = f"restore it (git checkout -- {path}) or record it again ({anew})"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BaselineInvalid(f"{path}: cannot be read: {error.strerror}") from error
    return parse(content, str(path), mend)


def parse(content: bytes, where: str, mend: str) -> Baseline:
    """Read an accepted run from a file's content.

    Args:
        content: what :func:`write` wrote.
        where: the file, for messages.
        mend: what to do about a damaged one, for messages.

    Returns:
        The baseline.

    Raises:
        BaselineInvalid: the content is truncated, was edited, or has another schema.
    """
    try:
        data = json.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BaselineInvalid(
            f"{where}: truncated or malformed UTF-8 ({error.reason}); {mend}"
        ) from error
    except json.JSONDecodeError as error:
        raise BaselineInvalid(
            f"{where}:{error.lineno}: truncated or malformed JSON ({error.msg}); {mend}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise BaselineInvalid(f"{where}: malformed JSON ({error}); {mend}") from error
    if not isinstance(data, dict) or type(data.get("schema")) is not int:
        raise BaselineInvalid(f"{where}: schema: missing, so this is no baseline; {mend}")
    # before the digest, which another schema may compute otherwise
    if data["schema"] != SCHEMA and data["schema"] not in MIGRATIONS:
        raise BaselineInvalid(
            f"{where}: schema {data['schema']} was written by another version of pytest-modellab "
            f"(this one reads up to {SCHEMA}); install that version, or {mend}"
        )
    stated = data.pop("digest", None)
    try:
        found = digest(data)
    except (ValueError, RecursionError):  # NaN, half a surrogate pair: never written by write()
        found = None
    if found is None or stated != found:
        raise BaselineInvalid(
            f"{where}: digest: the content does not match it, so the file was edited or "
            f"merged by hand; {mend}"
        )
    while data["schema"] in MIGRATIONS:
        data = MIGRATIONS[data["schema"]](data)
    try:
        return _from_data(data)
    except (KeyError, TypeError) as error:
        raise BaselineInvalid(
            f"{where}: not laid out as schema {SCHEMA} ({type(error).__name__}: {error}); {mend}"
        ) from error


def same_answers(a: RunRecord, b: RunRecord) -> bool:
    """Tell whether two runs differ in nothing but time and environment."""
    return _answers(a) == _answers(b)


def _answers(record: RunRecord) -> dict[str, Any]:
    data = _to_data(Baseline(record))
    for measured in ("digest", "probes", "environment"):
        del data[measured]
    for sample in data["samples"]:  # its last digits differ between machines
        sample.pop("confidence", None)
    return data


def _to_data(baseline: Baseline) -> dict[str, Any]:
    run, repeat, anchor = baseline.run, baseline.repeat, baseline.anchor
    data: dict[str, Any] = {"schema": SCHEMA}
    for name in ("task_set", "variant", "scorers", "probes", "environment"):
        data[name] = dict(getattr(run, name))
    data["fingerprint"] = {
        **dataclasses.asdict(run.fingerprint),
        "settings": dict(run.fingerprint.settings),
    }
    data["repeat"] = None if repeat is None else {"environment": dict(repeat.environment)}
    data["anchor"] = None
    if anchor is not None:
        data["anchor"] = {k: v for k, v in dataclasses.asdict(anchor).items() if k != "scores"}
    data["samples"] = []
    for i, sample in enumerate(run.samples):
        line = {k: v for k, v in dataclasses.asdict(sample).items() if k != "seconds"}
        for optional in ("stability", "confidence", "metrics"):
            if not line[optional] and line[optional] != 0.0:
                del line[optional]
        for name, other in (("repeat", repeat), ("anchor", anchor)):
            if other is not None:
                line[name] = other.scores[i]
        data["samples"].append(line)
    return {**data, "digest": digest(data)}


def _from_data(data: dict[str, Any]) -> Baseline:
    del data["schema"]
    repeat, anchor, lines = data.pop("repeat"), data.pop("anchor"), data.pop("samples")
    if repeat is not None:
        repeat = Repeat(scores=tuple(line.pop("repeat") for line in lines), **repeat)
    if anchor is not None:
        anchor = Anchor(scores=tuple(line.pop("anchor") for line in lines), **anchor)
    data["fingerprint"] = Fingerprint(**data["fingerprint"])
    run = RunRecord(**data, samples=tuple(SampleResult(**line) for line in lines))
    return Baseline(run, repeat, anchor)
