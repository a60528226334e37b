"""The transformers engine on a small random model, against plain one-at-a-time computation."""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import json
import logging
import math
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.batching import common_prefix
from pytest_modellab.engines.interface import GenerationRequest, ReadingRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model as engines
from pytest_modellab.engines.language.decoding import Decoder
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import ModelError, OutOfMemory, ScoringError, VariantLoadError
from pytest_modellab.records.runs import Output

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> TransformersEngine:
    return engines.load(model_folder)


@pytest.fixture
def own(model_folder: Path) -> TransformersEngine:
    """A model of the test's own, to be damaged."""
    return engines.load(model_folder)


@pytest.fixture
def copied(model_folder: Path, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    return shutil.copytree(model_folder, tmp_path / "copy")


def chat(engine: TransformersEngine, *texts: str) -> list[str]:
    """Contexts that share the template's beginning."""
    return [engine.render([{"role": "user", "content": text}]) for text in texts]


def bare(_: TransformersEngine, *texts: str) -> list[str]:
    """Contexts that share nothing."""
    return [f"{chr(ord('a') + k)} {text}" for k, text in enumerate(texts)]


def scored(
    engine: TransformersEngine,
    requests: Sequence[ScoringRequest],
    budget: int,
    skip: frozenset[int] = frozenset(),
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    engine.score_options(requests, budget=budget, skip=skip, done=answers.update)
    return answers


def generated(
    engine: TransformersEngine,
    requests: Sequence[GenerationRequest],
    budget: int,
    skip: frozenset[int] = frozenset(),
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    engine.generate(requests, budget=budget, skip=skip, done=answers.update)
    return answers


def plain_logprob(engine: TransformersEngine, context: str, option: str) -> float:
    """One sequence, no cache, no mask, every position's logits."""
    start, tokens = encode(engine.tokenizer, context), encode(engine.tokenizer, option)
    with torch.inference_mode():
        logits = engine.model(torch.tensor([start + tokens])).logits[0].double()
    logprobs = logits.log_softmax(-1)
    return math.fsum(float(logprobs[len(start) - 1 + k, token]) for k, token in enumerate(tokens))


def plain_reply(engine: TransformersEngine, context: str, limit: int) -> str:
    """One sequence, no cache shared, no padding."""
    ids = torch.tensor([encode(engine.tokenizer, context)])
    with torch.inference_mode():
        out = engine.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, do_sample=False
        )
    return str(engine.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


TEXTS = [
    "the then another",
    "x",
    "What is the capital of the land where the other man ran?",
    "one on one",
    "123 + 456 =",
]
OPTIONS = [
    ("a", "the"),  # one token each
    ("an answer of several words", "no"),
    ("the", "the other", "the other one"),  # one begins with another
    (" the", " a", "é", "…"),
    ("x" * 40, "y"),
]
Contexts = Callable[..., list[str]]


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize("contexts", [chat, bare], ids=["shared prefix", "no shared prefix"])
@pytest.mark.parametrize("budget", [1, 60, 100_000])
def test_packed_likelihoods_are_the_plain_ones(
    engine: TransformersEngine, contexts: Contexts, budget: int
) -> None:
    requests = [
        ScoringRequest(context, options)
        for context, options in zip(contexts(engine, *TEXTS), OPTIONS, strict=True)
    ]
    answers = scored(engine, requests, budget)
    assert sorted(answers) == list(range(len(requests)))
    for k, request in enumerate(requests):
        wanted = [plain_logprob(engine, request.context, option) for option in request.options]
        assert answers[k].option_logprobs == pytest.approx(wanted, abs=1e-4)
        assert answers[k].tokens_in == len(encode(engine.tokenizer, request.context))
        assert answers[k].tokens_out == sum(
            len(encode(engine.tokenizer, o)) for o in request.options
        )
        assert answers[k].seconds > 0
        assert answers[k].failed == ""


def test_the_tokenizer_has_short_and_long_options(engine: TransformersEngine) -> None:
    """What the tests above rest on."""
    assert [len(encode(engine.tokenizer, option)) for option in OPTIONS[0]] == [1, 1]
    assert len(encode(engine.tokenizer, OPTIONS[4][0])) == 40
    shared = common_prefix([encode(engine.tokenizer, text) for text in chat(engine, *TEXTS)])
    assert shared == len(encode(engine.tokenizer, "<|im_start|>user\n")) > 1
    assert common_prefix([encode(engine.tokenizer, text) for text in bare(engine, *TEXTS)]) == 0


@pytest.mark.parametrize("options", [("a", "the"), ("an other", "one")])
def test_a_single_request_and_equal_contexts(
    engine: TransformersEngine, options: tuple[str, ...]
) -> None:
    """All of a context but its last token is a shared prefix here."""
    (context,) = chat(engine, "the same")
    wanted = [plain_logprob(engine, context, option) for option in options]
    request = ScoringRequest(context, options)
    for requests in ([request], [request] * 3):
        for answer in scored(engine, requests, 100).values():
            assert answer.option_logprobs == pytest.approx(wanted, abs=1e-4)


def test_one_context_begins_another(engine: TransformersEngine) -> None:
    requests = [ScoringRequest(text, ("a", "the")) for text in ("an other", "an other one", "an")]
    answers = scored(engine, requests, 100)
    for k, request in enumerate(requests):
        wanted = [plain_logprob(engine, request.context, option) for option in request.options]
        assert answers[k].option_logprobs == pytest.approx(wanted, abs=1e-4)


def test_nothing_asked(engine: TransformersEngine) -> None:
    assert scored(engine, [], 10) == {}
    assert generated(engine, [], 10) == {}


def test_two_runs_are_bit_identical(engine: TransformersEngine, model_folder: Path) -> None:
    contexts = chat(engine, *TEXTS)
    asked = [ScoringRequest(c, o) for c, o in zip(contexts, OPTIONS, strict=True)]
    replies = [GenerationRequest(c, 6) for c in contexts]
    other = engines.load(model_folder)
    for budget in (60, 1000):
        one, two = scored(engine, asked, budget), scored(other, asked, budget)
        assert [one[k].option_logprobs for k in one] == [two[k].option_logprobs for k in one]
        one, two = generated(engine, replies, budget), generated(other, replies, budget)
        assert [one[k].text for k in one] == [two[k].text for k in one]


def test_a_skipped_batch_changes_no_other(engine: TransformersEngine) -> None:
    contexts = chat(engine, *TEXTS)
    asked = [ScoringRequest(c, o) for c, o in zip(contexts, OPTIONS, strict=True)]
    whole = scored(engine, asked, 60)
    batches: list[frozenset[int]] = []
    engine.score_options(
        asked, budget=60, skip=set(), done=lambda batch: batches.append(frozenset(batch))
    )
    assert len(batches) > 1
    for batch in batches:
        rest = scored(engine, asked, 60, skip=batch)
        assert sorted(rest) == sorted(set(whole) - batch)
        for k, answer in rest.items():
            assert answer.option_logprobs == whole[k].option_logprobs, "bit for bit"
    first = frozenset([min(batches[0])])
    if batches[0] != first:
        assert batches[0] <= set(scored(engine, asked, 60, skip=first)), "half a batch is whole"


def test_an_option_without_a_token(engine: TransformersEngine) -> None:
    with pytest.raises(ScoringError) as caught:
        scored(engine, [ScoringRequest("x", ("a", ""))], 10)
    assert str(caught.value) == "the tokenizer makes no token of the option ''"


# --- generation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("contexts", [chat, bare], ids=["shared prefix", "no shared prefix"])
@pytest.mark.parametrize("budget", [1, 80, 100_000])
def test_replies_are_those_of_generate(
    engine: TransformersEngine, contexts: Contexts, budget: int
) -> None:
    limits = [12, 1, 5, 9, 3]
    requests = [
        GenerationRequest(context, limit)
        for context, limit in zip(contexts(engine, *TEXTS), limits, strict=True)
    ]
    answers = generated(engine, requests, budget)
    for k, request in enumerate(requests):
        assert answers[k].text == plain_reply(engine, request.context, request.max_tokens), k
        assert answers[k].tokens_in == len(encode(engine.tokenizer, request.context))
        assert 0 < answers[k].tokens_out <= request.max_tokens
        assert answers[k].failed == ""


def force(engine: TransformersEngine, token: int) -> None:
    """Make the model say ``token`` after everything."""
    head = torch.nn.Linear(32, engine.model.config.vocab_size, bias=True)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.bias[token] = 1.0
    engine.model.lm_head = head


def test_a_reply_ends_at_the_end_token(own: TransformersEngine) -> None:
    force(own, own.tokenizer.eos_token_id)
    (answer,) = generated(own, [GenerationRequest("an", 9)], 100).values()
    assert (answer.text, answer.tokens_out) == ("", 0)


def test_a_model_without_an_end_token(own: TransformersEngine) -> None:
    (token,) = encode(own.tokenizer, "e")
    force(own, token)
    settings = own.model.generation_config
    settings.eos_token_id = settings.pad_token_id = None
    answers = generated(own, [GenerationRequest("an", 4), GenerationRequest("x an", 2)], 100)
    assert [answers[k].text for k in (0, 1)] == ["eeee", "ee"]


# --- what goes wrong ------------------------------------------------------------------------------


def poison(engine: TransformersEngine) -> None:
    with torch.no_grad():
        engine.model.lm_head.weight.fill_(math.nan)


def test_nan_weights(own: TransformersEngine) -> None:
    poison(own)
    for contexts in (chat, bare):
        texts = contexts(own, *TEXTS)
        for answer in scored(own, [ScoringRequest(t, ("a", "one")) for t in texts], 60).values():
            assert all(math.isnan(value) for value in answer.option_logprobs)
        replies = generated(own, [GenerationRequest(t, 3) for t in texts], 60)
        assert {answer.failed for answer in replies.values()} == {"the model's logits are NaN"}


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError("none left"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes"),
    ],
    ids=["torch", "Python", "Linux", "Windows"],
)
def test_out_of_memory(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(engine, "_packed", fail)
    monkeypatch.setattr(Decoder, "replies", fail)
    with pytest.raises(OutOfMemory) as caught:
        scored(engine, [ScoringRequest("x", ("a", "b"))], 10)
    assert str(caught.value) == str(error)
    with pytest.raises(OutOfMemory):
        generated(engine, [GenerationRequest("x", 2)], 10)


def test_other_errors_are_not_taken_for_memory(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(engine, "_packed", fail)
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        scored(engine, [ScoringRequest("x", ("a", "b"))], 10)


def test_no_tensor_outlives_running_out_of_memory(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next, smaller batch needs the room of the one that failed."""
    held: list[weakref.ref[Any]] = []

    def fail(*_: object, **__: object) -> None:
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise MemoryError

    monkeypatch.setattr(engine, "_packed", fail)
    gc.disable()
    try:
        with contextlib.suppress(OutOfMemory):
            scored(engine, [ScoringRequest("x", ("a", "b"))], 10)
        assert held[0]() is None
    finally:
        gc.enable()


# --- memory ---------------------------------------------------------------------------------------


def test_close_empties_the_model_whoever_holds_it(own: TransformersEngine) -> None:
    model = own.model
    held = [weakref.ref(tensor) for tensor in (*model.parameters(), *model.buffers())]
    size = sum(p.numel() * p.element_size() for p in (*model.parameters(), *model.buffers()))
    assert own.parameter_bytes() == size > 0
    own.close()
    assert [ref for ref in held if ref() is not None] == []
    assert list(model.parameters()) == []
    assert list(model.buffers()) == []
    own.close()  # a second time does no harm


# --- loading --------------------------------------------------------------------------------------


def message(folder: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        engines.load(folder, **options)
    text = str(caught.value)
    assert text.startswith(f"{folder}: ")
    return text.removeprefix(f"{folder}: ")


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.5, 0.999])
def test_truncated_weights(copied: Path, share: float) -> None:
    weights = copied / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(share * len(whole))])
    assert message(copied).startswith("transformers cannot load it: ")


def test_no_weights(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    assert message(copied).startswith("transformers cannot load it: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "{"),
        ("config.json", "{}"),
        ("config.json", '{"model_type": "nonesuch"}'),
        ("tokenizer.json", "{"),
        ("tokenizer.json", "{}"),
    ],
)
def test_damaged_folder(copied: Path, name: str, text: str) -> None:
    (copied / name).write_text(text)
    assert message(copied).startswith("transformers cannot load it: ")


def test_no_chat_template(copied: Path) -> None:
    for name in ("chat_template.jinja", "chat_template.json"):
        (copied / name).unlink(missing_ok=True)
    file = copied / "tokenizer_config.json"
    data = json.loads(file.read_text())
    data.pop("chat_template", None)
    file.write_text(json.dumps(data))
    bare = engines.load(copied)
    with pytest.raises(ModelError) as caught:
        bare.render([{"role": "user", "content": "x"}])
    assert str(caught.value) == (
        f"{copied}: the tokenizer has no chat template; add chat_template.jinja"
    )
    read: dict[int, Output] = {}
    bare.read_documents([ReadingRequest("a text")], budget=9, skip=set(), done=read.update)
    assert read[0].option_logprobs[0] < 0, "a model that only reads needs none"


def test_pickled_weights_need_leave(copied: Path, engine: TransformersEngine) -> None:
    (copied / "model.safetensors").unlink()
    torch.save(dict(engine.model.state_dict()), copied / "pytorch_model.bin")
    assert message(copied).startswith("transformers cannot load it: ")
    loaded = engines.load(copied, allow_pickle=True)
    assert torch.equal(loaded.model.lm_head.weight, engine.model.lm_head.weight)


@pytest.mark.skipif(torch.cuda.is_available(), reason="tells what happens without a GPU")
def test_a_missing_device_is_no_verdict(model_folder: Path) -> None:
    """torch raises an AssertionError here, which would count as the model's failure."""
    with pytest.raises(VariantLoadError, match=r"^device = 'cuda': "):
        engines.load(model_folder, device="cuda")


def test_unknown_device(model_folder: Path) -> None:
    with pytest.raises(VariantLoadError, match=r"^device: 'gpu' is none that torch knows: "):
        engines.load(model_folder, device="gpu")


def test_dtype(model_folder: Path, engine: TransformersEngine) -> None:
    half = engines.load(model_folder, dtype="bfloat16")
    assert half.model.dtype is torch.bfloat16
    assert half.parameter_bytes() < 0.6 * engine.parameter_bytes()
    answers = scored(half, [ScoringRequest(c, ("a", "one")) for c in chat(half, *TEXTS)], 60)
    assert all(math.isfinite(v) for a in answers.values() for v in a.option_logprobs)


def test_render(engine: TransformersEngine) -> None:
    messages: list[Mapping[str, str]] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert engine.render(messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_quiet_puts_logging_back() -> None:
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()

    def fail() -> None:
        with quiet():
            assert not transformers_logging.is_progress_bar_enabled()
            assert not logging.getLogger("torch").isEnabledFor(logging.WARNING)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert transformers_logging.is_progress_bar_enabled() == shown
    assert logging.getLogger("torch").isEnabledFor(logging.ERROR)
    assert logging.root.manager.disable == logging.NOTSET


def test_its_environment_and_its_seed(engine: TransformersEngine) -> None:
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    assert engine.environment() == {**versions, "threads": torch.get_num_threads()}
    with torch.random.fork_rng():
        engine.seed(3)
        assert torch.initial_seed() == 3
