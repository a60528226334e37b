"""The commands in README and docs: each is one that there is, and those that run no model run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_modellab.cli.main import parser

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = ("modellab", "pytest", "python", "python3.11", "pip", "tox", "npm", "npx", "git")
OTHERS = ("lm_eval", "inspect", "promptfoo", "deepeval", "pre-commit")
"""Programs of other projects, whose options are theirs to check."""


class Command(NamedTuple):
    """One command of a page."""

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {shlex.join(self.words)}"


def _commands() -> Iterator[Command]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in FENCE.finditer(text):
            if block[1] not in ("", "sh", "console", "bash"):
                continue
            first = text.count("\n", 0, block.start(2)) + 1
            for number, line in enumerate(block[2].splitlines(), first):
                for part in line.removeprefix("$ ").split(" && "):
                    yield from _words(page, number, part)


def _words(page: Path, number: int, part: str) -> Iterator[Command]:
    try:
        words = shlex.split(part, comments=True)
    except ValueError:  # an apostrophe in what a command printed
        return
    if words and Path(words[0]).name in (*PROGRAMS, *OTHERS) and len(words) > 1:
        name = Path(words[0]).name
        if name == words[0] or words[0].startswith(".venv/bin/"):
            if words[1] == "0.1.0:":  # the header of a session
                return
            asked = words[1 : words.index(">") if ">" in words else None]
            yield Command(page.relative_to(ROOT).as_posix(), number, (name, *asked))


COMMANDS = tuple(_commands())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
TOX = (ROOT / "tox.ini").read_text(encoding="utf-8")


def _of(*programs: str) -> list[Command]:
    return [command for command in COMMANDS if command.words[0] in programs]


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 90
    assert {command.words[0] for command in COMMANDS} >= {"modellab", "pytest", "python", "pip"}


@pytest.mark.parametrize("command", _of("modellab"), ids=str)
def test_a_command_and_its_options_are_there(command: Command) -> None:
    parser().parse_args(command.words[1:])


@pytest.fixture(scope="module")
def options() -> set[str]:
    """The options that pytest knows with the plugin, and those of plugins beside it."""
    asked = [sys.executable, "-m", "pytest", "--help"]
    told = subprocess.run(asked, cwd=ROOT / "docs", capture_output=True, text=True, check=True)
    others = {"--alluredir", "--clean-alluredir", "--campaign"}
    return {*re.findall(r"(?<![\w-])--[a-z][a-z-]+", told.stdout), *others}


@pytest.mark.parametrize("command", _of("pytest"), ids=str)
def test_an_option_of_pytest_is_there(command: Command, options: set[str]) -> None:
    assert {word.partition("=")[0] for word in command.words if word.startswith("--")} <= options


@pytest.mark.parametrize("command", _of("tox"), ids=str)
def test_an_environment_of_tox_is_there(command: Command) -> None:
    (names,) = [word for word in command.words[2:] if re.fullmatch(r"[a-z,-]+", word)][1:2]
    for name in names.split(","):
        assert re.search(rf"^\[testenv:.*\b{name}\b", TOX, re.MULTILINE), name


@pytest.mark.parametrize("command", _of("pip"), ids=str)
def test_an_extra_is_there(command: Command) -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for names in re.findall(r"(?:pytest-modellab|CLONE|\.)\[([a-z,]+)\]", " ".join(command.words)):
        assert set(names.split(",")) <= set(extras)


@pytest.mark.parametrize("command", _of("python", "python3.11"), ids=str)
def test_a_module_or_script_is_there(command: Command) -> None:
    _, first, *rest = command.words
    place = rest[0].replace(".", "/") if first == "-m" else first
    files = [ROOT / place, ROOT / f"{place}.py", ROOT / place / "__main__.py"]
    assert place in ("pip", "venv") or any(file.is_file() for file in files), place


WITHOUT_A_MODEL = {"card", "completion", "diff", "history", "plan", "review", "schema", "tasks"}


def _runs(command: Command) -> bool:
    """Whether it can be run as it stands, in this repository and quickly."""
    text = " ".join(command.words)
    needs = (
        "-o ",
        "--write",
        "--html",
        "@stored",
        "questions",
        "starter",
        "rtn",
        " mine",
        "plain",
    )
    return command.words[1] in WITHOUT_A_MODEL and not any(part in text for part in needs)


@pytest.mark.parametrize("words", sorted({c.words[1:] for c in _of("modellab") if _runs(c)}))
def test_a_command_runs(words: tuple[str, ...]) -> None:
    pytest.importorskip("scipy")
    asked = [sys.executable, "-c", "from pytest_modellab import cli; raise SystemExit(cli.main())"]
    done = subprocess.run([*asked, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout.strip()
