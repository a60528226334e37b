"""How a job is cut into shards, and what their runs become; no cluster is needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from waiting import Waiting, job

from pytest_modellab.lab.cluster import SHARD, joined, shards
from pytest_modellab.records.runs import Output
from pytest_modellab.store.runs import StoredRun


@given(st.integers(1, 4 * SHARD))
def test_shards_are_the_samples_in_their_order(count: int) -> None:
    whole = job("v", count, Waiting())
    parts = shards(whole)
    assert all(1 <= len(part.task_set.samples) <= SHARD for part in parts)
    samples = tuple(sample for part in parts for sample in part.task_set.samples)
    assert samples == whole.task_set.samples
    if len(parts) > 1:
        before = [part.part.before for part in parts if part.part is not None]
        assert before == [
            sum(len(p.task_set.samples) for p in parts[:k]) for k in range(len(parts))
        ]


def test_measurements_of_shards_are_added_up() -> None:
    def run(text: str, seconds: float, heard: float) -> StoredRun:
        probes = {
            "parameter_bytes": 9.0,
            "seconds": seconds,
            "tokens": 10.0,
            "audio_seconds": heard,
            "real_time_factor": seconds / heard,
        }
        return StoredRun((Output(text),), probes, {"threads": 1}, stored=True)

    found = joined([run("a", 2.0, 4.0), run("b", 3.0, 16.0)])
    assert [one.text for one in found.outputs] == ["a", "b"]
    assert found.probes == {
        "parameter_bytes": 9.0,
        "seconds": 5.0,
        "tokens": 20.0,
        "tokens_per_second": 4.0,
        "audio_seconds": 20.0,
        "real_time_factor": 0.25,
    }
    assert not found.stored
