"""Where a model's files are: a folder, a file (GGUF, ONNX, a zipped folder), or a hub id.

Files and folders may lie in an installed package. Nothing here imports torch until a GGUF file must
be converted, so that a variant can be fingerprinted, and its stored run found, without loading
anything.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from pytest_modellab.errors import ModelError
from pytest_modellab.models import ctranslate2, joined, laid, parts, reads
from pytest_modellab.models.files import (
    PICKLED,
    ModelFiles,
    check_hash,
    hash_files,
    pickle_refused,
    says,
)
from pytest_modellab.models.sources import hub_code, hub_folder, package_file
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import checkout, hashes

_FILES = (".gguf", ".onnx", ".zip")


_LIMITS = "sentence_bert_config.json"
"""How many tokens a text may have, which belongs to an embedding model's tokenizer."""


ALONG = (_LIMITS, "config_sentence_transformers.json")
"""What a bare ONNX file takes from its tokenizer's folder beside the tokenizer: limits, prompts."""


_PARTS = (".json", ".safetensors", *PICKLED)
"""What of a module's folder is hashed once more, with the folder's name."""


def locate(source: ModelSource, root: Path) -> ModelFiles:
    """Find a model's files and hash them.

    Args:
        source: as declared in ``[models.NAME]``.
        root: the folder that a relative path starts from.

    Returns:
        Where the files are, with their hashes.

    Raises:
        ModelError: nothing is there, the hash differs, there are no weights, or only pickled
            ones; the message holds the command or the setting that mends it.
    """
    if source.more:
        return laid.find(
            source, [_laid(source, name, root) for name in (source.source, *source.more)]
        )
    path = place(source, root)
    if path is None:
        return _folder(source, hub_folder(source))
    if source.revision is not None:
        raise ModelError(
            says(source, f"revision = {source.revision!r} is for a hub id; {path} has none")
        )
    if source.language is not None:
        return _joined(source, path, source.language, root)
    return _file(source, path, root) if path.is_file() else _folder(source, path)


def _joined(source: ModelSource, path: Path, language: ModelSource, root: Path) -> ModelFiles:
    """Find new parts and the model whose weights they are put beside."""
    own = joined.found(source, path)
    beside = locate(language, root)
    joined.check(source, path, beside)
    weights, names = hash_files(own), hash_files([path / joined.LANGUAGE])
    check_hash(source, path, weights)
    return ModelFiles(
        source,
        path,
        weights=digest([weights, beside.weights]),
        tokenizer=digest([names, beside.tokenizer]),
        hashed=frozenset(own),
        language_files=beside,
    )


def graph(source: ModelSource, root: Path) -> ModelFiles:
    """Find an ``.onnx`` file that no tokenizer belongs to, and hash it.

    Args:
        source: as declared in ``[models.NAME]``.
        root: the folder that a relative path starts from.

    Raises:
        ModelError: as :func:`locate`, or it is another kind of file.
    """
    path = _place(source, root)
    if not path.exists():
        raise ModelError(says(source, f"no such file: {path}"))
    if path.suffix != ".onnx" or not path.is_file():
        raise ModelError(says(source, f"{path} is no .onnx file, and a graph is asked for"))
    found = _hashed(source, path)
    return ModelFiles(source, path, weights=found, tokenizer="")


def _place(source: ModelSource, root: Path) -> Path:
    """Return where a source leads on this machine, whether something is there or not."""
    if source.source.startswith("package:"):
        return package_file(source)
    return Path(os.path.realpath(root / Path(source.source).expanduser()))


def place(source: ModelSource, root: Path) -> Path | None:
    """Find a model's file or folder without looking into it; None for a hub id.

    Raises:
        ModelError: nothing is there.
    """
    path = _place(source, root)
    if path.exists():
        return path
    if source.language is not None or source.source.startswith((".", "/", "~")):
        raise ModelError(says(source, f"no such file or folder: {path}"))
    return None


def _laid(source: ModelSource, name: str, root: Path) -> Path:
    """Find one of several folders."""
    path = place(dataclasses.replace(source, source=name, more=()), root)
    if path is None:
        raise ModelError(
            says(
                source,
                f"no such folder: {name}; folders and packages are laid together, a model "
                "of a hub is named alone",
            )
        )
    return path


def made(source: ModelSource, folder: Path) -> ModelFiles:
    """Find the files of the folder that a model was made to: unpacked, converted, or as it was.

    A zip and a folder of the same model have equal hashes here, where those of :func:`locate`
    differ.
    """
    plain = dataclasses.replace(
        source, source=str(folder), more=(), sha256=None, revision=None, language=None
    )
    return locate(plain, folder)


def _file(source: ModelSource, path: Path, root: Path) -> ModelFiles:
    if path.suffix in PICKLED:
        raise pickle_refused(source, path)
    if path.suffix not in _FILES:
        raise ModelError(
            says(source, f"{path} is neither a folder nor a file of {', '.join(_FILES)}")
        )
    found = _hashed(source, path)
    if path.suffix != ".onnx":
        return ModelFiles(source, path, weights=found, tokenizer=found)
    if source.tokenizer is None:
        raise ModelError(
            says(
                source,
                f"{path} holds no tokenizer; name a model that has it: tokenizer = "
                f'"package:NAME/FOLDER" (or a folder, a hub id) in [models.{source.name}]',
            )
        )
    tokenizer = locate(ModelSource(f"{source.name}.tokenizer", source.tokenizer), root)
    along = [tokenizer.path / name for name in ALONG if (tokenizer.path / name).is_file()]
    key = digest([tokenizer.tokenizer, hash_files(along)]) if along else tokenizer.tokenizer
    return ModelFiles(source, path, found, key, tokenizer_files=tokenizer)


def _hashed(source: ModelSource, path: Path) -> str:
    """Return the hash of a file, with that of the files that hold its weights."""
    if said := checkout.absent(path):
        raise ModelError(says(source, f"{path}: {said}"))
    found = hashes.sha256(path)
    data = parts.of_file(source, path)
    if data:
        found = digest([found, _parts(data, path.parent)])
    check_hash(source, path, found)
    return found


def _folder(source: ModelSource, path: Path) -> ModelFiles:
    piped = (path / reads.MODULES).is_file()  # whose parts may lie in folders of their own
    modules = reads.of_modules(source, path) if piped else []
    files = [*sorted(p for p in path.iterdir() if p.is_file()), *modules]
    _refuse_elsewhere(source, files)
    weights = _weights(source, path, files)
    if not (piped or (path / "config.json").is_file() or ".onnx" in weights[0].suffixes):
        raise ModelError(says(source, f"{path / 'config.json'} is missing"))
    tokenizer = [p for p in files if reads.of_tokenizer(p.name)]
    if not tokenizer:
        raise ModelError(
            says(source, f"{path} holds no tokenizer; save it there with save_pretrained()")
        )
    config = [p for p in files if p.name in ("config.json", "generation_config.json")]
    code = source.trust_remote_code
    if code:
        config += [p for p in files if p.suffix == ".py"]
    hashed = {*weights, *config, *tokenizer}
    others = {p for p in (*reads.of_folder(path, code=code), *modules) if p not in hashed}
    others |= {p for p in modules if p.suffix in _PARTS}
    more = _parts(sorted(others), path)
    for repository in reads.repositories(files) if code else ():
        place = hub_code(source, repository)
        theirs = sorted(place.rglob("*.py"))
        more += [[repository, *part] for part in _parts(theirs, place)]
        others.update(theirs)
    found = hash_files([*weights, *config])
    if more:
        found = digest([found, more])
    check_hash(source, path, found)
    return ModelFiles(
        source, path, found, tokenizer=hash_files(tokenizer), hashed=frozenset(hashed | others)
    )


def _parts(files: Sequence[Path], folder: Path) -> list[list[str]]:
    """Return each file's name below a folder, and its hash."""
    return [[path.relative_to(folder).as_posix(), hash_files([path])] for path in files]


def _refuse_elsewhere(source: ModelSource, files: Sequence[Path]) -> None:
    """Refuse a folder that is not the whole model: an adapter, or one with a tokenizer elsewhere.

    transformers puts an adapter in a model's folder on where peft is installed.
    """
    for path in files:
        if path.name == "adapter_config.json":
            raise ModelError(
                says(
                    source,
                    f"{path}: an adapter lies where a model should, and whether it is put on, and "
                    "on which base, depends on what is installed. Merge it and save the result "
                    "(merge_and_unload(), then save_pretrained()); for a language model, you can "
                    "also declare its base here and the adapter as a variant: "
                    'kind = "lora", adapter = "FOLDER"',
                )
            )
        if path.match("sentence_*_config.json") and (place := reads.tokenizer_elsewhere(path)):
            raise ModelError(
                says(
                    source,
                    f"{path}: takes the tokenizer from {place!r}, which is in no hash of this "
                    "model; copy its files beside it, and leave out tokenizer_name_or_path",
                )
            )


def _weights(source: ModelSource, path: Path, files: Sequence[Path]) -> list[Path]:
    """Find the weights among a folder's files: safetensors, or else a graph, or else pickles."""
    weights = [p for p in files if p.suffix == ".safetensors"]
    named = _shards(source, path, ".safetensors")
    for config in files:
        if config.name == "config.json":
            named += reads.of_config(source, config)
    weights += [p for p in dict.fromkeys(named) if p not in weights]
    weights = weights or [p for p in files if ".onnx" in p.suffixes or p.suffix == ".onnx_data"]
    graphs = [p for p in weights if p.suffix == ".onnx"]
    weights += [p for g in graphs for p in parts.of_file(source, g) if p not in weights]
    if not weights and ctranslate2.is_model(path / ctranslate2.NAME):
        return [path / ctranslate2.NAME]
    if weights:
        return weights
    pickled = [p for p in files if p.suffix in PICKLED]
    if pickled and not source.allow_pickle:
        raise pickle_refused(source, min(pickled))
    if not pickled and (gguf := [p.name for p in files if p.suffix == ".gguf"]):
        raise ModelError(
            says(
                source,
                f"{path} holds no weights but GGUF ({', '.join(gguf[:3])}): name the file, source "
                f'= "{source.source}/{gguf[0]}"; or run it by llama.cpp, as a variant with kind = '
                f'"quantized", method = "gguf" and file = "{source.source}/{gguf[0]}"',
            )
        )
    if not pickled:
        raise ModelError(
            says(
                source,
                f"{path} holds no weights (*.safetensors); "
                "save the model there with save_pretrained()",
            )
        )
    return pickled + [p for p in _shards(source, path, ".bin") if p not in pickled]


def _shards(source: ModelSource, path: Path, suffix: str) -> list[Path]:
    indices = path.glob(f"*{suffix}.index.json")
    return [shard for index in indices for shard in reads.of_index(source, index)]
