"""Kind ``finetuned``: a full checkpoint that was trained from the base."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import check_options
from pytest_modellab.variants.plan import Plan


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a variant with weights of its own.

    Args:
        spec: no options.
        base: the plan of the variant that was trained further.
        model: the checkpoint.
        root: not used.

    Returns:
        The base's plan with the checkpoint's weights.

    Raises:
        ConfigError: no base or no model; the message begins with the option's name.
    """
    check_options(spec.options, {})
    return own_weights(spec, base, model)


def own_weights(spec: VariantSpec, base: Plan | None, model: ModelSource) -> Plan:
    """Replace a base's weights by a checkpoint, keeping prompt, dtype and device.

    Raises:
        ConfigError: no base or no model; the message begins with the option's name.
    """
    if base is None:
        raise ConfigError("base: missing; name the variant that it is compared with")
    if spec.model is None:
        raise ConfigError("model: missing; name the checkpoint, declared in [models]")
    return Plan(
        model=model,
        prompt=base.prompt,
        paraphrases=base.paraphrases,
        dtype=base.dtype,
        device=base.device,
        thinking=base.thinking,
        grounding=base.grounding,
    )
