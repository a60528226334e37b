"""What machines that share a store take from each other, and what stays with who made it."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import Engine, Waiting, job

from pytest_modellab.engines.interface import Done
from pytest_modellab.records.diagnosis import SCHEMA, Diagnosis, Side
from pytest_modellab.records.runs import Output
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.store import atomic, said
from pytest_modellab.store.diagnoses import DiagnosisEntry, Examined
from pytest_modellab.store.remote import KINDS, Remote
from pytest_modellab.store.results import Result

KEY = "0123456789abcdef"


@pytest.fixture
def heard() -> Iterator[list[str]]:
    lines: list[str] = []
    with said.listening(lines.append):
        yield lines


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Result[dict[str, Any]]]:
    """A machine with a store of its own, beside the one in ``team``."""

    def make(
        name: str, kind: str = "runs", agree: Callable[[Any, Any], bool] = operator.eq
    ) -> Result[dict[str, Any]]:
        file = tmp_path / name / kind / f"{KEY}.json"
        return Result(file, kind, KEY, dict, Remote(str(tmp_path / "team")), agree)

    return make


def first_word(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["said"] == other["said"])


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_that_is_shared(
    machine: Callable[..., Result[Any]], tmp_path: Path, kind: str, heard: list[str]
) -> None:
    assert machine("one", kind).read() is None
    assert machine("one", kind).write({"said": 1}) is None
    assert machine("two", kind).read() == {"said": 1}
    assert machine("two", kind).file.exists()
    found = Remote(str(tmp_path / "team"))
    (listed,) = found.entries()
    assert (listed.kind, listed.name) == (kind, f"{KEY}.json")
    assert found.fault(listed) is None
    assert heard == []


def test_two_that_agree_have_no_quarrel(
    machine: Callable[..., Result[Any]], heard: list[str]
) -> None:
    machine("one").write({"said": 1, "seconds": 1})
    two = machine("two", agree=first_word)
    assert two.write({"said": 1, "seconds": 2}) == {"said": 1, "seconds": 1}
    assert two.read() == {"said": 1, "seconds": 1}
    assert heard == []


@pytest.mark.parametrize("other", [1, 2])
def test_what_is_made_anew_stands_on_its_machine(
    machine: Callable[..., Result[Any]], heard: list[str], other: int, tmp_path: Path
) -> None:
    machine("one").write({"said": 1, "seconds": 1})
    two = machine("two", agree=first_word)
    assert two.write({"said": other, "seconds": 2}, anew=True) is None
    assert two.read() == {"said": other, "seconds": 2}
    assert machine("three").read() == {"said": 1, "seconds": 1}
    said_of_it = (
        f"{tmp_path / 'team'}/v1/runs/{KEY}.json holds something else: what was made anew stays on "
        "this machine"
    )
    assert heard == [said_of_it] * (other != 1)


def test_a_store_that_is_only_read_uses_what_is_fetched(
    machine: Callable[..., Result[Any]],
    tmp_path: Path,
    heard: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine("one").write({"said": 1})

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(atomic, "new_file", refuse)
    two = machine("two")
    assert two.read() == two.read() == {"said": 1}
    assert two.share() is None, "what is not kept is not sent back"
    assert heard == [
        f"what is fetched from {tmp_path / 'team'} is used and not kept: this machine's store "
        f"cannot be written (Permission denied: {tmp_path / 'two' / 'runs'})"
    ]


class Writer(Engine):
    """Writes something else than others do."""

    def generate(self, requests: Any, *, budget: int, skip: Any, done: Done) -> None:
        done({k: Output("something else") for k, _ in enumerate(requests)})


def test_a_run_anew_is_judged_and_times_alone_are_no_quarrel(
    tmp_path: Path, heard: list[str]
) -> None:
    def run(machine: str, engine: Engine, *, reuse: bool) -> list[str]:
        remote = Remote(str(tmp_path / "team"))
        here = InProcess(tmp_path / machine, lambda _: engine, remote=remote)
        asked = dataclasses.replace(job("one", 2, Waiting(0.0)), reuse=reuse)
        return [output.text for output in here.obtain(asked).outputs]

    first = run("one", Engine(0.0), reuse=True)
    assert run("two", Engine(0.001), reuse=False) == first
    assert heard == []
    assert run("three", Writer(0.0), reuse=False) == ["something else"] * 2
    assert run("four", Writer(0.0), reuse=True) == first
    (line,) = heard
    assert line.endswith(" holds something else: what was made anew stays on this machine")


def test_what_a_cluster_made_anew_stands_on_its_machine(tmp_path: Path, heard: list[str]) -> None:
    remote = Remote(str(tmp_path / "team"))
    asked = job("one", 2, Waiting(0.0))
    InProcess(tmp_path / "one", lambda _: Engine(0.0), remote=remote).obtain(asked)
    made = InProcess(tmp_path / "node", lambda _: Writer(0.0)).obtain(asked)
    here = InProcess(tmp_path / "two", lambda _: Engine(0.0), remote=remote)
    assert here.keep(dataclasses.replace(asked, reuse=False), made) == made
    assert here.recall(asked) == made
    (line,) = heard
    assert line.endswith(" holds something else: what was made anew stays on this machine")


def test_two_diagnoses_that_differ_in_their_times_alone(tmp_path: Path, heard: list[str]) -> None:
    def examined(fault: str, seconds: float) -> Examined:
        sides = Side("plain"), Side("tuned")
        text = f"layer.1 is {fault}"
        times = {"weights": seconds}
        return Examined(
            Diagnosis(SCHEMA, *sides, "internals", "layer.1", fault, text, 0.5, 8, seconds=times)
        )

    def entry(machine: str) -> DiagnosisEntry:
        return DiagnosisEntry(tmp_path / machine, "b", "c", [], Remote(str(tmp_path / "team")))

    first = examined("rounded", 1.0)
    assert entry("one").write(first) == first
    assert entry("two").write(examined("rounded", 2.0)) == first
    assert heard == []
    assert entry("three").write(examined("zero", 1.0)) == first
    (line,) = heard
    assert line.endswith("that is taken, and what this machine made is dropped")
