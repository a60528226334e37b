"""What the engines of language models share."""

from __future__ import annotations

import time

import pytest

from pytest_modellab.engines.batching import due
from pytest_modellab.engines.language.base import answer_alone, answer_together
from pytest_modellab.engines.language.packing import pack
from pytest_modellab.records.runs import Output


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the next readings are apart."""
    now, steps = [0.0], [0.0]

    def read() -> float:
        now[0] += steps[0]
        return now[0]

    monkeypatch.setattr(time, "perf_counter", read)
    return steps


def test_batches_whose_answers_are_known_are_left_out() -> None:
    batches = [(2, 0), (1, 3), (4,)]
    assert due(batches, set()) == batches
    assert due(batches, {0, 1, 2}) == [(1, 3), (4,)], "half a batch is computed whole, as before"
    assert due(batches, {0, 1, 2, 3, 4}) == []


def test_seconds_are_shared_out_by_tokens(clock: list[float]) -> None:
    clock[0] = 6.0
    told: list[dict[int, Output]] = []
    answer_together(
        [(2, 0), (1,)],
        [1, 5, 3],
        lambda batch: [f"answer {i}" for i in batch],
        lambda i, answer: Output(answer, tokens_in=i),
        lambda outputs: told.append(dict(outputs)),
    )
    assert told == [
        {
            2: Output("answer 2", tokens_in=2, seconds=4.5),
            0: Output("answer 0", tokens_in=0, seconds=1.5),
        },
        {1: Output("answer 1", tokens_in=1, seconds=6.0)},
    ]


def test_a_request_computed_alone_has_its_own_seconds(clock: list[float]) -> None:
    told: list[dict[int, Output]] = []

    def compute(i: int) -> Output:
        clock[0] = float(i)  # the second reading of the clock is so much later
        return Output(str(i))

    answer_alone([(3, 1), (2,)], compute, lambda outputs: told.append(dict(outputs)))
    assert told == [
        {3: Output("3", seconds=3.0), 1: Output("1", seconds=1.0)},
        {2: Output("2", seconds=2.0)},
    ]


def test_packed_row() -> None:
    """Worked out by hand: two contexts after a prefix of 4, three options and one."""
    packed = pack([([10, 11], [[20], [21, 22], [23, 24, 25]]), ([12], [[26, 27]])], prefix=4)
    assert packed.ids == [10, 11, 21, 23, 24, 12, 26]
    assert packed.positions == [4, 5, 6, 6, 7, 4, 5]
    assert packed.sample_of == [0, 0, 0, 0, 0, 1, 1]
    assert packed.option_of == [-1, -1, 1, 2, 2, -1, 0]
    assert packed.targets == [20, 21, 22, 23, 24, 25, 26, 27]
    assert packed.predicts == [1, 1, 2, 1, 3, 4, 5, 6]
    assert packed.owner == [0, 1, 1, 2, 2, 2, 3, 3]
    assert packed.options == 4
