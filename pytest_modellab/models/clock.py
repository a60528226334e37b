"""Whether a model's chat template asks for the date, found in its files: nothing is loaded."""

from __future__ import annotations

import mmap
from pathlib import Path

from pytest_modellab.models import archive
from pytest_modellab.models.files import ModelFiles

NAME = "strftime_now"
"""What transformers gives to templates for it; those of Llama 3, SmolLM3 and Granite call it."""

HEAD = 32 << 20
"""Bytes of a GGUF file that are looked at; its metadata stands first."""

_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


def asked(files: ModelFiles) -> bool:
    """Say whether a model's chat template names :data:`NAME`.

    Args:
        files: found, a folder, a GGUF file, a zip or an ONNX file with its tokenizer.
    """
    if files.tokenizer_files is not None:
        return asked(files.tokenizer_files)
    if files.language_files is not None:
        return asked(files.language_files)
    path, name = files.path, NAME.encode()
    if path.is_dir():
        further = path.glob("additional_chat_templates/*.jinja")
        places = [*(path / file for file in _FILES), *further]
        return any(place.is_file() and name in place.read_bytes() for place in places)
    if path.suffix == ".zip":
        return any(name in (archive.member(path, file) or b"") for file in _FILES)
    return path.is_file() and _in_head(path, name)


def _in_head(path: Path, name: bytes) -> bool:
    with path.open("rb") as file:
        size = min(path.stat().st_size, HEAD)
        if not size:
            return False
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as head:
            return head.find(name) >= 0
