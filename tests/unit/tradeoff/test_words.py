"""The trade-off in words: lines, reasons, refusals, Markdown that nothing breaks out of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from pytest_modellab.records.declared import Scenario
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.reports.text import tradeoff as words
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import TradeOff

Make = Callable[..., Entry]
Weigh = Callable[..., TradeOff]

SUMS = tuple(i for i in range(120) if i % 2 == 0)


def choice_words(found: TradeOff, number: int = 0) -> str:
    return words.reason(found, found.choices[number])


def test_the_line_has_the_documented_form(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    (line,) = words.lines(weigh(entry("base", wrong)))[:1]
    assert line == (
        "[Prompted] base success=0.80 ±0.04 cost=$0.015 latency=0.25s (p95 0.41s) "
        "memory=0.40GB worst=reading/easy 0.80 risk=low"
    )


def test_what_was_not_measured_is_not_in_the_line(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    (line,) = words.lines(weigh(entry("base", wrong, timed=False)))[:1]
    assert "latency" not in line
    assert "cost" not in line


def test_a_choice_says_what_is_gained_and_how_sure(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("better", (), slower=0.5, memory=2e8))
    assert words.recommendation(found) == (
        "choose better for prototype, smb_saas and regulated_enterprise"
    )
    text = choice_words(found)
    assert text.startswith("better: success +0.20, cost x0.50, latency x0.50, memory x0.50, risk -")
    assert text.endswith("against base; best in 100% of 400 resamples")


def test_small_ratios_keep_two_digits_and_zero_has_no_sign(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("words", wrong, slower=0.01, memory=0.0))
    assert words.gain_words(found, "words").startswith(
        "success 0.00, cost x0.010, latency x0.010, no weights, risk "
    )
    assert words.gain_words(found, "base") == (
        "success 0.00, cost x1.00, latency x1.00, memory x1.00, risk 0.00"
    )
    head, rows = words.table(found)
    assert rows[1][head.index("memory")] == "no weights"


def test_what_the_gate_could_not_decide_is_said_of_the_choice(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    quick = [Scenario("quick", "", {"latency": 1.0})]
    found = weigh(entry("base", wrong), entry("fast", wrong, slower=0.2), scenarios=quick)
    delta = found.deltas[0]
    open_ = dataclasses.replace(delta, variant="fast", verdict="inconclusive")
    opened = [
        dataclasses.replace(open_, what="success"),
        dataclasses.replace(open_, what="forgetting"),
        dataclasses.replace(open_, what="forgetting"),
        dataclasses.replace(open_, what="latency", verdict="pass"),
    ]
    found = dataclasses.replace(found, deltas=tuple(opened))
    assert found.unsettled("fast") == ("success", "forgetting")
    assert choice_words(found).endswith(
        " resamples; whether it is worse in success and forgetting is open"
    )
    passed = tuple(dataclasses.replace(d, verdict="pass") for d in opened)
    assert choice_words(dataclasses.replace(found, deltas=passed)).endswith(" resamples")


def test_figures_of_one_kind_have_as_many_digits() -> None:
    assert [words.dollars(v) for v in (0.0, 0.007, 0.0069, 0.0000028, 1.2)] == [
        "$0.00", "$0.0070", "$0.0069", "$0.0000028", "$1.20",
    ]  # fmt: skip
    assert [words.seconds(v) for v in (0.00008, 0.003, 0.012, 0.62)] == [
        "0.080ms", "3.0ms", "12ms", "0.62s",
    ]  # fmt: skip


def test_staying_with_the_reference_is_a_choice_too(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("lost", (*wrong, *SUMS)))
    assert choice_words(found).startswith("base: nothing else gains enough; best in 100%")


def test_a_tie_is_said_to_be_one(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    found = weigh(entry("base", wrong, timed=False), entry("same", wrong, timed=False))
    assert words.recommendation(found).startswith("choose base or same for prototype (a tie)")
    assert choice_words(found).startswith(
        "tie between base and same; stay with base: no change is shown to gain; best in 50% of"
    )


def test_a_refusal_names_the_nearest_miss(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    strict = Scenario("strict", "", {"quality": 1.0}, {"quality": 0.99, "memory": 1.0})
    found = weigh(entry("base", wrong), entry("better", wrong[:6]), scenarios=[strict])
    assert words.recommendation(found) == "no choice; nothing for strict"
    assert choice_words(found) == (
        "no variant meets the limits; better comes nearest: success 0.95, at least 0.99 is allowed"
    )


def test_what_the_gate_blocks_is_said_of_a_recommended_variant(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    quick = [Scenario("quick", "", {"latency": 1.0})]
    fast = entry("fast", (*wrong, *SUMS), slower=0.2)
    text = choice_words(weigh(entry("base", wrong), fast, scenarios=quick))
    assert text.startswith("fast: ")
    assert text.endswith("; against base the gate blocks fast (success), fast (forgetting)")


def test_a_limit_without_a_figure_is_said(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    calm = [Scenario("calm", "", {"quality": 1.0}, {"churn": 0.02})]
    found = weigh(entry("base", wrong), entry("new", (), churn=None), scenarios=calm)
    assert words.recommendation(found) == "choose base for calm"
    _, rows = words.matrix(found)
    (miss,) = found.choices[0].misses["new"]
    assert words.miss_words(miss) == "churn not measured, though limited"
    assert len(rows) == 1


def test_the_matrix_has_a_row_a_strategy(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    found = weigh(
        entry("base", wrong),
        entry("lost", (*wrong, *SUMS), strategy="fine-tuning"),
        entry("better", (), strategy="alignment"),
    )
    head, rows = words.matrix(found)
    assert head == ["strategy", "prototype", "smb_saas", "regulated_enterprise"]
    assert [row[0] for row in rows] == ["prompting", "fine-tuning", "alignment"]
    assert rows[1][2] == "out: lost capabilities lost: 1, at most 0 is allowed"
    assert rows[2][1] == "CHOOSE better 100%"


def test_break_even_and_turns_are_sentences(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    cheap = entry("cheap", (*wrong, 1, 3), slower=0.4, training_usd=2.0)
    text = "\n".join(words.lines(weigh(entry("base", wrong), cheap)))
    assert "cheap has cost less than base from " in text
    assert " requests on (training included)" in text
    assert "it would be base" in text


def test_markdown_fits_a_screen_and_begins_with_the_recommendation(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("better", (), strategy="alignment"))
    text = words.markdown(found)
    assert text.startswith("### Recommendation: choose better for prototype")
    shown = text.partition("<details>")[0]
    assert shown.count("\n") < 40
    assert "| better &#42; |" in text
    assert "| alignment |" in text


def test_nothing_breaks_out(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    evil = "</details><script>alert(1)</script> | `x`\n# head"
    scenario = Scenario("only", evil, {"quality": 1.0})
    found = weigh(entry("base", wrong), notes=[evil], scenarios=[scenario])
    text = words.markdown(found)
    assert "<script>" not in text
    assert "\n# head" not in text
    assert "\n".join(words.lines(found)).count("\n# head") == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "$0.00"), (0.00417, "$0.0042"), (0.0138, "$0.014"), (1.2, "$1.20"), (35.0, "$35.00")],
)
def test_dollars(value: float, text: str) -> None:
    assert words.dollars(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0ms"),
        (0.0000832, "0.083ms"),
        (0.0056, "5.6ms"),
        (0.0451, "45ms"),
        (0.0996, "0.10s"),
        (0.62, "0.62s"),
        (1.14, "1.1s"),
        (12.2, "12s"),
    ],
)
def test_seconds(value: float, text: str) -> None:
    assert words.seconds(value) == text


def test_a_delta_that_could_not_be_judged_says_why(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("other", wrong))
    delta = dataclasses.replace(found.deltas[0], verdict=None, words="the scorer changed")
    assert words.delta_line(delta) == "other success NOT JUDGED: the scorer changed"


def prepared(entry: Entry, **settings: object) -> Entry:
    found = dataclasses.replace(
        entry.record.fingerprint, settings={"device": "cpu", "preprocessing": settings}
    )
    return dataclasses.replace(entry, record=dataclasses.replace(entry.record, fingerprint=found))


def test_media_prepared_otherwise_are_told_before_any_score(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    its_base = Unlike("its base half", ("size: 48 here, 96 there",))
    found = weigh(
        prepared(entry("base", wrong), mean=0.45),
        prepared(entry("off", wrong, preprocessing=(its_base,)), mean=0.5),
        prepared(entry("same", wrong), mean=0.45),
    )
    said = [
        "off: preprocessing is not that of the reference base: mean: 0.5 here, 0.45 there",
        "off: preprocessing is not that of its base half: size: 48 here, 96 there",
    ]
    lines = words.lines(found)
    assert lines[:2] == said
    assert lines[2].startswith("[Prompted] base success=")
    text = words.markdown(found)
    assert text.index("the reference base: mean: 0.5 here") < text.index("| variant |")
    again = figures.loads(figures.dumps(found))
    assert again.profile("off").preprocessing == tuple(one.partition(": ")[2] for one in said)
    assert again.profile("same").preprocessing == ()
