"""How a job is cut, that its parts are computed alike everywhere, and what their runs become."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import pytest
import waiting
from hypothesis import given
from hypothesis import strategies as st
from waiting import Waiting, job

from pytest_modellab.engines.batching import due, plan, spread
from pytest_modellab.engines.interface import (
    Ability,
    Done,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
)
from pytest_modellab.errors import OutOfMemory
from pytest_modellab.records.runs import Output
from pytest_modellab.runs import shards as cutting
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.runs.shards import SHARD, WRITTEN, budgets, joined, shards
from pytest_modellab.store.runs import StoredRun


class Stopped(BaseException):
    """As Ctrl-C: nobody catches it."""


class Telling(waiting.Engine):
    """Says of each sample who was computed with it, and of how many it was asked at once.

    Args:
        fits: the largest batches of long prompts that memory holds.
    """

    abilities: frozenset[Ability] = frozenset({"score", "generate", "read"})

    def __init__(self, fits: float = float("inf")) -> None:
        super().__init__(0.0)
        self.fits = fits
        self.stops_at = -1
        self.asked: list[str] = []
        self.seeds = 0

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self._answer([one.context for one in requests], budget, skip, done)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self._answer([one.context for one in requests], budget, skip, done)

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        self._answer([one.text for one in requests], budget, skip, done)

    def _answer(self, texts: Sequence[str], budget: int, skip: Set[int], done: Done) -> None:
        for batch in due(spread(plan([len(t) for t in texts], budget, padded=False)), skip):
            members = " ".join(texts[i] for i in batch)
            if budget > self.fits and "o" * 90 in members:
                raise OutOfMemory("no room")
            if len(self.asked) == self.stops_at:
                raise Stopped
            self.asked.append(members)
            done({i: Output(f"{texts[i]}: {members}; {len(texts)}") for i in batch})

    def environment(self) -> Mapping[str, object]:
        return {"threads": 1}

    def seed(self, seed: int) -> None:
        self.seeds += 1


def mixed(count: int, budget: int = 100) -> Job:
    """A job of questions with options, questions, and documents, of several lengths."""
    made = job("v", count, Waiting(), budget=budget)
    scorers = ("contains", "choice", "perplexity", "contains")
    samples = tuple(
        dataclasses.replace(s, scorer=scorers[k % 4], input=s.input + "o" * (k * 7 % 40))
        for k, s in enumerate(made.task_set.samples)
    )
    return dataclasses.replace(
        made,
        task_set=dataclasses.replace(made.task_set, samples=samples),
        needs={"contains": "generate", "choice": "score", "perplexity": "read"},
    )


def run(job: Job, engine: waiting.Engine, folder: Path) -> StoredRun:
    return InProcess(folder, lambda _: engine).obtain(job)


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(30, 200))
def test_shards_are_the_samples_in_their_order(scored: list[bool], most: int) -> None:
    whole = job("v", len(scored), Waiting())
    asked = tuple(
        dataclasses.replace(s, choices=("a", "b") if one else ())
        for s, one in zip(whole.task_set.samples, scored, strict=True)
    )
    whole = dataclasses.replace(whole, task_set=dataclasses.replace(whole.task_set, samples=asked))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "SHARD", most)
        parts = shards(whole)
    sizes = [sum(1 if s.choices else WRITTEN for s in part.task_set.samples) for part in parts]
    assert 1 <= min(sizes) <= max(sizes) < most + WRITTEN
    assert max(sizes) - min(sizes) < 2 * WRITTEN
    samples = tuple(sample for part in parts for sample in part.task_set.samples)
    assert samples == whole.task_set.samples
    if len(parts) > 1:
        before = [part.part.before for part in parts if part.part is not None]
        assert before == [
            sum(len(p.task_set.samples) for p in parts[:k]) for k in range(len(parts))
        ]


@pytest.mark.parametrize("count", [SHARD // WRITTEN, SHARD // WRITTEN + 1, 1100])
def test_a_run_here_is_that_of_its_shards(count: int, tmp_path: Path) -> None:
    whole = mixed(count)
    here = run(whole, engine := Telling(), tmp_path / "here")
    there = [run(one, Telling(), tmp_path / f"{k}") for k, one in enumerate(shards(whole))]
    assert here.outputs == joined(there).outputs
    assert here.environment == joined(there).environment
    assert engine.seeds == len(there), "each part draws as if it were alone"


def test_a_shard_that_is_some_samples_longer_is_not_cut_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "SHARD", 10)
    whole = mixed(8)
    samples = tuple(
        dataclasses.replace(s, scorer="contains" if k else "choice", choices=() if k else ("a",))
        for k, s in enumerate(whole.task_set.samples)
    )
    whole = dataclasses.replace(
        whole, task_set=dataclasses.replace(whole.task_set, samples=samples)
    )
    parts = shards(whole)
    assert max(WRITTEN * len(part.task_set.samples) for part in parts) > 10
    here = run(whole, Telling(), tmp_path / "here")
    there = [run(one, Telling(), tmp_path / f"{k}") for k, one in enumerate(parts)]
    assert here.outputs == joined(there).outputs


def test_a_run_that_was_stopped_in_a_later_part_goes_on(tmp_path: Path) -> None:
    whole = mixed(1100)
    through = run(whole, first := Telling(), tmp_path / "through")
    stopped = Telling()
    stopped.stops_at = len(first.asked) // 2
    with pytest.raises(Stopped):
        run(whole, stopped, tmp_path / "stopped")
    rest = Telling()
    assert run(whole, rest, tmp_path / "stopped").outputs == through.outputs
    assert stopped.asked + rest.asked == first.asked


def test_answers_of_another_cut_are_not_taken_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mixed(60)
    stopped = Telling()
    stopped.stops_at = 3
    with pytest.raises(Stopped):
        run(whole, stopped, tmp_path)
    monkeypatch.setattr(cutting, "SHARD", 80)
    cut = Telling()
    run(whole, cut, tmp_path)
    again = Telling()
    run(whole, again, tmp_path / "again")
    assert cut.asked == again.asked


def test_where_memory_runs_out_all_parts_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "SHARD", 80)
    whole = mixed(60)
    samples = list(whole.task_set.samples)
    samples[49] = dataclasses.replace(samples[49], input="o" * 90)  # it is to be scored
    whole = dataclasses.replace(
        whole, task_set=dataclasses.replace(whole.task_set, samples=tuple(samples))
    )
    engine = Telling(fits=50)
    found = run(whole, engine, tmp_path / "halved")
    assert found.environment["token_budget"] == 50
    small = dataclasses.replace(whole, budget=50)
    assert found.outputs == run(small, Telling(), tmp_path / "small").outputs
    assert engine.asked[0] == "o" * 90, "the part with the longest prompt comes first"


def test_measurements_of_shards_are_added_up() -> None:
    def run(text: str, seconds: float, heard: float, budget: object) -> StoredRun:
        probes = {
            "parameter_bytes": 9.0,
            "seconds": seconds,
            "tokens": 10.0,
            "audio_seconds": heard,
            "real_time_factor": seconds / heard,
        }
        environment = {"threads": 1, "token_budget": budget}
        return StoredRun((Output(text),), probes, environment, stored=True)

    runs = [run("a", 2.0, 4.0, 64), run("b", 3.0, 16.0, 32), run("c", 0.0, 1.0, "much")]
    found = joined(runs)
    assert budgets(runs) == [32, 64]
    assert found.environment == {"threads": 1, "token_budget": 32}
    assert [one.text for one in found.outputs] == ["a", "b", "c"]
    assert found.probes == {
        "parameter_bytes": 9.0,
        "seconds": 5.0,
        "tokens": 30.0,
        "tokens_per_second": 6.0,
        "audio_seconds": 21.0,
        "real_time_factor": 0.2381,
    }
    assert not found.stored
