from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.baselines import origin
from pytest_modellab.reports.text import steps
from pytest_modellab.reports.text.table import render_text
from pytest_modellab.store import git

Make = Any


def test_the_first_samples_are_shown_with_question_target_and_both_replies(
    comparison: Make, flip: Make
) -> None:
    asked = flip(asked="What is 5 x\n7 - 23?", expected="12")
    more = tuple(flip(id=f"b-{i}", bucket="code/easy", asked="?") for i in range(3))
    found = render_text(comparison("block", flips=(asked, *more))).splitlines()
    assert found[6:12] == [
        "4 flipped samples, 4 worse and 0 better; worse in code/easy 3, arithmetic/hard 1:",
        "  arithmetic-hard-003  score 1 -> 0",
        "    asked         What is 5 x\\n7 - 23?",
        "    expected      12",
        "    own baseline  The answer is [-12-].",
        "    nf4           The answer is {+11+}.",
    ]
    assert found[-2:] == [
        "  sample  score   own baseline       nf4",
        "  b-2     1 -> 0  The answer is 12.  The answer is 11.",
    ]


def test_slices_beyond_the_fourth_are_counted(comparison: Make, flip: Make) -> None:
    flips = tuple(flip(id=f"{i}-{j}", bucket=f"c{i}/easy") for i in range(6) for j in range(6 - i))
    text = render_text(comparison("block", flips=flips))
    assert "; worse in c0/easy 6, c1/easy 5, c2/easy 4, c3/easy 3, 2 others 3" in text


def test_steps_say_what_to_type(comparison: Make, flip: Make) -> None:
    own = comparison("block", flips=(flip(),), reference="b/nf4.json, not committed")
    assert steps.lines(own, "suites/test_a.py::test_b[nf4]") == [
        "compared with: b/nf4.json, not committed",
        'run it again: pytest "suites/test_a.py::test_b[nf4]"',
        "side by side: modellab diff nf4 --task-set assistant_core_v2 --sample=arithmetic-hard-003",
    ]
    base = comparison("block", against="baseline of plain", flips=(flip(id="a b"),))
    assert steps.beside(base) == (
        "modellab diff plain nf4 --task-set assistant_core_v2 '--sample=a b'"
    )
    dash = comparison("block", flips=(flip(id="-x"),))
    assert steps.beside(dash).endswith(" --sample=-x"), "argparse takes it for the id"
    assert steps.beside(comparison("block", against="floor", flips=(flip(),))) == ""
    assert steps.beside(comparison("block")) == ""


@pytest.mark.parametrize("name", ['a"b', "a$(x)", "a`x`", "a\\b", "a!b"])
def test_a_node_id_that_a_shell_would_act_on_is_quoted(name: str) -> None:
    assert steps.rerun(f"t.py::test[{name}]") == f"pytest 't.py::test[{name}]'"


def test_a_baseline_names_the_commit_it_came_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "A. Person")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "a@example.org")
        monkeypatch.setenv(f"GIT_{key}_DATE", "2026-11-20T12:00:00+0000")
    path = tmp_path / "nf4.json"
    path.write_text("{}")
    git.ask(tmp_path, "init", "-q")
    git.ask(tmp_path, "commit", "-q", "--allow-empty", "-m", "first")
    assert origin.words(path) == "nf4.json, not committed"
    git.ask(tmp_path, "add", "nf4.json")
    git.ask(tmp_path, "commit", "-q", "-m", "accept")
    commit = git.ask(tmp_path, "rev-parse", "--short", "HEAD").decode().strip()
    assert origin.words(path) == f"nf4.json, of commit {commit} (2026-11-20, A. Person)"
    path.write_text("[]")
    assert origin.words(path) == (
        f"nf4.json, changed since commit {commit} (2026-11-20, A. Person)"
    )

    git.ask(tmp_path, "clone", "-q", "--depth", "1", f"file://{tmp_path}", "shallow")
    shallow = tmp_path / "shallow" / "nf4.json"
    assert origin.words(shallow) == "shallow/nf4.json", "its only commit may be another's"


def test_outside_of_a_repository_the_file_alone_is_named(tmp_path: Path) -> None:
    assert origin.words(tmp_path / "nf4.json").endswith("nf4.json")
