"""Documents in windows: every token once, the same likelihood as one token at a time."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines import interface
from pytest_modellab.engines.interface import ReadingRequest
from pytest_modellab.engines.language import rolling, torch_model
from pytest_modellab.engines.language.reasoning import Reasoning, Thinking
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import OutOfMemory, ScoringError
from pytest_modellab.records.runs import Output

TEXTS = ("the café on the hill\n\nopens at nine. " * 9, "x", "then the rain", "\n", "to " * 70)


def read(
    engine: Any, requests: Sequence[ReadingRequest], budget: int = 512, **asked: Any
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    engine.read_documents(
        requests, **{"budget": budget, "skip": set(), "done": answers.update, **asked}
    )
    return answers


def likelihoods(engine: Any, requests: Sequence[ReadingRequest], budget: int) -> list[float]:
    found = read(engine, requests, budget)
    return [found[i].option_logprobs[0] for i in range(len(requests))]


@given(count=st.integers(1, 60), window=st.integers(1, 20), data=st.data())
def test_every_token_is_predicted_once_from_those_before_it(
    count: int, window: int, data: st.DataObject
) -> None:
    context = data.draw(st.integers(1, window))
    tokens = list(range(count))
    found = rolling.windows(tokens, -1, window, context)
    assert [token for one in found for token in one.targets] == tokens
    assert all(len(one) == len(one.tokens) <= window for one in found)
    for one in found:
        first = one.targets[0]
        before = [-1, *tokens] if one is found[0] else tokens
        end = before.index(first)
        assert one.context == before[end - len(one.context) : end]
    assert found[0].context == [-1]
    # beyond the first window, the model is given as many as it sees
    assert all(len(one) == window and len(one.context) >= context for one in found[1:])


def test_the_windows_of_lm_evaluation_harness() -> None:
    # lm_eval.utils.get_rolling_token_windows([1…10], prefix_token=100, max_seq_len=4,
    # context_len=…), each through make_disjoint_window, of 0.4.13
    tokens = list(range(1, 11))
    assert [dataclasses.astuple(one) for one in rolling.windows(tokens, 100, 4)] == [
        ([100], [1, 2, 3, 4]),
        ([4], [5, 6, 7, 8]),
        ([6, 7, 8], [9, 10]),
    ]
    assert [dataclasses.astuple(one) for one in rolling.windows(tokens, 100, 4, 3)] == [
        ([100], [1, 2, 3, 4]),
        ([2, 3, 4], [5, 6]),
        ([4, 5, 6], [7, 8]),
        ([6, 7, 8], [9, 10]),
    ]
    assert rolling.windows([], 100, 4) == []


torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def engine(model_folder: Path) -> TransformersEngine:
    return torch_model.load(model_folder)


def plainly(engine: TransformersEngine, text: str, window: int, context: int) -> float:
    """One forward pass a window, all of its logits, and none of the engine's code."""
    total = 0.0
    prefix = engine.tokenizer.bos_token_id
    for one in rolling.windows(encode(engine.tokenizer, text), prefix, window, context):
        with torch.no_grad():
            logits = engine.model(torch.tensor([one.tokens])).logits[0].double()
        logprobs = logits.log_softmax(-1)[len(one.context) - 1 :]
        total += float(logprobs[range(len(one.targets)), one.targets].sum())
    return total


@pytest.mark.parametrize(("window", "context"), [(None, 1), (32, 1), (32, 16), (1, 1)])
def test_the_same_at_any_budget_as_plainly_computed(
    engine: TransformersEngine, window: int | None, context: int
) -> None:
    requests = [ReadingRequest(text, window, context) for text in TEXTS]
    expected = [plainly(engine, text, window or 2048, context) for text in TEXTS]
    for budget in (1 << 20, 100, 7):
        assert likelihoods(engine, requests, budget) == pytest.approx(expected, rel=1e-5)


def test_what_an_output_says(engine: TransformersEngine) -> None:
    found = read(engine, [ReadingRequest("one and the other", 4), ReadingRequest("")])
    tokens = len(encode(engine.tokenizer, "one and the other"))
    assert (found[0].tokens_out, found[0].text, found[0].failed) == (tokens, "", "")
    # the prefix, then one token of context a full window, and what fills up the last one
    assert found[0].tokens_in == 1 + (tokens // 4 - 1) + (4 - tokens % 4 + 1)
    assert found[0].seconds > 0
    assert found[1].option_logprobs == ()
    assert found[1].failed == "the tokenizer makes no token of the document"


def test_batches_that_are_answered_are_left_out(engine: TransformersEngine) -> None:
    requests = [ReadingRequest(text) for text in TEXTS]
    assert set(read(engine, requests, 1, skip={0, 1, 2, 4})) == {3}
    assert read(engine, requests, 1, skip=set(range(5))) == {}
    assert read(engine, []) == {}


def test_a_long_document_is_no_warning(
    model_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    transformers = pytest.importorskip("transformers")
    own = torch_model.load(model_folder)
    own.tokenizer.model_max_length = 8
    transformers.logging.enable_propagation()
    found = read(own, [ReadingRequest("x " * 30)])
    transformers.logging.disable_propagation()
    assert found[0].tokens_out == 60
    assert caplog.records == []


def test_a_window_that_the_model_does_not_see(engine: TransformersEngine) -> None:
    with pytest.raises(ScoringError) as caught:
        read(engine, [ReadingRequest("text", 4096)])
    assert str(caught.value) == (
        "window: 4096 tokens are more than the 2048 that the model sees at once; set a smaller "
        "one in task_set.toml"
    )


def test_a_context_that_the_model_does_not_see(engine: TransformersEngine) -> None:
    with pytest.raises(ScoringError) as caught:
        read(engine, [ReadingRequest("then the rain", context=2049)])
    assert str(caught.value) == (
        "context: 2049 tokens are more than the window, the 2048 that the model sees at once; set "
        "a smaller one in task_set.toml"
    )


def test_the_first_token_is_predicted_from_bos_or_eos() -> None:
    assert rolling.prefix_of(SimpleNamespace(bos_token_id=0, eos_token_id=2)) == 0
    assert rolling.prefix_of(SimpleNamespace(bos_token_id=None, eos_token_id=2)) == 2
    with pytest.raises(ScoringError) as caught:
        rolling.prefix_of(SimpleNamespace(bos_token_id=None, eos_token_id=None))
    assert str(caught.value) == (
        "the tokenizer has neither a BOS nor an EOS token, from which the first token of a "
        "document is predicted; name one of them in its tokenizer_config.json"
    )


@pytest.mark.parametrize(
    ("config", "limit", "expected"),
    [
        ({"n_positions": 64, "max_position_embeddings": 32}, 10, (64, True)),
        ({"max_position_embeddings": 32}, 10, (32, True)),
        ({"n_ctx": 16}, 10, (16, True)),
        ({}, 10, (10, False)),
        ({"n_ctx": None}, 10**30, (2048, False)),
        ({}, None, (2048, False)),
    ],
)
def test_how_much_a_model_sees(
    config: dict[str, Any], limit: int | None, expected: tuple[int, bool]
) -> None:
    text = SimpleNamespace(**config)
    whole = SimpleNamespace(get_text_config=lambda: text)
    tokenizer = SimpleNamespace(model_max_length=limit)
    assert rolling.context_length(whole, tokenizer) == expected


def test_nothing_is_thought_about(engine: TransformersEngine) -> None:
    thinking = Reasoning(engine, Thinking(tokens=4))
    assert "read" in interface.abilities(thinking)
    requests = [ReadingRequest(text) for text in TEXTS]
    assert likelihoods(thinking, requests, 64) == likelihoods(engine, requests, 64)


def test_a_cache_of_its_own_is_read_through(engine: TransformersEngine) -> None:
    """What follows a piece of 32 tokens is predicted from what the cache kept."""
    transformers = pytest.importorskip("transformers")
    kept: list[int] = []

    class Forgetful(transformers.DynamicCache):  # type: ignore[misc,name-defined]
        def update(self, keys: Any, values: Any, layer: int, *more: Any) -> Any:
            kept.append(keys.shape[-2])
            found = super().update(keys, values, layer, *more)
            return found if not self.forget else (found[0] * 0, found[1])

    requests = [ReadingRequest(text) for text in TEXTS]
    plain = likelihoods(engine, requests, 512)
    for forget in (False, True):
        Forgetful.forget = forget
        own = TransformersEngine(
            engine.model, engine.tokenizer, cache=lambda config: Forgetful(config=config)
        )
        found = likelihoods(own, requests, 512)
        assert (found == pytest.approx(plain, rel=1e-5)) is not forget
        assert found == likelihoods(own, requests, 5), "whatever the budget"
    assert max(kept) == 32


def test_a_nan_is_left_to_the_runner(model_folder: Path) -> None:
    own = torch_model.load(model_folder)
    with torch.no_grad():
        own.model.lm_head.weight[5] = float("nan")
    (value,) = likelihoods(own, [ReadingRequest("text")], 64)
    assert value != value


def test_memory_that_runs_out(engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(engine.model, "forward", full)
    with pytest.raises(OutOfMemory):
        read(engine, [ReadingRequest("text")])


FAMILIES: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 8},
    "bloom": {"n_head": 2, "n_layer": 2},
    "mamba": {"state_size": 4, "num_hidden_layers": 2},
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_models_of_other_kinds(model_folder: Path, tmp_path: Path, kind: str) -> None:
    """With a sliding window, ALiBi or a state, a document is what the model alone says of it."""
    transformers = pytest.importorskip("transformers")
    vocabulary = json.loads((model_folder / "config.json").read_text())["vocab_size"]
    values = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        **FAMILIES[kind],
    }
    config = transformers.AutoConfig.for_model(kind, vocab_size=vocabulary, **values)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    plain = torch_model.load(model_folder)
    engine = TransformersEngine(model, plain.tokenizer)
    requests = [ReadingRequest(text, 40) for text in TEXTS]
    expected = [plainly(engine, text, 40, 1) for text in TEXTS]
    for budget in (1 << 20, 11):
        assert likelihoods(engine, requests, budget) == pytest.approx(expected, rel=1e-5)
