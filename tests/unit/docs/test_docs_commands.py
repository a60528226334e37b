"""The commands in README and docs: each is one that there is. tests/plugin/test_documented.py runs
them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
from documented import ROOT, Command, commands

from pytest_modellab.cli.main import parser

COMMANDS = commands()
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
