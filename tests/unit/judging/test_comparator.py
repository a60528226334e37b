"""The comparator: what may be compared, what is noted, and how scores reach the gate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.errors import ComparisonRefused
from pytest_modellab.judging import drop
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.floor import worst_bucket
from pytest_modellab.judging.question import Question
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet

Make = Callable[..., Any]
BUDGET = Budget(share=0.01, alpha=0.05)


@pytest.fixture
def hundred(sample: Make, make_tasks: Make) -> TaskSet:
    """100 samples of two capabilities, half of them hard."""
    samples = [
        sample(
            k,
            capability="sums" if k < 50 else "words",
            difficulty="hard" if k % 2 else "easy",
        )
        for k in range(100)
    ]
    made: TaskSet = make_tasks(samples)
    return made


@pytest.fixture
def quantized(spec: Callable[..., VariantSpec]) -> VariantSpec:
    return spec(name="nf4", kind="quantized", strategy="quantization", base="plain", model=None)


def judge(
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    task_set: TaskSet,
    **changes: Any,
) -> Comparison:
    asked = Question(
        assertion="no_regression",
        test="test_it",
        spec=spec,
        task_set=task_set,
        against="own baseline",
        budget=BUDGET,
        candidate=candidate,
        reference=reference,
    )
    settings = {"margin": 0.05, **changes}
    fields = {f.name: settings.pop(f.name) for f in dataclasses.fields(asked) if f.name in changes}
    return drop.no_regression(dataclasses.replace(asked, **fields), **settings)


def refusal(
    spec: VariantSpec,
    candidate: RunRecord,
    reference: RunRecord,
    task_set: TaskSet,
    **changes: Any,
) -> str:
    with pytest.raises(ComparisonRefused) as caught:
        judge(spec, candidate, reference, task_set, **changes)
    return str(caught.value)


def differs(text: str) -> str:
    """What a refusal names as different."""
    head = "'nf4' cannot be compared with own baseline on 'tiny': "
    command = "modellab accept plain --task-set tiny"
    tail = f". Record the reference again if the change is wanted: {command}"
    assert text.startswith(head)
    assert text.endswith(tail)
    return text.removeprefix(head).removesuffix(tail)


# --- what is handed on ---------------------------------------------------------------------------


def test_pooled(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    found = judge(quantized, record(hundred), record(hundred), hundred)
    assert (found.assertion, found.test, found.task_set) == ("no_regression", "test_it", "tiny")
    assert (found.candidate, found.kind, found.against) == ("nf4", "quantized", "own baseline")
    assert (found.capability, found.family, found.share) == (None, 1, 0.01)
    (figures,) = found.figures
    assert (figures.n, figures.margin, figures.drop) == (100, 0.05, 0.0)
    assert (figures.alpha, figures.pass_alpha) == (0.01, 0.05)
    assert (found.flips, found.notes) == ((), ())
    assert Comparison.from_json(found.to_json()) == found


def test_one_capability_of_the_family(
    quantized: VariantSpec, hundred: TaskSet, record: Make
) -> None:
    after = record(hundred, [1.0] * 50 + [0.0] * 50)
    found = judge(quantized, after, record(hundred), hundred, capability="words")
    (figures,) = found.figures
    assert (found.family, figures.name, figures.n, figures.drop) == (2, "words", 50, 1.0)
    assert found.verdict == "block"
    assert {flip.bucket for flip in found.flips} == {"words/easy", "words/hard"}
    other = judge(quantized, after, record(hundred), hundred, capability="sums")
    assert other.verdict != "block"
    assert other.flips == ()


def test_clusters_reach_the_gate(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    """Samples without a cluster of their own stand alone, whatever they are called."""
    clustered = dataclasses.replace(
        hundred,
        samples=tuple(
            dataclasses.replace(s, cluster="s99" if k < 10 else None)
            for k, s in enumerate(hundred.samples)
        ),
    )
    found = judge(quantized, record(clustered), record(clustered), clustered)
    assert found.figures[0].clusters == 91
    assert judge(quantized, record(hundred), record(hundred), hundred).figures[0].clusters == 100


def test_flips_losses_first(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    before = [1.0] * 97 + [0.0, None, 1.0]
    after = [1.0] * 96 + [0.0, 1.0, 1.0, None]
    found = judge(quantized, record(hundred, after), record(hundred, before), hundred)
    assert [(f.id, f.lost, f.before, f.after) for f in found.flips] == [
        ("s96", True, 1.0, 0.0),
        ("s99", True, 1.0, None),
        ("s97", False, 0.0, 1.0),
    ]
    assert (found.flips[0].before_output, found.flips[0].after_output) == ("one", "one")


# --- refused and noted ----------------------------------------------------------------------------


def test_other_task_set_version(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    old = dataclasses.replace(hundred, version="0.9")
    assert differs(refusal(quantized, record(hundred), record(old), hundred)) == (
        "task set 'tiny' has version 1, the reference was run on 0.9"
    )


def test_changed_samples(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    first, second, *rest = hundred.samples
    other = dataclasses.replace
    old = other(hundred, samples=(other(first, target=1), *rest))
    assert differs(refusal(quantized, record(hundred), record(old), hundred)) == (
        f"task set 'tiny' has hash {hundred.hash}, the reference was run on {old.hash}; "
        "2 samples were changed, added or removed: s0, s1"
    )
    many = other(hundred, samples=hundred.samples[8:])
    assert "; 8 samples were changed, added or removed: s0, s1, s2, s3, s4, …" in refusal(
        quantized, record(hundred), record(many), hundred
    )
    turned = other(hundred, samples=(second, first, *rest))
    assert differs(refusal(quantized, record(hundred), record(turned), hundred)) == (
        f"task set 'tiny' has hash {hundred.hash}, the reference was run on {turned.hash}"
    )


def test_other_scorer_version(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    now = record(hundred, scorers={"choice": 2, "exact": 1})
    then = record(hundred, scorers={"choice": 1, "exact": 1})
    assert differs(refusal(quantized, now, then, hundred)) == (
        "scorer 'choice' has version 2, was 1"
    )


def test_one_was_asked_in_words(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    worded, likely = (record(hundred, scorers={name: 1}) for name in ("choice_in_words", "choice"))
    assert judge(quantized, worded, worded, hundred).verdict != "block"
    assert differs(refusal(quantized, worded, likely, hundred)) == (
        'multiple choice is asked in words (scoring = "generated") here, and was scored by '
        "likelihood (scoring = \"likelihood\") in the run of 'plain': set the same scoring on both"
    )
    assert differs(refusal(quantized, likely, worded, hundred)) == (
        'multiple choice is scored by likelihood (scoring = "likelihood") here, and was asked in '
        "words (scoring = \"generated\") in the run of 'plain': set the same scoring on both"
    )
    assert refusal(quantized, worded, worded, hundred, metric="probability") == (
        "metric 'probability': the run of 'plain' on 'tiny' was asked multiple choice in words "
        '(scoring = "generated"), which tells no likelihoods: judge the score (leave the metric '
        'out), or set scoring = "likelihood" where the model tells them'
    )


def test_whether_options_are_named_is_judged_of_choices_alone(
    quantized: VariantSpec, hundred: TaskSet, record: Make
) -> None:
    reply: dict[str, Any] = {"scorer": "exact", "target": "x", "choices": (), "max_tokens": 4}
    mixed = dataclasses.replace(
        hundred,
        samples=tuple(
            dataclasses.replace(s, **reply) if k < 40 else s for k, s in enumerate(hundred.samples)
        ),
    )

    def named(share: float) -> RunRecord:
        made: RunRecord = record(mixed)
        samples = (
            dataclasses.replace(one, metrics={"option_named": share} if k >= 40 else {})
            for k, one in enumerate(made.samples)
        )
        return dataclasses.replace(made, samples=tuple(samples))

    found = judge(quantized, named(0.0), named(1.0), mixed, metric="option_named")
    assert (found.verdict, found.figures[0].n, found.figures[0].drop) == ("block", 60, 1.0)


def test_other_prompt(
    quantized: VariantSpec,
    spec: Callable[..., VariantSpec],
    hundred: TaskSet,
    record: Make,
    fingerprint: Make,
) -> None:
    now, then = record(hundred), record(hundred, fingerprint=fingerprint(prompt="old"))
    change = "the prompt is not the one of plain's run"
    assert differs(refusal(quantized, now, then, hundred)) == (
        f"{change}, and the model is another one, too: one thing is changed at a time"
    )
    files = {"prompt": "prompts/a.jinja", "shots": "shots.jsonl"}
    adapts = spec(kind="anybody's", adapts_prompt=True, options=files)
    change = "the prompt (prompts/a.jinja or shots.jsonl) was changed since the reference was"
    assert judge(adapts, now, then, hundred).notes == (f"{change} recorded",), "it adapts that"


def test_the_prompt_alone_is_judged_beside_the_own_accepted_run(
    quantized: VariantSpec, hundred: TaskSet, record: Make, fingerprint: Make
) -> None:
    own = {"name": "nf4", "kind": "quantized", "strategy": "quantization", "base": "plain"}
    now = record(hundred, variant=own)

    def old(**changes: Any) -> RunRecord:
        found = record(hundred, variant=own, fingerprint=fingerprint(prompt="old", **changes))
        assert isinstance(found, RunRecord)
        return found

    settings = {**now.fingerprint.settings, "versions": {"torch": "1"}}
    moved = judge(quantized, now, old(settings=settings), hundred)
    assert "the prompt was changed since the reference was recorded" in moved.notes
    for changes in ({"weights": "other"}, {"settings": {"quantization": {"bits": 3}}}):
        said = refusal(quantized, now, old(**changes), hundred)
        assert "and the model is another one, too: one thing is changed at a time. Record" in said


def test_everything_that_differs_is_named(
    quantized: VariantSpec, hundred: TaskSet, record: Make, fingerprint: Make
) -> None:
    old = dataclasses.replace(hundred, version="0", samples=hundred.samples[1:])
    then = record(old, scorers={"choice": 9}, fingerprint=fingerprint(prompt="old"))
    named = differs(refusal(quantized, record(hundred), then, hundred)).split("; ")
    assert [part.split()[0] for part in named] == ["task", "task", "1", "scorer", "the"]


def test_other_weights_are_what_is_compared(
    quantized: VariantSpec, hundred: TaskSet, record: Make, fingerprint: Make
) -> None:
    then = record(hundred, fingerprint=fingerprint(weights="other", settings={}))
    assert judge(quantized, record(hundred), then, hundred).notes == ()


def test_other_environment_is_noted(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    now = record(hundred, environment={"device": "cpu", "torch": "2.13", "seed": 0})
    then = record(hundred, environment={"device": "cuda", "torch": "2.13", "threads": 4})
    assert judge(quantized, now, then, hundred).notes == (
        "device: cpu here, cuda in the reference",
        "threads: None here, 4 in the reference",
    )


def test_unknown_capability(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    now = record(hundred)
    assert refusal(quantized, now, now, hundred, capability="wrods") == (
        "capability 'wrods': task set 'tiny' has no sample of it; "
        "did you mean 'words'? Known: sums, words"
    )


def test_margin_out_of_range(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    now = record(hundred)
    assert refusal(quantized, now, now, hundred, margin=1.0).startswith(
        "'nf4' against own baseline on 'tiny': margin is 1, but must be at least 0 and below 1"
    )


# --- missing scores -------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [None, "sums"])
def test_missing_scores_are_counted(
    quantized: VariantSpec, hundred: TaskSet, record: Make, of: str | None
) -> None:
    now = record(hundred, [None, None] + [1.0] * 98)
    found = judge(quantized, now, record(hundred), hundred, capability=of)
    (figures,) = found.figures
    assert figures.missing == (0, 1)
    assert figures.drop == 0.0, "missing is no drop, and no pass either"
    assert "2 candidate scores are missing" in figures.explain()
    assert [flip.id for flip in found.flips] == ["s0", "s1"]


def test_more_than_two_percent_missing_is_refused(
    quantized: VariantSpec, hundred: TaskSet, record: Make
) -> None:
    now = record(hundred, [None] * 3 + [1.0] * 97)
    said = refusal(quantized, now, record(hundred), hundred)
    assert said.startswith(
        "'nf4' against own baseline on 'tiny': 3 of 100 candidate scores are missing "
        "(3.0%, allowed 2.0%)"
    )
    first = now.samples[0]
    assert said.endswith(f"; {first.id!r} first: {first.output}"), "why it has none"


def test_scores_missing_in_the_baseline_are_left_out(
    quantized: VariantSpec, hundred: TaskSet, record: Make
) -> None:
    then = record(hundred, [None] * 10 + [1.0] * 90)
    (figures,) = judge(quantized, record(hundred), then, hundred).figures
    assert (figures.n, figures.dropped) == (90, tuple(range(10)))
    empty = record(hundred, [None] * 100)
    assert refusal(quantized, record(hundred), empty, hundred) == (
        "'nf4' against own baseline on 'tiny': there are no samples to compare: all 100 baseline "
        "scores are missing; record the baseline again"
    )


# --- the floor ------------------------------------------------------------------------------------


def floor(spec: VariantSpec, candidate: RunRecord, task_set: TaskSet, least: float) -> Comparison:
    asked = Question(
        assertion="worst_bucket",
        test="test_it",
        spec=spec,
        task_set=task_set,
        against="floor",
        budget=BUDGET,
        candidate=candidate,
    )
    return worst_bucket(asked, floor=least, slice_=lambda sample: sample.bucket)


def test_worst_bucket(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    scores = [0.0 if s.bucket == "words/hard" else 1.0 for s in hundred.samples]
    found = floor(quantized, record(hundred, scores), hundred, 0.5)
    assert (found.assertion, found.against, found.verdict) == ("worst_bucket", "floor", "block")
    assert [figures.name for figures in found.figures] == [
        "words/hard",
        "sums/easy",
        "sums/hard",
        "words/easy",
    ]
    assert (found.family, found.flips, found.capability) == (4, (), None)
    assert found.figures[0].floor == 0.5


def test_floor_out_of_range(quantized: VariantSpec, hundred: TaskSet, record: Make) -> None:
    with pytest.raises(ComparisonRefused) as caught:
        floor(quantized, record(hundred), hundred, 1.5)
    assert str(caught.value).startswith("'nf4' on 'tiny': floor is 1.5, but must be ")


def test_too_much_missing_for_the_floor_is_refused(
    quantized: VariantSpec, hundred: TaskSet, record: Make
) -> None:
    scores = [None if s.bucket == "words/hard" else 1.0 for s in hundred.samples]
    with pytest.raises(ComparisonRefused, match=r"25 of 100 scores are missing \(25.0%, allowed 2"):
        floor(quantized, record(hundred, scores), hundred, 0.5)


def test_missing_scores_are_counted_by_the_floor(
    quantized: VariantSpec, hundred: TaskSet, record: Make
) -> None:
    first = next(s.id for s in hundred.samples if s.bucket == "words/hard")
    scores = [None if s.id == first else 1.0 for s in hundred.samples]
    found = floor(quantized, record(hundred, scores), hundred, 0.5)
    missing = {figures.name: len(figures.missing) for figures in found.figures}
    assert missing == {"words/hard": 1, "sums/easy": 0, "sums/hard": 0, "words/easy": 0}
