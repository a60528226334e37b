"""A model that is new parts beside another model's weights: both are joined into one folder.

``modellab build`` with the recipe ``vision`` writes such parts. ``[models.NAME] language`` names
the model that they were made for; an adapter among them is added to its weights. What comes out is
a plain folder of the class that its configuration names.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import ModelFiles, says
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.store import checkout, folders

VERSION = 1
"""Raised when joining changes what it writes."""

NEW = "new_parts.safetensors"
"""The new parts, named as in the whole model."""

LANGUAGE = "language.json"
"""``{"weights": …, "tokens": …}``: the hash of the model that the parts were made for, and which of
its tokens get new names."""

FILES = (
    NEW,
    LANGUAGE,
    "adapter_config.json",
    "adapter_model.safetensors",
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What the folder of the parts holds."""

_DAMAGED = (ArithmeticError, AttributeError, LookupError, TypeError)
"""What is raised of a JSON file that holds something else than it should."""

_INNER = "model.text_model."
"""Where the language model's own ``model.`` is in the whole."""


def found(source: ModelSource, folder: Path) -> tuple[Path, ...]:
    """Return the files of new parts.

    Raises:
        ModelError: one is missing.
    """
    files = tuple(folder / name for name in FILES)
    for path in files:
        if not path.is_file():
            raise ModelError(
                says(
                    source,
                    f"{path} is missing; with 'language', the folder holds the new parts as "
                    "modellab build writes them. A whole model has no 'language'",
                )
            )
        if path.suffix == ".safetensors" and (said := checkout.absent(path)):
            raise ModelError(says(source, f"{path}: {said}"))
    return files


def check(source: ModelSource, folder: Path, language: ModelFiles) -> None:
    """Refuse another language model than the one that the parts were made for.

    Raises:
        ModelError: it is another.
    """
    wanted = _read(source, folder / LANGUAGE).get("weights")
    if language.weights != wanted:
        raise ModelError(
            says(
                source,
                f"its parts were made for a language model with weights {str(wanted)[:16]}…, and "
                f"{language.source.name!r} ({language.path}) has {language.weights[:16]}…; name "
                f"the one that they were made for as language in [models.{source.name}], or build "
                "the parts again: modellab build VARIANT",
            )
        )


def _read(source: ModelSource, path: Path) -> dict[str, Any]:
    try:
        values = json.loads(checkout.read(path))
    except (OSError, ValueError, RecursionError, checkout.Unready) as error:
        raise ModelError(says(source, f"{path}: cannot be read: {error}")) from error
    if not isinstance(values, dict):
        raise ModelError(says(source, f"{path}: expected a table, found {type(values).__name__}"))
    return values


def join(files: ModelFiles, language: Path, target: Path) -> None:
    """Write the whole model to ``target``.

    Args:
        files: the new parts.
        language: the folder of the language model that they are put beside.
        target: an empty folder.

    Raises:
        ModelError: parts and language model do not fit.
    """
    try:
        _join(files, language, target)
    except _DAMAGED as error:
        raise ModelError(
            says(
                files.source,
                f"{files.path} and {language} cannot be joined: {type(error).__name__}: {error}; "
                "copy the folder of the parts again, or build them: modellab build VARIANT",
            )
        ) from error


def _join(files: ModelFiles, language: Path, target: Path) -> None:
    import torch
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import save_file

    source, folder = files.source, files.path
    weights: dict[str, Any] = {}
    try:
        for path in sorted(language.glob("*.safetensors")):
            with safe_open(path, framework="pt") as held:
                for name in held.keys():  # noqa: SIM118 (it is no mapping)
                    weights[name] = held.get_tensor(name).float()
        _adapt(source, folder, weights)
        whole = {_renamed(name): value for name, value in weights.items()}
        with safe_open(folder / NEW, framework="pt") as held:
            whole |= {name: held.get_tensor(name).float() for name in held.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(says(source, f"{folder}: its weights cannot be read: {error}")) from error
    if shutil.disk_usage(target).free < 1.1 * sum(4 * one.numel() for one in whole.values()):
        raise folders.disk_full()
    try:
        contiguous = {name: value.to(torch.float32).contiguous() for name, value in whole.items()}
        save_file(contiguous, target / "model.safetensors", {"format": "pt"})
    except SafetensorError as error:
        if folders.is_full(error):
            raise folders.disk_full() from error
        raise
    config = _read(source, folder / "config.json")
    text = _read(source, language / "config.json")
    config["text_config"] = {key: text[key] for key in text if key != "architectures"}
    config["dtype"] = "float32"
    _write(target / "config.json", config)
    _tokenizer(source, folder, language, target)
    for name in ("preprocessor_config.json", "processor_config.json"):
        shutil.copyfile(folder / name, target / name)


def _renamed(name: str) -> str:
    return _INNER + name.removeprefix("model.") if name.startswith("model.") else name


def _adapt(source: ModelSource, folder: Path, weights: dict[str, Any]) -> None:
    """Add a LoRA adapter to a language model's weights: ``W + alpha / r * B A``."""
    from safetensors import safe_open

    config = _read(source, folder / "adapter_config.json")
    plain = {
        "peft_type": "LORA",
        "bias": "none",
        "use_dora": False,
        "use_rslora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "fan_in_fan_out": False,
    }
    for key, value in plain.items():
        if config.get(key, value) != value:
            raise ModelError(
                says(
                    source,
                    f"{folder / 'adapter_config.json'}: {key} = {config[key]!r}; only a plain "
                    "adapter (LoRA) can be joined",
                )
            )
    scale = config["lora_alpha"] / config["r"]
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as held:
        for name in held.keys():  # noqa: SIM118 (it is no mapping)
            if name.endswith(".lora_B.weight"):
                continue
            if not name.endswith(".lora_A.weight"):
                raise ModelError(
                    says(
                        source,
                        f"its adapter holds {name}, and only matrices of linear layers (lora_A, "
                        "lora_B) can be joined",
                    )
                )
            stem = name.removesuffix(".lora_A.weight")
            of = stem.removeprefix("base_model.model.") + ".weight"
            down, up = held.get_tensor(name), held.get_tensor(f"{stem}.lora_B.weight")
            shape = (up.shape[0], down.shape[1])
            if of not in weights or tuple(weights[of].shape) != shape:
                has = f"has {tuple(weights[of].shape)}" if of in weights else "has no such weights"
                raise ModelError(
                    says(
                        source,
                        f"its adapter changes {of} of {shape[0]} × {shape[1]}, and the language "
                        f"model {has}",
                    )
                )
            weights[of] += scale * (up.float() @ down.float())


def _tokenizer(source: ModelSource, folder: Path, language: Path, target: Path) -> None:
    """Copy the language model's tokenizer, with new names for tokens that no chat has."""
    names: Mapping[str, str] = _read(source, folder / LANGUAGE).get("tokens", {})
    old = {before: after for after, before in names.items()}
    tokenizer = _read(source, language / "tokenizer.json")
    unknown = old.keys() - {token["content"] for token in tokenizer["added_tokens"]}
    if unknown:
        raise ModelError(
            says(
                source,
                f"{folder / LANGUAGE}: names {min(unknown)!r}, which is no special token of "
                "the language model",
            )
        )
    for token in tokenizer["added_tokens"]:
        if token["content"] in old:
            token["content"] = old[token["content"]]
            token["special"] = True
    vocabulary = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {old.get(key, key): value for key, value in vocabulary.items()}
    _write(target / "tokenizer.json", tokenizer)
    for path in language.iterdir():
        if path.name in ("tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
            shutil.copyfile(path, target / path.name)


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
