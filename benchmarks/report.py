"""The published table, and where and when it was measured."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_PACKAGES = ("pytest-modellab", "numpy", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table.

    Attributes:
        label: What was measured.
        measured: What this gate reaches.
        required: The figure required; empty where the row only informs.
        held: Whether that is enough; None where nothing is required.
        peers: What others reach on the same data, by their column.
        value: The figure in `measured`: a rate, seconds, gigabytes or a count.
    """

    label: str
    measured: str
    required: str = ""
    held: bool | None = None
    peers: dict[str, str] = field(default_factory=dict)
    value: float | None = None


def markdown(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """The rows as a Markdown table; columns that no row uses are left out."""
    used = [column for column in columns if any(row.peers.get(column) for row in rows)]
    lines = [["property", "required", "this gate", "ok", *used], ["---"] * (4 + len(used))]
    for row in rows:
        ok = "" if row.held is None else "yes" if row.held else "NO"
        peers = [row.peers.get(column) or "–" for column in used]
        lines.append([row.label, row.required or "–", row.measured, ok or "–", *peers])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def environment() -> dict[str, str]:
    """Versions, processor and date."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        **versions,
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def write_json(path: Path, rows: Sequence[Row], **more: Any) -> None:
    """All figures of a run."""
    content = {"environment": environment(), "rows": [asdict(row) for row in rows], **more}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _processor() -> str:
    """The processor's name, from Linux where it says so."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
