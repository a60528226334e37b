"""What engines share of memory: one exception where it runs out, and giving it back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.errors import OutOfMemory

_FULL = ("not enough memory", "can't allocate memory", "out of memory", "status_alloc_failed")
"""What torch says where memory runs out and it raises no error of its own for that."""


@contextlib.contextmanager
def running_out() -> Iterator[None]:
    """Turn the ways in which torch's memory runs out into one exception.

    Raises:
        OutOfMemory: in place of torch's.
    """
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(str(error)) from error
    except RuntimeError as error:  # the CPU's, and those of CUDA's own libraries
        if any(words in str(error).lower() for words in _FULL):
            raise OutOfMemory(str(error)) from error
        raise


@contextlib.contextmanager
def graph_running_out() -> Iterator[None]:
    """Turn the ways in which ONNX Runtime's memory runs out into one exception.

    Raises:
        OutOfMemory: in place of ONNX Runtime's.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    try:
        yield
    except MemoryError as error:
        raise OutOfMemory(str(error) or "no memory left") from error
    except (errors.Fail, errors.RuntimeException) as error:
        told = str(error).lower()
        if any(words in told for words in ("failed to allocate", "bad allocation", "bad_alloc")):
            raise OutOfMemory(str(error)) from error
        raise


def available() -> int | None:
    """Return the bytes that this process may still take, or None where the system does not tell."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        told = Path("/proc/meminfo").read_text(encoding="ascii").partition("MemAvailable:")[2]
        found.append(int(told.split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # of a container, "max" without a limit
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - int((group / "memory.current").read_text(encoding="ascii")))
    return min(found, default=None)


def parameter_bytes(model: Any) -> int:
    """Return the bytes of a torch model's parameters and buffers as they are held in memory."""
    return sum(_held(tensor) for tensor in (*model.parameters(), *model.buffers()))


def _held(tensor: Any) -> int:
    """Bytes of a tensor; a quantized one says of itself what it replaces, so its parts count."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_held(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    state = getattr(tensor, "quant_state", None)  # of bitsandbytes: one scale a block
    scales = _held(state.absmax) if state is not None else 0
    return int(tensor.numel() * tensor.element_size()) + scales


def empty(model: Any, device: str) -> None:
    """Give a model's memory back at once, whoever else still refers to it.

    A failed test's traceback keeps the model's modules alive, so every parameter and buffer is
    emptied.

    Args:
        model: of torch.
        device: what it is on, ``cpu`` or ``cuda``.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.new_empty(0)
    give_back(device)


def give_back(device: str = "cpu") -> None:
    """Return freed memory to the system, where glibc or torch would keep it."""
    import ctypes
    import gc

    gc.collect()
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
    if device == "cuda":
        import torch

        # what cuBLAS has taken lies in the block that the model was loaded into, and keeps it whole
        if (clear := getattr(torch._C, "_cuda_clearCublasWorkspaces", None)) is not None:  # noqa: SLF001
            clear()
        torch.cuda.empty_cache()
