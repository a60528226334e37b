"""docs/ci.md: its YAML parses, and every option and command in it is one that there is."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.cli.main import COMMANDS
from pytest_modellab.plugin.options import OPTIONS

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [DOCS / name for name in ("ci.md", "tracking.md", "card.md")]
TEXT = (DOCS / "ci.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def workflow(number: int) -> Any:
    return pytest.importorskip("yaml").safe_load(blocks("yaml")[number])


def calls(program: str) -> list[list[str]]:
    """The arguments of every call of a program in the recipes."""
    lines = [line for block in blocks("groovy") for line in block.splitlines()]
    lines = re.findall(r"sh '(.*?)'$", "\n".join(lines), re.MULTILINE)
    github, gitlab = workflow(0), workflow(1)
    steps = [step for job in github["jobs"].values() for step in job["steps"]]
    lines += [step["run"] for step in steps if "run" in step]
    lines += [line for job in gitlab.values() if "script" in job for line in job["script"]]
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words and Path(words[0]).name == program]


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modellab")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(subparsers)
    return parser


def test_github_workflow_has_what_it_needs_and_may_do_no_more() -> None:
    found = workflow(0)
    assert set(found[True]) == {"pull_request", "merge_group", "push"}, "YAML reads `on` as true"
    assert found["permissions"] == {}
    assert found["jobs"]["modellab"]["permissions"] == {"contents": "read"}
    assert found["jobs"]["comment"]["permissions"] == {"pull-requests": "write"}
    steps = found["jobs"]["comment"]["steps"]
    assert not any("checkout" in step.get("uses", "") for step in steps), "no code of the request"
    (comment,) = [step["run"] for step in steps if "run" in step]
    assert comment.startswith('gh pr comment "$NUMBER" --edit-last --create-if-none ')
    checkout = found["jobs"]["modellab"]["steps"][0]["with"]
    assert checkout == {"fetch-depth": 0, "persist-credentials": False}


def test_gitlab_keeps_junit_and_artefacts() -> None:
    gate = workflow(1)["modellab"]
    assert gate["artifacts"]["reports"] == {"junit": "junit.xml"}
    assert gate["artifacts"]["when"] == "always"


def test_every_recipe_calls_pytest_alike_with_options_that_there_are(
    pytester: pytest.Pytester,
) -> None:
    found = calls("pytest")
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    arguments = found[0]
    if importlib.util.find_spec("allure_pytest") is None:
        arguments = arguments[: arguments.index("--alluredir")]
    config = pytester.parseconfig(*arguments)  # an unknown option is a usage error
    assert config.getoption("modellab_markdown") == "modellab.md"
    assert config.getoption("xmlpath") == "junit.xml"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_the_plugin_is_one(page: Path) -> None:
    for name in re.findall(r"--modellab-([a-z-]+)", page.read_text(encoding="utf-8")):
        assert name in OPTIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_call_of_a_command_is_valid(page: Path, parser: argparse.ArgumentParser) -> None:
    text = page.read_text(encoding="utf-8")
    examples = [
        line
        for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
        if line.startswith("modellab ")
    ]
    for line in examples:
        parser.parse_args(shlex.split(line, comments=True)[1:])
    named = set(re.findall(r"`modellab ([a-z]+)", text))
    assert named <= {command.__name__.rpartition(".")[2] for command in COMMANDS}


def test_every_command_has_its_exit_codes() -> None:
    rows = dict(re.findall(r"^\| `(?:modellab )?([a-z]+)` \|(.*)\|$", TEXT, re.MULTILINE))
    commands = {command.__name__.rpartition(".")[2] for command in COMMANDS}
    assert set(rows) == {"pytest", *commands}
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        source = Path(str(command.__file__)).read_text(encoding="utf-8")
        cells = [cell.strip() for cell in rows[name].split("|")]
        assert (cells[1] != "–") == ("EXIT_FOUND" in source), name
        assert (cells[3] != "–") == ("EXIT_INCONCLUSIVE" in source), name
