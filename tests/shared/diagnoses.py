"""Diagnoses for tests of what shows and stores them: made by hand, and any at all."""

from __future__ import annotations

import dataclasses
import math
import random
import re
from typing import Any

from hostile import TEXTS
from hypothesis import strategies as st

from pytest_modellab.records.diagnosis import (
    SCHEMA,
    Answers,
    Diagnosis,
    Finding,
    Heat,
    Kept,
    Lines,
    NodeError,
    Picture,
    Piece,
    Remedy,
    Series,
    Side,
    Sides,
    WeightChange,
)

LAYERS = 30
CULPRIT = 8
KINDS = (
    *("input_norm", "attention.q_proj", "attention.k_proj", "attention.v_proj"),
    *("attention.o_proj", "post_norm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
)
_BASE = Side("prompting", "a" * 64, 134_515_008)


def head_is_zeroed() -> Diagnosis:
    """One attention head of layer 8 is zero, and nothing else differs."""
    culprit = f"layer.{CULPRIT}.attention.o_proj"
    weights = tuple(
        WeightChange(site, 0.34, 0.0, stands_out=True)
        if site == culprit
        else WeightChange(site, 0.0, 0.0)
        for site in _sites()
    )
    nodes = tuple(
        NodeError(site, 0.41 if site == culprit else 2e-7, 0.66 if site == culprit else 3e-5)
        for site in _sites()
    )
    return Diagnosis(
        schema=SCHEMA,
        base=_BASE,
        candidate=Side("broken", "b" * 64, 134_515_008),
        level="internals",
        culprit="layer.8.attention.head.3",
        fault="zeroed(0.11, columns)",
        headline="layer.8.attention.head.3 is zeroed",
        damage=0.6834,
        tokens=448,
        restored=1.0,
        culprits=("layer.8.attention.head.3",),
        findings=(
            Finding(
                site="layer.8.attention.head.3",
                fault="zeroed(0.11, columns)",
                detail="columns 192-255 of o_proj are zero",
                nats=0.66,
                restored=1.0,
                likely="a head was pruned or a shard is damaged; build the variant again",
                evidence={"relative": 0.34, "usual": 0.0, "columns": "192-255"},
            ),
        ),
        weights=weights,
        nodes=nodes,
        answers=Answers(31, 31),
        pictures=(_enters(), _changed(), _through(), _put_back(), _attention(), _activations()),
        probes="c" * 64,
        seconds={"base run": 4.1, "forced passes": 9.8, "transplants": 11.2, "pictures": 19.6},
        versions={"torch": "2.13.0", "transformers": "5.14.1"},
    )


def rounded_everywhere() -> Diagnosis:
    """Four bits everywhere: nobody is named, and a list of modules helps."""
    chance = random.Random(3)
    weights = tuple(
        WeightChange(site, r := 0.09 * math.exp(chance.gauss(0, 0.1)), 0.09, r * 0.99)
        for site in _sites()
        if site.endswith("_proj")
    )
    modules = tuple(f"model.layers.{i}.mlp.down_proj" for i in (1, 0, 29, 11))
    return Diagnosis(
        schema=SCHEMA,
        base=_BASE,
        candidate=Side("nf4", "d" * 64, 134_515_008),
        level="internals",
        culprit=None,
        fault="uniform(as expected)",
        headline="it is rounded everywhere as 4 bits are; no single part is to blame",
        damage=0.2612,
        tokens=448,
        findings=(
            Finding(
                "layer.1.mlp.down_proj",
                "rounded(4)",
                "it pays more than its peers",
                nats=0.021,
                restored=0.12,
            ),
        ),
        weights=weights,
        remedy=Remedy(
            "keep 4 modules in full precision: 41 % of the damage is gone for 10.2 MB more",
            "[variants.nf4]\nskip_modules = [\n"
            + "".join(f'    "{m}",\n' for m in modules)
            + "]\n",
            modules,
            (Kept(1, 0.12, 2_654_208), Kept(2, 0.24, 5_308_416), Kept(4, 0.41, 10_616_832)),
        ),
        pictures=(_changed(),),
        notes=("the weights are read through bitsandbytes' own products",),
        seconds={"base run": 4.0},
    )


def template_differs() -> Diagnosis:
    """The candidate's chat template writes a blank line more; the model is the same."""
    base = "<|im_start|>user\nWhat is 2 + 2?<|im_end|>\n<|im_start|>assistant\n"
    more = "<|im_start|>user\n\tWhat is 2 + 2?<|im_end|>\n\n<|im_start|>assistant\n"
    sides = Sides(
        (Piece(base[:17]), Piece(base[17:41]), Piece(base[41:])),
        (Piece(more[:17]), Piece("\t", True), Piece(more[18:42]), Piece("\n", True), Piece("…")),
        "one turn, with the generation prompt",
    )
    tokens = Sides(
        tuple(Piece(t) for t in ("What", " is", " ", "2", " +", " ", "2", "?")),
        (*(Piece(t) for t in ("What", " is")), Piece(" 2", True), Piece(" + 2", True), Piece("?")),
        "one text, in tokens",
    )
    return Diagnosis(
        schema=SCHEMA,
        base=_BASE,
        candidate=Side("retold", "e" * 64),
        level="internals",
        culprit="chat_template",
        fault="template",
        headline="chat_template renders other text",
        damage=0.0,
        tokens=448,
        findings=(
            Finding(
                "chat_template",
                "template",
                "one blank line and one tab more in each turn",
                likely="the tokenizer's files are of another release; copy the base's",
                evidence={"bytes": 0.31},
            ),
        ),
        pictures=(
            Picture("text", "Text", "The candidate's turns begin with a tab.", (sides, tokens)),
        ),
    )


def only_outputs() -> Diagnosis:
    """A student of another vocabulary: little can be said, and that is said."""
    return Diagnosis(
        schema=SCHEMA,
        base=_BASE,
        candidate=Side("student"),
        level="outputs",
        culprit=None,
        fault="unexplained",
        headline="it has another vocabulary; nothing inside of it can be compared",
        damage=None,
        tokens=0,
        notes=("modules: none has a counterpart",),
    )


EXAMPLES = {
    "head": head_is_zeroed,
    "nf4": rounded_everywhere,
    "template": template_differs,
    "student": only_outputs,
}


def _sites() -> list[str]:
    inner = [f"layer.{i}.{kind}" for i in range(LAYERS) for kind in KINDS]
    return ["embedding", *inner, "final_norm", "lm_head"]


def _layers(count: int = LAYERS) -> tuple[str, ...]:
    return tuple(f"layer {i}" for i in range(count))


def _enters() -> Picture:
    chance = random.Random(1)
    names = tuple(kind.partition(".")[2] or kind for kind in KINDS)
    values = tuple(
        tuple(0.66 if (i, k) == (CULPRIT, 4) else chance.gauss(0, 4e-4) for k in range(len(KINDS)))
        for i in range(LAYERS)
    )
    heat = Heat(_layers(), names, values, 0.0, "nats a token that enter", framed=((CULPRIT, 4),))
    return Picture(
        "where_it_enters",
        "Where it enters",
        "99 % of the damage enters at o_proj of layer 8; no other place adds 0.002 nats.",
        (heat,),
    )


def _changed() -> Picture:
    names = tuple(kind.partition(".")[2] or kind for kind in KINDS)
    values = tuple(
        tuple(-0.47 if (i, k) == (CULPRIT, 4) else None for k in range(len(KINDS)))
        for i in range(LAYERS)
    )
    heat = Heat(_layers(), names, values, None, "log10 of r", framed=((CULPRIT, 4),))
    return Picture(
        "what_changed",
        "What changed",
        "Only o_proj of layer 8 has other weights; r is 0.34 there.",
        (heat,),
    )


def _through() -> Picture:
    chance = random.Random(2)
    words = "<|im_start|> user \n What is the capital of France ? <|im_end|> \n".split(" ")
    tokens = tuple(words[i % len(words)] for i in range(64))
    values = tuple(
        tuple(
            abs(chance.gauss(0, 1e-6 if i < CULPRIT else 0.4 + 0.01 * i))
            for _ in range(len(tokens))
        )
        for i in range(LAYERS)
    )
    heat = Heat(_layers(), tokens, values, None, "KL in nats")
    return Picture(
        "through_the_layers",
        "Through the layers",
        "KL is below 1e-5 up to layer 7 and 0.4 from layer 8 on.",
        (heat,),
    )


def _put_back() -> Picture:
    restored = tuple(0.0 if i < CULPRIT else 1.0 for i in range(LAYERS))
    measured: tuple[float | None, ...] = tuple(
        v if i in (0, 3, 7, 8, 15, 29) else None for i, v in enumerate(restored)
    )
    by_layer = Lines(
        tuple(map(str, range(LAYERS))),
        (Series("base's stream put back behind this layer", measured),),
        "layer",
        "share of the damage that is gone",
        framed=(CULPRIT,),
    )
    groups = Lines(
        ("layer.8.attention.head.3", "layer.9.mlp", "layer.2.attention"),
        (Series("restored", (1.0, 0.01, -0.02)),),
        "exchanged",
        "share of the damage that is gone",
        "By group",
        bars=True,
        framed=(0,),
    )
    return Picture(
        "put_back",
        "Put back",
        "Exchanging the head restores everything; the step lies at layer 8.",
        (groups, by_layer),
    )


def _attention() -> Picture:
    chance = random.Random(4)
    drift = tuple(
        tuple(chance.gauss(0, 1e-7 if i <= CULPRIT else 0.02) for _ in range(9))
        for i in range(LAYERS)
    )
    count = 24
    pattern = tuple(
        tuple((2.0 ** -(i - j)) if j <= i else None for j in range(count)) for i in range(count)
    )
    tokens = tuple(f"t{i}" for i in range(count))
    return Picture(
        "attention",
        "Attention",
        "Heads behind layer 8 look elsewhere; the one in front do not.",
        (
            Heat(_layers(), tuple(map(str, range(9))), drift, 0.0, "drift of entropy", "Entropy"),
            Heat(tokens, tokens, pattern, None, "attention", "Base, layer 9, head 2"),
            Heat(tokens, tokens, pattern, None, "attention", "Candidate, layer 9, head 2"),
        ),
    )


def _activations() -> Picture:
    free = tuple(1e-6 if i < CULPRIT else 0.05 + 0.01 * i for i in range(LAYERS))
    forced = tuple(0.4 if i == CULPRIT else 1e-7 for i in range(LAYERS))
    lines = Lines(
        tuple(map(str, range(LAYERS))),
        (Series("free run", free), Series("forced run", forced)),
        "layer",
        "relative error",
        log=True,
        framed=(CULPRIT,),
    )
    return Picture(
        "activations",
        "Activations",
        "The free run is off in every layer from 8 on, the forced one at 8 alone.",
        (lines,),
    )


_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # which JSON reads back as one character
_TEXT = (
    st.sampled_from([*(text for text in TEXTS if len(text) < 1000), "word " * 500])
    | st.text(st.characters(codec=None), max_size=8).filter(lambda text: not _PAIR.search(text))
    | st.text(max_size=8)
)
_NUMBER = st.floats(-1e6, 1e6).map(lambda v: float(f"{v:.4g}"))
_MAYBE = st.none() | _NUMBER


@st.composite
def _heat(draw: Any) -> Heat:
    rows, columns = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    return Heat(
        tuple(draw(_TEXT) for _ in range(rows)),
        tuple(draw(_TEXT) for _ in range(columns)),
        tuple(tuple(draw(_MAYBE) for _ in range(columns)) for _ in range(rows)),
        draw(_MAYBE),
        draw(_TEXT),
        draw(_TEXT),
        ((rows - 1, 0),) if rows and columns else (),
    )


@st.composite
def _lines(draw: Any) -> Lines:
    places = draw(st.integers(0, 4))
    series = tuple(
        Series(draw(_TEXT), tuple(draw(_MAYBE) for _ in range(places)))
        for _ in range(draw(st.integers(0, 3)))
    )
    framed = (places - 1,) if places else ()
    x = tuple(draw(_TEXT) for _ in range(places))
    return Lines(
        x, series, draw(_TEXT), draw(_TEXT), "", draw(st.booleans()), draw(st.booleans()), framed
    )


_PIECES = st.lists(st.builds(Piece, _TEXT, st.booleans()), max_size=4).map(tuple)
_PANEL = _heat() | _lines() | st.builds(Sides, _PIECES, _PIECES, _TEXT)
_PICTURE = st.builds(Picture, _TEXT, _TEXT, _TEXT, st.lists(_PANEL, max_size=2).map(tuple))


def few(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=2).map(tuple)


_FINDING = st.builds(
    Finding,
    _TEXT,
    _TEXT,
    _TEXT,
    _MAYBE,
    _MAYBE,
    _TEXT,
    st.dictionaries(_TEXT, _NUMBER | _TEXT, max_size=2),
)
DIAGNOSES: st.SearchStrategy[Diagnosis] = st.builds(
    Diagnosis,
    schema=st.just(SCHEMA),
    base=st.builds(Side, _TEXT, _TEXT, st.integers(0, 10**10)),
    candidate=st.builds(Side, _TEXT),
    level=st.sampled_from(["internals", "weights", "outputs"]),
    culprit=st.none() | _TEXT | st.just("layer.3.mlp"),
    fault=_TEXT,
    headline=_TEXT,
    damage=_MAYBE,
    tokens=st.integers(0, 10**6),
    restored=_MAYBE,
    culprits=few(_TEXT),
    findings=few(_FINDING | st.just(Finding("layer.3.mlp", "rounded(2)", "few values", 0.1, 0.9))),
    weights=few(st.builds(WeightChange, _TEXT, _NUMBER, _MAYBE, _MAYBE, st.booleans())),
    nodes=few(st.builds(NodeError, _TEXT, _NUMBER, _NUMBER)),
    remedy=st.none()
    | st.builds(
        Remedy,
        _TEXT,
        _TEXT,
        few(_TEXT),
        few(st.builds(Kept, st.integers(0, 9), _NUMBER, st.integers(0, 10**12))),
    ),
    answers=st.none() | st.builds(Answers, st.integers(0, 99), st.integers(0, 99)),
    pictures=few(_PICTURE),
    notes=few(_TEXT),
    probes=_TEXT,
    seconds=st.dictionaries(_TEXT, _NUMBER, max_size=2),
    versions=st.dictionaries(_TEXT, _TEXT, max_size=2),
)
"""Any diagnosis whose figures have four digits, hostile in every text."""


def large(size: int = 128) -> Diagnosis:
    """A diagnosis with far more values than fit into its JSON."""
    chance = random.Random(5)
    tokens = tuple(f"token {i}" for i in range(size))
    panels = tuple(
        Heat(
            _layers(),
            tokens,
            tuple(tuple(chance.random() for _ in tokens) for _ in range(LAYERS)),
            None,
            "nats",
        )
        for _ in range(8)
    )
    return dataclasses.replace(
        head_is_zeroed(),
        pictures=(*head_is_zeroed().pictures, Picture("huge", "Huge", "It is huge.", panels)),
    )
