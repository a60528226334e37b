"""Nothing is fetched while judging: a session with the network cut is like any other."""

from __future__ import annotations

import pytest

CUT = """
import socket

def refuse(what):
    with open("asked", "a") as file:
        file.write(f"{what}\\n")
    raise OSError(f"the network is cut: {what}")

class Cut(socket.socket):
    def connect(self, address):
        self._check(address)
        return super().connect(address)
    def connect_ex(self, address):
        self._check(address)
        return super().connect_ex(address)
    def sendto(self, data, *rest):
        self._check(rest[-1])
        return super().sendto(data, *rest)
    def _check(self, address):
        if self.family != getattr(socket, "AF_UNIX", None) and address[0] not in LOCAL:
            refuse(address)

LOCAL = ("127.0.0.1", "::1", "localhost")
look_up = socket.getaddrinfo

def getaddrinfo(host, *rest, **named):
    if host not in (None, "", *LOCAL):
        refuse(host)
    return look_up(host, *rest, **named)

socket.socket, socket.getaddrinfo = Cut, getaddrinfo
"""


@pytest.mark.parametrize("offline", ["unset", "1"])
def test_nothing_is_fetched_while_judging(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, offline: str
) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    if offline != "unset":
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    (project.path / "sitecustomize.py").write_text(CUT)
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    run = project.runpytest_subprocess("--modellab-update")  # runs a model
    run.assert_outcomes(passed=8)
    stored = project.runpytest_subprocess()
    assert stored.ret == 0
    stored.stdout.fnmatch_lines(["*(stored)*"])
    assert not (project.path / "asked").exists()


def test_the_cut_is_noticed(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.path / "sitecustomize.py").write_text(CUT)
    monkeypatch.setenv("PYTHONPATH", str(project.path), prepend=":")
    (project.path / "test_suite.py").write_text(
        "import urllib.request\n"
        "def test_fetch():\n"
        "    urllib.request.urlopen('http://example.org')\n"
    )
    project.runpytest_subprocess().assert_outcomes(failed=1)
    assert (project.path / "asked").read_text() == "example.org\n"
