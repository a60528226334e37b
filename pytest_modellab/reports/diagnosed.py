"""What a diagnosis says, in words: the same in every report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pytest_modellab.records.diagnosed import finite
from pytest_modellab.records.diagnosis import Diagnosis, Finding, Kept
from pytest_modellab.reports import blamed
from pytest_modellab.reports.words import listed, number, plural, size
from pytest_modellab.visible import CELL, line, shortened

NOT_FINITE = "not finite"
"""Said of a figure that is infinite or no number."""


EQUAL = 1e-6
"""Weights that differ by less are called equal."""


_LEVELS: Mapping[str, str] = MappingProxyType(
    {
        "weights": "the weights and what comes out; the modules could not be looked into",
        "outputs": "what comes out alone; neither modules nor weights could be compared",
    }
)


_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "rounded": "it has far fewer different values than the base's: it was rounded to few bits",
        "noise": "an error without a pattern lies on it",
        "scaled": "it is the base's times a factor",
        "zeroed": "a share of its rows or columns is zero",
        "spikes": "a few of its elements are far larger than all others: bits were flipped",
        "permuted": "it is the base's in another order",
        "copied": "it is another layer's",
        "swapped": "it and another one stand in each other's place",
        "reset": "nothing of the base's is left in it",
        "rows_damaged": "some rows of the vocabulary are damaged",
        "low_rank": "an adapter's change is in it",
        "nonfinite": "it holds values that are no numbers",
        "overflow": "its results are beyond what the number format holds",
        "window": "it looks back a limited number of tokens",
        "not_causal": "it looks at tokens that come later",
        "rope": "positions are encoded otherwise",
        "attention_scale": "attention is scaled otherwise",
        "activation": "another activation function is applied",
        "norm_eps": "norms add another constant",
        "residual_scale": "what layers add is scaled otherwise",
        "logit_scale": "the logits are scaled otherwise",
        "kv_cache": "with the cache it answers otherwise than without",
        "code": "the weights are as usual, what is computed with them is not",
        "tokenizer": "texts are cut into other tokens",
        "template": "chats are written otherwise",
        "generation_config": "answers are sampled or ended otherwise",
        "pooling": "one vector is made of a text's token vectors otherwise",
        "normalization": "vectors are brought to another length",
        "runtime": "what runs the weights computes something else than transformers does of them",
        "uniform": "everything differs alike, as after rounding",
        "adapter": "everything differs by a change of low rank, as after training an adapter",
        "rewritten": "the weights are others, what they compute is the same",
        "part": "with the base's in its place, answers that were lost are right again",
        "together": "several parts differ, and none of them explains it alone",
        "each": "several parts differ, and each of them costs answers",
        "elsewhere": "most of what was lost lies in none of the parts",
        "none": "nothing that differs costs anything",
        "unexplained": "it differs, and no part of it explains that",
    }
)


_LAYERS = re.compile(r"layers?\.(\d+)")


_TOLD = 300  # characters of a sentence inside of another


def named(diagnosis: Diagnosis) -> str:
    """``broken against prompting: layer.8.attention.head.3 is zeroed``."""
    return f"{diagnosis.candidate.name} against {diagnosis.base.name}: {diagnosis.headline}"


def one_line(diagnosis: Diagnosis) -> str:
    """What a failing test's message ends with: the culprit, the proof, and what to do."""
    text = f"diagnosis: {_open(diagnosis.headline)}"
    if diagnosis.blame is not None:
        proof = blamed.proof_words(diagnosis.blame, diagnosis.culprit)
        text += f" ({proof})" if proof else ""
    elif diagnosis.culprit is not None and diagnosis.restored is not None:
        text += (
            f" (with the base's part put back, {share(diagnosis.restored)} of the damage is gone)"
        )
    elif diagnosis.damage is not None:
        text += f" ({nats(diagnosis.damage)} {unit(diagnosis)})"
    advice = to_do(diagnosis)
    return line(f"{text}; {advice}" if advice else text, CELL)


def properties(diagnosis: Diagnosis) -> list[tuple[str, object]]:
    """What JUnit XML keeps of it beside a test that blocks."""
    culprit = diagnosis.culprit
    named = [] if culprit is None else [("modellab_culprit", line(culprit, CELL))]
    return [*named, ("modellab_diagnosis", one_line(diagnosis))]


def fault_words(diagnosis: Diagnosis) -> str:
    """The class with what it means: ``zeroed(0.11, columns): a share of its rows … is zero``."""
    meaning = _FAULTS.get(diagnosis.fault.partition("(")[0])
    return diagnosis.fault if meaning is None else f"{diagnosis.fault}: {meaning}"


def to_do(diagnosis: Diagnosis) -> str:
    """The likely cause and what to do about it; empty where there is nothing to say."""
    found = named_finding(diagnosis)
    if found is not None and found.likely:
        return found.likely
    return "" if diagnosis.remedy is None else diagnosis.remedy.sentence


def facts(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """What a reader wants to know, in that order: a word, and a sentence for it."""
    found = named_finding(diagnosis)
    if diagnosis.blame is not None:
        rows = blamed.rows(diagnosis.blame)
        likely = "" if found is None else found.likely
        return [*rows, ("likely", likely)] if likely else rows
    rows = [("damage", damage_words(diagnosis))]
    if (text := proof_words(diagnosis)) is not None:
        rows.append(("proof", text))
    if (text := entry_words(diagnosis)) is not None:
        rows.append(("before it", text))
    rows.append(("elsewhere", elsewhere_words(diagnosis)))
    if found is not None and (text := _joined(found.detail, found.likely)):
        rows.append(("likely", text))
    if diagnosis.remedy is not None:
        rows.append(("to do", diagnosis.remedy.sentence))
    if diagnosis.level in _LEVELS:
        rows.append(("looked at", _LEVELS[diagnosis.level]))
    return rows


def named_finding(diagnosis: Diagnosis) -> Finding | None:
    """What was found at the culprit; None where nothing is named."""
    return next((f for f in diagnosis.findings if f.site == diagnosis.culprit), None)


def others(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """What was found elsewhere than at the culprit."""
    return tuple(f for f in diagnosis.findings if f is not named_finding(diagnosis))


def damage_words(diagnosis: Diagnosis) -> str:
    """``0.68 nats a token on 448 tokens; 31 samples that flipped were asked``."""
    if diagnosis.damage is None:
        text = "not measured in nats, since the two share no vocabulary"
    else:
        on = plural(diagnosis.tokens, "token" if diagnosis.measure == "nats" else "text")
        size = nats(diagnosis.damage)
        text = f"{size} on {on}" if size == NOT_FINITE else f"{size} {unit(diagnosis)} on {on}"
    if diagnosis.answers is not None:
        text += f"; {plural(diagnosis.answers.flipped, 'flipped sample')} asked again"
    return text


def proof_words(diagnosis: Diagnosis) -> str | None:
    """What is left of the damage with the base's part put back; None where nothing is named."""
    if diagnosis.culprit is None:
        return None
    if diagnosis.restored is None:
        return _text_proof(diagnosis) or "not by exchange, since this cannot be put back alone"
    if diagnosis.damage is None:
        left = ""
    else:
        left = nats(diagnosis.damage * (1 - diagnosis.restored))
        left += " nats are left, " if diagnosis.measure == "nats" else " is left, "
    again = "" if diagnosis.answers is None else f", {answer_words(diagnosis)}"
    return (
        f"with the base's {diagnosis.culprit} put back: {left}restored "
        f"{share(diagnosis.restored)}{again}"
    )


def _text_proof(diagnosis: Diagnosis) -> str:
    """What the base's text side brings the candidate, measured; empty for other culprits."""
    found = named_finding(diagnosis)
    evidence = {} if found is None else found.evidence
    gains = evidence.get("own_text_gains_nats_a_byte")
    if isinstance(gains, float) and gains < 0:
        return (
            f"with the base's tokenizer and template, the candidate gives replies {-gains:.3g} "
            "nats a byte more"
        )
    if evidence.get("text_costs_nats_a_byte") == 0.0:
        return "by what it does to texts; no reply that was tried becomes other tokens"
    return ""


def answer_words(diagnosis: Diagnosis) -> str:
    """``31 of 31 flipped samples right again``; empty without a task set."""
    if diagnosis.answers is None:
        return ""
    flipped, right = diagnosis.answers.flipped, diagnosis.answers.right_again
    return f"{right} of {plural(flipped, 'flipped sample')} right again"


def entry_words(diagnosis: Diagnosis) -> str | None:
    """Where the error enters, and what the layers before it add; None where it is not known."""
    total = sum(abs(n.nats) for n in diagnosis.nodes if finite(n.nats))
    layer = layer_of(diagnosis.culprit or "")
    if diagnosis.culprit is None or not total:
        return None
    most = max(diagnosis.nodes, key=lambda n: abs(n.nats) if finite(n.nats) else 0.0)
    of = "of what is accounted for"
    held = abs(most.nats) / total
    where = f"at {most.site}" if held >= 0.5 else f"at several places, most at {most.site}"
    enters = f"the error enters {where} ({share(held)} {of})"
    if not layer:
        return enters
    before = sum(
        abs(n.nats)
        for n in diagnosis.nodes
        if finite(n.nats) and (at := layer_of(n.site)) is not None and at < layer
    )
    span = "layer 0 adds" if layer == 1 else f"layers 0-{layer - 1} add"
    return f"{span} {share(before / total)}; {enters}"


def elsewhere_words(diagnosis: Diagnosis) -> str:
    """What else stands out, and how many weights are equal."""
    found = [
        f"{f.site} {f.fault}" + ("" if f.restored is None else f", restored {share(f.restored)}")
        for f in others(diagnosis)
    ]
    if not found:
        text = "nothing else stands out" if diagnosis.culprit is not None else "nothing stands out"
    elif len(diagnosis.culprits) > 1:
        text = f"{plural(len(diagnosis.culprits), 'fault')}: also {listed(found, 3)}"
    else:
        text = listed(found, 3)
    if not diagnosis.weights:
        return text
    equal = sum(w.relative < EQUAL for w in diagnosis.weights)
    count = len(diagnosis.weights)
    if equal == count:
        return f"{text}; all weights are equal"
    if equal:
        return f"{text}; weights are equal in {equal} of {count} places"
    middle = sorted(w.relative for w in diagnosis.weights)[count // 2]
    return f"{text}; all weights differ, by {number_or_not(middle)} in the median"


def curve_words(kept: Kept) -> str:
    """One point of a remedy's curve: ``with 4 modules kept, 12 MB more: 61 % gone``."""
    modules = plural(kept.modules, "module")
    return f"with {modules} kept, {size(kept.bytes)} more: {share(kept.restored)} gone"


def seconds_words(diagnosis: Diagnosis) -> str:
    """How long it took: ``45 s``."""
    total = sum(diagnosis.seconds.values())
    return f"{total:.0f} s" if total >= 10 else f"{total:.1f} s"


def layer_of(site: str) -> int | None:
    """The first layer that a site names, or None."""
    found = _LAYERS.match(site)
    return None if found is None else int(found[1][:9])


def nats(value: float) -> str:
    """Nats for a reader: ``0.68``, ``0.0042``, ``under 0.001``."""
    if not finite(value):
        return NOT_FINITE
    if abs(value) < 0.001:
        return "under 0.001"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"


def unit(diagnosis: Diagnosis) -> str:
    """``nats a token``, or what the distance of two encoders is counted in."""
    return "nats a token" if diagnosis.measure == "nats" else "of cosine distance"


def share(value: float) -> str:
    """``99 %``; never 100 of what is less."""
    if not finite(value):
        return NOT_FINITE
    whole = f"{100 * value:.0f}"
    if whole == "100" and value < 0.9995:
        whole = "99"
    return f"{'0' if whole == '-0' else whole} %"


def number_or_not(value: float) -> str:
    """A figure with three significant digits, or that it is none."""
    return number(value) if finite(value) else NOT_FINITE


def _open(sentence: str) -> str:
    """A sentence that is continued."""
    return shortened(sentence.rstrip().removesuffix("."), _TOLD)


def _joined(detail: str, likely: str) -> str:
    return f"{_open(detail)}: {likely}" if detail and likely else detail or likely
