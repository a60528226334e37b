"""A worker of a cluster: answers shards, holding at most one loaded model as this process does."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from typing import Any, TypeVar

from pytest_modellab.errors import ModellabError
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.records.progress import Advance
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store import said
from pytest_modellab.store.remote import Remote
from pytest_modellab.store.runs import StoredRun
from pytest_modellab.version import __version__
from pytest_modellab.visible import raised

NOTES = 20
"""Of so many notes of a shard its worker tells."""

TELLING = "telling"
"""The thread of a worker that says how far it is; the other one is at a shard."""


_Method = TypeVar("_Method", bound=Callable[..., Any])


def _telling(method: _Method) -> _Method:
    """As ``ray.method(concurrency_group=…)`` does, for who has no Ray.

    Where a method is called Ray's client takes no group, and the class is imported by its name.
    """
    vars(method)["__ray_concurrency_group__"] = TELLING
    return method


@dataclasses.dataclass(frozen=True)
class Answered:
    """What a worker returns.

    Attributes:
        found: the shard's run, or the name and message of the error that it ended with.
        notes: what its store and its models had to say.
        node: the name of its machine.
    """

    found: StoredRun | tuple[str, str]
    notes: tuple[str, ...] = ()
    node: str = ""


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
        self._far = (0, 0)

    def ready(self) -> None:
        """Return once there is room for this worker, and it has begun."""

    @_telling
    def far(self) -> tuple[int, int]:
        """Return the number of the shard that it is at, and how many samples it has answered."""
        return self._far

    def answer(self, job: Job, number: int) -> Answered:
        """Obtain a shard's run; the number is by what it tells how far it is."""
        self._far = (number, 0)
        before = 0 if job.part is None else job.part.before

        def watch(advance: Advance) -> None:
            if (advance.work, advance.variant) == (job.work, job.spec.name):  # not its search's
                self._far = (number, advance.done - before)

        notes: list[str] = []
        self._here.watch = watch
        with said.listening(notes.append):
            found = self._answer(job)
        more = [f"and {len(notes) - NOTES} more notes"] if len(notes) > NOTES else []
        return Answered(found, (*notes[:NOTES], *more), platform.node())

    def _answer(self, job: Job) -> StoredRun | tuple[str, str]:
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
            return failed(f"the worker on {platform.node()} raised {raised(error)}")


def failed(why: str) -> tuple[str, str]:
    """Return what a worker returns of an error that is of no class of its own."""
    return ModellabError.__name__, why
