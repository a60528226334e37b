"""A task set as a folder: ``task_set.toml`` beside ``samples.jsonl``, one sample a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.tasksets import header, lines, media

SAMPLES = "samples.jsonl"


HEADER = header.NAME


_REQUIRED: lines.Types = {
    "id": str,
    "input": (str, list),
    "target": (int, str, dict),
    "scorer": str,
    "capability": str,
    "difficulty": str,
}


_OPTIONAL: lines.Types = {
    "choices": list,
    "image": (str, dict, list),
    "audio": (str, dict, list),
    "cluster": str,
    "max_tokens": int,
    "metadata": dict,
}


def read(
    folder: Path,
    check: Callable[[Sample], str | None] = lambda _: None,
    desk: media.Desk | None = None,
) -> TaskSet:
    """Read a task set.

    Args:
        folder: holds ``task_set.toml`` and ``samples.jsonl``.
        check: says what is wrong with a sample beyond its form (its scorer's view), or None.
        desk: where media are looked at; without generators where it is None.

    Returns:
        The task set with its samples in file order.

    Raises:
        TaskSetError: a file is missing or malformed; the message names file, line and key.
    """
    samples_path = folder / SAMPLES
    desk = desk or media.Desk(folder)
    declared = header.read(folder / HEADER)
    text = lines.read_file(samples_path, folder)
    samples: list[Sample] = []
    numbers: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{samples_path}:{number}"
        sample = sample_of(where, line, desk)
        if sample.id in numbers:
            first = numbers[sample.id]
            raise TaskSetError(
                f"{where}: id: {sample.id!r} stands on line {first} too; ids must be unique"
            )
        numbers[sample.id] = number
        if problem := check(sample):
            raise TaskSetError(f"{where}: sample {sample.id!r}: {problem}")
        samples.append(sample)
    if not samples:
        raise TaskSetError(f"{samples_path}: holds no sample")
    return header.task_set(folder, declared, samples, SAMPLES)


def sample_of(where: str, line: str, desk: media.Desk) -> Sample:
    """Read one line of ``samples.jsonl``.

    Args:
        where: file and line, for messages.
        line: JSON.
        desk: where media are looked at.

    Raises:
        TaskSetError: it is malformed; the message names the key.
    """
    data = lines.parse(where, line)
    lines.check_known(where, data, _REQUIRED, _OPTIONAL)
    lines.check_types(where, data, _REQUIRED, _OPTIONAL)
    lines.check_filled(where, data, "id", "capability")
    if isinstance(data["input"], str):
        lines.check_filled(where, data, "input")
    lines.check_id(where, data, "id")
    lines.check_difficulty(where, data["difficulty"])
    choices = data.get("choices", [])
    if not all(isinstance(choice, str) and choice for choice in choices):
        raise TaskSetError(f"{where}: choices: every choice must be a non-empty string")
    lines.check_sayable(where, data)
    text, shown = desk.shown(where, data)
    return Sample(
        **{
            **{key: value for key, value in data.items() if key not in media.KINDS},
            "input": text,
            "choices": tuple(choices),
            "metadata": data.get("metadata", {}),
            "media": shown,
        }
    )
