"""Weights of its own in the place of the base's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.variants import images
from pytest_modellab.variants.plan import Plan, Training

QUANTIZED = 'declare it by kind = "quantized", with this model, and the plain variant as base'
"""What to do with a quantized checkpoint that is declared as a plain one."""


def own_weights(spec: VariantSpec, base: Plan | None, model: ModelSource) -> Plan:
    """Replace a base's weights by a checkpoint, keeping prompt and all that says how it runs.

    Raises:
        ConfigError: no base or no model; the message begins with the option's name.
    """
    if base is None:
        raise ConfigError("base: missing; name the variant that it is compared with")
    if spec.model is None:
        raise ConfigError("model: missing; name the checkpoint, declared in [models]")
    made = Plan(
        model=model,
        prompt=base.prompt,
        paraphrases=base.paraphrases,
        dtype=base.dtype,
        kernels=base.kernels,
        attention=base.attention,
        thinking=base.thinking,
        grounding=base.grounding,
        plain=QUANTIZED,
        training=base.training,
    )
    if base.media and base.open is None:
        made = dataclasses.replace(
            made,
            media=base.media,
            processor=base.processor,
            preprocessing=base.preprocessing,
            parts=base.parts,
            consists=base.consists,
            packages=(*made.packages, *images.PACKAGES),
        )
    return made.on(base.device)


def trained(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Replace a base's weights by a checkpoint that was trained from them.

    Args:
        spec: the variant.
        base: the plan of what was trained further.
        model: the checkpoint.
        root: the folder that relative paths start from.

    Raises:
        ConfigError: as :func:`own_weights`.
    """
    made = own_weights(spec, base, model)
    training = Training(spec.name, made.prompt, spec.recipe, None, root)
    return dataclasses.replace(made, training=training)
