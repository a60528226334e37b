"""What the folder of an exported embedding model says: graph, output, pooling, limit, padding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.encoders.texts import (
    NO_LIMIT,
    POOLINGS,
    Pooling,
    no_pooling,
    read_json,
    read_modules,
    read_pooling,
)
from pytest_modellab.errors import ModelError, near_misses

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENS = 512
"""Where texts are cut off when neither the declaration nor the model's folder says it."""


LIMITS = "sentence_bert_config.json"
"""Where a sentence-transformers model says how long its texts may be, and whether in capitals."""


SENTENCE = "sentence_embedding"
"""The output that is taken where there is one of this name, as sentence-transformers exports it."""


def find(folder: Path) -> Path:
    """Return the one graph of a folder."""
    files = sorted(folder.glob("*.onnx")) or sorted(folder.glob("onnx/*.onnx"))
    if len(files) != 1:
        raise ModelError(
            f"{folder} must hold exactly one .onnx file, but it has "
            f"{', '.join(file.name for file in files) or 'none'}; keep the one to run in a folder "
            "of its own, with tokenizer.json"
        )
    return files[0]


def choose_output(path: Path, outputs: Sequence[Any], name: str | None) -> Any:
    """Choose the output that holds the vectors."""
    floats = {value.name: value for value in outputs if "float" in value.type}
    if name is None:
        name = SENTENCE if SENTENCE in floats else next(iter(floats), None)
    if name not in floats:
        raise ModelError(
            f"{path}: the graph has no output {name!r} of floats; {near_misses(str(name), floats)}"
        )
    return floats[name]


def choose_pooling(folder: Path, output: Any, declared: str | None) -> tuple[Pooling | None, bool]:
    """Return how the output becomes one vector a text, and whether it is brought to length 1.

    A sentence-transformers folder also lists what follows the pooling.
    """
    rank = len(output.shape)
    if rank == 2:
        if declared is not None:
            raise ModelError(
                f"{folder}: pooling = {declared!r}, but the output {output.name!r} is one vector a "
                "text already; leave out pooling, or name another output"
            )
        return None, False
    if rank != 3:
        raise ModelError(
            f"{folder}: the output {output.name!r} has {rank} axes, but the vectors of texts have "
            "2 and those of tokens 3; name another output"
        )
    path = folder / "modules.json"
    modules = read_modules(path) if path.is_file() else ()
    after = [module.kind for module in modules if module.kind not in ("Transformer", "Pooling")]
    if others := [kind for kind in after if kind != "Normalize"]:
        raise ModelError(
            f"{path} lists {others[0]}, which the graph's output {output.name!r} has not gone "
            "through; export the model with it"
        )
    if declared is not None:
        return Pooling((declared,)), bool(after)
    places = [module.folder for module in modules if module.kind == "Pooling"]
    place = (places or [folder / "1_Pooling"])[0] / "config.json"
    pooling = read_pooling(place)
    if others := sorted({*pooling.modes} - {*POOLINGS}):
        raise no_pooling(place, f"names {others[0]!r}, which graphs are not pooled by")
    return pooling, bool(after)


def lower(folder: Path, tokenizer: Tokenizer) -> None:
    """Let a tokenizer take capitals for small letters where the model's folder says so.

    sentence-transformers reads it there, whatever the tokenizer's own file says.
    """
    path = folder / LIMITS
    if path.is_file() and read_json(path).get("do_lower_case"):
        from tokenizers import normalizers

        own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])


def read_limit(folder: Path, tokenizer: Tokenizer) -> int:
    """Return where texts are cut off, as sentence-transformers reads it."""
    for name, key in (
        (LIMITS, "max_seq_length"),
        ("tokenizer_config.json", "model_max_length"),
    ):
        path = folder / name
        limit = read_json(path).get(key) if path.is_file() else None
        if limit and limit < NO_LIMIT:
            return int(limit)
    return int((tokenizer.truncation or {}).get("max_length", MAX_TOKENS))


def read_padding(folder: Path, tokenizer: Tokenizer) -> tuple[int, bool]:
    """Return the token that rows are filled up with, and whether on the left."""
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    stored = tokenizer.padding or {}
    token = config.get("pad_token") or stored.get("pad_token") or ""
    text = token["content"] if isinstance(token, dict) else token
    left = (config.get("padding_side") or stored.get("direction")) == "left"
    return tokenizer.token_to_id(text) or 0, left
