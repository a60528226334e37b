"""Rounding to nearest: the plain baseline of quantization."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.records.setting import Setting, count, resolve
from pytest_modellab.variants.methods import skipping
from pytest_modellab.variants.plan import Plan, Step

if TYPE_CHECKING:
    import torch

OPTIONS = {
    "method": Setting(str),
    "bits": Setting(
        int, 4, check=lambda value: 2 <= value <= 8, wrong="{value} lies outside 2 to 8"
    ),
    "group_size": count(64),
    skipping.OPTION: skipping.SETTING,
    skipping.PARTS: skipping.PARTS_SETTING,
}


def plan_rtn(base: Plan, options: Mapping[str, Any]) -> Plan:
    """Plan a base whose linear weights are rounded to nearest."""
    found = resolve(OPTIONS, options)
    kept = skipping.names("rtn", options)
    settings = {key: found[key] for key in ("bits", "group_size")}
    parts = found.get(skipping.PARTS, [])
    apply = functools.partial(_round_to_nearest, **settings, skipped=kept, parts=parts)
    named = {skipping.PARTS: parts} if parts else {}
    rounding = Step("rtn", {**settings, **skipping.said(kept), **named}, apply)
    return dataclasses.replace(
        base.merged(),
        quantization={"method": "rtn", **rounding.settings},
        skipped=kept,
    ).with_step(rounding)


def _round_to_nearest(
    model: Any,
    *,
    bits: int,
    group_size: int,
    skipped: Sequence[str] = (),
    parts: Sequence[str] = (),
) -> Any:
    """Round every linear weight to ``2**bits`` even steps between its group's least and largest.

    The plain baseline that quantization papers call RTN (for example Frantar et al. 2022, GPTQ);
    weights stay in their dtype, so only quality shows what it costs. The output head is left out,
    as the other methods do.
    """
    import torch

    head = model.get_output_embeddings()
    kept = {*skipping.paths(model, skipped), *skipping.outside(model, parts)}
    with torch.no_grad():
        for path, module in model.named_modules():
            if isinstance(module, torch.nn.Linear) and module is not head and path not in kept:
                module.weight.copy_(_rounded(module.weight, bits, group_size))
    return model


def _rounded(weight: torch.Tensor, bits: int, group_size: int) -> torch.Tensor:
    """Round a matrix in groups of ``group_size`` along its input dimension.

    Args:
        weight: (out, in).
        bits: steps are ``2**bits - 1`` an interval.
        group_size: the last group may be shorter.

    Returns:
        The rounded matrix, same shape and dtype.
    """
    import torch

    parts = []
    for group in weight.split(group_size, dim=1):
        low, high = group.amin(dim=1, keepdim=True), group.amax(dim=1, keepdim=True)
        step = ((high - low) / (2**bits - 1)).clamp_min(torch.finfo(weight.dtype).tiny)
        parts.append((group - low).div(step).round().mul(step).add(low))
    return torch.cat(parts, dim=1)
