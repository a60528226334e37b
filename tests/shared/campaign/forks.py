"""A process that imports once and forks for each trial: a trial takes milliseconds, and its own
death, hunger and slowness hurt nobody else."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal

SECONDS = 5
"""Of processor time: more is a hang, on a machine that is busy with other things too."""


PATIENCE = 60
"""Seconds on the clock, for what waits without working."""


MEMORY = 1 << 30
"""Bytes."""


SHOWN = 6000
"""Characters of a traceback that a failure shows."""


How = Literal["returned", "refused", "traceback", "killed", "hang", "memory", "died"]


@dataclasses.dataclass(frozen=True)
class Trial:
    """What a fork does.

    Attributes:
        work: ``module:function``.
        arguments: its own; they pickle, and so does what it returns.
        kill_after: seconds until the fork is killed, or None.
        kill_at: which change to the files in ``watched`` kills the fork, from 1; or None.
        watched: the folder.
        seconds: of processor time.
        patience: seconds on the clock.
    """

    work: str
    arguments: tuple[Any, ...] = ()
    kill_after: float | None = None
    kill_at: int | None = None
    watched: Path | None = None
    seconds: int = SECONDS
    patience: float = PATIENCE


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a fork ended.

    Attributes:
        how: ``refused`` is one of the project's own errors.
        value: what was returned.
        text: the message of an error, or what else there is to say.
        changes: to watched files, counted.
        seconds: on the clock.
        peak: bytes of memory.
    """

    how: How
    value: Any = None
    text: str = ""
    changes: int = 0
    seconds: float = 0.0
    peak: int = 0

    @property
    def survived(self) -> bool:
        """Whether the package kept its word: an answer, or an error of its own."""
        return self.how in ("returned", "refused")


class Forks:
    """The process that forks; one for all trials.

    Args:
        modules: what it imports first, without which it can do: some extras may be missing.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        places = [str(Path(__file__).parents[1]), *(p for p in sys.path if p)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places), **_QUIET},
        )

    def run(self, trial: Trial) -> Ended:
        """Do one trial."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(trial, self._process.stdin)
        self._process.stdin.flush()
        ended: Ended = pickle.load(self._process.stdout)  # noqa: S301 (of our own process)
        return ended

    def close(self) -> None:
        """Let the process end."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


_MAIN = "import sys; from campaign import forks; forks.main(sys.argv[1:])"

_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
}


def main(modules: Sequence[str]) -> None:
    """Fork for each trial that comes in."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()
    with contextlib.suppress(EOFError):
        while True:
            trial: Trial = pickle.load(sys.stdin.buffer)  # noqa: S301 (of our own tests)
            pickle.dump(_ended(trial), answers)
            answers.flush()


def _ended(trial: Trial) -> Ended:
    with tempfile.TemporaryFile() as said:
        reader, writer = os.pipe()
        begun = time.monotonic()
        child = os.fork()
        if not child:
            os.close(reader)
            _work(trial, writer, said)
        os.close(writer)
        content, killed = _wait(trial, reader, child)
        _, status, used = os.wait4(child, 0)
        seconds = time.monotonic() - begun
        if content:
            ended: Ended = pickle.loads(content)  # noqa: S301 (of our own child)
        elif killed is not None:
            ended = killed
        elif os.waitstatus_to_exitcode(status) == -signal.SIGKILL and trial.kill_at is not None:
            ended = Ended("killed")
        elif os.waitstatus_to_exitcode(status) == -signal.SIGXCPU:
            ended = Ended("hang", text=f"more than {trial.seconds} s of processor time")
        else:
            said.seek(max(0, said.seek(0, os.SEEK_END) - SHOWN))
            text = said.read().decode("utf-8", "replace")
            ended = Ended("died", text=f"exit code {os.waitstatus_to_exitcode(status)}: {text}")
    ended = dataclasses.replace(ended, seconds=seconds, peak=used.ru_maxrss * 1024)
    if ended.survived and ended.peak > MEMORY:
        return dataclasses.replace(ended, how="memory", text=f"{ended.peak / 1e9:.1f} GB")
    return ended


def _wait(trial: Trial, reader: int, child: int) -> tuple[bytes, Ended | None]:
    """Read what the child sends until it ends, or kill it; it is waited for later, so that its
    number is still its own."""
    limit = trial.patience if trial.kill_after is None else trial.kill_after
    end, content = time.monotonic() + limit, b""
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while select.select([pipe], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (piece := pipe.read(1 << 16)):
                return content, None
            content += piece
        os.kill(child, signal.SIGKILL)
    if trial.kill_after is not None:
        return b"", Ended("killed")
    return b"", Ended("hang", text=f"more than {trial.patience:g} s")


def _work(trial: Trial, writer: int, said: IO[bytes]) -> None:
    """What the child does; it never returns."""
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    changes = _Changes(trial)
    _limit(trial.seconds)
    try:
        from pytest_modellab.errors import BaselineMissing, ModellabError, RegressionDetected

        module, _, name = trial.work.partition(":")
        work = getattr(importlib.import_module(module), name)
        if trial.watched is not None:
            sys.addaudithook(changes)
        try:
            ended = Ended("returned", work(*trial.arguments))
        except (BaselineMissing, ModellabError, RegressionDetected) as error:
            ended = Ended("refused", text=f"{type(error).__name__}: {error}")
    except MemoryError:
        ended = Ended("memory", text=traceback.format_exc()[-SHOWN:])
    except BaseException:  # noqa: BLE001 (told by its traceback)
        ended = Ended("traceback", text=traceback.format_exc()[-SHOWN:])
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    with os.fdopen(writer, "wb") as pipe:
        pickle.dump(dataclasses.replace(ended, changes=changes.count), pipe)
    os._exit(0)


def _limit(seconds: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    more_time(seconds)


def more_time(seconds: int = SECONDS) -> None:
    """Begin to count processor time anew: many short things are no hang."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds + 1, resource.RLIM_INFINITY))


class _Changes:
    """Counts what changes the watched folder, and kills its own process at one of them."""

    def __init__(self, trial: Trial) -> None:
        self.count = 0
        self._at, self._watched = trial.kill_at, str(trial.watched)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            path = arguments[0]
        else:
            return
        if isinstance(path, (str, Path)) and str(path).startswith(self._watched):
            self.count += 1
            if self.count == self._at:
                os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def opened(modules: Sequence[str]) -> Iterator[Forks]:
    """The process, as long as it is needed."""
    forks = Forks(modules)
    try:
        yield forks
    finally:
        forks.close()
