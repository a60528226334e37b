"""The packages that an engine needs, and the extras that bring them."""

from __future__ import annotations

import importlib.metadata

from pytest_modellab.errors import VariantLoadError

EXTRAS = {
    "accelerate": "transformers",
    "bm25s": "embedding",
    "bitsandbytes": "quantized",
    "compressed-tensors": "quantized",
    "datasets": "recipes",
    "faiss-cpu": "embedding",
    "gguf": "transformers",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "optimum-quanto": "quantized",
    "peft": "adapters",
    "sentence-transformers": "embedding",
    "tokenizers": "transformers",
    "torch": "transformers",
    "torchao": "quantized",
    "transformers": "transformers",
    "trl": "recipes",
    "xllamacpp": "llamacpp",
}
"""Distribution → the extra that brings it; any other is installed by its own name."""


def required(package: str) -> str:
    """Return the version of an installed distribution.

    Raises:
        VariantLoadError: it is not installed; the message has the command that installs it.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise VariantLoadError(f"{package} is not installed: {install_command(package)}") from error


def install_command(package: str) -> str:
    """Return the command that installs a distribution, or the one with a module of that name."""
    extra = EXTRAS.get(package) or EXTRAS.get(package.replace("_", "-"))
    wanted = package if extra is None else f"'pytest-modellab[{extra}]'"
    return f"pip install {wanted}"
