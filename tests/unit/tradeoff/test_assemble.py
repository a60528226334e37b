"""Assembling: every figure from its source, and what is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.question import Question
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import Price, Scenario
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.reports.text import tradeoff as words
from pytest_modellab.tradeoff import figures
from pytest_modellab.tradeoff.entry import Entry
from pytest_modellab.tradeoff.figures import BreakEven, TradeOff

Make = Callable[..., Entry]
Weigh = Callable[..., TradeOff]

SUMS = tuple(i for i in range(120) if i % 2 == 0)


def test_success_is_the_mean_with_its_interval(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    (base,) = weigh(entry("base", wrong)).profiles
    assert base.success.value == pytest.approx(0.8)
    assert base.success.low < 0.8 < base.success.high
    assert base.success.high - base.success.low == pytest.approx(4 * base.stderr, rel=0.15)
    assert base.worst.mean == min(bucket.mean for bucket in base.buckets)
    assert base.worst_low < base.worst.mean
    assert [c.name for c in base.capabilities] == ["reading", "sums"]


def test_latency_by_hand(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    found = weigh(entry("base", wrong), entry("slow", wrong, slower=2.0))
    base, slow = (p.latency for p in found.profiles)
    assert base is not None
    assert slow is not None
    assert base.p50.value == pytest.approx(0.25, rel=0.03)
    assert slow.p50.value == pytest.approx(2 * base.p50.value, rel=0.03)
    assert base.first_token == pytest.approx(0.25 * 0.25, rel=0.03)
    # (end - first) over the tokens after the first, of the prompts whose reply had more than one
    assert base.per_token == pytest.approx(0.05, rel=0.05)
    assert base.p50.low <= base.p50.value <= base.p50.high
    assert base.p95.value <= base.p99
    assert (base.concurrency, base.prompts) == (2, 4)
    assert (base.rounds, slow.rounds) == (12, 6)  # the reference was measured beside the other too
    # two groups, whose longest take 0.2 and 0.4 s
    assert base.requests_per_second == pytest.approx(4 / 0.6, rel=0.03)


def test_a_slow_hour_of_the_machine_is_taken_out(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    """Everything took three times as long beside `other`, its reference too."""
    other = entry("other", wrong)
    performance = other.performance
    assert performance is not None
    assert performance.reference is not None

    def thrice(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(3.0 * s for s in row) for row in rows)

    slow = [
        dataclasses.replace(
            t,
            first_token=thrice(t.first_token),
            end_to_end=thrice(t.end_to_end),
            loaded=thrice(t.loaded),
        )
        for t in (performance.candidate, performance.reference)
    ]
    slowed = dataclasses.replace(performance, candidate=slow[0], reference=slow[1])
    found = weigh(entry("base", wrong), dataclasses.replace(other, performance=slowed))
    base, changed = (p.latency for p in found.profiles)
    assert base is not None
    assert changed is not None
    assert changed.p50.value == pytest.approx(base.p50.value, rel=0.05)
    assert base.drift / changed.drift == pytest.approx(3.0, rel=0.05)


def test_cost_is_seconds_times_price(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    (base,) = weigh(entry("base", wrong)).profiles
    assert base.cost is not None
    assert base.cost.serving.value == pytest.approx(1000 * 0.15 * 0.36 / 3600, rel=0.03)
    assert (base.cost.tokens_in, base.cost.tokens_out) == (25.0, 4.0)


def test_an_endpoint_is_paid_by_tokens(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    price = Price("api", None, 1.0, 2.0)
    (base,) = weigh(entry("base", wrong, price=price)).profiles
    assert base.cost is not None
    assert base.cost.serving.value == pytest.approx(1000 * (25 + 2 * 4) / 1e6)
    assert base.cost.serving.low == base.cost.serving.high


def heard(made: Entry, seconds: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)) -> Entry:
    """An entry whose prompts hold recordings, and the last one an image."""
    assert made.performance is not None
    told = dataclasses.replace(
        made.performance.candidate, audio_seconds=seconds, images=(0, 0, 0, 1)
    )
    return dataclasses.replace(
        made, performance=dataclasses.replace(made.performance, candidate=told)
    )


def test_recordings_and_images_by_hand(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    fast = heard(entry("fast", wrong, slower=0.5))
    found = weigh(heard(entry("base", wrong)), fast, entry("text", wrong))
    base, fast_, text = found.profiles
    assert base.latency is not None
    assert base.latency.real_time_factor is not None
    assert base.latency.real_time_factor.value == pytest.approx(0.1, rel=0.01)
    assert base.latency.real_time_factor.low <= base.latency.real_time_factor.value
    assert fast_.probes["real_time_factor"] == pytest.approx(0.05, rel=0.01)
    assert base.cost is not None
    assert base.cost.minute_of_audio is not None
    assert base.cost.image is not None
    # 2.5 seconds of audio and a quarter of an image in a request
    request = base.cost.serving.value / 1000
    assert base.cost.minute_of_audio.value == pytest.approx(request / 2.5 * 60)
    assert base.cost.image.value == pytest.approx(request / 0.25)
    assert base.probes["usd_per_image"] == base.cost.image.value
    assert text.latency is not None
    assert text.latency.real_time_factor is None
    assert "real_time_factor" not in text.probes
    assert figures.loads(figures.dumps(found)).profile("base") == base


def test_a_whole_text_has_no_first_token(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    made = entry("base", wrong)
    assert made.performance is not None
    told = dataclasses.replace(
        made.performance.candidate, first_token=made.performance.candidate.end_to_end
    )
    whole = dataclasses.replace(made.performance, candidate=told)
    found = weigh(dataclasses.replace(made, performance=whole))
    (base,) = found.profiles
    assert base.latency is not None
    assert (base.latency.first_token, base.latency.per_token) == (None, None)
    assert "95th percentile of a whole text" in words.legend(found)


def test_a_limit_on_the_real_time_factor_keeps_out(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    scenario = Scenario("live", "live", {"quality": 1.0}, {"real_time_factor": 0.07})
    fast = heard(entry("fast", wrong, slower=0.5))
    (choice,) = weigh(
        heard(entry("base", wrong)), fast, entry("text", wrong), scenarios=[scenario]
    ).choices
    assert choice.variants == ("fast",)
    (miss,) = choice.misses["base"]
    assert words.miss_words(miss) == "real-time factor 0.1, at most 0.07 is allowed"
    (miss,) = choice.misses["text"]
    assert words.miss_words(miss) == "real time factor not measured, though limited"


def test_training_pays_from_some_volume_on(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    fast = entry("fast", wrong, slower=0.5, training_usd=3.0)
    found = weigh(entry("base", wrong), fast)
    (paid,) = found.break_even
    assert (paid.variant, paid.other) == ("fast", "base")
    costs = [p.cost.serving.value for p in found.profiles if p.cost is not None]
    assert paid == BreakEven("fast", "base", paid.requests)
    assert paid.requests == pytest.approx(3000.0 / (costs[0] - costs[1]), rel=1e-3)


def test_a_lost_capability_is_forgotten_raises_the_risk_and_keeps_out(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("lost", (*wrong, *SUMS), slower=0.5))
    base, lost = found.profiles
    sums = next(c for c in lost.capabilities if c.name == "sums")
    assert (sums.forgotten, sums.in_scope) == (True, True)
    assert sums.drop.low > 0.5
    assert lost.risk.level == "high"
    verdicts = {(d.variant, d.what): d.verdict for d in found.deltas}
    assert verdicts == {
        ("lost", "success"): "block",
        ("lost", "forgetting"): "block",
        ("lost", "latency"): "pass",
    }
    choice = next(c for c in found.choices if c.scenario.name == "smb_saas")
    assert choice.variants == ("base",)
    assert [m.limit for m in choice.misses["lost"]] == ["forgetting"]
    assert base.risk.level != "high"


def test_what_is_lost_on_another_task_set_counts_too(
    entry: Make, weigh: Weigh, tasks: TaskSet, wrong: tuple[int, ...]
) -> None:
    """Better here, and the sums of another task set are gone."""
    other = dataclasses.replace(tasks, name="core")
    question = Question(
        assertion="no_forgetting",
        test="",
        spec=entry("expert").spec,
        task_set=other,
        against="base",
        budget=Budget(0.01, 0.05),
        candidate=entry("expert", (*wrong, *SUMS)).record,
        reference=entry("base", wrong).record,
    )
    second = entry("base", wrong).record
    lost = no_forgetting(question, second=second, targeted=set(), margin=0.05)
    found = weigh(entry("base", wrong), entry("expert", (), elsewhere=(lost,)))
    expert = found.profile("expert")
    assert expert.risk.level == "high"
    assert not any(c.forgotten for c in expert.capabilities)
    (forgetting,) = (c for c in expert.risk.components if c.name == "forgetting")
    assert forgetting.words == "lost beyond chance: sums (core)"
    texts = [d.words for d in found.deltas if d.what == "forgetting"]
    assert texts[1].startswith("blocked: on core, sums fell from 0.80 to 0.00")
    choice = next(c for c in found.choices if c.scenario.name == "smb_saas")
    assert choice.variants == ("base",)
    assert [m.limit for m in choice.misses["expert"]] == ["forgetting"]


def test_targets_may_be_lost(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    lost = entry("lost", (*wrong, *SUMS))
    meant = dataclasses.replace(lost, spec=dataclasses.replace(lost.spec, targets=("sums",)))
    found = weigh(entry("base", wrong), meant)
    sums = next(c for c in found.profiles[1].capabilities if c.name == "sums")
    assert (sums.forgotten, sums.in_scope) == (False, False)


def test_a_slow_variant_is_blocked_as_slow(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("slow", wrong, slower=1.3))
    verdicts = {d.what: d.verdict for d in found.deltas}
    assert verdicts["latency"] == "block"


def test_without_a_second_run_nothing_is_said_of_forgetting(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("lost", (*wrong, *SUMS)), second=None)
    assert {d.what for d in found.deltas} == {"success", "latency"}
    assert found.profiles[1].capabilities[0].in_scope is None
    choice = next(c for c in found.choices if c.scenario.name == "smb_saas")
    assert "forgetting" in choice.unmeasured


def test_without_latency_the_rest_decides(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("other", (), timed=False))
    assert [p.latency is None for p in found.profiles] == [False, True]
    choice = found.choices[0]
    assert choice.unmeasured == ("cost", "latency")
    assert choice.variants == ("other",)


def test_what_is_measured_of_some_is_shown_and_not_counted(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    found = weigh(entry("base", wrong), entry("other", wrong, churn=None))
    churn = [next(c for c in p.risk.components if c.name == "churn") for p in found.profiles]
    assert [c.value for c in churn] == [0.0, None]
    assert [c.weight for c in churn] == [0.0, 0.0]


def test_a_run_of_other_samples_is_refused(
    entry: Make, weigh: Weigh, tasks: TaskSet, wrong: tuple[int, ...]
) -> None:
    fewer = dataclasses.replace(tasks, samples=tasks.samples[:50])
    said = (
        r"the run of 'base' on 'words' is not one of the 50 samples asked for: 70 only in the run"
    )
    with pytest.raises(ComparisonRefused, match=said):
        weigh(entry("base", wrong), task_set=fewer)


def test_the_order_of_a_run_does_not_matter(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    base, other = entry("base", wrong), entry("other", (1, 5, 9))
    turned = dataclasses.replace(
        other, record=dataclasses.replace(other.record, samples=other.record.samples[::-1])
    )
    assert figures.dumps(weigh(base, turned)) == figures.dumps(weigh(base, other))


def test_the_same_runs_give_the_same_report(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    made = [weigh(entry("base", wrong), entry("other", ())) for _ in range(2)]
    assert figures.dumps(made[0]) == figures.dumps(made[1])


def test_the_order_of_the_variants_changes_no_share(
    entry: Make, weigh: Weigh, wrong: tuple[int, ...]
) -> None:
    a, b, c = entry("base", wrong), entry("b", wrong[3:]), entry("c", wrong[6:], slower=1.1)
    scenario = [Scenario("only", "", {"quality": 1.0})]
    straight = weigh(a, b, c, scenarios=scenario).choices[0]
    turned = weigh(c, a, b, scenarios=scenario).choices[0]
    for name in ("base", "b", "c"):
        assert straight.shares[name] == pytest.approx(turned.shares[name], abs=1e-6)


def test_json_comes_back_as_it_was(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    made = weigh(
        entry("base", wrong, history=(("2026-01-01", 0.8),)),
        entry("lost", (*wrong, *SUMS), timed=False),
        notes=["a <note> & more"],
    )
    text = figures.dumps(made)
    assert figures.dumps(figures.loads(text)) == text
    assert figures.loads(text).profile("lost").risk == made.profile("lost").risk


def test_another_schema_is_refused(entry: Make, weigh: Weigh, wrong: tuple[int, ...]) -> None:
    text = figures.dumps(weigh(entry("base", wrong))).replace('"schema": 1', '"schema": 99')
    with pytest.raises(ValueError, match=r"schema is 99, this version of pytest-modellab reads 1"):
        figures.loads(text)
