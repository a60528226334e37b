"""A damaged part is named, and the models are left as they were."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import diagnose

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def base() -> Any:
    """A random Llama of three layers."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
        max_position_embeddings=256,
    )
    return transformers.LlamaForCausalLM(config).eval()


def test_a_damaged_projection_is_named_and_proved(base: Any) -> None:
    broken = copy.deepcopy(base)
    with torch.no_grad():
        broken.model.layers[1].mlp.down_proj.weight.mul_(0.5)
    state = {name: one.clone() for name, one in broken.state_dict().items()}

    said = diagnose(base, broken, pictures=False)

    assert said.culprit == "layer.1.mlp.down_proj"
    assert said.restored == pytest.approx(1, abs=1e-4)
    assert all(parameter.requires_grad for parameter in base.parameters())
    assert all(torch.equal(state[name], one) for name, one in broken.state_dict().items())


def test_equal_models_have_no_culprit(base: Any) -> None:
    said = diagnose(base, copy.deepcopy(base), pictures=False)

    assert (said.culprit, said.fault, said.damage) == (None, "none", 0.0)


def test_what_is_no_model_is_told() -> None:
    with pytest.raises(DiagnosisError, match="base: a str is no model that transformers runs"):
        diagnose("smollm2", "nf4")
