"""A part of a task set that stands for the whole: as many samples as a limit allows."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample, TaskSet


@dataclasses.dataclass(frozen=True)
class _Unit:
    """Samples that stay together: a cluster, or one sample.

    Attributes:
        key: its place in the draw.
        strata: capability and difficulty; of a cluster that has several, the first by name.
        size: how many samples it has.
        ids: theirs.
    """

    key: str
    strata: tuple[str, str]
    size: int
    ids: tuple[str, ...]


def limited(task_set: TaskSet, limit: int, asked_by: str) -> TaskSet:
    """Choose samples of a task set, the same ones everywhere.

    One sample of each capability comes first, then each capability has its share, and in it each
    difficulty; clusters stay whole. Within them the draw is by a hash of a cluster or a sample's
    id, never by score or time. A smaller limit chooses some of the samples of a larger one, and a
    sample that is added to the task set moves few others. Documents of a corpus all stay.

    Args:
        task_set: the whole.
        limit: most samples, at least 1.
        asked_by: who set the limit, for what reports say: ``limit = 200``.

    Returns:
        The part, in the order of the whole and noting what it is; the whole where it is no larger.

    Raises:
        TaskSetError: the first cluster alone is larger.
    """
    if len(task_set.samples) <= limit:
        return task_set
    units = _ordered(_units(task_set.samples))
    chosen: set[str] = set()
    for unit in units:
        if len(chosen) + unit.size > limit:
            break
        chosen.update(unit.ids)
    if not chosen:
        raise TaskSetError(
            f"{task_set.path or task_set.name}: {asked_by}: clusters stay whole, and the first one "
            f"has {units[0].size} samples; allow as many"
        )
    samples = tuple(sample for sample in task_set.samples if sample.id in chosen)
    missing = len(task_set.capabilities) - len({sample.capability for sample in samples})
    words = f"{len(samples)} of {len(task_set.samples)} samples ({asked_by})"
    if missing:
        words += f", none of {missing} of {len(task_set.capabilities)} capabilities"
    return dataclasses.replace(
        task_set,
        samples=samples,
        note=f"{words}; {task_set.note}" if task_set.note else words,
        whole=len(task_set.samples),
    )


def _units(samples: Sequence[Sample]) -> list[_Unit]:
    members: dict[str, list[Sample]] = {}
    for sample in samples:
        name = f"cluster {sample.cluster}" if sample.cluster else f"sample {sample.id}"
        members.setdefault(name, []).append(sample)
    return [
        _Unit(
            key=hashlib.sha256(f"limit {name}".encode()).hexdigest(),
            strata=min((sample.capability, sample.difficulty) for sample in of),
            size=len(of),
            ids=tuple(sample.id for sample in of),
        )
        for name, of in members.items()
    ]


def _ordered(units: Sequence[_Unit], depth: int = 0) -> list[_Unit]:
    """Order units so that every first part has the mix of the whole, and the firsts lead."""
    if depth == len(units[0].strata):
        return sorted(units, key=lambda unit: unit.key)
    strata: dict[str, list[_Unit]] = {}
    for unit in units:
        strata.setdefault(unit.strata[depth], []).append(unit)
    placed: list[tuple[bool, float, str, _Unit]] = []
    for of in strata.values():
        before, total = 0, sum(unit.size for unit in of)
        for rank, unit in enumerate(_ordered(of, depth + 1)):
            place = (before + unit.size / 2) / total
            placed.append((rank > 0, place if rank else unit.size, unit.key, unit))
            before += unit.size
    return [unit for *_, unit in sorted(placed, key=lambda one: one[:3])]
