"""Method ``gguf`` of the kind ``quantized``: a GGUF file, run by llama.cpp, beside its base."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import gguf_model
from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import Setting, resolve
from pytest_modellab.variants.plan import Plan

OPTIONS = {
    "method": Setting(str),
    "file": Setting(
        str,
        check=lambda name: name.endswith(".gguf"),
        wrong="{value!r} is no .gguf file",
        missing="name a .gguf file, or package:NAME/FILE.gguf",
        path=True,
    ),
}


def plan(spec: VariantSpec, base: Plan | None, root: Path) -> Plan:
    """Plan a variant whose weights are a GGUF file.

    Args:
        spec: option ``file``: a path, or ``package:NAME/FILE``.
        base: the plan of the variant that the file was made from: prompts and tokenizer are its.
        root: the folder that a relative path starts from.

    Returns:
        The base's plan, with the file in place of its weights.

    Raises:
        ConfigError: a wrong option, no such file, or a base with changes that no file gets; the
            message begins with the option's name.
    """
    if base is None:
        raise ConfigError("base: missing; name the variant that the file was made from")
    name = resolve(OPTIONS, spec.options)["file"]
    if base.quantization:
        raise ConfigError(f"base: {spec.base!r} is quantized already")
    changes = [step.name for step in (*base.baked, *base.steps)]
    if changes:
        raise ConfigError(
            f"base: {spec.base!r} changes its model ({', '.join(changes)}), but a GGUF file holds "
            "its own weights: save the merged model, declare it in [models], convert it to GGUF, "
            "and name a base that runs it"
        )
    file = _find(spec, name, root)
    return dataclasses.replace(
        base,
        dtype="float32",  # of activations; llama.cpp has no other on a CPU
        device="cpu",
        kernels="",
        attention="",
        quantization={"method": "gguf", "file": file.path.name, "sha256": file.weights},
        packages=(*base.packages, "gguf", "xllamacpp"),
        engine=f"llama.cpp-{gguf_model.VERSION}",
        open=functools.partial(_open, file.path),
        weights=file.path,
    )


def _find(spec: VariantSpec, name: str, root: Path) -> ModelFiles:
    path = root / Path(name).expanduser()
    if not name.startswith("package:") and not path.is_file():
        raise ConfigError(f"file: no such file: {path}")
    try:
        return locate.locate(ModelSource(spec.name, name), root)
    except ModelError as error:
        raise ConfigError(f"file: {error}") from error


def _open(file: Path, plan: Plan, folder: Path, _cache: Path) -> Engine:
    return gguf_model.load(file, folder, trust_remote_code=plan.model.trust_remote_code)
