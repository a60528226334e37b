"""Shards are handed out to the workers of a cluster, until all are there.

Ray tells that a worker or its node died; its shard goes to whoever is free next, and another worker
is begun where there is room. (Ray's own restart would keep the shard waiting for room.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pickle
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from pytest_modellab import errors
from pytest_modellab.errors import ModellabError
from pytest_modellab.lab.worker import Answered, failed
from pytest_modellab.records.progress import Advance, Watch, Work
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.shards import budgets, joined
from pytest_modellab.store import said
from pytest_modellab.store.runs import StoredRun
from pytest_modellab.version import __version__
from pytest_modellab.visible import line, raised

TRIES = 3
"""How often a shard is begun before its variant is given up: it may be what kills the workers."""

LOST = 300.0
"""Seconds for which no worker may be at work, or begin, before that is an error."""

TICK = 1.0
"""Seconds between two looks at how far the workers are."""

SHOWN = 500
"""Characters of an error of Ray's that are shown."""

_NODE_DIED = "its node has died"
"""How Ray says why a worker died that could have begun."""

_UNSENDABLE = (AttributeError, RecursionError, TypeError, ValueError, pickle.PicklingError)
"""What pickling an object raises that cannot be pickled."""

_URL = re.compile(r"https?://\S+")

Told = Callable[[Job, StoredRun | ModellabError], None]
"""Is called with each job that is done, and with what came of it."""


@dataclasses.dataclass(eq=False)
class Pending:
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
class Hired:
    """A worker, what model it has loaded, what it is at, and how far it said it was.

    Attributes:
        number: of what it was given last, by which what it says is known to be of that.
        asked: what it will return when it has said how far it is.
    """

    actor: Any
    family: str = ""
    at: tuple[Pending, int] | None = None
    number: int = 0
    done: int = 0
    asked: Any = None


class Rounds:
    """Gives each worker its next shard until all are there."""

    def __init__(
        self,
        ray: Any,
        hire: Callable[[], Any],
        open_: Sequence[Pending],
        here: InProcess,
        told: Told,
        watch: Watch,
    ) -> None:
        self._ray, self._hire, self._here, self._told, self._watch = ray, hire, here, told, watch
        self._all = [*open_]
        self._open = [*open_]
        self._idle: list[Hired] = []
        self._waited: dict[Any, Hired] = {}  # by what it will return
        self._stillborn = 0  # workers in a row that died before they were ready
        self._numbers = itertools.count(1)
        self._noted: set[tuple[str, str]] = set()
        self._title = "", ""
        self._told_last = -1, -1

    def run(self, workers: int) -> None:
        """Run all with so many workers at once.

        Raises:
            ModellabError: for a minute there was room for no worker at all, none can begin, or the
                cluster is lost.
        """
        self._title = self._named(workers)
        self._tell()
        alive = time.monotonic()
        try:
            for _ in range(workers):
                self._hire_one()
            while any(one.due for one in self._open) or self._at_work():
                done, _ = self._ray.wait([*self._waited], num_returns=1, timeout=TICK)
                if done or self._at_work():
                    alive = time.monotonic()
                elif time.monotonic() - alive > LOST:
                    raise ModellabError(
                        f"no worker of the cluster has begun for {LOST:.0f} s: are its nodes gone, "
                        "or taken by others? What is done is stored; the rest goes on when this is "
                        "run again"
                    )
                for future in done:
                    self._returned(self._waited.pop(future), future)
                self._give()
                self._ask_how_far()
                self._tell()
        except ConnectionError as error:
            raise ModellabError(
                f"the connection to the cluster is lost: {raised(error, SHOWN)} What has arrived "
                "is stored; when this is run again it goes on from there"
            ) from error
        finally:
            for one in {*self._waited.values(), *self._idle}:
                with contextlib.suppress(Exception):  # the cluster may be gone
                    self._ray.kill(one.actor)

    def _named(self, workers: int) -> tuple[str, str]:
        """Say what is run, and on what, in the words of a run's progress."""
        if len(self._all) == 1:
            job = self._all[0].job
            return job.spec.name, job.task_set.name
        return f"{len(self._all)} runs", f"{workers} worker{'s' if workers > 1 else ''}"

    def _tell(self) -> None:
        """Tell how far all are together; what was given up is none of it."""
        arrived = sum(len(run.outputs) for one in self._all for run in one.arrived.values())
        total = sum(len(one.job.task_set.samples) for one in self._all)
        done = min(total, arrived + sum(one.done for one in self._at_work()))
        if total and (done, total) != self._told_last:  # while workers begin no time is estimated
            self._told_last = done, total
            self._watch(Advance(Work.RUN, *self._title, done, total))

    def _ask_how_far(self) -> None:
        """Take in what the workers have said of how far they are, and ask those that have."""
        asked = [one.asked for one in self._at_work() if one.asked is not None]
        said_, _ = self._ray.wait(asked, num_returns=len(asked), timeout=0) if asked else ([], [])
        for one in self._at_work():
            if one.asked in said_:
                number, done = self._told_by(one.asked)
                one.asked = None
                if number == one.number:
                    one.done = done
            if one.asked is None:
                one.asked = one.actor.far.remote()

    def _told_by(self, asked: Any) -> tuple[int, int]:
        try:
            found: tuple[int, int] = self._ray.get(asked)
        except self._ray.exceptions.RayError:  # it died, which its shard will tell
            return 0, 0
        return found

    def _hire_one(self) -> None:
        hired = Hired(self._hire())
        self._waited[hired.actor.ready.remote()] = hired

    def _at_work(self) -> list[Hired]:
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
            hired.number, hired.done = next(self._numbers), 0
            try:
                future = hired.actor.answer.remote(chosen.shards[number], hired.number)
            except _UNSENDABLE as error:
                hired.at = None
                self._idle.append(hired)
                self._arrived(
                    chosen, number, failed(f"it cannot be sent to a worker: {raised(error)}")
                )
            else:
                self._waited[future] = hired

    def _returned(self, hired: Hired, future: Any) -> None:
        at, hired.at = hired.at, None
        try:
            answered = self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:  # it lives, but cannot read the job
            why = failed(f"a worker cannot take it: {raised(error.cause, SHOWN)}")
            answered = Answered(why)
        except self._ray.exceptions.RayError as error:
            why_ = raised(error, SHOWN)
            self._stillborn += at is None and _NODE_DIED not in str(error)
            if self._stillborn == TRIES:
                raise ModellabError(
                    f"no worker can begin; is pytest-modellab {__version__} installed on every "
                    f"node? {why_}"
                ) from error
            self._hire_one()
            if at is not None:
                self._lost(*at, why_)
            return
        self._stillborn = 0
        self._idle.append(hired)
        if at is not None:
            self._say(answered)
            self._arrived(*at, answered.found)

    def _say(self, answered: Answered) -> None:
        """Say the notes of a worker, each once for its node."""
        for note in answered.notes:
            what = answered.node, _URL.sub("", note)  # each worker was after another file there
            if what not in self._noted:
                self._noted.add(what)
                said.say(f"on {answered.node}: {note}")

    def _lost(self, pending: Pending, number: int, why: str) -> None:
        """Put a shard back whose worker has died, unless it seems to be what kills them."""
        if pending.begun.count(number) < TRIES:
            pending.due.insert(0, number)
            of = f"{pending.job.spec.name} on {pending.job.task_set.name}"
            said.say(f"{of}: a worker died, and another goes on ({line(why, 200)})", at_once=True)
        elif pending in self._open:
            self._give_up(pending, ModellabError(f"its worker died {TRIES} times: {why}"))

    def _arrived(self, pending: Pending, number: int, found: StoredRun | tuple[str, str]) -> None:
        if pending not in self._open:
            return  # given up meanwhile
        if not isinstance(found, StoredRun):
            self._give_up(pending, _error(*found))
            return
        due, came = len(pending.shards[number].task_set.samples), len(found.outputs)
        if came != due:
            self._give_up(pending, ModellabError(f"a worker answered {came} samples of {due}"))
            return
        pending.arrived[number] = found
        if len(pending.shards) > 1:  # so that what is done is found after an interruption
            self._here.keep(pending.shards[number], found)
        if len(pending.arrived) == len(pending.shards):
            self._open.remove(pending)
            self._told(pending.job, pending.keep(self._here))

    def _give_up(self, pending: Pending, error: ModellabError) -> None:
        self._open.remove(pending)
        self._all.remove(pending)
        self._told(pending.job, error)


def _error(kind: str, message: str) -> ModellabError:
    """The error that a worker met, of its own class where there is such a one."""
    found = getattr(errors, kind, None)
    if isinstance(found, type) and issubclass(found, ModellabError):
        return found(message)
    return ModellabError(message)
