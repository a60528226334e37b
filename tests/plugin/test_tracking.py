"""``[mlflow]`` in a session: logged once, by the controlling process, and never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("warmed")

# Stands in for MLflow, installed or not: writes down what its client is asked.
FAKE = """
import json, os

class MlflowClient:
    def __init__(self, tracking_uri):
        self.runs = 0
        self.write("client", tracking_uri, os.environ["MLFLOW_TRACKING_PASSWORD"])
    def write(self, *what):
        with open(os.environ["CALLS"], "a") as file:
            file.write(json.dumps(what) + "\\n")
    def get_experiment_by_name(self, name):
        return None
    def create_experiment(self, name, artifact_location=None):
        self.write("experiment", name)
        return "1"
    def create_run(self, experiment_id, run_name, tags):
        self.runs += 1
        self.write("run", run_name, tags)
        return type("Run", (), {"info": type("Info", (), {"run_id": str(self.runs)})})
    def log_batch(self, run_id, metrics, params):
        self.write("batch", run_id, dict(metrics), dict(params))
    def log_text(self, run_id, text, name):
        self.write("text", run_id, name)
    def set_terminated(self, run_id):
        self.write("end", run_id)
"""
ENTITIES = """
def Metric(key, value, timestamp, step):
    return key, value
def Param(key, value):
    return key, value
"""


@pytest.fixture
def calls(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project with ``[mlflow]`` and the stand-in; what it was asked, in this file."""
    library = project.path / "library" / "mlflow"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(FAKE)
    (library / "entities.py").write_text(ENTITIES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(library.parent), *_path()]))
    monkeypatch.setenv("CALLS", str(project.path / "calls"))
    configure(project, 'experiment = "lab"\ntracking_uri = "http://user:secret@host:5000"\n')
    return project.path / "calls"


def _path() -> list[str]:
    return [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


def configure(project: pytest.Pytester, text: str) -> None:
    path = project.path / "modellab.toml"
    path.write_text(f"{path.read_text()}[mlflow]\n{text}")


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["serial", "n2"])
def test_a_session_is_logged_once(
    project: pytest.Pytester, calls: Path, workers: list[str]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    result = project.runpytest_subprocess("--modellab-update", *workers)
    result.assert_outcomes(passed=8)
    result.stdout.no_fnmatch_line("*mlflow*")
    found = [json.loads(line) for line in calls.read_text().splitlines()]
    clients = [what[1:] for what in found if what[0] == "client"]
    assert clients == [["http://host:5000", "secret"]]
    assert ["experiment", "lab"] in found
    runs = {what[1]: what[2] for what in found if what[0] == "run"}
    assert list(runs) == ["pytest", "plain", "rounded"]
    assert runs["rounded"]["mlflow.parentRunId"] == "1"
    assert runs["rounded"]["modellab.verdict"] in ("pass", "inconclusive")
    batches = {what[1]: what for what in found if what[0] == "batch"}
    metrics, params = batches["3"][2:]
    assert {"success", "capability/alpha", "worst_bucket", "churn"} <= set(metrics)
    assert metrics["risk"] >= 0, "from the trade-off of what was run"
    assert params["base"] == "plain"
    assert len(params["task_set_hash"]) == len(params["fingerprint"]) == 16
    assert [what[2] for what in found if what[0] == "text"] == ["report.json", "report.md"]
    assert found[-1] == ["end", "1"]


def test_a_collection_and_a_session_without_the_gate_are_not_logged(
    project: pytest.Pytester, calls: Path
) -> None:
    assert project.runpytest_subprocess("--collect-only").ret == 0
    (project.path / "test_other.py").write_text("def test_plain(): pass\n")
    project.runpytest_subprocess("test_other.py").assert_outcomes(passed=1)
    assert not calls.exists()


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["serial", "n2"])
def test_what_goes_wrong_is_a_note_in_every_report_and_no_verdict(
    project: pytest.Pytester, calls: Path, workers: list[str]
) -> None:
    if workers:
        pytest.importorskip("xdist")
    (project.path / "library" / "mlflow" / "__init__.py").write_text(
        "class MlflowClient:\n"
        "    def __init__(self, tracking_uri):\n"
        "        raise OSError('http://user:secret@host:5000 is down')\n"
    )
    result = project.runpytest_subprocess(
        "--modellab-update",
        "--modellab-json=report.json",
        "--modellab-markdown=report.md",
        *workers,
    )
    result.assert_outcomes(passed=8)
    assert result.ret == 0
    note = "mlflow: not logged to http://***@host:5000: http://***@host:5000 is down"
    assert f"note: {note}" in result.outlines
    report = (project.path / "report.json").read_text()
    unasked = "not judged: unloadable, declared in modellab.toml"
    assert json.loads(report)["notes"] == [note, unasked]
    texts = [report, (project.path / "report.md").read_text(), result.stdout.str()]
    assert "<sub>note: mlflow: not logged to http&#58;//" in texts[1]
    assert not any("secret" in text for text in [*texts, result.stderr.str()])


def test_without_the_library_the_note_says_what_to_install(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(project, "")
    (project.path / "conftest.py").write_text("import sys\nsys.modules['mlflow'] = None\n")
    result = project.runpytest_subprocess("--modellab-update", "-k", "plain")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["note: mlflow: not logged: it needs mlflow: pip install 'pytest-modellab[[]mlflow[]]'"]
    )


def test_without_its_table_nothing_of_mlflow_is_imported(
    project: pytest.Pytester, calls: Path
) -> None:
    path = project.path / "modellab.toml"
    path.write_text(path.read_text().partition("[mlflow]")[0])
    (project.path / "conftest.py").write_text(
        "import atexit, sys\n"
        "def show():\n"
        "    print('loaded:', sorted(set(sys.modules) & "
        "{'mlflow', 'pytest_modellab.reports.tracking.log'}))\n"
        "atexit.register(show)\n"
    )
    result = project.runpytest_subprocess("--modellab-update", "-k", "plain", "-s")
    assert result.ret == 0
    assert "loaded: []" in result.outlines
    assert not calls.exists()
