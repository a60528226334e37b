"""Replies that are decoded row by row in slots are those of ``model.generate``."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import itertools
import weakref
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.engines.interface import GenerationRequest
from pytest_modellab.engines.language.decoding import Decoder
from pytest_modellab.engines.language.generating import ROWS, WAVES, answer, batches, windows
from pytest_modellab.engines.language.logits import GumbelNoise
from pytest_modellab.engines.language.slots import Memory
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.loading import with_attention
from pytest_modellab.records.runs import Output

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

VOCABULARY = 64
ENDS = {"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0}
SHAPE: dict[str, Any] = {
    **ENDS,
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.5,
}
WINDOW = {"sliding_window": 6}
MIXED = {**WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
FAMILIES: dict[str, dict[str, Any]] = {
    "afmoe": {**MIXED, "head_dim": 8, "num_experts": 2, "num_dense_layers": 2},
    "gemma2": {
        **MIXED,
        "head_dim": 8,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": None,
        "query_pre_attn_scalar": 4,
    },
    "gemma3_text": {**MIXED, "head_dim": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512},
    "gpt_neox": {},
    "jetmoe": {"kv_channels": 8, "num_local_experts": 2, "num_experts_per_tok": 1},
    "llama": {},
    "mistral": WINDOW,
    "opt": {"ffn_dim": 32, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": WINDOW,
    "qwen2": {},
    "qwen3": {"head_dim": 16},
}
ON_THEIR_OWN: dict[str, dict[str, Any]] = {
    "bart": {
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 32,
        "init_std": 0.5,
    },
    "bloom": {"n_layer": 2, "n_head": 2},
    "doge": {},
    "falcon": {"alibi": False, "new_decoder_architecture": True},
    "gpt_oss": {**MIXED, "head_dim": 8, "num_local_experts": 2, "num_experts_per_tok": 1},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba": {"state_size": 4},
}
"""Families that cannot be continued in slots."""


CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=CUDA)]


class Words:
    """A tokenizer of which each token is a number."""

    def __call__(self, text: str, **_: Any) -> Any:
        return SimpleNamespace(input_ids=[int(word) for word in text.split()])

    def decode(self, tokens: Sequence[int], **_: Any) -> str:
        return " ".join(map(str, tokens))


@functools.cache
def small(kind: str, device: str = "cpu") -> Any:
    """A random model, eager where transformers has nothing else for its softcaps."""
    config = transformers.AutoConfig.for_model(kind, **{**SHAPE, **all_families()[kind]})
    torch.manual_seed(3)
    made = transformers.AutoModelForCausalLM.from_config
    model = with_attention(lambda attention: made(config, attn_implementation=attention))
    return model.eval().to(device)


def all_families() -> dict[str, dict[str, Any]]:
    return {**FAMILIES, **ON_THEIR_OWN}


def request(tokens: Sequence[int], limit: int, heat: float = 0.0, seed: int = 0) -> Any:
    return GenerationRequest(" ".join(map(str, tokens)), limit, heat, seed)


def said(
    model: Any, requests: Sequence[GenerationRequest], budget: int = 4096, **more: Any
) -> dict[int, Output]:
    found: dict[int, Output] = {}
    far = TransformersEngine(model, Words())._reach
    usual: dict[str, Any] = {"reach": far, "cache": None, "skip": set()}
    with torch.inference_mode():
        answer(model, Words(), requests, budget=budget, **{**usual, "done": found.update, **more})
    return found


def alone(model: Any, asked: GenerationRequest) -> str:
    """What ``model.generate`` says to one request."""
    ids = torch.tensor([Words()(asked.context).input_ids], device=model.device)
    processors = [GumbelNoise([asked], ids.shape[1])] if asked.temperature else []
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=asked.max_tokens,
            do_sample=False,
            logits_processor=transformers.LogitsProcessorList(processors),
        )
    reply = itertools.takewhile(lambda token: token not in (2, 3), out[0, ids.shape[1] :].tolist())
    return Words().decode(list(reply))


def drawn(seed: int, count: int, *, prefix: int = 0, longest: int = 14) -> list[Any]:
    """Requests of all lengths and limits, every third of them drawn."""
    random = torch.Generator().manual_seed(seed)

    def numbers(size: int) -> list[int]:
        return list(torch.randint(4, VOCABULARY, (size,), generator=random).tolist())

    shared = numbers(prefix)
    made = []
    for k in range(count):
        length, limit = torch.randint(1, longest, (2,), generator=random).tolist()
        made.append(request(shared + numbers(length), limit, 0.7 if k % 3 == 2 else 0.0, seed + k))
    return made


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("prefix", [0, 9])
@pytest.mark.parametrize("kind", FAMILIES)
def test_replies_are_those_of_generate(kind: str, prefix: int, device: str) -> None:
    """Of texts longer than the windows, with ends in the middle, and other rows beside them."""
    model = small(kind, device)
    assert windows(model) is not None
    asked = drawn(5, 9, prefix=prefix)
    wanted = [alone(small(kind), one) for one in asked]
    for budget in (1, 60, 4096):
        found = said(model, asked, budget)
        assert [found[k].text for k in range(len(asked))] == wanted, budget
    lengths = [len(text.split()) for text in wanted]
    assert [found[k].tokens_out for k in range(len(asked))] == lengths
    assert [found[k].tokens_in for k in range(len(asked))] == [
        len(one.context.split()) for one in asked
    ]


def test_some_of_these_replies_end_before_their_limits() -> None:
    """What the test above rests on."""
    asked = drawn(5, 9)
    early = [
        len(alone(small(kind), one).split()) < one.max_tokens
        for kind in ("llama", "gemma2", "phi3")
        for one in asked
    ]
    assert 0 < sum(early) < len(early)


@pytest.mark.parametrize("device", DEVICES)
def test_steps_are_captured(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows at last have a graph of their own; on the CPU a function stands for a graph."""
    model = small("llama", device)
    monkeypatch.setattr(model.generation_config, "eos_token_id", None)
    asked = [request([k + 4] + [9] * 100, 30 + k if k < 57 else 160) for k in range(60)]
    plain = said(model, asked, 65_536)
    shapes: list[tuple[int, int, bool]] = []
    begin, capture = Decoder.__init__, Decoder._capture

    def as_on_a_gpu(self: Decoder, *values: Any, **named: Any) -> None:
        begin(self, *values, **named)
        self._graphs = True

    def noted(self: Decoder, *shape: Any) -> Any:
        shapes.append(shape)
        if device == "cuda":
            return capture(self, *shape)
        graph = SimpleNamespace(replay=functools.partial(self._compute, *shape))
        self._captured[shape] = graph
        return graph

    monkeypatch.setattr(Decoder, "__init__", as_on_a_gpu)
    monkeypatch.setattr(Decoder, "_capture", noted)
    if device == "cpu":
        monkeypatch.setattr(Decoder, "_waits", lambda self, *shape: self._compute(*shape))
    found = said(model, asked, 65_536)
    lengths = (256, 320) if device == "cuda" else (256, 264)  # on a GPU by 64
    assert shapes == [(60, lengths[0], False), (8, lengths[0], False), (8, lengths[1], False)]
    assert [found[k].text for k in range(60)] == [plain[k].text for k in range(60)]
    assert [found[k].tokens_out for k in range(60)] == [one.max_tokens for one in asked]


@CUDA
@pytest.mark.parametrize("seen", [False, True], ids=["before", "in the capture"])
def test_a_model_whose_steps_wait_for_the_gpu(seen: bool) -> None:
    """It is run without a graph, and leaves the GPU as it was."""
    model = copy.deepcopy(small("llama", "cuda"))
    asked = drawn(5, 4)
    wanted = [alone(small("llama"), one) for one in asked]
    if seen:
        said(model, asked)
    handle = model.register_forward_hook(lambda _, __, out: out.logits.sum().item() and None)
    stream = torch.cuda.current_stream()
    try:
        found = said(model, asked)
    finally:
        handle.remove()
    assert [found[k].text for k in range(4)] == wanted
    assert torch.cuda.current_stream() == stream
    assert torch.randn(4, device="cuda").isfinite().all(), "the generator draws"


@pytest.mark.parametrize("kind", ON_THEIR_OWN)
def test_models_that_have_no_slots(kind: str) -> None:
    model = small(kind)
    asked = drawn(5, 3, prefix=3)
    found = said(model, asked)
    assert [found[k].text for k in range(3)] == [alone(model, one) for one in asked]


@settings(max_examples=15)
@given(
    seed=st.integers(0, 99),
    count=st.integers(1, 7),
    prefix=st.sampled_from([0, 0, 1, 8]),
    budget=st.integers(1, 200),
    kind=st.sampled_from(["llama", "gemma2"]),
    order=st.randoms(use_true_random=False),
)
def test_any_budget_and_order(
    seed: int, count: int, prefix: int, budget: int, kind: str, order: Any
) -> None:
    asked = drawn(seed, count, prefix=prefix, longest=9)
    whole = said(small(kind), asked)
    places = list(range(count))
    order.shuffle(places)
    found = said(small(kind), [asked[k] for k in places], budget)
    assert [found[i].text for i in range(count)] == [whole[k].text for k in places]


def test_replies_are_handed_over_as_they_are_done() -> None:
    """Their seconds are those that went by; what is skipped whole is not computed."""
    asked = [request([9, 9, k + 10], 3 + k) for k in range(6)]
    told: list[dict[int, Output]] = []
    said(small("llama"), asked, 16, done=lambda batch: told.append(dict(batch)))
    assert len(told) > 1
    assert sorted(i for batch in told for i in batch) == list(range(6))
    assert all(output.seconds > 0 for batch in told for output in batch.values())
    planned = batches([3 + k for k in range(6)], 16, step=1)
    whole = frozenset(planned[0].members)
    rest = said(small("llama"), asked, 16, skip=whole)
    assert sorted(rest) == sorted(set(range(6)) - whole)
    half = said(small("llama"), asked, 16, skip=frozenset([planned[0].members[0]]))
    assert sorted(half) == list(range(6)), "half a batch is computed whole"


def test_a_limit_of_no_token() -> None:
    found = said(small("llama"), [request([9, 8], 0), request([9, 8], 1)])
    assert [(found[k].text == "", found[k].tokens_out) for k in (0, 1)] == [(True, 0), (False, 1)]


def test_a_row_with_nan_leaves_nothing_behind() -> None:
    """Its place in the batch is taken by others, whose logits are numbers."""
    model = small("llama")
    asked = [request([9, 8, 7], 4), request([50, 9], 6), *(request([9, k], 3) for k in (5, 6))]
    wanted = [alone(model, one) for one in asked]
    weights = model.model.embed_tokens.weight
    kept = weights[50].clone()
    with torch.no_grad():
        weights[50] = float("nan")
    try:
        found = said(model, asked, 8)
    finally:
        with torch.no_grad():
            weights[50] = kept
    assert [output.failed for _, output in sorted(found.items())] == [
        "",
        "the model's logits are NaN",
        "",
        "",
    ]
    assert [found[k].text for k in (0, 2, 3)] == [wanted[k] for k in (0, 2, 3)]


def test_a_penalty_for_repeating(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the generation_config.json of Qwen 2.5; other settings go through generate."""
    model = small("qwen2")
    asked = drawn(8, 4, prefix=3)
    plain = [alone(model, one) for one in asked]
    monkeypatch.setattr(model.generation_config, "repetition_penalty", 1.8)
    wanted = [alone(model, one) for one in asked]
    assert wanted != plain
    found = said(model, asked)
    assert [found[k].text for k in range(4)] == wanted
    assert windows(model) is not None
    monkeypatch.setattr(model.generation_config, "forced_eos_token_id", 0)
    assert windows(model) is None, "token 0 is one, too"
    monkeypatch.setattr(model.generation_config, "forced_eos_token_id", None)
    monkeypatch.setattr(model.generation_config, "no_repeat_ngram_size", 2)
    assert windows(model) is None
    found = said(model, asked)
    assert [found[k].text for k in range(4)] == [alone(model, one) for one in asked]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by PEFT
def test_an_adapter_that_is_not_merged() -> None:
    peft = pytest.importorskip("peft")
    lora = peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], r=2)
    model = peft.get_peft_model(copy.deepcopy(small("llama")), lora)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(2))
    assert windows(model) is not None
    asked = drawn(5, 6, prefix=3)
    found = said(model, asked)
    wanted = [alone(model, one) for one in asked]
    assert [found[k].text for k in range(6)] == wanted
    assert wanted != [alone(small("llama"), one) for one in asked]


@pytest.mark.parametrize(
    "change",
    [
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        {"layer_types": ["full_attention", "chunked_attention"], "attention_chunk_size": 8},
        {"num_kv_shared_layers": 1},
        {"is_causal": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_configuration_rules_out(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small("llama")
    assert windows(model) == (None, None)
    for name, value in change.items():
        monkeypatch.setattr(model.config, name, value, raising=False)
    assert windows(model) is None


def test_nothing_outlives_a_run() -> None:
    """Nor one that is broken off, behind which the model attends as before."""
    model = small("llama")
    held: list[weakref.ref[Any]] = []
    made = Memory._make

    def noted(self: Memory, layer: int, key: Any, value: Any) -> None:
        made(self, layer, key, value)
        held.append(weakref.ref(self._keys[layer]))

    def broken(_: object) -> None:
        raise KeyboardInterrupt

    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Memory, "_make", noted)
            said(model, drawn(5, 3, prefix=3))
            assert held[0]() is None
            with contextlib.suppress(KeyboardInterrupt):
                said(model, drawn(5, 3), done=broken)
            assert held[-1]() is None
    finally:
        gc.enable()
    assert model.config._attn_implementation == "sdpa"


@given(
    lengths=st.lists(st.integers(1, 600), max_size=60),
    budget=st.integers(1, 5000),
    step=st.sampled_from([1, 64]),
)
def test_batches_hold_each_request_once_and_fit(lengths: list[int], budget: int, step: int) -> None:
    planned = batches(lengths, budget, step=step)
    assert sorted(i for batch in planned for i in batch.members) == list(range(len(lengths)))
    for batch in planned:
        own = [lengths[i] for i in batch.members]
        assert own == sorted(own, reverse=True)
        assert own[0] <= batch.length < own[0] + step
        assert own[0] <= 2 * own[-1]
        assert batch.rows == 1 or batch.rows * batch.length <= budget
        assert batch.rows <= min(ROWS, len(own))
        assert len(own) <= WAVES * max(1, min(ROWS, budget // batch.length))
