"""Variants × shards of samples on a Ray cluster: https://docs.ray.io.

A worker is an actor that holds at most one loaded model, as this process does. A shard is a job of
its own, whose batches do not depend on how many workers there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.lab.rounds import SHOWN, Pending, Rounds, Told
from pytest_modellab.lab.worker import TELLING, Worker
from pytest_modellab.records.progress import Watch
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.shards import shards
from pytest_modellab.version import __version__
from pytest_modellab.visible import line, raised

CONNECT = 10.0
"""Seconds for which a cluster's port is asked."""


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a worker takes of a node.

    Attributes:
        cpus: cores.
        gpus: accelerators.
        memory: bytes.
    """

    cpus: float = 1.0
    gpus: float = 0.0
    memory: float = 0.0


class Cluster:
    """Obtains runs on the nodes of a Ray cluster.

    Args:
        address: of the cluster: ``ray`` for the one that runs here, else one of this machine alone;
            ``ray://HOST:PORT`` for another.
        workers: most of them at once; None for as many as there is room for.
        needs: what each takes.

    Raises:
        ConfigError: Ray is missing, or the cluster cannot be reached or has no room for a worker.
    """

    def __init__(self, address: str, workers: int | None, needs: Needs) -> None:
        self._ray = _ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            _join(self._ray, address)
        room = _room(self._ray.nodes(), needs)
        if room < 1:
            self.close()
            raise ConfigError(
                f"--on {address}: no node has room for a worker that takes {_said(needs)}; give "
                "--worker-cpus, --worker-gpus or --worker-memory, or add nodes"
            )
        self.workers = room if workers is None else min(room, workers)
        self._needs = needs

    def close(self) -> None:
        """Leave the cluster; one that was begun here ends."""
        if self._own:
            self._ray.shutdown()

    def obtain(
        self,
        jobs: Sequence[Job],
        here: InProcess,
        told: Told,
        family: Callable[[Job], str],
        watch: Watch,
    ) -> None:
        """Obtain the runs of jobs, and put each into the store of this machine.

        Args:
            jobs: in the order in which they should begin.
            here: knows the store.
            told: called with each job that is done.
            family: what jobs share a loaded model by; a worker goes on with its own.
            watch: called with how far all of them are together, about once a second.
        """
        open_: list[Pending] = []
        for job in jobs:
            if job.reuse and (stored := here.recall(job)) is not None:
                told(job, stored)
                continue
            parts = shards(job)
            one = Pending(job, parts, family(job))
            for number, part in enumerate(parts):
                found = here.recall(part) if job.reuse and len(parts) > 1 else None
                if found is None:
                    one.due.append(number)
                else:
                    one.arrived[number] = found
            open_.append(one)
        for one in [one for one in open_ if not one.due]:
            open_.remove(one)
            told(one.job, one.keep(here))
        if not open_:
            return
        count = min(self.workers, sum(len(one.due) for one in open_))
        remote = None if here.remote is None else here.remote.url
        rounds = Rounds(self._ray, lambda: self._worker(remote), open_, here, told, watch)
        rounds.run(count)

    def _worker(self, remote: str | None) -> Any:
        needs = self._needs
        actor = self._ray.remote(concurrency_groups={TELLING: 1})(Worker).options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None
        )
        try:
            return actor.remote(__version__, remote)
        except ImportError as error:  # of a head that ray:// reaches
            raise ModellabError(
                f"the cluster's head cannot import what workers are made of: {raised(error)}; "
                f"install pytest-modellab {__version__} on every node, as here"
            ) from error


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # no cluster of its own where one is lost
    try:
        # it hands the streams that it finds to colorama, which asks them at the very end
        with contextlib.redirect_stdout(sys.__stdout__), contextlib.redirect_stderr(sys.__stderr__):
            import ray
    except ImportError as error:
        raise ConfigError("--on ray: needs Ray: pip install 'pytest-modellab[ray]'") from error
    return ray


def _join(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    named = os.environ.get("RAY_ADDRESS", "") if address == "ray" else ""
    shown = f"RAY_ADDRESS={line(named, 200)}" if named else f"--on {line(address, 200)}"
    try:
        _check_listens(named)  # Ray itself asks for minutes, and says nothing that is of use
        if address.startswith("ray://"):
            ray.init(address, **quiet)
            return
        # that of RAY_ADDRESS or `ray start`; never one that another process has begun for itself,
        # which ends with that process ("auto" would take it)
        ray.init(include_dashboard=False, **quiet)
    except Exception as error:
        raise ConfigError(
            f"{shown}: no cluster answers there, or Ray cannot begin one: "
            f"{raised(error, SHOWN)}{_hint(address)}"
        ) from error


def _check_listens(address: str) -> None:
    """Raise OSError where nothing listens at ``HOST:PORT``; other addresses are Ray's to judge."""
    host, _, port = address.rpartition(":")
    if host and "/" not in host and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT):
            pass


def _hint(address: str) -> str:
    """Say what to check where a cluster does not answer that somebody has named."""
    client = address.startswith("ray://")
    if not client and not os.environ.get("RAY_ADDRESS"):
        return ""
    port = " and the port is that of Ray's client server, 10001 where it is not told" * client
    mode = os.environ.get("RAY_AUTH_MODE")
    token = "is set" if mode == "token" else f"is {line(mode, 50)}" if mode else "is not set"
    return (
        f"; check that the host is reached from here{port}, that Ray has the same version there, "
        "and tokens: a cluster that was begun with one answers only where RAY_AUTH_MODE=token is "
        f"set here too (it {token}) and RAY_AUTH_TOKEN or ~/.ray/auth_token has the token"
    )


def _room(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> int:
    """How many workers the nodes have room for; what one takes must lie on one node."""
    asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
    return sum(
        # Ray counts in ten-thousandths; in binary 0.1 is a little more, and nine of it fill one
        int(min(one["Resources"].get(name, 0.0) / n + 1e-6 for name, n in asked.items() if n))
        for one in nodes
        if one["Alive"]
    )


def _said(needs: Needs) -> str:
    parts = [f"{needs.cpus:g} CPUs", f"{needs.gpus:g} GPUs", f"{needs.memory / 1e9:.3g} GB"]
    return ", ".join(part for part in parts if not part.startswith("0 "))
