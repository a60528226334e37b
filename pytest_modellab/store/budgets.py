"""The token budget at which a variant last fitted into memory."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.store import atomic


def recall_budget(cache: Path, fingerprint: Fingerprint, default: int) -> int:
    """Return the token budget at which this variant last fitted into memory.

    Args:
        cache: the store's root.
        fingerprint: the variant's.
        default: the budget asked for; a remembered one only ever lowers it.

    Returns:
        Tokens in a batch.
    """
    try:
        return min(default, max(1, int(_budget_file(cache, fingerprint).read_text())))
    except (OSError, ValueError):
        return default


def remember_budget(cache: Path, fingerprint: Fingerprint, budget: int) -> None:
    """Keep a budget for the next run of this variant."""
    atomic.write_text(_budget_file(cache, fingerprint), f"{budget}\n")


def _budget_file(cache: Path, fingerprint: Fingerprint) -> Path:
    return cache / "budgets" / fingerprint.key
