"""A real Ray cluster of two nodes on this machine: what it obtains is what this process obtains."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import Waiting, job

from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.lab.cluster import Cluster, Needs
from pytest_modellab.runs import shards
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store.remote import Remote
from pytest_modellab.store.runs import StoredRun

ray = pytest.importorskip("ray", reason="extra [ray]")

SHARED = str(Path(__file__).parents[1] / "shared")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A head without cores, and two nodes of one core each."""
    from ray.cluster_utils import Cluster as Nodes

    found: Any = Nodes(initialize_head=True, head_node_args={"num_cpus": 0})
    two = [found.add_node(num_cpus=1) for _ in range(2)]
    ray.init(
        found.address,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": SHARED}},
    )
    found.wait_for_nodes()
    yield found, two
    ray.shutdown()
    found.shutdown()


def opened(source: Source) -> Engine:
    return source.open(Path())


def obtained(
    jobs: list[Job], folder: Path, workers: int | None = None
) -> dict[str, StoredRun | ModellabError]:
    found: dict[str, StoredRun | ModellabError] = {}
    here = InProcess(folder, opened)
    on = Cluster("ray", workers, Needs())
    on.obtain(
        jobs,
        here,
        lambda one, run: found.__setitem__(one.spec.name, run),
        lambda one: one.spec.name,
        lambda _: None,
    )
    on.close()
    return found


def test_it_obtains_what_this_process_does_and_finds_it_again(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 50)
    jobs = [job(name, 120, Waiting()) for name in ("a", "b")]
    jobs.append(job("broken", 3, Waiting(broken="no such file; build it")))
    found = obtained(jobs, tmp_path / "there")
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


def test_a_node_that_dies_loses_no_sample(
    nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD", 20)
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


def test_what_fails_does_not_keep_the_others(nodes: Any, tmp_path: Path) -> None:
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
    assert told["exits"].startswith("its worker died 3 times: ActorDiedError: ")
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
