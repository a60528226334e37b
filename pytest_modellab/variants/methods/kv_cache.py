"""Method ``kv-cache`` of the kind ``quantized``: past keys and values are held in fewer bits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.records.setting import Setting, count, resolve
from pytest_modellab.variants.methods import quanto_weights
from pytest_modellab.variants.plan import Plan


@dataclasses.dataclass(frozen=True)
class Backend:
    """A library that quantizes a cache.

    Attributes:
        package: its distribution.
        bits: the widths that it has.
        axis: what it calls the way in which a group's values lie side by side.
    """

    package: str
    bits: tuple[int, ...]
    axis: int


BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "hqq": Backend("hqq", (1, 2, 3, 4, 8), axis=1),
        "quanto": Backend("optimum-quanto", (2, 4), axis=0),
    }
)


OPTIONS = {
    "method": Setting(str),
    "backend": Setting(str, "quanto", choices=BACKENDS),
    "bits": Setting(int, 4),
    "group_size": count(64),
    "residual_length": count(128),
}


def plan(base: Plan, options: Mapping[str, Any]) -> Plan:
    """Plan a variant whose key-value cache is quantized (Liu et al. 2024, KIVI).

    Args:
        base: the plan of the variant whose cache is quantized; its weights stay.
        options: ``backend`` (``quanto`` or ``hqq``), ``bits``, ``group_size`` (values that share a
            scale; it divides a head's size), ``residual_length`` (so many of the newest tokens of a
            reply are kept as they are).

    Returns:
        The base's plan with the cache.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    found = resolve(OPTIONS, options)
    name, bits = found["backend"], found["bits"]
    backend = BACKENDS[name]
    if bits not in backend.bits:
        known = ", ".join(map(str, backend.bits))
        raise ConfigError(f"bits: {bits} is none that {name!r} has: {known}")
    settings = {key: found[key] for key in ("bits", "group_size", "residual_length")}
    make = functools.partial(new_cache, name, **settings)
    return dataclasses.replace(
        base,
        quantization=found,
        packages=(*base.packages, backend.package),
        load_options=functools.partial(dict, cache=make),
        inference_mode=False,
    )


def new_cache(
    backend: str, config: Any, *, bits: int, group_size: int, residual_length: int
) -> Any:
    """Make an empty cache, whose first tokens are quantized all at once.

    Args:
        backend: a key of :data:`BACKENDS`.
        config: the model's.
        bits: of a value.
        group_size: values that share a scale.
        residual_length: so many tokens are collected before they are quantized.

    Returns:
        The cache.

    Raises:
        VariantLoadError: a group would reach over a token's head, so that an answer would depend
            on the length of its batch.
    """
    from transformers import QuantizedCache

    text = config.get_text_config()
    size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    if size % group_size:
        raise VariantLoadError(
            f"group_size: {group_size} does not divide the model's head size, {size}; "
            "take one that does"
        )
    if backend == "quanto":
        quanto_weights.unpack_in_python()
    axis = BACKENDS[backend].axis
    return QuantizedCache(
        backend,
        config,
        nbits=bits,
        axis_key=axis,
        axis_value=axis,
        q_group_size=group_size,
        residual_length=residual_length,
    )
