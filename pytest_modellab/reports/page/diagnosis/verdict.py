"""What a reader meets first: the name, the proof, what to do."""

from __future__ import annotations

import math
import re

from pytest_modellab.records.diagnosed import finite
from pytest_modellab.records.diagnosis import Blame, Diagnosis, Remedy
from pytest_modellab.reports import blamed, diagnosed
from pytest_modellab.reports.page.markup import Content, Html, el
from pytest_modellab.reports.text.diagnosis import pasted
from pytest_modellab.visible import shortened

NOTHING = 0.001
"""Nats a token below which two models count as equal."""


TEXT = frozenset({"tokenizer", "chat_template", "generation_config"})
"""Sites that are no part of a model."""


_MOST_LAYERS = 200


_SPAN = re.compile(r"layers\.(\d{1,4})-(\d{1,4})")


_KINDS = (
    (re.compile(r"layer\.(\d+)"), "layer {0}"),
    (re.compile(r"layers\.(\d+)-(\d+)"), "layers {0} to {1}"),
    (re.compile(r"layer\.(\d+)\+layer\.(\d+)"), "layers {0} and {1}"),
    (re.compile(r"layer\.(\d+)\.attention"), "the attention of layer {0}"),
    (re.compile(r"layer\.(\d+)\.mlp"), "the MLP of layer {0}"),
    (re.compile(r"layer\.(\d+)\.attention\.head\.(\d+)"), "attention head {1} of layer {0}"),
    (re.compile(r"layer\.(\d+)\.attention\.kv_head\.(\d+)"), "key and value head {1} of layer {0}"),
    (re.compile(r"layer\.(\d+)\.attention\.core"), "what the attention of layer {0} computes"),
    (re.compile(r"layer\.(\d+)\.mlp\.core"), "what the MLP of layer {0} computes"),
    (re.compile(r"layer\.(\d+)\.(?:attention|mlp)\.(\w+_proj)"), "{1} of layer {0}"),
    (re.compile(r"layer\.(\d+)\.(\w+)_norm"), "the {1} norm of layer {0}"),
    (re.compile(r"all\.([\w+]+)"), "{0} of every layer"),
    (re.compile(r"tokenizer"), "the tokenizer"),
    (re.compile(r"chat_template"), "the chat template"),
    (re.compile(r"generation_config"), "the generation settings"),
    (re.compile(r"embedding"), "the embedding"),
    (re.compile(r"lm_head"), "the output head"),
    (re.compile(r"final_norm"), "the final norm"),
    (re.compile(r"kv_cache"), "the key-value cache"),
    (re.compile(r"rope"), "the rotary position encoding"),
    (re.compile(r"attention_mask"), "the attention mask"),
)


_UNITS = {"nats": "nats a token", "cosine": "cosine distance"}


def named_part(site: str) -> str:
    """A site in words: ``attention head 3 of layer 8``; one of no pattern as it is."""
    for pattern, words in _KINDS:
        if found := pattern.fullmatch(site):
            return words.format(*(part.replace("+", " and ") for part in found.groups()))
    return site


def capital(text: str) -> str:
    """A text that begins with a word begins with a capital; what begins with a name stays."""
    first = text.split(" ", 1)[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def lede(diagnosis: Diagnosis) -> str:
    """What it means, for somebody who reads of all this for the first time."""
    candidate, base = _both(diagnosis)
    if diagnosis.blame is not None:
        return blamed.lede(diagnosis.blame, diagnosis.culprit, (candidate, base))
    if diagnosis.culprit is None:
        return _without_name(diagnosis)
    part = named_part(diagnosis.culprit)
    if diagnosis.culprit in TEXT:
        return (
            f"{candidate} is not given the text that {base} is given: {part} differs. That is seen "
            "before any model runs."
        )
    text = f"{candidate} differs from {base}, and one part of it accounts for that: {part}."
    if diagnosis.restored is None:
        return f"{text} It cannot be exchanged alone, so it was not proved by exchange."
    text += (
        f" With {base}'s part put back in its place, {diagnosed.share(diagnosis.restored)} of the "
        "difference is gone"
    )
    again = diagnosed.answer_words(diagnosis)
    return f"{text}, and {again}." if again else f"{text}."


def proof(diagnosis: Diagnosis) -> Html | None:
    """The damage before and after the base's part is put back, as bars."""
    damage = diagnosis.damage
    if diagnosis.blame is not None:
        return _put_back(diagnosis.blame)
    if damage is None:
        return None
    bars = [_bar("as it is", damage, 1.0, "bad")]
    if diagnosis.culprit is not None and diagnosis.restored is not None:
        left = max(0.0, 1.0 - diagnosis.restored)
        bars.append(_bar("with the base's part put back", left * damage, left, "good"))
    if diagnosis.remedy is not None:
        for kept in diagnosis.remedy.curve:
            left = max(0.0, 1.0 - kept.restored)
            bars.append(_bar(diagnosed.curve_words(kept), left * damage, left, "good"))
    proved = diagnosis.culprit is not None and diagnosis.restored is not None
    answers = diagnosed.answer_words(diagnosis)
    told = [
        el("p", f"How far apart the two are, in {_UNITS[diagnosis.measure]}:", class_="aside"),
        el("ul", bars, class_="shares bars proof"),
    ]
    return el(
        "article",
        el("h4", "Proof" if proved else "How far apart they are"),
        told if damage >= NOTHING else None,
        el("p", el("strong", answers), class_="sure") if answers else None,
        el("p", _meaning(diagnosis, damage), class_="aside"),
        class_="card",
    )


def _put_back(blame: Blame) -> Html:
    """How many answers each part brings back, and loses in the base, as bars."""
    bars, others = [], []
    every = [*blame.parts, *([blame.whole] if blame.whole is not None else [])]
    for one in every:
        if one.right_again is not None:
            bars.append(_of(one.part, one.right_again, blame.lost, "good"))
        if one.lost_alone is not None:
            others.append(_of(one.part, one.lost_alone, blame.lost, "bad"))
    back = f"Of {blame.lost} lost answers, right again with the base's part:"
    alone = "Of the same, lost where the base has the candidate's part alone:"
    return el(
        "article",
        el("h4", "Proof"),
        [el("p", back, class_="aside"), el("ul", bars, class_="shares bars proof")]
        if bars
        else None,
        [el("p", alone, class_="aside"), el("ul", others, class_="shares bars proof")]
        if others
        else None,
        class_="card",
    )


def _of(name: str, count: int, total: int, style: str) -> Html:
    return el(
        "li",
        el("span", name, class_="who"),
        el("span", el("span", style=f"width:{100 * count / total:.1f}%", class_=style),
           class_="track"),
        el("span", f"{count} of {total}", class_="num"),
    )  # fmt: skip


def to_do(diagnosis: Diagnosis) -> Html | None:
    """What to do, with the lines to paste."""
    found = diagnosed.named_finding(diagnosis)
    likely = found.likely if found is not None else ""
    detail = found.detail if found is not None and diagnosis.blame is None else ""
    remedy = diagnosis.remedy
    if remedy is None and not (likely or detail):
        return None
    return el(
        "article",
        el("h4", "What to do"),
        el("p", _sentence(detail)) if detail else None,
        el("p", _sentence(likely), class_="verdict") if likely else None,
        _remedy(remedy, diagnosis) if remedy is not None else None,
        class_="card",
    )


def layers(diagnosis: Diagnosis) -> Html | None:
    """Where in the model the culprit lies: a strip of all layers."""
    if diagnosis.culprit is None:
        return None
    sites = [*(n.site for n in diagnosis.nodes), *(w.site for w in diagnosis.weights)]
    known = [at for site in sites if (at := diagnosed.layer_of(site)) is not None]
    hit = _hit(diagnosis.culprit)
    last = max([*known, *hit], default=-1)
    if not known or not 0 < last < _MOST_LAYERS:
        return None
    ends = {"embedding": diagnosis.culprit == "embedding"}
    ends["head"] = diagnosis.culprit in ("lm_head", "final_norm")
    every = 1 if last < 40 else 10
    cells = [_place("embedding", "embedding", ends["embedding"])]
    for i in range(last + 1):
        shown = str(i) if i % every == 0 or i in hit else ""
        cells.append(_place(f"layer {i}", shown, i in hit))
    cells.append(_place("head", "head", ends["head"]))
    if not hit and not any(ends.values()):
        return None
    return el(
        "figure",
        el("ol", cells, class_="stack"),
        el(
            "figcaption", f"◆ Where it lies: {named_part(diagnosis.culprit)}, from input to output."
        ),
    )


def facts(diagnosis: Diagnosis) -> Html:
    """The sentences of the terminal that no card says."""
    told = [("fault", diagnosed.fault_words(diagnosis))] if diagnosis.fault else []
    told += [
        (name, text)
        for name, text in diagnosed.facts(diagnosis)
        if name in ("before it", "elsewhere", "looked at") or diagnosis.blame is not None
    ]
    rows = [[el("dt", name), el("dd", text)] for name, text in told]
    return el("dl", rows, class_="facts")


def _both(diagnosis: Diagnosis) -> tuple[str, str]:
    """What candidate and base are called in a sentence that begins with the former: no paths."""
    names = (diagnosis.candidate.name, "The candidate"), (diagnosis.base.name, "the base")
    called = [role if "/" in name or "\\" in name else name for name, role in names]
    return called[0], called[1]


def _without_name(diagnosis: Diagnosis) -> str:
    damage = diagnosis.damage
    name, base = _both(diagnosis)
    nats, unit = diagnosis.measure == "nats", diagnosed.unit(diagnosis)
    if damage is None:
        return f"{name} and {base} could not be compared part by part; nothing is named."
    if damage < NOTHING:
        does = "predicts what {} predicts" if nats else "gives the vectors of {}"
        return f"{name} {does.format(base)}: under {NOTHING} {unit} apart. No part is damaged."
    return (
        f"{name} differs from {base} by {diagnosed.nats(damage)} {unit}, and no single part "
        "of it accounts for that: none is named."
    )


def _meaning(diagnosis: Diagnosis, damage: float) -> str:
    if not finite(damage):
        return "The candidate gives figures that are no numbers, so the distance has none either."
    if damage < NOTHING:
        given = "Given the same tokens, the two are " if diagnosis.culprit in TEXT else ""
        unit = diagnosed.unit(diagnosis)
        return f"{given or 'The two are '}under {NOTHING} {unit} apart: they count as equal."
    if diagnosis.measure == "cosine":
        return (
            f"{diagnosed.nats(damage)}: half the squared distance of the two vectors of a text, "
            f"which is 1 - cosine where both have length one, on average. Under {NOTHING} nothing "
            "is called damaged."
        )
    times = math.exp(-damage)
    return (
        f"{diagnosed.nats(damage)} nats: what the base would write next is {times:.2g} times as "
        f"likely here, on average. Under {NOTHING} nats nothing is called damaged."
    )


def _sentence(text: str) -> str:
    """A text with a stop at its end."""
    whole = capital(text)
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


def _bar(name: str, nats: float, share: float, style: str) -> Html:
    width = 100.0 * min(1.0, share) if math.isfinite(share) else 100.0
    return el(
        "li",
        el("span", name, class_="who"),
        el("span", el("span", style=f"width:{width:.1f}%", class_=style), class_="track"),
        el("span", diagnosed.nats(nats), class_="num"),
    )


def _remedy(remedy: Remedy, diagnosis: Diagnosis) -> Content:
    block = pasted(diagnosis)
    return [
        el("p", _sentence(remedy.sentence)),
        el("p", "In modellab.toml, where this section is:", class_="aside") if block else None,
        el("pre", el("code", _joined(block)), tabindex="0") if block else None,
    ]


def _joined(block: list[str]) -> Html:
    return Html("\n").join(Html.escape(shortened(one, 500)) for one in block)


def _place(name: str, shown: str, named: bool) -> Html:
    mark = [el("span", "named: ", class_="unseen"), "◆ "] if named else None
    return el("li", mark, shown, class_="on" if named else None, title=name)


def _hit(site: str) -> set[int]:
    """The layers that a site names."""
    if found := _SPAN.fullmatch(site):
        return set(range(int(found[1]), min(int(found[2]), int(found[1]) + _MOST_LAYERS) + 1))
    return {int(n) for n in re.findall(r"layer\.(\d{1,4})(?=[.+]|$)", site)}
