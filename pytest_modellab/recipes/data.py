"""Training files: JSON lines in, chats in the base's own prompt out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.store import checkout
from pytest_modellab.variants.prompt import Prompt


@dataclasses.dataclass(frozen=True)
class Data:
    """A training file as it was read.

    Attributes:
        name: the file's path as declared.
        sha256: of its text, the same whatever its line ends.
        rows: in file order; the values are texts.
    """

    name: str
    sha256: str
    rows: tuple[Mapping[str, str], ...]


def read(root: Path, name: str, keys: Sequence[str]) -> Data:
    """Read a training file.

    Args:
        root: the folder that a relative path starts from.
        name: the path as declared.
        keys: what every row must hold as a text that is not blank; other keys are left alone.

    Returns:
        Rows with these keys only.

    Raises:
        ConfigError: no such file, no row, or a malformed one; the message begins with file:line.
    """
    path = root / name
    shape = "{" + ", ".join(f'"{key}": …' for key in keys) + "}"
    try:
        content = checkout.read(path)
    except OSError as error:
        raise ConfigError(f"data: {path}: cannot be read: {error.strerror}") from error
    except checkout.Unready as error:
        raise ConfigError(f"data: {path}: {error}") from error
    rows = []
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"data: {path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: malformed JSON: {error}; expected {shape}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{where}: expected {shape}, found {type(row).__name__}")
        rows.append({key: _text(row, key, where, shape) for key in keys})
        if "rejected" in keys and row["chosen"] == row["rejected"]:
            raise ConfigError(f"{where}: 'chosen' and 'rejected' are equal: nothing to prefer")
    if not rows:
        raise ConfigError(f"data: {path}: holds no row; expected lines of {shape}")
    return Data(name, hashlib.sha256(content.encode()).hexdigest(), tuple(rows))


def _text(row: Mapping[str, Any], key: str, where: str, shape: str) -> str:
    if key not in row:
        raise ConfigError(f"{where}: {key!r} is missing: expected {shape}; {near_misses(key, row)}")
    value = row[key]
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key}: {value!r} is {type(value).__name__}, expected a text")
    if not value.strip():
        raise ConfigError(f"{where}: {key}: is blank")
    return value


def conversations(data: Data, prompt: Prompt) -> list[dict[str, list[dict[str, str]]]]:
    """Put every row into the prompt that the variant will be asked with.

    The result is what TRL calls a conversational dataset: ``prompt`` holds the chat up to the
    reply, and ``completion``, ``chosen`` or ``rejected`` one message of the assistant. TRL renders
    both with the model's chat template, as the engine does when the variant is evaluated.

    Args:
        data: rows with ``input`` and any of ``reply``, ``chosen``, ``rejected``.
        prompt: the base's prompt, examples included.

    Returns:
        One mapping a row.
    """
    names = {"reply": "completion", "chosen": "chosen", "rejected": "rejected"}
    return [
        {
            "prompt": prompt.messages(row["input"]),
            **{
                names[key]: [{"role": "assistant", "content": value}]
                for key, value in row.items()
                if key != "input"
            },
        }
        for row in data.rows
    ]
