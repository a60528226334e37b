"""The comparison record: one assertion of the gate with every figure behind its verdict.

It is what the comparator returns, what a test's report carries from an xdist worker to the
controller, and all that a report needs; so it holds built-in types only.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Literal

from pytest_modellab.gate.ratios import RatioResult
from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.words import Words
from pytest_modellab.records import reading
from pytest_modellab.records.asked import Override
from pytest_modellab.records.graded import GRADED
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.media import Media
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.records.runs import Verdict

Outcome = Verdict | Literal["accepted"]


FLOOR = "floor"
"""What is compared with a least score and not with a run is compared with this."""


@dataclasses.dataclass(frozen=True)
class Flip:
    """A sample that the candidate got better or worse than the reference did.

    Attributes:
        id: the sample's id.
        bucket: ``capability/difficulty``.
        before: the reference's score.
        after: the candidate's score, or None where it gave none.
        before_output: what the reference answered.
        after_output: what the candidate answered.
        media: what the sample shows, in order.
        asked: what was asked, without the middle of a long one; may be empty.
        expected: what would have been right, where that is a text; else empty.
    """

    id: str
    bucket: str
    before: float
    after: float | None
    before_output: str
    after_output: str
    media: tuple[Media, ...] = ()
    asked: str = ""
    expected: str = ""

    @property
    def lost(self) -> bool:
        """True where the candidate did worse."""
        return self.after is None or self.after < self.before

    @property
    def distance(self) -> float:
        """How far its score moved; as far as can be where the candidate gave none."""
        return 1.0 if self.after is None else abs(self.after - self.before)


@dataclasses.dataclass(frozen=True)
class Looked:
    """How far a comparison in sequential mode had to go.

    Attributes:
        look: the look at which it stopped, from 1.
        looks: how many there would have been.
        used: samples asked up to there.
        total: samples of the task set.
        certain: True where the samples left could not have changed the verdict, False where a
            boundary was crossed or all were asked.
        seed: of the shuffle that cut the task set into stages.
    """

    look: int
    looks: int
    used: int
    total: int
    certain: bool
    seed: int

    def __str__(self) -> str:
        if self.used == self.total:
            return f"sequential: all {self.total} samples were needed"
        saved = self.total - self.used
        why = ", as the others could not change the verdict" if self.certain else ""
        return (
            f"sequential: stopped at look {self.look} of {self.looks}, after {self.used} of "
            f"{self.total} samples ({saved} saved, {saved / self.total:.0%}){why}"
        )


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One assertion, judged.

    Attributes:
        assertion: which rule was applied.
        test: the test's node id.
        task_set: name of the task set.
        candidate: name of the variant under test.
        kind: its kind.
        against: what it was compared with: ``own baseline``, ``baseline of NAME``, ``anchor …``, or
            ``floor``.
        capability: the capability that was judged, or None for all samples or all buckets.
        verdict: block, pass or inconclusive.
        figures: the buckets that decided the verdict (one, unless all buckets were asked for).
        family: how many buckets the false-block budget was shared by.
        share: the part of the run's alpha that this assertion may spend.
        flips: samples whose score changed, losses first, then by id. Under a graded metric, which
            moves in every sample, those that moved most, the one that moved most first.
        notes: what a reader must know, for example that the environment differs.
        looked: how far it had to go in sequential mode, else None.
        ratio: what it rests on where it has no figures, as ``no_slowdown``; else None.
        metric: what was judged instead of the samples' scores, for example ``recall@10``.
        words: what reports say of an added assertion; None for a built-in one.
        overrides: the rules that were set to something else than what the project declares.
        accepted: where ``--modellab-update`` made the candidate's run its own baseline though it
            fell: ``drop`` where the gate blocks it against the run accepted before, ``unjudged``
            where the two cannot be compared; else None.
        preprocessing: where media are not prepared as for what it is compared with, or as for the
            candidate's base; told before any score.
        reference: the accepted run that it is compared with: its file, and the commit that it came
            with; empty where it is compared with none.
    """

    assertion: str
    test: str
    task_set: str
    candidate: str
    kind: str
    against: str
    capability: str | None
    verdict: Verdict
    figures: tuple[Figures, ...]
    family: int
    share: float
    flips: tuple[Flip, ...] = ()
    notes: tuple[str, ...] = ()
    looked: Looked | None = None
    ratio: RatioResult | None = None
    metric: str | None = None
    words: Words | None = None
    overrides: tuple[Override, ...] = ()
    accepted: Literal["drop", "unjudged"] | None = None
    preprocessing: tuple[Unlike, ...] = ()
    reference: str = ""

    @property
    def timed(self) -> bool:
        """True where it rests on times, which differ from run to run, and not on answers."""
        return self.ratio is not None and self.ratio.name == "latency"

    @property
    def moved(self) -> tuple[int, int]:
        """How many samples got worse and how many better, whether or not they are in ``flips``."""
        if self.metric not in GRADED:
            lost = sum(flip.lost for flip in self.flips)
            return lost, len(self.flips) - lost
        return sum(f.losses for f in self.figures), sum(f.gains for f in self.figures)

    @property
    def outcome(self) -> Outcome:
        """The verdict, unless update mode accepted the run against it or without one."""
        return self.verdict if self.accepted is None else "accepted"

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, the rules that were overridden, and how far sequential mode went."""
        looked = () if self.looked is None else (str(self.looked),)
        return (*self.notes, *(f"overridden: {one}" for one in self.overrides), *looked)

    def to_json(self) -> str:
        """Return one line of JSON, keys sorted; without what there is none of."""
        data = dataclasses.asdict(self)
        for name in ("words", "overrides", "accepted", "preprocessing", "reference"):
            if not data[name]:
                del data[name]
        for flip in data["flips"]:
            for name in ("media", "asked", "expected"):
                if not flip[name]:
                    del flip[name]
        return canonical_json(data)

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        return reading.build(cls, json.loads(text))
