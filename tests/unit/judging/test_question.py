"""What is the same of every assertion: the question, and what an added one makes of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pytest_modellab import gate
from pytest_modellab.errors import ComparisonRefused, GateUsageError
from pytest_modellab.judging.assertions import ASSERTIONS
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.drop import no_regression
from pytest_modellab.judging.fidelity import fidelity
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.question import Question
from pytest_modellab.judging.scores import flips_between, judged_by
from pytest_modellab.judging.words import Words
from pytest_modellab.records.asked import Allowed, Budget
from pytest_modellab.records.declared import TaskSetConfig, VariantSpec
from pytest_modellab.records.divergence import Divergence, Moved
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import NOT_KEPT, RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.reports.text import flipped, table

Make = Callable[..., Any]
WORDS = Words("replies", "replies", "{variant} no longer replies: {what}")


@pytest.fixture
def question(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> Question:
    tasks: TaskSet = make_tasks(
        [sample(k, capability="naming" if k < 20 else "counting") for k in range(40)],
        note="a note.",
    )
    return Question(
        assertion="still_replies",
        test="test_it",
        spec=spec(name="nf4", kind="quantized"),
        task_set=tasks,
        against="baseline of plain",
        budget=Budget(share=0.01, alpha=0.05),
        candidate=record(tasks, [0.0] * 20 + [1.0] * 20),
        reference=record(tasks),
        words=WORDS,
    )


def replies(question: Question, margin: float = 0.0) -> Comparison:
    """A judge as somebody may write one."""
    with question.refusing():
        figures = gate.drop(
            [1.0] * len(question.before.samples),
            [sample.score or 0.0 for sample in question.after.samples],
            margin=margin,
            clusters=question.clusters,
            alpha=question.budget.share,
            pass_alpha=question.budget.alpha,
        )
    return question.comparison([figures], flips=question.flips(), notes=["by reply"])


def test_an_added_judge_states_figures_only(question: Question) -> None:
    found = replies(question)
    assert (found.assertion, found.verdict, found.share) == ("still_replies", "block", 0.01)
    assert (found.candidate, found.against, found.words) == ("nf4", "baseline of plain", WORDS)
    assert len(found.flips) == 20
    assert found.notes == ("tiny: a note", "by reply")
    assert Comparison.from_json(found.to_json()) == found


def test_a_built_in_assertion_is_stored_as_ever(question: Question) -> None:
    found = replies(dataclasses.replace(question, words=None))
    assert "words" not in json.loads(found.to_json())
    assert Comparison.from_json(found.to_json()) == found


def test_samples_are_paired_by_id(question: Question) -> None:
    """A baseline with its lines in another order is the same baseline."""
    candidate: Any = question.candidate
    whole = dataclasses.replace(question, reference=candidate)
    assert replies(whole).flips == ()
    for run in ("candidate", "reference"):
        record: Any = getattr(whole, run)
        turned = dataclasses.replace(record, samples=record.samples[::-1])
        found = dataclasses.replace(whole, **{run: turned})
        assert found.flips() == ()
        assert found.scores_before == whole.scores_before
        assert replies(found) == replies(whole)


@pytest.mark.parametrize("assertion", ["no_regression", "no_forgetting"])
def test_every_run_of_a_judge_is_paired_by_id(question: Question, assertion: str) -> None:
    settings: dict[str, Any] = {"margin": 0.0}
    reference: Any = question.reference
    turned = dataclasses.replace(reference, samples=reference.samples[::-1])
    half: Any = dataclasses.replace(
        reference,
        samples=tuple(
            dataclasses.replace(s, score=float(k < 20)) for k, s in enumerate(reference.samples)
        ),
    )
    found = []
    for second in (half, dataclasses.replace(half, samples=half.samples[::-1])):
        if assertion == "no_forgetting":
            settings = {"margin": 0.0, "second": second, "targeted": ()}
        for first in (reference, turned):
            asked = dataclasses.replace(question, assertion=assertion, reference=first, words=None)
            found.append(ASSERTIONS[assertion].judge(asked, **settings))
    assert found == found[:1] * 4
    assert len(found[0].flips) == 20


def test_a_sample_that_stands_twice_is_refused(question: Question) -> None:
    for run in ("candidate", "reference"):
        record: Any = getattr(question, run)
        twice = dataclasses.replace(record, samples=(*record.samples, record.samples[3]))
        with pytest.raises(ComparisonRefused, match=r"has 1 samples twice: 's3'\. Run it again"):
            replies(dataclasses.replace(question, **{run: twice}))


def test_what_the_gate_refuses_is_said_of_whom(question: Question) -> None:
    where = "'nf4' against baseline of plain on 'tiny': margin is 2"
    with pytest.raises(ComparisonRefused, match=where):
        replies(question, margin=2)
    alone = dataclasses.replace(question, reference=None, against="a fixed limit")
    with pytest.raises(ComparisonRefused, match=r"^'nf4' on 'tiny': too large$"), alone.refusing():
        raise gate.GateInputError("too large")


def test_why_samples_show_nothing_of_fidelity_is_said(question: Question) -> None:
    moved = [Moved(5, 0.1, 5, 0.1)] * 39 + [Moved(5, 0.0, 0, 0.0, failed="the base's are NaN")]
    asked = dataclasses.replace(question, against="plain", candidate=None, reference=None)

    def judged(samples: list[Moved]) -> Comparison:
        found = Divergence(tuple(samples), 0.0, 0.0, 256, 0.0, 0.0)
        return fidelity(asked, moved=found, kl=0.1, agreement=None)

    with pytest.raises(ComparisonRefused) as raised:
        judged(moved)
    assert str(raised.value).startswith(
        "'nf4' against plain on 'tiny': 1 of 40 samples show nothing (2.5%, allowed 2.0%), "
        f"{question.samples[39].id!r} first: the base's are NaN; "
    )


def test_there_may_be_nothing_to_compare_with(question: Question) -> None:
    with pytest.raises(GateUsageError) as caught:
        _ = dataclasses.replace(question, reference=None).before
    assert str(caught.value) == (
        "still_replies compares with another run; name its variant: against=…"
    )


def test_a_changed_prompt_is_refused_unless_strategies_are_compared(question: Question) -> None:
    assert question.reference is not None
    fingerprint = dataclasses.replace(question.reference.fingerprint, prompt="other")
    changed = dataclasses.replace(question.reference, fingerprint=fingerprint)
    with pytest.raises(ComparisonRefused, match="the prompt is not the one of plain's run"):
        replies(dataclasses.replace(question, reference=changed))
    free = dataclasses.replace(question, reference=changed, prompt_may_differ=True)
    assert any("the prompt is not the one of plain's run" in note for note in replies(free).notes)


def test_what_is_allowed_is_asked_or_declared() -> None:
    declared = TaskSetConfig("tiny", path=None, margin=0.02, capability_margin=0.05)  # type: ignore[arg-type]
    assert declared.allowed() == Allowed(0.02, 0.05)
    assert (declared.allowed().of(None), declared.allowed().of("sums")) == (0.02, 0.05)
    assert declared.allowed(0.0) == Allowed(0.0, 0.0)


@pytest.mark.parametrize("capability", [None, "sums"])
def test_a_graded_metric_is_not_judged_at_a_margin_of_0(
    question: Question, capability: str | None
) -> None:
    graded = dataclasses.replace(question, metric="likelihood")
    rule = "margin" if capability is None else "capability_margin"
    with pytest.raises(GateUsageError) as caught:
        no_regression(graded, capability=capability, margin=0.0)
    assert str(caught.value) == (
        "metric 'likelihood' at a margin of 0: batch size, threads and dtype move every likelihood "
        "a little in one direction, which a margin of 0 would block; set "
        f"task_sets.{question.task_set.name}.metrics.likelihood.{rule} = 0.01 in modellab.toml, or "
        "what runs of an unchanged variant show, or ask for a margin above 0"
    )
    assert graded.reference is not None
    with pytest.raises(GateUsageError, match=r"likelihood\.capability_margin"):
        no_forgetting(graded, second=graded.reference, targeted=(), margin=0.0)


def graded(question: Question, before: float, after: Callable[[int], float]) -> Question:
    """A question whose samples are judged by probability: one figure before, another after."""
    runs: dict[str, Any] = {}
    for name, value in (("reference", lambda _: before), ("candidate", after)):
        run: Any = getattr(question, name)
        samples = [
            dataclasses.replace(one, metrics={"probability": value(k)})
            for k, one in enumerate(run.samples)
        ]
        runs[name] = dataclasses.replace(run, samples=tuple(samples))
    return dataclasses.replace(question, metric="probability", words=None, **runs)


def test_under_a_graded_metric_the_samples_that_moved_most_come_first(question: Question) -> None:
    asked = graded(question, 0.6, lambda k: {0: 0.3, 1: 0.1, 2: 0.75}.get(k, 0.6))
    found = no_regression(asked, margin=0.01)
    assert [(flip.id, flip.before, flip.after) for flip in found.flips] == [
        ("s1", 0.6, 0.1),
        ("s0", 0.6, 0.3),
        ("s2", 0.6, 0.75),
    ]
    assert flipped.flip_count(found, 1) == "3 samples moved, 2 down and 1 up, the 1 that moved most"


def test_a_graded_metric_says_what_the_same_samples_score(question: Question) -> None:
    asked = graded(question, 0.6, lambda _: 0.6)
    assert "the same samples score 1.00 -> 0.50" in no_regression(asked, margin=0.01).notes
    one = no_regression(asked, capability="counting", margin=0.05)
    assert "the same samples score 1.00 -> 1.00" in one.notes
    plain = no_regression(dataclasses.replace(asked, metric=None), margin=0.01)
    assert not any("the same samples score" in note for note in plain.notes)


def test_documents_are_not_judged_at_a_margin_of_0(question: Question) -> None:
    samples = tuple(
        dataclasses.replace(s, scorer="perplexity", target=None, choices=())
        for s in question.task_set.samples
    )
    read = dataclasses.replace(
        question, task_set=dataclasses.replace(question.task_set, samples=samples)
    )
    with pytest.raises(GateUsageError) as caught:
        no_regression(read, margin=0.0)
    assert str(caught.value) == (
        "documents at a margin of 0: batch size, threads and dtype move every likelihood a little "
        "in one direction, which a margin of 0 would block; set "
        f"task_sets.{question.task_set.name}.margin = 0.01 in modellab.toml, or what runs of an "
        "unchanged variant show, or ask for a margin above 0"
    )
    assert read.reference is not None
    with pytest.raises(GateUsageError, match=r"tiny\.capability_margin = 0\.01"):
        no_forgetting(read, second=read.reference, targeted=(), margin=0.0)


def test_last_digits_of_a_document_are_no_change(
    sample: Make, make_tasks: Make, record: Make
) -> None:
    texts = [sample(k, scorer="perplexity", target=None, choices=()) for k in range(5)]
    tasks: TaskSet = make_tasks([*texts, sample(5)])
    before = record(tasks, [0.5] * 6)
    after = record(tasks, [0.5, 0.4995, 0.49, 0.3, 0.6, 0.4995])
    found = flips_between(tasks.samples, after, before, None)
    assert [flip.id for flip in found] == ["s3", "s2", "s5", "s4"]


def test_a_metric_does_not_stand_for_a_capability_that_it_tells_little_of(
    question: Question, sample: Make, make_tasks: Make, record: Make
) -> None:
    spoken = {"scorer": "exact", "target": "4", "choices": (), "max_tokens": 8}
    tasks: TaskSet = make_tasks(
        [
            sample(
                k,
                capability="naming" if k < 20 else "counting",
                **(spoken if 20 <= k < 35 else {}),
            )
            for k in range(40)
        ]
    )
    run = record(tasks)
    told = dataclasses.replace(question, task_set=tasks, candidate=run, reference=run)
    asked = graded(told, 0.6, lambda _: 0.6)
    found = no_forgetting(asked, second=run, targeted=(), margin=0.1)
    assert [figures.name for figures in found.figures] == ["naming"]
    assert "counting is not judged: 5 of its 20 samples have a probability" in found.notes


def test_a_limit_that_leaves_nothing_to_forget_is_named(
    question: Question, sample: Make, make_tasks: Make, record: Make
) -> None:
    tasks: TaskSet = make_tasks(
        [sample(k, capability="naming" if k < 2 else "counting") for k in range(4)],
        note="4 of 100 samples (--modellab-limit 4); a note of the header.",
    )
    run = record(tasks)
    asked = dataclasses.replace(
        question, assertion="no_forgetting", task_set=tasks, candidate=run, reference=run
    )
    with pytest.raises(ComparisonRefused, match="nothing that could be forgotten: counting"):
        no_forgetting(asked, second=run, targeted=(), margin=0.1)
    part = dataclasses.replace(tasks, whole=100)
    for second, mend in ((run, "raise the limit to about 12"), (record(part, [0.0] * 4), "remove")):
        with pytest.raises(ComparisonRefused) as refused:
            no_forgetting(
                dataclasses.replace(asked, task_set=part), second=second, targeted=(), margin=0.1
            )
        assert str(refused.value).startswith(
            "tiny: only 4 of 100 samples (--modellab-limit 4): too few to show what the base can; "
            + mend
        )
        assert str(refused.value).endswith(", or leave no_forgetting out of a quick look")
    with pytest.raises(ComparisonRefused, match="targeted by the adaptation"):  # not the limit's
        no_forgetting(
            dataclasses.replace(asked, task_set=part),
            second=run,
            targeted=("naming", "counting"),
            margin=0.1,
        )


def test_alpha_is_shared_equally() -> None:
    assert Budget.shared(0.05, 5) == Budget(share=0.01, alpha=0.05)
    assert Budget.shared(0.05, 0) == Budget(share=0.05, alpha=0.05), "nothing is asked"


def test_the_built_in_assertions_are_as_any_other() -> None:
    assert list(ASSERTIONS) == [
        "no_regression",
        "no_drift",
        "no_forgetting",
        "worst_bucket",
        "no_slowdown",
        "fidelity",
    ]
    assert all(name == assertion.name for name, assertion in ASSERTIONS.items())


# --- graded metrics ------------------------------------------------------------------------------


def graded_question(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make, fell: float
) -> Question:
    """30 samples of multiple choice, of which the candidate is less sure, and 10 replies."""
    samples = [
        *(sample(k, choices=("a", "b"), target=0) for k in range(30)),
        *(sample(k, scorer="exact", target="4", choices=(), max_tokens=8) for k in range(30, 40)),
    ]
    tasks = make_tasks(samples)

    def run(probability: float) -> Any:
        whole = record(tasks)
        return dataclasses.replace(
            whole,
            samples=tuple(
                dataclasses.replace(one, metrics={"probability": probability} if k < 30 else {})
                for k, one in enumerate(whole.samples)
            ),
        )

    return Question(
        assertion="no_regression",
        test="test_it",
        spec=spec(name="nf4", kind="quantized"),
        task_set=tasks,
        against="baseline of plain",
        budget=Budget(share=0.05, alpha=0.05),
        candidate=run(0.9 - fell),
        reference=run(0.9),
        metric="probability",
    )


def test_a_graded_metric_is_judged_on_the_samples_that_have_it(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> None:
    question = graded_question(spec, sample, make_tasks, record, fell=0.4)
    found = no_regression(question, margin=0.02)
    assert found.verdict == "block"
    assert found.figures[0].n == 30
    assert "probability is judged on 30 of 40 samples: 10 have no option that is right" in (
        found.notes
    )


def test_a_graded_metric_that_a_run_lacks(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> None:
    question = graded_question(spec, sample, make_tasks, record, fell=0.4)
    old = dataclasses.replace(question, reference=record(question.task_set))
    with pytest.raises(ComparisonRefused, match=r"^metric 'probability': the run of .* has none"):
        no_regression(old, margin=0.02)
    replies_only = make_tasks([sample(k, choices=(), target="4", max_tokens=8) for k in range(4)])
    none = dataclasses.replace(question, task_set=replies_only)
    with pytest.raises(ComparisonRefused) as caught:
        no_regression(none, margin=0.02)
    assert str(caught.value) == (
        f"metric 'probability': {replies_only.name!r} has no sample with an option that is right; "
        "judge the score (leave the metric out), or another task set"
    )


def test_a_run_without_answers_is_no_old_run(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> None:
    """Where likelihoods are NaN, it is not said that accepting again adds the metric."""
    question = graded_question(spec, sample, make_tasks, record, fell=0.4)
    assert isinstance(question.candidate, RunRecord)
    broken = dataclasses.replace(
        question.candidate,
        samples=tuple(
            dataclasses.replace(one, score=None, output="(NaN)", metrics={})
            for one in question.candidate.samples
        ),
    )
    with pytest.raises(ComparisonRefused) as caught:
        no_regression(dataclasses.replace(question, candidate=broken), margin=0.02)
    assert str(caught.value).endswith(
        f"30 of 30 scores are missing (100.0%, allowed 2.0%), {question.samples[0].id!r} first: "
        "(NaN)"
    )


def read_question(
    question: Question, record: Make, outputs: Sequence[str], before: float, after: float
) -> Question:
    """The same under the likelihood of ten replies, of which the reference said these."""

    def run(value: float, said: Sequence[str]) -> Any:
        whole = record(question.task_set)
        return dataclasses.replace(
            whole,
            samples=tuple(
                dataclasses.replace(
                    one,
                    output="one" if k < 30 else said[k - 30],
                    metrics={"likelihood": value} if k < 30 or said[k - 30].strip() else {},
                )
                for k, one in enumerate(whole.samples)
            ),
        )

    return dataclasses.replace(
        question,
        metric="likelihood",
        candidate=run(after, ["what it says itself"] * 10),
        reference=run(before, outputs),
    )


def test_the_likelihood_of_accepted_replies(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> None:
    plain = graded_question(spec, sample, make_tasks, record, fell=0.4)
    whole = read_question(plain, record, ["four"] * 10, 0.9, 0.5)
    assert no_regression(whole, margin=0.02).figures[0].n == 40
    assert not any("judged on" in note for note in no_regression(whole, margin=0.02).notes)
    some = read_question(
        plain, record, ["four"] * 4 + [NOT_KEPT] * 3 + ["", " \n", "\ud800"], 0.9, 0.5
    )
    found = no_regression(some, margin=0.02)
    assert (found.figures[0].n, found.verdict) == (34, "block")
    assert found.figures[0].dropped == found.figures[0].missing == ()
    assert (
        "likelihood is judged on 34 of 40 samples: 6 have no accepted reply to read (it is empty, "
        "was not kept, or no run is compared with)"
    ) in found.notes
    floor = dataclasses.replace(some, reference=None)
    assert len(floor.samples) == 30


def test_replies_that_nobody_has_read(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> None:
    plain = graded_question(spec, sample, make_tasks, record, fell=0.4)
    question = read_question(plain, record, ["four"] * 10, 0.9, 0.9)
    assert question.reference is not None
    unread = dataclasses.replace(
        question.reference,
        samples=tuple(
            dataclasses.replace(one, metrics={}) if one.output == "four" else one
            for one in question.reference.samples
        ),
    )
    with pytest.raises(ComparisonRefused) as caught:
        no_regression(dataclasses.replace(question, reference=unread), margin=0.02)
    assert str(caught.value) == (
        "metric 'likelihood': the run of 'plain' on 'tiny' has it for none of its replies. It is "
        "kept since baselines have schema 3: modellab accept plain --task-set tiny adds it"
    )
    silent = make_tasks([sample(k, choices=(), target="4", max_tokens=8) for k in range(4)])
    with pytest.raises(ComparisonRefused) as caught:
        judged_by("likelihood", silent)
    assert str(caught.value) == (
        "metric 'likelihood': 'tiny' has no sample with an option that is right, and no accepted "
        "reply that could be read; judge the score (leave the metric out), or another task set"
    )


def test_the_samples_that_moved_most_are_kept_under_a_graded_metric(
    spec: Callable[..., VariantSpec], sample: Make, make_tasks: Make, record: Make
) -> None:
    tasks = make_tasks([sample(k, capability="odd" if k % 2 else "even") for k in range(120)])

    def run(values: list[float]) -> RunRecord:
        found: RunRecord = record(tasks)
        samples = [
            dataclasses.replace(one, metrics={"probability": value})
            for one, value in zip(found.samples, values, strict=True)
        ]
        return dataclasses.replace(found, samples=tuple(samples))

    question = Question(
        assertion="no_regression",
        test="test_it",
        spec=spec(name="nf4", kind="quantized"),
        task_set=tasks,
        against="baseline of plain",
        budget=Budget(share=0.01, alpha=0.05),
        candidate=run([0.5 - 0.004 * k * (1 if k % 3 else -1) for k in range(120)]),
        reference=run([0.5] * 120),
        metric="probability",
    )
    found = no_regression(question, margin=0.02)
    sizes = [flip.distance for flip in found.flips]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 50
    assert sizes[0] == pytest.approx(0.476)
    assert found.moved == (80, 39)
    assert {flip.bucket.split("/")[0] for flip in question.flips("odd")} == {"odd"}
    assert question.flips(among=["odd"]) == question.flips("odd")


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("bits_per_byte", "it rises as a model gets worse"),
        ("log_likelihood", "it has no range"),
    ],
)
def test_figures_of_documents_that_no_verdict_may_rest_on(
    sample: Make, make_tasks: Make, metric: str, why: str
) -> None:
    texts = make_tasks([sample(k, scorer="perplexity", target=None, choices=()) for k in range(5)])
    with pytest.raises(ComparisonRefused) as caught:
        judged_by(metric, texts)
    assert str(caught.value) == (
        f"metric {metric!r}: {why}, so it is shown and never judged; judge 'likelihood', the same "
        "evidence in [0, 1]"
    )
    assert judged_by("likelihood", texts) is texts


def prepared(record: Any, **settings: Any) -> Any:
    found = dataclasses.replace(
        record.fingerprint, settings={**record.fingerprint.settings, "preprocessing": settings}
    )
    return dataclasses.replace(record, fingerprint=found)


def test_media_that_are_prepared_otherwise_are_told_and_compared(question: Question) -> None:
    candidate, reference = (
        prepared(question.candidate, image_mean=[0.5, 0.5]),
        prepared(question.reference, image_mean=[0.48, 0.45]),
    )
    found = replies(dataclasses.replace(question, candidate=candidate, reference=reference))
    assert list(map(str, found.preprocessing)) == [
        "preprocessing is not that of baseline of plain: "
        "image_mean: [0.5, 0.5] here, [0.48, 0.45] there"
    ]
    assert found.verdict == "block"
    anchor = dataclasses.replace(
        reference, samples=tuple(dataclasses.replace(s, output=NOT_KEPT) for s in reference.samples)
    )
    drift = replies(dataclasses.replace(question, candidate=candidate, reference=anchor))
    assert drift.preprocessing == (), "how an anchor was prepared is not kept"
    assert table.render_text(found).startswith("preprocessing is not that of baseline of plain")


@pytest.mark.parametrize(
    ("target", "choices", "expected"),
    [
        (1, ("one", "two"), "two"),
        (7, (), "7"),
        ("red", (), "red"),
        ({"text": "hello", "normalize": "none"}, (), "hello"),
        ({"answers": ["12", "twelve"]}, (), "12 / twelve"),
        ({"type": "object"}, (), ""),
        ("x" * 900, (), "x" * 300 + "… (900 characters) …" + "x" * 100),
    ],
)
def test_a_flip_has_what_its_sample_shows(
    question: Question, record: Make, target: Any, choices: tuple[str, ...], expected: str
) -> None:
    chart = Media("image", "a" * 64, "/set/chart.png", "png", width=9, height=9)
    changes: Any = {"media": (chart,), "target": target, "choices": choices}
    shows = tuple(dataclasses.replace(s, **changes) for s in question.task_set.samples)
    tasks = dataclasses.replace(question.task_set, samples=shows)
    found = replies(
        dataclasses.replace(
            question,
            task_set=tasks,
            candidate=record(tasks, [0.0] + [1.0] * 39),
            reference=record(tasks),
        )
    )
    assert [flip.media for flip in found.flips] == [(chart,)]
    assert (found.flips[0].asked, found.flips[0].expected) == ("What is 0?", expected)
    assert Comparison.from_json(found.to_json()).flips[0].media[0].path == chart.path
