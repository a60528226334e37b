"""The token budget at which a variant last fitted into memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.records import reading
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.store import files


def recall_budget(cache: Path, fingerprint: Fingerprint, default: int) -> int:
    """Return the token budget at which this variant last fitted into memory.

    Args:
        cache: the store's root.
        fingerprint: the variant's.
        default: the budget asked for; a remembered one only ever lowers it.

    Returns:
        Tokens in a batch.
    """
    fitted = files.read(_budget_file(cache, fingerprint), _tokens, of=fingerprint.key)
    return default if fitted is None else min(default, max(1, fitted))


def remember_budget(cache: Path, fingerprint: Fingerprint, budget: int) -> None:
    """Keep a budget for the next run of this variant."""
    files.write(_budget_file(cache, fingerprint), {"tokens": budget}, of=fingerprint.key)


def _tokens(data: Mapping[str, Any]) -> int:
    return int(reading.checked(reading.Count, data["tokens"], "tokens"))


def _budget_file(cache: Path, fingerprint: Fingerprint) -> Path:
    return cache / "budgets" / fingerprint.key
