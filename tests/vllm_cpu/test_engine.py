"""The engine of vLLM beside transformers: likelihoods, replies, adapters, what is used again."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model, vllm_engine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import ModelError, ScoringError, VariantLoadError
from pytest_modellab.records.runs import Output
from pytest_modellab.variants.steps import adapter_loading

CONTEXT = "<|im_start|>user\nWhich of these words comes next, and why: {} ?<|im_end|>\n"
OPTIONS = ("one", "one and two", "one and three", "two", "a", "é")
SCORED = [ScoringRequest(CONTEXT.format("la " * k), OPTIONS) for k in range(9)]
WRITTEN = [GenerationRequest(one.context, max_tokens=9 + k % 3) for k, one in enumerate(SCORED)]


def answers(engine: Any, requests: list[Any], budget: int = 512) -> list[Output]:
    found: dict[int, Output] = {}
    ask = engine.generate if isinstance(requests[0], GenerationRequest) else engine.score_options
    ask(requests, budget=budget, skip=set(), done=found.update)
    return [found[k] for k in range(len(requests))]


def values(outputs: list[Output]) -> list[float]:
    return [value for one in outputs for value in one.option_logprobs]


def apart(one: list[Output], other: list[Output], tokenizer: Any) -> float:
    """The largest difference of two likelihoods, a token."""
    tokens = [len(encode(tokenizer, option)) for option in OPTIONS] * len(one)
    triples = zip(values(one), values(other), tokens, strict=True)
    return max(abs(a - b) / count for a, b, count in triples)


@pytest.fixture(scope="module")
def engine(models: Path) -> Iterator[vllm_engine.VllmEngine]:
    with contextlib.closing(vllm_engine.load(models / "tiny")) as found:
        yield found


@pytest.fixture
def ours(models: Path) -> Iterator[torch_model.TransformersEngine]:
    with contextlib.closing(torch_model.load(models / "tiny")) as found:
        yield found


def test_it_answers_as_transformers_does(
    engine: vllm_engine.VllmEngine, ours: torch_model.TransformersEngine
) -> None:
    mine, its = answers(engine, SCORED), answers(ours, SCORED)
    found = apart(mine, its, engine.tokenizer)
    print(f"largest difference of {len(values(mine))} likelihoods, a token: {found:.2g}")
    assert found <= 1e-5
    counts = [(one.tokens_in, one.tokens_out) for one in mine]
    assert counts == [(one.tokens_in, one.tokens_out) for one in its]
    wrote, expected = answers(engine, WRITTEN), answers(ours, WRITTEN)
    assert [(one.text, one.tokens_in, one.tokens_out) for one in wrote] == [
        (one.text, one.tokens_in, one.tokens_out) for one in expected
    ]


@pytest.mark.parametrize("name", ["four", "eight"])
def test_an_adapter_answers_as_peft_computes_it(
    name: str,
    models: Path,
    engine: vllm_engine.VllmEngine,
    ours: torch_model.TransformersEngine,
) -> None:
    before = values(answers(engine, SCORED))
    adapted = engine.beside(models / name)
    mine, wrote = answers(adapted, SCORED), answers(adapted, WRITTEN)
    ours.model = adapter_loading.load(models / name, ours.model).get_base_model().eval()
    assert apart(mine, answers(ours, SCORED), engine.tokenizer) <= 1e-5
    assert [one.text for one in wrote] == [one.text for one in answers(ours, WRITTEN)]
    assert max(abs(a - b) for a, b in zip(before, values(mine), strict=True)) > 0.1
    adapted.let_go()
    assert values(answers(engine, SCORED)) == before
    with pytest.raises(ModelError, match="this engine was let go"):
        answers(adapted, SCORED)


def test_prompts_are_computed_once(engine: vllm_engine.VllmEngine) -> None:
    engine.probes()
    fresh = [ScoringRequest(CONTEXT.format("na " * 40), OPTIONS)]
    answers(engine, fresh)
    first = engine.probes()["prefix_reused"]
    answers(engine, fresh)
    print(f"of prompts' tokens there already: {first:.0%}, then {engine.probes()}")
    assert first > 0.5  # options share their context
    assert engine.probes() == {}


def test_neither_batch_nor_order_nor_what_is_kept_changes_a_bit(
    engine: vllm_engine.VllmEngine,
) -> None:
    expected = answers(engine, SCORED)
    for budget in (1, 200, 10_000):
        assert values(answers(engine, SCORED, budget)) == values(expected)
    turned = answers(engine, SCORED[::-1])[::-1]
    assert values(turned) == values(expected)
    replies = [one.text for one in answers(engine, WRITTEN)]
    assert [one.text for one in answers(engine, WRITTEN[::-1], 1)][::-1] == replies


def test_draws_follow_their_seeds(engine: vllm_engine.VllmEngine) -> None:
    drawn = [
        GenerationRequest(CONTEXT, max_tokens=12, temperature=1.0, seed=seed) for seed in (1, 2, 1)
    ]
    first = [one.text for one in answers(engine, drawn)]
    assert first[0] == first[2] != first[1]
    assert [one.text for one in answers(engine, drawn[::-1], 1)][::-1] == first


def test_what_was_answered_is_not_asked_again(engine: vllm_engine.VllmEngine) -> None:
    """A batch is answered and handed over at a time, so that a killed run goes on behind it."""
    batches: list[list[int]] = []
    engine.score_options(SCORED, budget=1, skip={0, 3}, done=lambda batch: batches.append([*batch]))
    assert sorted(i for batch in batches for i in batch) == [1, 2, 4, 5, 6, 7, 8]
    assert all(len(batch) == 1 for batch in batches)

    class Killed(BaseException):
        pass

    def kill(_: object) -> None:
        raise Killed

    with pytest.raises(Killed):
        engine.score_options(SCORED, budget=1, skip=set(), done=kill)
    assert len(answers(engine, SCORED)) == len(SCORED)


def test_a_failure_leaves_nothing_behind(engine: vllm_engine.VllmEngine) -> None:
    expected = values(answers(engine, SCORED))
    refused = "^vLLM refuses a request: .* maximum context length is 2048 tokens"
    with pytest.raises(ScoringError, match=refused):
        engine._ask([[1, 2], [1] * 5000], [{"max_tokens": 1}] * 2)
    assert values(answers(engine, SCORED)) == expected


def test_the_window_is_what_vllm_takes(engine: vllm_engine.VllmEngine) -> None:
    most = engine.window
    assert most == 2047
    fits = ScoringRequest("a" * (most - 2), ("abc",))
    assert engine.overlong([fits]) == {}
    assert math.isfinite(answers(engine, [fits], 10_000)[0].option_logprobs[0])
    (said,) = engine.overlong([ScoringRequest("a" * most, ("abc",))]).values()
    assert said == (
        "its prompt has 2047 tokens and its longest option has 3, together more than the 2047 that "
        "the model sees at once"
    )


def test_the_process_is_left_as_it_was(models: Path) -> None:
    import torch

    random.seed(3)
    before = dict(os.environ), random.getstate(), torch.get_rng_state().tolist()
    threads = torch.set_num_threads
    with contextlib.closing(vllm_engine.load(models / "tiny")) as found:
        answers(found, SCORED[:1])
        answers(found, WRITTEN[:1])
    assert (dict(os.environ), random.getstate(), torch.get_rng_state().tolist()) == before
    assert torch.set_num_threads is threads


def test_nan_is_told(models: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(models / "tiny", tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    tensors["model.norm.weight"].fill_(math.nan)
    save_file(tensors, broken / "model.safetensors", {"format": "pt"})
    with contextlib.closing(vllm_engine.load(broken)) as found:
        assert all(map(math.isnan, values(answers(found, SCORED[:1]))))
        assert answers(found, WRITTEN[:1])[0].failed == "the model's logits are NaN"


def test_what_it_cannot_load_is_said(models: Path, tmp_path: Path) -> None:
    with pytest.raises(VariantLoadError, match=r"device: 'cuda', and the installed vllm"):
        vllm_engine.load(models / "tiny", device="cuda")
    rules = shutil.copytree(models / "tiny", tmp_path / "rules")
    config = {"eos_token_id": 1, "no_repeat_ngram_size": 2}
    (rules / "generation_config.json").write_text(json.dumps(config))
    with pytest.raises(VariantLoadError, match="no_repeat_ngram_size changes what a reply is"):
        vllm_engine.load(rules)
    unknown = shutil.copytree(models / "tiny", tmp_path / "cut")
    whole = (unknown / "model.safetensors").read_bytes()
    (unknown / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ModelError, match="vLLM cannot load it"):
        vllm_engine.load(unknown)
