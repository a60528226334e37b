"""Logging sessions and trade-offs to MLflow, where ``[mlflow]`` asks for it.

Whatever happens here is a note at most: no verdict waits for a tracking server, or changes with it.
MLflow is imported when something is logged, and not before.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pytest_modellab.records.declared import MlflowConfig
from pytest_modellab.reports.tracking import runs

if TYPE_CHECKING:
    from pytest_modellab.reports.session import SessionReport
    from pytest_modellab.tradeoff.figures import TradeOff

INSTALL = "pip install 'pytest-modellab[mlflow]'"


SECONDS = 60.0
"""Longest that logging may keep a session waiting."""


DATABASE, FILES = "mlflow.db", "mlartifacts"
"""The local store, beside the modellab.toml. MLflow refuses its older store of plain files."""


# MLflow's own: 120 s a request, asked again 7 times
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


# At a run's end MLflow prints its address, password included.
_PRINT_NOTHING = "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"


_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME")


_METRICS = 500  # of a batch; MLflow takes 1000


_LONGEST = 300


_SHORTEST = 3  # of a secret that is looked for in a message: "u" is in most words


def log_session(
    config: MlflowConfig,
    report: SessionReport,
    tradeoffs: Mapping[str, TradeOff] = MappingProxyType({}),
) -> str | None:
    """Log a session: one run, with a nested one for each variant and task set.

    Args:
        config: where to.
        report: the session.
        tradeoffs: by task set, as far as there are any.

    Returns:
        A note that says what kept it from being logged, or None.
    """
    return _log(config, lambda: runs.of_session(report, tradeoffs))


def log_tradeoff(config: MlflowConfig, tradeoff: TradeOff, pages: Mapping[str, str]) -> str | None:
    """Log a trade-off: one run, with a nested one for each variant.

    Args:
        config: where to.
        tradeoff: of one task set.
        pages: files that are kept with it beside its JSON, name → text.

    Returns:
        A note that says what kept it from being logged, or None.
    """
    return _log(config, lambda: runs.of_tradeoff(tradeoff, pages))


def shown(uri: str) -> str:
    """A tracking URI without user, password and query."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{uri.partition(':')[0]}:…"
    if not parts.netloc:
        _, at, rest = uri.partition("?")[0].rpartition("@")
        return f"{'***@' if at else ''}{rest}"
    _, at, host = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{'***@' if at else ''}{host}{parts.path}"


def _log(config: MlflowConfig, make: Callable[[], runs.Family]) -> str | None:
    uri = _uri(config)
    os.environ[_PRINT_NOTHING] = "true"  # for good: a thread that is given up may still end
    bare, login = _without_login(uri)
    found: list[str | None] = []

    def work() -> None:
        found.append(_attempt(config, bare, uri, make))

    # A thread, since a database or a name server may keep one waiting without a limit.
    thread = threading.Thread(target=work, name="modellab-mlflow", daemon=True)
    with _surroundings({**_ENVIRONMENT, **login}):
        thread.start()
        thread.join(SECONDS)
    if found:
        return found[0]
    return f"mlflow: not logged to {shown(uri)}, or in part: gave up after {SECONDS:.0f} s"


def _attempt(
    config: MlflowConfig, bare: str, uri: str, make: Callable[[], runs.Family]
) -> str | None:
    """Log; every failure is a note."""
    try:
        import mlflow
    except ImportError as error:
        return f"mlflow: not logged: it needs {error.name or error}: {INSTALL}"
    if uri.startswith(_DATABASES) and importlib.util.find_spec("sqlalchemy") is None:
        return f"mlflow: not logged: a database needs sqlalchemy: {INSTALL}"
    done = ""
    try:
        client = mlflow.MlflowClient(tracking_uri=bare)
        family = make()
        parent, finish = _send(client, _experiment(client, config, uri), family)
        done = ", but not its files"
        for name, text in family.files.items():
            client.log_text(parent, text, name)
        finish()
    except Exception as error:  # noqa: BLE001 any library's, none of which may fail a session
        return f"mlflow: {'' if done else 'not '}logged to {shown(uri)}{done}: {_safe(error, uri)}"
    return None


def _uri(config: MlflowConfig) -> str:
    """The configuration's, else the environment's, else a database beside the configuration."""
    uri = config.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return f"sqlite:///{config.folder / DATABASE}"
    scheme, colon, path = uri.partition(":///")
    if config.tracking_uri and colon and scheme == "sqlite" and not path.startswith("/"):
        return f"sqlite:///{config.folder / path}"  # as every path of the configuration
    return uri


def _without_login(uri: str) -> tuple[str, dict[str, str]]:
    """A server's address, and its user and password as MLflow reads them from the environment."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri, {}
    if parts.scheme not in ("http", "https") or not parts.username or not parts.password:
        return uri, {}
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, {
        "MLFLOW_TRACKING_USERNAME": unquote(parts.username),
        "MLFLOW_TRACKING_PASSWORD": unquote(parts.password),
    }


def _experiment(client: Any, config: MlflowConfig, uri: str) -> str:
    found = client.get_experiment_by_name(config.experiment)
    if found is not None:
        return str(found.experiment_id)
    # else a database's files land in the working folder
    local = uri.startswith("sqlite:")
    place = (config.folder / FILES).as_uri() if local else None
    return str(client.create_experiment(config.experiment, artifact_location=place))


def _send(client: Any, experiment_id: str, family: runs.Family) -> tuple[str, Callable[[], None]]:
    """Log every run; returns the parent's id and what finishes it."""
    parent = _start(client, experiment_id, family.parent)
    for child in family.children:
        started = _start(client, experiment_id, child, **{"mlflow.parentRunId": parent})
        client.set_terminated(started)
    return parent, lambda: client.set_terminated(parent)


def _start(client: Any, experiment_id: str, run: runs.Run, **tags: str) -> str:
    from mlflow.entities import Metric, Param

    started = client.create_run(experiment_id, run_name=run.name, tags={**run.tags, **tags})
    run_id, now = started.info.run_id, int(time.time() * 1000)
    metrics = [Metric(name, value, now, 0) for name, value in run.metrics.items()]
    params = [Param(name, value) for name, value in run.params.items()]
    for begin in range(0, max(len(metrics), 1), _METRICS):
        batch = metrics[begin : begin + _METRICS]
        client.log_batch(run_id, metrics=batch, params=params if not begin else [])
    return str(run_id)


@contextlib.contextmanager
def _surroundings(wanted: Mapping[str, str]) -> Iterator[None]:
    """Variables that the environment does not set itself; no log lines or warnings of libraries."""
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    disabled = logging.root.manager.disable
    os.environ.update(added)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        for name in added:
            os.environ.pop(name, None)


def _safe(error: Exception, uri: str) -> str:
    """An error's first line without anything secret."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    secrets = {os.environ.get(name, "") for name in _SECRETS}
    with contextlib.suppress(ValueError):
        parts = urlsplit(uri)
        secrets |= {parts.username or "", parts.password or ""}
        secrets |= {value for _, value in parse_qsl(parts.query)}
    text = text.replace(uri, shown(uri))
    for secret in sorted(secrets, key=len, reverse=True):
        for form in (secret, unquote(secret)):
            if len(form) >= _SHORTEST:
                text = text.replace(form, "***")
    text = re.sub(r"//[^/\s@]+@", "//***@", text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
