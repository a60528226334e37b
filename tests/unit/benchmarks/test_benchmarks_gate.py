"""The instrument behind docs/gate.md: populations are what they say, peers are who they say."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from benchmarks import gate, peers
from benchmarks.populations import (
    ALPHA,
    LEVELS,
    POPULATIONS,
    POWERS,
    Draw,
    binary,
    exponential,
    ndcg,
)
from benchmarks.report import Row, markdown


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_true_drop_is_the_one_named(name: str) -> None:
    population = POPULATIONS[name]
    repetitions = 20_000 // population.n
    rng = np.random.default_rng(1)
    before, after = population.draw(rng, (repetitions, population.samples))
    assert before.min() >= 0.0
    assert before.max() <= 1.0
    assert after.min() >= -1e-12
    assert after.max() <= 1.0 + 1e-12
    drops = (before - after)[:, : population.n].mean(axis=1)
    error = drops.std() / np.sqrt(repetitions)
    assert abs(drops.mean() - population.drop) <= 4.0 * error + 1e-12


def test_levels_are_measured_where_the_drop_is_the_margin() -> None:
    assert all(one.drop == one.margin for row in LEVELS for one in row.populations)
    assert all(
        one.margin > 0.0
        for row in (*LEVELS, *POWERS)
        if row.side == "pass"
        for one in row.populations
    )


@pytest.mark.parametrize("draw", [binary(0.1, 0.05), ndcg(0.05), exponential(1.0)])
def test_bootstrap_bounds_are_scipys(draw: Draw) -> None:
    before, after = draw(np.random.default_rng(2), (1, 60))
    d = after - before
    for method in ("percentile", "BCa"):
        found = stats.bootstrap(
            (d[0],),
            np.mean,
            n_resamples=999,
            confidence_level=1.0 - 2.0 * ALPHA,
            method=method,
            random_state=np.random.default_rng(3),
        )
        means = np.sort(np.round(found.bootstrap_distribution, 12))[None, :]
        bounds = peers.bca_bounds(d, means) if method == "BCa" else peers.percentile_bounds(means)
        expected = tuple(found.confidence_interval)
        assert np.ravel(bounds) == pytest.approx(expected, abs=1e-9)


def test_resampled_means_are_those_of_a_bootstrap() -> None:
    d = np.array([[-1.0, 0.0, 0.0, 0.5], [-1.0, -1.0, -1.0, -1.0]])
    means = peers.resampled_means(d, np.random.default_rng(4))
    assert means.shape == (2, peers.RESAMPLES)
    assert means[0].mean() == pytest.approx(d[0].mean(), abs=4.0 * d[0].std() / 2.0 / 999**0.5)
    assert means[0].std() == pytest.approx(d[0].std() / 2.0, rel=0.1)
    assert np.all(means[1] == -1.0)


def test_where_nothing_changed_bca_says_nothing() -> None:
    same = np.ones((1, 30))
    found = peers.judge(same, same, 0.05, np.random.default_rng(5))
    verdicts = {name: (bool(block[0]), bool(good[0])) for name, (block, good) in found.items()}
    assert verdicts == {
        peers.LM_EVAL: (False, True),
        peers.PERCENTILE: (False, True),
        peers.BCA: (False, False),
        peers.MCNEMAR: (False, True),
        peers.LOWER: (False, True),
        peers.STDERR: (False, True),
    }


def test_a_lost_half_is_blocked_by_all() -> None:
    before = np.ones((1, 40))
    after = np.repeat([[0.0, 1.0]], 20, axis=1)
    found = peers.judge(before, after, 0.05, np.random.default_rng(6))
    assert {name for name, (block, _) in found.items() if block[0]} == set(peers.RULES) - {
        peers.BUCKET
    }


def test_any_bucket_down_five_points() -> None:
    before = np.ones((3, 2, 20))
    after = before.copy()
    after[1, 1, 0] = 0.0
    after[2, 1, :2] = 0.0
    blocked, passed = peers.bucket_drops(before, after, 0.0)
    assert blocked.tolist() == [False, True, True]
    assert passed.tolist() == [True, False, False]
    assert peers.bucket_drops(before, after, 0.02)[0].tolist() == [False, False, True]


@pytest.mark.parametrize(("losses", "gains"), [(0, 0), (5, 0), (9, 2), (14, 14), (30, 12)])
def test_mcnemar_is_half_of_statsmodels(losses: int, gains: int) -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    two_sided = tables.mcnemar([[50, losses], [gains, 50]], exact=True).pvalue
    p = peers.mcnemar_p(np.array([losses]), np.array([gains]))[0]
    assert min(1.0, 2.0 * p) == pytest.approx(two_sided)


def test_the_standard_error_is_lm_evals() -> None:
    metrics = pytest.importorskip("lm_eval.api.metrics")
    scores = np.random.default_rng(7).random(50)
    assert peers.mean_stderr(scores[None, :])[0] == pytest.approx(metrics.mean_stderr(scores))


def test_peers_do_not_move_this_gate() -> None:
    name = "8 buckets of 50, churn .02, one -.20"
    alone, beside = (
        gate.judge_batch(gate.Batch(name, 0, 10, 20, with_peers)) for with_peers in (False, True)
    )
    assert set(alone) == {(gate.GATE, "block"), (gate.GATE, "pass")}
    assert alone.items() <= beside.items()
    assert {rule for rule, _ in beside} >= set(peers.RULES)
    assert alone != gate.judge_batch(gate.Batch(name, 1, 10, 20, False))


def test_a_level_beyond_three_standard_errors_is_missed() -> None:
    level = next(row for row in LEVELS if len(row.populations) == 2)
    first, second = (one.name for one in level.populations)
    counts = {
        first: Counter({(gate.GATE, "block"): 61, (peers.BCA, "block"): 7}),
        second: Counter({(gate.GATE, "block"): 82}),
    }
    row = gate.requirement_row(level, counts, 1000)
    assert (row.value, row.held) == (0.082, True)
    assert row.measured == f"0.082 ({second})"
    assert row.peers[peers.BCA] == "0.007"
    counts[first][gate.GATE, "block"] = 83
    assert not gate.requirement_row(level, counts, 1000).held


def test_a_table_leaves_out_what_no_row_has() -> None:
    rows = [
        Row(label="a", value=0.1, measured="0.1", required="<= 0.05", held=False),
        Row(label="b", value=2.0, measured="2 s", peers={"two": "9 s"}),
    ]
    assert markdown(rows, ["one", "two"]).splitlines() == [
        "| property | required | this gate | ok | two |",
        "| --- | --- | --- | --- | --- |",
        "| a | <= 0.05 | 0.1 | NO | – |",
        "| b | – | 2 s | – | 9 s |",
    ]


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        gate.parse(["--only", "levels,tempo"])
    assert "--only: tempo is none of levels, power, peers" in capsys.readouterr().err
