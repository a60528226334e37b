"""Models that are converted once into a folder that transformers reads."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ModelError, store_errors_as
from pytest_modellab.models import (
    archive,
    gguf_head,
    gguf_tensors,
    joined,
    laid,
    locate,
    packed,
    parts,
    quantization,
    reads,
    weights,
)
from pytest_modellab.models.files import ModelFiles, named, says
from pytest_modellab.models.locate import ALONG
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import folders

_MERGES = "tokenizer.ggml.merges"

CONVERTER = 1
"""Raised when the conversion from GGUF changes what it writes."""


CHECKS = 2
"""Raised when a GGUF file is checked for more before it is converted: folders that were made with
fewer checks are made anew, while fingerprints stay as they are."""


def folder(files: ModelFiles, cache: Path) -> Path:
    """Return a folder that an engine can load, converting or unpacking a file once.

    Args:
        files: from :func:`locate`; of a folder only packed weights are converted, and
            new parts joined with the language model that they were made for.
        cache: where converted models are kept, one folder for each sha256 and converter version.

    Returns:
        A folder with safetensors (of an ONNX file with that), configuration and tokenizer. It
        appears in the cache whole or not at all, whoever else converts it at the same time.

    Raises:
        ModelError: no space, or the file cannot be read.
    """
    make: Callable[[Path], None]
    number, key = str(CONVERTER), files.weights[:16]
    if files.language_files is not None:
        number, key = f"j{joined.VERSION}", digest([files.weights, files.tokenizer])[:16]
        make = functools.partial(joined.join, files, folder(files.language_files, cache))
    elif files.pieces:
        key = digest([files.weights, files.tokenizer])[:16]
        make = functools.partial(_join, files)
    elif files.path.is_dir():
        found = quantization.find(files.path)
        if found is None or found.method not in quantization.CONVERTED:
            return files.path
        number, key = str(packed.VERSION), digest([files.weights, files.tokenizer])[:16]
        make = functools.partial(packed.convert, files, found)
    elif files.tokenizer_files is not None:
        key = digest([files.weights, files.tokenizer])[:16]
        make = functools.partial(assemble, files, folder(files.tokenizer_files, cache))
    elif files.path.suffix == ".zip":
        make = functools.partial(archive.unpack, files)
    else:
        number, make = f"{CONVERTER}.{CHECKS}", functools.partial(convert, files)
    target = cache / "models" / f"{key}-v{number}"
    with store_errors_as(ModelError):
        return folders.folder(target, make, what=named(files.source))


def _join(files: ModelFiles, target: Path) -> None:
    """Lay a model's folders together, and look at what they make as at any model."""
    laid.join(files, target)
    locate.made(files.source, target)


def version(files: ModelFiles, found: quantization.Quantized | None) -> int | None:
    """Return the version of the conversion that a model goes through, or None without one.

    Args:
        files: from :func:`locate`.
        found: how its weights are quantized, or None.
    """
    if files.language_files is not None:
        return joined.VERSION
    if files.path.is_file():
        return CONVERTER
    return packed.VERSION if found is not None and found.method in quantization.CONVERTED else None


def assemble(files: ModelFiles, tokenizer: Path, target: Path) -> None:
    """Put a bare ONNX file, its weights and the tokenizer of another folder into ``target``."""
    for part in (files.path, *parts.of_file(files.source, files.path)):
        place = target / part.relative_to(files.path.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(part.resolve(), place)  # of gigabytes, where the cache is on the same disk
        except OSError:
            shutil.copyfile(part, place)
    for part in tokenizer.iterdir():
        if reads.of_tokenizer(part.name) or part.name in ALONG:
            shutil.copyfile(part, target / part.name)


def convert(files: ModelFiles, target: Path) -> None:
    """Write the GGUF file's weights as float32 safetensors, with its tokenizer, to ``target``."""
    if parts.of_file(files.source, files.path):
        raise ModelError(
            says(
                files.source,
                f"{files.path} is the first of several files, and transformers reads one; join "
                f"them with llama.cpp: llama-gguf-split --merge {files.path.name} WHOLE.gguf, and "
                "name that",
            )
        )
    try:
        import gguf
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise ModelError(
            says(
                files.source,
                f"converting GGUF needs {error.name}: pip install 'pytest-modellab[transformers]'",
            )
        ) from error

    try:
        gguf_head.check(files.path)
        reader = gguf.GGUFReader(files.path)
        architecture = str(reader.fields["general.architecture"].contents())
    except (ValueError, IndexError, KeyError) as error:
        raise ModelError(
            says(
                files.source,
                f"{files.path} is not a GGUF file: {error}; copy or download it again, or convert "
                "it anew if it is of another version",
            )
        ) from error
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if unfit := _unfit(reader, tensors):
        raise ModelError(says(files.source, f"{files.path} {unfit}"))
    needed = sum(int(tensor.n_elements) for tensor in reader.tensors) * 4
    if shutil.disk_usage(target).free < 1.1 * needed:
        raise folders.disk_full()

    place, name = str(files.path.parent), files.path.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=name)
        with weights.watched() as fits:
            model = AutoModelForCausalLM.from_pretrained(place, gguf_file=name, dtype=torch.float32)
    except (ImportError, KeyError, RuntimeError, ValueError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ModelError(
            says(
                files.source,
                f"transformers cannot convert {files.path}: {why}. Name the folder that it was "
                "made from; llama.cpp may run the file as it is, as a variant with kind = "
                '"quantized" and method = "gguf"',
            )
        ) from error
    for fit in fits:
        weights.check(named(files.source), fit)
    gguf_tensors.take_frequencies(model, tensors)
    gguf_tensors.check(named(files.source), model, tensors, architecture)
    model.hf_quantizer = None  # the weights are plain float32 now
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    try:
        model.save_pretrained(target)
    except SafetensorError as error:
        if folders.is_full(error):
            raise folders.disk_full() from error
        raise
    tokenizer.save_pretrained(target)


def _unfit(reader: Any, tensors: Mapping[str, Any]) -> str:
    """Say why a file that is whole cannot be converted, or nothing."""
    if reader.byte_order == "S":
        return (
            "is made for processors of the other byte order: convert it anew, or with "
            "gguf-convert-endian of the package gguf"
        )
    if not tensors:
        return "holds no weights, only a head: name the file with the model"
    kind = reader.fields.get("tokenizer.ggml.model")
    if kind is not None and kind.contents() == "gpt2" and _MERGES not in reader.fields:
        return f"has no merges of its tokenizer ({_MERGES}): convert it anew from its folder"
    return ""
