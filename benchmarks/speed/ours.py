"""This project, as a session drives it: a task set, a variant, a record."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.lab.jobs import job_of, scorers_of
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.registry import BUILT_IN
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess


class Project:
    """A folder with `modellab.toml`, and how long parts of a session take there.

    Runs are made anew whatever its store has; what is loaded stays loaded, and its loading is
    timed apart.
    """

    def __init__(self, toml: Path) -> None:
        self.toml = toml
        self.loading = 0.0
        self._store = toml.parent / "store"
        self._home = self._lab()
        self._names: set[str] = set()

    def release(self) -> None:
        """Free what is loaded."""
        self._home.release()

    def record(self, name: str) -> tuple[RunRecord, float]:
        """Run a variant on its task set; return the record and the seconds that it took."""
        engine = self._engine(name)
        lab = self._lab(InProcess(self._store, lambda _: engine))
        variant, task_set = lab.asked(name, name)
        begun = time.perf_counter()
        record = lab.record(variant, task_set)
        return record, time.perf_counter() - begun

    def profiled(self, name: str, watch: Callable[[Callable[[], Any]], Any]) -> Any:
        """Run a variant once to warm up, then again under a profiler's eyes."""
        self.record(name)
        return watch(lambda: self.record(name))

    def requests(self, name: str) -> list[ScoringRequest]:
        """What the engine is asked: rendered contexts, with options where there are any."""
        variant, task_set = self._home.asked(name, name)
        engine, prompt = self._engine(name), variant.plan.prompt
        return [
            ScoringRequest(engine.render(prompt.messages(s.input)), tuple(s.choices))
            for s in task_set.samples
        ]

    def engine_alone(
        self, name: str, requests: Sequence[ScoringRequest], budget: int, rounds: int
    ) -> list[float]:
        """Seconds of the engine without samples, records and store; one round warms up."""
        found, engine = [], self._engine(name)
        for _ in range(rounds + 1):
            answers: dict[int, Output] = {}
            begun = time.perf_counter()
            engine.score_options(requests, budget=budget, skip=set(), done=answers.update)
            found.append(time.perf_counter() - begun)
        return found[1:]

    def answers(
        self, name: str, requests: Sequence[ScoringRequest], budget: int, limit: int = 0
    ) -> list[Output]:
        """What the engine says: of options, or with a limit a reply."""
        answers: dict[int, Output] = {}
        engine = self._engine(name)
        if limit:
            from pytest_modellab.engines.budget import GENERATION_FACTOR

            asked = [GenerationRequest(one.context, limit) for one in requests]
            many = GENERATION_FACTOR * budget
            engine.generate(asked, budget=many, skip=set(), done=answers.update)
        else:
            engine.score_options(requests, budget=budget, skip=set(), done=answers.update)
        return [answers[i] for i in range(len(requests))]

    def again(self, name: str, budgets: Sequence[int]) -> Iterator[RunRecord]:
        """Run a variant with each budget and another order of its samples."""
        engine = self._engine(name)
        variant, task_set = self._home.asked(name, name)
        for number, budget in enumerate(budgets):
            samples = task_set.samples[number:] + task_set.samples[:number]
            turned = samples[::-1] if number % 2 else samples
            job = dataclasses.replace(
                job_of(variant, task_set, BUILT_IN, reuse=False),
                budget=budget,
                task_set=dataclasses.replace(task_set, samples=turned),
            )
            with tempfile.TemporaryDirectory() as store:
                executor = InProcess(Path(store), lambda _: engine)
                yield runner.run(job, scorers_of(task_set, BUILT_IN), executor)[0]

    def session(self, name: str) -> dict[str, float]:
        """Run pytest on a workload's test in a process of its own, with an empty store.

        Returns:
            ``wall``, its seconds from start to end, and ``scoring``, those that the record has.
        """
        with tempfile.TemporaryDirectory() as store:
            report = Path(store) / "report.json"
            command = [sys.executable, "-m", "pytest", f"test_{name}.py", "-q", "-s"]
            command += ["-p", "pytest_modellab.plugin"] if not _installed() else []
            begun = time.perf_counter()
            done = subprocess.run(
                [*command, f"--modellab-json={report}"],
                cwd=self.toml.parent,
                env={**os.environ, "MODELLAB_CACHE": store},
                capture_output=True,
                text=True,
                check=False,
            )
            wall = time.perf_counter() - begun
            if not report.exists():
                raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
            run = json.loads(report.read_text())["measured"]["runs"][0]
        return {"wall": wall, "scoring": run["probes"]["seconds"]}

    def _engine(self, name: str) -> Any:
        begun = time.perf_counter()
        engine = self._home.engine(self._home.variant(name))
        if name not in self._names:
            self._names.add(name)
            self.loading = max(self.loading, time.perf_counter() - begun)
        return engine

    def _lab(self, executor: InProcess | None = None) -> Lab:
        settings = Settings(cache=self._store, reuse=False)
        return Lab(read.load(self.toml), settings, executor=executor)


def _installed() -> bool:
    """Whether pytest finds the plugin by its entry point."""
    import importlib.metadata

    points = importlib.metadata.entry_points(group="pytest11")
    return any(point.name == "modellab" for point in points)
