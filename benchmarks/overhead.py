"""What does a run cost beside the model? `python -m benchmarks.overhead --samples 2000`.

An engine answers at once, in batches of 250. A run is everything else that a session does with a
task set: requests, records kept batch by batch, scores, the store. Then the stored run is read back
and scored. Processor time of this process, medians of 7, with the range.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab import scorers
from pytest_modellab.engines.interface import Done, GenerationRequest, ScoringRequest
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Fingerprint, Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job, needed

BATCH, ROUNDS = 250, 7


class Instant:
    """Answers at once."""

    def open(self, cache: Path) -> Instant:
        return self

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return messages[-1]["content"]

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        _handed(
            len(requests),
            lambda i: Output("", (-1 - i / 7, -2 / 3, -3.1, -i / 9), 104, 20, 1 / (i + 9)),
            done,
        )

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        _handed(
            len(requests), lambda i: Output(f"the answer is {i}", (), 104, 20, 1 / (i + 9)), done
        )

    def parameter_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing is held."""


def _handed(count: int, output: Callable[[int], Output], done: Done) -> None:
    for start in range(0, count, BATCH):
        done({i: output(i) for i in range(start, min(start + BATCH, count))})


class Plain:
    """The input alone."""

    hash = "plain"

    def messages(self, input_: str, passages: Sequence[str] = (), /) -> list[dict[str, str]]:
        return [{"role": "user", "content": input_}]


def _tasks(count: int, *, choice: bool) -> TaskSet:
    def sample(i: int) -> Sample:
        text = f"{i} " + "word " * 100
        if choice:
            options = (f"a{i}", f"b{i}", f"c{i}", f"d{i}")
            return Sample(f"s{i}", text, i % 4, "choice", f"c{i % 11}", "easy", choices=options)
        return Sample(f"s{i}", text, str(i), "exact", f"c{i % 11}", "easy", max_tokens=20)

    return TaskSet(name="many", version="1", samples=tuple(sample(i) for i in range(count)))


def _measured(tasks: TaskSet, folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of each run, and of each that the store has."""
    judges = {s.scorer: scorers.SCORERS[s.scorer] for s in tasks.samples}
    made, stored = [], []
    for number in range(ROUNDS + 1):
        job = Job(
            spec=VariantSpec("instant", "prompted", "prompting"),
            fingerprint=Fingerprint("w", "t", str(number), {"device": "cpu"}),
            source=Instant(),
            prompt=Plain(),
            task_set=tasks,
            needs={name: needed(judge) for name, judge in judges.items()},
        )
        for found in (made, stored):
            executor = InProcess(folder, lambda source: source.open(folder))
            start = time.process_time()
            runner.run(job, judges, executor)
            found.append(1000 * (time.process_time() - start))
    return made[1:], stored[1:]  # the first imports


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()

    def told(found: Sequence[float]) -> str:
        middle = statistics.median(found)
        each: Any = 1000 * middle / options.samples
        return f"{middle:.0f} ms ({min(found):.0f} to {max(found):.0f}), {each:.0f} us a sample"

    for words, choice in (("four options each", True), ("a reply each", False)):
        with tempfile.TemporaryDirectory() as folder:
            made, stored = _measured(_tasks(options.samples, choice=choice), Path(folder))
        print(
            f"{options.samples} samples, {words}: run {told(made)}; from the store {told(stored)}"
        )


if __name__ == "__main__":
    main()
