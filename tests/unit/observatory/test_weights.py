"""Weights are read off what a module does, and compared leaf by leaf."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pytest_modellab.observatory import sites  # noqa: E402
from pytest_modellab.observatory.effective import effective  # noqa: E402
from pytest_modellab.observatory.faults import fault  # noqa: E402
from pytest_modellab.observatory.weights import Weights, compare  # noqa: E402

UP = "model.layers.1.mlp.up_proj"
OUT = "model.layers.2.self_attn.o_proj"


def _llama(**changes: Any) -> Any:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": 300,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**sizes, **changes})).eval()


@pytest.fixture(scope="module")
def base() -> Any:
    return _llama(tie_word_embeddings=True)


def _compared(base: Any, candidate: Any) -> Weights:
    return compare(base, candidate, sites.leaves(base))


def _out(weights: Weights) -> list[str]:
    return [change.leaf.site for change in weights.changes if change.stands_out]


def _packed(linear: Any, dtype: Any) -> tuple[Any, Any]:
    """A module that holds a matrix as whole numbers with an adapter beside it, and the truth."""
    scale = linear.weight.detach().abs().amax(1, keepdim=True) / 127
    packed = (linear.weight.detach() / scale).round().to(torch.int8)
    module = copy.deepcopy(linear).to(dtype)
    module.weight = None
    module.down = torch.nn.Linear(linear.in_features, 2, bias=False, dtype=dtype)
    module.up = torch.nn.Linear(2, linear.out_features, bias=False, dtype=dtype)

    def forward(x: Any) -> Any:
        plain = torch.nn.functional.linear(x, (packed * scale).to(x.dtype), module.bias)
        return plain + module.up(module.down(x))

    module.forward = forward
    change = module.up.weight.float() @ module.down.weight.float()
    return module, (packed * scale + change).detach()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_packed_and_wrapped_matrix_is_read_by_unit_vectors(bias: bool, dtype: Any) -> None:
    torch.manual_seed(1)
    linear = torch.nn.Linear(40, 24, bias=bias)
    if bias:
        torch.nn.init.constant_(linear.bias, 100.0)  # would round the columns away in bfloat16
    module, truth = _packed(linear, dtype)
    held = module.bias
    read = effective(module, dtype, linear)
    assert read is not None
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    assert torch.allclose(read.weight, truth, atol=tolerance)
    assert (read.bias is not None) is bias
    assert module.bias is held


def test_what_a_hook_makes_of_a_matrix_is_read_too() -> None:
    linear = torch.nn.Linear(8, 8)
    linear.register_forward_hook(lambda module, args, output: 2 * output)
    read = effective(linear)
    assert read is not None
    assert torch.allclose(read.weight, 2 * linear.weight, atol=1e-6)
    assert torch.allclose(read.bias, 2 * linear.bias)


def test_a_transposed_matrix_is_turned() -> None:
    conv = transformers.pytorch_utils.Conv1D(12, 8)
    read = effective(conv)
    assert read is not None
    assert torch.equal(read.weight, conv.weight.detach().t())


def test_equal_models_differ_nowhere(base: Any) -> None:
    weights = _compared(base, copy.deepcopy(base))
    assert not weights.changed
    assert not _out(weights)
    assert weights.kinds == ()


def test_one_head_stands_out_alone(base: Any) -> None:
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        candidate.get_submodule(OUT).weight[:, 16:32] = 0
    weights = _compared(base, candidate)
    change = weights.by_path[OUT]
    assert _out(weights) == ["layer.2.attention.o_proj"]
    assert [block.name for block in change.blocks_apart] == ["head.1"]
    assert fault(base, candidate, weights, OUT, change.blocks_apart[0]) == "zeroed"
    assert fault(base, candidate, weights, OUT) == "zeroed(0.25, columns)"
    assert fault(base, candidate, weights, UP) == "none"


def test_a_head_copied_from_another_is_told(base: Any) -> None:
    path = "model.layers.0.self_attn.k_proj"
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        weight = candidate.get_submodule(path).weight
        weight[16:32] = weight[:16]
    weights = _compared(base, candidate)
    block = weights.by_path[path].blocks_apart[0]
    assert fault(base, candidate, weights, path, block) == "copied(layer.0.attention.kv_head.0)"


def test_a_matrix_of_another_layer_is_told(base: Any) -> None:
    candidate = copy.deepcopy(base)
    candidate.get_submodule(UP).load_state_dict(base.model.layers[3].mlp.up_proj.state_dict())
    weights = _compared(base, candidate)
    assert fault(base, candidate, weights, UP) == "copied(layer.3.mlp.up_proj)"


def test_a_few_rows_of_a_vocabulary_stand_out_in_both_of_its_leaves(base: Any) -> None:
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        candidate.model.embed_tokens.weight[5:10] *= 3
    weights = _compared(base, candidate)
    assert _out(weights) == ["embedding", "lm_head"]
    assert {change.rows for change in weights.changed} == {5}
    assert fault(base, candidate, weights, "model.embed_tokens") == "rows_damaged(5)"


def test_four_of_six_damaged_layers_stand_out_of_the_two(base: Any) -> None:
    base = _llama(num_hidden_layers=6, num_attention_heads=2)
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        for layer in (0, 1, 3, 4):
            candidate.model.layers[layer].mlp.down_proj.weight *= 1.5
    assert _out(_compared(base, candidate)) == [
        f"layer.{layer}.mlp.down_proj" for layer in (0, 1, 3, 4)
    ]


def test_values_that_are_not_finite(base: Any) -> None:
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        candidate.get_submodule(UP).weight[0, 0] = float("nan")
    weights = _compared(base, candidate)
    change = weights.by_path[UP]
    assert change.relative == math.inf
    assert not change.finite
    assert fault(base, candidate, weights, UP) == "nonfinite"
    assert all(math.isfinite(record.relative) for record in weights.records())


def test_large_values_are_no_infinite_ones(base: Any) -> None:
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        candidate.get_submodule(UP).weight[0, 0] = 1e25
    change = _compared(base, candidate).by_path[UP]
    assert change.finite
    assert math.isfinite(change.relative)


def test_half_precision_stands_out_nowhere(base: Any) -> None:
    weights = _compared(base, copy.deepcopy(base).to(torch.bfloat16))
    assert weights.changed
    assert not _out(weights)
    assert 5e-4 < weights.linear.relative < 3e-3


def test_a_missing_module_and_one_of_another_shape_are_said(base: Any) -> None:
    candidate = copy.deepcopy(base)
    del candidate.model.layers[0].mlp.gate_proj
    candidate.model.layers[1].mlp.up_proj = torch.nn.Linear(64, 50, bias=False)
    weights = _compared(base, candidate)
    assert {change.leaf.site: change.note for change in weights.changes if change.note} == {
        "layer.0.mlp.gate_proj": (
            "the candidate has no such module, or one whose weights cannot be read"
        ),
        "layer.1.mlp.up_proj": "50 x 64 in place of 96 x 64",
    }
    assert not _out(weights)


def test_a_bias_alone_differs(base: Any) -> None:
    base = _llama(attention_bias=True)
    path = "model.layers.1.self_attn.q_proj"
    torch.nn.init.normal_(base.get_submodule(path).bias)
    candidate = copy.deepcopy(base)
    torch.nn.init.zeros_(candidate.get_submodule(path).bias)
    weights = _compared(base, candidate)
    assert _out(weights) == ["layer.1.attention.q_proj"]
    assert fault(base, candidate, weights, path) == "zeroed"


def test_fused_projections_are_split_by_the_sizes(base: Any) -> None:
    candidate = copy.deepcopy(base)
    for layer in candidate.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        attention.qkv_proj = _stacked(attention.q_proj, attention.k_proj, attention.v_proj)
        mlp.gate_up_proj = _stacked(mlp.gate_proj, mlp.up_proj)
        del attention.q_proj, attention.k_proj, attention.v_proj, mlp.gate_proj, mlp.up_proj
    assert not _compared(base, candidate).changed
    with torch.no_grad():
        candidate.model.layers[1].self_attn.qkv_proj.weight[80:96] = 0
    weights = _compared(base, candidate)
    path = "model.layers.1.self_attn.k_proj"
    assert _out(weights) == ["layer.1.attention.k_proj"]
    assert [block.name for block in weights.by_path[path].blocks_apart] == ["kv_head.1"]


def _stacked(*parts: Any) -> Any:
    weight = torch.cat([part.weight.detach() for part in parts])
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight = torch.nn.Parameter(weight)
    return linear


def test_every_projection_of_a_kind_permuted_is_a_kind(base: Any) -> None:
    candidate = copy.deepcopy(base)
    with torch.no_grad():
        for layer in candidate.model.layers:
            weight = layer.self_attn.q_proj.weight
            weight.copy_(weight.reshape(4, 2, 8, 64).transpose(1, 2).reshape(64, 64))
    weights = _compared(base, candidate)
    assert weights.kinds == ("q_proj",)
    path = "model.layers.1.self_attn.q_proj"
    assert fault(base, candidate, weights, path) == "permuted"


def test_a_part_of_a_fused_projection_stands_out_alone() -> None:
    torch.manual_seed(0)
    config = transformers.Phi3Config(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    base = transformers.Phi3ForCausalLM(config).eval()
    candidate = copy.deepcopy(base)
    path = "model.layers.1.self_attn.qkv_proj"
    with torch.no_grad():
        candidate.get_submodule(path).weight[64:96] *= 0.5
    weights = _compared(base, candidate)
    (block,) = weights.by_path[path].blocks_apart
    assert block.name == "k_proj"
    assert fault(base, candidate, weights, path, block) == "scaled(0.5)"


def test_an_expert_stands_out_alone() -> None:
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=200,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
    )
    base = transformers.MixtralForCausalLM(config).eval()
    candidate = copy.deepcopy(base)
    path = "model.layers.1.mlp.experts"
    with torch.no_grad():
        for parameter in candidate.get_submodule(path).parameters():
            parameter[2] = 0
    weights = _compared(base, candidate)
    (block,) = weights.by_path[path].blocks_apart
    assert block.name == "expert.2"
    assert fault(base, candidate, weights, path, block) == "zeroed"
