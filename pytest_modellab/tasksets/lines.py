"""JSON lines: one object a line, and what every reader of them says of a bad one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pytest_modellab.errors import TaskSetError, near_misses
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.reading import id_problem, shown
from pytest_modellab.records.tasks import DIFFICULTIES
from pytest_modellab.store import checkout, links, regular

Types: TypeAlias = Mapping[str, type | tuple[type, ...]]


def parse(where: str, line: str) -> dict[str, Any]:
    """Read one line.

    Args:
        where: file and line, for messages.
        line: JSON.

    Raises:
        TaskSetError: the line is not JSON, or not an object.
    """
    try:
        data = json.loads(line)
    except json.JSONDecodeError as error:
        said = error.msg.removesuffix(" at").removesuffix(" starting")
        raise TaskSetError(f"{where}: malformed JSON, column {error.colno}: {said}") from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise TaskSetError(f"{where}: malformed JSON: {error}") from error
    if not isinstance(data, dict):
        raise TaskSetError(f"{where}: holds {type(data).__name__}, expected a JSON object")
    return data


def objects(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Read a file line by line, without holding more than one.

    Args:
        path: UTF-8; empty lines are left out.

    Yields:
        File and line for messages, the byte that the line starts at, and its object.

    Raises:
        TaskSetError: the file cannot be read, is not the file itself, or has a line as in
            :func:`parse`.
    """
    try:
        regular.check(path)
        with path.open("rb") as file:
            start = 0
            for number, raw in enumerate(file, start=1):
                if raw.strip():
                    where = f"{path}:{number}"
                    yield where, start, parse(where, _line(path, number, raw))
                start += len(raw)
    except OSError as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error


def _line(path: Path, number: int, raw: bytes) -> str:
    """Return a line as text.

    Raises:
        TaskSetError: it shows that the file is not, or not yet, what its name says.
    """
    if not raw.startswith(b"{"):
        said = checkout.standing_in(raw, path) if number == 1 else None
        if said := said or checkout.conflict(raw, number):
            raise TaskSetError(f"{path}: {said}")
    try:
        return checkout.decoded(raw, number).rstrip("\r\n")
    except checkout.Unready as error:
        raise TaskSetError(f"{path}: {error}") from error


def check_types(where: str, data: Mapping[str, Any], required: Types, optional: Types) -> None:
    """Look for keys that are missing or hold another type; a bool is no number.

    Args:
        where: file, line and parent key if any, for messages.
        data: what stands there; keys of neither kind are left alone.
        required: type of every key that must be there.
        optional: type of every key that may be there.

    Raises:
        TaskSetError: a key is missing or its value has another type.
    """
    for key, value in data.items():
        types = required.get(key) or optional.get(key) or object
        if not isinstance(value, types) or (types is not object and isinstance(value, bool)):
            names = types if isinstance(types, tuple) else (types,)
            expected = " or ".join(t.__name__ for t in names)
            raise TaskSetError(
                f"{where}: {key}: {value!r} is {type(value).__name__}, expected {expected}"
            )
    for key in required:
        if key not in data:
            raise TaskSetError(f"{where}: {key}: missing")


def check_known(where: str, data: Mapping[str, Any], *known: Types) -> None:
    """Refuse keys that are in none of ``known``.

    Raises:
        TaskSetError: there is one; the near misses are named.
    """
    names = {name for types in known for name in types}
    for key in data:
        if key not in names:
            raise TaskSetError(f"{where}: {key}: unknown key; {near_misses(key, names)}")


def check_filled(where: str, data: Mapping[str, Any], *keys: str) -> None:
    """Refuse strings that hold nothing but space.

    Raises:
        TaskSetError: there is one.
    """
    for key in keys:
        if not data[key].strip():
            raise TaskSetError(f"{where}: {key}: empty")


def check_id(where: str, data: Mapping[str, Any], key: str) -> None:
    """Refuse what cannot be told apart or printed: a blank id, or one with control characters.

    Raises:
        TaskSetError: it is one.
    """
    if problem := id_problem(data[key]):
        raise TaskSetError(f"{where}: {key}: {shown(data[key])} {problem}; give it another id")


def read_file(path: Path, folder: Path) -> str:
    """Return the text of a task set's file.

    Args:
        path: the file; UTF-8.
        folder: the task set's, which no link may leave.

    Raises:
        TaskSetError: it cannot be read, or a link leads out of the folder.
    """
    check_inside(path, folder)
    try:
        return checkout.read(path)
    except OSError as error:
        raise TaskSetError(f"{path}: cannot be read: {error}") from error
    except checkout.Unready as error:
        raise TaskSetError(f"{path}: {error}") from error


def check_inside(path: Path, folder: Path) -> None:
    """Refuse a file that a link takes out of its task set.

    Raises:
        TaskSetError: it is one.
    """
    if out := links.leads_out(path, folder):
        raise TaskSetError(
            f"{path}: {out}; put the file itself there, or declare the folder that it lies in"
        )


def check_difficulty(where: str, value: str) -> None:
    """Refuse what is no difficulty.

    Raises:
        TaskSetError: it is none; the near misses are named.
    """
    if value not in DIFFICULTIES:
        hint = near_misses(value, DIFFICULTIES)
        raise TaskSetError(f"{where}: difficulty: unknown {value!r}; {hint}")


def check_sayable(where: str, data: Mapping[str, Any]) -> None:
    """Refuse what Python's ``json`` reads but JSON and UTF-8 do not have.

    Raises:
        TaskSetError: there is such a value.
    """
    try:
        canonical_json(data).encode()
    except (ValueError, RecursionError) as error:
        raise TaskSetError(
            f"{where}: holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate "
            f"pair): {error}"
        ) from error
