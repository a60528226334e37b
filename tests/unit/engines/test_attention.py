"""Block masks say what dense ones say, and nothing of the size of a dense one is made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.language import attention, reach
from pytest_modellab.engines.language.attention import FULL, Blocks, Dense, Layout, held
from pytest_modellab.engines.language.packing import pack
from pytest_modellab.engines.language.reach import choose
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.records.runs import Output
from pytest_modellab.store import said

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CPU = torch.device("cpu")
text = st.integers(1, 300).map(lambda count: [0] * count)
trees = st.lists(st.tuples(text, st.lists(text, max_size=4)), min_size=1, max_size=5)


def layout_of(rows: list[tuple[list[int], list[list[int]]]], prefix: int) -> Layout:
    found = pack(rows, prefix).layout
    return found.padded(Blocks(CPU).length(len(found)))


def dense(layout: Layout, window: int | None) -> Any:
    """Worked out from positions and texts, without a rule of the package."""
    sees = np.concatenate([np.ones((len(layout), layout.prefix), bool), layout.sees()], axis=1)
    if window is None:
        return sees
    places = np.concatenate([np.arange(layout.prefix), layout.positions])
    return (sees & (layout.positions[:, None] - places < window))[
        :, max(0, layout.prefix - window + 1) :
    ]


@settings(max_examples=25)
@given(
    rows=trees,
    prefix=st.sampled_from([0, 1, 127, 128, 300]),
    window=st.none() | st.integers(2, 400),
)
def test_blocks_hold_what_is_seen(
    rows: list[tuple[list[int], list[list[int]]]], prefix: int, window: int | None
) -> None:
    layout = layout_of(rows, prefix)
    wanted = dense(layout, window)
    (mask,) = (Dense(CPU, torch.float32).of(layout, {"": window}),)
    assert np.array_equal(mask[0, 0].numpy() == 0, wanted)
    counts, partial, full_counts, full = held(layout, window)
    block, padding = attention.BLOCK, -wanted.shape[1] % attention.BLOCK
    tiles = np.pad(wanted, ((0, 0), (0, padding))).reshape(len(counts), block, -1, block)
    some: Any = tiles.any(axis=(1, 3))
    every: Any = tiles.all(axis=(1, 3))
    for row in range(len(counts)):
        part = partial[row, : counts[row]].tolist()
        whole = full[row, : full_counts[row]].tolist()
        assert sorted(part + whole) == np.flatnonzero(some[row]).tolist()
        assert set(whole) <= set(np.flatnonzero(every[row]))
        if window is None and len(rows) == 1 and not rows[0][1] and prefix % block == 0:
            assert set(whole) == set(np.flatnonzero(every[row]))


def test_a_row_of_many_texts_has_few_blocks() -> None:
    rows = [([0] * 104, [[0] * 5] * 4)] * 270
    layout = layout_of(rows, 425)
    counts, _, full_counts, _ = held(layout, None)
    assert len(layout) == 32_512
    assert sum(counts) / len(counts) < 4, "a part of the prefix, and what a text has itself"
    assert full_counts.tolist() == [6] * 508, "425 tokens are six blocks of 64, and a part"
    assert sum(table.size for table in held(layout, None)) < 12_000
    assert Blocks(CPU).of(layout, FULL).shape == (1, 1, 32_512, 32_937)


# --- models ---------------------------------------------------------------------------------------


ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
SIZES = {
    **ENDS,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}
GROUPED = {**SIZES, "num_key_value_heads": 1}
WINDOW = {"sliding_window": 24, "head_dim": 16}
MIXED = {"layer_types": ["sliding_attention", "full_attention"]}
CAPPED = {"attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "qwen2": {**GROUPED, **MIXED, "use_sliding_window": True, "sliding_window": 24},
    "qwen3": {**GROUPED, "head_dim": 16},
    "mistral": {**GROUPED, **WINDOW},
    "gemma2": {**GROUPED, **WINDOW, **MIXED, **CAPPED},
    "gemma3_text": {**GROUPED, **WINDOW, **MIXED},
    "phi3": {**GROUPED, "sliding_window": 24},
    "gpt_neox": SIZES,
}


def random_model(kind: str) -> Any:
    config = transformers.AutoConfig.for_model(kind, vocab_size=272, **FAMILIES[kind])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return transformers.AutoModelForCausalLM.from_config(
            config, attn_implementation="eager"
        ).eval()


def asked(shared: str) -> list[ScoringRequest]:
    texts = ["the other one", "x", "another then an other, and " * 3]
    return [ScoringRequest(shared + text, ("the", "an other", "12 x")) for text in texts]


def scores(engine: TransformersEngine, requests: list[ScoringRequest], budget: int) -> list[Any]:
    found: dict[int, Output] = {}
    engine.score_options(requests, budget=budget, skip=set(), done=found.update)
    return [found[i].option_logprobs for i in range(len(requests))]


def one_by_one(model: Any, requests: list[ScoringRequest]) -> list[Any]:
    """Each text alone, through nothing but transformers."""
    told = []
    for request in requests:
        context = encode(tiny.tokenizer(), request.context)
        row = []
        for option in request.options:
            tokens = encode(tiny.tokenizer(), option)
            with torch.no_grad():
                logits = model(torch.tensor([context + tokens], device=model.device)).logits[0]
            rows = logits[len(context) - 1 : -1].float().log_softmax(-1)
            row.append(sum(float(line[token]) for line, token in zip(rows, tokens, strict=True)))
        told.append(tuple(row))
    return told


def by_blocks(model: Any) -> TransformersEngine:
    """An engine that computes by flex_attention though it is on the CPU."""
    engine = TransformersEngine(model, tiny.tokenizer())
    engine.__dict__["_masks"] = Blocks(model.device)
    return engine


@pytest.fixture
def not_compiled() -> Iterator[None]:
    """What flex_attention computes without its kernel, whose compiling takes a minute."""
    torch.compiler.reset()
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.mark.usefixtures("not_compiled")
@pytest.mark.parametrize("kind", FAMILIES)
def test_block_masks_give_the_likelihoods_of_each_text_alone(kind: str) -> None:
    model = random_model(kind)
    for shared in ("", "<|im_start|>the system says and does the other, again and again<|im_end|>"):
        requests = asked(shared)
        wanted = one_by_one(model, requests)
        for engine in (by_blocks(model), TransformersEngine(model, tiny.tokenizer())):
            found = scores(engine, requests, 4096)
            for mine, plain in zip(found, wanted, strict=True):
                assert mine == pytest.approx(plain, abs=1e-4)
    assert model.config._attn_implementation == "eager", "as it was before"


def with_adapter() -> Any:
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    return peft.get_peft_model(random_model("llama"), config).eval()


def in_four_bits() -> Any:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    model = tiny.llama(hidden_size=64, intermediate_size=64)
    for layer in model.model.layers:
        old = layer.mlp.up_proj
        layer.mlp.up_proj = bitsandbytes.nn.Linear4bit(
            old.in_features, old.out_features, bias=False, compute_dtype=torch.float32
        )
        layer.mlp.up_proj.load_state_dict({"weight": old.weight.data})
    return model.to("cpu")


def in_eight_bits() -> Any:
    torchao = pytest.importorskip("torchao.quantization")
    model = random_model("llama")
    torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
    return model


@pytest.mark.usefixtures("not_compiled")
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by PEFT
@pytest.mark.parametrize("make", [with_adapter, in_four_bits, in_eight_bits])
def test_block_masks_reach_a_model_that_a_library_has_changed(make: Callable[[], Any]) -> None:
    model = make()
    requests = asked("")
    found = scores(by_blocks(model), requests, 4096)
    for mine, plain in zip(found, one_by_one(model, requests), strict=True):
        assert mine == pytest.approx(plain, abs=1e-3)


# --- which form is chosen -------------------------------------------------------------------------


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have models of the CPU chosen for as if they lay on a GPU; what is said to the user."""
    told: list[str] = []
    monkeypatch.setattr(reach, "_on_gpu", lambda _: True)
    monkeypatch.setattr(said, "say", told.append)
    reach._say_once.cache_clear()
    return told


def test_the_cpu_and_plain_attention_have_a_dense_mask(on_gpu: list[str]) -> None:
    model = random_model("llama")
    for name in ("sdpa", "eager"):
        assert isinstance(choose(model, name), Dense)
    assert on_gpu == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reach, "_on_gpu", lambda _: False)
        assert isinstance(choose(model, None), Dense)


@pytest.mark.usefixtures("not_compiled")
def test_a_model_that_computes_by_blocks_does(on_gpu: list[str]) -> None:
    with torch.inference_mode():
        assert isinstance(choose(random_model("llama"), None), Blocks)
    assert on_gpu == []


def test_a_model_without_flex_attention_has_a_dense_mask_and_it_is_said_once(
    on_gpu: list[str],
) -> None:
    config = transformers.OPTConfig(
        vocab_size=272, hidden_size=16, ffn_dim=16, num_attention_heads=2, num_hidden_layers=1,
        word_embed_proj_dim=16,
    )  # fmt: skip
    model = transformers.OPTForCausalLM(config)
    model._supports_flex_attn = False
    for _ in range(2):
        assert isinstance(choose(model, None), Dense)
    why = "transformers' OPTForCausalLM has no such attention"
    assert on_gpu == [
        "texts in one row are computed with a dense mask, in smaller batches, since "
        f"flex_attention fails: {why}"
    ]
    with pytest.raises(VariantLoadError) as caught:
        choose(model, "flex_attention")
    assert str(caught.value) == (
        f'attention: \'flex_attention\' is not there ({why}): set "sdpa" or "eager", or leave '
        "attention out for the best that is there"
    )


def test_what_fails_to_compile_is_told_and_memory_is_no_such_failure(
    on_gpu: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("llama")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no compiler\nand a long trace")

    monkeypatch.setattr(attention, "_attend", fail)
    assert isinstance(choose(model, None), Dense)
    assert on_gpu[0].endswith("since flex_attention fails: no compiler")
    assert model.config._attn_implementation == "eager", "as it was before"

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(attention, "_attend", full)
    with pytest.raises(torch.OutOfMemoryError):
        choose(model, None)


def test_a_dense_mask_has_room_for_so_many_tokens() -> None:
    dense = Dense(CPU, torch.float32)
    assert dense.room(0) == 8192
    for prefix in (0, 100, 5000):
        room = int(dense.room(prefix))
        assert room * (prefix + room) <= attention.ENTRIES < (room + 1) * (prefix + room + 1)


# --- on a GPU -------------------------------------------------------------------------------------


CUDA = torch.cuda.is_available()


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
@pytest.mark.parametrize(
    ("kind", "dtype", "near"),
    [
        *((kind, "float32", 1e-4) for kind in FAMILIES),
        ("llama", "bfloat16", 0.5),
        ("gemma2", "bfloat16", 0.5),
        ("llama", "float16", 0.05),
        ("gemma3_text", "float16", 0.05),
    ],
)
def test_a_gpu_computes_by_blocks_what_it_computes_of_each_text(
    kind: str, dtype: str, near: float
) -> None:
    model = random_model(kind).to("cuda", getattr(torch, dtype))
    engine = TransformersEngine(model, tiny.tokenizer())
    assert isinstance(engine._masks, Blocks)
    dense = TransformersEngine(model, tiny.tokenizer(), attention="eager")
    for shared in ("", "<|im_start|>the system says and does the other, again and again<|im_end|>"):
        requests = asked(shared)
        found = scores(engine, requests, 300)
        wanted, alike = one_by_one(model, requests), scores(dense, requests, 300)
        for mine, plain, other in zip(found, wanted, alike, strict=True):
            assert mine == pytest.approx(plain, abs=near)
            assert mine == pytest.approx(other, abs=near)
        assert scores(engine, requests, 300) == found, "bit for bit"
