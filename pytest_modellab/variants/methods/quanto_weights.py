"""optimum-quanto, without its compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def config(weights: str, _dtype: str) -> Any:
    """Hold weights in so many bits: ``int8`` per channel, ``int4`` in groups of 128 or fewer."""
    from transformers import QuantoConfig

    unpack_in_python()
    return QuantoConfig(weights=weights)


def unpack_in_python() -> None:
    """Let quanto unpack 2-bit and 4-bit values on the CPU in Python.

    By itself it compiles a C++ extension into its own installed folder the first time that it is
    used, which takes a minute and a half and a compiler; the values are the same.
    """
    import types

    from optimum.quanto.library.extensions import get_extension

    get_extension("quanto_cpp")._lib = types.SimpleNamespace(unpack=_unpack)  # noqa: SLF001


def _unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Take bytes apart: first the lowest bits of all, then the next."""
    import torch

    return torch.cat([packed >> shift & (2**bits - 1) for shift in range(0, 8, bits)])
