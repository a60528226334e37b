"""Workers of one pytest-xdist session that share a GPU hold it one after another.

Side by side they gain nothing, need the memory of all their models and spoil each other's
latencies. So whoever is to put a model on a device takes a lock of that device first and keeps it
as long as a model is there. The lock is the system's: it is free again when its process ends,
however it ends.

Nobody waits for ever. Who waits holds nothing that another could wait for: no other device, and no
lock of the store, which are taken inside (see :meth:`Turns.on`); and who holds a device gives it
back after the last test that needs what is loaded. What follows from neither, as a library that
hangs, is bounded: where nothing of the holder is seen for half an hour, its device is shared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.engines import device as devices
from pytest_modellab.engines.device import Place
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import attempts, said

if TYPE_CHECKING:
    from filelock import BaseFileLock

PATIENCE = 1800.0
"""Seconds without a sign of the holder, who gives one with each batch that is answered."""


PAUSE = 0.1
"""Seconds between two looks at a lock."""


@dataclasses.dataclass
class _Turn:
    """What this process has of a place.

    Attributes:
        place: where.
        lock: its lock, held; None where the place is shared.
        uses: how often it was taken and not yet given back.
    """

    place: Place
    lock: BaseFileLock | None
    uses: int = 0

    @property
    def sign(self) -> Path | None:
        """Where others read who has the place, and see that it is alive."""
        return None if self.lock is None else _sign(self.lock)


class Turns:
    """What this process has of devices.

    Args:
        session: the pytest-xdist session, whose workers take turns; empty outside of one, where
            nobody does.
        worker: this process's name in it.
        free: frees what is loaded and at no work, before another device is waited for.
        patience: see :data:`PATIENCE`.
    """

    def __init__(
        self,
        session: str,
        worker: str,
        free: Callable[[], None] = lambda: None,
        patience: float = PATIENCE,
    ) -> None:
        self._session, self._worker = session, worker
        self._free, self._patience = free, patience
        self._turns: list[_Turn] = []
        self._told = False

    @classmethod
    def of_this_process(cls, free: Callable[[], None]) -> Turns:
        """Return those of a worker, as pytest-xdist tells it by the environment.

        Args:
            free: as of the class.
        """
        session, worker = (os.environ.get(name, "") for name in (attempts.SESSION, devices.WORKER))
        return cls(session, worker, free)

    @contextlib.contextmanager
    def on(self, *names: str) -> Iterator[None]:
        """Hold devices while a model is there; to be asked for before any lock of the store.

        What this process holds already it has at once, and of several GPUs that are all meant by
        ``cuda`` the first that is free. Who works on one device does not wait for another: that
        one is shared.

        Args:
            names: devices as declared; the processor is nobody's.

        Raises:
            VariantLoadError: one is not there.
        """
        with contextlib.ExitStack() as stack:
            others = {name for name in names if name.partition(":")[0] != "cpu"}
            for name in sorted(others) if self._session else ():
                stack.enter_context(self._on(name))
            yield

    @property
    def held(self) -> bool:
        """Whether this process holds a device that others may wait for."""
        return any(turn.lock is not None for turn in self._turns)

    def seen(self) -> None:
        """Give a sign to those who wait."""
        for turn in self._turns:
            if turn.sign is not None:
                with contextlib.suppress(OSError):
                    turn.sign.touch()

    @contextlib.contextmanager
    def _on(self, name: str) -> Iterator[None]:
        places = devices.places(name, self._worker)
        mine = (turn for turn in self._turns if turn.place in places)
        turn = next(mine, None) or self._taken(name, places)
        turn.uses += 1
        devices.use(turn.place)
        try:
            yield
        finally:
            turn.uses -= 1
            if not turn.uses:
                self._give_back(turn)

    def _taken(self, name: str, places: Sequence[Place]) -> _Turn:
        locks = [(place, self._lock(place)) for place in places]
        turn = _first(locks)
        if turn is None and self._turns:
            self._free()
        # a process that a worker has begun has its name, and the worker waits for it
        if turn is None and not self._turns and _holder(locks[0][1]) != self._worker:
            turn = self._waited(name, locks)
        if turn is None:
            said.say(
                f"{self._worker}: {name} is shared with {_holder(locks[0][1])}, so that the memory "
                "of both is needed, and latencies are not to be compared",
                at_once=True,
            )
            turn = _Turn(places[0], None)
        if turn.sign is not None:
            with contextlib.suppress(OSError):
                turn.sign.write_text(self._worker)
        self._turns.append(turn)
        return turn

    def _waited(self, name: str, locks: Sequence[tuple[Place, BaseFileLock]]) -> _Turn | None:
        """Wait until a place is free; None where nothing is seen of who has the first one."""
        if not self._told:
            self._told = True
            said.say(
                f"{self._worker} takes turns on {name} with {_holder(locks[0][1])}, which has it "
                "first: workers that share a GPU load their models one after another",
                at_once=True,
            )
        sign, before = _sign(locks[0][1]), 0.0
        seen = time.monotonic()
        while time.monotonic() - seen < self._patience:
            if turn := _first(locks):
                return turn
            with contextlib.suppress(OSError):
                if (now := sign.stat().st_mtime) != before:
                    before, seen = now, time.monotonic()
            time.sleep(PAUSE)
        return None

    def _give_back(self, turn: _Turn) -> None:
        self._turns.remove(turn)
        if turn.lock is not None:
            with contextlib.suppress(OSError):
                _sign(turn.lock).unlink(missing_ok=True)
            turn.lock.release()

    def _lock(self, place: Place) -> BaseFileLock:
        """The lock of a place, one object in a process, so that it may be taken twice in it."""
        from filelock import FileLock

        name = f"modellab-{digest([self._session, place.name])[:16]}.lock"
        return FileLock(Path(tempfile.gettempdir()) / name, thread_local=False, is_singleton=True)


def _first(locks: Sequence[tuple[Place, BaseFileLock]]) -> _Turn | None:
    """Take the first place that is free."""
    from filelock import Timeout

    for place, lock in locks:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=0)
            return _Turn(place, lock)
    return None


def _sign(lock: BaseFileLock) -> Path:
    """A file beside a lock: one that is locked can't be read everywhere, nor left as it was."""
    return Path(lock.lock_file).with_suffix(".holder")


def _holder(lock: BaseFileLock) -> str:
    """Name the worker that has a lock."""
    try:
        name = _sign(lock).read_text()[:20]
    except (OSError, UnicodeDecodeError):
        name = ""
    return name or "another worker"
