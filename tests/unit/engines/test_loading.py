"""What every engine says where a library is missing, before it looks at a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines import loading
from pytest_modellab.engines.encoders import onnx_graph as graph_encoder
from pytest_modellab.engines.encoders import sentence
from pytest_modellab.engines.language import gguf_model, onnx_graph, torch_model
from pytest_modellab.errors import ModelError, VariantLoadError

NOWHERE = Path("nowhere")
ENCODER: dict[str, Any] = {"key": "0" * 16, "prompts": {}, "max_tokens": None, "pooling": "mean"}


@pytest.mark.parametrize(
    ("load", "library", "message"),
    [
        (
            lambda: torch_model.load(NOWHERE),
            "transformers",
            "running a model needs transformers: pip install 'pytest-modellab[transformers]'",
        ),
        (
            lambda: gguf_model.load(NOWHERE, NOWHERE),
            "xllamacpp",
            "running a GGUF file needs xllamacpp: pip install 'pytest-modellab[llamacpp]'",
        ),
        (
            lambda: onnx_graph.load(NOWHERE, NOWHERE),
            "onnxruntime",
            "running a graph needs onnxruntime: pip install 'pytest-modellab[onnx]'",
        ),
        (
            lambda: sentence.load(NOWHERE, **ENCODER),
            "sentence_transformers",
            "embedding texts needs sentence_transformers: pip install 'pytest-modellab[embedding]'",
        ),
        (
            lambda: graph_encoder.load(NOWHERE, **ENCODER),
            "onnxruntime",
            "embedding texts by a graph needs onnxruntime: "
            "pip install 'pytest-modellab[embedding]'",
        ),
    ],
    ids=["transformers", "llama.cpp", "ONNX Runtime", "sentence-transformers", "embedding graph"],
)
def test_a_library_that_is_missing(
    load: Callable[[], Any], library: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "safetensors", "onnx", "tokenizers"):
        if package != library:
            pytest.importorskip(package)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(VariantLoadError) as caught:
        load()
    assert str(caught.value) == message


def test_a_folder_that_cannot_be_read() -> None:
    with pytest.raises(ModelError) as caught, loading.reading(NOWHERE, "it is odd", IndexError):
        raise IndexError("no item")
    assert str(caught.value) == "nowhere: it is odd: no item"


@pytest.mark.parametrize(
    "kind", [AttributeError, ImportError, KeyError, OSError, RecursionError, TypeError, ValueError]
)
def test_what_libraries_raise_of_a_file_that_holds_something_else(kind: type[Exception]) -> None:
    with pytest.raises(ModelError) as caught, loading.reading(NOWHERE, "it is odd"):
        raise kind("why")
    assert str(caught.value) == f"nowhere: it is odd: {kind('why')}"


@pytest.mark.parametrize("error", [MemoryError("no room"), VariantLoadError("needs x")])
def test_what_is_not_of_the_folder_passes_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, loading.reading(NOWHERE, "it is odd"):
        raise error
    assert caught.value is error


def test_a_device_that_is_not_there_is_no_verdict() -> None:
    with pytest.raises(ModelError) as caught, loading.putting_on("cuda", NOWHERE):
        raise AssertionError("Torch not compiled with CUDA enabled")
    assert str(caught.value) == (
        "nowhere: cannot be put on 'cuda': Torch not compiled with CUDA enabled"
    )
