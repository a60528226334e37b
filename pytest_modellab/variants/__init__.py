"""Variant kinds, one file each: declaration → plan, without loading anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from pytest_modellab.errors import ConfigError
from pytest_modellab.records import ModelSource, VariantSpec
from pytest_modellab.variants import prompted, quantized
from pytest_modellab.variants.plan import Plan

KINDS: Mapping[str, Callable[[VariantSpec, Plan | ModelSource, Path], Plan]] = MappingProxyType(
    {"prompted": prompted.plan, "quantized": quantized.plan}
)


def make_plan(spec: VariantSpec, base: Plan | ModelSource, config: Path) -> Plan:
    """Plan one variant on its base.

    Args:
        spec: as declared.
        base: the base variant's plan, or the model that a variant without a base starts from.
        config: path of the ``modellab.toml``, for messages and relative paths.

    Returns:
        All that is needed to fingerprint and to load the variant.

    Raises:
        ConfigError: an option of the kind is wrong; the message names file, key and value.
    """
    try:
        return KINDS[spec.kind](spec, base, config.parent)
    except ConfigError as error:
        raise ConfigError(f"{config}: variants.{spec.name}.{error}") from error
