"""What transformers leaves out of a GGUF file when it converts it, without a word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models import weights

_BLOCK = re.compile(r"blk\.(\d+)\.(?!nextn)")
_FREQUENCIES = "rope_freqs.weight"
_FACTORS = ("rope_factors_long.weight", "rope_factors_short.weight")


def take_frequencies(model: Any, tensors: Mapping[str, Any]) -> None:
    """Give a model's configuration the factors of its rotary frequencies, as Llama 3.1 has them.

    llama.cpp divides each frequency by its factor; LongRoPE with the same factors for any length
    and no scaled attention does just that.

    Args:
        model: as transformers converted it.
        tensors: name → tensor of the file; the factors are taken out where they were understood.
    """
    rope = getattr(model.config, "rope_parameters", None) or {}
    if _FREQUENCIES not in tensors or rope.get("rope_type") != "default":
        return
    factors = [float(factor) for factor in tensors[_FREQUENCIES].data]
    if set(factors) == {1.0}:
        return
    model.config.rope_parameters = {
        **rope,
        "rope_type": "longrope",
        "short_factor": factors,
        "long_factor": factors,
        "attention_factor": 1.0,
        "original_max_position_embeddings": model.config.max_position_embeddings,
    }


def check(where: str, model: Any, tensors: Mapping[str, Any], architecture: str) -> None:
    """Refuse a file of which a layer, a bias or a rotary factor was left out.

    Args:
        where: the file, for the message.
        model: as transformers converted it, after :func:`take_frequencies`.
        tensors: name → tensor of the file.
        architecture: as the file names it.

    Raises:
        ModelError: the message names the tensors.
    """
    import gguf

    config = model.config.get_text_config()
    layers = config.num_hidden_layers
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type")
    known = next((key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), None)
    asked = set()
    if known is not None:
        names = gguf.get_tensor_name_map(known, layers)
        for own in model.state_dict():
            place, _, kind = own.rpartition(".")
            asked.add(f"{names.get_name(place)}.{kind}")

    def left_out(name: str) -> bool:
        block = _BLOCK.match(name)
        place, _, kind = name.rpartition(".")
        return (
            (block is not None and int(block[1]) >= layers)
            or (kind == "bias" and f"{place}.weight" in asked and name not in asked)
            or (name in (_FREQUENCIES, *_FACTORS) and rope != "longrope")
        )

    if left := [name for name in tensors if left_out(name)]:
        raise ModelError(
            f"{where}: transformers would leave out what {type(model).__name__} has no place for: "
            f"{weights.listed(left)}. Declare the folder that the file was converted from"
        )
