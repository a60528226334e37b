"""A GGUF file is converted with all that it holds, or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf

from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.language import gguf_model
from pytest_modellab.engines.language import torch_model as engines
from pytest_modellab.errors import ModelError
from pytest_modellab.models import convert, locate
from pytest_modellab.records.declared import ModelSource

np = pytest.importorskip("numpy")
pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gguf")

UNFIT = "its weights do not fit the LlamaForCausalLM of its configuration: "
FACTORS = np.array([1, 2, 4, 8], np.float32)


def converted(folder: Path, tmp_path: Path, **changes: Any) -> Path:
    file = write_gguf(folder, tmp_path / "a.gguf", **changes)
    return convert.folder(locate.locate(ModelSource("m", "a.gguf"), tmp_path), file.parent / "c")


def message(folder: Path, tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(ModelError) as caught:
        converted(folder, tmp_path, **changes)
    return str(caught.value).removeprefix("model 'm' (source = 'a.gguf'): ")


def test_tensors_that_are_missing(model_folder: Path, tmp_path: Path) -> None:
    name = "model.layers.1.self_attn.q_proj.weight"
    assert message(model_folder, tmp_path, leave_out={"blk.1.attn_q.weight"}).startswith(
        f"{UNFIT}1 tensor is missing ({name}), to be drawn at random. "
    )
    assert "num_hidden_layers = 3, the weights have 2 layers" in message(
        model_folder, tmp_path, layers=3
    )


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (
            {"layers": 1},
            "blk.1.attn_norm.weight, blk.1.attn_q.weight, blk.1.attn_k.weight, …",
        ),
        ({"more": {"blk.0.attn_q.bias": np.ones(32, np.float32)}}, "blk.0.attn_q.bias"),
        ({"more": {"rope_factors_long.weight": FACTORS}}, "rope_factors_long.weight"),
    ],
    ids=["layer", "bias", "factors"],
)
def test_tensors_that_transformers_leaves_out(
    model_folder: Path, tmp_path: Path, change: dict[str, Any], names: str
) -> None:
    assert message(model_folder, tmp_path, **change) == (
        f"transformers would leave out what LlamaForCausalLM has no place for: {names}. "
        "Declare the folder that the file was converted from"
    )


def test_rotary_frequencies_of_their_own(model_folder: Path, tmp_path: Path) -> None:
    """As Llama 3.1 has them: the conversion says what llama.cpp says of the file."""
    pytest.importorskip("xllamacpp")
    texts = [("the other one " * 12, ("that", "no"))]
    said = {}
    for name, more in (("plain", {}), ("scaled", {"rope_freqs.weight": FACTORS})):
        place = tmp_path / name
        place.mkdir()
        folder = converted(model_folder, place, more=more)
        shutil.copy(model_folder / "chat_template.jinja", folder)
        for engine in (engines.load(folder), gguf_model.load(place / "a.gguf", model_folder)):
            found: dict[int, Any] = {}
            requests = [ScoringRequest(context, options) for context, options in texts]
            engine.score_options(requests, budget=4096, skip=frozenset(), done=found.update)
            said[name, type(engine).__name__] = found[0].option_logprobs
    ours, theirs = "TransformersEngine", "LlamaCppEngine"
    assert said["plain", ours] == pytest.approx(said["plain", theirs], abs=2e-2)
    assert said["scaled", ours] == pytest.approx(said["scaled", theirs], abs=2e-2)
    assert said["scaled", ours] != pytest.approx(said["plain", ours], abs=0.1)
