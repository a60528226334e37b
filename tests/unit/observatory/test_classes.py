"""The class of a matrix: exact for what was planted, whatever the unit, the seed and the peers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from pytest_modellab.observatory import classes  # noqa: E402
from pytest_modellab.observatory.classes import Context, matrix, vector  # noqa: E402
from pytest_modellab.observatory.verdict import sentence  # noqa: E402

SHAPE = (96, 128)
SEEDS = st.integers(0, 10_000)


def _normal(seed: Any, *shape: Any) -> Any:
    return torch.randn(*(shape or SHAPE), generator=torch.Generator().manual_seed(seed))


def _rounded(weight: Any, bits: Any, group: Any) -> Any:
    groups = weight.reshape(-1, group)
    least = groups.amin(1, keepdim=True)
    step = (groups.amax(1, keepdim=True) - least) / (2**bits - 1)
    return (((groups - least) / step).round() * step + least).reshape(weight.shape)


def _low_rank(weight: Any, seed: Any, rank: Any, size: Any) -> Any:
    change = _normal(seed, len(weight), rank) @ _normal(seed + 1, rank, weight.shape[1])
    return weight + size * weight.norm() / change.norm() * change


def _zeroed(weight: Any, rows: Any = 0, columns: Any = 0) -> Any:
    changed = weight.clone()
    changed[:rows] = 0
    changed[:, :columns] = 0
    return changed


def _spikes(weight: Any, count: Any) -> Any:
    changed = weight.clone()
    changed.flatten()[:: weight.numel() // count][:count] = 50 * weight.abs().max()
    return changed


PLANTED: dict[str, Callable[[Any, int], Any]] = {
    "zeroed": lambda weight, seed: 0 * weight,
    "zeroed(0.25, rows)": lambda weight, seed: _zeroed(weight, rows=24),
    "zeroed(0.125, columns)": lambda weight, seed: _zeroed(weight, columns=16),
    "scaled(0.5)": lambda weight, seed: weight * 0.5,
    "scaled(-1)": lambda weight, seed: -weight,
    "scaled(1.2)": lambda weight, seed: weight * 1.2,
    "spikes(8)": lambda weight, seed: _spikes(weight, 8),
    "copied(layer.4.mlp.up_proj)": lambda weight, seed: _normal(seed + 99),
    "rounded(2)": lambda weight, seed: _rounded(weight, 2, 32),
    "rounded(3)": lambda weight, seed: _rounded(weight, 3, 128),
    "permuted": lambda weight, seed: weight[torch.randperm(96, generator=_chance(seed))],
    "low_rank(4)": lambda weight, seed: _low_rank(weight, seed, 4, 0.4),
    "reset": lambda weight, seed: _normal(seed + 7),
}


def _chance(seed: Any) -> Any:
    return torch.Generator().manual_seed(seed)


def _context(seed: Any, usual: Any = 0.0) -> Any:
    return Context(usual=usual, others=lambda: [("layer.4.mlp.up_proj", _normal(seed + 99))])


@pytest.mark.parametrize("expected", PLANTED)
@settings(max_examples=3, deadline=None)
@given(seed=SEEDS, unit=st.sampled_from((1e-3, 1.0, 300.0)))
def test_a_planted_change_has_its_class_in_every_unit(expected: Any, seed: Any, unit: Any) -> None:
    weight = _normal(seed)
    changed = PLANTED[expected](weight, seed)
    context = Context(others=lambda: [("layer.4.mlp.up_proj", unit * _normal(seed + 99))])
    assert matrix(unit * weight, unit * changed, context) == expected


@pytest.mark.parametrize("expected", PLANTED)
@settings(max_examples=2, deadline=None)
@given(seed=SEEDS)
def test_a_rounding_over_it_keeps_the_class(expected: Any, seed: Any) -> None:
    weight = _normal(seed)
    changed = _rounded(PLANTED[expected](weight, seed).clamp(-1e9, 1e9), 4, 64).nan_to_num()
    context = Context(
        usual=0.09,
        others=_context(seed).others,
        peers=lambda: [_rounded(_normal(seed + number), 4, 64) for number in range(3)],
    )
    assert matrix(weight, changed, context).partition("(")[0] == expected.partition("(")[0]


def test_a_rounding_that_empties_some_columns_is_no_pruning() -> None:
    weight = _normal(5, 16, 96)
    weight[:, ::30] /= 40  # below half a step everywhere

    rounded = _rounded(weight, 2, 96)
    rounded[:, ::30] = 0

    assert matrix(weight, rounded) == "rounded(2)"


@settings(max_examples=5, deadline=None)
@given(seed=SEEDS, size=st.floats(0.1, 0.8))
def test_noise_has_its_size(seed: Any, size: Any) -> None:
    weight = _normal(seed)
    noise = _normal(seed + 1)
    said = matrix(weight, weight + size * weight.norm() / noise.norm() * noise)
    assert said == f"noise({float(f'{size:.3g}'):g})"


def test_values_that_are_not_finite_come_first() -> None:
    weight = _normal(0)
    broken = weight * 0.5
    broken[3, 5] = float("nan")
    assert matrix(weight, broken) == "nonfinite"
    assert vector(weight[0], broken[3]) == "nonfinite"


def test_pruned_elements_are_zeroed() -> None:
    weight = _normal(1)
    pruned = weight.masked_fill(weight.abs() < 0.6, 0)
    assert matrix(weight, pruned).startswith("zeroed(0.45")
    assert matrix(weight, pruned).endswith("elements)")


def test_a_vocabulary_tells_how_many_rows() -> None:
    weight = _normal(2, 3000, 64)
    changed = weight.clone()
    changed[100:160] = _normal(3, 60, 64)
    assert matrix(weight, changed, Context(vocabulary=True)) == "rows_damaged(60)"
    assert matrix(weight, 0.5 * weight, Context(vocabulary=True)) == "scaled(0.5)"


def test_four_bits_are_no_fault_among_peers_of_four_bits() -> None:
    weight = _normal(4)
    changed = _rounded(weight + 0.4 * _normal(5), 4, 64)
    context = Context(peers=lambda: [_rounded(_normal(6), 4, 64)])
    assert matrix(weight, changed, context).startswith("noise(")
    assert matrix(weight, changed) == "rounded(4)"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda weight: 0 * weight, "zeroed"),
        (torch.ones_like, "reset"),
        (lambda weight: 0.5 * weight, "scaled(0.5)"),
        (lambda weight: _spikes(weight, 1), "spikes(1)"),
    ],
)
def test_a_vector_has_fewer_classes(change: Any, expected: Any) -> None:
    weight = 1 + 0.3 * _normal(8, 128)
    assert vector(weight, change(weight)) == expected
    assert vector(weight, weight * (1 + 0.5 * _normal(9, 128))).startswith("noise(")


def test_the_share_of_few_directions() -> None:
    assert classes.low_rank_share(_low_rank(torch.eye(96, 128), 1, 4, 1e6)) > 0.999
    assert classes.low_rank_share(_normal(10)) < 0.75
    assert classes.low_rank_share(torch.zeros(SHAPE)) == 0.0


def test_rare_levels_are_counted() -> None:
    weight = _normal(8, 96, 1024)
    size = weight.abs().amax(dim=1, keepdim=True) / 1.5  # most values take the two middle levels
    changed = ((weight / size - 0.5).round().clamp(-2, 1) + 0.5) * size
    assert matrix(weight, changed, Context()) == "rounded(2)"
    assert sentence("head", "rounded(1)") == "head is rounded to 1 bit"
