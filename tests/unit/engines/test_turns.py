"""Workers of a session hold a device one after another, and none waits for ever."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from processes import ended

from pytest_modellab.engines import device, turns
from pytest_modellab.engines.device import Place
from pytest_modellab.engines.turns import Turns
from pytest_modellab.store import said

HOLDER = """
import sys, time
sys.modules["torch"] = None  # a device is a name then, and nothing slow is loaded
from pytest_modellab.engines.turns import Turns
turns = Turns(sys.argv[1], "gw0")
with turns.on(sys.argv[2]):
    print("has it", flush=True)
    for _ in range(int(sys.argv[3])):
        time.sleep(0.1)
        turns.seen()
    if sys.argv[3] == "0":
        sys.stdin.read()
"""

Holder = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(turns, "PAUSE", 0.01)
    monkeypatch.setattr(said, "_WARNED", [])  # the session that runs this shows it else


@pytest.fixture
def session() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def holder(session: str) -> Holder:
    """Begins another worker, which holds a device until it is ended."""

    @contextlib.contextmanager
    def begin(name: str, signs: int = 0) -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-c", HOLDER, session, name, str(signs)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline() == "has it\n"
                yield process
            finally:
                process.kill()
                ended(process)

    return begin


@pytest.fixture
def heard() -> Iterator[list[str]]:
    found: list[str] = []
    with said.listening(found.append):
        yield found


def test_who_is_killed_holds_nothing_more(session: str, holder: Holder, heard: list[str]) -> None:
    mine = Turns(session, "gw1")
    with holder("mps") as process:
        threading.Timer(0.2, process.kill).start()
        with mine.on("mps"):
            assert (mine.held, process.poll()) != (True, 0), "had it until it was killed"
    with mine.on("mps"):
        assert mine.held
    assert heard == [
        "gw1 takes turns on mps with gw0, which has it first: workers that share a GPU load their "
        "models one after another"
    ], "once"


def test_who_works_is_waited_for(session: str, holder: Holder, heard: list[str]) -> None:
    mine = Turns(session, "gw1", patience=0.5)
    with holder("mps", signs=10), mine.on("mps"):
        assert mine.held
    assert len(heard) == 1, "waited, and shared nothing"


def test_who_gives_no_sign_is_waited_for_no_longer(
    session: str, holder: Holder, heard: list[str]
) -> None:
    mine = Turns(session, "gw1", patience=0.1)
    with holder("mps"), mine.on("mps"), mine.on("mps"):
        assert not mine.held
    assert heard[1:] == [
        "gw1: mps is shared with gw0, so that the memory of both is needed, and latencies are not "
        "to be compared"
    ], "what is taken a second time is not waited for a second time"


def test_what_a_worker_begins_does_not_wait_for_the_worker(
    session: str, holder: Holder, heard: list[str]
) -> None:
    mine = Turns(session, "gw0", patience=0.5)
    with holder("mps"), mine.on("mps"):
        assert not mine.held
    assert [line.partition(",")[0] for line in heard] == ["gw0: mps is shared with gw0"]


def test_who_holds_one_device_does_not_wait_for_another(
    session: str, holder: Holder, heard: list[str]
) -> None:
    mine = Turns(session, "gw1")
    with holder("xpu"), mine.on("mps", "xpu", "cpu"):
        assert mine.held
    assert [line.partition(" is ")[0] for line in heard] == ["gw1: xpu"]


def test_what_is_at_no_work_is_freed_before_another_device_is_waited_for(
    session: str, holder: Holder, heard: list[str]
) -> None:
    idle = contextlib.ExitStack()
    mine = Turns(session, "gw1", idle.close)
    idle.enter_context(mine.on("mps"))
    with holder("xpu", signs=2), mine.on("xpu"):
        assert mine.held
        with holder("mps"):
            pass
    assert len(heard) == 1, "waited, and shared nothing"


def test_of_several_the_first_that_is_free_is_taken(
    session: str, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Place] = []
    known = {"cuda": (Place("a", 1), Place("b", 0)), "cuda:0": (Place("b", 0),)}
    monkeypatch.setattr(device, "places", lambda name, _: known[name])
    monkeypatch.setattr(device, "use", used.append)
    mine = Turns(session, "gw1")
    with holder("a"), mine.on("cuda"), mine.on("cuda:0"), mine.on("cuda"):
        assert mine.held
    assert used == [Place("b", 0)] * 3, "another name of the same GPU"


def test_a_process_may_take_it_twice(session: str) -> None:
    """As two projects of one session do."""
    one, other = (Turns(session, "gw0", patience=0.0) for _ in range(2))
    with one.on("mps"), other.on("mps"):
        assert one.held
        assert other.held


def test_sessions_and_the_processor_are_apart(
    session: str, holder: Holder, heard: list[str]
) -> None:
    with (
        holder("mps"),
        Turns("another", "gw0").on("mps"),
        Turns("", "").on("mps"),
        (mine := Turns(session, "gw1")).on("cpu", "cpu:0"),
    ):
        assert heard == []
        assert not mine.held
