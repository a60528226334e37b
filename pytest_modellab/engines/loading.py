"""What engines share of loading a model: quiet libraries, and one error for a folder."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from pytest_modellab.engines import device as devices
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.models import weights
from pytest_modellab.store import checkout

Model = TypeVar("Model")

_NO_ATTENTION = ("scaled_dot_product_attention", "flex_attention", "Flex Attention")
"""What transformers names where a model, or torch, has not the attention that it was asked for."""

UNREADABLE: tuple[type[Exception], ...] = (
    AttributeError,  # a file that holds something else, as null
    ImportError,  # accelerate, or what the model's own code needs
    KeyError,
    OSError,
    RuntimeError,  # brackets too deep, too
    TypeError,
    ValueError,
)
"""What libraries raise of a folder that they cannot read."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence what libraries log while they load: missing GPU kernels, progress bars."""
    with contextlib.ExitStack() as restore:
        restore.callback(logging.disable, logging.root.manager.disable)
        logging.disable(logging.WARNING)
        with contextlib.suppress(ImportError):
            from transformers.utils import logging as transformers_logging

            if transformers_logging.is_progress_bar_enabled():
                transformers_logging.disable_progress_bar()
                restore.callback(transformers_logging.enable_progress_bar)
        yield


@contextlib.contextmanager
def reading(folder: Path, problem: str, *more: type[Exception]) -> Iterator[None]:
    """Turn what a library raises of a folder that it cannot read into one exception.

    Where a file of the folder shows why, the message names that file.

    Args:
        folder: begins the message.
        problem: for example ``transformers cannot load it``; the library's own words follow.
        *more: what the library raises beside the usual.

    Raises:
        ModelError: in place of the library's.
    """
    try:
        yield
    except UNREADABLE + more as error:
        said = checkout.unready(folder) or f"{folder}: {problem}: {error}"
        raise ModelError(said) from error


@contextlib.contextmanager
def loading(folder: Path, problem: str, *, device: str, code: bool) -> Iterator[list[weights.Fit]]:
    """Have a library load a model of transformers, with one error for what goes wrong.

    Args:
        folder: the model's.
        problem: see :func:`reading`.
        device: where it is put.
        code: whether the model's own code may run.

    Yields:
        What transformers finds of the tensors; see :func:`~pytest_modellab.models.weights.watched`.

    Raises:
        ModelError: in place of the library's.
        VariantLoadError: the device is not there.
    """
    from safetensors import SafetensorError

    devices.ready(device)
    with (
        putting_on(device, folder),
        reading(folder, problem, SafetensorError),
        devices.fitting(device, folder),
        weights.watched(code=code) as fits,
    ):
        yield fits


@contextlib.contextmanager
def putting_on(device: str, folder: Path) -> Iterator[None]:
    """Turn the assertion of a torch without a device into an error; it would count as a verdict.

    Raises:
        ModelError: the device is not there.
    """
    try:
        yield
    except AssertionError as error:
        raise ModelError(f"{folder}: cannot be put on {device!r}: {error}") from error


def with_attention(load: Callable[[str], Model], asked: str | None = None) -> Model:
    """Load a model with torch's own attention, or by plain matrices where it has none of that.

    MPNet, Gemma 2, GPT-OSS and others refuse it. What transformers takes by itself may be what the
    configuration names, as flash attention, which needs a GPU.

    Args:
        load: takes what transformers calls ``attn_implementation``.
        asked: the one that it must be, or None for the best.

    Raises:
        VariantLoadError: the one that is asked for is not there.
    """
    try:
        return load(asked or "sdpa")
    except (ImportError, ValueError) as error:
        said = str(error).partition(". ")[0]
        if not any(words in said for words in _NO_ATTENTION):
            raise
        if asked is not None:
            raise VariantLoadError(
                f'attention: {asked!r} is not there ({said.rstrip(".")}): set "eager", which every '
                "model has, or leave attention out for the best that is there"
            ) from error
    return load("eager")
