"""The real model, as the suites declare it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_modellab.config import read
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.store.place import default_folder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def torch_stays() -> None:
    """Import torch before any pytester does, which would forget it: it cannot be loaded twice."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")


@pytest.fixture(scope="session")
def cache() -> Path:
    """The user's own store, so that the model is converted once."""
    return default_folder()


@pytest.fixture
def make_lab(cache: Path) -> Iterator[Callable[[], Lab]]:
    """Make labs on the suites' configuration; each is released in the end."""
    labs: list[Lab] = []

    def make() -> Lab:
        labs.append(Lab(read.load(ROOT / "suites" / "modellab.toml"), Settings(cache=cache)))
        return labs[-1]

    yield make
    for one in labs:
        one.release()
