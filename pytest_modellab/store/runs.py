"""The content-addressed store of runs: answered batches as they arrive, then the whole run.

Both files are sealed with the entry's key, which says what was asked of whom: neither damage nor
the run of another entry is believed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.records import reading, windows
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.runs import Fingerprint, Output
from pytest_modellab.records.tasks import EXCLUDE, TaskSet
from pytest_modellab.store import atomic, files, folders, regular, said
from pytest_modellab.store.place import entry
from pytest_modellab.store.results import Result

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from pytest_modellab.store.remote import Remote

LAYOUT = 1


@dataclasses.dataclass(frozen=True)
class StoredRun:
    """A finished run as the store keeps it: what the model said, not yet scored.

    Attributes:
        outputs: one for each sample, in the task set's order.
        probes: measurements of the model.
        environment: where it ran.
        stored: whether it was read from the store, not made just now.
    """

    outputs: tuple[Output, ...]
    probes: Mapping[str, float]
    environment: Mapping[str, Any]
    stored: bool = dataclasses.field(default=False, compare=False)


class RunEntry:
    """One run's place: a folder named by what was run on what.

    Args:
        cache: the store's root.
        task_set: what was asked.
        fingerprint: who answered.
        depth: documents in a ranking, where a corpus is searched.
        remote: the store that is shared, asked where this machine's has nothing; None without one.
    """

    def __init__(
        self,
        cache: Path,
        task_set: TaskSet,
        fingerprint: Fingerprint,
        depth: int = 0,
        remote: Remote | None = None,
    ) -> None:
        asked = [
            [s.id, s.input, s.choices, s.max_tokens, *([s.shown] if s.media else [])]
            for s in task_set.samples
        ]
        searched = []
        if task_set.corpus is not None:
            excluded = [list(s.metadata.get(EXCLUDE, ())) for s in task_set.samples]
            searched = [task_set.corpus.hash, depth, excluded]
        cut = [windows.of(s) for s in task_set.samples if windows.is_document(s)]
        read = [windows.VERSION, cut] if cut else []
        self.folder = entry(cache, "runs", [LAYOUT, asked, fingerprint.key, *searched, *read])
        self.key = self.folder.name
        self._size = len(asked)
        self._result = Result(
            self.folder / "run.json", "runs", self.key, self._finished, remote, _agree
        )
        self._answers = self.folder / "answers.jsonl"
        self._last = b""  # line of the answers, which the next one continues

    def lock(self) -> BaseFileLock:
        """Return the lock that whoever runs this entry holds."""
        return folders.lock(self.folder)

    def read(self, *, lost: str = "") -> StoredRun | None:
        """Return the finished run, or None; a file that is not to be believed counts as none.

        Args:
            lost: what a reader is told then (see :func:`files.read`).
        """
        return self._result.read(lost=lost)

    def _finished(self, data: Mapping[str, Any]) -> StoredRun | None:
        run = reading.build(StoredRun, {**data, "stored": True})
        return run if len(run.outputs) == self._size else None

    def write(self, run: StoredRun, *, anew: bool = False) -> StoredRun:
        """Keep a finished run, share it, and drop its batches.

        Args:
            run: what was answered.
            anew: whether it was run whatever was stored, and is to stand on this machine.

        Returns:
            The run, or the one that another machine has shared before.
        """
        data = {
            "outputs": [_plain(output) for output in run.outputs],
            "probes": dict(run.probes),
            "environment": dict(run.environment),
        }
        theirs = self._result.write(data, anew=anew)
        files.remove(self._answers)
        return run if theirs is None else theirs

    def share(self) -> None:
        """Send a finished run to the store that is shared, where that has none."""
        self._result.share()

    def start(
        self, budget: int, *, threads: int, parts: int = 1, resume: bool
    ) -> dict[int, Output]:
        """Begin, or take up a run that was cut off.

        Args:
            budget: tokens in a batch; answers of another batch plan are not taken up.
            threads: of this process; nor are answers of another number of threads.
            parts: that are computed one after another; nor are answers of another cut.
            resume: False to begin anew.

        Returns:
            The outputs there are, by sample index.
        """
        plan = {"budget": budget, "threads": threads, "parts": parts}
        header = self._last = files.seal(plan, self.key)
        answers: dict[int, Output] = {}
        good = [header]
        for number, line in enumerate(self._lines() if resume else (), 1):
            try:
                if number > 1:
                    answers |= self._batch(line)
                    good.append(line)
                elif files.unseal(line, self.key) and line != header:
                    break
            except (ValueError, LookupError) as error:
                place = f"runs/{self.key}/{self._answers.name}, line {number},"
                said.say(f"samples are run again: {place} {files.reason(error)}")
                break
        if self._answers.is_dir():
            files.remove(self._answers)
        atomic.write_text(self._answers, b"".join(good).decode())
        return answers

    def _lines(self) -> list[bytes]:
        """The batches that were kept, without one that a kill cut off."""
        with contextlib.suppress(OSError):
            lines = regular.read_bytes(self._answers).splitlines(keepends=True)
            return [line for line in lines if line.endswith(b"\n")]
        return []

    def _batch(self, line: bytes) -> dict[int, Output]:
        """Read a line that follows those read so far."""
        data = files.unseal(line, self._chain())
        batch = {
            range(self._size)[int(index)]: reading.build(Output, output, index)
            for index, output in data.items()
        }
        self._last = line
        return batch

    def append(self, batch: Mapping[int, Output]) -> None:
        """Keep one answered batch, as one line; after :meth:`start`."""
        answers = {str(index): _plain(output) for index, output in batch.items()}
        line = files.seal(answers, self._chain())
        with self._answers.open("ab") as file:
            file.write(line)
        self._last = line

    def _chain(self) -> str:
        """What the next line answers for: this entry, and the line before."""
        return digest([self.key, self._last.decode()])

    def abandon(self) -> None:
        """Drop the batches of a plan that ran out of memory."""
        files.remove(self._answers)


def _plain(output: Output) -> Mapping[str, Any]:
    """An output's fields, as ``dataclasses.asdict`` gives them but without a copy of each value."""
    fields = vars(output)
    return fields if output.exact is None else {**fields, "exact": vars(output.exact)}


def _agree(one: StoredRun, other: StoredRun) -> bool:
    """Whether two runs have the same answers, however long they took."""
    return [_said(output) for output in one.outputs] == [_said(output) for output in other.outputs]


def _said(output: Output) -> Output:
    return dataclasses.replace(output, seconds=0.0)
