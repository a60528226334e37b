"""Which places belong to the culprit, and are framed."""

from __future__ import annotations

import re

_LAYER = re.compile(r"layer\.(\d+)")


_RANGE = re.compile(r"layers\.(\d+)-(\d+)")


_HEAD = re.compile(r"layer\.(\d+)\.attention\.(kv_)?head\.\d+")


_CODE = {
    "attention_scale": ("attention.core",),
    "attention_mask": ("attention.core",),
    "activation": ("mlp.core",),
    "norm_eps": ("input_norm", "post_norm", "final_norm"),
    "residual_scale": ("input_norm.input", "post_norm.input", "final_norm.input"),
    "logit_scale": ("logits",),
}
"""What code is seen at, in every layer."""


def layers(culprit: str | None) -> tuple[int, ...]:
    """Numbers of the layers that the culprit lies in; none where it is in no layer or in all."""
    if culprit is None:
        return ()
    stretch = _RANGE.fullmatch(culprit)
    if stretch:
        return tuple(range(int(stretch[1]), int(stretch[2]) + 1))
    return tuple(int(number) for number in _LAYER.findall(culprit))


def within(site: str, culprit: str | None) -> bool:
    """Whether a leaf's or a node's site is the culprit or a part of it."""
    if culprit is None:
        return False
    if culprit in _CODE:
        return any(site == end or site.endswith(f".{end}") for end in _CODE[culprit])
    if culprit.startswith("all."):
        return site.rpartition(".")[2] in culprit.removeprefix("all.").split("+")
    head = _HEAD.fullmatch(culprit)
    if head:
        kinds = ("k_proj", "v_proj") if head[2] else ("q_proj", "o_proj")
        return site in {f"layer.{head[1]}.attention.{kind}" for kind in kinds}
    if _RANGE.fullmatch(culprit):
        number = _LAYER.match(site)
        return number is not None and int(number[1]) in layers(culprit)
    return any(site == part or site.startswith(f"{part}.") for part in culprit.split("+"))
