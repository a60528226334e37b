"""What the tests of score files share."""

from __future__ import annotations

from pathlib import Path

import pytest
from score_files import Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file: ``write(name, content)``."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
