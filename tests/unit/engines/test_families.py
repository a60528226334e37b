"""Healthy models of families that transformers runs otherwise than most."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.encoders import sentence
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model
from pytest_modellab.engines.tokens import encode
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.models import reads
from pytest_modellab.records.runs import Output

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA: dict[str, Any] = {
    **ENDS,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
}
GPT: dict[str, Any] = {**ENDS, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 512}


def saved(folder: Path, like: Path, kind: str, values: dict[str, Any], **more: Any) -> Any:
    """Save a random model of a family with another's tokenizer, and tensors that nobody needs."""
    vocabulary = json.loads((like / "config.json").read_text())["vocab_size"]
    config = transformers.AutoConfig.for_model(kind, vocab_size=vocabulary, **values)
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    model.save_pretrained(folder, state_dict={**model.state_dict(), **more})
    for path in like.iterdir():
        if reads.of_tokenizer(path.name):
            shutil.copy(path, folder)
    return model


def test_a_model_without_torchs_attention(model_folder: Path, tmp_path: Path) -> None:
    plain = saved(tmp_path, model_folder, "gemma2", {**LLAMA, "head_dim": 8})
    loaded = torch_model.load(tmp_path)
    assert loaded.model.config._attn_implementation == "eager"
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.allclose(loaded.model(ids).logits, plain(ids).logits, atol=1e-5)


def test_an_encoder_without_torchs_attention(model_folder: Path, tmp_path: Path) -> None:
    vocabulary = json.loads((model_folder / "config.json").read_text())["vocab_size"]
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    config = transformers.MPNetConfig(vocab_size=vocabulary, num_hidden_layers=1, **shape)
    transformers.MPNetModel(config).save_pretrained(tmp_path)
    for path in model_folder.iterdir():
        if reads.of_tokenizer(path.name):
            shutil.copy(path, tmp_path)
    prompts: dict[Any, None] = {"query": None, "passage": None}
    encoder = sentence.load(tmp_path, key="k", prompts=prompts, max_tokens=None, pooling="mean")
    assert encoder.encode(["a text"], "query").shape == (1, 16)


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        ("gptj", {"attn.bias": torch.ones(1, 1, 8, 8), "attn.masked_bias": torch.tensor(-1e9)}),
        ("codegen", {"attn.causal_mask": torch.ones(1, 1, 8, 8, dtype=torch.bool)}),
    ],
)
def test_masks_that_were_saved_with_each_layer(
    model_folder: Path, tmp_path: Path, kind: str, kept: dict[str, Any]
) -> None:
    more = {f"transformer.h.{i}.{name}": kept[name].clone() for i in (0, 1) for name in kept}
    plain = saved(tmp_path, model_folder, kind, {**GPT, "n_head": 4, "rotary_dim": 4}, **more)
    loaded = torch_model.load(tmp_path)
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.allclose(loaded.model(ids).logits, plain(ids).logits, atol=1e-5)


def test_an_index_of_one_file_as_mlx_writes_it(model_folder: Path, tmp_path: Path) -> None:
    plain = saved(tmp_path, model_folder, "llama", LLAMA)
    index = {"weight_map": dict.fromkeys(plain.state_dict(), "model.safetensors")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch_model.load(tmp_path).model.num_parameters() == plain.num_parameters()


WINDOW = {"sliding_window": 8, "head_dim": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "bloom": {**ENDS, "hidden_size": 16, "n_layer": 2, "n_head": 2},
    "falcon": {**ENDS, "hidden_size": 16, "num_hidden_layers": 2, "alibi": True}
    | {"num_attention_heads": 2},
    "gemma3_text": {**LLAMA, **WINDOW, "layer_types": ["sliding_attention", "full_attention"]},
    "lfm2": {**LLAMA, "layer_types": ["conv", "full_attention"]},
    "llama": LLAMA,
    "mamba": {**ENDS, "hidden_size": 16, "num_hidden_layers": 2, "state_size": 4},
    "mistral": {**LLAMA, **WINDOW},
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_answers_are_those_of_each_text_alone(
    model_folder: Path, tmp_path: Path, kind: str
) -> None:
    plain = saved(tmp_path, model_folder, kind, FAMILIES[kind])
    loaded = torch_model.load(tmp_path)
    contexts = [f"one begins alike, {end}" for end in ("no", "and goes on", "but is not as long")]
    asked = [ScoringRequest(context, ("yes", "not at all")) for context in contexts]
    scored: dict[int, Output] = {}
    loaded.score_options(asked, budget=512, skip=set(), done=scored.update)
    said: dict[int, Output] = {}
    wanted = [GenerationRequest(context, 4) for context in contexts]
    loaded.generate(wanted, budget=512, skip=set(), done=said.update)
    for number, request in enumerate(asked):
        ids = encode(loaded.tokenizer, request.context)
        options = [
            loaded.tokenizer.encode(one, add_special_tokens=False) for one in request.options
        ]
        expected = [sum(logprobs(plain, ids, option)) for option in options]
        assert scored[number].option_logprobs == pytest.approx(expected, abs=1e-3)
        reply: list[int] = []
        while len(reply) < 4 and 2 not in reply:
            with torch.no_grad():
                reply.append(int(plain(torch.tensor([ids + reply])).logits[0, -1].argmax()))
        assert said[number].text == loaded.tokenizer.decode(reply, skip_special_tokens=True)


def logprobs(model: Any, context: list[int], tokens: list[int]) -> list[float]:
    with torch.no_grad():
        logits = model(torch.tensor([context + tokens])).logits[0].log_softmax(dim=-1)
    return [float(logits[len(context) + i - 1, token]) for i, token in enumerate(tokens)]


def test_windows_without_a_size(model_folder: Path, tmp_path: Path) -> None:
    saved(tmp_path, model_folder, "llama", LLAMA)
    config = json.loads((tmp_path / "config.json").read_text())
    config["layer_types"] = ["sliding_attention", "full_attention"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"transformers cannot load it: .*'sliding_window'"):
        torch_model.load(tmp_path)


def test_an_attention_that_is_asked_for(model_folder: Path, tmp_path: Path) -> None:
    for name in ("eager", "sdpa"):
        loaded = torch_model.load(model_folder, attention=name)
        assert loaded.model.config._attn_implementation == name
        assert loaded.beside()._attention == name, "another engine on the same model"
    loaded = torch_model.load(model_folder, attention="flex_attention")
    assert loaded.model.config._attn_implementation == "sdpa", "replies are written by it"
    saved(tmp_path, model_folder, "gpt_oss", {**LLAMA, "head_dim": 8, "num_local_experts": 2})
    assert torch_model.load(tmp_path).model.config._attn_implementation == "eager"
    with pytest.raises(VariantLoadError) as caught:
        torch_model.load(tmp_path, attention="sdpa")
    assert str(caught.value) == (
        "attention: 'sdpa' is not there (GptOssForCausalLM does not support an attention "
        "implementation through torch.nn.functional.scaled_dot_product_attention yet): set "
        '"eager", which every model has, or leave attention out for the best that is there'
    )
