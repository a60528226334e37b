"""Logging to MLflow: what is sent, and that nothing which goes wrong is more than a note."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.records.declared import MlflowConfig
from pytest_modellab.reports.session import SessionReport
from pytest_modellab.reports.tracking import log

REPORT = SessionReport((), (), (), 0.05, 1, "warn", True, ())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("MLFLOW_"):
            monkeypatch.delenv(name)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Put a library in MLflow's place whose client is made by a function."""

    def install(make: Callable[..., Any]) -> None:
        fake: Any = types.ModuleType("mlflow")
        fake.MlflowClient = make
        monkeypatch.setitem(sys.modules, "mlflow", fake)
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())

    return install


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://host:5000/a", "http://host:5000/a"),
        ("https://user:secret@host/a?token=secret", "https://***@host/a"),
        ("https://secret@host", "https://***@host"),
        ("https://user:se@cret@host", "https://***@host"),
        ("postgresql://user:secret@host/db", "postgresql://***@host/db"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
        ("databricks", "databricks"),
        ("user:secret@host", "***@host"),
        ("http://[user:secret@host", "http:…"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    assert log.shown(uri) == shown
    config = MlflowConfig(Path("/lab"), tracking_uri=uri)
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("given", "environment", "uri"),
    [
        (None, None, "sqlite:////lab/mlflow.db"),
        (None, "http://host", "http://host"),
        ("http://other", "http://host", "http://other"),
        ("sqlite:///runs/own.db", None, "sqlite:////lab/runs/own.db"),
        ("sqlite:////abs/own.db", None, "sqlite:////abs/own.db"),
        (None, "sqlite:///own.db", "sqlite:///own.db"),
    ],
)
def test_where_is_logged(
    monkeypatch: pytest.MonkeyPatch, given: str | None, environment: str | None, uri: str
) -> None:
    if environment is not None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", environment)
    assert log._uri(MlflowConfig(Path("/lab"), tracking_uri=given)) == uri


def test_a_missing_library_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert log.log_session(MlflowConfig(tmp_path), REPORT) == (
        "mlflow: not logged: it needs mlflow: pip install 'pytest-modellab[mlflow]'"
    )


def test_a_database_needs_its_library(
    client: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client(None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert log.log_session(MlflowConfig(tmp_path), REPORT) == (
        "mlflow: not logged: a database needs sqlalchemy: pip install 'pytest-modellab[mlflow]'"
    )


def test_an_error_is_a_note_without_secrets(client: Callable[[Any], None], tmp_path: Path) -> None:
    uri = "https://user:s%40cret@host/a?token=toktok"

    def fail(tracking_uri: str) -> None:
        raise RuntimeError(
            f"\nrequest to {uri}/api failed: user, s@cret, s%40cret, ?token=toktok, "
            "http://x:y@other\nsecond line"
        )

    client(fail)
    note = log.log_session(MlflowConfig(tmp_path, tracking_uri=uri), REPORT)
    assert note == (
        "mlflow: not logged to https://***@host/a: request to https://***@host/a/api failed: "
        "***, ***, ***, ?token=***, http://***@other"
    )


def test_user_and_password_leave_the_address_before_mlflow_sees_it(
    client: Callable[[Any], None], tmp_path: Path
) -> None:
    seen: dict[str, str] = {}

    def look(tracking_uri: str) -> None:
        seen.update(os.environ, uri=tracking_uri)
        raise OSError("enough")

    client(look)
    uri = "https://user:s%40cret@host:5000/a"
    note = log.log_session(MlflowConfig(tmp_path, tracking_uri=uri), REPORT)
    assert note == "mlflow: not logged to https://***@host:5000/a: enough"
    assert seen["uri"] == "https://host:5000/a"
    assert seen["MLFLOW_TRACKING_USERNAME"] == "user"
    assert seen["MLFLOW_TRACKING_PASSWORD"] == "s@cret"
    assert seen["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] == "true"
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ


def test_a_password_of_the_environment_is_no_part_of_a_note(
    client: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "toktok")

    def fail(tracking_uri: str) -> None:
        raise OSError("bad token toktok" + "x" * 999)

    client(fail)
    note = log.log_session(MlflowConfig(tmp_path), REPORT)
    assert note is not None
    assert note.startswith("mlflow: not logged to http://host: bad token ***xxx")
    assert len(note) < 400


def test_who_does_not_answer_is_given_up(
    client: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(log, "SECONDS", 0.2)

    def wait(tracking_uri: str) -> None:
        release.wait(30)

    client(wait)
    try:
        note = log.log_session(MlflowConfig(tmp_path, tracking_uri="http://u:p@h"), REPORT)
        assert note == "mlflow: not logged to http://***@h, or in part: gave up after 0 s"
    finally:
        release.set()


def test_timeouts_are_short_unless_the_user_sets_them(
    client: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "33")
    seen: dict[str, str] = {}

    def look(tracking_uri: str) -> None:
        seen.update(os.environ)
        warnings.warn("a library's own", stacklevel=1)
        assert logging.root.manager.disable == logging.CRITICAL
        raise OSError("enough")

    client(look)
    note = log.log_session(MlflowConfig(tmp_path, tracking_uri="http://h"), REPORT)
    assert note == "mlflow: not logged to http://h: enough"
    assert seen["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "33"
    assert seen["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"
    assert seen["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    assert logging.root.manager.disable == logging.NOTSET


def test_files_that_cannot_be_kept_are_a_note(
    client: Callable[[Any], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        def __init__(self, tracking_uri: str) -> None:
            pass

        def log_text(self, *_: str) -> None:
            raise OSError("no boto3")

    client(Client)
    monkeypatch.setattr(log, "_experiment", lambda *_: "1")
    monkeypatch.setattr(log, "_send", lambda *_: ("id", lambda: None))
    note = log.log_session(MlflowConfig(tmp_path, tracking_uri="http://h"), REPORT)
    assert note == "mlflow: logged to http://h, but not its files: no boto3"


# --- with the real library ------------------------------------------------------------------------


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes a request and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_session_in_the_local_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    lab = tmp_path / "a b"
    lab.mkdir()
    config = MlflowConfig(lab, experiment="trial")
    assert log.log_session(config, REPORT) is None
    assert log.log_session(config, REPORT) is None
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in lab.iterdir()) == ["mlartifacts", "mlflow.db"]
    assert [path.name for path in tmp_path.iterdir()] == ["a b"], "nothing in the working folder"
    texts = sorted(lab.glob("mlartifacts/*/artifacts/*"))
    assert [path.name for path in texts] == ["report.json", "report.md"] * 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=f"sqlite:///{lab / 'mlflow.db'}")
        runs = client.search_runs([client.get_experiment_by_name("trial").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert runs[0].data.tags["modellab.verdict"] == "inconclusive"
    assert runs[0].data.metrics["comparisons/block"] == 0.0


def test_a_server_that_does_not_answer(
    silent: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    config = MlflowConfig(tmp_path, tracking_uri=f"http://user:secret@127.0.0.1:{silent}")
    note = log.log_session(config, REPORT)
    assert note is not None
    assert note.startswith(f"mlflow: not logged to http://***@127.0.0.1:{silent}: API request to ")
    assert "secret" not in note
