"""How threads share the cores: told once, before torch is imported."""

from __future__ import annotations

import os

import pytest

from pytest_modellab.engines import environment


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", *environment.WAITING):
        monkeypatch.setenv(name, "")  # so that what is set here goes when the test ends
        monkeypatch.delenv(name)


def test_waiting_threads_sleep_soon() -> None:
    environment.share()
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    assert "OMP_NUM_THREADS" not in os.environ


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cores", lambda: 7)
    environment.share(3)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert environment.threads() == 2


def test_more_workers_than_cores_have_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "cores", lambda: 2)
    environment.share(5)
    assert environment.threads() == 1


@pytest.mark.parametrize("name", sorted(environment.WAITING))
def test_what_the_user_says_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv(name, "active")
    environment.share(2)
    assert environment.threads() == 5
    told = {name: os.environ[name] for name in environment.WAITING & os.environ.keys()}
    assert told == {name: "active"}


def test_without_a_word_all_cores_compute() -> None:
    assert environment.threads() == environment.cores() >= 1
