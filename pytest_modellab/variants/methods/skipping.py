"""Options ``skip_modules`` and ``parts`` of the kind ``quantized``: what stays as it is."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.loading import quiet, reading
from pytest_modellab.engines.vision.parts import NAMES, find, part_of
from pytest_modellab.engines.vision.parts import paths as below
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.records.setting import OPTIONAL, Setting, resolve

OPTION = "skip_modules"

SETTING = Setting(list, OPTIONAL)

PARTS = "parts"
"""The option that names the parts of a model with images whose weights are quantized."""

PARTS_SETTING = Setting(
    list,
    OPTIONAL,
    check=lambda value: bool(value) and {*value} <= {*NAMES},
    wrong="{value!r}: expected one or more of " + ", ".join(map(repr, NAMES)),
)

_CANNOT: Mapping[str, str] = MappingProxyType(
    {
        "gguf": "the file holds the weights as somebody has rounded them; llama.cpp's "
        "llama-quantize keeps tensors as they are by --tensor-type",
        "kv-cache": "it leaves all weights as they are",
        "onnxruntime-int8": "a graph's products have no modules' names",
    }
)
"""Methods that leave nothing out → why, and what does."""

_ATTRIBUTES = ("llm_int8_skip_modules", "modules_to_not_convert")
"""What transformers' configurations call it: of bitsandbytes, of the others."""

_SHOWN = 3


def names(method: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the option.

    Args:
        method: of quantization.
        options: of the variant.

    Returns:
        The names, each once, in order; empty where none is given.

    Raises:
        ConfigError: it is no list of names, or the method leaves nothing out; the message begins
            with the option.
    """
    if OPTION in options and method in _CANNOT:
        raise ConfigError(f"{OPTION}: the method {method!r} does not take it: {_CANNOT[method]}")
    found = resolve({OPTION: SETTING}, options, others=True)
    return tuple(sorted(set(found.get(OPTION, ()))))


def taken(settings: Mapping[str, Any]) -> bool:
    """Whether a variant may name modules.

    Args:
        settings: ``quantization`` of its plan.
    """
    return "method" in settings and settings["method"] not in _CANNOT


def said(found: Sequence[str]) -> dict[str, list[str]]:
    """Return what a variant's settings say of it: nothing where no name is given."""
    return {OPTION: list(found)} if found else {}


def linear(model: Any) -> Iterator[tuple[str, Any]]:
    """Go through what methods of quantization round: linear modules but the output head.

    Args:
        model: a transformers model, on the meta device or with its weights.

    Yields:
        Path and module.
    """
    import torch
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    for path, module in model.named_modules():
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head:
            yield path, module


def paths(model: Any, wanted: Sequence[str]) -> tuple[str, ...]:
    """Find the modules that names stand for.

    Args:
        model: see :func:`linear`.
        wanted: paths of modules, or as much of their ends as only one has: ``3.mlp.down_proj``. Of
            a module that holds others, all of them are meant.

    Returns:
        Paths of linear modules.

    Raises:
        VariantLoadError: a name stands for no module, for several, or for none that is rounded.
    """
    known = [path for path, _ in model.named_modules() if path]
    rounded = [path for path, _ in linear(model)]
    found: dict[str, None] = {}
    for name in wanted:
        path = _path(name, known)
        below = [one for one in rounded if one == path or one.startswith(f"{path}.")]
        if not below:
            raise VariantLoadError(
                f"{OPTION}: {name!r} holds no weights that are quantized; leave it out of the list"
            )
        found.update(dict.fromkeys(below))
    return tuple(sorted(found))


def _path(name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    ends = [path for path in known if path.endswith(f".{name}")]
    if len(ends) == 1:
        return ends[0]
    if ends:
        raise VariantLoadError(
            f"{OPTION}: {name!r} may be any of {len(ends)} modules "
            f"({', '.join(ends[:_SHOWN])}{' …' if len(ends) > _SHOWN else ''}); write the whole "
            "path"
        )
    close = difflib.get_close_matches(name, known, n=_SHOWN)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    raise VariantLoadError(
        f"{OPTION}: {name!r} is no module of this model; {hint}A name is a path, such as "
        f"{known[-1]!r}"
    )


def outside(model: Any, parts: Sequence[str]) -> tuple[str, ...]:
    """Return the paths of the linear modules that belong to none of some parts.

    Args:
        model: see :func:`linear`.
        parts: names of :data:`~pytest_modellab.engines.vision.parts.NAMES`; empty for all.

    Raises:
        VariantLoadError: the model has no such part.
    """
    if not parts:
        return ()
    found = find(model)
    for part in parts:
        below(model, part, found)
    return tuple(path for path, _ in linear(model) if part_of(path, found) not in parts)


def leave_out(
    config: Any,
    wanted: Sequence[str],
    folder: Path,
    *,
    parts: Sequence[str] = (),
    trust_remote_code: bool,
) -> None:
    """Tell a configuration of transformers what not to round, and the output head beside it.

    Where names are given, transformers no longer adds the head by itself.

    Args:
        config: the ``quantization_config``; changed in place.
        wanted: see :func:`paths`.
        folder: the model's, of which only the configuration is read.
        parts: of a model with images: those that are rounded; empty for any other model.
        trust_remote_code: whether the model's own code may run.

    Raises:
        ModelError: the folder's configuration cannot be read.
        VariantLoadError: see :func:`paths`.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    auto = AutoModelForImageTextToText if parts else AutoModelForCausalLM
    with quiet(), reading(folder, "transformers cannot read its configuration"):
        read = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        with torch.device("meta"):
            model = auto.from_config(read, trust_remote_code=trust_remote_code)
    kept = {*paths(model, wanted), *outside(model, parts), *_kept_by_itself(model)}
    attribute = next(one for one in _ATTRIBUTES if hasattr(config, one))
    setattr(config, attribute, sorted(kept))


def _kept_by_itself(model: Any) -> Iterator[str]:
    """What transformers keeps where nobody names anything: the head, and what comes last."""
    head = model.get_output_embeddings()
    yield from (path for path, module in model.named_modules() if module is head)
    *_, (last, _) = model.named_parameters()
    yield last.rpartition(".")[0]
