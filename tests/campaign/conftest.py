"""Counts what the campaign tried and what survived, and shows it at the end."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from campaign.forks import Forks, Trial, opened

PROPERTY = "campaign"

HEAD = ("part", "tried", "survived", "seconds")

SHOWN = 5
"""Failures that a test shows."""

INDEXED, TRAINED = ("faiss", "bm25s"), ("peft", "trl", "datasets")

MODULES = (
    *("torch", "transformers", "peft", "trl", "faiss", "bm25s", "pytest", "hypothesis"),
    *("pytest_modellab.lab.lab", "pytest_modellab.cli.main", "pytest_modellab.judging.drop"),
    *("campaign.world", "campaign.fuzz"),
)


def need(*modules: str) -> None:
    """Skip where an extra is missing; nothing is imported, the fork's parent does that."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


class Part:
    """One line of the table."""

    def __init__(self) -> None:
        self.tried = 0
        self.failures: list[str] = []

    def count(self, failure: str | None, tried: int = 1) -> None:
        """Count a trial, or several; a failure is told with all that repeats it."""
        self.tried += tried
        if failure is not None:
            self.failures.append(failure)


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether the long form was asked for."""
    return bool(pytestconfig.getoption("--campaign"))


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config, long: bool) -> int:
    """Of all that is drawn: the same in every short form, another in every long one."""
    named = pytestconfig.getoption("--campaign-seed")
    if named is not None:
        return int(named)
    return random.SystemRandom().randrange(10**6) if long else 0


@pytest.fixture(scope="session")
def needs() -> Callable[..., None]:
    """Skip where an extra is missing: ``needs(module, …)``."""
    return need


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """The process that forks for each trial."""
    need("torch", "transformers")
    with opened(MODULES) as found:
        found.run(Trial("builtins:int"))  # imports are no part's time
        yield found


@pytest.fixture(scope="session")
def project(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project that is attacked, nothing run yet; it is copied."""
    folder = tmp_path_factory.mktemp("campaign") / "project"
    folder.mkdir()
    ended = forks.run(Trial("campaign.world:write", (folder,), seconds=30))
    assert ended.how == "returned", ended.text
    return folder


@pytest.fixture(scope="session")
def made(forks: Forks, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with everything run, and in it a run that a kill has cut off."""
    need(*INDEXED, *TRAINED)
    folder = tmp_path_factory.mktemp("campaign") / "made"
    shutil.copytree(project, folder)
    for work in ("everything", "cut_off"):
        ended = forks.run(Trial(f"campaign.world:{work}", (folder,), seconds=60))
        assert ended.how == "returned", ended.text
    return folder


@pytest.fixture
def part(
    record_property: Callable[[str, Any], None], seed: int
) -> Callable[[str], contextlib.AbstractContextManager[Part]]:
    """Begin a part: ``with part(name) as counted``; it fails at its end if anything did."""

    @contextlib.contextmanager
    def begin(name: str) -> Iterator[Part]:
        begun, counted = time.monotonic(), Part()
        yield counted
        bad = len(counted.failures)
        seconds = round(time.monotonic() - begun, 1)
        record_property(PROPERTY, [name, counted.tried, counted.tried - bad, seconds, seed])
        shown = "\n\n".join(counted.failures[:SHOWN])
        assert not bad, f"{name}: {bad} of {counted.tried} failed (seed {seed}):\n{shown}"
        assert counted.tried, f"{name}: nothing was tried"

    return begin


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show the table, and write it where that was asked for."""
    rows = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if not rows:
        return
    texts = [tuple(map(str, row[:4])) for row in rows]
    total = (sum(row[1] for row in rows), sum(row[2] for row in rows))
    texts.append(("all", *map(str, total), f"{sum(row[3] for row in rows):.1f}"))
    terminalreporter.section(f"campaign, seed {rows[0][4]}")
    width = max(len(name) for name, *_ in texts)
    for name, *numbers in (HEAD, *texts):
        terminalreporter.write_line(name.ljust(width) + "".join(n.rjust(10) for n in numbers))
    if (path := config.getoption("--campaign-table")) is not None:
        lines = [f"| {' | '.join(row)} |" for row in (HEAD, ("---", *["--:"] * 3), *texts)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
