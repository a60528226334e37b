"""What runs the weights is told from the weights."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf
from tiny import llama

from pytest_modellab.lab import runtimes
from pytest_modellab.observatory import diagnose, runtime
from pytest_modellab.observatory.probes import Probes, drawn

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")


class Engine:
    """A model that tells what comes next, by whatever code it has."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predictions(self, ids: Sequence[int], places: Sequence[int]) -> Any:
        """By one forward pass."""
        with torch.no_grad():
            logits = self.model(input_ids=torch.tensor([list(ids)])).logits[0, list(places)]
        return torch.log_softmax(logits.double(), dim=-1).numpy()


def _packed(base: Any) -> Any:
    """The base with other weights everywhere."""
    packed = copy.deepcopy(base)
    draw = torch.Generator().manual_seed(1)
    for one in packed.parameters():
        one.data += 0.02 * one.data.std() * torch.randn(one.shape, generator=draw)
    return packed


def test_a_runtime_that_computes_something_else_is_named() -> None:
    """Of equal weights: all of the damage is gone where transformers runs them."""
    base = llama()
    broken = copy.deepcopy(base)
    for layer in broken.model.layers:
        layer.self_attn.scaling *= 2
    probes = drawn(272, tokens=120, long=48)
    found = runtime.measure(base, base, Engine(broken), probes)
    assert found.weights == pytest.approx(0.0, abs=1e-6)
    assert found.named
    told = runtimes.told(diagnose(base, base, probes, pictures=False), [found], "llama.cpp")
    assert (told.culprit, told.level, told.restored) == ("runtime", "weights", 1.0)
    assert told.headline == "runtime computes something else of the same weights"
    assert told.findings[0].detail.startswith("llama.cpp is ")


def test_weights_that_are_rounded_are_not_the_runtimes_fault() -> None:
    """What it computes of them is what transformers does, and a note says so."""
    base = llama()
    packed = _packed(base)
    probes = drawn(272, tokens=120, long=48)
    found = runtime.measure(base, packed, Engine(packed), probes)
    assert found.apart == pytest.approx(0.0, abs=1e-6)
    assert found.whole == pytest.approx(found.weights, abs=1e-6)
    assert not found.named
    plain = diagnose(base, packed, probes, pictures=False)
    told = runtimes.told(plain, [found], "llama.cpp")
    assert (told.culprit, told.fault, told.level) == (plain.culprit, plain.fault, "weights")
    assert "nats a token from transformers with the same weights" in told.notes[-1]
    assert runtimes.told(plain, [], "") is plain
    assert (
        runtimes.told(plain, [], "llama.cpp").notes[-1].endswith("was not asked: the time was up")
    )


def test_weights_that_were_not_read_right_are_left_out() -> None:
    """Where the engine is far nearer to the base than what was read of it."""
    base = llama()
    probes = drawn(272, tokens=120, long=48)
    wrong = copy.deepcopy(base)
    wrong.model.layers[1].mlp.down_proj.weight.data *= -1
    found = runtime.measure(base, wrong, Engine(base), probes)
    told = runtimes.told(diagnose(base, wrong, probes, pictures=False), [found], "ONNX Runtime")
    assert (told.culprit, told.fault, told.level) == (None, "none", "outputs")
    assert (told.findings, told.headline) == ((), "nothing is damaged")
    assert "they were not read right, and are left out" in told.notes[-1]


def test_llama_cpp_tells_what_comes_next(model_folder: Path, tmp_path: Path) -> None:
    """The distributions are those of transformers, to its rounding."""
    pytest.importorskip("xllamacpp")
    from transformers import AutoModelForCausalLM

    from pytest_modellab.engines.language import gguf_model

    engine = gguf_model.load(write_gguf(model_folder, tmp_path / "plain.gguf"), model_folder)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
    probes = Probes((tuple(range(10, 34)), tuple(range(30, 54))))
    found = runtime.measure(model, model, engine, probes)
    engine.close()
    assert found.positions == 4
    assert 0 <= found.apart < 1e-3
    assert not found.named
    assert dataclasses.replace(found, whole=1.0).named
