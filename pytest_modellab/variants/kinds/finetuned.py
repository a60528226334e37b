"""Kind ``finetuned``: a full checkpoint that was trained from the base."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import check_options
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps.weights import trained


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a variant with weights of its own.

    Args:
        spec: no options.
        base: the plan of the variant that was trained further.
        model: the checkpoint.
        root: the folder that relative paths start from.

    Returns:
        The base's plan with the checkpoint's weights.

    Raises:
        ConfigError: no base or no model; the message begins with the option's name.
    """
    check_options(spec.options, {})
    return trained(spec, base, model, root)
