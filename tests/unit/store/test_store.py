"""Files written whole or not at all, and the store of runs."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.records.runs import Fingerprint, Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.store import atomic, budgets
from pytest_modellab.store.place import default_folder
from pytest_modellab.store.runs import RunEntry, StoredRun

Make = Callable[..., Any]

OUTPUTS = (
    Output("", option_logprobs=(-1.5, -0.25), tokens_in=9, tokens_out=4, seconds=0.125),
    Output("Ça va très bien", tokens_in=3, tokens_out=5, seconds=0.5),
    Output("", failed="the model's logits are NaN"),
)


# --- atomic --------------------------------------------------------------------------------------


def test_write_text(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    atomic.write_text(path, "één\n")
    assert path.read_bytes() == "één\n".encode()
    atomic.write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_says_who_may_read(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        atomic.write_text(tmp_path / "folder" / "file", "text\n")
    finally:
        os.umask(before)
    assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == mode
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


def test_a_temporary_file_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {atomic.beside(tmp_path / "file").name for _ in range(20)}
    assert len(names) == 20, "nobody foresees them"
    monkeypatch.setattr(secrets, "token_hex", lambda _: "known")
    (tmp_path / "victim").write_text("old\n")
    atomic.beside(tmp_path / "file").symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError):
        atomic.write_text(tmp_path / "file", "new\n")
    assert (tmp_path / "victim").read_text() == "old\n"


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["full", "kill"])
@pytest.mark.parametrize("old", ["old\n", None])
def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    error: BaseException,
    old: str | None,
) -> None:
    path = tmp_path / "file.json"
    if old is not None:
        path.write_text(old)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(type(error)):
        atomic.write_text(path, "new\n")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == (["file.json"] if old else [])
    assert old is None or path.read_text() == old


def test_text_that_utf8_cannot_say_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old\n")
    with pytest.raises(UnicodeEncodeError):
        atomic.write_text(path, "\ud800")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_a_write_that_fails_closes_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("failed")

    for broken in ("fsync", "replace"):
        before = len(list(Path("/proc/self/fd").iterdir()))
        monkeypatch.setattr(os, broken, fail)
        with pytest.raises(OSError, match="failed"):
            atomic.write_text(tmp_path / "file", "x")
        monkeypatch.undo()
        assert len(list(Path("/proc/self/fd").iterdir())) == before, broken


# --- where the store is --------------------------------------------------------------------------


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "x" / ".." / "y"))
    assert default_folder() == tmp_path / "y"
    monkeypatch.setenv("MODELLAB_CACHE", "~/y")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / "y"
    monkeypatch.delenv("MODELLAB_CACHE")
    assert default_folder().name == "pytest-modellab"


# --- keys ----------------------------------------------------------------------------------------


@pytest.fixture
def tiny(sample: Make, make_tasks: Make) -> TaskSet:
    made: TaskSet = make_tasks([sample(k) for k in range(3)])
    return made


@pytest.fixture
def entry(tmp_path: Path, tiny: TaskSet, fingerprint: Make) -> RunEntry:
    entry = RunEntry(tmp_path, tiny, fingerprint())
    with entry.lock():
        pass  # makes the folder
    return entry


def key(task_set: TaskSet, fingerprint: Fingerprint) -> str:
    return RunEntry(Path("nowhere"), task_set, fingerprint).key


@pytest.mark.parametrize(
    "change",
    [
        {"weights": "x"},
        {"tokenizer": "x"},
        {"prompt": "x"},
        {"settings": {"device": "cuda", "dtype": "float32"}},
        {"settings": {"device": "cpu", "dtype": "float32", "quantization": {"bits": 4}}},
    ],
)
def test_key_changes_with_the_variant(
    tiny: TaskSet, fingerprint: Make, change: dict[str, Any]
) -> None:
    assert key(tiny, fingerprint(**change)) != key(tiny, fingerprint())


def test_key_does_not_depend_on_the_order_of_settings(tiny: TaskSet, fingerprint: Make) -> None:
    other = fingerprint(settings={"dtype": "float32", "device": "cpu"})
    assert key(tiny, other) == key(tiny, fingerprint())


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"input": "?"}, True),
        ({"id": "x"}, True),
        ({"choices": ("one", "three")}, True),
        ({"max_tokens": 8}, True),
        ({"target": 1}, False),
        ({"scorer": "exact"}, False),
        ({"capability": "other"}, False),
        ({"difficulty": "hard"}, False),
        ({"cluster": "c"}, False),
        ({"metadata": {"a": 1}}, False),
    ],
    ids=str,
)
def test_key_changes_with_what_is_asked_alone(
    tiny: TaskSet, fingerprint: Make, change: dict[str, Any], changes: bool
) -> None:
    first, *rest = tiny.samples
    changed = dataclasses.replace(tiny, samples=(dataclasses.replace(first, **change), *rest))
    assert (key(changed, fingerprint()) != key(tiny, fingerprint())) == changes
    assert changed.hash != tiny.hash, "a changed sample is always another task set"


def test_key_does_not_depend_on_the_task_sets_name(tiny: TaskSet, fingerprint: Make) -> None:
    other = dataclasses.replace(tiny, name="other", version="2", description="x", path="/x")
    assert key(other, fingerprint()) == key(tiny, fingerprint())
    turned = dataclasses.replace(tiny, samples=tiny.samples[::-1])
    assert key(turned, fingerprint()) != key(tiny, fingerprint())


# --- finished runs -------------------------------------------------------------------------------


RUN = StoredRun(OUTPUTS, probes={"seconds": 1.5}, environment={"torch": "2", "threads": 1})


def test_finished_run(entry: RunEntry) -> None:
    assert entry.read() is None
    entry.start(64, threads=1, resume=True)
    entry.append({0: OUTPUTS[0]})
    entry.write(RUN)
    assert entry.read() == RUN
    assert sorted(p.name for p in entry.folder.iterdir()) == ["lock", "run.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"3",
        b"null",
        b"{}",
        b'{"outputs": 3, "probes": {}, "environment": {}}',
        b'{"outputs": [3, 3, 3], "probes": {}, "environment": {}}',
        b'{"outputs": [], "probes": {}, "environment": {}}',
        b'{"outputs": [{"text": "x"}], "probes": {}, "environment": {}}',
        pytest.param(b"[" * 9999, id="deep"),
    ],
    ids=repr,
)
def test_damaged_run_counts_as_none(entry: RunEntry, content: bytes) -> None:
    (entry.folder / "run.json").write_bytes(content)
    assert entry.read() is None


def test_truncated_run_counts_as_none(entry: RunEntry) -> None:
    entry.write(RUN)
    whole = (entry.folder / "run.json").read_bytes()
    for length in range(len(whole)):
        (entry.folder / "run.json").write_bytes(whole[:length])
        assert entry.read() is None, length


def test_run_of_other_probes_counts_as_none(entry: RunEntry) -> None:
    entry.write(RUN)
    data = json.loads((entry.folder / "run.json").read_text())
    for name, value in (("probes", 3), ("environment", None), ("outputs", data["outputs"][:2])):
        (entry.folder / "run.json").write_text(json.dumps({**data, name: value}))
        assert entry.read() is None, name


# --- batches -------------------------------------------------------------------------------------


def test_batches_are_taken_up(entry: RunEntry) -> None:
    assert entry.start(64, threads=1, resume=True) == {}
    entry.append({1: OUTPUTS[1]})
    entry.append({0: OUTPUTS[0], 2: OUTPUTS[2]})
    assert entry.start(64, threads=1, resume=True) == dict(enumerate(OUTPUTS))
    assert entry.start(64, threads=1, resume=True) == dict(enumerate(OUTPUTS)), (
        "taking up changes nothing"
    )
    assert entry.start(32, threads=1, resume=True) == {}, "of another batch plan"
    assert entry.start(64, threads=1, resume=True) == {}, "and then they are gone"
    entry.append(dict(enumerate(OUTPUTS)))
    assert entry.start(64, threads=2, resume=True) == {}, "of another number of threads"


def test_batches_are_dropped_when_asked(entry: RunEntry) -> None:
    entry.start(64, threads=1, resume=True)
    entry.append({0: OUTPUTS[0]})
    assert entry.start(64, threads=1, resume=False) == {}
    entry.append({1: OUTPUTS[1]})
    entry.abandon()
    entry.abandon()
    assert entry.start(64, threads=1, resume=True) == {}


def test_every_truncation_is_taken_up_or_run_again(entry: RunEntry) -> None:
    """A kill may cut the file anywhere, inside a character too."""
    answers = entry.folder / "answers.jsonl"
    entry.start(64, threads=1, resume=True)
    entry.append({0: OUTPUTS[0]})
    first = len(answers.read_bytes())
    entry.append({1: OUTPUTS[1]})
    whole = answers.read_bytes()
    header = whole.index(b"\n")
    assert "è".encode() in whole, "the text has characters of several bytes"
    for length in range(len(whole) + 1):
        answers.write_bytes(whole[:length])
        found = entry.start(64, threads=1, resume=True)
        wanted = 2 if length == len(whole) else 1 if length >= first else 0
        assert found == dict(enumerate(OUTPUTS[:wanted])), length
        entry.append({2: OUTPUTS[2]})
        assert entry.start(64, threads=1, resume=True) == {**found, 2: OUTPUTS[2]}, (
            "the cut was mended"
        )
        assert length <= header or answers.read_bytes().startswith(whole[: header + 1])


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from(
                [b'{"0":{}}', b'{"x":{}}', b"3", b"null", b"[]", b'{"0":3}', b"\xff", b"[" * 9999]
            ),
        ),
        max_size=4,
    )
)
def test_any_junk_is_run_again(entry: RunEntry, lines: list[bytes]) -> None:
    (entry.folder / "answers.jsonl").write_bytes(b"\n".join([b'{"budget":64}', *lines]))
    found = entry.start(64, threads=1, resume=True)
    assert all(isinstance(output, Output) for output in found.values())


def test_two_entries_share_a_lock(tmp_path: Path, tiny: TaskSet, fingerprint: Make) -> None:
    from filelock import Timeout

    one, two = (RunEntry(tmp_path, tiny, fingerprint()) for _ in range(2))
    with one.lock(), pytest.raises(Timeout):
        two.lock().acquire(timeout=0.01)
    two.lock().acquire(timeout=0.01).lock.release()


# --- budgets -------------------------------------------------------------------------------------


def test_budget(tmp_path: Path, fingerprint: Make) -> None:
    one, two = fingerprint(), fingerprint(weights="other")
    assert budgets.recall_budget(tmp_path, one, 768) == 768
    budgets.remember_budget(tmp_path, one, 96)
    assert budgets.recall_budget(tmp_path, one, 768) == 96
    assert budgets.recall_budget(tmp_path, one, 48) == 48, "a remembered budget only lowers"
    assert budgets.recall_budget(tmp_path, two, 768) == 768


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("", 768),
        ("x", 768),
        ("0", 768),
        ("-5", 768),
        ("9999", 768),
        ("true", 768),
        ("3.5", 768),
    ],
)
def test_damaged_budget(tmp_path: Path, fingerprint: Make, text: str, budget: int) -> None:
    budgets.remember_budget(tmp_path, fingerprint(), 96)
    (file,) = (tmp_path / "budgets").iterdir()
    file.write_text(text)
    assert budgets.recall_budget(tmp_path, fingerprint(), 768) == budget


def test_samples_without_choices_are_kept(tmp_path: Path, sample: Make, fingerprint: Make) -> None:
    made: Sample = sample(choices=(), scorer="exact", target="x", max_tokens=4)
    entry = RunEntry(tmp_path, TaskSet("a", "1", (made,)), fingerprint())
    with entry.lock():
        entry.write(dataclasses.replace(RUN, outputs=OUTPUTS[1:2]))
    assert entry.read() == dataclasses.replace(RUN, outputs=OUTPUTS[1:2])


def test_what_is_remembered_of_a_budget_is_a_device_s_own(
    tmp_path: Path, fingerprint: Callable[..., Fingerprint]
) -> None:
    one = fingerprint()
    asked: list[int] = []

    def say() -> int:
        asked.append(len(asked))
        return 4096 // (1 + len(asked))

    assert budgets.first_said(tmp_path, one, "GPU A", say) == 2048
    assert budgets.first_said(tmp_path, one, "GPU A", say) == 2048
    assert budgets.first_said(tmp_path, one, "GPU B", say) == 1365
    assert asked == [0, 1]
    budgets.remember_budget(tmp_path, one, 512, "GPU A")
    assert budgets.recall_budget(tmp_path, one, 2048, "GPU A") == 512
    assert budgets.recall_budget(tmp_path, one, 256, "GPU A") == 256, "only ever lowered"
    assert budgets.recall_budget(tmp_path, one, 2048) == 2048, "the CPU's is another"
    budgets.forget_budget(tmp_path, one, "GPU A")
    assert budgets.recall_budget(tmp_path, one, 2048, "GPU A") == 2048
    assert budgets.first_said(tmp_path, one, "GPU A", say) == 1024
    assert budgets.first_said(tmp_path, one, "GPU B", say) == 1365
