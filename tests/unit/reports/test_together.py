"""The score and graded evidence of the same question, related in one sentence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.reports import json_file
from pytest_modellab.reports.text import markdown, terminal
from pytest_modellab.reports.together import (
    ANOTHER_STYLE,
    CLOSE_CALLS,
    LESS_SURE,
    TOO_FEW,
    together,
)
from tests.unit.reports.conftest import make_comparison, make_figures

Make = Callable[..., Any]


def judged(metric: str | None, *verdicts: str, **changes: Any) -> Comparison:
    """One question by one metric; a verdict each bucket, of ``all`` where there is one."""
    names = ["all"] if len(verdicts) == 1 else [f"bucket{k}" for k in range(len(verdicts))]
    before, after, margin = {
        None: (0.67, 0.59, 0.05),
        "probability": (0.65, 0.592, 0.02),
        "likelihood": (0.49, 0.46, 0.05),
    }[metric]
    figures: Sequence[Figures] = [
        make_figures(
            name=name,
            verdict=verdict,
            baseline=before,
            candidate=after,
            drop=before - after,
            margin=margin,
            p_adjusted=0.029,
        )
        for name, verdict in zip(names, verdicts, strict=True)
    ]
    found = (
        "block" if "block" in verdicts else "pass" if set(verdicts) == {"pass"} else "inconclusive"
    )
    return make_comparison(
        found,
        figures=tuple(figures),
        metric=metric,
        **{"capability": None, "against": "baseline of prompting", **changes},
    )


AGAINST = "all samples against baseline of prompting"


@pytest.mark.parametrize(
    ("score", "graded", "said"),
    [
        (
            "inconclusive",
            {"probability": "block"},
            "the score cannot tell (0.67 -> 0.59, p = 0.029), probability does: 0.65 -> 0.59, "
            f"beyond the allowed 0.02; {TOO_FEW}",
        ),
        (
            "inconclusive",
            {"probability": "inconclusive", "likelihood": "pass"},
            "the score cannot tell (0.67 -> 0.59, p = 0.029), likelihood does: 0.49 -> 0.46, "
            "within the allowed 0.05",
        ),
        (
            "pass",
            {"probability": "block", "likelihood": "block"},
            "the score passes (0.67 -> 0.59), probability fell: 0.65 -> 0.59, beyond the allowed "
            f"0.02, likelihood fell: 0.49 -> 0.46, beyond the allowed 0.05; {LESS_SURE}",
        ),
        (
            "pass",
            {"probability": "pass", "likelihood": "block"},
            "the score passes (0.67 -> 0.59), likelihood fell: 0.49 -> 0.46, beyond the allowed "
            f"0.05; {ANOTHER_STYLE}",
        ),
        (
            "block",
            {"probability": "pass"},
            "the score fell (0.67 -> 0.59), probability did not: 0.65 -> 0.59, within the allowed "
            f"0.02; {CLOSE_CALLS}",
        ),
        (
            "block",
            {"probability": "inconclusive"},
            "the score fell (0.67 -> 0.59), probability cannot tell (0.65 -> 0.59, p = 0.029)",
        ),
        (
            "block",
            {"probability": "block"},
            "the score fell (0.67 -> 0.59), so did probability: 0.65 -> 0.59",
        ),
    ],
)
def test_one_question(score: str, graded: dict[str, str], said: str) -> None:
    others = [judged(metric, verdict) for metric, verdict in graded.items()]
    assert together([*others, judged(None, score)]) == (f"{AGAINST}: {said}",)


@pytest.mark.parametrize(
    "comparisons",
    [
        [],
        [judged(None, "inconclusive")],
        [judged("probability", "block")],
        [judged(None, "pass"), judged("probability", "pass")],
        [judged(None, "pass"), judged("probability", "inconclusive")],
        [judged(None, "inconclusive"), judged("likelihood", "inconclusive")],
        [judged(None, "inconclusive"), judged("probability", "block", against="own baseline")],
        [judged(None, "inconclusive"), judged("probability", "block", candidate="int8")],
        [judged(None, "inconclusive"), judged("probability", "block", capability="sums")],
    ],
)
def test_nothing_to_relate(comparisons: list[Comparison]) -> None:
    assert together(comparisons) == ()


def test_a_family_is_counted() -> None:
    found = together(
        [
            judged(None, "pass", "inconclusive", "inconclusive", assertion="no_forgetting"),
            judged("probability", "pass", "inconclusive", "pass", assertion="no_forgetting"),
        ]
    )
    assert found == (
        "forgetting against baseline of prompting: of 3 capabilities the score settles 1 and "
        "probability settles 2; bucket1 stays open",
    )


def test_a_blocked_bucket_of_a_family_is_named() -> None:
    found = together(
        [
            judged(None, "inconclusive", "inconclusive", assertion="no_forgetting"),
            judged("probability", "inconclusive", "block", assertion="no_forgetting"),
        ]
    )
    assert found == (
        "forgetting against baseline of prompting: bucket1: the score cannot tell (0.67 -> 0.59, "
        f"p = 0.029), probability does: 0.65 -> 0.59, beyond the allowed 0.02; {TOO_FEW}",
        "forgetting against baseline of prompting: of 2 capabilities the score settles 0 and "
        "probability settles 1; bucket0 stays open",
    )


def test_blocks_come_first() -> None:
    found = together(
        [
            judged(None, "inconclusive"),
            judged("likelihood", "pass"),
            judged(None, "inconclusive", against="own baseline"),
            judged("likelihood", "block", against="own baseline"),
        ]
    )
    assert [text.partition(":")[0] for text in found] == [
        "all samples against own baseline",
        AGAINST,
    ]


def test_task_sets_are_named_where_there_are_several() -> None:
    pair = [judged(None, "inconclusive"), judged("likelihood", "pass")]
    other = judged(None, "pass", task_set="support_triage_v1")
    (found,) = together([*pair, other])
    assert found.startswith(f"{AGAINST} on assistant_core_v2: the score cannot tell")


VERDICTS = st.sampled_from(["block", "pass", "inconclusive"])


@given(VERDICTS, VERDICTS, VERDICTS)
def test_it_speaks_where_the_verdicts_differ(score: str, first: str, second: str) -> None:
    graded = [judged("probability", first), judged("likelihood", second)]
    found = together([judged(None, score), *graded])
    assert len(found) <= 1
    if "block" in (score, first, second):
        assert len(found) == 1
    if score == first == second != "block":
        assert found == ()


def test_every_report_has_it(report: Make, run: Make) -> None:
    session = report(
        runs=(run(),),
        comparisons=(judged(None, "inconclusive"), judged("probability", "block")),
    )
    (said,) = together(session.comparisons)
    assert f"    {said}" in [text for text, _ in terminal.lines(session)]
    assert json_file.to_dict(session)["together"] == [{"variant": "nf4", "text": said}]
    assert "- nf4: all samples against baseline of prompting: the score cannot tell" in (
        markdown.render(session)
    )


def test_a_long_list_is_cut(report: Make, run: Make) -> None:
    comparisons = [
        judged(metric, verdict, capability=f"c{k}")
        for k in range(8)
        for metric, verdict in ((None, "inconclusive"), ("probability", "block"))
    ]
    shown = [text for text, _ in terminal.lines(report(runs=(run(),), comparisons=comparisons))]
    assert "    and 2 more, in --modellab-json PATH" in shown
    assert sum("the score cannot tell" in text for text in shown) == 6
