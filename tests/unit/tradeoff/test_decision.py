"""The decision: steps, limits, shares, ties, refusals, and what would turn it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pytest_modellab.records.declared import Scenario
from pytest_modellab.tradeoff import decision
from pytest_modellab.tradeoff.decision import NONE, Metrics, Miss, decide

B = 400


def metrics(
    noise: float = 0.01, names: tuple[str, ...] = ("base", "other"), **values: list[float]
) -> Metrics:
    """Metrics with independent normal noise around each value."""
    rng = np.random.default_rng(0)
    points = {name: np.array(row) for name, row in values.items()}
    draws = {
        name: row + noise * np.abs(row) * rng.standard_normal((B, row.size))
        for name, row in points.items()
    }
    return Metrics(names, points, draws)


def scenario(
    weights: Mapping[str, float] | None = None, limits: Mapping[str, float] | None = None
) -> Scenario:
    return Scenario("test", "", weights or {"quality": 0.5, "cost": 0.5}, limits or {})


def test_ten_points_of_success_are_worth_a_factor_of_two() -> None:
    found = metrics(0.0, quality=[0.60, 0.70], cost=[1.0, 2.0])
    choice = decide(found, "base", scenario())
    assert choice.steps["other"]["total"] == pytest.approx(0.0, abs=1e-9)
    assert choice.steps["other"]["quality"] == pytest.approx(0.5)
    assert choice.steps["other"]["cost"] == pytest.approx(-0.5)
    assert choice.verdict == "tie"
    assert choice.variants == ("base", "other")  # the reference first: nothing is gained


def test_what_is_clearly_better_is_chosen() -> None:
    choice = decide(metrics(quality=[0.6, 0.9], cost=[1.0, 1.0]), "base", scenario())
    assert (choice.verdict, choice.variants) == ("choose", ("other",))
    assert choice.shares["other"] > 0.99
    assert sum(choice.shares.values()) == pytest.approx(1.0)


def test_limits_come_before_weights() -> None:
    found = metrics(quality=[0.6, 0.9], cost=[1.0, 1.0], memory=[0.5, 4.0])
    choice = decide(found, "base", scenario(limits={"memory": 1.0}))
    assert choice.variants == ("base",)
    assert choice.misses == {"base": (), "other": (Miss("memory", 4.0, 1.0, 1.0),)}
    (turn,) = choice.turns
    assert (turn.what, turn.name, turn.now, turn.then, turn.variant) == (
        *("limit", "memory", 1.0, 4.0),
        "other",
    )


def test_nothing_is_recommended_where_nothing_meets_the_limits() -> None:
    found = metrics(0.0, quality=[0.6, 0.7], cost=[1.0, 1.0])
    choice = decide(found, "base", scenario(limits={"quality": 0.9}))
    assert (choice.verdict, choice.variants) == ("none", ("other",))  # the nearest miss
    assert choice.shares == {"base": 0.0, "other": 0.0, NONE: 1.0}
    assert choice.misses["other"][0].value == pytest.approx(0.7)


def test_a_limit_that_is_met_half_of_the_time_halves_the_share() -> None:
    found = metrics(0.05, quality=[0.3, 0.8], cost=[1.0, 1.0])
    choice = decide(found, "base", scenario(limits={"quality": 0.8}))
    assert choice.shares["other"] == pytest.approx(0.5, abs=0.08)
    assert choice.shares[NONE] == pytest.approx(0.5, abs=0.08)


def test_the_weight_that_would_turn_it() -> None:
    found = metrics(0.0, quality=[0.6, 0.7], cost=[1.0, 4.0])
    choice = decide(found, "base", scenario({"quality": 0.9, "cost": 0.1}))
    assert choice.variants == ("other",)
    (turn,) = choice.turns
    # one step of success against two of cost: even at weights of 2/3 and 1/3
    assert (turn.name, turn.variant) in {("quality", "base"), ("cost", "base")}
    assert turn.then == pytest.approx(2 / 3 if turn.name == "quality" else 1 / 3)


def test_what_was_not_measured_is_named_and_left_out() -> None:
    found = metrics(quality=[0.6, 0.9])
    choice = decide(
        found, "base", scenario({"quality": 0.2, "cost": 0.8}, {"latency": 1.0, "cost": 2.0})
    )
    assert choice.unmeasured == ("cost", "latency")
    assert choice.steps["other"]["quality"] == pytest.approx(3.0)


def test_a_limit_may_hold_something_else_than_what_is_weighed() -> None:
    found = metrics(quality=[0.6, 0.9], latency=[1.0, 1.0])
    tail = (np.array([1.5, 3.0]), np.full((B, 2), [1.5, 3.0]))
    limited = Metrics(found.names, found.values, found.draws, {"latency": tail})
    choice = decide(limited, "base", scenario({"quality": 1.0}, {"latency": 2.0}))
    assert choice.variants == ("base",)
    assert choice.misses["other"][0].value == 3.0


def test_what_was_not_measured_by_a_limit_is_out() -> None:
    found = metrics(quality=[0.6, 0.9])
    churn = np.array([0.01, np.nan])
    limited = Metrics(
        found.names, found.values, found.draws, {"churn": (churn, np.tile(churn, (B, 1)))}
    )
    choice = decide(limited, "base", scenario({"quality": 1.0}, {"churn": 0.02}))
    assert choice.variants == ("base",)
    assert choice.misses["other"] == (Miss("churn", None, 0.02, 1.0),)
    assert choice.turns == ()


def test_a_limit_that_nobody_was_measured_by_is_named() -> None:
    found = metrics(quality=[0.6, 0.9])
    nothing = np.full(2, np.nan)
    limited = Metrics(
        found.names, found.values, found.draws, {"churn": (nothing, np.tile(nothing, (B, 1)))}
    )
    choice = decide(limited, "base", scenario({"quality": 1.0}, {"churn": 0.02}))
    assert choice.unmeasured == ("churn",)
    assert choice.variants == ("other",)


def test_limits_hold_where_no_weight_could_be_applied() -> None:
    found = metrics(quality=[0.4, 0.9])
    choice = decide(found, "base", scenario({"latency": 1.0}, {"quality": 0.5}))
    assert choice.variants == ("other",)
    assert choice.unmeasured == ("latency",)


def test_one_variant_is_chosen_for_want_of_another() -> None:
    choice = decide(metrics(names=("base",), quality=[0.6], cost=[1.0]), "base", scenario())
    assert (choice.verdict, choice.variants, choice.shares["base"]) == ("choose", ("base",), 1.0)


def test_equal_variants_share_and_tie() -> None:
    found = metrics(0.0, quality=[0.6, 0.6], cost=[1.0, 1.0])
    choice = decide(found, "base", scenario())
    assert choice.verdict == "tie"
    assert choice.shares["base"] == choice.shares["other"] == pytest.approx(0.5)


def test_what_costs_nothing_is_no_infinity() -> None:
    choice = decide(metrics(0.0, quality=[0.6, 0.6], cost=[1.0, 0.0]), "base", scenario())
    assert choice.steps["other"]["cost"] == pytest.approx(5.0)  # half of ten steps
    free = decide(metrics(0.0, quality=[0.6, 0.6], cost=[0.0, 0.0]), "base", scenario())
    assert free.steps["other"]["cost"] == 0.0


def test_small_differences_are_not_trusted_as_much_as_the_draws_say() -> None:
    rng = np.random.default_rng(1)
    points = 0.6 + 0.02 * rng.standard_normal(6)  # nothing but noise
    draws = points + 0.02 * rng.standard_normal((B, 6))
    names = tuple(f"v{i}" for i in range(6))
    found = Metrics(names, {"quality": points}, {"quality": draws})
    choice = decide(found, "v0", scenario({"quality": 1.0}))
    top = names[int(points.argmax())]
    raw = float((draws.argmax(axis=1) == points.argmax()).mean())
    assert choice.shares[top] < raw - 0.05
    assert choice.verdict == "tie"


def matrices(columns: int = 3) -> st.SearchStrategy[NDArray[np.float64]]:
    cell = st.floats(0.05, 0.95)
    row = st.lists(cell, min_size=columns, max_size=columns)
    return st.lists(row, min_size=2, max_size=8).map(np.array)


@given(matrices(), matrices(), st.permutations(range(3)))
def test_the_order_of_the_variants_does_not_matter(
    quality: NDArray[np.float64], cost: NDArray[np.float64], order: list[int]
) -> None:
    rows = min(len(quality), len(cost))
    draws = {"quality": quality[:rows], "cost": cost[:rows]}
    values = {name: rows.mean(axis=0) for name, rows in draws.items()}
    names = ("a", "b", "c")
    straight = decide(Metrics(names, values, draws), "a", scenario())
    turned = decide(
        Metrics(
            tuple(names[i] for i in order),
            {name: row[order] for name, row in values.items()},
            {name: rows[:, order] for name, rows in draws.items()},
        ),
        "a",
        scenario(),
    )
    for name in (*names, NONE):
        assert straight.shares[name] == pytest.approx(turned.shares[name], abs=1e-6)


@given(matrices())
def test_a_front_is_never_empty_and_holds_every_best(values: NDArray[np.float64]) -> None:
    found = {"quality": values[0], "cost": values[1]}
    front = decision.pareto(found)
    assert front.any()
    best = np.flatnonzero(values[0] == values[0].max())
    assert front[best[values[1][best].argmin()]]


def test_a_dominated_variant_is_not_on_the_front() -> None:
    found = {"quality": np.array([0.6, 0.7, 0.6]), "cost": np.array([1.0, 0.9, 1.0])}
    assert decision.pareto(found).tolist() == [False, True, False]
