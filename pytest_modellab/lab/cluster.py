"""Variants × shards of samples on a Ray cluster: https://docs.ray.io.

A worker is an actor that holds at most one loaded model, as this process does. A shard is a job of
its own, whose batches do not depend on how many workers there are. Ray tells that a worker or
its node died; its shard goes to whoever is free next, and another worker is begun where there is
room. (Ray's own restart would keep the shard waiting for room.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pickle
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab import errors
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.records.progress import Watch
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.shards import budgets, joined, shards
from pytest_modellab.store import said
from pytest_modellab.store.remote import Remote
from pytest_modellab.store.runs import StoredRun
from pytest_modellab.version import __version__
from pytest_modellab.visible import line, raised

TRIES = 3
"""How often a shard is begun before its variant is given up: it may be what kills the workers."""

LOST = 60.0
"""Seconds for which a cluster may have no room for any worker before that is an error."""

_SHOWN = 500
"""Characters of an error of Ray's that are shown."""

_UNSENDABLE = (AttributeError, RecursionError, TypeError, ValueError, pickle.PicklingError)
"""What pickling an object raises that cannot be pickled."""


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


Told = Callable[[Job, StoredRun | ModellabError], None]
"""Is called with each job that is done, and with what came of it."""


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
            watch: called as shards arrive.
        """
        open_: list[_Pending] = []
        for job in jobs:
            if job.reuse and (stored := here.recall(job)) is not None:
                told(job, stored)
                continue
            parts = shards(job)
            one = _Pending(job, parts, family(job))
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
        rounds = _Rounds(self._ray, lambda: self._worker(remote), open_, here, told, watch)
        rounds.run(count)

    def _worker(self, remote: str | None) -> Any:
        needs = self._needs
        actor = self._ray.remote(Worker).options(
            num_cpus=needs.cpus, num_gpus=needs.gpus, memory=needs.memory or None
        )
        return actor.remote(__version__, remote)


class Worker:
    """Answers shards, in a process of some node.

    Args:
        version: of this package, where the session is.
        remote: address of the store that is shared; None without one.
    """

    def __init__(self, version: str, remote: str | None) -> None:
        from pytest_modellab.store.place import default_folder

        self._version = version
        cache = default_folder()
        loaded = Loaded(cache)
        self._here = InProcess(
            cache,
            loaded.engine,
            again=loaded.again,
            beside=loaded.beside,
            remote=None if remote is None else Remote(remote),
        )
        self._sources: dict[str, Any] = {}

    def ready(self) -> None:
        """Return once there is room for this worker, and it has begun."""

    def answer(self, job: Job) -> StoredRun | tuple[str, str]:
        """Return a shard's run, or the name and message of the error that it ended with."""
        if self._version != __version__:
            return "ConfigError", (
                f"this node has pytest-modellab {__version__}, the session {self._version}: "
                "install the same on all"
            )
        # one object a source: by it a model that is loaded is known again
        source = self._sources.setdefault(job.fingerprint.key, job.source)
        try:
            return self._here.obtain(dataclasses.replace(job, source=source))
        except ModellabError as error:
            return type(error).__name__, str(error)
        except Exception as error:  # noqa: BLE001 -- the others run on
            return _failed(f"the worker on {platform.node()} raised {raised(error)}")


@dataclasses.dataclass(eq=False)
class _Pending:
    """A job, its shards, and what has arrived of them."""

    job: Job
    shards: Sequence[Job]
    family: str = ""
    due: list[int] = dataclasses.field(default_factory=list)
    begun: list[int] = dataclasses.field(default_factory=list)
    arrived: dict[int, StoredRun] = dataclasses.field(default_factory=dict)

    def keep(self, here: InProcess) -> StoredRun:
        """Put the run into the store that the shards, which are all there, make."""
        runs = [self.arrived[k] for k in range(len(self.shards))]
        if len(held := budgets(runs)) > 1:
            said.say(
                f"{self.job.spec.name} on {self.job.task_set.name}: its shards had batches of "
                f"{held[0]} to {held[-1]} tokens, as memory held them, so that last digits may "
                f"differ from a run here; --token-budget {held[0]} --no-cache gives all the same"
            )
        return here.keep(self.job, joined(runs))


@dataclasses.dataclass(eq=False)
class _Hired:
    """A worker, what model it has loaded, and what it is at."""

    actor: Any
    family: str = ""
    at: tuple[_Pending, int] | None = None


class _Rounds:
    """Gives each worker its next shard until all are there."""

    def __init__(
        self,
        ray: Any,
        hire: Callable[[], Any],
        open_: Sequence[_Pending],
        here: InProcess,
        told: Told,
        watch: Watch,
    ) -> None:
        self._ray, self._hire, self._here, self._told, self._watch = ray, hire, here, told, watch
        self._open = list(open_)
        self._idle: list[_Hired] = []
        self._waited: dict[Any, _Hired] = {}  # by what it will return
        self._stillborn = 0  # workers in a row that died before they were ready

    def run(self, workers: int) -> None:
        """Run all with so many workers at once.

        Raises:
            ModellabError: for a minute there was room for no worker at all, or none can begin.
        """
        try:
            for _ in range(workers):
                self._hire_one()
            while any(one.due for one in self._open) or self._at_work():
                done, _ = self._ray.wait([*self._waited], num_returns=1, timeout=LOST)
                if not done and not self._at_work():
                    raise ModellabError(
                        f"the cluster has had room for no worker for {LOST:.0f} s: are its nodes "
                        "gone? What is done is stored; the rest goes on when this is run again"
                    )
                for future in done:
                    self._returned(self._waited.pop(future), future)
                self._give()
        finally:
            for one in {*self._waited.values(), *self._idle}:
                self._ray.kill(one.actor)

    def _hire_one(self) -> None:
        hired = _Hired(self._hire())
        self._waited[hired.actor.ready.remote()] = hired

    def _at_work(self) -> list[_Hired]:
        return [one for one in self._waited.values() if one.at is not None]

    def _give(self) -> None:
        """Give idle workers something to do."""
        while self._idle and (due := [one for one in self._open if one.due]):
            hired = self._idle.pop(0)
            held = {one.family for one in self._at_work()}
            chosen = min(
                due,
                key=lambda one: (
                    one.family != hired.family,  # its own first
                    one.family in held,  # then what nobody has loaded
                ),
            )
            number = chosen.due.pop(0)
            chosen.begun.append(number)
            hired.at, hired.family = (chosen, number), chosen.family
            try:
                future = hired.actor.answer.remote(chosen.shards[number])
            except _UNSENDABLE as error:
                hired.at = None
                self._idle.append(hired)
                self._arrived(
                    chosen, number, _failed(f"it cannot be sent to a worker: {raised(error)}")
                )
            else:
                self._waited[future] = hired

    def _returned(self, hired: _Hired, future: Any) -> None:
        at, hired.at = hired.at, None
        try:
            found = self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:  # it lives, but cannot read the job
            found = _failed(f"a worker cannot take it: {raised(error.cause, _SHOWN)}")
        except self._ray.exceptions.RayError as error:
            why = raised(error, _SHOWN)
            self._stillborn += at is None
            if self._stillborn == TRIES:
                raise ModellabError(
                    f"no worker can begin; is pytest-modellab {__version__} installed on every "
                    f"node? {why}"
                ) from error
            self._hire_one()
            if at is not None:
                self._lost(*at, why)
            return
        self._stillborn = 0
        self._idle.append(hired)
        if at is not None:
            self._arrived(*at, found)

    def _lost(self, pending: _Pending, number: int, why: str) -> None:
        """Put a shard back whose worker has died, unless it seems to be what kills them."""
        if pending.begun.count(number) < TRIES:
            pending.due.insert(0, number)
        elif pending in self._open:
            self._give_up(pending, ModellabError(f"its worker died {TRIES} times: {why}"))

    def _arrived(self, pending: _Pending, number: int, found: StoredRun | tuple[str, str]) -> None:
        if pending not in self._open:
            return  # given up meanwhile
        if not isinstance(found, StoredRun):
            self._give_up(pending, _error(*found))
            return
        pending.arrived[number] = found
        if len(pending.shards) > 1:  # so that what is done is found after an interruption
            self._here.keep(pending.shards[number], found)
        self._watch(pending.job.advance(sum(len(one.outputs) for one in pending.arrived.values())))
        if len(pending.arrived) == len(pending.shards):
            self._open.remove(pending)
            self._told(pending.job, pending.keep(self._here))

    def _give_up(self, pending: _Pending, error: ModellabError) -> None:
        self._open.remove(pending)
        self._told(pending.job, error)


def _failed(why: str) -> tuple[str, str]:
    return ModellabError.__name__, why


def _error(kind: str, message: str) -> ModellabError:
    """The error that a worker met, of its own class where there is such a one."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, ModellabError):
        return found(message)
    return ModellabError(message)


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        # it hands the streams that it finds to colorama, which asks them at the very end
        with contextlib.redirect_stdout(sys.__stdout__), contextlib.redirect_stderr(sys.__stderr__):
            import ray
    except ImportError as error:
        raise ConfigError("--on ray: needs Ray: pip install 'pytest-modellab[ray]'") from error
    return ray


def _join(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        if address.startswith("ray://"):
            ray.init(address, **quiet)
            return
        with contextlib.suppress(ConnectionError):
            ray.init("auto", **quiet)
            return
        ray.init(include_dashboard=False, **quiet)
    except Exception as error:
        raise ConfigError(
            f"--on {line(address, 200)}: no cluster answers there, or Ray cannot begin one: "
            f"{raised(error, _SHOWN)}"
        ) from error


def _room(nodes: Iterable[Mapping[str, Any]], needs: Needs) -> int:
    """How many workers the nodes have room for; what one takes must lie on one node."""
    asked = {"CPU": needs.cpus, "GPU": needs.gpus, "memory": needs.memory}
    return sum(
        int(min(one["Resources"].get(name, 0.0) // n for name, n in asked.items() if n))
        for one in nodes
        if one["Alive"]
    )


def _said(needs: Needs) -> str:
    parts = [f"{needs.cpus:g} CPUs", f"{needs.gpus:g} GPUs", f"{needs.memory / 1e9:g} GB"]
    return ", ".join(part for part in parts if not part.startswith("0 "))
