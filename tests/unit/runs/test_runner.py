"""The runner with an engine that only counts: resumed, halved, checked, never run twice."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.engines import interface as engines
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import Done, GenerationRequest, ScoringRequest, Source
from pytest_modellab.errors import ModelError, OutOfMemory, ScoringError, VariantLoadError
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs import answering, batches, runner, scoring
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import SEED, Job, needed
from pytest_modellab.runs.summary import summarize
from pytest_modellab.store import budgets, said

Make = Callable[..., Any]

NEEDS = {name: needed(scorer) for name, scorer in scorers.SCORERS.items()}


def opened(source: Source) -> engines.Engine:
    return source.open(Path())


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class Engine:
    """Answers in batches of ``budget`` requests and notes what it was asked.

    Args:
        fits: largest budget that does not run out of memory.
        kill_after: batches until the process is killed.
        logprobs: what every option gets, the first first.
        text: what is generated; None for an answer of NaN.
    """

    def __init__(
        self,
        *,
        fits: int = 10**9,
        kill_after: int | None = None,
        logprobs: Sequence[float] = (-1.0, -2.0),
        text: str | None = "7",
    ) -> None:
        self.fits, self.kill_after = fits, kill_after
        self.logprobs, self.text = tuple(logprobs), text
        self.loads = 0
        self.batches: list[tuple[str, int, tuple[int, ...]]] = []

    def open(self, cache: Path) -> Engine:
        self.loads += 1
        return self

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return "|".join(message["content"] for message in messages)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert all(request.options for request in requests)
        output = Output("", self.logprobs, tokens_in=10, tokens_out=2, seconds=0.5)
        self._answer("scored", len(requests), budget, skip, done, output)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert all(request.max_tokens > 0 for request in requests)
        output = Output(self.text or "", tokens_in=10, tokens_out=1, seconds=0.25)
        if self.text is None:
            output = dataclasses.replace(output, failed="the model's logits are NaN")
        self._answer("generated", len(requests), budget, skip, done, output)

    def _answer(
        self, what: str, size: int, budget: int, skip: Set[int], done: Done, output: Output
    ) -> None:
        for start in range(0, size, budget):
            batch = tuple(range(start, min(start + budget, size)))
            if skip >= set(batch):
                continue
            if self.kill_after is not None and len(self.batches) >= self.kill_after:
                raise Killed
            if len(batch) > self.fits:
                raise OutOfMemory("no room")
            self.batches.append((what, budget, batch))
            done(dict.fromkeys(batch, output))

    def seed(self, seed: int) -> None:
        pass

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 3, "mylib": "1.2"}

    def parameter_bytes(self) -> int:
        return 1234

    def close(self) -> None:
        raise AssertionError("the lab closes engines, the runner does not")


class Prompt:
    hash = "plain"

    @staticmethod
    def messages(input_: str, passages: Sequence[str] = ()) -> list[dict[str, str]]:
        return [{"role": "user", "content": input_}]


@pytest.fixture
def mixed(sample: Make, make_tasks: Make) -> TaskSet:
    """Four samples that are scored by likelihood among two that are generated."""
    generated = {"scorer": "number", "target": "7", "choices": (), "max_tokens": 4}
    made: TaskSet = make_tasks(
        [sample(k, **(generated | {"capability": "sums"} if k in (1, 4) else {})) for k in range(6)]
    )
    return made


MakeJob = Callable[..., Job]
Run = Callable[..., tuple[RunRecord, bool]]
Again = Callable[..., RunRecord]


@pytest.fixture
def job(
    fingerprint: Make,
    spec: Callable[..., VariantSpec],
    mixed: TaskSet,
    monkeypatch: pytest.MonkeyPatch,
) -> MakeJob:
    monkeypatch.setattr(answering, "GENERATION_FACTOR", 4)

    def make(engine: Engine, **changes: Any) -> Job:
        values: dict[str, Any] = {
            "spec": spec(),
            "fingerprint": fingerprint(),
            "prompt": Prompt(),
            "source": engine,
            "task_set": mixed,
            "needs": NEEDS,
        }
        return Job(**{**values, **changes})

    return make


@pytest.fixture
def run(job: MakeJob, mixed: TaskSet, tmp_path: Path) -> Run:
    def go(engine: Engine, task_set: TaskSet = mixed, **options: Any) -> tuple[RunRecord, bool]:
        judges = options.pop("scorers", scorers.SCORERS)
        seen = options.pop("progress", lambda done, total: None)
        executor = InProcess(
            tmp_path, opened, watch=lambda advance: seen(advance.done, advance.total)
        )
        asked = job(engine, task_set=task_set, **{"budget": 2, **options})
        return runner.run(asked, judges, executor)

    return go


@pytest.fixture
def again(job: MakeJob, tmp_path: Path) -> Again:
    """Run a second time."""
    return lambda engine, first, **options: runner.repeat(
        job(engine, **options), scorers.SCORERS, InProcess(tmp_path, opened), first=first
    )


def test_a_device_is_waited_for_without_a_lock_of_the_store(job: MakeJob, tmp_path: Path) -> None:
    """Else who has it, and wants that run, would wait for the run."""
    engine, found = Engine(), list[object]()

    @contextlib.contextmanager
    def turn(sources: Iterable[Source]) -> Iterator[None]:
        found.extend([*sources, *tmp_path.glob("runs/*/lock")])
        yield

    InProcess(tmp_path, opened, turn=turn).obtain(job(engine))
    assert found == [engine]
    assert [*tmp_path.glob("runs/*/lock")]


def test_run_record(run: Run, mixed: TaskSet) -> None:
    record, cached = run(Engine())
    assert not cached
    assert record.task_set == {"name": "tiny", "version": "1", "hash": mixed.hash}
    assert record.variant == {
        "name": "plain",
        "kind": "prompted",
        "strategy": "prompting",
        "base": None,
    }
    assert record.scorers == {"choice": 1, "number": 1}
    assert [s.id for s in record.samples] == [s.id for s in mixed.samples]
    assert [s.hash for s in record.samples] == [s.content_hash for s in mixed.samples]
    assert [s.score for s in record.samples] == [1.0] * 6
    assert [s.output for s in record.samples] == ["one", "7", "one", "one", "7", "one"]
    assert [s.seconds for s in record.samples] == [0.5, 0.25, 0.5, 0.5, 0.25, 0.5]
    assert record.probes == {
        "parameter_bytes": 1234.0,
        "seconds": 2.5,
        "tokens": 70.0,
        "tokens_per_second": 28.0,
    }
    environment = record.environment
    assert (environment["device"], environment["token_budget"], environment["seed"]) == (
        "cpu",
        2,
        0,
    )
    assert (environment["threads"], environment["mylib"]) == (3, "1.2"), "as the engine says"
    assert {"python", "platform", "recorded"} <= set(environment)


def test_batches_and_progress(run: Run) -> None:
    engine = Engine()
    seen: list[tuple[int, int]] = []
    run(engine, progress=lambda done, total: seen.append((done, total)))
    assert engine.batches == [
        ("scored", 2, (0, 1)),
        ("scored", 2, (2, 3)),
        ("generated", 2 * 4, (0, 1)),
    ]
    assert seen == [(0, 6), (2, 6), (4, 6), (6, 6)]


def test_a_stored_run_loads_nothing(run: Run) -> None:
    first, _ = run(Engine())
    engine = Engine()
    again, cached = run(engine)
    assert cached
    assert again == first
    assert (engine.loads, engine.batches) == (0, [])


def test_without_reuse_it_is_run_anew(run: Run) -> None:
    run(Engine())
    engine = Engine(logprobs=(-2.0, -1.0))
    record, cached = run(engine, reuse=False)
    assert not cached
    assert len(engine.batches) == 3
    assert record.samples[0].score == 0.0
    assert run(Engine())[0] == record, "and it replaces the stored run"


def test_a_changed_target_is_scored_from_the_store(run: Run, mixed: TaskSet) -> None:
    run(Engine())
    engine = Engine()
    turned = tuple(
        dataclasses.replace(s, target=1) if s.scorer == "choice" else s for s in mixed.samples
    )
    record, cached = run(engine, dataclasses.replace(mixed, samples=turned))
    assert cached
    assert engine.loads == 0
    assert [s.score for s in record.samples] == [0.0, 1.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_a_killed_run_is_taken_up(run: Run, batches: int) -> None:
    whole = Engine()
    killed, later = Engine(kill_after=batches), Engine()
    with pytest.raises(Killed):
        run(killed)
    seen: list[int] = []
    record, cached = run(later, progress=lambda done, _: seen.append(done))
    assert not cached
    assert seen[0] == 2 * batches
    assert [s.score for s in record.samples] == [1.0] * 6
    run(whole, reuse=False)
    assert [*killed.batches, *later.batches] == whole.batches, "no batch twice, none left out"


def test_a_killed_run_is_not_taken_up_without_reuse(run: Run) -> None:
    with pytest.raises(Killed):
        run(Engine(kill_after=2))
    engine = Engine()
    run(engine, reuse=False)
    assert len(engine.batches) == 3


def test_a_killed_run_of_another_budget_is_not_taken_up(run: Run) -> None:
    with pytest.raises(Killed):
        run(Engine(kill_after=2))
    engine = Engine()
    run(engine, budget=3)
    assert [batch for what, _, batch in engine.batches if what == "scored"] == [(0, 1, 2), (3,)]


class Saying(Engine):
    """Says which budget fits its device."""

    def __init__(self, says: int, **options: Any) -> None:
        super().__init__(**options)
        self.says = says

    def token_budget(self) -> int:
        return self.says


def test_the_engine_says_the_budget_where_nobody_sets_it(run: Run) -> None:
    record, _ = run(Saying(3), budget=None)
    assert record.environment["token_budget"] == 3
    record, _ = run(Saying(3), budget=2, reuse=False)
    assert record.environment["token_budget"] == 2, "what is set counts"
    record, _ = run(Engine(), budget=None, reuse=False)
    assert record.environment["token_budget"] == DEFAULT_BUDGET
    record, _ = run(Saying(5), budget=None, reuse=False)
    assert record.environment["token_budget"] == 5, "on the CPU nothing is kept of what it says"


def test_an_accelerator_keeps_the_budget_that_it_had_first(
    run: Run, fingerprint: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(batches, "full_name", lambda device: f"a {device} of 80 GB")
    there = fingerprint(settings={"device": "cuda", "dtype": "bfloat16"})

    def budget(says: int, **options: Any) -> int:
        options = {"budget": None, "reuse": False, "fingerprint": there, **options}
        record, _ = run(Saying(says, fits=options.pop("fits", 10**9)), **options)
        return int(record.environment["token_budget"])

    assert budget(8) == 8
    assert budget(4) == 8, "less memory is free now, and the run's batches are the same"
    assert budget(8, budget=16) == 16, "what is set is not lowered by it"
    assert budget(8, fits=2) == 2
    assert budget(8) == 2, "what fitted"
    assert budget(8, budget=16) == 2
    assert budgets.recall_budget(tmp_path, there, 99) == 99, "another device knows nothing of it"
    monkeypatch.setattr(batches, "full_name", lambda device: "a larger one")
    assert budget(16) == 16


def test_a_run_knows_the_accelerator_by_its_name(
    run: Run, fingerprint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "full_name", lambda device: f"a {device} of 80 GB")
    there = fingerprint(settings={"device": "cuda", "dtype": "bfloat16"})
    record, _ = run(Engine(), fingerprint=there)
    assert record.environment["accelerator"] == "a cuda of 80 GB"
    record, _ = run(Engine())
    assert "accelerator" not in record.environment


def test_out_of_memory_halves_the_budget(run: Run) -> None:
    engine = Engine(fits=2)
    heard: list[str] = []
    with said.listening(heard.append):
        record, _ = run(engine, budget=8)
    assert heard == [
        f"plain on tiny: memory does not hold batches of {more} tokens; they are made anew, of "
        f"{more // 2}"
        for more in (8, 4)
    ]
    assert [(budget, batch) for what, budget, batch in engine.batches if what == "scored"] == [
        (2, (0, 1)),
        (2, (2, 3)),
    ]
    assert record.environment["token_budget"] == 2
    later = Engine()
    run(later, budget=8, reuse=False)
    assert {budget for what, budget, _ in later.batches if what == "scored"} == {2}, "remembered"


def test_the_second_run_has_batches_of_half_the_size(again: Again, run: Run) -> None:
    record, _ = run(Engine(), budget=DEFAULT_BUDGET)
    engine = Engine()
    second = again(engine, record)
    assert second.environment["token_budget"] == DEFAULT_BUDGET // 2
    assert again(Engine(kill_after=0), record) == second, "from the store"


def test_the_second_run_halves_what_memory_left_of_the_first(again: Again, run: Run) -> None:
    record, _ = run(Engine(fits=2), budget=8)
    assert record.environment["token_budget"] == 2
    engine = Engine(fits=2)
    second = again(engine, record)
    assert second.environment["token_budget"] == 1
    assert {len(batch) for what, _, batch in engine.batches if what == "scored"} == {1}
    smallest = again(Engine(), second, reuse=False)
    assert smallest.environment["token_budget"] == 1, "no batch is smaller than one sample"


def test_a_stored_second_run_of_larger_batches_is_run_again(again: Again, run: Run) -> None:
    larger, _ = run(Engine(), budget=8)
    assert again(Engine(), larger).environment["token_budget"] == 4
    smaller, _ = run(Engine(), budget=4, reuse=False)
    assert again(Engine(), smaller).environment["token_budget"] == 2
    assert again(Engine(kill_after=0), smaller).environment["token_budget"] == 2, "now stored"


def test_out_of_memory_begins_anew(run: Run, sample: Make, make_tasks: Make) -> None:
    """Batches of the larger plan are not mixed with those of the smaller one."""
    generated = {"scorer": "number", "target": "7", "choices": (), "max_tokens": 4}
    samples = [sample(k, **(generated if k >= 2 else {})) for k in range(10)]
    engine = Engine(fits=4)
    seen: list[int] = []
    run(engine, make_tasks(samples), progress=lambda done, _: seen.append(done))
    assert engine.batches == [
        ("scored", 2, (0, 1)),
        ("scored", 1, (0,)),
        ("scored", 1, (1,)),
        ("generated", 4, (0, 1, 2, 3)),
        ("generated", 4, (4, 5, 6, 7)),
    ]
    assert seen == [0, 2, 0, 1, 2, 6, 10]


def test_out_of_memory_at_one_sample(run: Run, tmp_path: Path, fingerprint: Make) -> None:
    with pytest.raises(OutOfMemory) as caught:
        run(Engine(fits=0), budget=8)
    assert str(caught.value) == (
        "variant 'plain': memory runs out even with one sample a batch, of which s0 is the "
        "longest: no room; end what else takes memory, shorten the sample or its max_tokens, or "
        "take a smaller dtype or a quantized variant"
    )
    assert budgets.recall_budget(tmp_path, fingerprint(), 8) == 8, "another day has more memory"
    record, _ = run(Engine(), budget=8)
    assert record.environment["token_budget"] == 8


@pytest.mark.parametrize(
    ("logprobs", "why"),
    [
        ((math.nan, -1.0), "(the model's likelihoods are NaN)"),
        ((-1.0, math.nan), "(the model's likelihoods are NaN)"),
        ((-math.inf, -1.0), "(the model's likelihoods are infinite)"),
    ],
)
def test_likelihoods_that_are_not_finite_are_missing(
    run: Run, mixed: TaskSet, logprobs: tuple[float, ...], why: str
) -> None:
    record, _ = run(Engine(logprobs=logprobs))
    again, cached = run(Engine())
    assert cached, "it is stored all the same"
    assert again == record
    first = record.samples[0]
    assert (first.score, first.output) == (None, why)
    assert summarize(record, mixed).missing == 4


def test_a_reply_of_nan_is_missing(run: Run, mixed: TaskSet) -> None:
    record, _ = run(Engine(text=None))
    assert [s.score for s in record.samples] == [1.0, None, 1.0, 1.0, None, 1.0]
    assert record.samples[1].output == "(the model's logits are NaN)"
    summary = summarize(record, mixed)
    assert (summary.missing, summary.n, summary.mean) == (2, 6, 4 / 6)


@dataclasses.dataclass(frozen=True)
class Odd:
    """A scorer that gives what it is told."""

    value: float
    name: str = "choice"
    version: int = 3
    likelihood: bool = True

    def check(self, sample: Sample) -> str | None:
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        return self.value, "x"


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, math.inf])
def test_a_score_out_of_range_is_the_samples_failure(run: Run, value: float) -> None:
    record, _ = run(Engine(), scorers={**scorers.SCORERS, "choice": Odd(value)})
    assert record.samples[0].score is None
    assert record.samples[0].output == (
        f"(the scorer 'choice' failed: ValueError: gave {value!r}, which lies outside [0, 1])"
    )
    engine = Engine()
    record, cached = run(engine, scorers={**scorers.SCORERS, "choice": Odd(0.5)})
    assert cached, "the answers were kept, and only scored again"
    assert record.scorers["choice"] == 3
    assert record.samples[0].score == 0.5


def test_a_run_stored_for_fewer_samples_is_run_again(run: Run, tmp_path: Path) -> None:
    run(Engine())
    (file,) = (tmp_path / "runs").glob("*/run.json")
    file.write_text('{"environment": {}, "outputs": [], "probes": {}}')
    engine = Engine()
    _, cached = run(engine)
    assert not cached
    assert len(engine.batches) == 3


# --- summaries -----------------------------------------------------------------------------------


def test_summary(record: Make, sample: Make, make_tasks: Make) -> None:
    samples = [
        sample(0),
        sample(1, difficulty="hard"),
        sample(2, capability="art"),
        sample(3, capability="art"),
    ]
    tiny = make_tasks(samples)
    made = record(tiny, [1.0, 0.5, None, 0.0])
    summary = summarize(made, tiny, cached=True, recorded="x.json")
    assert (summary.n, summary.mean, summary.missing) == (4, 0.375, 1)
    assert [(b.name, b.n, b.mean) for b in summary.capabilities] == [
        ("art", 2, 0.0),
        ("counting", 2, 0.75),
    ]
    assert [(b.name, b.n, b.mean) for b in summary.buckets] == [
        ("art/easy", 2, 0.0),
        ("counting/easy", 1, 1.0),
        ("counting/hard", 1, 0.5),
    ]
    assert summary.worst.name == "art/easy"
    assert (summary.cached, summary.recorded) == (True, "x.json")
    assert type(summary).from_json(summary.to_json()) == summary


def test_standard_error_is_that_of_a_mean(record: Make, sample: Make, make_tasks: Make) -> None:
    tiny = make_tasks([sample(k) for k in range(4)])
    scores = [1.0, 0.0, 1.0, 1.0]
    spread = math.fsum((s - 0.75) ** 2 for s in scores) / 3
    found = summarize(record(tiny, scores), tiny).stderr
    assert found == pytest.approx(math.sqrt(spread / 4))


def test_standard_error_over_clusters(record: Make, sample: Make, make_tasks: Make) -> None:
    """Equal scores in clusters of two: as many samples as there are clusters."""
    tiny = make_tasks([sample(k, cluster=f"c{k // 2}") for k in range(8)])
    alone = make_tasks([sample(k) for k in range(4)])
    scores = [1.0, 0.0, 1.0, 1.0]
    doubled = [score for score in scores for _ in range(2)]
    assert summarize(record(tiny, doubled), tiny).stderr == pytest.approx(
        summarize(record(alone, scores), alone).stderr
    )
    one = make_tasks([sample(k, cluster="c") for k in range(4)])
    assert summarize(record(one, scores), one).stderr == 0.0


def test_confidence_is_the_answers_share_of_the_likelihood(sample: Make) -> None:
    asked = sample(0)
    rest = (-99.0,) * (len(asked.choices) - 2)
    output = Output("", option_logprobs=(math.log(0.3), math.log(0.1), *rest))
    assert scoring._confidence(asked, output, asked.choices[0]) == pytest.approx(0.75, abs=1e-4)
    assert scoring._confidence(asked, output, "something else") is None
    assert scoring._confidence(asked, Output("said"), asked.choices[0]) is None


def test_an_engine_that_tells_nothing_of_itself(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delattr(Engine, "environment")
    monkeypatch.delattr(Engine, "seed")
    environment = run(Engine())[0].environment
    assert environment["threads"] == 5
    assert "torch" not in environment


@pytest.mark.parametrize(
    ("abilities", "first", "asks"),
    [
        ({"score", "compare"}, "s1", "a reply, which the scorer 'number'"),
        ({"generate", "compare"}, "s0", "a choice by likelihood, which the scorer 'choice'"),
    ],
)
def test_an_engine_is_not_asked_for_what_it_cannot(
    run: Run, monkeypatch: pytest.MonkeyPatch, abilities: set[str], first: str, asks: str
) -> None:
    engine = Engine()
    monkeypatch.setattr(engine, "abilities", frozenset(abilities), raising=False)
    with pytest.raises(ScoringError) as caught:
        run(engine)
    assert str(caught.value) == (
        f"sample {first!r} asks for {asks} judges, and 'prompted' variants give none; "
        "select others: @pytest.mark.variants(kind=…)"
    )
    assert engine.batches == []


def test_the_engine_is_seeded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(Engine, "seed", lambda _, seed: seeds.append(seed))
    run(Engine())
    assert seeds == [SEED]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "running it needs torch, which is not installed: "
            "pip install 'pytest-modellab[transformers]'",
        ),
        (
            ModuleNotFoundError("No module named 'own_lib.x'", name="own_lib.x"),
            "running it needs own_lib, which is not installed: pip install own_lib",
        ),
        (ImportError("libcudart.so.12"), "a library cannot be imported: libcudart.so.12"),
    ],
)
def test_a_library_that_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: ImportError, message: str
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Engine, "generate", missing)
    with pytest.raises(VariantLoadError) as caught:
        run(Engine())
    assert str(caught.value) == message


def test_a_template_that_fails_names_the_sample(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def render(_: Engine, messages: Sequence[Mapping[str, str]]) -> str:
        raise ModelError("tiny: chat template: does more than it may")

    monkeypatch.setattr(Engine, "render", render)
    with pytest.raises(ModelError, match=r"^sample \S+: tiny: chat template: does more"):
        run(Engine())
