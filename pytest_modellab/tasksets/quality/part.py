"""A part of a task set as a task set of its own: the same lines under another name."""

from __future__ import annotations

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable, Mapping, Set
from pathlib import Path

from pytest_modellab.errors import TaskSetError
from pytest_modellab.media.generators import Generator
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.store import atomic
from pytest_modellab.tasksets import jsonl, lines, media


def write(
    task_set: TaskSet,
    ids: Set[str],
    folder: Path,
    check: Callable[[Sample], str | None] = lambda _: None,
    generators: Mapping[str, Generator] = media.NONE,
) -> TaskSet:
    """Write some samples of a task set, line by line as they are and in their order.

    Their images and recordings are copied along.

    Args:
        task_set: read by :func:`jsonl.read`; its files are read again.
        ids: the samples to write.
        folder: destination; missing or empty.
        check: as in :func:`jsonl.read`.
        generators: of images and recordings, as the task set was read with.

    Returns:
        What was written, read back.

    Raises:
        TaskSetError: the folder holds something or cannot be written, the task set is in another
            format, or the header's name and version cannot be replaced.
    """
    source = Path(task_set.path)
    if not (source / jsonl.SAMPLES).is_file():
        raise TaskSetError(
            f"{source}: has no {jsonl.SAMPLES}; only task sets in that format can be cut"
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise TaskSetError(f"{folder}: exists and is not an empty folder; name a new one")
        header = lines.read_file(source / jsonl.HEADER, source)
        renamed = _renamed(header, source / jsonl.HEADER, len(ids))
        samples = lines.read_file(source / jsonl.SAMPLES, source).split("\n")
        kept = [line for line in samples if line.strip() and json.loads(line)["id"] in ids]
        atomic.write_text(folder / jsonl.SAMPLES, "\n".join(kept) + "\n")
        atomic.write_text(folder / jsonl.HEADER, renamed)
        for name in sorted({name for one in task_set.samples for name in _files(one, ids, source)}):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
    except OSError as error:
        raise TaskSetError(f"{folder}: cannot be written: {error}") from error
    return jsonl.read(folder, check, media.Desk(folder, generators=generators))


def _files(sample: Sample, ids: Set[str], folder: Path) -> list[str]:
    """Return the files of a sample that is kept, from the folder of its task set."""
    found = [one.path for one in sample.media if not one.generator] if sample.id in ids else []
    return [os.path.relpath(path, folder) for path in found]


def _renamed(header: str, path: Path, count: int) -> str:
    """Give a header another name and version, and leave the rest of its text as it is."""
    found = tomllib.loads(header)
    changes = {
        "name": f"{found['name']}_{count}",
        "version": f"{found['version']}+kept{count}",
    }
    for key, value in changes.items():
        line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
        header = re.sub(
            rf"^{key}\s*=.*$", line.replace("\\", r"\\"), header, count=1, flags=re.MULTILINE
        )
    try:
        renamed = tomllib.loads(header)
    except tomllib.TOMLDecodeError:
        renamed = {}
    if renamed != {**found, **changes}:
        raise TaskSetError(
            f'{path}: name and version cannot be replaced; put each on one line: name = "mine"'
        )
    return header
