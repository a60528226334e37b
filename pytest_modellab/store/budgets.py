"""The token budgets of a variant: what its engine said first, and what last fitted into memory.

Both are an accelerator's own; on the CPU there is nothing to remember of what the engine says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.records import reading
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.store import files


def recall_budget(cache: Path, fingerprint: Fingerprint, default: int, device: str = "") -> int:
    """Return the token budget at which this variant last fitted into memory.

    Args:
        cache: the store's root.
        fingerprint: the variant's.
        default: the budget asked for; a remembered one only ever lowers it.
        device: the accelerator's name; empty for the CPU.

    Returns:
        Tokens in a batch.
    """
    fitted = _read(cache, fingerprint, device)
    return default if fitted is None else min(default, fitted)


def remember_budget(cache: Path, fingerprint: Fingerprint, budget: int, device: str = "") -> None:
    """Keep a budget for the next run of this variant."""
    _write(cache, fingerprint, device, budget)


def first_said(cache: Path, fingerprint: Fingerprint, device: str, say: Callable[[], int]) -> int:
    """Return what this variant's engine said when it was asked first, on this accelerator.

    Args:
        cache: the store's root.
        fingerprint: the variant's.
        device: the accelerator's name.
        say: asks the engine.
    """
    said = _read(cache, fingerprint, device, "said")
    if said is None:
        said = max(1, say())
        _write(cache, fingerprint, device, said, "said")
    return said


def forget_budget(cache: Path, fingerprint: Fingerprint, device: str = "") -> None:
    """Forget all that is remembered of this variant on this device."""
    for what in ("", "said"):
        files.remove(_place(cache, fingerprint, device, what)[0])


def _read(cache: Path, fingerprint: Fingerprint, device: str, what: str = "") -> int | None:
    path, of = _place(cache, fingerprint, device, what)
    return files.read(path, _tokens, of=of)


def _write(cache: Path, fingerprint: Fingerprint, device: str, tokens: int, what: str = "") -> None:
    path, of = _place(cache, fingerprint, device, what)
    files.write(path, {"tokens": tokens}, of=of)


def _tokens(data: Mapping[str, Any]) -> int:
    return max(1, int(reading.checked(reading.Count, data["tokens"], "tokens")))


def _place(cache: Path, fingerprint: Fingerprint, device: str, what: str) -> tuple[Path, str]:
    """The file, and what its content answers for."""
    of = digest([fingerprint.key, device, what])[:16] if device or what else fingerprint.key
    return cache / "budgets" / of, of
