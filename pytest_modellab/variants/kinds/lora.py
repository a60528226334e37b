"""Kinds ``lora`` and ``qlora``: the base with a PEFT adapter; the latter on a 4-bit base."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import check_options
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps.adapter import OPTIONS, adapted


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a variant with an adapter (Hu et al. 2021, LoRA; Dettmers et al. 2023, QLoRA).

    Args:
        spec: options ``adapter`` (a folder), ``scale`` and, for ``lora``, ``merge``.
        base: the plan of the variant that is adapted; for ``qlora`` a quantized one.
        model: not used.
        root: the folder that relative paths start from.

    Returns:
        The base's plan with the adapter: nothing else changes.

    Raises:
        ConfigError: a wrong option, or no base; the message begins with the option's name.
    """
    if base is None:
        raise ConfigError("base: missing; name the variant that the adapter was trained on")
    check_base(spec, base)
    known = dict(OPTIONS)
    if spec.kind == "qlora":
        del known["merge"]
    check_options(spec.options, known)
    return adapted(base, spec, root)


def check_base(spec: VariantSpec, base: Plan) -> None:
    """Check that the kind says whether its base is quantized; other kinds are left alone.

    Raises:
        ConfigError: it does not; the message begins with ``base``.
    """
    quantized = bool(base.quantization)
    if spec.kind == "qlora" and not quantized:
        raise ConfigError(f"base: {spec.base!r} is not quantized; then the kind is 'lora'")
    if spec.kind == "lora" and quantized:
        raise ConfigError(f"base: {spec.base!r} is quantized; then the kind is 'qlora'")
