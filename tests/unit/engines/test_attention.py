"""Block masks say what dense ones say, and nothing of the size of a dense one is made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.engines.language import attention
from pytest_modellab.engines.language.attention import FULL, Blocks, Dense, Layout, held
from pytest_modellab.engines.language.packing import pack

torch = pytest.importorskip("torch")

CPU = torch.device("cpu")
text = st.integers(1, 300).map(lambda count: [0] * count)
trees = st.lists(st.tuples(text, st.lists(text, max_size=4)), min_size=1, max_size=5)


def layout_of(rows: list[tuple[list[int], list[list[int]]]], prefix: int) -> Layout:
    found = pack(rows, prefix).layout
    return found.padded(Blocks(CPU).length(len(found)))


def dense(layout: Layout, window: int | None) -> Any:
    """Worked out from positions and texts, without a rule of the package."""
    sees = np.concatenate([np.ones((len(layout), layout.prefix), bool), layout.sees()], axis=1)
    if window is None:
        return sees
    places = np.concatenate([np.arange(layout.prefix), layout.positions])
    return (sees & (layout.positions[:, None] - places < window))[
        :, max(0, layout.prefix - window + 1) :
    ]


@settings(max_examples=40)
@given(
    rows=trees,
    prefix=st.sampled_from([0, 1, 127, 128, 300]),
    window=st.none() | st.integers(2, 400),
)
def test_blocks_hold_what_is_seen(
    rows: list[tuple[list[int], list[list[int]]]], prefix: int, window: int | None
) -> None:
    layout = layout_of(rows, prefix)
    wanted = dense(layout, window)
    (mask,) = (Dense(CPU, torch.float32).of(layout, {"": window}),)
    assert np.array_equal(mask[0, 0].numpy() == 0, wanted)
    counts, partial, full_counts, full = held(layout, window)
    block, padding = attention.BLOCK, -wanted.shape[1] % attention.BLOCK
    tiles = np.pad(wanted, ((0, 0), (0, padding))).reshape(len(counts), block, -1, block)
    some: Any = tiles.any(axis=(1, 3))
    every: Any = tiles.all(axis=(1, 3))
    for row in range(len(counts)):
        part = partial[row, : counts[row]].tolist()
        whole = full[row, : full_counts[row]].tolist()
        assert sorted(part + whole) == np.flatnonzero(some[row]).tolist()
        assert set(whole) <= set(np.flatnonzero(every[row]))
        if window is None and len(rows) == 1 and not rows[0][1]:
            assert set(whole) == set(np.flatnonzero(every[row]))


def test_a_row_of_many_texts_has_few_blocks() -> None:
    rows = [([0] * 104, [[0] * 5] * 4)] * 270
    layout = layout_of(rows, 425)
    _, partial, full_counts, full = held(layout, None)
    assert len(layout) == 32_512
    assert partial.shape[1] + full.shape[1] <= 12
    assert full_counts.tolist() == [3] * 254, "425 tokens are three blocks and a part"
    assert partial.size + full.size < 5_000
    assert Blocks(CPU).of(layout, FULL).shape == (1, 1, 32_512, 32_937)
