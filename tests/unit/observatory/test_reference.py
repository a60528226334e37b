"""The layer from scratch computes what transformers does, whole and token by token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import reference

ROTATIONS: tuple[Mapping[str, Any], ...] = (
    {"rope_type": "default", "rope_theta": 10_000.0},
    {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 4.0},
    {
        "rope_type": "llama3",
        "rope_theta": 10_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
)


def _layer(model: Any, number: int) -> tuple[reference.Weights, reference.Geometry]:
    layer, config = model.model.layers[number], model.config
    attention, mlp = layer.self_attn, layer.mlp
    matrices = [
        module.weight.detach().double().numpy()
        for module in (
            layer.input_layernorm,
            *(getattr(attention, f"{name}_proj") for name in "qkvo"),
            layer.post_attention_layernorm,
            *(getattr(mlp, f"{name}_proj") for name in ("gate", "up", "down")),
        )
    ]
    return reference.Weights(*matrices), reference.Geometry(
        heads=config.num_attention_heads,
        groups=config.num_key_value_heads,
        rotation=reference.rotation(attention.head_dim, config.rope_parameters),
        scale=attention.head_dim**-0.5,
        eps=config.rms_norm_eps,
    )


@pytest.mark.parametrize("parameters", ROTATIONS, ids=lambda one: str(one["rope_type"]))
def test_a_layer_of_llama_is_computed_as_by_transformers(parameters: Mapping[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    import tiny

    model = tiny.llama(rope_parameters=dict(parameters))
    seen: dict[str, Any] = {}
    model.model.layers[2].register_forward_hook(
        lambda _module, args, output: seen.update(x=args[0], y=output)
    )
    with torch.no_grad():
        model(torch.arange(96)[None] % 270)
    weights, geometry = _layer(model, 2)

    found, past = reference.layer(seen["x"][0].double().numpy(), weights, geometry)

    wanted = seen["y"][0].double().numpy()
    assert np.abs(found - wanted).max() <= 1e-4
    assert past.keys.shape == (2, 96, 8)


def test_token_by_token_is_as_the_whole_text() -> None:
    rng = np.random.default_rng(0)
    rows = {"q": 16, "k": 8, "v": 8, "gate": 24, "up": 24}
    drawn = {name: rng.normal(size=(size, 16)) for name, size in rows.items()}
    weights = reference.Weights(
        input_norm=rng.normal(size=16),
        post_norm=rng.normal(size=16),
        o=rng.normal(size=(16, 16)),
        down=rng.normal(size=(16, 24)),
        **drawn,
    )
    x = rng.normal(size=(20, 16))
    for window in (None, 5):
        geometry = reference.Geometry(
            4, 2, reference.rotation(4, ROTATIONS[0]), scale=0.5, window=window
        )
        whole, _ = reference.layer(x, weights, geometry)

        part, past = reference.layer(x[:7], weights, geometry)
        parts = [part]
        for i in range(7, 20):
            part, past = reference.layer(x[i : i + 1], weights, geometry, past)
            parts.append(part)

        assert np.allclose(np.concatenate(parts), whole, atol=1e-12)


def test_attention_by_hand() -> None:
    # equal scores: each token takes the mean of the values that it sees
    q, k = np.zeros((2, 3, 2)), np.zeros((1, 3, 2))
    v = np.array([[[0.0, 3.0], [6.0, 3.0], [12.0, 3.0]]])

    def first(window: int | None = None, *, causal: bool = True) -> list[float]:
        mask = reference.seen(3, 3, window, causal=causal)
        found = reference.attention(q, k, v, 1.0, mask)
        assert (found[:, :2] == found[:, 2:]).all()  # both heads share the group
        return [float(one) for one in found[:, 0]]

    assert first() == [0, 3, 6]
    assert first(2) == [0, 3, 9]
    assert first(1) == [0, 6, 12]
    assert first(causal=False) == [6, 6, 6]


def test_norm_gate_and_rotation_by_hand() -> None:
    x = np.array([[3.0, -4.0]])
    assert np.allclose(reference.rms_norm(x, np.array([1.0, 2.0]), 0.0), [[3, -8]] / np.sqrt(12.5))
    one = np.eye(1)
    assert reference.swiglu(np.array([[2.0]]), one, one, one)[0, 0] == pytest.approx(
        4 / (1 + math.exp(-2))
    )
    cos, sin = reference.Rotation(np.array([math.pi / 2])).tables(np.arange(3))
    turned = reference.rotate(np.array([[[1.0, 0.0, 9.0]] * 3]), cos, sin)
    assert np.allclose(turned[0], [[1, 0, 9], [0, 1, 9], [-1, 0, 9]])  # the rest stays


def test_a_rotation_that_is_not_known_is_told() -> None:
    with pytest.raises(DiagnosisError, match="and not 'yarn': the rotation's own tables have to"):
        reference.rotation(8, {"rope_type": "yarn", "rope_theta": 1e4})
