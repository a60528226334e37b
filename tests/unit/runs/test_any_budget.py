"""Any token budget and any order of the samples give the same verdicts."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from pytest_modellab import scorers
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.errors import OutOfMemory, ScoringError
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Fingerprint, RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job, needed
from pytest_modellab.variants.prompt import Prompt

pytest.importorskip("torch")
pytest.importorskip("transformers")

PROMPT = Prompt(
    "{% block system %}Answer the question.{% endblock %}{% block user %}{{ input }}{% endblock %}"
)

TASKS = 24


@pytest.fixture(scope="module")
def engine() -> TransformersEngine:
    return TransformersEngine(tiny.llama(3), tiny.tokenizer())


@pytest.fixture
def tasks(sample: Any, make_tasks: Any) -> TaskSet:
    """Options of several lengths, replies, and documents; one is longer than most budgets."""
    draw = random.Random(0)

    def words(most: int) -> str:
        return " ".join(draw.choices(["the", "another", "a", "one", "12"], k=draw.randint(1, most)))

    made = []
    for k in range(TASKS):
        if k % 4 == 1:
            changes = {"choices": (), "target": "x", "scorer": "exact", "max_tokens": 1 + k % 7}
        elif k % 12 == 3:
            changes = {"choices": (), "target": {}, "scorer": "perplexity"}
        else:
            options = {f"{words(5)} {n}" for n in range(2 + k % 3)}
            changes = {"choices": tuple(sorted(options)), "target": k % 2}
        made.append(sample(k, input=words(120 if k == 5 else 20), **changes))
    found: TaskSet = make_tasks(made)
    return found


MakeJob = Callable[..., Job]


@pytest.fixture
def job(tasks: TaskSet, engine: TransformersEngine) -> MakeJob:
    class Source:
        def open(self, cache: Path) -> Any:
            return engine

    def make(**changes: Any) -> Job:
        values: dict[str, Any] = {
            "spec": VariantSpec("plain", "prompted", "prompting"),
            "fingerprint": Fingerprint("w", "t", "p", {"device": "cpu"}),
            "source": Source(),
            "prompt": PROMPT,
            "task_set": tasks,
            "needs": {s.scorer: needed(scorers.SCORERS[s.scorer]) for s in tasks.samples},
        }
        return Job(**{**values, **changes})

    return make


def run(job: Job, cache: Path) -> RunRecord:
    executor = InProcess(cache, lambda source: source.open(cache))
    return runner.run(job, scorers.SCORERS, executor)[0]


@pytest.mark.parametrize("budget", [1, 3, 40, 200, 100_000])
@pytest.mark.parametrize("order", [None, 1])
def test_the_scores_are_the_same(
    job: MakeJob, tasks: TaskSet, tmp_path: Path, budget: int, order: int | None
) -> None:
    usual = run(job(), tmp_path / "usual")
    assert usual.environment["token_budget"] == DEFAULT_BUDGET
    samples = list(tasks.samples)
    if order is not None:
        random.Random(order).shuffle(samples)
    asked = dataclasses.replace(tasks, samples=tuple(samples))
    other = run(job(task_set=asked, budget=budget), tmp_path / "other")
    assert other.environment["token_budget"] == budget
    assert len({result.score for result in usual.samples}) > 2
    found = {result.id: result for result in other.samples}
    for result in usual.samples:
        beside = found[result.id]
        assert beside.output == result.output
        assert beside.score == pytest.approx(result.score, abs=1e-5)
        assert beside.confidence == pytest.approx(result.confidence, abs=1e-4)
        assert beside.metrics == pytest.approx(result.metrics, abs=1e-5, rel=1e-6)
        if result.score in (0.0, 1.0):
            assert beside.score == result.score, "a verdict is not near anything"


def test_two_runs_are_equal_bit_for_bit(job: MakeJob, tmp_path: Path) -> None:
    first, second = (
        InProcess(tmp_path / name, lambda source: source.open(tmp_path)).obtain(job(budget=40))
        for name in ("first", "second")
    )
    assert [o.option_logprobs for o in first.outputs] == [o.option_logprobs for o in second.outputs]
    assert [o.text for o in first.outputs] == [o.text for o in second.outputs]


def test_a_sample_that_alone_exceeds_the_budget_is_a_batch_of_its_own(
    job: MakeJob, tasks: TaskSet, tmp_path: Path, engine: TransformersEngine
) -> None:
    longest = max(tasks.samples, key=lambda s: len(s.input))
    batches: list[int] = []
    executor = InProcess(
        tmp_path,
        lambda source: source.open(tmp_path),
        watch=lambda advance: batches.append(advance.done),
    )
    stored = executor.obtain(job(budget=64))
    tokens = stored.outputs[tasks.samples.index(longest)].tokens_in
    assert tokens > 64 * 2
    assert not any(output.failed for output in stored.outputs)
    assert len(batches) > 3


def test_memory_that_holds_no_sample_names_the_longest(
    job: MakeJob,
    tasks: TaskSet,
    tmp_path: Path,
    engine: TransformersEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budgets: list[int] = []

    def full(requests: Any, *, budget: int, skip: Any, done: Any) -> None:
        budgets.append(budget)
        raise OutOfMemory("CUDA out of memory. GPU 0 has 80 GiB of which 0.1 GiB is free")

    monkeypatch.setattr(engine, "score_options", full)
    with pytest.raises(OutOfMemory) as caught:
        run(job(budget=4), tmp_path)
    assert budgets == [4, 2, 1]
    longest = max(tasks.samples, key=lambda s: len(s.input)).id
    assert str(caught.value) == (
        f"variant 'plain': memory runs out even with one sample a batch, of which {longest} is the "
        "longest: CUDA out of memory. GPU 0 has 80 GiB of which 0.1 GiB is free; end what else "
        "takes memory, shorten the sample or its max_tokens, or take a smaller dtype or a "
        "quantized variant"
    )


def test_a_context_beyond_the_window_is_named_before_anything_is_run(
    job: MakeJob,
    tasks: TaskSet,
    tmp_path: Path,
    engine: TransformersEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine.model.config, "max_position_embeddings", 200)
    seen: list[int] = []
    executor = InProcess(
        tmp_path, lambda source: source.open(tmp_path), watch=lambda a: seen.append(a.done)
    )
    longest = max(tasks.samples, key=lambda s: len(s.input))
    prompt = engine.render(PROMPT.messages(longest.input))
    tokens = len(engine.tokenizer(prompt, add_special_tokens=False).input_ids)
    with pytest.raises(ScoringError) as caught:
        executor.obtain(job())
    assert str(caught.value) == (
        f"sample {longest.id}: its prompt has {tokens} tokens and its reply may have "
        f"{longest.max_tokens}, together more than the 200 that the model sees at once; shorten "
        "it, show fewer examples or passages, or set a smaller max_tokens; a model that sees more "
        "says so in its config.json"
    )
    assert seen == [], "nothing was run"
    monkeypatch.setattr(engine.model.config, "max_position_embeddings", 12)
    with pytest.raises(ScoringError, match=r"^sample s\d+ \(and s\d+, s\d+ and \d+ more\): its "):
        executor.obtain(job())
