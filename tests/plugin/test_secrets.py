"""What the environment holds in confidence, no output of a session tells."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("warmed")

SECRETS = {
    "HF_TOKEN": "hf_PLANTEDhuggingface",
    "OPENAI_API_KEY": "sk-PLANTEDopenai",
    "AWS_SECRET_ACCESS_KEY": "PLANTEDaws",
    "MLFLOW_TRACKING_USERNAME": "PLANTEDuser",
    "MLFLOW_TRACKING_PASSWORD": "PLANTEDpassword",
    "MLFLOW_TRACKING_TOKEN": "PLANTEDtoken",
}

# Blocks, passes, is undecided, and errors in two ways.
SUITE = """
import pytest
pytestmark = pytest.mark.task_set("words")

@pytest.mark.variants("plain", "rounded")
def test_overall(candidate, gate):
    gate.no_regression(candidate)

@pytest.mark.variants("plain")
def test_floor(candidate, gate):
    gate.worst_bucket(candidate, floor=0.99)

@pytest.mark.variants("unloadable")
def test_broken(candidate, gate):
    gate.worst_bucket(candidate)
"""


def planted(project: pytest.Pytester) -> list[str]:
    """Every file of the project in which a planted secret stands, and the secret."""
    return [
        f"{path.relative_to(project.path)}: {secret}"
        for path in sorted(project.path.rglob("*"))
        if path.is_file() and (content := path.read_bytes()) is not None
        for secret in ("PLANTED", "planted-in-the-address")
        if secret.encode() in content and path.name != "modellab.toml"
    ]


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    reports = ["--modellab-json=r.json", "--modellab-markdown=r.md", "--junitxml=junit.xml"]
    result = project.runpytest_subprocess(
        "--alluredir=allure", "--showlocals", "-vv", *reports, *arguments
    )
    (project.path / "printed").write_text("\n".join([*result.outlines, *result.errlines]))
    return result


@pytest.fixture
def secretive(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> pytest.Pytester:
    """The project with secrets around it, and an mlflow database whose address holds one."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "summary.md"))
    (project.path / "test_suite.py").write_text(SUITE)
    return project


@pytest.mark.parametrize("tracking", ["none", "local", "unreachable", "declared", "malformed"])
def test_no_output_tells_a_secret(
    secretive: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tracking: str
) -> None:
    address = {
        "unreachable": "http://someone:planted-in-the-address@127.0.0.1:9/",
        "declared": "http://someone:planted-in-the-address@127.0.0.1:9/?token=PLANTEDquery",
        "malformed": "http//someone:planted-in-the-address@[::1/",
    }.get(tracking, "")
    if tracking != "none":
        # Not imported here: importlib_metadata replaces a finder, and pytester undoes half of it.
        if not (find_spec("mlflow") and find_spec("sqlalchemy")):
            pytest.skip("MLflow is not installed")
        config = secretive.path / "modellab.toml"
        declared = f'tracking_uri = "{address}"\n' if address and tracking != "unreachable" else ""
        config.write_text(f"{config.read_text()}[mlflow]\n{declared}")
    if tracking == "unreachable":
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    else:
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run(secretive, "-k", "overall", "--modellab-update")
    assert planted(secretive) == []
    result = run(secretive)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*BLOCK*"])
    result.stdout.fnmatch_lines(["*ERROR*unloadable*"])
    written = {path.name for path in secretive.path.rglob("*")}
    assert {"r.json", "r.md", "junit.xml", "summary.md", "environment.properties"} <= written
    assert ("mlflow.db" in written) == (tracking == "local")
    assert planted(secretive) == []


COMMANDS = {
    "accept plain rounded": 0,
    "accept unloadable": 2,
    "tasks check": 1,  # a random model is at chance
    "plan": 0,
    "compare --json t.json --html t.html --markdown t.md": 0,
    "compare --variant unloadable": 2,
    "card plain -o card.md": 0,
    "history plain": 2,  # there is no repository
    "review": 2,  # likewise
    "build plain": 2,  # nor a recipe
}


def test_no_command_tells_a_secret(secretive: pytest.Pytester) -> None:
    for number, (command, expected) in enumerate(COMMANDS.items()):
        main = "from pytest_modellab.cli import main; raise SystemExit(main())"
        result = secretive.run(sys.executable, "-c", main, *command.split())
        said = "\n".join([*result.outlines, *result.errlines])
        assert result.ret == expected, said
        (secretive.path / f"printed_{number}").write_text(said)
    assert {"t.json", "t.html", "t.md", "card.md"} <= {p.name for p in secretive.path.iterdir()}
    assert planted(secretive) == []


def test_the_search_finds_what_is_planted(secretive: pytest.Pytester) -> None:
    (secretive.path / "leak").write_text(os.environ["HF_TOKEN"])
    assert planted(secretive) == ["leak: PLANTED"]
