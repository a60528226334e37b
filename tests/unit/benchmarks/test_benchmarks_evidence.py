"""The instrument behind docs/evidence.md: it judges as the gate does, on what was recorded."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.computing import Setting
from benchmarks.evidence import blocking, figures, ladder, pooling, readings, same
from benchmarks.evidence.__main__ import CORE, RECORDED
from benchmarks.evidence.figures import ACCURACY, KL, SCORES
from pytest_modellab import gate
from pytest_modellab.config import read
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings

SUITE = Path(__file__).parents[3] / "suites" / "modellab.toml"

RNG = np.random.default_rng(5)

GRADED = np.clip(RNG.normal(-0.05, 0.1, 200), -0.9, 0.9)

BINARY = RNG.choice([-1.0, 0.0, 1.0], 200, p=[0.2, 0.72, 0.08])


@pytest.mark.parametrize("differences", [GRADED, BINARY], ids=["graded", "right or wrong"])
@pytest.mark.parametrize("margin", [0.01, 0.02])
def test_draws_are_judged_by_the_gate(differences: figures.Floats, margin: float) -> None:
    drawn = np.random.default_rng(1).integers(differences.size, size=(20, 60))
    blocks = blocking.drop_rule(differences, margin)(drawn, 0.05)
    baseline = np.where(differences < 0.0, 1.0, 0.0)
    expected = [
        gate.decide(baseline[index], baseline[index] + differences[index], margin=margin) == "block"
        for index in drawn
    ]
    assert blocks.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_divergences_are_judged_by_the_gate() -> None:
    rng = np.random.default_rng(4)
    tokens = rng.integers(5, 60, 100).astype(np.float64)
    nats = tokens * rng.exponential(0.03, 100)
    drawn = rng.integers(100, size=(20, 12))
    blocks = blocking.divergence_rule(nats, tokens, 0.02)(drawn, 0.05)
    expected = [
        gate.fidelity(nats[index], tokens[index], tokens[index], kl=0.02)[0].verdict == "block"
        for index in drawn
    ]
    assert blocks.tolist() == expected
    assert 0 < sum(expected) < len(expected)


def test_a_share_and_the_samples_needed_agree() -> None:
    rule = blocking.drop_rule(BINARY, 0.02)
    n = blocking.needed(rule, BINARY.size, 0.05, 400, blocking.generator("needed"))
    assert n is not None
    share = blocking.share(rule, BINARY.size, n, 0.05, 2000, blocking.generator("share"))
    assert share == pytest.approx(blocking.POWER, abs=0.06)


def test_what_never_blocks_needs_more_samples_than_there_are() -> None:
    rule = blocking.drop_rule(np.zeros(50), 0.02)
    assert blocking.needed(rule, 50, 0.05, 20, blocking.generator("never"), most=200) is None


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.3])
def test_differences_are_moved_to_the_margin(margin: float) -> None:
    graded, binary = same.at_margin(GRADED, margin), same.at_margin(BINARY, margin)
    assert graded.mean() == pytest.approx(-margin)
    assert graded.std() == pytest.approx(GRADED.std())
    assert binary.mean() == pytest.approx(-margin, abs=0.5 / binary.size)
    assert set(binary) <= {-1.0, 0.0, 1.0}


def test_divergences_are_moved_to_the_limit() -> None:
    tokens = np.full(300, 20.0)
    nats = tokens * np.random.default_rng(2).exponential(0.3, 300)
    shares = same.simulated_divergence(nats, tokens, 0.05, (30, 120), 1000, 1)
    assert 0.0 < shares[120] <= 0.07


def test_p_values_are_combined_as_scipy_does() -> None:
    p = np.array([[0.2, 0.03, 0.6], [0.04, 0.05, 0.06], [0.012, 0.9, 0.9]])
    nothing = np.zeros(3, dtype=np.bool_)
    found = pooling.together(p, np.array([0.2, 0.04, 0.2]), nothing)
    for way, method in (("Fisher", "fisher"), ("Stouffer", "stouffer"), ("minP", "tippett")):
        expected = [stats.combine_pvalues(row, method=method).pvalue <= 0.05 for row in p]
        assert found[way].tolist() == expected, way
    assert found["Holm"].tolist() == [False, False, True]
    assert found["pooled"].tolist() == [False, True, False]


def test_readings_come_back(tmp_path: Path) -> None:
    said = {
        "a": readings.Said(options=(-1.25, -2.5), nats=0.5, tokens=7, same=6),
        "b": readings.Said(text="four", read=-3.5),
        "c": readings.Said(failed="the model's logits are NaN"),
    }
    one = readings.Reading("nf4", str(Setting(128, order=3)), CORE, "cpu", "prompting", said)
    readings.write(tmp_path / "one.xz", [one])
    assert list(readings.read(tmp_path / "one.xz")) == [one]
    assert one.setting == "float32, 128 tokens, order 3"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, figures.Figures]:
    """The base and rounding to 8 and 6 bits, as they were recorded."""
    lab = Lab(read.load(SUITE), Settings(cache=tmp_path_factory.mktemp("cache")))
    task_set = lab.task_set(CORE)
    first = itertools.islice(readings.read(RECORDED), 3)
    return {one.variant: figures.figures(one, task_set) for one in first}


def test_recorded_runs_are_scored(recorded: dict[str, figures.Figures]) -> None:
    base, six = recorded["prompting"], recorded["rtn6"]
    assert len(base.samples) == 606
    assert base.kl == pytest.approx(0.0, abs=1e-9)
    assert six.kl == pytest.approx(0.033, abs=0.001)
    drops = {name: -figures.difference(name, base, six).mean() for name in SCORES}
    assert drops[ACCURACY] == pytest.approx(0.0099, abs=0.002)
    assert max(drops["probability"], drops["likelihood"]) < 0.005
    with pytest.raises(ValueError, match="are of other samples"):
        figures.difference(ACCURACY, base, six.only([base.samples[0].id]))


def test_an_unchanged_run_is_never_blocked(recorded: dict[str, figures.Figures]) -> None:
    base = recorded["prompting"]
    again = dataclasses.replace(base, setting="again")
    margins = {"0.01": same.one_for_all(0.01)}
    found = list(same.pairs([(base, again)], margins))
    assert [pair.metric for pair in found] == [*SCORES, KL]
    assert not any(pair.blocked["0.01"] for pair in found)


def test_a_divergence_is_seen_from_few_samples(recorded: dict[str, figures.Figures]) -> None:
    base, six = recorded["prompting"], recorded["rtn6"]
    cell = ladder.cell(six, base, KL, 0.01, 0.05, 20, 1, (30,))
    assert cell.drop == pytest.approx(six.kl)
    assert cell.blocked == {30: 1.0}
    assert cell.needed is not None
    assert cell.needed < 30
    calm = ladder.cell(six, base, KL, 0.05, 0.05, 20, 1, (30,))
    assert (calm.blocked, calm.needed) == ({30: 0.0}, None)
