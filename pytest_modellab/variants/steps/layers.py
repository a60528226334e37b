"""A shallower model: the base with some of its decoder layers left out."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.variants.plan import Step

PER_LAYER = ("layer_types", "no_rope_layers")
"""Settings of a model that hold a value for each layer."""


def step(layers: Sequence[Any]) -> Step:
    """Make the step that keeps the given decoder layers.

    Args:
        layers: their numbers in the base, from 0, ascending.

    Returns:
        The step.

    Raises:
        ConfigError: they are no ascending numbers; the message begins with ``layers``.
    """
    numbers = [layer for layer in layers if type(layer) is int and layer >= 0]
    if len(numbers) != len(layers) or not numbers or numbers != sorted(set(numbers)):
        raise ConfigError(
            f"layers: {list(layers)!r}: expected the numbers of the base's layers to keep, from 0, "
            "ascending, each once"
        )
    return Step("layers", {"kept": numbers}, functools.partial(keep_layers, layers=numbers))


def keep_layers(model: Any, layers: Sequence[int]) -> Any:
    """Drop all decoder layers but the given ones, in place.

    Which layers of a language model can be left out with least harm: Gromov et al. 2024, "The
    Unreasonable Ineffectiveness of the Deeper Layers".

    Args:
        model: a transformers causal language model.
        layers: numbers of the layers to keep, from 0, ascending.

    Returns:
        The model, ``len(layers)`` layers deep.

    Raises:
        VariantLoadError: it has no such layer, or none that can be told apart.
    """
    from torch.nn import ModuleList

    decoder, config = model.get_decoder(), model.config.get_text_config()  # of a part, of Gemma 3
    if not hasattr(decoder, "layers"):
        raise VariantLoadError(
            f"layers: {type(decoder).__name__} holds no list named 'layers'; use another base"
        )
    depth = len(decoder.layers)
    if layers[-1] >= depth:
        raise VariantLoadError(
            f"layers: {layers[-1]} is none of the base's {depth} layers (0 to {depth - 1})"
        )
    decoder.layers = ModuleList(decoder.layers[number] for number in layers)
    for number, layer in enumerate(decoder.layers):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = number  # its place in the key-value cache
    config.num_hidden_layers = len(layers)
    for name in PER_LAYER:
        if values := getattr(config, name, None):
            setattr(config, name, [values[number] for number in layers])
    return model
