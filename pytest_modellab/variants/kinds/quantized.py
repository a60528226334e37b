"""Kind ``quantized``: the base variant with weights, or past keys and values, in fewer bits."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, check_options, count, resolve
from pytest_modellab.variants import images
from pytest_modellab.variants.methods import (
    checkpoint,
    gguf_file,
    kv_cache,
    onnx_int8,
    pieces_int8,
    quanto_weights,
    skipping,
)
from pytest_modellab.variants.methods.rtn import plan_rtn
from pytest_modellab.variants.plan import Plan

PLAIN = "name a base with plain weights"
"""What to do where the model of the base is quantized already."""


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a quantized variant.

    Args:
        spec: a model of its own that is quantized already, and no options; or option ``method``,
            and what that method takes: ``bits``, ``group_size`` and ``skip_modules``, and
            ``parts`` of a base that looks at images.
        base: the plan of the variant that is quantized; its adapters are merged first.
        model: the quantized checkpoint.
        root: the folder that relative paths start from.

    Returns:
        The base's plan, quantized: nothing else changes.

    Raises:
        ConfigError: a wrong option, or no base; the message begins with the option's name.
    """
    pieces = base.pieces if base is not None else {}
    if spec.model is not None:
        if pieces:
            raise ConfigError(
                f"model: {spec.base!r} is made of several; name them in a variant of kind reader"
            )
        return checkpoint.plan(spec, base, model, root)
    options = spec.options
    if options.get("method") == "gguf" and not pieces:
        skipping.names("gguf", options)
        if base is not None and base.media:
            raise _no_images(spec, "gguf")
        return gguf_file.plan(spec, base, root)
    if base is None:
        raise ConfigError("base: missing; name the variant that is quantized")
    if base.quantization:
        raise ConfigError(f"base: {spec.base!r} is quantized already")
    if base.pieces:
        return pieces_int8.plan(base, options, root)
    name = resolve({"method": Setting(str, choices=KNOWN)}, options, others=True)["method"]
    parts = _parts(spec, base, name)
    options = {**options, **parts}
    if name != "kv-cache":
        base = dataclasses.replace(base, plain=PLAIN)
    skipped = skipping.names(name, options)
    if name in PLANNERS:
        return PLANNERS[name](base, options)
    method = METHODS[name]
    check_options(options, _OF_METHODS)
    known = {"method", skipping.OPTION, skipping.PARTS, *method.options}
    for option in sorted({*options} - known):
        raise ConfigError(f"{option}: the method {name!r} does not take it")
    settings = {option: options.get(option, value) for option, value in method.options.items()}
    return dataclasses.replace(
        base.merged(),
        quantization={"method": name, **settings, **skipping.said(skipped), **parts},
        skipped=skipped,
        packages=(*base.packages, method.package),
        load_options=functools.partial(_load_options, method, base.dtype, settings),
        inference_mode=method.inference_mode,
    )


def _parts(spec: VariantSpec, base: Plan, method: str) -> dict[str, list[str]]:
    """Read which parts of a model with images are quantized: all, where none is named.

    Raises:
        ConfigError: the base has no such parts, or the method goes another way.
    """
    given = resolve({skipping.PARTS: skipping.PARTS_SETTING}, spec.options, others=True)
    if base.open is not None or not base.media:
        if given:
            raise ConfigError(
                f"{skipping.PARTS}: {spec.base!r} is no language model with images; leave it out, "
                "and name modules by 'skip_modules'"
            )
        return {}
    if method not in (*METHODS, "rtn"):
        raise _no_images(spec, method)
    named = given.get(skipping.PARTS, images.ROUNDED)
    return {skipping.PARTS: [part for part in images.ROUNDED if part in named]}


def _no_images(spec: VariantSpec, method: str) -> ConfigError:
    return ConfigError(
        f"method: {method!r} does not take a base that looks at images, as {spec.base!r} does; "
        f"take one of {', '.join((*METHODS, 'rtn'))}"
    )


@dataclasses.dataclass(frozen=True)
class Method:
    """What a library does to the weights while transformers loads them.

    Attributes:
        package: the library's distribution.
        config: dtype and options → transformers' ``quantization_config``; called when loading.
        options: names and defaults of what may be set.
        inference_mode: False where the library only allows ``torch.no_grad``.
    """

    package: str
    config: Callable[..., Any]
    options: Mapping[str, int] = dataclasses.field(default_factory=dict)
    inference_mode: bool = True


def _load_options(method: Method, dtype: str, settings: Mapping[str, int]) -> Mapping[str, Any]:
    return {"quantization_config": method.config(dtype, **settings)}


def _four_bits(code: str, dtype: str) -> Any:
    """4-bit floats in blocks of 64, ``nf4`` or ``fp4`` (Dettmers et al. 2023, QLoRA)."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=code,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )


def _eight_bits(_dtype: str) -> Any:
    """int8 weights and activations, outliers apart (Dettmers et al. 2022, LLM.int8())."""
    import logging

    from transformers import BitsAndBytesConfig

    # It says at every product that it computes in half precision.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    return BitsAndBytesConfig(load_in_8bit=True)


def _dynamic_int8(_dtype: str) -> Any:
    """int8 weights per channel, int8 activations with a scale for each token."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8DynamicActivationInt8WeightConfig())


def _int8(_dtype: str) -> Any:
    """int8 weights per channel."""
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


def _int4(_dtype: str, *, group_size: int) -> Any:
    """int4 weights, symmetric in groups along the input; a byte each, for any dtype and device.

    torchao's packed int4 needs CUDA and bfloat16.
    """
    import torch
    from torchao.quantization import IntxWeightOnlyConfig, PerGroup
    from transformers import TorchAoConfig

    return TorchAoConfig(IntxWeightOnlyConfig(torch.int4, PerGroup(group_size)))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "bitsandbytes-nf4": Method("bitsandbytes", functools.partial(_four_bits, "nf4")),
        "bitsandbytes-fp4": Method("bitsandbytes", functools.partial(_four_bits, "fp4")),
        "bitsandbytes-int8": Method("bitsandbytes", _eight_bits),
        "torchao-int8": Method("torchao", _dynamic_int8),
        "torchao-int8-weight-only": Method("torchao", _int8),
        "torchao-int4-weight-only": Method("torchao", _int4, {"group_size": 32}),
        "quanto-int8": Method("optimum-quanto", functools.partial(quanto_weights.config, "int8")),
        "quanto-int4": Method(
            "optimum-quanto", functools.partial(quanto_weights.config, "int4"), inference_mode=False
        ),
    }
)
"""The methods that are a library's, applied by transformers while it loads the base."""


PLANNERS: Mapping[str, Callable[[Plan, Mapping[str, Any]], Plan]] = MappingProxyType(
    {"kv-cache": kv_cache.plan, "onnxruntime-int8": onnx_int8.plan, "rtn": plan_rtn}
)
"""The methods that go another way: a plain base's plan and the options → the plan."""


KNOWN = (*METHODS, *PLANNERS, "gguf")


_OF_METHODS: Mapping[str, Setting] = MappingProxyType(
    {
        "method": Setting(str, OPTIONAL),
        "bits": Setting(int, OPTIONAL),
        "group_size": count(),
        skipping.OPTION: skipping.SETTING,
        skipping.PARTS: skipping.PARTS_SETTING,
    }
)


OPTIONS: Mapping[str, Setting] = MappingProxyType(
    {
        **{
            key: dataclasses.replace(one, default=OPTIONAL) for key, one in kv_cache.OPTIONS.items()
        },
        **_OF_METHODS,
        skipping.PARTS: pieces_int8.OPTIONS["parts"],
        "method": Setting(str, OPTIONAL, choices=KNOWN),
        "file": dataclasses.replace(gguf_file.OPTIONS["file"], default=OPTIONAL),
        "calibration": pieces_int8.OPTIONS["calibration"],
    }
)
"""The options of all methods; each of them takes its own."""
