"""Several wordings of a prompt: scores averaged, their stability kept, single runs shared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import scorers, variants
from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.engines import interface as engines
from pytest_modellab.engines.interface import WORDS, Done, GenerationRequest, ScoringRequest, Source
from pytest_modellab.errors import ConfigError
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Fingerprint, Output, RunRecord, SampleResult
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.paraphrases import averaged
from pytest_modellab.runs.summary import summarize
from pytest_modellab.store import budgets
from pytest_modellab.store.runs import RunEntry
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan

pytest.importorskip("torch", reason="a fingerprint has its version")
pytest.importorskip("transformers", reason="the runner records its version")

Make = Callable[..., Any]
RIGHT, WRONG, NAN = (-1.0, -2.0), (-2.0, -1.0), (math.nan, -1.0)


def opened(source: Source) -> engines.Engine:
    return source.open(Path())


class Wording:
    def __init__(self, name: str) -> None:
        self.hash = name

    def messages(self, input_: str, passages: Sequence[str] = ()) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"{self.hash}: {input_}"}]


class Engine:
    """Answers each wording and sample as it is told, two in a batch.

    Args:
        said: wording → sample → the options' likelihoods.
    """

    abilities = WORDS

    def __init__(self, said: Mapping[str, Sequence[tuple[float, ...]]]) -> None:
        self.said = said
        self.loads = 0
        self.asked: list[str] = []

    def open(self, cache: Path) -> Engine:
        self.loads += 1
        return self

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return messages[0]["content"]

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        for start in range(0, len(requests), 2):
            batch = {}
            for k in range(start, min(start + 2, len(requests))):
                context = requests[k].context  # WORDING: What is NUMBER?
                self.asked.append(context)
                wording, number = context[0], int(context[-2])
                tokens = 10 + ord(wording) - ord("a")
                batch[k] = Output("", self.said[wording][number], tokens, 2, seconds=0.5)
            done(batch)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert not requests

    def seed(self, seed: int) -> None:
        pass

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 1234

    def close(self) -> None:
        raise AssertionError("the lab closes engines, the runner does not")


@pytest.fixture
def tasks(sample: Make, make_tasks: Make) -> TaskSet:
    made: TaskSet = make_tasks([sample(k) for k in range(4)])
    return made


Ask = Callable[..., tuple[RunRecord, bool]]


@pytest.fixture
def job(fingerprint: Make, spec: Make, tasks: TaskSet) -> Callable[..., Job]:
    def make(engine: Engine, wordings: str, **changes: Any) -> Job:
        first, *rest = map(Wording, wordings)
        return Job(
            spec=spec(),
            fingerprint=fingerprint(prompt=wordings),
            prompt=first,
            source=engine,
            task_set=tasks,
            needs={"choice": "score"},
            paraphrases=tuple(rest),
            **changes,
        )

    return make


@pytest.fixture
def ask(job: Callable[..., Job], tmp_path: Path) -> Ask:
    """Run an engine with wordings that are named by a letter each."""

    def run(
        engine: Engine,
        wordings: str,
        *,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
        **changes: Any,
    ) -> tuple[RunRecord, bool]:
        executor = InProcess(
            tmp_path / "cache", opened, watch=lambda advance: progress(advance.done, advance.total)
        )
        return runner.run(job(engine, wordings, **changes), scorers.SCORERS, executor)

    return run


SAID = {
    "a": [RIGHT, RIGHT, WRONG, RIGHT],
    "b": [RIGHT, WRONG, WRONG, RIGHT],
    "c": [RIGHT, WRONG, WRONG, WRONG],
}


def test_mean_stability_and_spread(ask: Ask, tasks: TaskSet) -> None:
    record, stored = ask(Engine(SAID), "abc")
    assert not stored
    assert [s.score for s in record.samples] == pytest.approx([1.0, 1 / 3, 0.0, 2 / 3])
    assert [s.stability for s in record.samples] == pytest.approx([1.0, 2 / 3, 1.0, 2 / 3])
    assert [s.id for s in record.samples] == [s.id for s in tasks.samples]
    assert [s.output for s in record.samples] == ["one", "one", "two", "one"], "the first prompt's"
    assert [s.tokens_in for s in record.samples] == [11] * 4, "10, 11 and 12"
    assert [s.tokens_out for s in record.samples] == [2] * 4
    assert [s.seconds for s in record.samples] == [0.5] * 4
    assert dict(record.probes) == {
        "parameter_bytes": 1234.0,
        "seconds": 6.0,
        "tokens": 3 * 4 * 13.0,
        "tokens_per_second": 26.0,
        "prompts": 3.0,
        "prompt_stability": pytest.approx((1 + 2 / 3 + 1 + 2 / 3) / 4),
        "prompt_spread": pytest.approx(0.75 - 0.25),
    }
    assert record.fingerprint.prompt == "abc", "of all prompts together"


def test_one_failed_wording_leaves_no_score(ask: Ask, tasks: TaskSet) -> None:
    said = {**SAID, "b": [RIGHT, NAN, NAN, RIGHT], "c": [RIGHT, NAN, RIGHT, RIGHT]}
    record, _ = ask(Engine(said), "abc")
    assert [s.score for s in record.samples] == [1.0, None, None, 1.0]
    assert [s.stability for s in record.samples] == pytest.approx([1.0, 2 / 3, 1 / 3, 1.0])
    why = "(the model's likelihoods are NaN)"
    assert [s.output for s in record.samples] == ["one", why, why, "one"], "why there is none"
    assert record.probes["prompt_spread"] == pytest.approx(0.25), "no answer counts as 0"
    assert summarize(record, tasks).missing == 2


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_averages(
    fingerprint: Make, sample: Make, make_tasks: Make, rows: list[list[bool]]
) -> None:
    """Means and shares, counted by hand; the order of a run's samples does not matter."""
    asked: TaskSet = make_tasks([sample(k) for k in range(3)])
    records = [_record(fingerprint, asked, f"p{k}", row) for k, row in enumerate(rows)]
    records[-1] = dataclasses.replace(records[-1], samples=records[-1].samples[::-1])
    whole: Any = dataclasses.make_dataclass("Job", ["fingerprint", "task_set"])(
        fingerprint(prompt="all"), asked
    )
    found = averaged(whole, records)
    n = len(rows)
    for k, result in enumerate(found.samples):
        right = sum(row[k] for row in rows)
        assert result.score == pytest.approx(right / n)
        assert result.stability == pytest.approx(max(right, n - right) / n)
    means = [sum(row) / 3 for row in rows]
    assert found.probes["prompt_spread"] == pytest.approx(max(means) - min(means))


def _record(fingerprint: Make, asked: TaskSet, prompt: str, scores: Sequence[float]) -> RunRecord:
    return RunRecord(
        task_set={"name": "tiny"},
        variant={"name": "plain"},
        fingerprint=fingerprint(prompt=prompt),
        scorers={"choice": 1},
        samples=tuple(
            SampleResult(s.id, s.content_hash, float(score), "one", 7, 2, seconds=0.5)
            for s, score in zip(asked.samples, scores, strict=True)
        ),
        probes={"seconds": 1.5, "tokens": 27.0},
        environment={"token_budget": 512},
    )


# --- the store ------------------------------------------------------------------------------------


def test_the_store_is_shared_with_the_single_prompt(ask: Ask) -> None:
    single, stored = ask(Engine(SAID), "b")
    assert not stored
    assert all(result.stability is None for result in single.samples)
    engine = Engine(SAID)
    several, stored = ask(engine, "ab")
    assert not stored, "one of two is not all"
    assert {context[0] for context in engine.asked} == {"a"}
    engine = Engine(SAID)
    again, stored = ask(engine, "ab")
    assert stored
    assert again == several
    alone, stored = ask(engine, "a")
    assert stored
    assert [s.score for s in alone.samples] == [1.0, 1.0, 0.0, 1.0]
    assert (engine.loads, engine.asked) == (0, [])
    _, stored = ask(engine, "ab", reuse=False)
    assert not stored
    assert len(engine.asked) == 8


def test_progress(ask: Ask) -> None:
    def seen(wordings: str) -> list[tuple[int, int]]:
        steps: list[tuple[int, int]] = []
        ask(Engine(SAID), wordings, progress=lambda done, total: steps.append((done, total)))
        return steps

    assert seen("ab") == [(0, 8), (2, 8), (4, 8), (4, 8), (6, 8), (8, 8)]
    assert seen("ab") == []
    assert seen("bc") == [(4, 8), (6, 8), (8, 8)], "the first half is in the store"


def test_second_run(job: Callable[..., Job], tasks: TaskSet, tmp_path: Path) -> None:
    engine = Engine(SAID)
    record, _ = runner.run(job(engine, "abc"), scorers.SCORERS, InProcess(tmp_path, opened))
    engine.asked.clear()
    repeat = runner.repeat(
        job(engine, "abc"), scorers.SCORERS, InProcess(tmp_path, opened), first=record
    )
    assert len(engine.asked) == 12
    assert [c[-2] for c in engine.asked[:4]] != ["0", "1", "2", "3"], "another order"
    assert repeat.samples == record.samples
    assert repeat.task_set["hash"] == tasks.hash


def test_the_smallest_batches_of_the_wordings_count(
    job: Callable[..., Job], fingerprint: Make, tmp_path: Path
) -> None:
    budgets.remember_budget(tmp_path, fingerprint(prompt="b"), 64)
    record, _ = runner.run(job(Engine(SAID), "abc"), scorers.SCORERS, InProcess(tmp_path, opened))
    assert record.environment["token_budget"] == 64
    repeat = runner.repeat(
        job(Engine(SAID), "abc"), scorers.SCORERS, InProcess(tmp_path, opened), first=record
    )
    assert repeat.environment["token_budget"] == 32


# --- baselines ------------------------------------------------------------------------------------


def test_a_baseline_keeps_the_stability(ask: Ask, tmp_path: Path) -> None:
    record, _ = ask(Engine(SAID), "abc")
    path = tmp_path / "tiny" / "plain.json"
    file.write(path, Baseline(record))
    found = file.read(path)
    assert found is not None
    assert [s.stability for s in found.run.samples] == [s.stability for s in record.samples]
    assert dict(found.run.probes) == dict(record.probes)
    assert file.same_answers(found.run, record)
    assert path.read_text().count('"stability":') == 4

    other = dataclasses.replace(record.samples[0], stability=2 / 3)
    changed = dataclasses.replace(record, samples=(other, *record.samples[1:]))
    assert not file.same_answers(changed, record)

    single, _ = ask(Engine(SAID), "a")
    file.write(path, Baseline(single))
    assert '"stability"' not in path.read_text(), "old baselines stay as they are"
    found = file.read(path)
    assert found is not None
    assert [s.stability for s in found.run.samples] == [None] * 4


# --- declared -------------------------------------------------------------------------------------

MODEL = ModelSource("tiny", "./tiny")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    for name, text in (("p", "{{ input }}"), ("q", "Q: {{ input }}"), ("r", "R: {{ input }}")):
        (tmp_path / f"{name}.jinja").write_text(f"{{% block user %}}{text}{{% endblock %}}")
    (tmp_path / "again.jinja").write_text((tmp_path / "q.jinja").read_text())
    (tmp_path / "broken.jinja").write_text("{{ input }}")
    (tmp_path / "shots.jsonl").write_text('{"input": "1?", "reply": "1"}\n')
    return tmp_path / "modellab.toml"


@pytest.fixture
def declare(toml: Path, spec: Callable[..., VariantSpec]) -> Callable[..., Plan]:
    def make(base: Plan | None = None, **options: Any) -> Plan:
        declared = spec(
            options={"prompt": "p.jinja", **options}, base="plain" if base is not None else None
        )
        return variants.make_plan(variants.KINDS["prompted"], declared, base, MODEL, toml)

    return make


def test_plan(declare: Callable[..., Plan]) -> None:
    made = declare(paraphrases=["q.jinja", "r.jinja"], shots="shots.jsonl")
    texts = [prompt.messages("x") for prompt in (made.prompt, *made.paraphrases)]
    assert [chat[-1]["content"] for chat in texts] == ["x", "Q: x", "R: x"]
    assert [chat[0]["content"] for chat in texts] == ["1?", "Q: 1?", "R: 1?"], "examples too"
    assert declare(paraphrases=[]).paraphrases == ()
    assert declare(made).paraphrases == (), "a variant names its own"
    thinks = declare(thinking_tokens=9)
    assert thinks.thinking is not None
    assert (thinks.thinking.tokens, thinks.thinking.chains) == (9, 1)
    assert thinks.thinking.temperature == 0.0, "one chain is greedy"
    thinks = declare(thinking_tokens=9, chains=5)
    assert thinks.thinking is not None
    assert thinks.thinking.temperature == 0.7, "several are drawn"
    thinks = declare(thinking_tokens=9, temperature=1)
    assert thinks.thinking is not None
    assert thinks.thinking.temperature == 1.0


def test_fingerprint(declare: Callable[..., Plan], tmp_path: Path) -> None:
    files = ModelFiles(MODEL, tmp_path, weights="w", tokenizer="t")

    def found(*paraphrases: str, **options: Any) -> Fingerprint:
        return loading.fingerprint(declare(paraphrases=list(paraphrases), **options), files)

    plans = [(), ("q.jinja",), ("r.jinja",), ("q.jinja", "r.jinja"), ("r.jinja", "q.jinja")]
    assert len({found(*names).key for names in plans}) == len(plans)
    assert found().prompt == declare().prompt.hash
    single = RunEntry(tmp_path, TaskSet("t", "1", ()), found())
    shared = dataclasses.replace(found("q.jinja"), prompt=declare().prompt.hash)
    assert RunEntry(tmp_path, TaskSet("t", "1", ()), shared).key == single.key


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"paraphrases": "q.jinja"}, "paraphrases: 'q.jinja' is str, expected list"),
        ({"paraphrases": [3]}, "paraphrases: 3: expected the names of Jinja files"),
        (
            {"paraphrases": ["q.jinja", "p.jinja"]},
            "paraphrases: 'p.jinja' says what another prompt says already",
        ),
        (
            {"paraphrases": ["q.jinja", "again.jinja"]},
            "paraphrases: 'again.jinja' says what another prompt says already",
        ),
        (
            {"paraphrases": ["broken.jinja"]},
            "paraphrases: prompt: {}/broken.jinja: has no {{% block user %}}, or it is empty",
        ),
        ({"chains": 3}, "chains: needs 'thinking_tokens', the length of a chain"),
        ({"temperature": 0.5}, "temperature: needs 'thinking_tokens', the length of a chain"),
        ({"thinking_tokens": 0}, "thinking_tokens: 0 must be at least 1"),
        ({"thinking_tokens": 1.5}, "thinking_tokens: 1.5 is float, expected int"),
        ({"thinking_tokens": 9, "chains": 0}, "chains: 0 must be at least 1"),
        ({"thinking_tokens": 9, "chains": -1}, "chains: -1 must be at least 1"),
        ({"thinking_tokens": 9, "temperature": -0.5}, "temperature: -0.5 lies outside 0 to 10"),
        ({"thinking_tokens": 9, "temperature": 11}, "temperature: 11.0 lies outside 0 to 10"),
        (
            {"thinking_tokens": 9, "temperature": math.nan},
            "temperature: nan lies outside 0 to 10",
        ),
        (
            {"thinking_tokens": 9, "temperature": True},
            "temperature: True is bool, expected float",
        ),
        (
            {"thinking_tokens": 9, "chains": 2, "temperature": 0},
            "temperature: 0 makes 2 equal chains; take one, or draw them",
        ),
    ],
)
def test_wrong_option(
    declare: Callable[..., Plan], toml: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        declare(**options)
    said = said.format(toml.parent) if "{}" in said else said
    assert str(caught.value) == f"{toml}: variants.plain.{said}"


def test_missing_wording(declare: Callable[..., Plan], toml: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        declare(paraphrases=["none.jinja"])
    assert str(caught.value).startswith(
        f"{toml}: variants.plain.paraphrases: prompt: {toml.parent / 'none.jinja'}: cannot be "
        "read: "
    )
