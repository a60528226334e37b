"""A stored run that was changed since it was written is not believed, and that is said."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.records.runs import Audited, Output
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.store import arrays, budgets, files, hashes
from pytest_modellab.store.runs import RunEntry, StoredRun

Make = Callable[..., Any]
Change = Callable[[dict[str, Any]], object]

RUN = StoredRun(
    (
        Output("", option_logprobs=(-1.5, -0.25), tokens_in=9, tokens_out=4, seconds=0.125),
        Output("Ça va", tokens_in=3, tokens_out=5, seconds=0.5, passages=("a", "b")),
        Output("", ranking=(("d", 1.5),), exact=Audited((("e", 2.5),), 0.5)),
    ),
    probes={"seconds": 1.5},
    environment={"torch": "2", "threads": 1},
)

MISMATCH = "is damaged: its digest does not match what it holds"

any_byte = (st.integers(0, 10**6), st.integers(1, 255))
same_folder = settings(max_examples=200)


def change_a_byte(path: Path, place: int, change: int) -> None:
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= change
    path.write_bytes(content)


@pytest.fixture
def make(tmp_path: Path, sample: Make, make_tasks: Make, fingerprint: Make) -> Callable[[str], Any]:
    """Make the entry of a variant with these weights."""
    asked: TaskSet = make_tasks([sample(k) for k in range(3)])

    def entry(weights: str) -> RunEntry:
        made = RunEntry(tmp_path, asked, fingerprint(weights=weights))
        with made.lock():
            return made

    return entry


@pytest.fixture
def entry(make: Callable[[str], RunEntry]) -> RunEntry:
    """An entry with its run."""
    made = make("a")
    made.write(RUN)
    return made


# --- finished runs -------------------------------------------------------------------------------


CHANGES: dict[str, Change] = {
    "likelihoods rotated": lambda data: data["outputs"][0]["option_logprobs"].reverse(),
    "samples swapped": lambda data: data["outputs"].reverse(),
    "a sample dropped": lambda data: data["outputs"].pop(),
    "a digit": lambda data: data["outputs"][0].update(seconds=0.126),
    "a probe": lambda data: data["probes"].update(seconds=2.5),
    "an environment": lambda data: data["environment"].update(torch="3"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_run_is_not_believed(
    entry: RunEntry, caplog: pytest.LogCaptureFixture, change: Change
) -> None:
    path = entry.folder / "run.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, separators=(",", ":"), ensure_ascii=False) + "\n")
    assert entry.read(lost="it is run again") is None
    assert caplog.messages == [f"it is run again: runs/{entry.key}/run.json {MISMATCH}"]


@same_folder
@given(*any_byte)
def test_no_changed_byte_of_a_run_is_believed(entry: RunEntry, place: int, change: int) -> None:
    entry.write(RUN)
    assert entry.read() == RUN
    change_a_byte(entry.folder / "run.json", place, change)
    assert entry.read() is None


def test_swapped_runs_are_not_believed(
    make: Callable[[str], RunEntry], caplog: pytest.LogCaptureFixture
) -> None:
    one, two = make("a"), make("b")
    one.write(RUN)
    two.write(dataclasses.replace(RUN, outputs=RUN.outputs[::-1]))
    first, second = one.folder / "run.json", two.folder / "run.json"
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    assert one.read(lost="a") is None
    assert two.read(lost="b") is None
    assert caplog.messages == [
        f"a: runs/{one.key}/run.json {MISMATCH}",
        f"b: runs/{two.key}/run.json {MISMATCH}",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"outputs": 3}, ": outputs: 3: expected a list"),
        ({"outputs": []}, ""),
        ({"outputs": [{}] * 3}, ": outputs[0].text: missing"),
        ({"outputs": [{"text": "", "bad": 1}] * 3}, ": outputs[0].bad: unknown key"),
        (
            {"outputs": [{"text": "", "option_logprobs": [True]}] * 3},
            ": outputs[0].option_logprobs[0]: True: expected a finite number",
        ),
        (
            {"outputs": [{"text": "", "option_logprobs": ["1"]}] * 3},
            ": outputs[0].option_logprobs[0]: '1': expected a finite number",
        ),
        (
            {"outputs": [{"text": "", "tokens_in": -1}] * 3},
            ": outputs[0].tokens_in: -1: expected a whole number of at least 0",
        ),
        (
            {"outputs": [{"text": "", "seconds": -0.5}] * 3},
            ": outputs[0].seconds: -0.5: expected a number of at least 0",
        ),
        ({"probes": {"seconds": None}}, ": probes.seconds: None: expected a finite number"),
        ({"environment": []}, ": environment: []: expected an object"),
    ],
)
def test_other_types_are_no_run_though_the_digest_is_right(
    entry: RunEntry, caplog: pytest.LogCaptureFixture, change: dict[str, Any], said: str
) -> None:
    data = {"outputs": [{"text": ""}] * 3, "probes": {}, "environment": {}, **change}
    files.write(entry.folder / "run.json", data, of=entry.key)
    assert entry.read(lost="it is run again") is None
    where = f"runs/{entry.key}/run.json"
    assert caplog.messages == [f"it is run again: {where} is not what this version reads{said}"]


def test_a_pipe_in_place_of_a_run_is_not_waited_for(
    entry: RunEntry, caplog: pytest.LogCaptureFixture
) -> None:
    path = entry.folder / "run.json"
    path.unlink()
    os.mkfifo(path)
    assert entry.read(lost="it is run again") is None
    where = f"runs/{entry.key}/run.json"
    why = "cannot be read (Is a pipe or a device, and no regular file)"
    assert caplog.messages == [f"it is run again: {where} {why}"]
    entry.write(RUN)
    assert entry.read() == RUN


def test_a_link_to_a_run_is_followed(entry: RunEntry, tmp_path: Path) -> None:
    path = entry.folder / "run.json"
    path.symlink_to(path.rename(tmp_path / "elsewhere.json"))
    assert entry.read() == RUN


# --- batches -------------------------------------------------------------------------------------


BATCHES = [{0: RUN.outputs[0]}, {1: RUN.outputs[1]}, {2: RUN.outputs[2]}]


def begun(entry: RunEntry) -> Path:
    """Begin a run of which every batch is answered."""
    entry.start(64, threads=1, resume=False)
    for batch in BATCHES:
        entry.append(batch)
    return entry.folder / "answers.jsonl"


Lines = list[bytes]


@pytest.mark.parametrize(
    ("change", "line", "good"),
    [
        (lambda n: [n[0], n[1], n[2].replace(b"0.5", b"0.6"), n[3]], 3, 1),
        (lambda n: [n[0], n[2], n[3]], 2, 0),
        (lambda n: [n[0], n[1], n[3]], 3, 1),
        (lambda n: [n[0], n[2], n[1], n[3]], 2, 0),
        (lambda n: [n[0], n[1], n[1], n[2], n[3]], 3, 1),
        (lambda n: [n[0], n[1], n[2].replace(b'"1":', b'"2":'), n[3]], 3, 1),
        (lambda n: [n[0].replace(b"1", b"2"), *n[1:]], 1, 0),
        (lambda n: [*n, b"junk\n"], 5, 3),
    ],
    ids=["changed", "first gone", "one gone", "swapped", "twice", "renamed", "header", "added"],
)
def test_changed_batches_are_answered_again(
    make: Callable[[str], RunEntry],
    caplog: pytest.LogCaptureFixture,
    change: Callable[[Lines], Lines],
    line: int,
    good: int,
) -> None:
    """From the first line on that does not follow."""
    entry = make("a")
    path = begun(entry)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    expected = dict(enumerate(RUN.outputs[:good]))
    assert entry.start(64, threads=1, resume=True) == expected
    where = f"runs/{entry.key}/answers.jsonl, line {line},"
    assert caplog.messages == [f"samples are run again: {where} {MISMATCH}"]
    for batch in BATCHES[good:]:
        entry.append(batch)
    assert entry.start(64, threads=1, resume=True) == dict(enumerate(RUN.outputs))
    assert len(caplog.messages) == 1


def test_a_pipe_in_place_of_batches_is_not_waited_for(make: Callable[[str], RunEntry]) -> None:
    entry = make("a")
    path = begun(entry)
    path.unlink()
    os.mkfifo(path)
    assert entry.start(64, threads=1, resume=True) == {}
    for batch in BATCHES:
        entry.append(batch)
    assert entry.start(64, threads=1, resume=True) == dict(enumerate(RUN.outputs))


def test_batches_of_another_entry_are_not_taken_up(make: Callable[[str], RunEntry]) -> None:
    one, two = make("a"), make("b")
    (two.folder / "answers.jsonl").write_bytes(begun(one).read_bytes())
    assert two.start(64, threads=1, resume=True) == {}


@pytest.mark.parametrize(
    "answers", [{"3": {"text": ""}}, {"-4": {"text": ""}}, {"x": {"text": ""}}, {"0": {}}]
)
def test_batches_of_no_sample_are_not_taken_up(
    make: Callable[[str], RunEntry], answers: dict[str, Any]
) -> None:
    entry = make("a")
    entry.start(64, threads=1, resume=False)
    with (entry.folder / "answers.jsonl").open("ab") as file:
        file.write(files.seal(answers, entry._chain()))
    assert entry.start(64, threads=1, resume=True) == {}


@same_folder
@given(*any_byte)
def test_no_changed_byte_of_batches_is_believed(entry: RunEntry, place: int, change: int) -> None:
    """What is taken up is what was answered, up to the line that was changed."""
    path = begun(entry)
    sizes = [len(line) for line in path.read_bytes().splitlines(keepends=True)]
    place %= sum(sizes)
    change_a_byte(path, place, change)
    whole = next(k for k in range(len(sizes)) if place < sum(sizes[: k + 1]))
    found = entry.start(64, threads=1, resume=True)
    assert found == dict(enumerate(RUN.outputs[: max(0, whole - 1)]))


# --- budgets -------------------------------------------------------------------------------------


@same_folder
@given(*any_byte)
def test_no_changed_byte_of_a_budget_is_believed(
    tmp_path: Path, fingerprint: Make, place: int, change: int
) -> None:
    budgets.remember_budget(tmp_path, fingerprint(), 96)
    assert budgets.recall_budget(tmp_path, fingerprint(), 768) == 96
    change_a_byte(tmp_path / "budgets" / fingerprint().key, place, change)
    assert budgets.recall_budget(tmp_path, fingerprint(), 768) == 768


def test_the_budget_of_another_variant_is_not_believed(tmp_path: Path, fingerprint: Make) -> None:
    one, two = fingerprint(), fingerprint(weights="other")
    budgets.remember_budget(tmp_path, one, 96)
    (tmp_path / "budgets" / one.key).rename(tmp_path / "budgets" / two.key)
    assert budgets.recall_budget(tmp_path, two, 768) == 768


# --- vectors -------------------------------------------------------------------------------------


@same_folder
@given(st.sampled_from(["vectors.npy", "meta.json"]), *any_byte)
def test_no_changed_byte_of_vectors_is_believed(
    tmp_path: Path, name: str, place: int, change: int
) -> None:
    import numpy as np

    made: list[int] = []

    def make(begin: int, _: arrays.Known) -> Iterator[tuple[Any, arrays.Known]]:
        made.append(begin)
        yield np.arange(6.0, dtype="float32").reshape(3, 2), {"tokens": 7}

    def keep() -> tuple[list[list[float]], arrays.Known]:
        data, known = arrays.keep(tmp_path / "vectors" / "key", (3, 2), "float32", make, block=3)
        return data.tolist(), known

    right = ([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], {"tokens": 7})
    assert keep() == right
    made.clear()
    assert keep() == right
    assert made == []
    change_a_byte(tmp_path / "vectors" / "key" / name, place, change)
    assert keep() == right
    assert made == [0]


# --- hashes --------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(*any_byte)
def test_no_changed_byte_of_a_remembered_hash_is_believed(
    tmp_path: Path, place: int, change: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashes, "LARGE", 1)
        patch.setattr(hashes, "RACY", -3600.0)
        large = tmp_path / "model.gguf"
        if not large.exists():
            large.write_bytes(b"weights")
        right = hashes.Memory(tmp_path / "cache", anew=True).sha256(large)
        (entry,) = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        held = files.read(entry, dict, of=str(large))
        assert held is not None
        files.write(entry, {**held, "sha256": "0" * 64}, of=str(large))
        assert hashes.Memory(tmp_path / "cache").sha256(large) == "0" * 64
        change_a_byte(entry, place, change)
        assert hashes.Memory(tmp_path / "cache").sha256(large) == right
