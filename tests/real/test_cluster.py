"""A real Ray cluster of two nodes on this machine: what it obtains is what this process obtains."""

from __future__ import annotations

import os
import platform
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import Waiting, job

from pytest_modellab import cli, testing
from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.lab import rounds
from pytest_modellab.lab.cluster import Cluster, Needs
from pytest_modellab.records.progress import Advance, Watch
from pytest_modellab.runs import shards
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store import said
from pytest_modellab.store.remote import Remote
from pytest_modellab.store.runs import StoredRun

ray = pytest.importorskip("ray", reason="extra [ray]")

SHARED = str(Path(__file__).parents[1] / "shared")


CONFIG = """
[task_sets.questions]
path = "questions"
margin = 0.1
[variants.slow]
kind = "waiting"
"""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without cores, and two nodes of one core each, which share a store of their own."""
    from ray.cluster_utils import Cluster as Nodes

    found: Any = Nodes(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    two = [found.add_node(num_cpus=1) for _ in range(2)]
    cache = str(tmp_path_factory.mktemp("nodes"))
    ray.init(
        found.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": SHARED, "MODELLAB_CACHE": cache}},
    )
    found.wait_for_nodes()
    yield found, two
    ray.shutdown()
    found.shutdown()


def opened(source: Source) -> Engine:
    return source.open(Path())


def obtained(
    jobs: list[Job], folder: Path, workers: int | None = None, watch: Watch = lambda _: None
) -> dict[str, StoredRun | ModellabError]:
    found: dict[str, StoredRun | ModellabError] = {}
    here = InProcess(folder, opened)
    on = Cluster("ray", workers, Needs())
    on.obtain(
        jobs,
        here,
        lambda one, run: found.__setitem__(one.spec.name, run),
        lambda one: one.spec.name,
        watch,
    )
    on.close()
    return found


def test_it_obtains_what_this_process_does_and_finds_it_again(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 200)
    monkeypatch.setattr(rounds, "TICK", 0.05)
    source = Waiting(0.005, batch=4, note="it is odd")
    jobs = [job(name, 120, source) for name in ("a", "b")]
    jobs.append(job("broken", 3, Waiting(broken="no such file; build it")))
    seen: list[Advance] = []
    notes: list[str] = []
    with said.listening(notes.append):
        found = obtained(jobs, tmp_path / "there", watch=seen.append)
    assert notes == [f"on {platform.node()}: it is odd"]
    for one in jobs[:2]:
        local = InProcess(tmp_path / "here", opened).obtain(one)
        run = found[one.spec.name]
        assert isinstance(run, StoredRun)
        assert run.outputs == local.outputs
        again = InProcess(tmp_path / "there", opened).recall(one)
        assert again is not None
        assert again.outputs == run.outputs
    assert str(found["broken"]) == "no such file; build it"
    assert type(found["broken"]).__name__ == "VariantLoadError"
    assert {(one.variant, one.task_set) for one in seen} == {("3 runs", "2 workers")}
    assert (seen[0].done, seen[0].total) == (0, 243)
    assert (seen[-1].done, seen[-1].total) == (240, 240), "what broke is none of it"
    assert len({one.done % 40 for one in seen}) > 3, "it moves within a shard of 40"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one slow variant, on 60 questions in six shards of half a second."""
    monkeypatch.setattr(shards, "SHARD", 40)
    monkeypatch.setattr(rounds, "TICK", 0.05)
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    made = job(tmp_path.name, 60, Waiting()).task_set.samples
    names = ("id", "input", "target", "capability", "difficulty", "max_tokens")
    rows = [{name: getattr(one, name) for name in names} | {"scorer": "exact"} for one in made]
    testing.write_task_set(tmp_path / "questions", rows)
    log = tmp_path / "log"
    options = f'seconds = 0.05\nbatch = 2\nlog = "{log}"\n'
    (tmp_path / "modellab.toml").write_text(CONFIG + options)
    (tmp_path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (tmp_path / "conftest.py").write_text("from waiting import pytest_modellab_kinds\n")
    return log


def answered(log: Path) -> int:
    """How many samples were answered, on whatever node."""
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def test_it_is_interrupted_and_goes_on_and_runs_anew_once(
    nodes: Any, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    over = threading.Event()

    def interrupt() -> None:
        while not over.wait(0.02):
            if [*project.parent.glob("cache/runs/*/run.json")]:
                os.kill(os.getpid(), signal.SIGINT)
                return

    user = threading.Thread(target=interrupt)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # an xdist worker ignores it
    try:
        user.start()
        code = cli.main(["run", "--on", "ray"])
    finally:
        over.set()
        user.join()
        signal.signal(signal.SIGINT, handler)
    assert code == 130
    assert "interrupted; answers so far are stored" in capsys.readouterr().err
    waited = time.monotonic() + 20
    while ray.available_resources().get("CPU") != 2 and time.monotonic() < waited:
        time.sleep(0.1)
    assert ray.available_resources().get("CPU") == 2, "its workers have ended"
    done = answered(project)
    assert 10 <= done < 60
    time.sleep(0.2)
    assert answered(project) == done

    assert cli.main(["run", "--on", "ray"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("slow on questions: 60 samples in ")
    assert 60 <= answered(project) <= 64, "a batch that was cut off is answered again"

    before = answered(project)
    assert cli.main(["run", "--on", "ray", "--no-cache"]) == 0
    assert answered(project) == before + 60


def test_a_node_that_dies_loses_no_sample(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 80)
    cluster_, (first, _) = nodes
    jobs = [job(name, 100, Waiting(seconds=0.02)) for name in ("c", "d")]

    def kill() -> None:
        time.sleep(1.5)
        cluster_.remove_node(first, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = obtained(jobs, tmp_path)
    finally:
        killer.join()
    for one in jobs:
        run = found[one.spec.name]
        assert isinstance(run, StoredRun), run
        assert [o.text for o in run.outputs] == [f"said {s.input}" for s in one.task_set.samples]


def test_what_fails_does_not_keep_the_others(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "TRIES", 2)  # each takes as long as a worker begins
    sources = {
        "raises": Waiting(fault="raise"),
        "exits": Waiting(fault="exit"),
        "cannot be sent": Waiting(held=threading.Lock()),
        "is well": Waiting(),
    }
    found = obtained([job(name, 3, source) for name, source in sources.items()], tmp_path)
    assert isinstance(found["is well"], StoredRun)
    told = {name: str(one) for name, one in found.items() if isinstance(one, ModellabError)}
    assert told["raises"] == (f"the worker on {platform.node()} raised ZeroDivisionError: by a bug")
    assert told["exits"].startswith("its worker died 2 times: ActorDiedError: ")
    assert told["cannot be sent"].startswith("it cannot be sent to a worker: TypeError: ")
    assert "\n" not in "".join(told.values())


def test_workers_that_cannot_begin_are_given_up(nodes: Any, tmp_path: Path) -> None:
    here = InProcess(tmp_path, opened)
    here.remote = Remote("sftp://user@host/lab")
    here.remote.url = "://"  # as a node that lacks what the session has would refuse it
    on = Cluster("ray", None, Needs())
    with pytest.raises(ModellabError) as raised:
        on.obtain([job("x", 3, Waiting())], here, print, lambda one: one.spec.name, print)
    assert str(raised.value).startswith("no worker can begin; is pytest-modellab ")


def test_a_worker_without_room_is_refused(nodes: Any) -> None:
    with pytest.raises(ConfigError, match="no node has room for a worker that takes 2 CPUs"):
        Cluster("ray", None, Needs(cpus=2))  # two nodes have one core each
    with pytest.raises(ConfigError) as raised:
        Cluster("ray", None, Needs(cpus=64, gpus=1))
    assert str(raised.value) == (
        "--on ray: no node has room for a worker that takes 64 CPUs, 1 GPUs; give --worker-cpus, "
        "--worker-gpus or --worker-memory, or add nodes"
    )
