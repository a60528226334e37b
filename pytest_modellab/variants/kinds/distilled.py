"""Kind ``distilled``: a smaller student of the base."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, check_options
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps import layers
from pytest_modellab.variants.steps.adapter import OPTIONS as OF_ADAPTER
from pytest_modellab.variants.steps.adapter import adapted
from pytest_modellab.variants.steps.weights import trained

OPTIONS = {"layers": Setting(list, OPTIONAL, items=object), **OF_ADAPTER}


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a student.

    Args:
        spec: a model of its own, of any architecture, and no options; or option ``layers``, the
            base's decoder layers that the student keeps, with ``adapter`` (a folder), ``merge``
            and ``scale`` where an adapter heals the cut.
        base: the plan of the teacher.
        model: the student's checkpoint.
        root: the folder that relative paths start from.

    Returns:
        The student's plan, under the teacher's prompt.

    Raises:
        ConfigError: a wrong option, or no base; the message begins with the option's name.
    """
    check_options(spec.options, OPTIONS)
    if spec.model is not None:
        for option in spec.options:
            raise ConfigError(f"{option}: belongs to a student without a model of its own")
        return trained(spec, base, model, root)
    if base is None:
        raise ConfigError("base: missing; name the teacher")
    if base.quantization:
        raise ConfigError(f"base: {spec.base!r} is quantized; quantize the student instead")
    if "layers" not in spec.options:
        raise ConfigError("layers: missing; name the base's layers to keep, or a 'model'")
    for option in ("merge", "scale"):
        if option in spec.options and "adapter" not in spec.options:
            raise ConfigError(f"{option}: needs 'adapter', the folder of a PEFT adapter")
    student = base.with_step(layers.step(spec.options["layers"]))
    return adapted(student, spec, root) if "adapter" in spec.options else student
