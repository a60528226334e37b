"""Every figure on the page is the record's."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.reports import page
from pytest_modellab.reports.page import capabilities, charts, reasons, scatter, verdict, words
from pytest_modellab.tradeoff.decision import Miss, Turn
from pytest_modellab.tradeoff.figures import Estimate

Make = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def whole(tradeoff: Make, read_html: Make) -> tuple[Any, Any]:
    example = tradeoff()
    return example, read_html(page.render([example]))


# --- the recommendation ---------------------------------------------------------------------------


def test_the_headline_and_the_cards_say_each_verdict(whole: tuple[Any, Any]) -> None:
    _, root = whole
    assert root.first("p", "headline").text == (
        "It depends on the scenario: ship student for rapid iteration; ship support for a small "
        "company's product; a tie of prompting and few_shot for no change without a gain; nothing "
        "meets the limits (nearest: support) for a <strict> regulator."
    )
    cards = root.all("article")
    assert [c.first("p", "verdict").text for c in cards] == [
        "✓ choose student",
        "✓ choose support",
        "≈ tie prompting and few_shot",
        "✕ none meets the limits nearest: support",
    ]
    assert [c.first("h4").text for c in cards] == [
        "rapid iteration prototype",
        "a small company's product smb_saas",
        "no change without a gain careful",
        "a <strict> regulator strict",
    ]


def test_one_choice_everywhere(tradeoff: Make) -> None:
    example = tradeoff()
    choice = example.choices[1]
    assert reasons.headline(dataclasses.replace(example, choices=(choice, choice))) == (
        "Ship support: it is the choice in all 2 scenarios."
    )
    assert reasons.headline(dataclasses.replace(example, choices=(choice,))) == (
        'Ship support: it is the choice in the scenario "a small company\'s product".'
    )
    assert reasons.headline(dataclasses.replace(example, choices=(example.choices[3],))) == (
        "In every scenario: nothing meets the limits (nearest: support)."
    )
    assert reasons.headline(dataclasses.replace(example, choices=())) == (
        "No scenario is declared, so nothing is recommended."
    )


def test_how_sure_it_is(tradeoff: Make) -> None:
    choice = dataclasses.replace(
        tradeoff().choices[1],
        shares={"support": 0.87, "prompting": 0.125, "nf4": 0.002, "": 0.003, "student": 0.0},
    )
    assert reasons.probability(choice, 2000) == (
        "support is best in 87% of 2,000 resamples; prompting in 12%; nf4 in <1%; "
        "in <1% none met the limits"
    )
    many = {f"v{i}": 0.02 for i in range(5)}
    choice = dataclasses.replace(choice, shares={"support": 0.9, **many, "": 0.0})
    assert reasons.probability(choice, 2000) == (
        "support is best in 90% of 2,000 resamples; v0 in 2%; v1 in 2%; v2 in 2%; others in 4%"
    )
    choice = dataclasses.replace(choice, verdict="none", shares={"support": 0.14, "": 0.86})
    assert reasons.probability(choice, 2000) == (
        "No variant met the limits in 86% of 2,000 resamples; support did and was best in 14%"
    )


def test_the_reason_says_what_is_gained_and_lost(tradeoff: Make) -> None:
    example = tradeoff()
    prototype, saas, tie, strict = example.choices
    total = words.signed(prototype.steps["student"]["total"])
    assert reasons.reason(example, prototype) == (
        "Against prompting, student gains by latency (620 ms → 210 ms) and cost ($0.0071 → "
        f"$0.0024) and loses by success (0.640 → 0.548); in all {total} steps."
    )
    assert reasons.reason(example, saas).startswith(
        "Against prompting, support gains by success (0.640 → 0.702) and risk (0.31 → 0.27); in all"
    )
    assert reasons.reason(example, tie).startswith(
        "prompting and few_shot cannot be told apart with these samples; prompting comes first, "
        "since a change that gains nothing is not worth making. Against prompting, few_shot gains"
    )
    assert reasons.reason(example, strict) == (
        "The nearest miss is support: success 0.702, at least 0.72 asked: missed by 0.018."
    )


def test_a_tie_of_many_names_the_first(tradeoff: Make) -> None:
    example = tradeoff()
    many = tuple(p.variant for p in example.profiles)
    choice = dataclasses.replace(
        example.choices[2], variants=many, shares=dict.fromkeys(many, 1 / 7)
    )
    short = dataclasses.replace(example, choices=(choice,))
    assert reasons.headline(short) == (
        "In every scenario: a tie of prompting, few_shot, support, overtrained and 3 more."
    )
    assert reasons.reason(example, choice).startswith(
        "prompting, few_shot, support, overtrained and 3 more cannot be told apart"
    )


def test_the_reference_as_the_choice_names_the_next_best(tradeoff: Make) -> None:
    example = tradeoff(
        only=["prompting", "nf4", "overtrained"],
        scenarios=[{"name": "s", "title": "plain", "weights": {"quality": 1.0}}],
    )
    (choice,) = example.choices
    assert choice.variants == ("prompting",)
    assert reasons.reason(example, choice).startswith(
        "prompting is the reference and no other variant is better. The next best: against "
        "prompting, nf4 loses by success (0.640 → 0.611)"
    )


def test_a_single_variant(tradeoff: Make, read_html: Make) -> None:
    example = tradeoff(only=["prompting"])
    assert reasons.reason(example, example.choices[1]) == "prompting is the only variant."
    root = read_html(page.render([example]))
    assert not [h for h in root.all("h3") if h.text == "What was forgotten"]
    assert "1 variant answered" in root.text


def test_what_would_change_the_choice(tradeoff: Make) -> None:
    choice = dataclasses.replace(
        tradeoff().choices[0],
        turns=(
            Turn("weight", "cost", 0.1, 0.264, "nf4"),
            Turn("weight", "quality", 0.5, 0.02, "student"),
            Turn("limit", "churn", 0.02, 0.031, "nf4"),
        ),
    )
    assert reasons.sensitivity(choice) == (
        "It turns to nf4 where cost weighs at least 0.26 instead of 0.10.",
        "It turns to student where success weighs at most 0.02 instead of 0.50.",
        "It turns to nf4 where the limit of churn is 3.1% instead of 2.0%.",
    )
    assert reasons.sensitivity(dataclasses.replace(choice, turns=())) == (
        "No change of a single weight or limit would change the choice.",
    )
    assert reasons.sensitivity(tradeoff().choices[2]) == ()


def test_the_parts_of_a_card_are_the_steps(whole: tuple[Any, Any]) -> None:
    example, root = whole
    for choice, card in zip(example.choices, root.all("article"), strict=True):
        name = reasons.explained(choice, example.reference)
        assert name is not None
        rows = {row[0]: row[3] for row in card.first("table", "parts").rows()}
        parts = choice.steps[name]
        expected = {
            words.METRIC_NAMES[k]: words.signed(v) for k, v in parts.items() if k != "total"
        }
        assert rows == {**expected, "together": words.signed(parts["total"])}


def test_the_bars_of_a_card_are_the_shares(whole: tuple[Any, Any]) -> None:
    example, root = whole
    for choice, card in zip(example.choices, root.all("article"), strict=True):
        shown = {li.first("span", "who").text: li for li in card.first("ul", "shares").all("li")}
        expected = {k or "none meets the limits": v for k, v in choice.shares.items() if v > 0}
        assert {k: li.first("span", "num").text for k, li in shown.items()} == {
            k: words.share(v) for k, v in expected.items()
        }
        for name, li in shown.items():
            bar = li.first("span", "track").first("span")
            assert bar.attributes["style"] == f"width:{expected[name]:.1%}"


def test_a_recommended_variant_that_the_gate_blocks_raises_an_alarm(whole: tuple[Any, Any]) -> None:
    _, root = whole
    alarms = [[p.text for p in c.all("p", "alarm")] for c in root.all("article")]
    assert alarms == [["✕ student is worse than prompting beyond chance in success."], [], [], []]
    assert root.first("p", "warning").text == (
        "✕ Worse than prompting beyond chance: overtrained (in success and forgetting), student "
        "(in success)."
    )


def test_what_could_not_be_weighed_is_said_in_the_open(tradeoff: Make, read_html: Make) -> None:
    root = read_html(page.render([tradeoff(timed=False)]))
    said = [[p.text for p in c.all("p", "open")] for c in root.all("article")]
    open_ = (
        "? Whether support is worse than prompting in forgetting is not settled by these samples."
    )
    assert said[0] == [
        open_,
        "? Not applied, since not every variant was measured: cost and latency (95th percentile).",
    ]
    assert said[1] == [open_]


def test_a_card_says_what_was_asked_and_who_was_kept_out(whole: tuple[Any, Any]) -> None:
    _, root = whole
    asked = root.all("article")[3].first("details").text
    assert "Weights: success 0.5, risk 0.5." in asked
    assert "Limits: success at least 0.72; churn at most 2.0%." in asked
    assert "Training is paid by 1,000,000 requests." in asked
    assert (
        "nf4: success 0.611, at least 0.72 asked; churn 3.1%, at most 2.0% allowed "
        "(missed in 100% of the resamples)"
    ) in asked


# --- the matrix -----------------------------------------------------------------------------------


def test_the_matrix_has_each_strategy_s_best(whole: tuple[Any, Any]) -> None:
    example, root = whole
    rows = root.first("table", "matrix").rows()
    assert [row[0] for row in rows] == list(example.strategies)
    fine_tuning = dict(zip(example.strategies, rows, strict=True))["fine-tuning"]
    total = words.signed(example.choices[1].steps["support"]["total"])
    assert fine_tuning[2] == f"support✓ choose best in 100%, {total} steps"
    assert fine_tuning[3] == "support ✕ out: cost $0.147, at most $0.02 allowed"
    assert fine_tuning[4] == "support ✕ nearest miss, out: success 0.702, at least 0.72 asked"


def test_a_strategy_s_best_meets_the_limits_first(tradeoff: Make) -> None:
    choice = tradeoff().choices[1]  # nothing may be forgotten
    assert verdict.best_of(choice, ["overtrained", "support"]) == "support"
    choice = dataclasses.replace(choice, misses={"support": (Miss("churn", 0.03, 0.02, 1.0),)})
    assert verdict.best_of(choice, ["overtrained", "support"]) == "overtrained"


# --- tables ---------------------------------------------------------------------------------------


def test_the_table_of_variants(whole: tuple[Any, Any]) -> None:
    example, root = whole
    rows = root.first("table", "variants").rows()
    for profile, row in zip(example.profiles, rows, strict=True):
        assert row[0].startswith(profile.variant)
        assert row[1] == (
            f"{profile.success.value:.3f} {profile.success.low:.3f} to {profile.success.high:.3f}"
        )
        assert row[2].startswith(words.dollars(profile.cost.serving.value))
        p50, p95 = profile.latency.p50.value, profile.latency.p95.value
        assert row[3].startswith(f"{words.seconds(p50)} ({words.seconds(p95)})")
        assert row[4] == words.size(profile.memory.held)
        assert row[5].removeprefix("▼ ") == f"{profile.worst.mean:.3f} {profile.worst.name}"
        assert row[5].startswith("▼") == (profile.worst.mean < example.floor)
        assert row[6].startswith(f"{profile.risk.value.value:.2f}")
        assert row[6].endswith(profile.risk.level)
        assert row[7] == f"{profile.churn:.1%}"
    by_name = {p.variant: row for p, row in zip(example.profiles, rows, strict=True)}
    assert by_name["prompting"][8] == "reference"
    assert by_name["overtrained"][8] == "✕ success block✕ forgetting block– latency not judged"
    assert by_name["student"][0] == "student ★◇ ◆ distillation, lora"


def test_what_was_not_measured_is_a_dash(tradeoff: Make, read_html: Make) -> None:
    root = read_html(page.render([tradeoff(timed=False)]))
    assert all(row[2:5] == ["–", "–", "–"] for row in root.first("table", "variants").rows())
    assert not [h for h in root.all("h3") if h.text == "What success costs"]


def test_heat_maps_hold_every_score_and_mark_the_floor(whole: tuple[Any, Any]) -> None:
    example, root = whole
    by_capability, by_bucket = root.all("table", "heat")
    for profile, row, node in zip(
        example.profiles, by_bucket.rows(), by_bucket.first("tbody").all("tr"), strict=True
    ):
        assert row[0] == profile.variant
        scores = {b.name: b.mean for b in profile.buckets}
        names = [f"{c.name}/{d}" for c in profile.capabilities for d in ("easy", "medium", "hard")]
        assert [re.sub(r"under the floor ▼", "", cell) for cell in row[1:]] == [
            f"{scores[name]:.2f}" for name in names
        ]
        low = [name for name, cell in zip(names, row[1:], strict=True) if "▼" in cell]
        assert low == [name for name in names if scores[name] < example.floor]
        classes = [td.attributes["class"].split()[0] for td in node.all("td")]
        assert classes == [f"h{min(int(scores[name] * 10), 9)}" for name in names]
    for profile, row in zip(example.profiles, by_capability.rows(), strict=True):
        assert row[1:] == [f"{c.mean.value:.2f}" for c in profile.capabilities]
    assert [th.text for th in by_bucket.all("tr")[1].all("th")][:3] == ["easy", "medium", "hard"]


def test_drawings_have_their_numbers_in_a_table(whole: tuple[Any, Any]) -> None:
    example, root = whole
    tables = {t.first("caption").text: t for t in root.all("table")}
    for metric in ("cost", "latency", "memory"):
        rows = tables[f"Success and {metric} of each variant"].rows()
        assert [row[0] for row in rows] == [p.variant for p in example.profiles]
        assert [row[1] for row in rows] == [f"{p.success.value:.3f}" for p in example.profiles]
        assert [row[3] for row in rows] == [
            words.metric_value(metric, words.measured(p, metric)) for p in example.profiles
        ]
    every = [(p, c) for p in example.profiles for c in p.capabilities]
    rows = tables["Success by variant and capability, beside the accepted run and prompting"].rows()
    assert [row[:2] for row in rows] == [[p.variant, c.name] for p, c in every]
    for row, (_, c) in zip(rows, every, strict=True):
        assert row[3] == f"{c.mean.value:.3f}"
        assert row[5] == ("–" if c.baseline is None else f"{c.baseline:.3f}")
        assert row[6] == f"{c.reference:.3f}"
        assert row[7] == words.signed(c.drop.value, 3)
        assert (row[9] == "lost") == c.forgotten
    history = [[p.variant, d, f"{m:.3f}"] for p in example.profiles for d, m in p.history]
    assert tables["Mean score of each accepted run"].rows() == history


def test_fronts(tradeoff: Make) -> None:
    found = {p.profile.variant: p.front for p in scatter.points(tradeoff(), "cost")}
    assert [name for name, front in found.items() if front] == ["prompting", "support", "student"]


def test_a_name_that_stands_off_its_point_is_joined_to_it(tradeoff: Make) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure((3.6, 3.3), dpi=100)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    given = tradeoff()
    near = [Estimate(0.5 + 0.02 * i, 0.4, 0.6) for i in range(len(given.profiles))]
    found = [scatter.Point(p, x, x) for p, x in zip(given.profiles, near, strict=True)]
    scatter._names(axes, given, found, charts.NARROW)
    off = {abs(t.xyann[0]) > scatter.NEAR: t.arrow_patch is not None for t in axes.texts}
    assert off == {True: True, False: False}


def test_lost_capabilities_are_named(whole: tuple[Any, Any]) -> None:
    _, root = whole
    assert [li.text for li in root.first("ul", "lost").all("li")] == [
        "overtrained has lost arithmetic and logic"
    ]
    drops = [s for s in root.all("svg") if s.first("title").text.startswith("overtrained: what")]
    assert drops[0].first("desc").text.endswith("Lost: arithmetic and logic.")
    assert sum(t.text.endswith(" lost") for t in drops[0].all("text")) == 2


def test_forgetting_that_was_not_judged(tradeoff: Make, read_html: Make) -> None:
    example = tradeoff(only=["prompting", "few_shot"])
    profiles = tuple(
        dataclasses.replace(
            p,
            capabilities=tuple(dataclasses.replace(c, in_scope=None) for c in p.capabilities),
        )
        for p in example.profiles
    )
    root = read_html(page.render([dataclasses.replace(example, profiles=profiles)]))
    assert "Forgetting was not judged: the reference has no second run." in root.text


def test_risks_deltas_and_method(whole: tuple[Any, Any]) -> None:
    example, root = whole
    tables = {t.first("caption").text: t for t in root.all("table")}
    risk = tables["Risk of each variant with its components, and calibration"]
    for profile, row in zip(example.profiles, risk.rows(), strict=True):
        parts = [c.value for c in profile.risk.components]
        assert row[3:6] == ["–" if v is None else f"{v:.2f}" for v in parts]
        fit = profile.risk.calibration
        assert row[6:] == (["–", "–"] if fit is None else [f"{fit.ece:.3f}", f"{fit.brier:.3f}"])
    assert "prompt instability not counted" in risk.first("thead").text
    found = tables["Verdicts on the variants against prompting"].rows()
    assert len(found) == len(example.deltas)
    assert [row[2] for row in found][:4] == ["✕ block", "✕ block", "✕ block", "? inconclusive"]
    assert ["student", "success", "✕ block", "student <was> judged"] in found
    assert "student has cost less than prompting from 29,788 requests on" in root.text
    facts = root.first("dl").text
    for fact in (
        "assistant_core_v2, version 2",
        example.task_set["hash"],
        "resamples 2,000",
        "seed 7",
        "alpha 0.05",
        "reference prompting",
        "floor 0.3",
    ):
        assert fact in facts


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (words.share, 0.0, "0%"),
        (words.share, 0.004, "<1%"),
        (words.share, 0.995, ">99%"),
        (words.share, 1.0, "100%"),
        (words.dollars, 0.00578, "$0.00578"),
        (words.dollars, 12.3456, "$12.3"),
        (words.dollars, 12345.6, "$12,346"),
        (words.seconds, 0.5116, "512 ms"),
        (words.seconds, 0.9999, "1 s"),
        (words.seconds, 12.34, "12.3 s"),
        (words.size, 5.38e8, "538 MB"),
        (words.size, 1.084e9, "1.08 GB"),
        (words.signed, -0.044, "\N{MINUS SIGN}0.04"),
        (words.signed, -0.004, "0.00"),
        (words.signed, 0.394, "+0.39"),
    ],
)
def test_numbers(write: Callable[[float], str], value: float, text: str) -> None:
    assert write(value) == text


def test_a_narrow_miss_shows_the_digits_that_matter() -> None:
    found = Miss("quality", 0.599996, 0.6, 0.5)
    assert words.miss(found) == "success 0.599996, at least 0.6 asked"


def test_charts_go_to_the_recommended_the_lost_and_the_blocked(tradeoff: Make) -> None:
    shown = [p.variant for p in capabilities.charted(tradeoff(), reference=True)]
    assert shown == ["student", "support", "prompting", "few_shot", "overtrained", "nf4"]
    shown = [p.variant for p in capabilities.charted(tradeoff(scenarios=[]), reference=False)]
    assert shown[:2] == ["overtrained", "student"]
    assert "prompting" not in shown


def test_an_interval_that_misses_its_figure_by_rounding_is_drawn(tradeoff: Make) -> None:
    example = tradeoff(only=["prompting", "nf4"])
    beside = Estimate(0.5, math.nextafter(0.5, 1.0), math.nextafter(0.5, 1.0))  # of one round
    profiles = tuple(dataclasses.replace(one, success=beside) for one in example.profiles)
    drawn = scatter.scatter(dataclasses.replace(example, profiles=profiles), "x")
    assert "against latency" in str(drawn)
