"""What the observatory found out about a candidate: a record of plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

SCHEMA = 1
"""Raised when a field's meaning changes: stored diagnoses of another schema are made anew."""


TOKENS, LONG = 448, 128
"""Tokens in all probes, and in the long one, unless something else is asked for."""


MOST_TOKENS = 1_000_000
"""Of all probes."""


Level = Literal["internals", "weights", "outputs", "parts"]
"""How deep was looked: into the modules, at the weights alone, or at what comes out; or whole parts
of a model that is made of several were exchanged, and samples asked again."""


Measure = Literal["nats", "cosine"]
"""What a damage is counted in: nats a token, or 1 - cosine of a text's vectors, as a mean."""


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        name: of the variant, or the folder.
        fingerprint: of the variant, as digest; empty for a folder or a plain model.
        parameters: of the model, or 0 where they are out of reach.
    """

    name: str
    fingerprint: str = ""
    parameters: int = 0


@dataclasses.dataclass(frozen=True)
class Finding:
    """One place that differs, and what that costs.

    Attributes:
        site: where, for example ``layer.8.attention.head.3``.
        fault: the class with its arguments, for example ``zeroed(0.11, columns)``.
        detail: one sentence: what was seen there.
        nats: a token, that enter here (attribution), or None where it was not shared out.
        restored: share of the damage that is gone with the base's part in place, measured; None
            where it was not tried.
        likely: one sentence: the likely cause, and what to do.
        evidence: further figures, name → value.
    """

    site: str
    fault: str
    detail: str
    nats: float | None = None
    restored: float | None = None
    likely: str = ""
    evidence: Mapping[str, float | str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class WeightChange:
    """How far a leaf's effective weights are from the base's.

    Attributes:
        site: the leaf.
        relative: ``‖W_C - W_B‖ / ‖W_B‖``, Frobenius.
        usual: the median of its peers, or None without peers.
        expected: what the declared rounding gives, or None where none was declared.
        stands_out: whether it is far beyond its peers.
        rewritten: whether it differs and its branch computes the same all the same.
    """

    site: str
    relative: float
    usual: float | None = None
    expected: float | None = None
    stands_out: bool = False
    rewritten: bool = False


@dataclasses.dataclass(frozen=True)
class NodeError:
    """The error that one node adds by itself, given the base's inputs.

    Attributes:
        site: the leaf, or what lies in front of it.
        relative: mean over positions of ``‖error‖ / ‖reference‖``.
        nats: a token, that enter here to first order.
    """

    site: str
    relative: float
    nats: float


@dataclasses.dataclass(frozen=True)
class Heat:
    """A matrix that is shown in colours.

    Attributes:
        rows: labels.
        columns: labels.
        values: a row each; None where there is nothing.
        middle: the value of the neutral colour, of a diverging scale; None for a sequential one.
        unit: of the values, in words.
        title: of this panel, where a picture has several.
        framed: (row, column) pairs that are framed: the culprit.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    middle: float | None
    unit: str
    title: str = ""
    framed: tuple[tuple[int, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
        name: in the legend.
        values: as many as the chart has places; None where there is nothing.
    """

    name: str
    values: tuple[float | None, ...]


@dataclasses.dataclass(frozen=True)
class Lines:
    """Lines over the same places.

    Attributes:
        x: labels of the places, in order.
        series: the lines.
        x_name: what the places are.
        unit: of the values, in words.
        title: of this panel, where a picture has several.
        log: whether the scale is logarithmic.
        bars: whether each value is a bar of its own, and no line.
        framed: indices of places that are marked: the culprit.
    """

    x: tuple[str, ...]
    series: tuple[Series, ...]
    x_name: str
    unit: str
    title: str = ""
    log: bool = False
    bars: bool = False
    framed: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of text.

    Attributes:
        text: as it is.
        differs: whether the other side has something else here.
    """

    text: str
    differs: bool = False


@dataclasses.dataclass(frozen=True)
class Sides:
    """Two texts side by side, where they part marked.

    Attributes:
        base: the base's, in pieces: tokens, or stretches of a rendering.
        candidate: the candidate's.
        title: of this panel.
    """

    base: tuple[Piece, ...]
    candidate: tuple[Piece, ...]
    title: str = ""


Panel = Heat | Lines | Sides


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture of a report.

    Attributes:
        name: short and fixed, for example ``where_it_enters``; also of the CSV file.
        title: for a reader.
        sentence: what is to be seen, in one sentence.
        panels: one or more.
    """

    name: str
    title: str
    sentence: str
    panels: tuple[Panel, ...]


@dataclasses.dataclass(frozen=True)
class Kept:
    """One point of the curve of a remedy.

    Attributes:
        modules: so many of the list are kept as the base has them.
        restored: share of the damage that is gone then, measured.
        bytes: that this costs, beside the candidate as it is.
    """

    modules: int
    restored: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Remedy:
    """What to do about it.

    Attributes:
        sentence: what, and what it brings, measured.
        paste: lines for ``modellab.toml``; empty where none help.
        modules: in the order of what each restores a byte.
        curve: measured.
    """

    sentence: str
    paste: str = ""
    modules: tuple[str, ...] = ()
    curve: tuple[Kept, ...] = ()


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the culprit means for the samples that flipped for the worse.

    Attributes:
        flipped: samples that the base answers right and the candidate wrong, among those probed.
        right_again: of these, right with the base's part in the candidate, scored again.
    """

    flipped: int
    right_again: int


UNCHANGED = "as the base's, not put back"
"""Why a part was not put back that is the base's by its fingerprint."""


@dataclasses.dataclass(frozen=True)
class PutBack:
    """What one part of several accounts for, or all of them together.

    Attributes:
        part: its name.
        right_again: of the lost answers that were asked again, right with the base's part in the
            candidate; None where that was not tried.
        score: the mean score of all of them then.
        lost_alone: of the same answers, lost with the candidate's part in the base; None where that
            was not tried.
        why: why the part was not put back; empty where it was.
    """

    part: str
    right_again: int | None = None
    score: float | None = None
    lost_alone: int | None = None
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Blame:
    """Which part of several accounts for what was lost.

    Attributes:
        lost: answers that got worse and were asked again.
        of: all that got worse.
        before: the mean score that the base's answers to them have.
        after: that the candidate's have.
        parts: in the order that data goes through them.
        whole: all of them put back at once: it is the base again, or the rest lies elsewhere; None
            where that was not tried, or one of them does not fit.
    """

    lost: int
    of: int
    before: float
    after: float
    parts: tuple[PutBack, ...]
    whole: PutBack | None = None


def missing(blame: Blame) -> tuple[str, ...]:
    """Return the parts that differ and were not put back, for whatever reason."""
    return tuple(
        one.part for one in blame.parts if one.right_again is None and one.why != UNCHANGED
    )


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What was found out about a candidate; reports are pure functions of it.

    Attributes:
        schema: :data:`SCHEMA`.
        base: what it was compared with.
        candidate: what was examined.
        level: how deep was looked.
        culprit: the one site that is named, or None.
        fault: the class: of the culprit, else of the whole: ``none``, ``rewritten``, ``uniform``,
            ``adapter`` or ``unexplained``.
        headline: one sentence, without names of variants: ``layer.8.mlp is rounded to 2 bits``.
        damage: nats a token, ``mean KL(base || candidate)``; None where they share no vocabulary.
            Of encoders the mean of half the squared distance of a text's vectors.
        tokens: positions that it was measured on; of encoders, texts.
        restored: share of the damage that is gone with the culprit exchanged, measured.
        culprits: sites in the order in which they were found: more than one fault.
        findings: places that differ, the first named first.
        weights: a leaf each.
        nodes: a node each.
        remedy: what to do, or None.
        answers: of flipped samples, or None without a task set.
        pictures: in order.
        notes: what could not be said, and why.
        probes: hash of what was asked.
        seconds: step → seconds.
        versions: distribution → version.
        measure: what ``damage`` and all other nats are counted in.
        blame: what each part accounts for, of a model that is made of several.
    """

    schema: int
    base: Side
    candidate: Side
    level: Level
    culprit: str | None
    fault: str
    headline: str
    damage: float | None
    tokens: int
    restored: float | None = None
    culprits: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    weights: tuple[WeightChange, ...] = ()
    nodes: tuple[NodeError, ...] = ()
    remedy: Remedy | None = None
    answers: Answers | None = None
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    probes: str = ""
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    measure: Measure = "nats"
    blame: Blame | None = None
