"""Fused kernels: what they are refused for, one model's alone, and as exact as a batch allows."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import kernels, torch_model
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.models import reads
from pytest_modellab.records.runs import Output

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

needs_liger = pytest.mark.skipif(
    not (torch.cuda.is_available() and importlib.util.find_spec("liger_kernel")),
    reason="liger-kernel needs a GPU",
)

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
"""Of a model of any type."""

LLAMA: dict[str, Any] = {
    **SMALL,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "max_position_embeddings": 4096,
}
"""As wide as SmolLM2-135M, so that batches of different size are multiplied by other kernels."""


def random_model(kind: str, **values: Any) -> Any:
    config = transformers.AutoConfig.for_model(kind, **{"vocab_size": 300, **SMALL, **values})
    torch.manual_seed(1)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


# --- refusals -------------------------------------------------------------------------------------


def test_a_processor_runs_none() -> None:
    with pytest.raises(VariantLoadError) as caught:
        kernels.check_device("cpu")
    assert str(caught.value) == (
        'kernels: "liger" runs on a GPU, and this variant on \'cpu\': set device = "cuda", or '
        "leave kernels out"
    )
    kernels.check_device("cuda:1")


def test_a_type_that_is_not_known(tmp_path: Path) -> None:
    transformers.AutoConfig.for_model("gpt2").save_pretrained(tmp_path)
    with pytest.raises(VariantLoadError) as caught:
        kernels.check(tmp_path, device="cuda")
    assert str(caught.value) == (
        'kernels: "liger" is for models of the types exaone4, gemma, gemma2, gemma3_text, glm4, '
        "granite, llama, ministral, mistral, olmo2, olmo3, phi3, qwen2, qwen3, smollm3, and this "
        "one is 'gpt2': leave kernels out"
    )


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        ("llama", {"hidden_act": "gelu"}, "silu or swish in the MLP of llama, and this model's "),
        (
            "gemma2",
            {"hidden_activation": "gelu"},
            "gelu_pytorch_tanh or gelu_new in the MLP of gemma2, and this model's ",
        ),
    ],
)
def test_an_activation_that_is_not_what_the_kernel_computes(
    kind: str, values: dict[str, str], said: str
) -> None:
    kernels.check_config(transformers.AutoConfig.for_model(kind))
    with pytest.raises(VariantLoadError) as caught:
        kernels.check_config(transformers.AutoConfig.for_model(kind, **values))
    assert str(caught.value) == (
        f"kernels: \"liger\" computes {said}activation is 'gelu': leave kernels out"
    )


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    monkeypatch.setitem(sys.modules, "liger_kernel.backends", None)
    with pytest.raises(VariantLoadError) as caught:
        kernels.fuse(random_model("llama"))
    assert str(caught.value) == (
        "kernels = \"liger\" needs liger_kernel.backends: pip install 'pytest-modellab[fast]'"
    )


# --- one model alone ------------------------------------------------------------------------------


def logits(model: Any) -> Any:
    device = model.device
    with torch.inference_mode():
        return model(torch.arange(3, 40, device=device)[None]).logits.float().cpu()


def still(query: Any, key: Any, *_: Any) -> tuple[Any, Any]:
    """A rotary embedding that turns nothing."""
    return query, key


def as_liger_does(model: Any) -> None:
    """Change a model and the module of its classes, for all to come."""
    home = sys.modules[type(model).__module__]
    vars(home).update(LlamaRMSNorm=torch.nn.Identity, apply_rotary_pos_emb=still)
    model.model.norm.forward = lambda states: states


def test_what_is_changed_is_one_model_alone() -> None:
    home = sys.modules["transformers.models.llama.modeling_llama"]
    before = dict(vars(home))
    changed, plain = random_model("llama"), random_model("llama")
    expected = logits(plain)
    kernels.contained(changed, as_liger_does)
    assert {name: vars(home)[name] for name in before} == before
    attention = changed.model.layers[0].self_attn
    assert attention.forward.__globals__["apply_rotary_pos_emb"] is still
    assert type(attention).forward.__globals__["apply_rotary_pos_emb"] is not still
    assert not torch.allclose(logits(changed), expected, atol=1e-3)
    for other in (plain, random_model("llama")):
        assert not any("forward" in vars(module) for module in other.modules())
        assert torch.equal(logits(other), expected)
    copied = copy.deepcopy(changed)
    assert copied.model.layers[0].self_attn.forward.__self__ is copied.model.layers[0].self_attn
    assert torch.equal(logits(copied), logits(changed))


def test_a_change_that_fails_is_taken_back() -> None:
    home = sys.modules["transformers.models.llama.modeling_llama"]
    before = dict(vars(home))

    def fails(model: Any) -> None:
        as_liger_does(model)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        kernels.contained(random_model("llama"), fails)
    assert {name: vars(home)[name] for name in before} == before


# --- on a GPU -------------------------------------------------------------------------------------


@needs_liger
@pytest.mark.parametrize("kind", kernels.TYPES)
def test_each_type_computes_what_it_did(kind: str) -> None:
    plain = random_model(kind, initializer_range=0.2).to("cuda")
    expected = logits(plain)
    fused = copy.deepcopy(plain)
    kernels.check_config(fused.config)
    kernels.fuse(fused)
    products = [one for one in fused.modules() if type(one).__name__.endswith("MLP")]
    assert all("forward" in vars(one) for one in (fused.model.norm, *products))
    turned = [one for one in fused.modules() if type(one).__name__.endswith("Attention")]
    # liger has no rotary embedding for GLM
    assert all(("forward" in vars(one)) == (kind != "glm4") for one in turned)
    found = logits(fused)
    print(f"{kind}: {(found - expected).abs().max():.1e} of {expected.abs().max():.1f}")
    assert torch.allclose(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert torch.equal(logits(plain), expected), "the plain one is as it was"


@needs_liger
def test_adapters_inside_the_mlp_are_asked() -> None:
    peft = pytest.importorskip("peft")
    names = ["q_proj", "gate_proj", "up_proj", "down_proj"]

    def adapted(model: Any) -> Any:
        torch.manual_seed(2)
        config = peft.LoraConfig(target_modules=names, init_lora_weights=False, r=4)
        return peft.inject_adapter_in_model(config, model.to("cuda")).eval()

    plain, fused = random_model("llama"), random_model("llama").to("cuda")
    alone = logits(plain.to("cuda"))
    kernels.fuse(fused)
    expected, found = logits(adapted(plain)), logits(adapted(fused))
    assert not torch.allclose(expected, alone, atol=1e-2)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.fixture(scope="module")
def wide(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama that is as wide as a small real one."""
    folder = tmp_path_factory.mktemp("wide")
    vocabulary = json.loads((model_folder / "config.json").read_text())["vocab_size"]
    # logits of some size: a real model's differ by several
    model = random_model("llama", **LLAMA, vocab_size=vocabulary, initializer_range=0.06)
    model.save_pretrained(folder)
    for path in model_folder.iterdir():
        if reads.of_tokenizer(path.name):
            shutil.copy(path, folder)
    return folder


def questions(count: int) -> list[ScoringRequest]:
    draw = torch.Generator().manual_seed(3)

    def text(length: int) -> str:
        return bytes(torch.randint(97, 123, (length,), generator=draw).tolist()).decode()

    lengths = torch.randint(20, 160, (count,), generator=draw).tolist()
    return [
        ScoringRequest(text(length), tuple(text(4 + length % 5) for _ in range(4)))
        for length in lengths
    ]


def scored(engine: Any, asked: Sequence[ScoringRequest], budget: int) -> Any:
    found: dict[int, Output] = {}
    engine.score_options(asked, budget=budget, skip=set(), done=found.update)
    return torch.tensor([found[i].option_logprobs for i in range(len(asked))]).double()


def spread(one: Any, other: Any) -> float:
    return float((one - other).square().mean().sqrt())


@needs_liger
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_scores_agree_as_two_batchings_do(wide: Path, dtype: str) -> None:
    asked = questions(256)
    plain = torch_model.load(wide, dtype=dtype, device="cuda")
    small, large = (scored(plain, asked, budget) for budget in (300, 8192))
    assert torch.equal(scored(plain, asked, 8192), large)
    plain.close()
    exact = torch_model.load(wide, dtype="float32", device="cuda")
    true = scored(exact, asked, 8192)
    exact.close()
    engine = torch_model.load(wide, dtype=dtype, device="cuda")
    kernels.fuse(engine.model)
    fused = scored(engine, asked, 8192)
    assert torch.equal(scored(engine, asked, 8192), fused), "two runs are bit for bit equal"
    engine.close()
    floor, moved = spread(small, large), spread(fused, large)
    picks = [float((one.argmax(1) == large.argmax(1)).double().mean()) for one in (small, fused)]
    print(
        f"{dtype}: rms of differences, two batchings {floor:.2e}, liger {moved:.2e}; from float32 "
        f"{spread(large, true):.2e} and {spread(fused, true):.2e}; same choice {picks}"
    )
    assert 0 < moved <= 2 * floor
    assert dtype == "float32" or spread(fused, true) <= 1.2 * spread(large, true)


@needs_liger
def test_replies_are_those_of_the_plain_model(wide: Path) -> None:
    asked = [GenerationRequest(one.context, 24) for one in questions(40)]
    replies = []
    for fused in (False, True):
        engine = torch_model.load(wide, device="cuda")
        if fused:
            kernels.fuse(engine.model)
        found: dict[int, Output] = {}
        engine.generate(asked, budget=4096, skip=set(), done=found.update)
        replies.append([found[i].text for i in range(len(asked))])
        engine.close()
    assert len(set(replies[0])) > 1
    assert replies[1] == replies[0]
