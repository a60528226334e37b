"""Words while a library loads, and quiet while a command runs."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import warnings
from pathlib import Path

import pytest

from pytest_modellab.engines import heavy


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small library in the place of a heavy one."""
    (tmp_path / "slow_to_load.py").write_text("LOADED = __spec__.loader.path\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(heavy, "HEAVY", ("slow_to_load",))
    return "slow_to_load"


def test_it_is_told_when_it_begins_to_load_and_not_when_it_is_looked_for(library: str) -> None:
    said: list[str] = []
    before = list(sys.meta_path)
    with heavy.spoken(said.append):
        assert importlib.util.find_spec(library) is not None
        assert importlib.util.find_spec("another_that_is_not_there") is None
        assert said == []
        module = importlib.import_module(library)
        importlib.import_module(library)
    assert said == ["loading slow_to_load …"]
    assert module.__file__ == module.LOADED
    assert sys.meta_path == before
    del sys.modules[library]


def test_a_heavy_library_that_is_not_there_is_missed_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heavy, "HEAVY", ("not_there_at_all",))
    said: list[str] = []
    with heavy.spoken(said.append), pytest.raises(ModuleNotFoundError, match="not_there_at_all"):
        importlib.import_module("not_there_at_all")
    assert said == []


def test_what_is_less_than_an_error_is_not_shown(
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "warnoptions", [])
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    logger, shown = logging.getLogger("some.library"), warnings.showwarning
    with warnings.catch_warnings(action="always"):
        with heavy.quiet():
            assert os.environ["TQDM_DISABLE"] == "1"
            logger.warning("Failed to load a kernel")
            warnings.warn("is deprecated", stacklevel=1)
            logger.error("the disk is full")
        again = warnings.showwarning
    assert again is not heavy._unshown
    assert capsys.readouterr().err == ""
    assert caplog.messages == ["the disk is full"]
    assert warnings.showwarning is shown
    assert "TQDM_DISABLE" not in os.environ


def test_a_warning_that_is_an_error_stays_one() -> None:
    with (
        warnings.catch_warnings(action="error"),
        heavy.quiet(),
        pytest.raises(UserWarning, match="is wrong"),
    ):
        warnings.warn("is wrong", stacklevel=1)


def test_who_asks_for_warnings_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["default"])
    before = warnings.showwarning
    with heavy.quiet():
        assert warnings.showwarning is before
