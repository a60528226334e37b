"""Up to which length texts may lie in one row, and see by a mask what is theirs."""

from __future__ import annotations

import math
from typing import Any

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
