"""Whether an adapter stands on the base that it was trained on, told without loading anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import VariantLoadError
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records import reading
from pytest_modellab.store import checkout, said

PROVENANCE = "provenance.json"

_HUB = re.compile(r"([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*)")
_LOCAL = re.compile(
    r"(?:check)?points?|content|data|exp(?:eriment)?s?|home|mnt|models?|out(?:put)?s?|results?|runs?"
    r"|saves?|tmp|train(?:ing|ed)?|weights|work(?:space|dir)?",
    re.IGNORECASE,
)
"""First folders of relative paths that would look like a hub id's owner."""

_CACHED = re.compile(r"models--[^/]+?--([^/]+)")
"""A model's folder in the hub's cache."""

_SIZED = re.compile(r"(?:^|[-_.])\d+(?:\.\d+)?[bm](?:[-_.]|$)", re.IGNORECASE)
"""A number of parameters: what tells a model's name from a folder of any name."""

_FORM = re.compile(
    r"^(?:meta|unsloth)[-_]|[-_.](?:i?q\d+(?:_\w+)*|\d+bit|int\d+|nf4|[bf]p?\d+|awq|bnb|gguf|gptq"
    r"|hf)(?=[-_.]|$)"
)
"""Parts of a name that say how weights are kept, or by whom, and not which they are."""


def check(folder: Path, config: Mapping[str, Any], expected: list[Any], files: ModelFiles) -> None:
    """Refuse an adapter that was trained on another base; note one that may have been.

    ``provenance.json`` is proof. Without one, the name in the adapter's configuration is compared
    with the base's, and tensors when it is loaded.

    Args:
        folder: the adapter's.
        config: its ``adapter_config.json``.
        expected: what changes the model before the adapter does.
        files: the base model's.

    Raises:
        VariantLoadError: the provenance names another base, or cannot be read.
    """
    path = folder / PROVENANCE
    try:
        data = json.loads(checkout.read(path))
        base = reading.table(reading.table(data, "", "base")["base"], "base", "weights")
        weights = reading.checked(str, base["weights"], "base.weights")
        found = base.get("steps", [])
    except FileNotFoundError:
        name = config.get("base_model_name_or_path")
        if not expected and isinstance(name, str) and is_another(name, files):
            said.say(
                f"the adapter {folder} was trained on {name!r}, by its adapter_config.json, and is "
                f"put on {files.source.source!r}; whether that is the same model is not known. "
                f'Where it is, call it [models."{_model(name)}"]; else declare the model that it '
                "was trained on as the base"
            )
        return
    except (OSError, ValueError, RecursionError) as error:
        raise VariantLoadError(
            f"{path}: cannot be read, so the base of the adapter is not known: {error}; restore "
            "it, or build the adapter again"
        ) from error
    mend = "declare the base that it was trained on, or build it again"
    if weights != files.weights:
        raise VariantLoadError(
            f"the adapter {folder} was trained on a base with weights {weights[:16]}…, but this "
            f"variant's base is {files.source.source!r} with weights {files.weights[:16]}…; {mend}"
        )
    if found != expected:
        raise VariantLoadError(
            f"the adapter {folder} was trained on {_named(found)}, but this variant's base is "
            f"{_named(expected)}; {mend}"
        )


def _named(steps: list[Any]) -> str:
    if not steps:
        return "the plain model"
    return "the model with " + ", ".join(f"{name} {settings}" for name, settings in steps)


def is_another(name: str, files: ModelFiles) -> bool:
    """Whether an adapter's configuration names another model than its base.

    A hub id does, and a path whose last folder is called as models are; paths of another machine
    such as ``output/checkpoint-500`` say nothing.

    Args:
        name: ``base_model_name_or_path``.
        files: the base's, whose declared name, source and folders are compared.
    """
    named = _model(name)
    return named is not None and _plain(named) not in map(_plain, _names(files))


def _model(name: str) -> str | None:
    if found := _CACHED.search(name):
        return found[1]
    found = _HUB.fullmatch(name)
    if found and not _LOCAL.fullmatch(found[1]):
        return found[2]
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return last if _SIZED.search(last) else None


def _names(files: ModelFiles) -> Iterator[str]:
    yield files.source.name
    for part in (*files.source.source.split("/"), *files.path.parts):
        found = _CACHED.fullmatch(part)
        yield found[1] if found else part


def _plain(name: str) -> str:
    """A model's name without case, signs, and how its weights are kept."""
    return re.sub(r"[^a-z0-9]+", "", _FORM.sub("", name.casefold()))
