"""What all tests share: each is alone, also where a worker of xdist runs it."""

from __future__ import annotations

from collections.abc import Iterator

import garbage
import pytest


@pytest.fixture(scope="session", autouse=True)
def unshared() -> Iterator[None]:
    """Sessions of pytest inside a test are none of this one's workers, which time nothing."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module", autouse=True)
def _frozen() -> None:
    garbage.freeze()
