"""The content-addressed store of runs: answered batches as they arrive, then the whole run.

Both files are sealed with the entry's key, which says what was asked of whom: neither damage nor
the run of another entry is believed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.records.hashing import canonical_json, digest
from pytest_modellab.records.runs import Fingerprint, Output
from pytest_modellab.records.tasks import EXCLUDE, TaskSet
from pytest_modellab.store import atomic, files, folders, outputs
from pytest_modellab.store.place import entry

if TYPE_CHECKING:
    from filelock import BaseFileLock

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
    """

    def __init__(
        self, cache: Path, task_set: TaskSet, fingerprint: Fingerprint, depth: int = 0
    ) -> None:
        asked = [[s.id, s.input, s.choices, s.max_tokens] for s in task_set.samples]
        searched = []
        if task_set.corpus is not None:
            excluded = [list(s.metadata.get(EXCLUDE, ())) for s in task_set.samples]
            searched = [task_set.corpus.hash, depth, excluded]
        self.folder = entry(cache, "runs", [LAYOUT, asked, fingerprint.key, *searched])
        self.key = self.folder.name
        self._size = len(asked)
        self._run = self.folder / "run.json"
        self._answers = self.folder / "answers.jsonl"
        self._chain = ""  # the digest of the last line, which the next one continues

    def lock(self) -> BaseFileLock:
        """Return the lock that whoever runs this entry holds."""
        return folders.lock(self.folder)

    def read(self, *, lost: str = "") -> StoredRun | None:
        """Return the finished run, or None; a file that is not to be believed counts as none.

        Args:
            lost: what a reader is told then (see :func:`files.read`).
        """
        return files.read(self._run, self._finished, of=self.key, lost=lost)

    def _finished(self, data: Mapping[str, Any]) -> StoredRun | None:
        run = StoredRun(
            outputs=tuple(outputs.from_data(output) for output in data["outputs"]),
            probes={str(name): outputs.number(value) for name, value in data["probes"].items()},
            environment=dict(data["environment"]),
            stored=True,
        )
        return run if len(run.outputs) == self._size else None

    def write(self, run: StoredRun) -> None:
        """Keep a finished run and drop its batches."""
        data = {
            "outputs": [outputs.to_data(output) for output in run.outputs],
            "probes": dict(run.probes),
            "environment": dict(run.environment),
        }
        files.write(self._run, data, of=self.key)
        self._answers.unlink(missing_ok=True)

    def start(self, budget: int, *, threads: int, resume: bool) -> dict[int, Output]:
        """Begin, or take up a run that was cut off.

        Args:
            budget: tokens in a batch; answers of another batch plan are not taken up.
            threads: of this process; nor are answers of another number of threads.
            resume: False to begin anew.

        Returns:
            The outputs there are, by sample index.
        """
        header = canonical_json({"budget": budget, "key": self.key, "threads": threads})
        answers: dict[int, Output] = {}
        good = [header]
        self._chain = digest(header)
        with contextlib.suppress(OSError):
            first, *lines = self._answers.read_bytes().split(b"\n")
            if resume and first == header.encode():
                *whole, _ = lines or [b""]  # a line that a kill cut off has no end
                for number, line in enumerate(whole, 2):
                    try:
                        answers |= self._batch(json.loads(line.decode()))
                    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                        files.LOG.warning(
                            "samples are run again: runs/%s/%s:%d is damaged: its digest does not "
                            "match what it holds",
                            *(self.key, self._answers.name, number),
                        )
                        break
                    good.append(line.decode())
        atomic.write_text(self._answers, "\n".join(good) + "\n")
        return answers

    def _batch(self, data: Mapping[str, Any]) -> dict[int, Output]:
        """Read a line that follows those read so far."""
        chain = digest([self._chain, data["answers"]])
        if data[files.SEAL] != chain:
            raise ValueError("not what was written")
        batch = {int(k): outputs.from_data(v) for k, v in data["answers"].items()}
        self._chain = chain
        return batch

    def append(self, batch: Mapping[int, Output]) -> None:
        """Keep one answered batch, as one line; after :meth:`start`."""
        answers = {str(i): outputs.to_data(o) for i, o in batch.items()}
        self._chain = digest([self._chain, answers])
        line = canonical_json({"answers": answers, files.SEAL: self._chain})
        with self._answers.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def abandon(self) -> None:
        """Drop the batches of a plan that ran out of memory."""
        self._answers.unlink(missing_ok=True)
