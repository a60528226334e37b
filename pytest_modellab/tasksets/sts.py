"""Semantic textual similarity: pairs of texts with a similarity that people gave.

``pairs.jsonl`` holds ``{"id", "a", "b", "similarity", "capability"?, "difficulty"?, "cluster"?,
"metadata"?}`` a line. Only the order of the similarities counts, whatever their scale: a model is
scored by its rank correlation over all pairs (Cer et al. 2017 describe the task).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.store import atomic
from pytest_modellab.tasksets import entries, header, lines

PAIRS = "pairs.jsonl"


SCORER = "spearman"


CAPABILITY, DIFFICULTY = "similarity", "medium"
"""Of a pair that does not say."""


LEAST_PAIRS = 3
"""Two pairs always correlate perfectly."""


_REQUIRED: lines.Types = {"id": str, "a": str, "b": str, "similarity": (int, float)}


_OPTIONAL: lines.Types = {"capability": str, "difficulty": str, "cluster": str, "metadata": dict}


def read(
    folder: Path, source: Path, declared: dict[str, Any], check: Callable[[Sample], str | None]
) -> TaskSet:
    """Read a task set of one sample a pair.

    Args:
        folder: the task set's.
        source: where ``pairs.jsonl`` lies.
        declared: the header, from :func:`header.read`.
        check: says what is wrong with a sample beyond its form (its scorer's view), or None.

    Returns:
        The task set in file order: ``a`` is the input, ``b`` the only choice.

    Raises:
        TaskSetError: the file is missing or malformed, or no rank correlation can be computed; the
            message names file, line and key.
    """
    path = source / PAIRS
    lines.check_inside(path, source)
    samples: list[Sample] = []
    places: dict[str, str] = {}
    for where, _, data in lines.objects(path):
        sample = _sample(where, data)
        if sample.id in places:
            line = places[sample.id].rpartition(":")[2]
            raise TaskSetError(
                f"{where}: id: {sample.id!r} stands on line {line} too; ids must be unique"
            )
        places[sample.id] = where
        if problem := check(sample):
            raise TaskSetError(f"{where}: sample {sample.id!r}: {problem}")
        samples.append(sample)
    if len(samples) < LEAST_PAIRS:
        raise TaskSetError(
            f"{path}: holds {len(samples)} pairs; a rank correlation needs at least {LEAST_PAIRS}"
        )
    values = {sample.target["similarity"] for sample in samples}
    if len(values) == 1:
        raise TaskSetError(
            f"{path}: every similarity is {values.pop()}; a rank correlation needs two that differ"
        )
    return header.task_set(folder, declared, samples, PAIRS)


def write(folder: Path, pairs: Iterable[Mapping[str, Any]]) -> None:
    """Write ``pairs.jsonl``.

    Args:
        folder: destination.
        pairs: as the file holds them.

    Raises:
        OSError: the folder cannot be written.
    """
    atomic.write_text(folder / PAIRS, "".join(f"{canonical_json(dict(p))}\n" for p in pairs))


def _sample(where: str, raw: dict[str, Any]) -> Sample:
    data = {k: v for k, v in raw.items() if k not in _OPTIONAL or not entries.missing(v)}
    if "id" in data:
        data["id"] = entries.text(data["id"])
    lines.check_known(where, data, _REQUIRED, _OPTIONAL)
    lines.check_types(where, data, _REQUIRED, _OPTIONAL)
    lines.check_filled(where, data, "id", "a", "b")
    lines.check_id(where, data, "id")
    if "capability" in data:
        lines.check_filled(where, data, "capability")
    lines.check_difficulty(where, data.get("difficulty", DIFFICULTY))
    similarity = data["similarity"]
    if not abs(similarity) <= sys.float_info.max:  # NaN neither
        raise TaskSetError(f"{where}: similarity: {similarity} is not a finite number")
    lines.check_sayable(where, data)
    return Sample(
        id=data["id"],
        input=data["a"],
        target={"similarity": similarity},
        scorer=SCORER,
        capability=data.get("capability", CAPABILITY),
        difficulty=data.get("difficulty", DIFFICULTY),
        choices=(data["b"],),
        cluster=data.get("cluster"),
        metadata=data.get("metadata", {}),
    )
