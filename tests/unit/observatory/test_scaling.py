"""A scaling law is found again, and refused where it cannot be."""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import cli
from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import scaling
from pytest_modellab.observatory.scaling import Law, Trained

CHINCHILLA = Law(1.69, math.log(406.4), math.log(410.7), 0.34, 0.28)


def runs(law: Law = CHINCHILLA, noise: float = 0.0) -> list[Trained]:
    drawn = random.Random(0)
    return [
        Trained(n, d, law.loss(n, d) * math.exp(drawn.gauss(0, noise)))
        for n in (1e7, 5e7, 2.5e8, 1e9)
        for d in (1e9, 6e9, 4e10)
    ]


@pytest.mark.parametrize(
    "law", [CHINCHILLA, Law(0.5, math.log(30), math.log(4000), 0.2, 0.5)], ids=["one", "other"]
)
def test_a_law_without_noise_is_found_again(law: Law) -> None:
    found = scaling.fit(runs(law), resamples=3)

    assert dataclasses.astuple(found.law) == pytest.approx(dataclasses.astuple(law), rel=1e-5)
    assert found.checked.run.compute == found.largest == 6 * 1e9 * 4e10
    assert found.checked.off == pytest.approx(0, abs=1e-6)
    assert found.interval(lambda one: one.alpha) == pytest.approx((law.alpha, law.alpha), rel=1e-4)


def test_intervals_hold_what_the_runs_were_made_of() -> None:
    found = scaling.fit(runs(noise=0.003), resamples=20)

    for figure in ("e", "alpha", "beta"):
        low, high = found.interval(operator.attrgetter(figure))
        assert low < getattr(CHINCHILLA, figure) < high
        assert low < getattr(found.law, figure) < high


def test_the_same_runs_give_the_same_fit_in_any_order() -> None:
    some = runs(noise=0.003)

    assert scaling.fit(some, resamples=2) == scaling.fit(some[::-1] + some[:2], resamples=2)


@given(
    e=st.floats(0, 3),
    log_a=st.floats(0, 10),
    log_b=st.floats(0, 10),
    alpha=st.floats(0.1, 1),
    beta=st.floats(0.1, 1),
    compute=st.floats(1e15, 1e26),
)
def test_the_best_of_a_budget_is_the_best(
    e: float, log_a: float, log_b: float, alpha: float, beta: float, compute: float
) -> None:
    law = Law(e, log_a, log_b, alpha, beta)
    parameters, tokens = law.optimal(compute)

    assert 6 * parameters * tokens == pytest.approx(compute, rel=1e-6)
    for factor in (0.5, 0.9, 1.1, 2):
        assert law.loss(parameters * factor, tokens / factor) >= law.loss(parameters, tokens)


@pytest.mark.parametrize(
    ("some", "said"),
    [
        (runs()[:7], "7 different runs are too few for a forecast: it takes 8 or more"),
        (runs()[:1] * 20, "1 different run is too few"),
        (
            [dataclasses.replace(run, parameters=1e9 + run.parameters) for run in runs()],
            r"parameters range from 1.01e\+09 to 2e\+09, less than a factor of 8: train some",
        ),
        (
            [Trained(10**n, 2 * 10 ** (n + 1), 3 - n / 9) for n in range(6, 15)],
            "parameters and tokens grow together in all runs",
        ),
    ],
)
def test_what_cannot_be_forecast_is_refused(some: list[Trained], said: str) -> None:
    with pytest.raises(DiagnosisError, match=said):
        scaling.fit(some, resamples=1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("N,D\n1,2\n", "runs.csv: no column is called loss; its header names N, D"),
        ("N,D,loss\n1,2,x\n", "runs.csv:2: loss: 'x' is not a number"),
        ("N,D,loss\n-1,2,3\n", "runs.csv:2: n is -1, which no run has"),
        ("N,D,loss\n1,2,nan\n", "runs.csv:2: loss: 'nan' is not a number"),
        ("N,D,loss\n1,2,0\n", "runs.csv:2: loss is 0, which no run has"),
        ("N,D,loss\n1,2\n", "runs.csv:2: 2 cells under 3 columns"),
    ],
)
def test_what_are_no_runs_is_told(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "runs.csv").write_text(content)

    with pytest.raises(DiagnosisError, match=said.replace("runs.csv", r"runs\.csv")):
        scaling.read(tmp_path / "runs.csv")


def test_the_command_forecasts_with_its_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "runs.csv"
    rows = (f"{run.parameters},{run.tokens},{run.loss},note\n" for run in runs())
    file.write_text("N,D,Loss,what\n" + "".join(rows))
    fit = scaling.fit
    monkeypatch.setattr(scaling, "fit", lambda some: fit(some, resamples=3))

    code = cli.main(
        ["forecast", str(file), "--compute", "1e22", "--json", str(tmp_path / "said.json")]
    )

    assert code == 0
    head, *rest = capsys.readouterr().out.splitlines()
    assert head == f"[Forecast] {file}: L = 1.69 + 406.4 / N^0.34 + 410.7 / D^0.28"
    assert "  E            1.69 (1.69 to 1.69)" in rest
    assert rest[-2].startswith("  check        the largest run, N = 1e+09 and D = 4e+10, left out")
    assert rest[-1].startswith("  C = 1e+22    best with N = ")
    assert rest[-1].endswith("% off), 41.7 times the largest run")
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["law"]["alpha"] == pytest.approx(0.34, rel=1e-4)
    assert len(said["best"]) == 1


def test_the_command_refuses_a_budget_that_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["forecast", str(tmp_path / "runs.csv"), "--compute", "-1"])

    assert "'-1' is no number of operations from 1 to 1e40" in capsys.readouterr().err
