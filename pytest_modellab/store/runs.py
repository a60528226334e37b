"""The content-addressed store of runs: answered batches as they arrive, then the whole run."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.runs import Audited, Fingerprint, Output, Ranking
from pytest_modellab.records.tasks import EXCLUDE, TaskSet
from pytest_modellab.store import atomic, files, folders
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

    def lock(self) -> BaseFileLock:
        """Return the lock that whoever runs this entry holds."""
        return folders.lock(self.folder)

    def read(self) -> StoredRun | None:
        """Return the finished run, or None; a file that cannot be read counts as none."""
        run = files.read(self._run, _run)
        return run if run is not None and len(run.outputs) == self._size else None

    def write(self, run: StoredRun) -> None:
        """Keep a finished run and drop its batches."""
        data = {
            "outputs": [dataclasses.asdict(output) for output in run.outputs],
            "probes": dict(run.probes),
            "environment": dict(run.environment),
        }
        files.write(self._run, data)
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
        header = canonical_json({"budget": budget, "threads": threads})
        answers: dict[int, Output] = {}
        good = [header]
        with contextlib.suppress(OSError):
            first, *lines = self._answers.read_bytes().split(b"\n")
            if resume and first == header.encode():
                for line in lines:
                    try:
                        text = line.decode()
                        batch = {int(k): _output(v) for k, v in json.loads(text).items()}
                    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                        break  # the line that the kill cut off, perhaps inside a character
                    answers.update(batch)
                    good.append(text)
        atomic.write_text(self._answers, "\n".join(good) + "\n")
        return answers

    def append(self, batch: Mapping[int, Output]) -> None:
        """Keep one answered batch, as one line."""
        line = canonical_json({str(i): dataclasses.asdict(o) for i, o in batch.items()})
        with self._answers.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def abandon(self) -> None:
        """Drop the batches of a plan that ran out of memory."""
        self._answers.unlink(missing_ok=True)


def _run(data: Mapping[str, Any]) -> StoredRun:
    return StoredRun(
        outputs=tuple(_output(output) for output in data["outputs"]),
        probes=dict(data["probes"]),
        environment=dict(data["environment"]),
        stored=True,
    )


def _output(data: Mapping[str, Any]) -> Output:
    fields = {**data, "option_logprobs": tuple(data["option_logprobs"])}
    fields["ranking"] = _ranking(data.get("ranking", ()))
    if (exact := data.get("exact")) is not None:
        fields["exact"] = Audited(_ranking(exact["ranking"]), exact["recall"])
    return Output(**{**fields, "passages": tuple(data.get("passages", ()))})


def _ranking(data: Iterable[tuple[str, float]]) -> Ranking:
    return tuple((id_, score) for id_, score in data)
