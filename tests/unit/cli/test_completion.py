from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_modellab.cli import main
from pytest_modellab.cli.main import COMMANDS

NAMES = {command.__name__.rpartition(".")[2] for command in COMMANDS}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_command_stands_in_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert {*text.replace('"', " ").replace("'", " ").split()} >= {*NAMES, "--new-anchor"}


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["modellab", "acc"], ["accept"]),
        (["modellab", "accept", "--new"], ["--new-anchor"]),
        (["modellab", "accept", "plain", "--new"], ["--new-anchor"]),
        (["modellab", "tasks", "ch"], ["check"]),
        (["modellab", "tasks", "check", "--tra"], ["--train"]),
        (["modellab", "completion", "f"], ["fish"]),
    ],
)
def test_bash_completes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], typed: list[str], completed: list[str]
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    main(["completion", "bash"])
    script = capsys.readouterr().out
    words = " ".join(typed)
    ask = f"COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _modellab; echo ${{COMPREPLY[@]}}"
    command = [bash, "--norc", "-c", f"{script}\n{ask}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.split() == completed
