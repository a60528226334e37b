"""``modellab run`` and ``modellab cache``: scored once, judged elsewhere, by a shared store."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import s3_server

from pytest_modellab import cli
from pytest_modellab.variants import loading

Say = Callable[..., tuple[int, list[str], str]]


def no_load(*_: object) -> None:
    raise AssertionError("a model is loaded")


SERVED = """
[variants.hosted]
kind = "endpoint"
url = "http://127.0.0.1:9/v1"
served_model = "one"
prompt = "prompt.jinja"
scoring = "generated"
"""


ON_GPU = """
[variants.fast]
kind = "prompted"
base = "plain"
device = "cuda"
prompt = "prompt.jinja"
"""


@pytest.fixture
def say(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """Run a command; returns its exit code, what it prints, and its errors."""
    monkeypatch.chdir(project.path)

    def run(*arguments: str) -> tuple[int, list[str], str]:
        capsys.readouterr()
        try:
            code = cli.main([*arguments])
        except SystemExit as error:  # as argparse refuses a call
            code = int(error.code or 0)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


def shared_with(monkeypatch: pytest.MonkeyPatch, project: pytest.Pytester, local: str) -> None:
    """A machine with a store of its own, beside the one in ``team``."""
    monkeypatch.setenv("MODELLAB_CACHE", f"file://{project.path / 'team'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / local))


def test_what_is_run_on_one_machine_is_judged_on_another(
    say: Say, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert say("accept", "plain", "rounded", "--task-set", "words")[0] == 0
    shared_with(monkeypatch, project, "one")
    code, planned, _ = say("run", "plain", "rounded", "--plan")
    assert code == 0
    assert [line.split(", about")[0] for line in planned[:2]] == [
        "plain on words: 132 samples to run",
        "rounded on words: 132 samples to run",
    ]
    assert planned[2].startswith("2 to run: about ")
    assert planned[2].endswith(" s of answering; 2 models are loaded")
    monkeypatch.setitem(sys.modules, "ray", None)  # which --plan does not import
    _, planned, _ = say("run", "plain", "rounded", "--plan", "--on", "ray", "--workers", "3")
    assert planned[3].startswith("on ray: 2 shards, on 2 workers about ")
    assert planned[3].endswith(" s and what loading takes, where there is room for them")
    _, planned, _ = say("run", "plain", "--plan", "--on", "ray")
    assert planned[2] == "on ray: 1 shard; --workers N says how long so many workers take"
    code, lines, _ = say("run", "plain", "rounded")
    assert code == 0
    assert [line.split(" in ")[0] for line in lines] == [
        "plain on words: 132 samples",
        "rounded on words: 132 samples",
    ]
    shared_with(monkeypatch, project, "two")
    monkeypatch.setattr(loading, "load", no_load)
    project.runpytest_inprocess().assert_outcomes(passed=8)
    assert say("run", "plain", "rounded")[1] == [
        "plain on words: 132 samples, stored",
        "rounded on words: 132 samples, stored",
    ]
    assert say("run", "plain", "rounded", "--on", "ray")[0] == 0, "no cluster is asked for"
    plan = say("run", "plain", "--plan", "--on", "ray", "--workers", "3")
    assert plan[1][-1] == "nothing is to be run"


def test_a_worker_takes_a_gpu_where_a_variant_is_to_be_on_one(
    say: Say, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray: Any = types.ModuleType("ray")
    ray.is_initialized = lambda: True
    ray.nodes = lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}]
    monkeypatch.setitem(sys.modules, "ray", ray)
    path = project.path / "modellab.toml"
    path.write_text(path.read_text() + ON_GPU)
    code, _, errors = say("run", "fast", "--task-set", "words", "--on", "ray")
    assert code == 2, errors
    assert "no node has room for a worker that takes 1 CPUs, 1 GPUs" in errors


def test_a_plan_asks_no_server(say: Say, project: pytest.Pytester) -> None:
    path = project.path / "modellab.toml"
    path.write_text(f"{path.read_text()}{SERVED}")
    say("run", "plain", "--task-set", "words")
    code, lines, _ = say("run", "hosted", "plain", "--plan", "--task-set", "words", "--on", "ray")
    assert code == 0
    assert lines == [
        "hosted on words: 132 samples, for the first time, or stored: its server is asked when it "
        "runs",
        "plain on words: 132 samples, stored",
        "1 to run, of which nothing is known; 0 models are loaded; less where a server's run is "
        "stored",
        "on ray: 1 shard; nothing is known of how long they take",
    ]
    code, _, errors = say("run", "hosted", "--task-set", "words")
    assert code == 1
    assert "no server answers there" in errors


def test_sessions_share_a_bucket_and_go_on_without_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")

    def session(machine: str, *arguments: str) -> dict[str, Any]:
        monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / machine))
        told = project.path / f"{machine}.json"
        asked = ("-k", "overall and plain", f"--modellab-json={told}")
        result = project.runpytest_inprocess(*asked, *arguments)
        result.assert_outcomes(passed=1, deselected=7)
        found: dict[str, Any] = json.loads(told.read_text())
        return found

    with s3_server.serving() as found:
        for name, value in found.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MODELLAB_CACHE", f"s3://{s3_server.BUCKET}/lab")
        session("one", "--modellab-update")
        with monkeypatch.context() as patch:
            patch.setattr(loading, "load", no_load)
            second = session("two")
    assert second["notes"] == []
    assert [run["cached"] for run in second["measured"]["runs"]] == [True]
    third = session("three")
    assert third["comparisons"] == second["comparisons"]
    (note,) = third["notes"]
    assert note.startswith(f"the shared store s3://{s3_server.BUCKET}/lab cannot be reached (")
    assert note.endswith("): this machine's store alone is used")


def test_what_fails_does_not_keep_the_others(say: Say, project: pytest.Pytester) -> None:
    code, lines, errors = say("run", "unloadable", "plain", "--task-set", "words")
    assert code == 1
    assert lines[-1].startswith("plain on words: 132 samples")
    assert "unloadable on words: ERROR: " in errors
    assert say("run", "unloadable", "--plan", "--task-set", "words")[0] == 1


def test_a_shared_store_is_shown_verified_and_pruned(
    say: Say, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_with(monkeypatch, project, "one")
    say("run", "plain", "--task-set", "words")
    _, lines, _ = say("cache")
    shared = lines.index(f"file://{project.path / 'team'} (shared):")
    assert lines[shared + 1].split()[:2] == ["runs", "1"]
    assert say("cache", "verify", "--shared")[:2] == (0, ["1 entry read, none damaged"])
    (stored,) = (project.path / "team").rglob("*.json")
    stored.write_bytes(stored.read_bytes().replace(b"words", b"wards", 1)[:-9] + b"x" * 9)
    code, lines, _ = say("cache", "verify", "--shared")
    assert code == 1
    assert lines[0].startswith(f"runs/{stored.name}: is damaged: ")
    assert lines[1] == "1 entry read, 1 damaged"
    code, lines, _ = say("cache", "prune", "--shared", "--to", "0", "--dry-run")
    assert lines[0].startswith(f"would remove runs/{stored.name} (")
    assert stored.exists()
    assert say("cache", "prune", "--shared", "--older-than", "1")[1] == ["removed 0 entries, 0 B"]
    assert say("cache", "prune", "--shared", "--to", "0kB")[1][-1].startswith("removed 1 entry")
    assert not stored.exists()


def test_the_store_of_this_machine_is_pruned_but_for_what_is_in_use(
    say: Say, project: pytest.Pytester
) -> None:
    from filelock import FileLock

    say("run", "plain", "rounded", "--task-set", "words")
    runs = sorted((project.path / "cache" / "runs").iterdir())
    assert say("cache", "verify")[0] == 0
    with FileLock(runs[0] / "lock"):
        _, lines, _ = say("cache", "prune", "--to", "0")
    assert f"runs/{runs[0].name} is in use, and stays" in lines
    assert runs[0].exists()
    assert not runs[1].exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "prune: what? --older-than DAYS, or --to SIZE, for example --to 20GB"),
        (["prune", "--to", "much"], "--to: 'much' is no size, for example 20GB or 500MB"),
        (["prune", "--older-than", "-1"], "--older-than: '-1' is no number of days"),
        (["verify", "--shared"], "--shared: no store is shared: give its address as url in"),
        (["--to", "1GB"], "--older-than, --to and --dry-run are of modellab cache prune"),
    ],
)
def test_bad_calls(say: Say, arguments: list[str], message: str) -> None:
    code, _, errors = say("cache", *arguments)
    assert code == 2
    assert message in errors


def test_an_address_in_the_configuration(
    say: Say, project: pytest.Pytester, tmp_path: Path
) -> None:
    say("run", "plain", "--task-set", "words")
    path = project.path / "modellab.toml"
    path.write_text(f'{path.read_text()}\n[store]\nurl = "{tmp_path / "team"}"\n')
    say("run", "plain", "--task-set", "words")  # what was there before is shared, too
    assert len([*(tmp_path / "team").rglob("*.json")]) == 1
    shutil.rmtree(project.path / "cache")
    assert say("run", "plain", "--task-set", "words")[1] == ["plain on words: 132 samples, stored"]
    assert os.environ["MODELLAB_CACHE"] == str(project.path / "cache")


def test_a_shared_store_that_is_away_hides_nothing(
    say: Say, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_with(monkeypatch, project, "one")
    monkeypatch.setenv("MODELLAB_CACHE", "http://127.0.0.1:9/team")
    code, lines, errors = say("cache")
    assert code == 2
    assert lines[0].endswith("pytest-modellab:")
    assert "the shared store http://127.0.0.1:9/team cannot be used: Client" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "moon"], "--on: 'moon' is none of local, ray, ray://HOST:PORT"),
        (["--on", "moon", "--plan"], "--on: 'moon' is none of local, ray, ray://HOST:PORT"),
        (["--workers", "2"], "--workers: this process has no workers: add --on ray"),
        (["--on", "ray", "--workers", "0"], "--workers: '0' is not a number of at least 1"),
        (["--on", "ray", "--worker-memory", "nan"], "--worker-memory: 'nan' is not a number"),
        (["--on", "ray", "--worker-cpus=-1"], "--worker-cpus: '-1' is not a number from 0 on"),
        (["--on", "ray", "--worker-gpus", "1.5"], "--worker-gpus: 1.5 is neither whole nor"),
        (["--on", "ray", "--worker-cpus", "0"], "--worker-cpus: 0, and no --worker-gpus: what"),
    ],
)
def test_bad_places(say: Say, arguments: list[str], message: str) -> None:
    code, _, errors = say("run", "plain", "--task-set", "words", *arguments)
    assert code == 2
    assert message in errors
