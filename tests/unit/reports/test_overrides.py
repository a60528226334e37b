"""A rule that is not the declared one stands beside the verdict, in every report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.gate import drop, floor_family
from pytest_modellab.gate.ratios import latency_ratio
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.asked import BY_TEST, Override
from pytest_modellab.reports import json_file
from pytest_modellab.reports.allure_report.settings import environment_properties
from pytest_modellab.reports.session import headline
from pytest_modellab.reports.text import github, markdown, terminal
from pytest_modellab.reports.text.table import render_text
from pytest_modellab.reports.tracking import runs
from pytest_modellab.reports.words import number

Make = Callable[..., Any]

MARGIN = Override("margin", 0.9, 0.02, "ini setting modellab_margin", "words")
ALPHA = Override("alpha", 1e-9, 0.05, "--modellab-alpha")
FLOOR = Override("floor", 0.1, 0.35, BY_TEST, "words")


@pytest.fixture
def weakened(report: Make, comparison: Make, run: Make) -> Any:
    first = comparison("pass", overrides=(ALPHA, MARGIN))
    return report(runs=(run(),), comparisons=(first, comparison("pass", overrides=(FLOOR,))))


def test_the_headline_names_them_session_first(weakened: Any) -> None:
    assert headline(weakened) == (
        "PASS: all 2 comparisons of 1 variant passed; overridden: alpha 1e-09 instead of 0.05, "
        "floor 0.1 instead of 0.35 on words, margin 0.9 instead of 0.02 on words."
    )


def test_terminal_and_markdown_say_who_set_them(weakened: Any) -> None:
    shown = [text for text, _ in terminal.lines(weakened)]
    assert shown[-5:-1] == [
        "overridden: alpha 1e-09 instead of 0.05 (--modellab-alpha)",
        "overridden: floor 0.1 instead of 0.35 on words (asked by the test)",
        "overridden: margin 0.9 instead of 0.02 on words (ini setting modellab_margin)",
        "alpha 0.05 shared by 10 assertions: 0.005 each",
    ]
    assert (
        "<sub>overridden: alpha 1e-09 instead of 0.05 (--modellab-alpha)</sub>"
        in markdown.render(weakened)
    )


def test_the_table_of_a_comparison_names_its_own(comparison: Make) -> None:
    text = render_text(comparison("block", overrides=(MARGIN,)))
    assert text.splitlines()[-1] == (
        "note: overridden: margin 0.9 instead of 0.02 on words (ini setting modellab_margin)"
    )


def test_json_keeps_them(weakened: Any, tmp_path: Path) -> None:
    json_file.write([weakened], tmp_path / "r.json")
    assert json_file.read(tmp_path / "r.json") == (weakened,)
    assert json.loads((tmp_path / "r.json").read_text())["overrides"] == [
        "alpha 1e-09 instead of 0.05 (--modellab-alpha)",
        "floor 0.1 instead of 0.35 on words (asked by the test)",
        "margin 0.9 instead of 0.02 on words (ini setting modellab_margin)",
    ]


def test_one_without_any_is_written_as_before(comparison: Make) -> None:
    text = comparison("pass").to_json()
    assert "overrides" not in text
    assert Comparison.from_json(text).overrides == ()


def test_github_warns_of_what_no_test_says(weakened: Any, report: Make, comparison: Make) -> None:
    assert github.annotate(weakened, {}) == [
        "::warning title=modellab%3A rules overridden::alpha 1e-09 instead of 0.05 "
        "(--modellab-alpha); margin 0.9 instead of 0.02 on words (ini setting modellab_margin)"
    ]
    by_test = report(comparisons=(comparison("pass", overrides=(FLOOR,)),))
    assert github.annotate(by_test, {}) == []


def test_allure_and_mlflow_have_them(weakened: Any) -> None:
    words = (
        "alpha 1e-09 instead of 0.05 (--modellab-alpha); floor 0.1 instead of 0.35 on words "
        "(asked by the test); margin 0.9 instead of 0.02 on words (ini setting modellab_margin)"
    )
    assert f"overridden = {words}\n" in environment_properties([weakened])
    assert runs.of_session(weakened).parent.params["overridden"] == words


SECONDS = [[1.0, 1.1], [1.2, 1.0], [1.1, 1.3]]
positive = st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True)


@given(positive)
def test_no_risk_is_printed_as_none(alpha: float) -> None:
    assert float(number(alpha)) == pytest.approx(alpha, rel=0.01)
    assert float(Override("alpha", alpha, 0.05, "").words.split()[1]) > 0
    figures: tuple[Any, ...] = (
        drop([1.0] * 9, [1.0] * 9, margin=0.99, alpha=alpha, pass_alpha=alpha),
        drop([1.0] * 900, [0.0] * 900, margin=0.0, alpha=alpha, pass_alpha=alpha),
        *floor_family([1.0] * 9, ["a"] * 9, floor=0.01, alpha=alpha, pass_alpha=alpha),
        latency_ratio(SECONDS, SECONDS, limit=9.0, alpha=alpha, pass_alpha=alpha),
    )
    for one in figures:
        said = one.explain()
        assert "100%" not in said
        assert "1 in 0" not in said


@pytest.mark.parametrize(
    ("alpha", "confidence", "risk"),
    [
        (0.05, "95%", "1 in 20"),
        (0.004, "99.6%", "1 in 250"),
        (1e-9, "99.9999999%", "1 in 1000000000"),
        (1e-12, "1 - 1e-12", "1 in 1e+12"),
        (5e-324, "1 - 4.94e-324", "less than 1 in 1e+300"),
    ],
)
def test_small_risks_have_enough_digits(alpha: float, confidence: str, risk: str) -> None:
    from pytest_modellab.gate.results import confidence_words, risk_words

    assert confidence_words(alpha) == confidence
    assert risk_words(alpha) == risk


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-9, "1e-09"), (0.0000065, "0.0000065"), (-2.5e-8, "-2.5e-08"), (0.0, "0"), (1e9, "1e+09")],
)
def test_what_has_only_noughts_gets_an_exponent(value: float, text: str) -> None:
    assert number(value) == ("1000000000" if value == 1e9 else text)
