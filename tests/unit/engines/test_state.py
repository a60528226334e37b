"""The hash of each tensor of a model."""

from __future__ import annotations

import pytest

from pytest_modellab.engines import state

torch = pytest.importorskip("torch")


def test_each_tensor_by_its_name_and_numbers() -> None:
    def model(dtype: str, number: float = 0.0) -> dict[str, str]:
        made = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        for tensor in made.state_dict().values():
            tensor.fill_(1)
        made[0].weight.data[1, 1] += number
        return dict(state.hashes(made.to(getattr(torch, dtype))))

    plain = model("bfloat16")
    assert {"0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked"} <= plain.keys()
    assert model("bfloat16") == plain
    other = model("bfloat16", 0.01)
    assert [name for name in plain if plain[name] != other[name]] == ["0.weight"]


@pytest.mark.filterwarnings("ignore")
def test_a_quantized_tensor_is_its_parts() -> None:
    quanto = pytest.importorskip("optimum.quanto")

    def weight(scale: float) -> str:
        made = torch.nn.Linear(16, 16, bias=False)
        made.weight.data = torch.arange(256.0).reshape(16, 16) * scale
        wrapped = torch.nn.Sequential(made)
        quanto.quantize(wrapped, weights=quanto.qint8)
        quanto.freeze(wrapped)
        assert hasattr(wrapped[0].weight, "__tensor_flatten__")
        return state._hash(wrapped[0].weight)

    assert weight(1.0) == weight(1.0) != weight(2.0)
