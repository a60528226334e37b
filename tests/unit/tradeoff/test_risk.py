"""Risk: what is counted, calibration, and the level."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.tradeoff import risk
from pytest_modellab.tradeoff.risk import Component


def parts(**values: float | None) -> tuple[Component, ...]:
    return tuple(Component(name, value, "") for name, value in values.items())


def test_weights_sum_to_one() -> None:
    assert sum(risk.WEIGHTS.values()) == pytest.approx(1.0)


def test_only_what_every_variant_has_is_counted() -> None:
    first, second = risk.weigh(
        [parts(worst_bucket=0.4, churn=0.2), parts(worst_bucket=0.6, churn=None)]
    )
    assert [c.weight for c in first] == [1.0, 0.0]
    assert risk.total(first) == pytest.approx(0.4)
    assert risk.total(second) == pytest.approx(0.6)


def test_the_counted_weights_keep_their_proportions() -> None:
    ((worst, churn),) = risk.weigh([parts(worst_bucket=1.0, churn=0.0)])
    assert worst.weight == pytest.approx(0.35 / 0.45)
    assert churn.weight == pytest.approx(0.10 / 0.45)


def test_nothing_measured_is_no_risk_and_no_error() -> None:
    (row,) = risk.weigh([parts(churn=None)])
    assert risk.total(row) == 0.0


@pytest.mark.parametrize(
    ("value", "forgotten", "level"),
    [(0.0, False, "low"), (0.25, False, "medium"), (0.5, False, "high"), (0.0, True, "high")],
)
def test_levels(value: float, forgotten: bool, level: str) -> None:
    assert risk.level(value, forgotten=forgotten) == level


def test_a_model_that_is_as_sure_as_it_is_right_is_calibrated() -> None:
    found = risk.calibration([0.5] * 100, [1.0, 0.0] * 50)
    assert found is not None
    assert (found.n, found.ece, found.brier) == (100, 0.0, 0.25)


def test_a_model_that_is_sure_and_wrong_is_not() -> None:
    found = risk.calibration([1.0] * 40, [0.0] * 40)
    assert found is not None
    assert found.ece == pytest.approx(1.0)
    assert found.brier == 1.0


def test_calibration_by_hand() -> None:
    """20 answers, bins of two: the lower half right never, the upper always."""
    found = risk.calibration([0.25] * 10 + [0.75] * 10, [0.0] * 10 + [1.0] * 10)
    assert found is not None
    assert found.ece == pytest.approx(0.25)
    assert found.brier == pytest.approx(0.0625)


def test_no_answers_no_calibration() -> None:
    assert risk.calibration([], []) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0])), min_size=1))
def test_calibration_stays_in_range(pairs: list[tuple[float, float]]) -> None:
    found = risk.calibration([c for c, _ in pairs], [s for _, s in pairs])
    assert found is not None
    assert 0.0 <= found.ece <= 1.0
    assert 0.0 <= found.brier <= 1.0
