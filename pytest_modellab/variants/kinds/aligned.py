"""Kind ``aligned``: the base after preference optimization, as an adapter or a checkpoint."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import check_options
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps.adapter import OPTIONS, adapted
from pytest_modellab.variants.steps.weights import trained


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan an aligned variant.

    Args:
        spec: a model of its own and no options, or ``adapter`` (a folder), ``merge`` and ``scale``.
        base: the plan of the variant that was aligned.
        model: the aligned checkpoint.
        root: the folder that relative paths start from.

    Returns:
        The base's plan with the adapter, or with the checkpoint's weights.

    Raises:
        ConfigError: a wrong option, or no base; the message begins with the option's name.
    """
    check_options(spec.options, OPTIONS)
    if spec.model is not None:
        for option in spec.options:
            raise ConfigError(f"{option}: belongs to a variant without a model of its own")
        return trained(spec, base, model, root)
    if base is None:
        raise ConfigError("base: missing; name the variant that was aligned")
    return adapted(base, spec, root)
