"""A model of code of its own is tried first, and asked for each text alone where it differs."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.language import generating, reach
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.language.trial import in_slots, prefix_cache
from pytest_modellab.store import said as said_by_store
from tests.unit.engines.test_decoding import Words, alone, drawn, said, small

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


def own_code(change: Callable[[Any], None]) -> Any:
    model = copy.deepcopy(small("llama"))
    change(model)
    return model


def counts_positions(model: Any) -> None:
    """By what its cache holds, whatever it is told."""
    usual = model.model.forward

    def forward(position_ids: Any = None, **more: Any) -> Any:
        return usual(**more)

    model.model.forward = forward


def looks_ahead(model: Any) -> None:
    """At all tokens that are new, when there are several."""
    for layer in model.model.layers:
        attention = layer.self_attn
        usual = attention.forward

        def forward(hidden: Any, *values: Any, usual: Any = usual, **more: Any) -> Any:
            return usual(hidden + hidden.mean(dim=1, keepdim=True), *values, **more)

        attention.forward = lambda hidden_states, usual=forward, **more: usual(
            hidden_states, **more
        )


def biased(model: Any) -> None:
    """Its last layer attends by code of its own, with distances as in ALiBi."""
    attention = model.model.layers[-1].self_attn

    def forward(hidden_states: Any, past_key_values: Any = None, **_: Any) -> tuple[Any, None]:
        def heads(projected: Any) -> Any:
            return projected.view(*projected.shape[:2], -1, attention.head_dim).transpose(1, 2)

        query, key, value = (
            heads(project(hidden_states))
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, attention.layer_idx)
        key, value = (part.repeat_interleave(2, dim=1) for part in (key, value))
        before = key.shape[2] - query.shape[2]
        far = torch.arange(query.shape[2])[:, None] + before - torch.arange(key.shape[2])
        bias = torch.where(far < 0, -torch.inf, -0.5 * far.float())
        out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return attention.o_proj(out.transpose(1, 2).flatten(2)), None

    attention.forward = forward


@pytest.mark.parametrize("change", [counts_positions, looks_ahead, biased])
def test_code_of_its_own_is_recognized(change: Callable[[Any], None]) -> None:
    model = own_code(change)
    sees = generating.windows(model)
    assert sees is not None, "its configuration is that of any Llama"
    with torch.inference_mode():
        assert in_slots(small("llama"), sees)
        assert not in_slots(model, sees)
    assert TransformersEngine(small("llama"), Words())._reach > 0
    heard: list[str] = []
    reach._say_once.cache_clear()
    with said_by_store.listening(heard.append):
        assert TransformersEngine(model, Words())._reach == 0
    assert heard == [
        "LlamaForCausalLM: every text is computed alone, which is slower, since in one row with "
        "others it computes something else"
    ]
    asked = drawn(5, 5, prefix=9)
    found = said(model, asked)
    assert [found[k].text for k in range(5)] == [alone(model, one) for one in asked]


@pytest.mark.parametrize("kind", ["bart", "llama"])
def test_options_are_scored_as_alone(kind: str) -> None:
    """BART counts positions from its cache: texts in one row would stand at wrong places."""
    model = small(kind)
    asked = [ScoringRequest(f"9 8 {k} 6", (f"{k} 10 11", "12")) for k in range(20, 24)]
    found: dict[int, Any] = {}
    engine = TransformersEngine(model, Words())
    engine.score_options(asked, budget=64, skip=set(), done=found.update)
    for k, request in enumerate(asked):
        for option, value in zip(request.options, found[k].option_logprobs, strict=True):
            context, tokens = (Words()(text).input_ids for text in (request.context, option))
            with torch.inference_mode():
                logits = model(input_ids=torch.tensor([context + tokens])).logits[0]
            told = logits.log_softmax(-1)[len(context) - 1 : -1]
            wanted = told.gather(1, torch.tensor(tokens)[:, None]).sum().item()
            assert value == pytest.approx(wanted, abs=1e-3)


def test_a_generate_of_its_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a model has that does not write from left to right."""
    model = own_code(lambda _: None)
    usual = model.generate
    monkeypatch.setattr(model, "generate", functools.partial(usual), raising=False)
    assert generating.windows(model) is None


def test_a_model_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = own_code(lambda _: None)
    said(model, drawn(5, 2))
    monkeypatch.setattr(model, "generate", None)
    with torch.inference_mode():
        assert in_slots(model, (None, None))
        assert prefix_cache(model, [5, 6, 7]).get_seq_length() == 3


def test_memory_that_runs_out_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    model = own_code(lambda _: None)

    def full(**_: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(model.model, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        in_slots(model, (None, None))
    assert model.config._attn_implementation == "sdpa"


def test_logits_that_are_more_than_its_vocabulary() -> None:
    """As of a table that is filled up for a GPU's sake."""
    model = own_code(lambda _: None)
    wide = torch.nn.Linear(model.lm_head.in_features, model.lm_head.out_features + 8, bias=False)
    model.lm_head = wide
    with torch.inference_mode():
        assert not in_slots(model, (None, None))
