"""Which part is to blame: the base's parts are put into a candidate, one at a time, and asked.

For models that are made of several parts (:attr:`.plan.Plan.parts`), whose modules the observatory
does not know. The answers that got worse are asked again by the ordinary runner: of the candidate
with one part of the base's, of the base with one part of the candidate's, and of the candidate with
all parts of the base's, which must answer as the base does.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import DiagnosisError, ModellabError
from pytest_modellab.records import preprocessing
from pytest_modellab.records.diagnosis import (
    SCHEMA,
    UNCHANGED,
    Answers,
    Blame,
    Diagnosis,
    Finding,
    PutBack,
    Side,
    missing,
)
from pytest_modellab.records.hashing import digest

if TYPE_CHECKING:
    from pytest_modellab.lab.flipped import Flip
    from pytest_modellab.lab.pair import Asked, Pair
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.records.runs import RunRecord
    from pytest_modellab.records.tasks import TaskSet

MOST = 12
"""Answers that are asked again: each costs a pass of every part, in both directions."""


LOADING = 2.0
"""Seconds to load a model, where no time was measured."""


PREPROCESSING = "preprocessing"
"""The first part of all: what is done to an image or a recording before a model gets it."""


ALL = "all parts"


Run = Callable[["Resolved", "TaskSet"], "RunRecord"]


def parts(pair: Pair) -> tuple[str, ...]:
    """Return the parts that two variants have in common; none where a model is one piece."""
    theirs = pair.base.plan.parts
    return tuple(part for part in pair.candidate.plan.parts if part in theirs)


def changed(pair: Pair) -> tuple[str, ...]:
    """Return the parts that are not known to be as the base's."""
    mine, theirs = (_consists(one) for one in (pair.candidate, pair.base))
    return tuple(
        part
        for part in parts(pair)
        if part not in mine or part not in theirs or mine[part] != theirs[part]
    )


def _consists(variant: Resolved) -> dict[str, Any]:
    """What is known of each part; a mapping compares by its content."""
    plan, files = variant.plan, variant.files
    told = {} if plan.consists is None else dict(plan.consists(plan, files))
    if PREPROCESSING not in told and plan.preprocessing is not None:
        told[PREPROCESSING] = plan.preprocessing(plan, files)
    return {part: digest(_plain(what)) for part, what in told.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def seconds(pair: Pair, asked: Asked, each: float) -> float:
    """Estimate how long it takes to put every part back, and all of them.

    Args:
        pair: what is examined.
        asked: what both are asked.
        each: seconds that an answer took, of the slower of the two.
    """
    return (len(changed(pair)) + 1) * (LOADING + len(asked.flips) * each)


def examine(pair: Pair, asked: Asked, run: Run, end: float) -> Diagnosis:
    """Put the base's parts back, one at a time, and say which accounts for what was lost.

    Args:
        pair: what is examined, and what it is compared with.
        asked: the answers that got worse.
        run: runs a variant on samples, or returns what the store has of that.
        end: of the time, by :func:`time.monotonic`; the candidate's parts in the base come last and
            are left out first.

    Raises:
        DiagnosisError: no answer got worse, or no sample was asked both.
    """
    if asked.task_set is None:
        raise DiagnosisError(
            f"no samples are known that both {pair.base.name} and {pair.candidate.name} were "
            "asked, so that there is nothing to ask again; name a task set that both can be "
            "asked: --task-set NAME"
        )
    if not asked.flips:
        raise DiagnosisError(
            f"no answer of {pair.candidate.name} is worse than {pair.base.name}'s on samples that "
            "both were asked, so that there is nothing to ask again; where it was blocked on "
            "another task set, name that: --task-set NAME"
        )
    start = time.monotonic()
    asking = _Asking(pair, asked.flips, asked.task_set, run, end)
    tried = asking.all_parts()
    flips, n = asked.flips, len(asked.flips)
    blame = Blame(
        lost=n,
        of=max(asked.of, n),
        before=sum(flip.before for flip in flips) / n,
        after=sum(flip.after for flip in flips) / n,
        parts=tuple(tried.values()),
        whole=asking.whole,
    )
    culprit, fault, headline = named(blame)
    found = _findings(blame, culprit, _prepared(pair) if culprit == PREPROCESSING else "")
    chosen = next((one for one in blame.parts if one.part == culprit), None)
    answers = None
    if chosen is not None and chosen.right_again is not None:
        answers = Answers(n, chosen.right_again)
    sides = [Side(one.name, one.fingerprint.key) for one in (pair.base, pair.candidate)]
    return Diagnosis(
        schema=SCHEMA,
        base=sides[0],
        candidate=sides[1],
        level="parts",
        culprit=culprit,
        fault=fault,
        headline=headline,
        damage=None,
        tokens=0,
        restored=None if chosen is None else restored(blame, chosen),
        findings=found,
        answers=answers,
        notes=tuple(asking.notes),
        probes=digest([flip.sample.content_hash for flip in flips])[:16],
        seconds={"asked again": round(time.monotonic() - start, 1)},
        blame=blame,
    )


def restored(blame: Blame, one: PutBack) -> float | None:
    """Share of the lost score that is there again with a part put back."""
    fell = blame.before - blame.after
    return None if one.score is None or fell <= 0 else (one.score - blame.after) / fell


def named(blame: Blame) -> tuple[str | None, str, str]:
    """Name the part that accounts for most of what was lost, or say why none does.

    One is named that alone brings back more than half of the lost answers, and more than any other
    does (where two bring back as many: the one that alone costs the base more of them). Where
    another one brings back more than half as well, it must be the only one of these that alone
    costs the base more than half, since else the answers are lost by both together.

    Returns:
        The part or None, the class of what was found, and one sentence.
    """
    n, tried = blame.lost, [one for one in blame.parts if one.right_again is not None]
    answers = f"{n} lost answers" if n != 1 else "1 lost answer"
    if all(one.why == UNCHANGED for one in blame.parts):
        return None, "elsewhere", f"all parts are as the base's, the {answers} lie in none of them"
    if not tried:
        return None, "unexplained", f"no part could be put back, the {answers} stay unexplained"
    order = sorted(tried, key=_rank, reverse=True)
    first = order[0]
    several = [one.part for one in tried if 2 * (one.lost_alone or 0) > n]
    if mending := [one for one in order if 2 * (one.right_again or 0) > n]:
        costly = [one for one in mending if one.part in several]
        if len(mending) == 1 or (costly == [first] and _rank(first) > _rank(order[1])):
            said = f"the {first.part} accounts for {first.right_again} of {answers}"
            return first.part, "part", said
        fewest = mending[-1].right_again
        least = f"{fewest}" if fewest == first.right_again else f"at least {fewest}"
        either = f"{' or '.join(one.part for one in mending)} put back brings back {least}"
        return None, "together", f"{either} of {answers}: they act together"
    if len(several) > 1:
        costs = " and ".join(several)
        return None, "each", f"{costs} each lose most of the {answers} by themselves"
    if left := missing(blame):
        said = f"no part that could be put back accounts for the {answers}"
        return None, "unexplained", f"{said}; the {_listed(left)} could not be"
    whole = blame.whole
    if whole is not None and 2 * (whole.right_again or 0) <= n:
        back = whole.right_again or 0
        said = f"with all parts put back, {back} of {answers} are right again"
        rest = f"the other {n - back} lie" if n - back > 1 else "the other lies"
        rest = rest if back else "what was lost lies"
        return None, "elsewhere", f"{said}: {rest} in none of them"
    if not first.right_again:
        return None, "together", f"no part alone accounts for any of the {answers}"
    said = f"no part alone accounts for the {answers}: most come back with the {first.part}, "
    return None, "together", f"{said}{first.right_again}"


def _rank(one: PutBack) -> tuple[int, int]:
    return one.right_again or 0, one.lost_alone or 0


def _prepared(pair: Pair) -> str:
    """Say which settings of the preprocessing differ."""
    both = []
    for one in (pair.candidate, pair.base):
        tells = one.plan.preprocessing
        both.append({} if tells is None else tells(one.plan, one.files))
    differs = [*preprocessing.differences(*both)]
    more = len(differs) - preprocessing.MOST
    shown = [*differs[: preprocessing.MOST], *([f"and {more} more settings"] if more > 0 else [])]
    return f"media are prepared otherwise: {'; '.join(shown)}" if shown else ""


def _findings(blame: Blame, culprit: str | None, likely: str) -> tuple[Finding, ...]:
    """One a part that was put back, the named one first."""
    found = []
    for one in blame.parts:
        if one.right_again is None or one.score is None:
            continue
        fault = "part" if one.part == culprit else "put back"
        seen = f"put back, {one.right_again} of {blame.lost} are right again"
        if one.lost_alone is not None:
            seen += f"; alone in the base, it loses {one.lost_alone}"
        evidence: dict[str, float | str] = {"score": one.score}
        share = restored(blame, one)
        cause = likely if one.part == culprit else ""
        found.append(Finding(one.part, fault, seen, None, share, cause, evidence))
    return tuple(sorted(found, key=lambda finding: finding.site != culprit))


class _Asking:
    """Asks variants of a pair the lost answers again.

    Args:
        pair: base and candidate.
        flips: the answers.
        task_set: of which they are.
        run: see :func:`examine`.
        end: of the time.
    """

    def __init__(
        self, pair: Pair, flips: Sequence[Flip], task_set: TaskSet, run: Run, end: float
    ) -> None:
        self.notes: list[str] = []
        self.whole: PutBack | None = None
        self._pair, self._flips, self._run, self._end = pair, flips, run, end
        samples = tuple(flip.sample for flip in flips)
        self._samples = dataclasses.replace(task_set, samples=samples)

    def all_parts(self) -> dict[str, PutBack]:
        """Put back each part, then all, then put each of the candidate's into the base.

        Where one part alone differs, nothing is to be learned from the other way round.
        """
        base, candidate = self._pair.base, self._pair.candidate
        every, differing = parts(self._pair), changed(self._pair)
        found = {part: PutBack(part, why=UNCHANGED) for part in every}
        for part in differing:
            scores, why = self._scores(candidate, base, (part,))
            found[part] = self._counted(part, scores, why)
        if differing and not any(found[part].why for part in differing):  # else it is not the base
            scores, why = self._scores(candidate, base, differing)
            self.whole = None if scores is None else self._counted(ALL, scores, why)
            self._check(scores)
        if len(differing) == 1:  # the base with it is the candidate
            return found
        for part in (part for part in differing if not found[part].why):
            scores, why = self._scores(base, candidate, (part,))
            if scores is None:
                self.notes.append(f"the candidate's {part} was not put into the base: {why}")
            else:
                found[part] = dataclasses.replace(found[part], lost_alone=self._lost(scores))
        return found

    def _check(self, scores: Sequence[float | None] | None) -> None:
        """Say where the candidate with the base's parts is not the base."""
        if scores is None:
            return
        pairs = zip(self._flips, scores, strict=True)
        if other := sum(score is None or abs(score - flip.before) > 1e-9 for flip, score in pairs):
            self.notes.append(
                f"with all parts put back, {other} of {len(self._flips)} answers are scored "
                "otherwise than the base's: something differs that is no part, such as the prompt "
                "or how answers are decoded"
            )

    def _counted(self, part: str, scores: Sequence[float | None] | None, why: str) -> PutBack:
        if scores is None:
            return PutBack(part, why=why)
        right = sum(f.right_again(s) for f, s in zip(self._flips, scores, strict=True))
        return PutBack(part, right, sum(score or 0.0 for score in scores) / len(scores))

    def _lost(self, scores: Sequence[float | None]) -> int:
        pairs = zip(self._flips, scores, strict=True)
        return sum(not flip.right_again(score) for flip, score in pairs)

    def _scores(
        self, into: Resolved, of: Resolved, names: tuple[str, ...]
    ) -> tuple[list[float | None] | None, str]:
        """Ask one variant with parts of the other; scores, or None and why not."""
        if time.monotonic() >= self._end:
            return None, "the time was up"
        try:
            mixed = lent(into, of, names)
            record = self._run(mixed, self._samples)
        except ModellabError as error:
            where = f"variant {_named(into, of, names)!r} on {self._samples.name!r}: "
            return None, " ".join(str(error).removeprefix(where).split())
        by_id = {result.id: result.score for result in record.samples}
        return [by_id.get(flip.sample.id) for flip in self._flips], ""


def lent(into: Resolved, of: Resolved, names: Sequence[str]) -> Resolved:
    """Return a variant with parts of another's.

    Args:
        into: the variant.
        of: whose parts.
        names: of the parts.

    Raises:
        VariantLoadError: it cannot be made.
    """
    from pytest_modellab.variants import loading
    from pytest_modellab.variants.plan import Lent

    lender = Lent(of.plan, of.files)
    borrowed = {**into.plan.borrowed, **dict.fromkeys(names, lender)}
    plan = dataclasses.replace(into.plan, borrowed=borrowed)
    spec = dataclasses.replace(into.spec, name=_named(into, of, names))
    source = loading.Loadable(plan, into.files)
    return dataclasses.replace(
        into, spec=spec, source=source, fingerprint=loading.fingerprint(plan, into.files)
    )


def _named(into: Resolved, of: Resolved, names: Sequence[str]) -> str:
    return f"{into.name} with {of.name}'s {_listed(names)}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
