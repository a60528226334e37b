"""What decides about an engine's numbers beside the model: libraries and threads."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_modellab.engines.interface import Engine

LIBRARIES = ("torch", "transformers")
"""Whose versions a run record tells, where they are installed."""

WAITING = frozenset({"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"})
"""What tells the threads of GNU's OpenMP, which torch's wheels for Linux come with, how to wait."""

SPINS = 1000
"""How often a waiting thread looks before it sleeps; it is measured in docs/performance.md.

As many as there are between two products of a model on cores of its own, so that nothing is lost
there, and so few that on shared cores it is as good as none (``OMP_WAIT_POLICY=passive``). The
library's own number keeps a core for milliseconds.
"""


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
    return int(declared) if declared.isdigit() else cores()


def cores() -> int:
    """Return how many cores this process may use."""
    # there are systems without it
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


def share(workers: int = 1) -> None:
    """Have torch's threads leave the cores to others, where the environment does not say how.

    To be called before torch is imported: OpenMP reads the environment once. A thread that waits
    for another one goes to sleep soon, instead of keeping the core that the other one may need.
    Each of several workers takes its part of the cores, since two of them with all threads each are
    slower than one.

    Args:
        workers: processes that compute at once, this one counted in.
    """
    if workers > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    if not WAITING & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = str(SPINS)
