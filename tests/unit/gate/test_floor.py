"""The floor against binomial probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_modellab.gate import MissingScoresError, combine, floor_family
from pytest_modellab.gate.family import holm


def at_most(x: int, n: int, f: float) -> float:
    return sum(math.comb(n, k) * f**k * (1 - f) ** (n - k) for k in range(x + 1))


def answers(n: int, right: int) -> list[int]:
    return [1] * right + [0] * (n - right)


@pytest.mark.parametrize("floor", [0.1, 0.3, 0.75])
def test_binary_is_the_binomial_test(floor: float) -> None:
    for n in (2, 5, 12):
        for right in range(n + 1):
            (found,) = floor_family(answers(n, right), None, floor=floor)
            assert found.p_block == pytest.approx(at_most(right, n, floor), rel=1e-9)
            above = 1.0 - (at_most(right - 1, n, floor) if right else 0.0)
            assert found.p_pass == pytest.approx(above, rel=1e-7)
            assert found.candidate == pytest.approx(right / n)
            assert found.baseline is None


def test_bounds_are_clopper_pearson() -> None:
    (found,) = floor_family(answers(40, 10), None, floor=0.5, alpha=0.05)
    assert found.score_low is not None
    assert found.score_high is not None
    assert at_most(10, 40, found.score_high) == pytest.approx(0.05, rel=1e-6)
    assert 1.0 - at_most(9, 40, found.score_low) == pytest.approx(0.05, rel=1e-5)
    assert found.drop_low == pytest.approx(0.5 - found.score_high)
    assert found.drop_high == pytest.approx(0.5 - found.score_low)
    (full,) = floor_family(answers(40, 40), None, floor=0.5)
    assert full.score_high == 1.0
    (none,) = floor_family(answers(40, 0), None, floor=0.5)
    assert none.score_low == pytest.approx(0.0, abs=1e-9)


def test_holm_over_the_buckets() -> None:
    right = {"a": 3, "b": 6, "c": 15}
    scores = [score for count in right.values() for score in answers(20, count)]
    buckets = [name for name in right for _ in range(20)]
    found = floor_family(scores, buckets, floor=0.5)
    p = np.array([at_most(count, 20, 0.5) for count in right.values()])
    assert [one.p_adjusted for one in found] == pytest.approx(np.minimum(holm(p), 1.0).tolist())
    assert [one.verdict for one in found] == ["block", "inconclusive", "pass"]
    assert combine(found) == "block"


def test_graded_scores_block_and_pass() -> None:
    rng = np.random.default_rng(2)
    scores = np.clip(rng.normal(0.5, 0.2, 100), 0.0, 1.0)
    verdicts = [floor_family(scores, None, floor=floor)[0].verdict for floor in (0.6, 0.5, 0.4)]
    assert verdicts == ["block", "inconclusive", "pass"]


def test_clustered_binary_scores_take_the_graded_rule() -> None:
    scores = answers(60, 20)
    clusters = [i // 20 for i in range(60)]  # one passage right, two wrong
    assert floor_family(scores, None, floor=0.5)[0].verdict == "block"
    (found,) = floor_family(scores, None, floor=0.5, clusters=clusters)
    assert (found.clusters, found.verdict) == (3, "inconclusive")


def test_missing_scores() -> None:
    scores = [*answers(40, 30), math.nan, math.nan]
    (found,) = floor_family(scores, None, floor=0.6, max_missing=0.05)
    assert found.missing == (40, 41)
    assert found.p_block == pytest.approx(at_most(30, 40, 0.6), rel=1e-9)
    assert found.p_pass == pytest.approx(1.0 - at_most(29, 42, 0.6), rel=1e-7)
    assert found.candidate == pytest.approx(0.75)
    nothing, right = floor_family(
        [math.nan] * 3 + [1] * 9, ["a"] * 3 + ["b"] * 9, floor=0.5, max_missing=0.3
    )
    assert (nothing.verdict, nothing.p_block, right.verdict) == ("inconclusive", 1.0, "pass")
    with pytest.raises(MissingScoresError) as error:
        floor_family(scores, None, floor=0.6)
    assert str(error.value) == (
        "2 of 42 candidate scores are missing (4.8%, allowed 2.0%), at index 40, 41: run these "
        "samples again, or raise max_missing"
    )


def test_missing_scores_need_more_samples() -> None:
    (full,) = floor_family(answers(100, 53), None, floor=0.5)
    (found,) = floor_family([*answers(100, 53), math.nan], None, floor=0.5)
    assert full.samples_needed is not None
    assert found.samples_needed is not None
    assert found.samples_needed > 1.2 * full.samples_needed
    (never,) = floor_family([*answers(100, 53), *[math.nan] * 8], None, floor=0.5, max_missing=0.1)
    assert never.samples_needed is None


def test_too_few_to_block_is_no_power_to_block() -> None:
    """No bucket of fewer than 14 samples can fall below a floor of 0.2 at 0.05."""
    (found,) = floor_family(answers(3, 0), None, floor=0.2)
    assert found.samples_needed is not None
    assert found.samples_needed >= 14


def test_one_sample_shows_nothing() -> None:
    (found,) = floor_family([0.0], None, floor=0.99)
    assert (found.verdict, found.p_block, found.p_pass) == ("inconclusive", 1.0, 1.0)
    assert (found.score_low, found.score_high, found.mde) == (0.0, 1.0, None)


def test_floor_of_zero_never_blocks() -> None:
    assert floor_family(answers(20, 0), None, floor=0.0)[0].verdict == "inconclusive"
    assert floor_family(answers(20, 5), None, floor=0.0)[0].verdict == "pass"


def test_what_can_be_noticed_is_noticed_with_power() -> None:
    (found,) = floor_family(answers(100, 48), None, floor=0.5)
    assert found.mde is not None
    critical = max(x for x in range(101) if at_most(x, 100, 0.5) <= 0.05)
    assert at_most(critical, 100, 0.5 - found.mde) == pytest.approx(0.8, abs=1e-3)
    assert floor_family(answers(3, 1), None, floor=0.1)[0].mde is None


@pytest.mark.parametrize(("right", "floor"), [(40, 0.5), (60, 0.5), (94, 0.9)])
def test_samples_needed_settle_it(right: int, floor: float) -> None:
    (found,) = floor_family(answers(100, right), None, floor=floor, alpha=0.01)
    assert found.verdict == "inconclusive"
    needed = found.samples_needed
    assert needed is not None
    assert needed > 100
    mean = right / 100
    if mean < floor:
        critical = max(x for x in range(needed + 1) if at_most(x, needed, floor) <= 0.01)
        power = at_most(critical, needed, mean)
    else:
        least = min(x for x in range(1, needed) if 1.0 - at_most(x - 1, needed, floor) <= 0.01)
        power = 1.0 - at_most(least - 1, needed, mean)
    assert 0.8 <= power < 0.9


def test_graded_figures_for_planning() -> None:
    scores = np.tile([0.3, 0.5, 0.6, 0.7], 10)
    (found,) = floor_family(scores, None, floor=0.55)
    assert found.verdict == "inconclusive"
    assert found.mde is not None
    assert 0.0 < found.mde < 0.2
    assert found.samples_needed is not None
    assert floor_family(scores, None, floor=0.525)[0].samples_needed is None
