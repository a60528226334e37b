"""A distance from the base in every report: in nats, with its own words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_modellab import gate
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.reports.advice import nearest, next_step, undecided
from pytest_modellab.reports.session import deciding, falls
from pytest_modellab.reports.text import markdown, table
from pytest_modellab.reports.tracking import runs

TOKENS = [40] * 20
NATS = [40 * (0.01 + 0.001 * k) for k in range(20)]
SAME = [39] * 20


@pytest.fixture
def judged(comparison: Any) -> Any:
    def make(**limits: Any) -> Comparison:
        figures = gate.fidelity(NATS, SAME, TOKENS, **limits)
        found: Comparison = comparison(
            gate.combine(figures),
            assertion="fidelity",
            against="prompting",
            capability=None,
            figures=figures,
        )
        return found

    return make


def test_the_table_has_limits_and_bounds_in_nats(judged: Any) -> None:
    text = table.render_text(judged(kl=0.01, agreement=0.9))
    lines = [line.split() for line in text.splitlines()]
    assert lines[0][:3] == ["blocked:", "KL", "is"]
    assert "nf4 against prompting, assistant_core_v2, fidelity: BLOCK" in text
    assert lines[3][:6] == ["measure", "n", "limit", "candidate", "bound", "adjusted"]
    assert lines[4][:5] == ["KL", "20", "0.01", "0.0195", ">="]
    assert lines[5][:4] == ["agreement", "20", "0.9", "0.975"]
    open_ = table.render_text(judged(kl=0.02))
    assert "<= 0.0271" in open_


def test_without_an_upper_bound_there_is_none(judged: Any) -> None:
    (figure,) = judged(kl=0.02).figures
    alone = dataclasses.replace(figure, drop_high=1e300)
    (row,) = table.figure_rows([alone])[1]
    assert row[4] == "-"


def test_what_a_block_rests_on(judged: Any, report: Any) -> None:
    blocked = judged(kl=0.01, agreement=0.9)
    deciding_figure = deciding(blocked)
    assert deciding_figure is not None
    assert deciding_figure.name == "KL"
    assert falls(blocked, several=False) == ["KL 0.0195 nats a token, 0.01 allowed"]
    assert falls(blocked, several=True) == [
        "KL on assistant_core_v2 0.0195 nats a token, 0.01 allowed"
    ]
    assert falls(judged(agreement=0.99), several=False) == ["agreement 0.97 < 0.99"]
    assert next_step(report(runs=(), comparisons=(blocked,)))[0] == (
        "nf4 moved away from prompting: KL 0.0195 nats a token, 0.01 allowed; look at the samples "
        "that moved most, keep the modules that moved at a higher precision, or raise the limits "
        "if that is wanted"
    )


def test_what_is_undecided_is_no_drop(judged: Any, comparison: Any) -> None:
    open_ = judged(kl=0.02)
    told = str(undecided([open_]))
    assert told.startswith("1 of 1 undecided; KL 0.0195, allowed 0.02; about ")
    assert "drop" not in told
    assert str(nearest([open_])).startswith("KL 0.0195, allowed 0.02, p = ")
    named = f"{open_.task_set}: KL 0.0195, allowed 0.02, p = "
    assert str(nearest([open_], several=True)).startswith(named)
    both = str(undecided([open_, comparison("inconclusive")]))
    assert "KL 0.0195, allowed 0.02; smallest drop that shows is 0.15 (arithmetic)" in both


def test_markdown_and_mlflow(judged: Any, report: Any, run: Any) -> None:
    passed = judged(kl=0.1, agreement=0.8)
    assert passed.verdict == "pass"
    assert "| fidelity |" in markdown.render(report(runs=(run(),), comparisons=(passed,)))
    assert "pass, KL 0.0195" in markdown.render(report(runs=(run(),), comparisons=(passed,)))
    told = {"/".join(name): value for name, value in runs._distances([passed])}
    assert told == pytest.approx({"fidelity/KL": 0.0195, "fidelity/agreement": 0.975})


def test_it_survives_json(judged: Any) -> None:
    for one in (judged(kl=0.01), judged(kl=0.02, agreement=0.5)):
        assert Comparison.from_json(one.to_json()) == one
