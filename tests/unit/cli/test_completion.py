from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_modellab.cli.main import COMMANDS

NAMES = {command.__name__.rpartition(".")[2] for command in COMMANDS}
CONFIG = """
[task_sets.words]
path = "words"
[variants.plain]
kind = "prompted"
[variants."rounded.4"]
kind = "quantized"
[variants."$(touch acted)"]
[variants."a b"]
[variants."x\\n::error::y"]
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def complete(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Call ``modellab completion`` where a modellab.toml is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modellab.toml").write_text(CONFIG)
    return functools.partial(call, "completion")


@pytest.fixture
def ask(complete: Call, tmp_path: Path) -> Callable[[str, str, str], list[str]]:
    """Run a script of a shell after its completion's; returns the words that it prints."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "modellab"
    start = "from pytest_modellab.cli import main; raise SystemExit(main())"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "$@"\n')
    program.chmod(0o755)
    here = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    here["PYTHONPATH"] = os.pathsep.join(sys.path)

    def ask(shell: str, before: str, script: str) -> list[str]:
        found = shutil.which(shell)
        if found is None:
            pytest.skip(f"no {shell} here")
        quiet = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[shell]
        command = [found, quiet, "-c", f"{before}\n{complete(shell)[1]}\n{script}"]
        ran = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=here
        )
        assert ran.stderr == ""
        return ran.stdout.split()

    return ask


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_stands_in_the_script(shell: str, complete: Call) -> None:
    code, text, _ = complete(shell)
    assert code == 0
    found = {*text.replace('"', " ").replace("'", " ").replace("(", " ").replace(")", " ").split()}
    assert found >= {*NAMES, "--new-anchor"}


TYPED = [
    (["acc"], ["accept"]),
    (["accept", "--new"], ["--new-anchor"]),
    (["accept", "plain", "--new"], ["--new-anchor"]),
    (["accept", "r"], ["rounded.4"]),
    (["accept", "plain", "r"], ["rounded.4"]),
    (["diff", "--flipped", "w"], ["worse"]),
    (["diff", "plain", "--task-set", "w"], ["words"]),
    (["compare", "--reference", "p"], ["plain"]),
    (["tasks", "ch"], ["check"]),
    (["tasks", "check", "--tra"], ["--train"]),
    (["tasks", "check", "w"], ["words"]),
    (["tasks", "check", "--base", "pl"], ["plain"]),
    (["completion", "f"], ["fish"]),
]


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        *TYPED,
        (["diff", "plain", "--task-set", "="], ["words"]),
        (["diff", "plain", "--task-set", "=", "w"], ["words"]),
        (["diff", "--html", ""], []),
        (["replay", "--base", "p"], []),
    ],
)
def test_bash_completes(
    ask: Callable[[str, str, str], list[str]],
    tmp_path: Path,
    typed: Sequence[str],
    completed: list[str],
) -> None:
    words = " ".join(f"'{word}'" for word in typed)
    script = (
        f"COMP_WORDS=(modellab {words}); COMP_CWORD={len(typed)}; _modellab\n"
        'echo "${COMPREPLY[@]}"'
    )
    assert ask("bash", "", script) == completed
    assert not (tmp_path / "acted").exists()


@pytest.mark.parametrize(("typed", "completed"), TYPED[4:7])
def test_zsh_completes(
    ask: Callable[[str, str, str], list[str]], typed: Sequence[str], completed: list[str]
) -> None:
    # what zsh has within a completion alone: words are chosen by what they begin with
    before = "compdef() {}; compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }"
    script = f"words=(modellab {' '.join(typed)}); CURRENT={len(typed) + 1}; _modellab"
    assert ask("zsh", before, script) == completed


@pytest.mark.parametrize(("typed", "completed"), TYPED[5:7])
def test_fish_completes(
    ask: Callable[[str, str, str], list[str]], typed: Sequence[str], completed: list[str]
) -> None:
    assert ask("fish", "", f"complete -C 'modellab {' '.join(typed)}'") == completed


def test_names_are_those_that_are_declared(complete: Call) -> None:
    assert complete("--names", "variants") == (0, "plain\nrounded.4\n", "")
    assert complete("--names", "task_sets") == (0, "words\n", "")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"[variants.plain",
        b"\xff\xfe",
        b"variants = 3",
        b"x = " + b"[" * 100_000,
        b"[variants.plain]\n" + b"#" * 2_000_000,
    ],
    ids=["missing", "empty", "cut", "no text", "no table", "deep", "large"],
)
def test_a_broken_file_has_no_names_and_says_nothing(
    complete: Call, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "modellab.toml"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    code, out, err = complete("--names", "variants")
    assert (code, out.strip(), err) == (0, "", "")


def test_a_shell_is_needed(complete: Call) -> None:
    assert complete() == (2, "", "modellab: completion: for which shell? bash, zsh or fish\n")


def test_names_load_nothing_heavy(complete: Call, tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pytest_modellab import cli\n"
        "assert cli.main(['completion', '--names', 'variants']) == 0\n"
        "heavy = {'torch', 'numpy', 'scipy', 'transformers', 'rich', 'jinja2', 'pytest'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path, env=here)
