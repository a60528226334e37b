"""Base and candidate read the same texts: the figures, what is stored, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.language import rolling
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.tokens import encode, encode_texts
from pytest_modellab.errors import ComparisonRefused, OutOfMemory, ScoringError
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.divergence import Divergence
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs import divergence
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.variants.prompt import Prompt

pytest.importorskip("torch")
pytest.importorskip("transformers")

PROMPT = Prompt("{% block user %}{{ input }}{% endblock %}")


class Source:
    """An engine that is opened by being named."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    def open(self, cache: Path) -> Any:
        return self.engine


def engine(change: Callable[[Any], None] | None = None, **changes: Any) -> Any:
    import torch

    model = tiny.llama(0)
    if change is not None:
        with torch.no_grad():
            change(model)
    return TransformersEngine(model, changes.get("tokenizer") or tiny.tokenizer())


def scaled(model: Any, by: float = 1.03) -> None:
    for weight in model.parameters():
        weight.mul_(by)


@pytest.fixture
def tasks(sample: Any, make_tasks: Any) -> TaskSet:
    plain = [sample(k, input=f"What is the {k} of" + " another" * k) for k in range(6)]
    written = [sample(9, choices=(), target="x", scorer="exact", max_tokens=4)]
    found: TaskSet = make_tasks([*plain, *written])
    return found


@pytest.fixture
def job(tasks: TaskSet) -> Callable[..., Job]:
    def make(name: str, one: Any, **changes: Any) -> Job:
        return Job(
            **{
                "spec": VariantSpec(name, "prompted", "prompting"),
                "fingerprint": Fingerprint(name, "t", "p", {}),
                "source": Source(one),
                "prompt": PROMPT,
                "task_set": tasks,
                "needs": {},
                "budget": 64,
                **changes,
            }
        )

    return make


@pytest.fixture
def executor(tmp_path: Path) -> InProcess:
    return InProcess(tmp_path, lambda source: source.open(tmp_path))


def plainly(tasks: TaskSet, base: Any, other: Any) -> list[tuple[int, float, int]]:
    """Tokens, divergence and equal first choices of every sample: one text at a time, whole."""
    import torch

    texts = encode_texts(
        base.tokenizer,
        [
            ScoringRequest(base.render(PROMPT.messages(s.input)), s.choices[:1])
            for s in tasks.samples
        ],
    )
    found = []
    for ids in texts.ids:
        with torch.inference_mode():
            p, q = (
                one.model(torch.tensor([ids])).logits[0, texts.prefix : -1].double().log_softmax(-1)
                for one in (base, other)
            )
        found.append(
            (len(p), float((p.exp() * (p - q)).sum()), int((p.argmax(-1) == q.argmax(-1)).sum()))
        )
    return found


def test_the_figures_are_those_of_whole_distributions(
    tasks: TaskSet, job: Any, executor: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, other = engine(), engine(scaled)
    exact = plainly(tasks, base, other)
    monkeypatch.setattr(divergence, "KEPT", 272)  # the whole vocabulary
    found = divergence.obtain(job("other", other), job("base", base), executor)
    assert [one.tokens for one in found.samples] == [tokens for tokens, _, _ in exact]
    assert [one.nats for one in found.samples] == pytest.approx([x for _, x, _ in exact], rel=1e-3)
    assert [one.same for one in found.samples] == [same for _, _, same in exact]
    assert found.rest == 0.0
    assert 0 < found.median < found.percentile_99 <= max(one.largest for one in found.samples)
    monkeypatch.setattr(divergence, "KEPT", 64)
    less = divergence.obtain(job("other", other), job("base", base), executor)
    assert all(a.nats < b.nats for a, b in zip(less.samples, found.samples, strict=True))
    assert [a.same for a in less.samples] == [b.same for b in found.samples]
    assert (less.kept, found.kept) == (64, 272)
    mean = sum(one.nats for one in found.samples) / sum(one.tokens for one in found.samples)
    assert 0 < less.fewer < found.fewer < mean
    assert 0 < less.rest < 1


def test_the_right_option_is_read_and_the_shared_beginning_counts_nothing(
    tasks: TaskSet, job: Any, executor: InProcess
) -> None:
    base = engine()
    found = divergence.obtain(job("other", engine(scaled)), job("base", base), executor)
    contexts = [
        base.tokenizer(base.render(PROMPT.messages(s.input)), add_special_tokens=False).input_ids
        for s in tasks.samples
    ]
    shared = next(k for k in range(99) if len({tuple(ids[: k + 1]) for ids in contexts}) > 1)
    replies = [len(base.tokenizer("one").input_ids)] * 6 + [0]
    expected = [len(c) + r - shared - 1 for c, r in zip(contexts, replies, strict=True)]
    assert [one.tokens for one in found.samples] == expected


@pytest.mark.parametrize("budget", [1, 40, 4096])
def test_batches_do_not_matter(
    job: Any, executor: InProcess, budget: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base, other = engine(), engine(scaled)
    first = divergence.obtain(job("other", other), job("base", base), executor)
    apart = tmp_path_factory.mktemp("apart")
    elsewhere = InProcess(apart, lambda source: source.open(apart))
    again = divergence.obtain(
        job("other", other, budget=budget), job("base", base, budget=budget), elsewhere
    )
    assert [one.nats for one in again.samples] == pytest.approx(
        [one.nats for one in first.samples], rel=1e-3
    )
    assert [one.same for one in again.samples] == [one.same for one in first.samples]


def test_an_unchanged_model_has_not_moved(job: Any, executor: InProcess) -> None:
    found = divergence.obtain(job("same", engine()), job("base", engine()), executor)
    assert all(one.nats / one.tokens < 1e-6 and one.same == one.tokens for one in found.samples)


def test_what_is_stored_needs_no_model(job: Any, executor: InProcess, tmp_path: Path) -> None:
    jobs = job("other", engine(scaled)), job("base", engine())
    first = divergence.obtain(*jobs, executor)

    def refuse(source: Any) -> Any:
        raise AssertionError("a model is loaded")

    assert divergence.obtain(*jobs, InProcess(tmp_path, refuse)) == first
    opened: list[Any] = []

    def load(source: Any) -> Any:
        opened.append(source.engine)
        return source.engine

    third = engine(lambda model: scaled(model, 1.1))
    divergence.obtain(job("third", third), jobs[1], InProcess(tmp_path, load))
    assert opened == [third], "the base's distributions are there already"


@pytest.mark.parametrize(
    ("kind", "name"),
    [("divergences", "*.json"), ("distributions", "*/vectors.npy"), ("distributions", "*/*.json")],
)
def test_a_damaged_file_is_not_believed(
    job: Any, executor: InProcess, tmp_path: Path, kind: str, name: str
) -> None:
    jobs = job("other", engine(scaled)), job("base", engine())
    first = divergence.obtain(*jobs, executor)
    for path in sorted((tmp_path / kind).glob(name)):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    if kind == "distributions":
        for path in (tmp_path / "divergences").glob("*.json"):
            path.unlink()
    assert divergence.obtain(*jobs, executor) == first


def test_nan_is_that_samples_failure(job: Any, executor: InProcess) -> None:
    def broken(model: Any) -> None:
        import torch

        token = tiny.tokenizer()("5").input_ids[0]
        model.model.embed_tokens.weight[token] = torch.nan

    found = divergence.obtain(job("other", engine(broken)), job("base", engine()), executor)
    failed = [one.failed for one in found.samples if one.failed]
    assert failed == ["the candidate's probabilities are NaN"]
    assert sum(not one.failed for one in found.samples) == 6
    found = divergence.obtain(job("sound", engine()), job("broken", engine(broken)), executor)
    assert [one.failed for one in found.samples if one.failed] == [
        "the base's probabilities are NaN"
    ]


def test_another_vocabulary_is_refused(job: Any, executor: InProcess) -> None:
    def change(content: dict[str, Any]) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["x"], vocabulary["y"] = vocabulary["y"], vocabulary["x"]

    other = engine(tokenizer=tiny.tokenizer(change))
    with pytest.raises(ComparisonRefused) as caught:
        divergence.obtain(job("other", other), job("base", engine()), executor)
    assert str(caught.value) == (
        "'other' has another vocabulary than 'base', so that their distributions cannot be "
        "compared; compare their answers: gate.no_regression"
    )


def test_other_texts_are_refused(job: Any, executor: InProcess) -> None:
    other = job("other", engine(), prompt=Prompt("{% block user %}Say {{ input }}{% endblock %}"))
    with pytest.raises(ComparisonRefused) as caught:
        divergence.obtain(other, job("base", engine()), executor)
    assert str(caught.value) == (
        "'other' and 'base' do not read the same tokens of 'tiny': prompt, chat template or "
        "tokenizer differ, so that their distributions cannot be compared; compare their answers: "
        "gate.no_regression"
    )


def test_an_engine_that_cannot_is_named(job: Any, executor: InProcess) -> None:
    class Mute:
        def render(self, messages: Any) -> str:
            raise AssertionError("asked")

    with pytest.raises(ScoringError) as caught:
        divergence.obtain(job("other", Mute()), job("base", engine()), executor)
    assert str(caught.value) == (
        "'other' runs on Mute, which does not tell the whole distribution of every token of a "
        "text, so that fidelity cannot be measured"
    )


def test_samples_with_media_are_refused(job: Any, executor: InProcess, tasks: TaskSet) -> None:
    shown = dataclasses.replace(tasks.samples[1], media=(Media("image", "0" * 64, "a.png"),))
    seen = dataclasses.replace(tasks, samples=(tasks.samples[0], shown))
    other, base = (job(name, engine(), task_set=seen) for name in ("other", "base"))
    with pytest.raises(ScoringError) as caught:
        divergence.obtain(other, base, executor)
    assert str(caught.value) == (
        "sample s1: it holds an image or a recording, and fidelity compares what models make of "
        "texts; compare their answers: gate.no_regression"
    )


def test_a_cache_of_its_own_is_refused(job: Any, executor: InProcess) -> None:
    from transformers import DynamicCache

    other = TransformersEngine(
        tiny.llama(0), tiny.tokenizer(), cache=lambda config: DynamicCache(config=config)
    )
    with pytest.raises(ScoringError, match=r"its key-value cache is what was changed"):
        divergence.obtain(job("other", other), job("base", engine()), executor)


def test_memory_that_runs_out_halves_the_batches(
    job: Any, executor: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = job("other", engine(scaled)), job("base", engine())
    first = divergence.obtain(*jobs, executor)
    budgets: list[int] = []
    predict = TransformersEngine.predict

    def narrow(self: Any, texts: Any, *, budget: int, skip: Any) -> Iterator[Any]:
        budgets.append(budget)
        for count, one in enumerate(predict(self, texts, budget=budget, skip=skip)):
            if budget > 16 and count == 2:
                raise OutOfMemory("full")
            yield one

    monkeypatch.setattr(TransformersEngine, "predict", narrow)
    anew = [dataclasses.replace(one, reuse=False) for one in jobs]
    again: Divergence = divergence.obtain(anew[0], anew[1], executor)
    assert budgets == [64, 32, 16] * 2
    assert [one.nats for one in again.samples] == pytest.approx(
        [one.nats for one in first.samples], rel=1e-3
    )

    def never(self: Any, texts: Any, *, budget: int, skip: Any) -> Iterator[Any]:
        raise OutOfMemory("full")

    monkeypatch.setattr(TransformersEngine, "predict", never)
    with pytest.raises(OutOfMemory, match=r"memory runs out even with one sample a batch: full"):
        divergence.obtain(anew[0], anew[1], executor)


def test_a_run_that_was_cut_off_is_taken_up(
    job: Any, executor: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divergence, "_BLOCK", 1)
    jobs = job("other", engine(scaled)), job("base", engine())
    predict = TransformersEngine.predict
    read: list[int] = []

    def cut(self: Any, texts: Any, *, budget: int, skip: Any) -> Iterator[Any]:
        for i, rows in predict(self, texts, budget=budget, skip=skip):
            if len(read) == 3:
                raise KeyboardInterrupt
            read.append(i)
            yield i, rows

    monkeypatch.setattr(TransformersEngine, "predict", cut)
    with pytest.raises(KeyboardInterrupt):
        divergence.obtain(*jobs, executor)
    skipped: list[Any] = []

    def go_on(self: Any, texts: Any, *, budget: int, skip: Any) -> Iterator[Any]:
        skipped.append(sorted(skip))
        yield from predict(self, texts, budget=budget, skip=skip)

    monkeypatch.setattr(TransformersEngine, "predict", go_on)
    found = divergence.obtain(*jobs, executor)
    assert skipped == [sorted(read[:3]), []]
    monkeypatch.setattr(TransformersEngine, "predict", predict)
    anew = [dataclasses.replace(one, reuse=False) for one in jobs]
    assert [one.nats for one in divergence.obtain(anew[0], anew[1], executor).samples] == (
        pytest.approx([one.nats for one in found.samples], rel=1e-3)
    )


def test_rows_are_bounded_by_a_batch(tasks: TaskSet) -> None:
    one = engine()
    texts = encode_texts(one.tokenizer, [ScoringRequest(s.input, ()) for s in tasks.samples])
    sizes = [rows.shape for _, rows in one.predict(texts, budget=8, skip=frozenset())]
    assert [columns for _, columns in sizes] == [272] * len(sizes)
    assert sum(rows for rows, _ in sizes) == sum(texts.places)
    assert all(np.isfinite(rows).all() for _, rows in one.predict(texts, budget=8, skip={0}))


def test_a_single_text_keeps_a_token(sample: Callable[..., Sample]) -> None:
    tokenizer = tiny.tokenizer()
    texts = encode_texts(tokenizer, [ScoringRequest("the other", ())] * 2)
    assert texts.places == (1, 1)
    with pytest.raises(ScoringError, match=r"of 'x' there is no token that could be predicted"):
        encode_texts(tokenizer, [ScoringRequest("x", ())])


@pytest.fixture
def documents(sample: Any, make_tasks: Any) -> Callable[..., TaskSet]:
    """Some documents, of which the first has many windows and the last a single token."""

    def make(*beside: Sample, **target: int) -> TaskSet:
        texts = ["the other one of " * 12, "What is the 5 of another", "x"]
        found: TaskSet = make_tasks(
            [
                sample(30 + k, input=text, choices=(), target=target or None, scorer="perplexity")
                for k, text in enumerate(texts)
            ]
            + list(beside)
        )
        return found

    return make


def windowed(
    tasks: TaskSet, base: Any, other: Any, window: int, context: int
) -> list[tuple[int, float, int]]:
    """As `plainly`, of documents: each window whole, and of it what perplexity predicts."""
    import torch

    found = []
    for one in tasks.samples:
        ids = base.tokenizer(one.input, add_special_tokens=False).input_ids
        prefix = rolling.prefix_of(base.tokenizer)
        tokens, nats, same = 0, 0.0, 0
        for part in rolling.windows(ids, prefix, window, context):
            with torch.inference_mode():
                p, q = (
                    model.model(torch.tensor([part.tokens]))
                    .logits[0]
                    .double()
                    .log_softmax(-1)[-len(part.targets) :]
                    for model in (base, other)
                )
            tokens += len(p)
            nats += float((p.exp() * (p - q)).sum())
            same += int((p.argmax(-1) == q.argmax(-1)).sum())
        assert tokens == len(ids)
        found.append((tokens, nats, same))
    return found


@pytest.mark.parametrize("budget", [1, 20, 4096])
@pytest.mark.parametrize("places", [3, 1024])
def test_of_a_document_every_token_counts_once(
    job: Any,
    executor: InProcess,
    documents: Any,
    monkeypatch: pytest.MonkeyPatch,
    budget: int,
    places: int,
) -> None:
    monkeypatch.setattr(divergence, "KEPT", 272)  # the whole vocabulary
    monkeypatch.setattr(divergence, "PLACES", places)
    heights: list[int] = []
    predict = TransformersEngine.predict

    def watched(self: Any, texts: Any, *, budget: int, skip: Any) -> Iterator[Any]:
        for i, rows in predict(self, texts, budget=budget, skip=skip):
            heights.append(len(rows))
            yield i, rows

    monkeypatch.setattr(TransformersEngine, "predict", watched)
    base, other, tasks = engine(), engine(scaled), documents(window=16, context=9)
    exact = windowed(tasks, base, other, 16, 9)
    found = divergence.obtain(
        job("other", other, task_set=tasks, budget=budget),
        job("base", base, task_set=tasks, budget=budget),
        executor,
    )
    assert exact[0][0] > 3 * 16
    assert [one.tokens for one in found.samples] == [tokens for tokens, _, _ in exact]
    assert [one.nats for one in found.samples] == pytest.approx([x for _, x, _ in exact], rel=1e-3)
    assert [one.same for one in found.samples] == [same for _, _, same in exact]
    assert max(heights) == min(places, 16)
    assert sum(heights) == 2 * sum(tokens for tokens, _, _ in exact)


def test_documents_among_chats_are_read_as_documents(
    tasks: TaskSet, job: Any, executor: InProcess, documents: Any
) -> None:
    base, other = engine(), engine(scaled)

    def figures(of: TaskSet) -> list[Any]:
        jobs = job("other", other, task_set=of), job("base", base, task_set=of)
        return [
            (one.tokens, pytest.approx(one.nats, rel=1e-3), one.same)
            for one in divergence.obtain(*jobs, executor).samples
        ]

    together = documents(*tasks.samples, window=16)
    jobs = job("other", other, task_set=together), job("base", base, task_set=together)
    found = divergence.obtain(*jobs, executor)
    assert [(one.tokens, one.nats, one.same) for one in found.samples] == figures(
        documents(window=16)
    ) + figures(tasks)


def test_another_window_is_read_anew(
    job: Any, executor: InProcess, documents: Any, tmp_path: Path
) -> None:
    base, other = engine(), engine(scaled)
    nats = []
    for target in ({}, {"window": 16}, {"window": 16, "context": 9}):
        of = documents(**target)
        jobs = job("other", other, task_set=of), job("base", base, task_set=of)
        nats.append(divergence.obtain(*jobs, executor).samples[0].nats)
    assert len(set(nats)) == len(list((tmp_path / "distributions").iterdir())) == 3


def test_documents_need_no_chat_template_and_no_prompt(
    job: Any, executor: InProcess, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TransformersEngine, "render", lambda self, messages: 1 / 0)
    tasks = documents()
    other = job("other", engine(), task_set=tasks, prompt=Prompt("{% block user %}{% endblock %}"))
    found = divergence.obtain(other, job("base", engine(), task_set=tasks), executor)
    assert all(one.nats / one.tokens < 1e-6 and one.same == one.tokens for one in found.samples)


def test_a_document_without_a_token_is_left_out(
    job: Any, executor: InProcess, documents: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        rolling, "encode", lambda tokenizer, text: [] if text == "x" else encode(tokenizer, text)
    )
    tasks = documents()
    jobs = job("other", engine(), task_set=tasks), job("base", engine(), task_set=tasks)
    last = divergence.obtain(*jobs, executor).samples[2]
    assert (last.tokens, last.failed) == (0, "the tokenizer makes no token of the document")


def test_models_that_see_more_or_less_need_a_window(
    job: Any, executor: InProcess, documents: Any
) -> None:
    shorter = engine()
    shorter.model.config.max_position_embeddings = 16
    tasks = documents()
    with pytest.raises(ComparisonRefused) as caught:
        divergence.obtain(
            job("other", shorter, task_set=tasks), job("base", engine(), task_set=tasks), executor
        )
    assert str(caught.value) == (
        "'other' and 'base' do not read the same tokens of 'tiny': prompt, chat template, "
        "tokenizer or window (task_set.toml can set one) differ, so that their distributions "
        "cannot be compared; compare their answers: gate.no_regression"
    )
    tasks = documents(window=16)
    jobs = job("other", shorter, task_set=tasks), job("base", engine(), task_set=tasks)
    assert all(one.same == one.tokens for one in divergence.obtain(*jobs, executor).samples)
    tasks = documents(window=17)
    jobs = job("other", shorter, task_set=tasks), job("base", engine(), task_set=tasks)
    with pytest.raises(ScoringError, match=r"^window: 17 tokens are more than the 16 that the mod"):
        divergence.obtain(*jobs, executor)
