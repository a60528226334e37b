"""``modellab accept``: what it writes and says, on the random model."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pull_requests import git

from pytest_modellab import cli
from pytest_modellab.baselines import file
from pytest_modellab.baselines.chain import without_metrics

Say = Callable[..., list[str]]


@pytest.fixture
def accept(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Say:
    """Accept the prompted variant; returns the lines that are printed."""
    monkeypatch.chdir(project.path)

    def accept(*arguments: str, variant: str = "plain") -> list[str]:
        capsys.readouterr()
        assert cli.main(["accept", variant, *arguments]) == 0
        return capsys.readouterr().out.splitlines()

    return accept


@pytest.fixture
def bad(accept: Say, raise_baseline: Callable[[str], None]) -> None:
    """The base has an accepted run that is far better than any of ``rounded``."""
    accept()
    raise_baseline("plain")


def replace(project: pytest.Pytester, name: str, old: str, new: str) -> None:
    text = (project.path / name).read_text()
    assert old in text
    (project.path / name).write_text(text.replace(old, new))


STEADY = "  0 of 132 samples (0.0%) flipped though nothing changed"


def test_accept_and_accept_again(project: pytest.Pytester, accept: Say) -> None:
    first, churn = accept()
    assert first.endswith("; wrote baselines/words/plain.json")
    assert churn == STEADY
    again, churn = accept()
    assert again.endswith("; baselines/words/plain.json is unchanged")
    assert churn == f"{STEADY}; 0 of 132 did when plain was last accepted"


def test_without_a_task_set_those_accepted_before_are_run(
    project: pytest.Pytester, accept: Say
) -> None:
    declared = '\n[task_sets.again]\npath = "words"\n'
    replace(project, "modellab.toml", "[variants.plain]", f"{declared}[variants.plain]")
    accept("--task-set", "again")
    assert not (project.path / "baselines" / "words").exists()
    again, _ = accept()
    assert again.startswith("plain on again: ")
    both = accept(variant="rounded")
    assert [line.split(":")[0] for line in both if ": success" in line] == [
        "rounded on words",
        "rounded on again",
    ]


def test_a_change_is_judged_against_the_last_run_and_the_anchor(
    project: pytest.Pytester, accept: Say
) -> None:
    accept()
    replace(project, "prompt.jinja", "{{ input }}", "Well: {{ input }}")
    said = accept()
    assert said[2] == "  beside the last accepted run:"
    assert re.fullmatch(r"    all samples +132  0\.\d\d -> 0\.\d\d  \D+", said[4])
    last, moved = said[-2:]
    assert last.startswith("  against the last accepted run, the anchor: ")
    figure = r"0\.\d{3} -> 0\.\d{3} \([+-]0\.\d{3}\)"
    assert re.fullmatch(
        f"  compared with the last accepted run: probability {figure}(, likelihood {figure})?",
        moved,
    )
    replace(project, "prompt.jinja", "Well: {{ input }}", "So: {{ input }}")
    last, moved, anchor = accept()[-3:]
    assert last.startswith("  against the last accepted run: ")
    assert anchor.startswith("  against its anchor of 20")
    assert " (2 changes accepted since): " in anchor
    assert len(accept("--new-anchor")) == 2
    kept = file.read(project.path / "baselines" / "words" / "plain.json")
    assert kept is not None
    assert kept.anchor is None


def test_what_a_review_will_ask_is_said_and_written(
    project: pytest.Pytester, accept: Say, raise_baseline: Callable[[str], None]
) -> None:
    *_, nowhere = accept("--because", "all agreed")
    assert nowhere == (
        "--because: modellab review cannot compare here, so no reason was written: run it to see "
        "why"
    )
    raise_baseline("plain")
    git(project.path, "init", "-q", "-b", "main")
    git(project.path, "add", "modellab.toml", "test_suite.py", "words", "baselines")
    git(project.path, "commit", "-q", "-m", "a gate")
    *_, asked, table, reason = accept()
    assert re.fullmatch(
        r"1 accepted run is weaker than at [0-9a-f]{7} \(.*\)\. modellab review, and so the check "
        r"in CI, fails until it is said why: modellab accept plain --because REASON, or add to "
        r"modellab\.toml:",
        asked,
    )
    assert table == "[acknowledged]"
    key = r'"baselines\.words\.plain\.mean 1 -> 0\.\d+" = '
    assert re.fullmatch(f'{key}"agreed with … because …"', reason)
    assert cli.main(["review"]) == 1
    *_, wrote, line = accept("--because", "all agreed")
    assert wrote == "wrote to [acknowledged] in modellab.toml:"
    assert re.fullmatch(f'{key}"all agreed"', line)
    assert cli.main(["review"]) == 0
    *_, nothing = accept("--because", "all agreed")
    assert nothing == "--because: nothing became weaker that has no reason yet: none was written"


def test_an_empty_reason_is_refused_before_anything_runs(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    assert cli.main(["accept", "plain", "--because", " "]) == 2
    said = "--because: it is empty; say who agreed to a lower accepted run and why"
    assert said in capsys.readouterr().err


def test_missing_files_are_all_told_before_anything_runs(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.path)
    replace(project, "modellab.toml", 'prompt = "prompt.jinja"', 'prompt = "promt.jinja"')
    replace(project, "modellab.toml", 'path = "words"', 'path = "wrds"')
    assert cli.main(["accept", "plain", "--task-set", "words"]) == 2
    prompt, task_set = capsys.readouterr().err.splitlines()
    exists = "does not exist; did you mean"
    assert prompt.endswith(
        f"modellab.toml: variants.plain.prompt: 'promt.jinja' {exists} 'prompt.jinja'?"
    )
    assert task_set.endswith(f"task_sets.words.path: 'wrds' {exists} 'words'?")


def test_metrics_that_are_new_are_no_accepted_change(project: pytest.Pytester, accept: Say) -> None:
    """As of a baseline of an older version, which kept none."""
    accept()
    path = project.path / "baselines" / "words" / "plain.json"
    kept = file.read(path)
    assert kept is not None
    assert kept.repeat is not None
    bare = dataclasses.replace(kept.repeat, metrics={})
    file.write(path, dataclasses.replace(kept, run=without_metrics(kept.run), repeat=bare))
    first, *_, judged, added = accept()
    assert first.endswith("; wrote baselines/words/plain.json")
    assert judged.startswith("  against the last accepted run: ")
    assert re.fullmatch(r"  kept from now on: probability 0\.\d{3}, likelihood 0\.\d{3}", added)
    assert file.read(path) == kept


def test_what_cannot_be_compared_is_said_without_asking_to_accept(
    project: pytest.Pytester, accept: Say
) -> None:
    accept()
    replace(project, "words/task_set.toml", 'version = "1"', 'version = "2"')
    _, _, said = accept()
    assert said == (
        "  not compared with the last accepted run: task set 'words' has version 2, the reference "
        "was run on 1"
    )


def test_other_samples_begin_a_new_chain(project: pytest.Pytester, accept: Say) -> None:
    accept()
    path = project.path / "words" / "samples.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    _, _, said = accept()
    assert said == (
        "  the task set or a scorer has changed since the last accepted run: a new chain begins"
    )


def test_a_kill_between_the_runs_leaves_the_old_baseline(
    project: pytest.Pytester, accept: Say
) -> None:
    accept(variant="rounded")
    path = project.path / "baselines" / "words" / "rounded.json"
    before = path.read_bytes()
    replace(project, "modellab.toml", "bits = 8", "bits = 2")
    with subprocess.Popen(
        [Path(sys.executable).with_name("modellab"), "accept", "rounded"],
        cwd=project.path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("second run of rounded on words: 0/"):
                process.kill()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    assert accept(variant="rounded")[0].endswith("; wrote baselines/words/rounded.json")


def test_a_variant_is_shown_beside_its_base_by_capability(accept: Say) -> None:
    accept()
    said = accept(variant="rounded")
    assert said[2:4] == ["  beside its base plain:", "                 samples  success"]
    shown = [re.sub(r" +", " ", line) for line in said[4:7]]
    number = r"0\.\d+"
    words = r"(the same|higher|lower, within chance|too few \(\d+\) to tell)"
    for line, name in zip(shown, ("all samples 132", "alpha 66", "beta 66"), strict=True):
        assert re.fullmatch(f" {name} {number} -> {number} {words}", line)


def test_without_a_run_of_the_base_the_command_that_makes_it_is_said(accept: Say) -> None:
    assert accept(variant="rounded")[2] == (
        "  not compared with its base plain, which was not run on words: "
        "modellab accept plain --task-set words"
    )


@pytest.mark.usefixtures("bad")
def test_a_first_baseline_that_is_worse_than_its_base_is_not_written_unasked(
    project: pytest.Pytester, capsys: pytest.CaptureFixture[str], accept: Say
) -> None:
    assert cli.main(["accept", "rounded"]) == cli.common.EXIT_FOUND
    out, err = capsys.readouterr()
    assert out.startswith("rounded on words: success 0.")
    assert re.search(r"    all samples +132  1\.00 -> 0\.\d\d  worse beyond chance\n", out)
    assert re.search(
        "modellab: 'rounded' on 'words': not accepted: as a first baseline it would be worse than "
        r"its base plain beyond chance: all samples 1\.00 -> 0\.\d\d, alpha 1\.00 -> 0\.\d\d, .*; "
        "later runs are compared with it, and may be as bad: mend the variant, or accept it all "
        "the same: modellab accept rounded --first\n",
        err,
    )
    path = project.path / "baselines" / "words" / "rounded.json"
    assert not path.exists()
    said = accept("--first", variant="rounded")
    assert said[0].endswith("; wrote baselines/words/rounded.json")
    assert said[-1].startswith(
        "  the file says that it was accepted though worse than its base plain beyond chance: all "
    )
    kept = file.read(path)
    assert kept is not None
    assert kept.despite is not None
    assert [str(kept.despite.base), *(one.name for one in kept.despite.fell)] == [
        "plain",
        "all",
        "alpha",
        "beta",
    ]
    assert '"accepted_despite": {' in path.read_text()
    assert accept(variant="rounded")[0].endswith("rounded.json is unchanged")
    replace(project, "modellab.toml", "bits = 8", "bits = 2")
    accept(variant="rounded")  # its base is not asked of again, and the chain still begins there
    again = file.read(path)
    assert again is not None
    assert again.anchor is not None
    assert again.despite == kept.despite


@pytest.mark.parametrize(("answer", "written"), [("y", True), ("n", False), ("", False)])
@pytest.mark.usefixtures("bad")
def test_on_a_terminal_it_is_asked_for(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, answer: str, written: bool
) -> None:
    asked = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("builtins.input", reply)
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True)
    code = cli.main(["accept", "rounded"])
    assert asked == [
        "rounded is worse than its base. Make this its first baseline all the same? [y/N] "
    ]
    assert code == (0 if written else 1)
    assert (project.path / "baselines" / "words" / "rounded.json").exists() == written


@pytest.mark.usefixtures("bad")
def test_update_mode_refuses_it_and_later_verdicts_name_it(
    project: pytest.Pytester, accept: Say
) -> None:
    path = project.path / "baselines" / "words" / "rounded.json"
    result = project.runpytest_inprocess("--modellab-update", "-k", "overall and rounded")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*not accepted: as a first baseline it would be worse than its *"])
    assert not path.exists()
    accept("--first", variant="rounded")
    result = project.runpytest_inprocess("-k", "overall and rounded", "--modellab-json=report.json")
    (judged,) = json.loads((project.path / "report.json").read_text())["comparisons"]
    (note,) = judged["notes"]
    assert note.startswith(
        "the first accepted run of rounded was worse than its base plain beyond chance: all samples"
    )
