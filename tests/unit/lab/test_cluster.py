"""What is said of a cluster that does not answer, or is lost; no Ray is needed."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest
from waiting import Waiting, job

from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.lab.cluster import Cluster, Needs
from pytest_modellab.lab.rounds import Pending, Rounds
from pytest_modellab.records.progress import Advance
from pytest_modellab.records.runs import Output
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.store.runs import StoredRun


def opened(source: Source) -> Engine:
    return source.open(Path())


class Silent(types.ModuleType):
    """Ray, where nothing answers."""

    def is_initialized(self) -> bool:
        return False

    def init(self, *_: Any, **__: Any) -> None:
        raise ConnectionError("no\nanswer")


class Lost(Silent):
    """Ray, which loses its cluster once the workers are asked for."""

    def init(self, *_: Any, **__: Any) -> None:
        pass

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": {"CPU": 4.0}}]

    def remote(self, **_: Any) -> Any:
        return lambda _: self

    def options(self, **_: Any) -> Any:
        return types.SimpleNamespace(remote=lambda *_: self)

    @property
    def ready(self) -> Any:
        return types.SimpleNamespace(remote=lambda: "ready")

    def wait(self, *_: Any, **__: Any) -> None:
        raise ConnectionError("it is shutting down.")

    kill = wait


class Refusing(Lost):
    """Ray, whose workers begin, and to whom no job can be sent."""

    exceptions = types.SimpleNamespace(RayTaskError=KeyError, RayError=KeyError)

    def wait(self, futures: list[str], **_: Any) -> Any:
        return futures, []

    def get(self, _: str) -> None:
        pass

    @property
    def answer(self) -> Any:
        return types.SimpleNamespace(remote=self.refuse)

    def refuse(self, *_: Any) -> None:
        raise TypeError("a lock does not pickle")

    def kill(self, _: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("address", "named", "mode", "hint"),
    [
        ("ray", "", "", ""),
        (
            "ray",
            "127.0.0.1:1",
            "token",
            "; check that the host is reached from here, that Ray has the same version there, and "
            "tokens: a cluster that was begun with one answers only where RAY_AUTH_MODE=token is "
            "set here too (it is set) and RAY_AUTH_TOKEN or ~/.ray/auth_token has the token",
        ),
        (
            "ray://head:10001",
            "",
            "",
            "; check that the host is reached from here and the port is that of Ray's client "
            "server, 10001 where it is not told, that Ray has the same version there, and tokens: "
            "a cluster that was begun with one answers only where RAY_AUTH_MODE=token is set here "
            "too (it is not set) and RAY_AUTH_TOKEN or ~/.ray/auth_token has the token",
        ),
    ],
)
def test_a_cluster_that_does_not_answer(
    address: str, named: str, mode: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", Silent("ray"))
    monkeypatch.setenv("RAY_ADDRESS", named)
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(ConfigError) as raised:
        Cluster(address, None, Needs())
    where = f"RAY_ADDRESS={named}" if named else f"--on {address}"
    why = "ConnectionRefusedError: [Errno 111] Connection refused" if named else None
    assert str(raised.value) == (
        f"{where}: no cluster answers there, or Ray cannot begin one: "
        f"{why or 'ConnectionError: no answer'}{hint}"
    )


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.3, 0.7])
def test_a_node_has_room_for_as_many_as_fit(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", Lost("ray"))
    needs = Needs(cpus=share)
    assert Cluster("ray", None, needs).workers == int(40 / round(10 * share, 1))


def test_a_cluster_that_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", Lost("ray"))
    on = Cluster("ray", None, Needs())
    here = InProcess(tmp_path, opened)
    with pytest.raises(ModellabError) as raised:
        on.obtain([job("v", 3, Waiting())], here, print, lambda one: one.spec.name, lambda _: None)
    assert str(raised.value) == (
        "the connection to the cluster is lost: ConnectionError: it is shutting down. What has "
        "arrived is stored; when this is run again it goes on from there"
    )


def test_where_all_is_given_up_no_progress_of_nothing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", Refusing("ray"))
    told: list[str] = []
    seen: list[Advance] = []
    Cluster("ray", None, Needs()).obtain(
        [job("v", 3, Waiting())],
        InProcess(tmp_path, opened),
        lambda _, found: told.append(str(found)),
        lambda one: one.spec.name,
        seen.append,
    )
    assert told == ["it cannot be sent to a worker: TypeError: a lock does not pickle"]
    assert [(one.done, one.total) for one in seen] == [(0, 3)]


def test_a_worker_that_answers_too_few_samples_is_not_believed(tmp_path: Path) -> None:
    asked = job("v", 3, Waiting())
    pending = Pending(asked, [asked], due=[0])
    told: list[object] = []
    here = InProcess(tmp_path, opened)
    rounds = Rounds(
        Silent("ray"), lambda: None, [pending], here, lambda _, found: told.append(found), print
    )
    rounds._arrived(pending, 0, StoredRun((Output("said"),), {}, {}))
    assert [str(one) for one in told] == ["a worker answered 1 samples of 3"]
    assert here.recall(asked) is None
