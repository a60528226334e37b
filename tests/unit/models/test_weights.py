"""Checkpoints whose tensors are not those that config.json asks for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.language import torch_model
from pytest_modellab.errors import ModelError
from pytest_modellab.models import weights

pytest.importorskip("torch")
pytest.importorskip("transformers")

Change = Callable[[dict[str, Any]], Mapping[str, Any]]
AGAIN = (
    "Copy or download the folder again, or save the model again with save_pretrained, its "
    "config.json with it"
)
KIND = "it was saved as another kind of model; save it as LlamaForCausalLM, or declare one that was"
LAYERS = "put the config.json beside them that they were saved with"


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    return shutil.copytree(model_folder, tmp_path / "copy")


def change(folder: Path, made: Change) -> None:
    """Write the folder's tensors anew."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file(dict(made(load_file(file))), file, metadata={"format": "pt"})


def configure(folder: Path, **values: Any) -> None:
    """Change the folder's config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def message(folder: Path) -> str:
    """Return why the folder is refused, behind its name."""
    with pytest.raises(ModelError) as caught:
        torch_model.load(folder)
    begin, _, rest = str(caught.value).partition(": ")
    assert begin == str(folder)
    return rest


UNFIT = "its weights do not fit the LlamaForCausalLM of its configuration: "


@pytest.mark.parametrize("prefix", weights.WRAPPERS)
def test_names_of_a_wrapped_model(folder: Path, prefix: str) -> None:
    change(folder, lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()})
    missing = [
        "lm_head.weight",
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
    ]
    assert message(folder) == (
        f"{UNFIT}21 tensors are missing ({', '.join(missing)}, …), to be drawn at random; "
        f"21 tensors are left over ({', '.join(prefix + name for name in missing)}, …), to be "
        f"ignored. Names with '{prefix}' come from {weights.WRAPPERS[prefix]}"
    )


def test_names_of_something_else_that_holds_the_model(folder: Path) -> None:
    change(folder, lambda tensors: {f"net.lm.{name}": t for name, t in tensors.items()})
    assert message(folder).endswith(
        "Names begin with 'net.lm.', and the model's do not: save the model without what it is "
        "wrapped in"
    )


def test_a_part_of_the_model_that_was_compiled(folder: Path) -> None:
    change(
        folder,
        lambda tensors: {
            name.replace("layers.1.", "layers.1._orig_mod."): tensor
            for name, tensor in tensors.items()
        },
    )
    assert message(folder).endswith(
        "Names with '_orig_mod.' come from torch.compile: save model._orig_mod"
    )


def test_a_tensor_that_is_missing(folder: Path) -> None:
    name = "model.layers.1.self_attn.q_proj.weight"
    change(folder, lambda tensors: {k: v for k, v in tensors.items() if k != name})
    assert message(folder) == f"{UNFIT}1 tensor is missing ({name}), to be drawn at random. {AGAIN}"


def test_a_tensor_that_is_left_over(folder: Path) -> None:
    change(folder, lambda tensors: {**tensors, "v_head.weight": tensors["lm_head.weight"].clone()})
    assert (
        message(folder) == f"{UNFIT}1 tensor is left over (v_head.weight), to be ignored. {AGAIN}"
    )


def test_a_layer_more_or_less_than_the_configuration_says(folder: Path) -> None:
    def some(layer: int) -> str:
        begins = f"model.layers.{layer}."
        return ", ".join(
            begins + name
            for name in ("input_layernorm.weight", "mlp.down_proj.weight", "mlp.gate_proj.weight")
        )

    configure(folder, num_hidden_layers=3)
    assert message(folder) == (
        f"{UNFIT}9 tensors are missing ({some(2)}, …), to be drawn at random. "
        f"The configuration has num_hidden_layers = 3, the weights have 2 layers: {LAYERS}"
    )
    configure(folder, num_hidden_layers=1)
    assert message(folder) == (
        f"{UNFIT}9 tensors are left over ({some(1)}, …), to be ignored. "
        f"The configuration has num_hidden_layers = 1, the weights have 2 layers: {LAYERS}"
    )


def test_tensors_of_another_shape(folder: Path) -> None:
    configure(folder, intermediate_size=48)
    said = message(folder)
    assert said.startswith(
        f"{UNFIT}6 tensors are of another shape (model.layers.0.mlp.down_proj.weight: (32, 64), "
        "not (32, 48), model.layers.0.mlp.gate_proj.weight: (64, 32), not (48, 32), "
    )
    assert said.endswith(f", …), to be drawn at random. {AGAIN}")


def test_a_base_model_without_its_head(folder: Path) -> None:
    from transformers import LlamaModel

    LlamaModel.from_pretrained(folder).save_pretrained(folder)
    assert message(folder) == (
        f"{UNFIT}1 tensor is missing (lm_head.weight), to be drawn at random. The configuration "
        f"names LlamaModel: {KIND}"
    )


@pytest.mark.parametrize("tied", [False, True])
def test_a_classifier_is_no_language_model(folder: Path, tied: bool) -> None:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig.from_pretrained(folder, tie_word_embeddings=tied)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    said = message(folder)
    assert "1 tensor is left over (score.weight)" in said
    assert said.endswith(f"The configuration names LlamaForSequenceClassification: {KIND}")


def test_what_the_library_knows_to_be_absent_is_not_missed(folder: Path) -> None:
    configure(folder, tie_word_embeddings=True)
    change(
        folder,
        lambda tensors: {
            **{name: tensor for name, tensor in tensors.items() if name != "lm_head.weight"},
            **{
                name: tensors["model.norm.weight"].clone()
                for name in (
                    "model.layers.0.self_attn.rotary_emb.inv_freq",  # of older releases
                    "model.layers.0.self_attn.masked_bias",
                    "model.rotary_emb.original_inv_freq",  # a buffer that the model makes itself
                )
            },
        },
    )
    model = torch_model.load(folder).model
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_what_is_watched_ends_with_the_context(folder: Path) -> None:
    from transformers import AutoModel, PreTrainedModel

    plain = PreTrainedModel.__dict__["from_pretrained"]
    with weights.watched() as found:
        AutoModel.from_pretrained(folder)
        _, info = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert [fit.left for fit in found] == [("lm_head.weight",)] * 2
    assert info["unexpected_keys"] == {"lm_head.weight"}
    assert PreTrainedModel.__dict__["from_pretrained"] is plain


def test_experts_that_are_not_all_there(folder: Path) -> None:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    sizes = {"hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "num_hidden_layers": 1}
    config = Qwen3MoeConfig(vocab_size=265, **sizes, **heads, **experts)
    Qwen3MoeForCausalLM(config).save_pretrained(folder)
    torch_model.load(folder)
    one = "model.layers.0.mlp.experts.1."
    change(
        folder, lambda tensors: {k: v for k, v in tensors.items() if k != f"{one}up_proj.weight"}
    )
    assert message(folder) == (
        "1 tensor is not to be put together from those in the files "
        "(model.layers.0.mlp.experts.gate_up_proj: Sizes of tensors must match except in dimension "
        f"1. Expected size 4 but got size 3 for tensor number 1 in the list.). {AGAIN}"
    )
    change(folder, lambda tensors: {k: v for k, v in tensors.items() if one not in k})
    assert "2 tensors are of another shape (model.layers.0.mlp.experts.down_proj: " in (
        message(folder)
    )


# --- files that say two things --------------------------------------------------------------------


def shard(folder: Path, files: Mapping[str, Mapping[str, Any]], index: Mapping[str, str]) -> None:
    """Write tensors into several files."""
    from safetensors.torch import save_file

    for name, tensors in files.items():
        save_file(dict(tensors), folder / name, metadata={"format": "pt"})
    stored = json.dumps({"metadata": {}, "weight_map": dict(index)})
    (folder / "model.safetensors.index.json").write_text(stored)


def halves(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Return the folder's tensors in two parts, and the index of them in a and b."""
    from safetensors.torch import load_file

    tensors = sorted(load_file(folder / "model.safetensors").items())
    first, second = dict(tensors[:10]), dict(tensors[10:])
    index = {**dict.fromkeys(first, "a.safetensors"), **dict.fromkeys(second, "b.safetensors")}
    return first, second, index


def test_shards_and_what_their_index_says(folder: Path) -> None:
    first, second, index = halves(folder)
    (folder / "model.safetensors").unlink()
    shard(folder, {"a.safetensors": first, "b.safetensors": second}, index)
    torch_model.load(folder)
    lost, name = dict(list(second.items())[1:]), next(iter(second))
    shard(folder, {"b.safetensors": lost}, index)
    assert message(folder) == f"{UNFIT}1 tensor is missing ({name}), to be drawn at random. {AGAIN}"
    old = {name: tensor + 1 for name, tensor in first.items()}
    shard(folder, {"b.safetensors": {**second, **old}}, index)
    assert message(folder) == (
        "lm_head.weight stands in a.safetensors and in b.safetensors, of which one is likely left "
        "of an older model; save or download it into an empty folder"
    )


def test_two_sets_of_weights(folder: Path) -> None:
    first, second, index = halves(folder)
    shard(folder, {"a.safetensors": first, "b.safetensors": second}, index)
    assert message(folder) == (
        "holds model.safetensors, which transformers reads, and model.safetensors.index.json with "
        "other files, which it then does not; remove those that are not meant"
    )


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    import torch

    change(folder, lambda tensors: {name: t.to(torch.int8) for name, t in tensors.items()})
    with pytest.raises(ModelError) as caught:
        torch_model.load(folder)
    assert str(caught.value) == (
        f"{folder / 'model.safetensors'}: lm_head.weight holds whole numbers (I8), as quantized "
        "weights are, but config.json has no quantization_config that says how they become "
        "weights; copy the config.json that belongs to them"
    )


# --- a model's own code ---------------------------------------------------------------------------

CODE = """
import torch
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("slopes", torch.linspace(0.5, 1.5, 8), persistent=False)
        self.register_buffer("order", torch.arange(8), persistent=False)
"""
AFTERWARDS = """
    def _init_weights(self, module):
        super()._init_weights(module)
        if module is self:
            torch.nn.init.ones_(self.slopes)
            torch.nn.init.ones_(self.order)
"""


def test_buffers_that_the_models_own_code_makes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    configure(
        folder,
        model_type="own",
        architectures=["OwnForCausalLM"],
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"},
    )
    (folder / "own.py").write_text(CODE)
    with pytest.raises(ModelError) as caught:
        torch_model.load(folder, trust_remote_code=True)
    assert str(caught.value) == (
        f"{folder}: slopes, order of OwnForCausalLM: in no file, and not made again by the "
        "model's own code once transformers has loaded the rest, so that it would hold whatever "
        "was in memory. Let the code register it with persistent=True and save the model again, "
        "or let _init_weights make it"
    )
    assert not torch.are_deterministic_algorithms_enabled()
    (folder / "own.py").write_text(CODE + AFTERWARDS)
    model = torch_model.load(folder, trust_remote_code=True).model
    assert model.slopes.tolist() == model.order.tolist() == [1] * 8
