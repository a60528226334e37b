"""What decides about an engine's numbers beside the model: libraries and threads."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modellab.engines.interface import Engine

LIBRARIES = ("torch", "transformers")
"""Whose versions a run record tells, where they are installed."""


def libraries() -> dict[str, Any]:
    """Return the versions of :data:`LIBRARIES` and the threads that torch uses."""
    found: dict[str, Any] = {"threads": threads()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # BM25 and other people's engines do without
    try:
        import torch
    except ImportError:
        return found
    return {**found, "threads": torch.get_num_threads()}


def of(engine: Engine) -> dict[str, Any]:
    """Return what an engine tells of its environment, or its process' threads.

    Args:
        engine: any; one of somebody else's plugin may have no such method.
    """
    told = getattr(engine, "environment", None)
    return {"threads": threads(), **(told() if callable(told) else {})}


def seed(engine: Engine, number: int) -> None:
    """Seed an engine, if it takes a seed."""
    if callable(take := getattr(engine, "seed", None)):
        take(number)


def threads() -> int:
    """Return how many threads there are: OMP_NUM_THREADS as torch takes it, or the cores."""
    declared = os.environ.get("OMP_NUM_THREADS", "")
    if declared.isdigit():
        return int(declared)
    # there are systems without it
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores or 1
