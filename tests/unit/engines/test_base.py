"""What the engines of language models share."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.batching import due
from pytest_modellab.engines.language.base import answer_alone, answer_together, at_once
from pytest_modellab.engines.language.packing import Rows, pack
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
        at_once(lambda batch: [f"answer {i}" for i in batch]),
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


@pytest.mark.parametrize(
    ("ahead", "order"),
    [
        (0, ["launch 0", "wait 0", "done 0", "launch 1", "wait 1", "done 1", "launch 2"]),
        (1, ["launch 0", "launch 1", "wait 0", "done 0", "launch 2", "wait 1", "done 1"]),
        (2, ["launch 0", "launch 1", "launch 2", "wait 0", "done 0", "wait 1", "done 1"]),
    ],
)
def test_answers_are_waited_for_behind_what_is_launched(
    clock: list[float], ahead: int, order: list[str]
) -> None:
    clock[0] = 1.0
    seen: list[str] = []
    seconds: list[float] = []

    def launch(batch: Sequence[int]) -> Callable[[], list[int]]:
        seen.append(f"launch {batch[0]}")

        def wait() -> list[int]:
            seen.append(f"wait {batch[0]}")
            return list(batch)

        return wait

    def done(outputs: Mapping[int, Output]) -> None:
        seen.extend(f"done {i}" for i in outputs)
        seconds.extend(output.seconds for output in outputs.values())

    answer_together(
        [(0,), (1,), (2,)], [1, 1, 1], launch, lambda i, _: Output(str(i)), done, ahead=ahead
    )
    assert seen[:7] == order
    assert seen[-2:] == ["wait 2", "done 2"]
    readings = 6  # of the clock, each a second after the other: three begin, three end
    assert sum(seconds) == {0: 3, 1: readings - 1, 2: readings - 1}[ahead], "none counts twice"


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
    assert packed.ids.tolist() == [10, 11, 21, 23, 24, 12, 26]
    layout = packed.layout
    assert layout.prefix == 4
    assert layout.positions.tolist() == [4, 5, 6, 6, 7, 4, 5]
    assert layout.start.tolist() == [0, 0, 0, 0, 0, 5, 5]
    assert layout.stop.tolist() == [2, 2, 2, 2, 2, 6, 6]
    assert layout.branch.tolist() == [0, 0, 2, 3, 3, 5, 6]
    assert packed.keep.tolist() == [1, 2, 3, 4, 5, 6]
    assert packed.targets.tolist() == [20, 21, 22, 23, 24, 25, 26, 27]
    assert packed.keep[packed.predicts].tolist() == [1, 1, 2, 1, 3, 4, 5, 6]
    assert packed.owner.tolist() == [0, 1, 1, 2, 2, 2, 3, 3]
    assert packed.summed(np.arange(8.0)) == [[0.0, 3.0, 12.0], [13.0]]


tokens = st.lists(st.integers(0, 9), min_size=1, max_size=6)
trees = st.lists(st.tuples(tokens, st.lists(tokens, max_size=4)), min_size=1, max_size=6)


@given(rows=trees, prefix=st.integers(0, 5), data=st.data())
def test_a_row_is_made_as_if_token_by_token(
    rows: list[tuple[list[int], list[list[int]]]], prefix: int, data: st.DataObject
) -> None:
    batch = data.draw(st.permutations(range(len(rows))))[: data.draw(st.integers(1, len(rows)))]
    every = Rows([context for context, _ in rows], [options for _, options in rows])
    assert every.lengths == [len(c) + sum(len(o) - 1 for o in options) for c, options in rows]
    assert every.places == [1 + sum(len(o) - 1 for o in options) for _, options in rows]
    packed = every.pack(batch, prefix)
    ids: list[int] = []
    positions: list[int] = []
    texts: list[tuple[int, int]] = []  # of each token its sample, and its option or -1
    wanted: list[tuple[int, int, int]] = []  # place, target, option
    for sample in batch:
        context, options = rows[sample]
        ids += context
        positions += [prefix + k for k in range(len(context))]
        texts += [(sample, -1)] * len(context)
        last = len(ids) - 1
        for number, option in enumerate(options):
            owner = wanted[-1][2] + 1 if wanted else 0
            places = [last, *range(len(ids), len(ids) + len(option) - 1)]
            wanted += [(place, token, owner) for place, token in zip(places, option, strict=True)]
            ids += option[:-1]
            positions += [prefix + len(context) + k for k in range(len(option) - 1)]
            texts += [(sample, number)] * (len(option) - 1)
    assert packed.ids.tolist() == ids
    assert packed.layout.positions.tolist() == positions
    told = (packed.keep[packed.predicts], packed.targets, packed.owner)
    assert list(zip(*(array.tolist() for array in told), strict=True)) == wanted
    sees = packed.layout.sees()
    for q, (mine, chosen) in enumerate(texts):
        for k, (other, branch) in enumerate(texts):
            own = other == mine and branch in (-1, chosen)
            assert sees[q, k] == (own and k <= q)
    ends = {place for place, _, _ in wanted} | {
        max(k for k, text in enumerate(texts) if text == (sample, -1)) for sample in batch
    }
    assert packed.keep.tolist() == sorted(ends)
    lone = Rows([context for context, _ in rows], [()] * len(rows)).pack(batch, prefix)
    counts = [len(rows[sample][0]) for sample in batch]
    assert lone.keeping(counts).keep.tolist() == list(range(len(lone.ids)))
