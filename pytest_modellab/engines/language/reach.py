"""Up to which length texts may lie in one row, and by which mask they see what is theirs."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from pytest_modellab.engines.language.attention import (
    FLEX,
    FULL,
    Blocks,
    Dense,
    Masks,
    Windows,
)
from pytest_modellab.engines.language.packing import Packed, pack
from pytest_modellab.engines.language.transfer import to_device
from pytest_modellab.engines.language.trial import REFUSALS, in_rows
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.store import said
from pytest_modellab.visible import line

_OWN_MASKS = ("bloom", "gpt_neo", "mpt", "rwkv")
"""Models that count a row's tokens by themselves, or have a state that is in no cache."""


def reach(config: Any) -> float:
    """Return how long a text may be that lies in one row with others.

    Layers with a sliding window see by our mask what they would not see by their own, and layers
    with a state, as Mamba's, see the whole row whatever a mask says.

    Args:
        config: the model's, by which transformers makes its cache.

    Returns:
        Tokens; 0 where each text must be computed alone, infinity where there is no limit.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import LinearAttentionCacheLayerMixin

    text = config.get_text_config()
    layers = DynamicCache(config=config).layers
    if (
        text.model_type in _OWN_MASKS
        or getattr(text, "alibi", False)
        or any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in layers)
    ):
        return 0
    return min(
        (layer.sliding_window for layer in layers if getattr(layer, "is_sliding", False)),
        default=math.inf,
    )


def together(model: Any, compute: Callable[[Packed, Any], Any]) -> bool:
    """Return whether texts may lie in one row; what costs a run its speed is said.

    Args:
        model: of transformers.
        compute: see :func:`.trial.in_rows`.
    """
    if not placed(model):
        why = "it cannot be told where a token stands"
    elif not in_rows(model, compute):
        why = "in one row with others it computes something else"
    else:
        return True
    _say_once(f"{type(model).__name__}: every text is computed alone, which is slower, since {why}")
    return False


def placed(model: Any) -> bool:
    """Return whether a model can be told where its tokens stand, or does not say that it cannot.

    Args:
        model: of transformers, or around one.
    """
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    given = inspect.signature(bare.forward).parameters
    anything = inspect.Parameter.VAR_POSITIONAL
    return "position_ids" in given or any(one.kind is anything for one in given.values())


def windows(config: Any) -> Windows | None:
    """Return how far each kind of a model's layers sees, or None where a mask cannot say it.

    Args:
        config: the model's, which has layers with a sliding window.
    """
    from transformers import DynamicCache

    layers = DynamicCache(config=config).layers
    sizes = {layer.sliding_window for layer in layers if getattr(layer, "is_sliding", False)}
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if len(sizes) != 1 or not kinds <= {"full_attention", "sliding_attention"}:
        return None  # pieces of a text, as in Llama 4, or windows of several sizes
    if all(getattr(layer, "is_sliding", False) for layer in layers):
        return {"": sizes.pop()}
    return {"full_attention": None, "sliding_attention": sizes.pop()} if kinds else None


def takes(model: Any, masks: Masks, sight: Windows) -> bool:
    """Return whether a model computes with such masks.

    Raises:
        Exception: torch's, where memory runs out.
    """
    return not _refusal(model, masks, sight)


def choose(model: Any, asked: str | None) -> Masks:
    """Choose the form of mask for rows of several texts.

    Args:
        model: of transformers, loaded.
        asked: the attention that was asked for, or None for the best of the device.

    Raises:
        VariantLoadError: flex_attention was asked for, and the model cannot compute by it.
    """
    dense = Dense(model.device, model.dtype)
    if asked in ("sdpa", "eager") or (asked != FLEX and not _on_gpu(model)):
        return dense
    blocks = Blocks(model.device)
    if not getattr(model, "_supports_flex_attn", False):
        why = f"transformers' {type(model).__name__} has no such attention"
    else:
        # of two lengths: by the second it is compiled for all, before anything is timed
        why = _refusal(model, blocks, FULL) or _refusal(model, blocks, FULL, texts=20)
    if not why:
        return blocks
    if asked == FLEX:
        raise VariantLoadError(
            f'attention: {FLEX!r} is not there ({why}): set "sdpa" or "eager", or leave '
            "attention out for the best that is there"
        )
    _say_once(
        f"texts in one row are computed with a dense mask, in smaller batches, since {FLEX} fails: "
        f"{why}"
    )
    return dense


def _on_gpu(model: Any) -> bool:
    return bool(model.device.type == "cuda")


@functools.cache
def _say_once(text: str) -> None:
    said.say(text)


def _refusal(model: Any, masks: Masks, sight: Windows, texts: int = 2) -> str:
    """Return why a model cannot compute a row with masks of this form; empty where it can.

    Args:
        model: of transformers, loaded.
        masks: the form.
        sight: how far layers see.
        texts: how many of 14 tokens lie in the row.

    Raises:
        Exception: torch's, where memory runs out.
    """
    import torch

    row = pack([([0] * 8, [[0] * 4] * 2)] * texts)
    layout = row.layout.padded(masks.length(len(row.ids)))
    ids = torch.zeros(1, len(layout), dtype=torch.long, device=model.device)
    try:
        with masks.used_by(model):
            model(
                input_ids=ids,
                position_ids=to_device(layout.positions[None], model.device),
                attention_mask=masks.of(layout, sight),
                use_cache=False,
                logits_to_keep=1,
            )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except REFUSALS as error:
        return line(str(error).partition("\n")[0]) or type(error).__name__
    return ""
