"""What usually causes a class of faults, and what to do about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from pytest_modellab.records.diagnosis import Finding

_SHARD = "copy the weights again, compare their hashes, and build the variant again"
_CONVERSION = "look at what maps names and shapes in the conversion, and convert again"
_CODE = "compare config.json with the base's, and the versions of the libraries that run both"

CAUSES: Mapping[str, str] = MappingProxyType(
    {
        "zeroed": f"something was pruned, or a shard is damaged: {_SHARD}",
        "rounded": "this place is rounded harder than the rest: take the base's weights again, or, "
        "where the variant rounds it, more bits or full precision (skip_modules)",
        "noise": "it was trained further, or merged with something else, or a shard is damaged: "
        f"{_SHARD}",
        "scaled": "a scale was applied twice or not at all, as of an adapter, a norm or a "
        f"quantization: {_CONVERSION}",
        "spikes": f"single values are damaged, as by a flipped bit: {_SHARD}",
        "permuted": "rows or columns are in another order, as where heads are laid out otherwise: "
        f"{_CONVERSION}",
        "copied": f"a weight was written under another's name: {_CONVERSION}",
        "swapped": f"two parts have each other's weights: {_CONVERSION}",
        "reset": "the weight was not in the checkpoint and was drawn anew: look at what was "
        "missing when it was saved, and save it again",
        "rows_damaged": "tokens were added or moved, or a shard is damaged: compare the "
        "vocabularies and save the embedding again",
        "low_rank": "an adapter is in this weight: build the variant again, and merge it once",
        "nonfinite": "training or a conversion overflowed: take an earlier checkpoint, or convert "
        "in float32",
        "overflow": "run it in bfloat16 or float32",
        "window": f"the attention's window is narrower: {_CODE}",
        "not_causal": f"the mask lets tokens see the future: {_CODE}",
        "rope": f"rope_theta or its scaling differs: {_CODE}",
        "attention_scale": f"the attention's scale differs: {_CODE}",
        "activation": f"hidden_act differs: {_CODE}",
        "norm_eps": f"rms_norm_eps differs: {_CODE}",
        "residual_scale": f"a multiplier of the residual stream differs: {_CODE}",
        "embedding_scale": f"a multiplier of the embedding differs: {_CODE}",
        "logit_scale": f"a multiplier of the logits differs: {_CODE}",
        "code": f"the same weights compute something else, as in another kernel: {_CODE}",
        "pooling": "the module that pools was declared or saved otherwise: compare "
        "1_Pooling/config.json, or the variant's pooling",
        "normalization": "modules.json lists no Normalize, or one too many: compare it with the "
        "base's",
        "bypassed": "the layer was left out: put it back, or train the student longer",
    }
)
"""By the name of the class."""


def explained(finding: Finding) -> Finding:
    """Say what usually causes a finding, where nothing better is known."""
    cause = CAUSES.get(finding.fault.partition("(")[0], "")
    if finding.likely or not cause:
        return finding
    return dataclasses.replace(finding, likely=f"likely {cause}")
