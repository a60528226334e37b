"""A task set as a folder: ``task_set.toml`` beside ``samples.jsonl``, one sample a line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import TaskSetError, near_misses
from pytest_modellab.records import DIFFICULTIES, Sample, TaskSet, canonical_json

SAMPLES = "samples.jsonl"
HEADER = "task_set.toml"

_REQUIRED: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "input": str,
    "target": (int, str, dict),
    "scorer": str,
    "capability": str,
    "difficulty": str,
}
_OPTIONAL: dict[str, type | tuple[type, ...]] = {
    "choices": list,
    "cluster": str,
    "max_tokens": int,
    "metadata": dict,
}


def read(folder: Path, check: Callable[[Sample], str | None] = lambda _: None) -> TaskSet:
    """Read a task set.

    Args:
        folder: holds ``task_set.toml`` and ``samples.jsonl``.
        check: says what is wrong with a sample beyond its form (its scorer's view), or None.

    Returns:
        The task set with its samples in file order.

    Raises:
        TaskSetError: a file is missing or malformed; the message names file, line and key.
    """
    header_path, samples_path = folder / HEADER, folder / SAMPLES
    header = _header(header_path)
    try:
        text = samples_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskSetError(f"{samples_path}: cannot be read: {error}") from error
    samples: list[Sample] = []
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{samples_path}:{number}"
        sample = _sample(where, line)
        if sample.id in lines:
            first = lines[sample.id]
            raise TaskSetError(
                f"{where}: id: {sample.id!r} stands on line {first} too; ids must be unique"
            )
        lines[sample.id] = number
        if problem := check(sample):
            raise TaskSetError(f"{where}: sample {sample.id!r}: {problem}")
        samples.append(sample)
    if not samples:
        raise TaskSetError(f"{samples_path}: holds no sample")
    declared = header.get("capabilities", {})
    for name in declared:
        if not any(s.capability == name for s in samples):
            raise TaskSetError(
                f"{header_path}: capabilities.{name}: declared but {SAMPLES} has no sample of it"
            )
    return TaskSet(
        name=header["name"],
        version=header["version"],
        samples=tuple(samples),
        description=header.get("description", ""),
        path=str(folder),
    )


def _header(path: Path) -> dict[str, Any]:
    try:
        header = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error
    except (ValueError, RecursionError) as error:  # also a number too long, a table too deep
        raise TaskSetError(f"{path}: malformed TOML: {error}") from error
    for key in ("name", "version"):
        if not isinstance(header.get(key), str):
            raise TaskSetError(f"{path}: {key}: missing, or not a string")
    if not isinstance(header.get("description", ""), str):
        raise TaskSetError(f"{path}: description: not a string")
    if not isinstance(header.get("capabilities", {}), dict):
        raise TaskSetError(f"{path}: capabilities: must be a table")
    return header


def _sample(where: str, line: str) -> Sample:
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        raise TaskSetError(f"{where}: malformed JSON, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise TaskSetError(f"{where}: malformed JSON: {error}") from error
    if not isinstance(data, dict):
        raise TaskSetError(f"{where}: holds {type(data).__name__}, expected a JSON object")
    known = {**_REQUIRED, **_OPTIONAL}
    for key, value in data.items():
        if key not in known:
            raise TaskSetError(f"{where}: {key}: unknown key; {near_misses(key, known)}")
        types = known[key]
        if not isinstance(value, types) or isinstance(value, bool):
            names = types if isinstance(types, tuple) else (types,)
            expected = " or ".join(t.__name__ for t in names)
            raise TaskSetError(
                f"{where}: {key}: {value!r} is {type(value).__name__}, expected {expected}"
            )
    for key in _REQUIRED:
        if key not in data:
            raise TaskSetError(f"{where}: {key}: missing")
    for key in ("id", "input", "capability"):
        if not data[key].strip():
            raise TaskSetError(f"{where}: {key}: empty")
    if data["difficulty"] not in DIFFICULTIES:
        hint = near_misses(data["difficulty"], DIFFICULTIES)
        raise TaskSetError(f"{where}: difficulty: unknown {data['difficulty']!r}; {hint}")
    choices = data.get("choices", [])
    if not all(isinstance(choice, str) and choice for choice in choices):
        raise TaskSetError(f"{where}: choices: every choice must be a non-empty string")
    try:
        canonical_json(data).encode()
    except (ValueError, RecursionError) as error:
        raise TaskSetError(
            f"{where}: holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate "
            f"pair): {error}"
        ) from error
    return Sample(
        **{
            **data,
            "choices": tuple(choices),
            "metadata": MappingProxyType(data.get("metadata", {})),
        }
    )
