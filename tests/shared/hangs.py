"""What must end, and is not timed: a machine that others use is slow at any moment."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

SECONDS = 60
"""Of processor time; what these tests look for takes hours."""


@contextlib.contextmanager
def ends() -> Iterator[None]:
    """Fail where what is done inside hung."""
    begin = time.process_time()
    yield
    assert time.process_time() - begin < SECONDS
