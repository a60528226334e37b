"""What is said in the end: one name that was proved, or none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from pytest_modellab.records.diagnosis import Finding

NOTHING = 1e-3
"""Nats a token, below which nothing is called damaged."""


NAMED = 0.25
"""The share of the damage that a place must hold to be named."""


CLEAN = 0.95
"""The share from which on nothing else is different; a place that restores less lies over a
background of its own cost."""


OVER = 4e-3
"""Nats a token, that a place over a background must add to be named: rounding a rewritten branch
costs as much."""


ADAPTED = 0.02
"""Nats a token, from which a low-rank change of everything is named as a whole."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is said.

    Attributes:
        culprit: the site, or None.
        fault: its class, or the class of the whole.
        headline: one sentence.
        restored: share of the damage that is gone with the culprit exchanged, or None.
    """

    culprit: str | None
    fault: str
    headline: str
    restored: float | None = None


def decide(
    damage: float | None, findings: Sequence[Finding], whole: str, text: Finding | None = None
) -> Verdict:
    """Name the place that holds most of the damage, where one holds enough.

    Args:
        damage: nats a token; None where it cannot be measured, NaN where it is not finite.
        findings: places, with what they restore.
        whole: the class of the whole, where no place is named.
        text: a fault of the text side that goes before the model, or None.

    Returns:
        The verdict.
    """
    if text is not None:
        return Verdict(text.site, text.fault, sentence(text.site, text.fault), text.restored)
    if damage is None:
        return Verdict(None, "unexplained", "the two share no vocabulary: nothing is named")
    best = max(findings, key=lambda one: one.restored or 0.0, default=None)
    share = 0.0 if best is None else best.restored or 0.0
    holds = share >= NAMED and (share >= CLEAN or not share * damage < OVER)
    if best is not None and holds and not damage <= NOTHING:
        said = sentence(best.site, best.fault)
        return Verdict(best.site, best.fault, said, best.restored)
    if whole == "adapter" and damage >= ADAPTED:
        return Verdict("adapter", "adapter", sentence("adapter", "adapter"), None)
    return Verdict(None, whole, _SILENT.get(whole, f"no part is named: {whole}"))


_SILENT = {
    "none": "nothing is damaged",
    "rewritten": "it is the same function in other weights",
    "uniform": "it is different everywhere, and no part is named",
    "adapter": "a low-rank change of all of it, of little effect",
    "unexplained": "it is damaged, and no part that was exchanged restores it",
}


_WORDS = {
    "zeroed": "is zeroed",
    "rounded": "is rounded to {0} bits",
    "noise": "has noise, {0} of its size",
    "scaled": "is scaled by {0}",
    "spikes": "has spikes in {0} elements",
    "permuted": "is in another order",
    "copied": "is a copy of {0}",
    "swapped": "are swapped",
    "reset": "holds other weights, as if never trained",
    "rows_damaged": "is damaged in {0} rows",
    "low_rank": "has a low-rank change",
    "nonfinite": "holds values that are not finite",
    "overflow": "overflows the range of its number format",
    "window": "lets a token see only {0} tokens",
    "not_causal": "lets tokens see what comes later",
    "rope": "rotates queries and keys otherwise",
    "attention_scale": "scales attention by {0}",
    "activation": "is another function",
    "norm_eps": "adds another constant in norms",
    "residual_scale": "adds to the residual stream in another measure",
    "embedding_scale": "multiplies the embedding by {0}",
    "logit_scale": "multiplies the logits by {0}",
    "kv_cache": "gives back other keys and values than it was given",
    "code": "computes something else than the base's",
    "tokenizer": "splits or numbers texts otherwise",
    "template": "renders chats otherwise",
    "runtime": "computes something else of the same weights",
    "pooling": "makes one vector of a text's otherwise: by {0}",
    "normalization": "brings vectors to another length: {0}",
    "generation_config": "asks for other generation settings",
    "adapter": "changes the model as a whole, no part of it much more than the others",
    "bypassed": "adds nothing to the residual stream",
}


def sentence(site: str, fault: str) -> str:
    """Say what is wrong with a site."""
    name, _, rest = fault.partition("(")
    arguments = [one.strip() for one in rest.removesuffix(")").split(",")] if rest else []
    words = _WORDS.get(name)
    if words is None or ("{0}" in words and not arguments):
        return f"{site}: {fault}"
    subject = "the adapter" if site == "adapter" else site
    said = words.format(*arguments)
    return f"{subject} {said.removesuffix('s') if said.endswith(' 1 bits') else said}"


def finite(nats: float | None) -> bool:
    """Whether a damage is a number."""
    return nats is not None and math.isfinite(nats)
