"""Where a model's files are: a folder, a file (GGUF, ONNX, a zipped folder), or a hub id.

Files and folders may lie in an installed package. Nothing here imports torch until a GGUF file must
be converted, so that a variant can be fingerprinted, and its stored run found, without loading
anything.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import (
    PICKLED,
    ModelFiles,
    check_hash,
    hash_files,
    pickle_refused,
    says,
)
from pytest_modellab.models.sources import hub_folder, package_file
from pytest_modellab.records import reading
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import checkout

_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat_template")


_FILES = (".gguf", ".onnx", ".zip")


_LIMITS = "sentence_bert_config.json"
"""How many tokens a text may have, which belongs to an embedding model's tokenizer."""


_ALONG = (_LIMITS, "config_sentence_transformers.json")
"""What a bare ONNX file takes from its tokenizer's folder beside the tokenizer: limits, prompts."""


_PIPELINE = ("modules.json", *_ALONG)
"""What makes a folder a sentence-transformers model, beside the folders of its modules."""


_MODULES = "[0-9]*_*/*"
"""The files of those."""


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
    if source.source.startswith("package:"):
        path = package_file(source)
    else:
        path = Path(os.path.realpath(root / Path(source.source).expanduser()))
        if not path.exists():
            if source.source.startswith((".", "/", "~")):
                raise ModelError(says(source, f"no such file or folder: {path}"))
            path = hub_folder(source)
    return _file(source, path, root) if path.is_file() else _folder(source, path)


def _file(source: ModelSource, path: Path, root: Path) -> ModelFiles:
    if path.suffix in PICKLED:
        raise pickle_refused(source, path)
    if path.suffix not in _FILES:
        raise ModelError(
            says(source, f"{path} is neither a folder nor a file of {', '.join(_FILES)}")
        )
    if said := checkout.absent(path):
        raise ModelError(says(source, f"{path}: {said}"))
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    check_hash(source, path, found)
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
    along = [tokenizer.path / name for name in _ALONG if (tokenizer.path / name).is_file()]
    key = digest([tokenizer.tokenizer, hash_files(along)]) if along else tokenizer.tokenizer
    return ModelFiles(source, path, found, key, tokenizer_files=tokenizer)


def _folder(source: ModelSource, path: Path) -> ModelFiles:
    files = sorted(p for p in path.iterdir() if p.is_file())
    piped = (path / "modules.json").is_file()  # whose parts may lie in folders of their own
    if piped:
        files += sorted(p for p in path.glob(_MODULES) if p.is_file())
    weights = [p for p in files if p.suffix == ".safetensors"]
    weights = weights or [p for p in files if ".onnx" in p.suffixes or p.suffix == ".onnx_data"]
    pickled = [p for p in files if p.suffix in PICKLED]
    if not weights and pickled:
        if not source.allow_pickle:
            raise pickle_refused(source, min(pickled))
        weights = pickled
    if not weights:
        raise ModelError(
            says(
                source,
                f"{path} holds no weights (*.safetensors); "
                "save the model there with save_pretrained()",
            )
        )
    for index in path.glob("*.safetensors.index.json"):
        try:
            named = json.loads(checkout.read(index))["weight_map"].values()
            shards = sorted({reading.checked(str, shard, "weight_map") for shard in named})
        except checkout.Unready as error:
            raise ModelError(says(source, f"{index}: {error}")) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(
                says(
                    source,
                    f"{index} names no shards (weight_map); copy or download the folder again",
                )
            ) from error
        for shard in shards:
            if not (path / shard).is_file():
                raise ModelError(
                    says(
                        source,
                        f"{path / shard} is missing, but {index.name} "
                        "names it; copy or download the folder again",
                    )
                )
    if not (piped or (path / "config.json").is_file() or ".onnx" in weights[0].suffixes):
        raise ModelError(says(source, f"{path / 'config.json'} is missing"))
    tokenizer = [p for p in files if p.name.startswith(_TOKENIZER) or p.suffix == ".model"]
    if not tokenizer:
        raise ModelError(
            says(source, f"{path} holds no tokenizer; save it there with save_pretrained()")
        )
    config = [p for p in files if p.name in ("config.json", "generation_config.json")]
    if source.trust_remote_code:
        config += [p for p in files if p.suffix == ".py"]
    found = hash_files([*weights, *config])
    if pipeline := _pipeline(path):
        found = digest([found, pipeline])
    check_hash(source, path, found)
    return ModelFiles(source, path, weights=found, tokenizer=hash_files(tokenizer))


def _pipeline(path: Path) -> list[list[str]]:
    """Name and hash of what a sentence-transformers model has beside its transformer's weights."""
    parts = [path / name for name in _PIPELINE]
    parts += [p for p in path.glob(_MODULES) if p.suffix in (".json", ".safetensors", *PICKLED)]
    return [[p.relative_to(path).as_posix(), hash_files([p])] for p in sorted(parts) if p.is_file()]
