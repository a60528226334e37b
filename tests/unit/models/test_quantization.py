"""How a folder says that its weights are quantized, in the words of the tools that write it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import ModelError
from pytest_modellab.models import locate, quantization, weights
from pytest_modellab.records.declared import ModelSource

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a config.json, and files of JSON beside it."""

    def written(config: Any, **beside: Any) -> Path:
        for name, content in {"config": config, **beside}.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content))
        return tmp_path

    return written


def test_every_method_of_transformers_is_known() -> None:
    pytest.importorskip("transformers")
    from transformers.quantizers import auto

    theirs = {
        name.removesuffix("_4bit").removesuffix("_8bit")
        for name in auto.AUTO_QUANTIZATION_CONFIG_MAPPING
    }
    assert theirs - {"gguf"} == {*quantization.PACKAGES}


@pytest.mark.parametrize("method", [*quantization.PACKAGES])
def test_quant_method(write: Write, method: str) -> None:
    folder = write({"quantization_config": {"quant_method": method}})
    found = quantization.find(folder)
    assert found is not None
    assert (found.method, found.problem) == (method, "")
    assert found.where == f"{folder / 'config.json'}: quantization_config"


@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_bitsandbytes_without_a_method(write: Write, bits: str) -> None:
    found = quantization.find(write({"quantization_config": {bits: True}}))
    assert found is not None
    assert (found.method, found.problem) == ("bitsandbytes", "")


def test_the_key_of_the_text_model(write: Write) -> None:
    text = {"quantization_config": {"quant_method": "fp8"}}
    folder = write({"text_config": text})
    found = quantization.find(folder)
    assert found is not None
    assert (found.method, found.problem) == ("fp8", "")
    assert found.where == f"{folder / 'config.json'}: text_config.quantization_config"


@pytest.mark.parametrize(
    ("config", "beside", "where", "problem"),
    [
        (
            {"compression_config": {"quant_method": "compressed-tensors"}},
            {},
            "config.json: compression_config",
            "an older llm-compressor called the key so, and transformers passes over it: rename it "
            "to 'quantization_config'",
        ),
        ({}, {"quantize_config": {"bits": 4}}, "quantize_config.json", ""),
        ({}, {"quant_config": {"w_bit": 4}}, "quant_config.json", ""),
        (
            {},
            {"quanto_qmap": {}},
            "quanto_qmap.json",
            "optimum-quanto wrote it by its own save_pretrained, and transformers passes over it: "
            'declare the plain model with method = "quanto-int8" or "quanto-int4"',
        ),
        (
            {},
            {"hf_quant_config": {"quantization": {"quant_algo": "FP8"}}},
            "hf_quant_config.json",
            "the format of NVIDIA's ModelOpt, which needs TensorRT-LLM or vLLM: take the same "
            "model as compressed-tensors (compressed_tensors.entrypoints.convert has a converter "
            "for NVFP4), or in plain weights",
        ),
        ({}, {"quantization_config": {"quant_method": "gptq"}}, "quantization_config.json", ""),
        (
            {},
            {"quantization_config": {"quant_method": "auto-round"}},
            "quantization_config.json",
            "transformers passes over this file: put what stands in it into config.json, as "
            "'quantization_config'",
        ),
        (
            {"quantization": {"group_size": 64, "bits": 4}},
            {},
            "config.json: quantization",
            "MLX's own format, for Apple's processors: write plain weights with mlx_lm.convert "
            "--dequantize",
        ),
        (
            {"quantization_config": {"group_size": 64, "bits": 4}},
            {},
            "config.json: quantization_config",
            "MLX's own format, for Apple's processors: write plain weights with mlx_lm.convert "
            "--dequantize",
        ),
        (
            {"quantization_config": {"quant_method": "exl2", "bits": 4.5}},
            {},
            "config.json: quantization_config",
            "ExLlamaV2's own format, which needs its own engine: take the same model in plain "
            "weights, or as GPTQ, AWQ or GGUF",
        ),
        (
            {"quantization_config": {"quant_method": "gguf"}},
            {},
            "config.json: quantization_config",
            'GGUF, which is declared with method = "gguf" and file = "FILE.gguf"',
        ),
    ],
)
def test_other_keys_and_files(
    write: Write, config: Any, beside: dict[str, Any], where: str, problem: str
) -> None:
    folder = write(config, **beside)
    found = quantization.find(folder)
    assert found is not None
    assert (found.where, found.problem) == (str(folder / where), problem)


def test_a_key_without_a_method(write: Write) -> None:
    found = quantization.find(write({"quantization_config": {"w": 1}}, quantize_config={}))
    assert found is not None
    assert found.problem == (
        "no quant_method says how, so nothing can read the weights: add the one that the tool that "
        "wrote them goes by (quantize_config.json beside it may tell); known: "
        f"{', '.join(quantization.PACKAGES)}"
    )


def test_plain_weights_that_call_themselves_quantized(write: Write) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    import numpy as np

    folder = write({"quantization_config": {"load_in_4bit": True}})
    numpy.save_file({"a.weight": np.zeros(2)}, folder / "model.safetensors")
    found = quantization.find(folder)
    assert found is not None
    assert found.problem == (
        "says that bitsandbytes has quantized the weights, but they are plain (none is named "
        "….absmax): remove what says it, or save the quantized model again"
    )
    numpy.save_file({"a.weight.absmax": np.zeros(2)}, folder / "model.safetensors")
    found = quantization.find(folder)
    assert found is not None
    assert found.problem == ""


def test_nothing_says_so(write: Write) -> None:
    assert quantization.find(write({"hidden_size": 8, "quantization_config": None})) is None
    assert quantization.find(write([])) is None


def test_a_damaged_file(write: Write) -> None:
    folder = write({})
    quantization.check(folder)
    (folder / "config.json").write_text("no JSON")
    assert quantization.find(folder) is None, "loading says what is wrong"
    with pytest.raises(ModelError) as caught:
        quantization.check(folder)
    assert str(caught.value).startswith(f"{folder / 'config.json'}: not JSON: ")


def test_a_folder_of_gguf(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "m.gguf").touch()
    with pytest.raises(ModelError) as caught:
        locate.locate(ModelSource("m", str(tmp_path)), tmp_path)
    assert str(caught.value) == (
        f"model 'm' (source = '{tmp_path}'): {tmp_path} holds no weights but GGUF (m.gguf): name "
        f'the file, source = "{tmp_path}/m.gguf"; or run it by llama.cpp, as a variant with kind = '
        f'"quantized", method = "gguf" and file = "{tmp_path}/m.gguf"'
    )


def test_packed_weights_of_which_nothing_tells(model_folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    packed = "model.layers.0.mlp.up_proj.qweight"
    fit = weights.Fit(model, missing=(), other={}, left=(packed,))
    assert str(weights.problem("here", fit)).endswith(
        f"to be ignored. {packed} belongs to quantized weights, but nothing in the folder says how "
        "they were quantized: put the config.json (or quantize_config.json) beside them that they "
        'were saved with, and declare the model by kind = "quantized"'
    )
