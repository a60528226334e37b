"""How many tokens a run computes together: as asked for or as the engine says, and what fitted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_modellab.engines.budget import budget_of
from pytest_modellab.engines.device import full_name
from pytest_modellab.errors import OutOfMemory
from pytest_modellab.runs.job import Job
from pytest_modellab.store import budgets


def token_budget(job: Job, engine: Any, cache: Path) -> int:
    """Return the most tokens in a batch of a job.

    Args:
        job: what is to be run; its own budget counts before the engine's.
        engine: the job's variant, loaded.
        cache: the store's root. What an accelerator's engine says is kept there: how much memory is
            free changes, and another budget gives other last digits.
    """
    device = _accelerator(job)
    if job.budget is not None:
        asked = job.budget
    elif device:
        asked = budgets.first_said(cache, job.fingerprint, device, lambda: budget_of(engine))
    else:
        asked = budget_of(engine)
    return budgets.recall_budget(cache, job.fingerprint, asked, device)


def halved(job: Job, budget: int, error: OutOfMemory, cache: Path | None = None) -> int:
    """Return the budget to go on with where memory ran out.

    Args:
        job: what is run.
        budget: what did not fit.
        error: as the engine said it.
        cache: the store's root, where it is remembered; None to remember nothing.

    Raises:
        OutOfMemory: there is no smaller one. What was remembered is forgotten: another day has more
            memory.
    """
    device = _accelerator(job)
    if budget == 1:
        if cache is not None:
            budgets.forget_budget(cache, job.fingerprint, device)
        raise OutOfMemory(
            f"variant {job.spec.name!r}: memory runs out even with one sample a batch: {error}"
        ) from error
    if cache is not None:
        budgets.remember_budget(cache, job.fingerprint, budget // 2, device)
    return budget // 2


def _accelerator(job: Job) -> str:
    """Return the name of the accelerator that a job runs on; empty on the CPU."""
    device = str(job.fingerprint.settings.get("device") or "cpu")
    return "" if device == "cpu" else full_name(device)
