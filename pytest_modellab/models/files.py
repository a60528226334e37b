"""The files of a model and their hashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_modellab.errors import ModelError
from pytest_modellab.records.declared import NO_MODEL, ModelSource
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import checkout, hashes

PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
"""Suffixes of weights whose reading can run any code."""


@dataclasses.dataclass(frozen=True)
class ModelFiles:
    """A model's files, found and hashed.

    Attributes:
        source: as declared.
        path: the file, or the folder with weights, configuration and tokenizer.
        weights: sha256 over weights and configuration.
        tokenizer: sha256 over tokenizer and chat template (a GGUF's or zip's own hash: it holds
            both).
        tokenizer_files: where the tokenizer of a bare ONNX file is, else None.
        hashed: of a folder, all files that the two hashes are over.
        language_files: where the weights are that the folder's new parts are put beside, else None.
        pieces: of folders that are laid together, each file's name and what it is made of.
    """

    source: ModelSource
    path: Path
    weights: str
    tokenizer: str
    tokenizer_files: ModelFiles | None = None
    hashed: frozenset[Path] = frozenset()
    language_files: ModelFiles | None = None
    pieces: Mapping[str, tuple[Path, ...]] = dataclasses.field(default_factory=dict)


NO_FILES = ModelFiles(NO_MODEL, Path(), "", "")
"""The files of a variant that has no model."""


def named(source: ModelSource) -> str:
    """Put a model in words, with where it was declared to be."""
    return f"model {source.name!r} (source = {source.source!r})"


def says(source: ModelSource, problem: str) -> str:
    """Put a problem of a model in words, with where the model was declared to be."""
    return f"{named(source)}: {problem}"


def hash_files(paths: Iterable[Path]) -> str:
    """Return the sha256 over the files' names and contents, in the order of their names.

    Of large ones it is remembered (see :mod:`pytest_modellab.store.hashes`).

    Raises:
        ModelError: something else stands in the place of one.
    """
    parts = []
    for path in sorted(paths, key=lambda p: p.name):
        with path.open("rb") as file:
            if said := checkout.standing_in(file.read(checkout.HEAD), path):
                raise ModelError(f"{path}: {said}")
        parts.append([path.name, hashes.sha256(path)])
    return digest(parts)


def check_hash(source: ModelSource, path: Path, found: str) -> None:
    """Refuse a file that has another hash than the declared one."""
    if source.sha256 is None or found == source.sha256.lower():
        return
    mend = f"{source.install} --force-reinstall" if source.install else "fetch the file again"
    raise ModelError(
        says(
            source,
            f"{path} has sha256 {found}, but {source.sha256} is declared. "
            f"If the file is damaged: {mend}. If the new file is wanted: declare its hash.",
        )
    )


def pickle_refused(source: ModelSource, path: Path) -> ModelError:
    """Return the error that refuses pickled weights."""
    return ModelError(
        says(
            source,
            f"{path} holds pickled weights, which can run any code when they are read. "
            "Convert them to safetensors, or trust this model: allow_pickle = true in "
            f"[models.{source.name}]",
        )
    )
