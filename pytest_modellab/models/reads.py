"""Which files of a model's folder loading reads, by what transformers and sentence-transformers do.

:mod:`.opened` compares it with the files that are opened when the model loads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models.files import PICKLED, says
from pytest_modellab.records import reading
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.store import checkout

_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat_template")
"""How the names of a tokenizer's files begin."""


_ENDS = (".model", ".tokenizer", "tokenizer_config.json")
"""How they end where they begin otherwise."""


MODULES = "modules.json"
"""Lists what a sentence-transformers model is made of, and the folder of each part."""


_TOP = (
    MODULES,
    "*config*.json",  # of model, generation, processors, quantization, adapters, first modules
    "*.index.json",
    *(f"{start}*" for start in _TOKENIZER),
    *(f"*{end}" for end in _ENDS),
    "*.spm",
    "additional_chat_templates/*",
    # what else tokenizers of transformers are made of
    "bpe.codes",
    "byte_maps.json",
    "dict.txt",
    "emoji.json",
    "entity_vocab.json",
    "normalizer.json",
    "target_vocab.json",
    "tekken.json",
    "word_pronunciation.json",
    "word_shape.json",
)
"""What is read beside the weights, of a folder itself."""


_ROUTERS = ("router_config.json", "config.json")
"""Where a Router lists its own modules; the second is of the time when it was called Asym."""


_CODE = re.compile(r'"([\w.-]+/[\w.-]+)--[\w.]+"')
"""The place of code in ``auto_map`` of a configuration, or in ``modules.json``."""


_OTHERS = (*PICKLED, ".gguf", ".h5", ".md", ".msgpack", ".onnx", ".onnx_data", ".ot", ".pyc")
"""Weights for other libraries, and texts for people: no code of a model needs them."""


def of_tokenizer(name: str) -> bool:
    """Whether a file of this name is hashed as the tokenizer's."""
    return name.startswith(_TOKENIZER) or name.endswith(_ENDS)


def of_folder(folder: Path, *, code: bool) -> list[Path]:
    """Return the files that loading reads from a folder itself, beside its weights.

    Args:
        folder: the model's.
        code: whether the model's own code runs, which may read anything.
    """
    files = [path for pattern in _TOP for path in folder.glob(pattern)]
    if code:
        files += [path for path in _below(folder) if path.suffix not in _OTHERS]
    return [path for path in files if path.is_file()]


def of_modules(source: ModelSource, folder: Path) -> list[Path]:
    """Return the files in the folders of a sentence-transformers model's modules, in order.

    Args:
        source: the model, for messages.
        folder: where ``modules.json`` is.

    Raises:
        ModelError: that file is damaged, or a module's folder is not below the model's.
    """
    path = folder / MODULES
    try:
        places = [str(module["path"]) for module in read_json(path)]
        if not all(map(_further, places)):  # the folder itself, which may be a Router of others
            types = [_value(folder / name, "types") for name in _ROUTERS]
            places += [str(place) for kinds in types for place in kinds or ()]
        further = [folder / place for place in places if _further(place)]
    except _Outside as error:
        raise _outside(source, path, error) from error
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(
            says(
                source,
                f"{path} is not a list of modules with type and path; copy or download the "
                "folder again",
            )
        ) from error
    return sorted({path for place in further for path in _below(place)})


def of_config(source: ModelSource, config: Path) -> list[Path]:
    """Return the weights that a ``config.json`` names in place of the usual ones, and their index.

    Raises:
        ModelError: they are missing, or not below its folder.
    """
    name = _value(config, "transformers_weights")
    if not name:
        return []
    try:
        _further(str(name))
    except _Outside as error:
        raise _outside(source, config, error) from error
    path = config.parent / str(name)
    _check_there(source, path, config)
    return [path, *(of_index(source, path) if path.name.endswith(".index.json") else ())]


def of_index(source: ModelSource, index: Path) -> list[Path]:
    """Return the files that an index of weights names, wherever they lie below its folder.

    Raises:
        ModelError: it is damaged, or one is missing.
    """
    try:
        named = read_json(index)["weight_map"].values()
        shards = sorted({reading.checked(str, shard, "weight_map") for shard in named})
        found = [index.parent / shard for shard in shards if _further(shard)]
    except _Outside as error:
        raise _outside(source, index, error) from error
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ModelError(
            says(source, f"{index} names no shards (weight_map); copy or download the folder again")
        ) from error
    for shard in found:
        _check_there(source, shard, index)
    return found


def tokenizer_elsewhere(config: Path) -> str | None:
    """Return from where a module's configuration takes the tokenizer, or None for its folder."""
    place = _value(config, "tokenizer_name_or_path")
    return None if place is None else str(place)


def repositories(files: Iterable[Path]) -> list[str]:
    """Return the repositories of the hub that configurations take code from."""
    named = (path for path in files if path.name == MODULES or path.match("*config*.json"))
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in named)
    return sorted({name for text in texts for name in _CODE.findall(text)})


def _check_there(source: ModelSource, path: Path, named_by: Path) -> None:
    if not path.is_file():
        raise ModelError(
            says(
                source,
                f"{path} is missing, but {named_by.name} names it; "
                "copy or download the folder again",
            )
        )


def _value(path: Path, key: str) -> Any:
    """Return a value of a configuration, or None; loading itself refuses a damaged file."""
    try:
        return read_json(path).get(key)
    except (AttributeError, OSError, RecursionError, ValueError):
        return None


class _Outside(Exception):
    """A path that is named leads out of the model's folder."""


def _outside(source: ModelSource, path: Path, error: _Outside) -> ModelError:
    return ModelError(
        says(
            source,
            f"{path} names {str(error)!r}, which is not below the model's own folder; copy what is "
            "there into the folder, and name it by a relative path",
        )
    )


def _further(place: str) -> bool:
    """Whether a path leads further down, not to the folder itself."""
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts:
        raise _Outside(place)
    return path != PurePosixPath()


def _below(folder: Path) -> Iterator[Path]:
    """Find all files below a folder but hidden ones and texts for people."""
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and path.suffix != ".md" and path.is_file():
            yield path


def read_json(path: Path) -> Any:
    """Read a JSON file of a model.

    Raises:
        ModelError: it is not, or not yet, the file itself.
        ValueError: it is not JSON.
    """
    try:
        return json.loads(checkout.read(path))
    except checkout.Unready as error:
        raise ModelError(f"{path}: {error}") from error
