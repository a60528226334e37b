"""Which metric settles a change with the fewest samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pytest_modellab import gate
from pytest_modellab.tasksets.quality.settling import Evidence, settle

RNG = np.random.default_rng(1)
N = 400
IDS = [f"s{i}" for i in range(N)]
SCORE = dict(zip(IDS, [-1.0] * 60 + [1.0] * 20 + [0.0] * 320, strict=True))
PROBABILITY = dict(zip(IDS, RNG.normal(-0.1, 0.2, N).clip(-1, 1).tolist(), strict=True))
MARGINS = {"score": 0.02, "probability": 0.02, "likelihood": 0.01, "recall@10": 0.02}


def settled(**differences: dict[str, float]) -> tuple[Evidence, ...]:
    return settle(differences, MARGINS, level=0.01, alpha=0.05, power=0.8)


def test_each_metric_has_its_own_drop_spread_and_samples() -> None:
    score, probability = settled(probability=PROBABILITY, score=SCORE)
    assert (score.metric, score.n, score.verdict) == ("score", N, "block")
    assert score.drop == pytest.approx(0.1)
    assert score.sd == pytest.approx(math.sqrt(0.2 - 0.01))
    assert score.needed == gate.samples_for(0.1, churn=0.1, margin=0.02, level=0.01)
    assert score.z == pytest.approx(0.1 * 20 / math.sqrt(0.19))
    assert (score.certainty, score.ratio) == (1.0, 1.0)
    spread = gate.Spread.of(PROBABILITY.values())
    assert probability.needed == gate.graded_size(spread.drop, spread, margin=0.02, level=0.01)
    assert probability.needed is not None
    assert score.needed is not None
    assert probability.ratio == probability.needed / score.needed < 0.5
    assert probability.certainty == pytest.approx((score.z / probability.z) ** 2)


def test_all_are_judged_on_the_samples_that_all_of_them_have() -> None:
    choice = {id_: PROBABILITY[id_] for id_ in IDS[::2]}
    score, probability = settled(score=SCORE, probability=choice)
    assert (score.n, probability.n) == (200, 200)
    assert settled(score=SCORE, probability={"other": 0.1, "another": 0.1}) == ()


def test_a_drop_within_the_margin_is_settled_by_a_pass() -> None:
    still = dict.fromkeys(IDS, 0.0)
    score, likelihood = settled(score=SCORE, likelihood=still)
    assert (likelihood.verdict, likelihood.needed) == ("pass", 299)
    assert (likelihood.z, likelihood.certainty) == (0.0, None)
    assert likelihood.ratio is None  # the score blocks: no share of what passes
    assert score.verdict == "block"


def test_what_lies_on_the_margin_nothing_settles() -> None:
    on = dict.fromkeys(IDS, -0.01)
    (_, likelihood) = settled(score=SCORE, likelihood=on)
    assert (likelihood.verdict, likelihood.needed, likelihood.ratio) == (None, None, None)
    assert likelihood.z == math.inf


def test_the_usual_metrics_come_first() -> None:
    found = settled(**{"recall@10": PROBABILITY, "likelihood": PROBABILITY, "score": SCORE})
    assert [one.metric for one in found] == ["score", "likelihood", "recall@10"]
