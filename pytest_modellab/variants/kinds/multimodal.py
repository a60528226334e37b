"""Kind ``multimodal``: a language model that looks at images, behind a prompt file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, resolve
from pytest_modellab.variants import images
from pytest_modellab.variants.kinds import prompted
from pytest_modellab.variants.plan import Plan

_PROCESSOR = {"processor": images.OPTION}

OPTIONS = {
    **prompted.OPTIONS,
    "prompt": dataclasses.replace(prompted.OPTIONS["prompt"], default=OPTIONAL),
    **_PROCESSOR,
}
"""What its variants may have; with a base ``prompt`` may be left out."""


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a variant that looks at images.

    Args:
        spec: the options of :mod:`.prompted`, and ``processor``: fields of the image processor that
            are set otherwise (``image_mean``, ``image_std``, ``size``, ``resample`` …). With a base
            ``prompt`` may be left out, too.
        base: the plan of the variant of which something is changed, or None.
        model: the model, where there is no base.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option, or a base that takes no images; the message begins with the
            option's name.
    """
    if base is not None and (base.open is not None or not base.media):
        does = f"{base.engine} runs it" if base.open is not None else "it reads text alone"
        raise ConfigError(
            f"base: {spec.base!r} cannot be one of this kind: {does}; name a variant of kind "
            '"multimodal", or a model'
        )
    changed = resolve(_PROCESSOR, spec.options, others=True).get("processor", {})
    asked = {key: value for key, value in spec.options.items() if key not in _PROCESSOR}
    if base is not None and not asked:
        made = base
    elif base is not None and "prompt" not in asked:
        raise ConfigError(
            f"prompt: missing; {', '.join(map(repr, asked))} goes with a prompt: name the base's "
            "Jinja file, or another"
        )
    else:
        made = prompted.plan(dataclasses.replace(spec, options=asked), base, model, root)
    if base is None:
        made = dataclasses.replace(
            made,
            media=images.MEDIA,
            preprocessing=images.preprocessing,
            parts=images.PARTS,
            consists=images.consists,
            packages=(*made.packages, *images.PACKAGES),
        )
    return dataclasses.replace(made, processor={**made.processor, **changed}).on(made.device)
