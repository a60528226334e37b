"""The history of accepted runs, from a real git repository."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli
from pytest_modellab.baselines import file, history
from pytest_modellab.baselines.accepted import Baseline, Despite, Fall, Repeat
from pytest_modellab.baselines.chain import descend
from pytest_modellab.cli.history import plot
from pytest_modellab.errors import HistoryUnavailable
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet

Make = Callable[..., Any]
TOML = """
[models.tiny]
source = "./tiny"
[task_sets.tiny]
path = "tiny"
[variants.plain]
kind = "prompted"
model = "tiny"
"""


def git(folder: Path, *arguments: str) -> None:
    named = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    subprocess.run(["git", *named, *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607


@pytest.fixture
def tiny(sample: Make, make_tasks: Make) -> TaskSet:
    made: TaskSet = make_tasks([sample(k, capability="ab"[k % 2]) for k in range(4)])
    return made


@pytest.fixture
def project(
    tmp_path: Path, tiny: TaskSet, write_samples: Callable[..., Path], monkeypatch: Any
) -> Path:
    write_samples(tiny.samples)
    (tmp_path / "modellab.toml").write_text(TOML)
    git(tmp_path, "init", "-q")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def accept(project: Path, tiny: TaskSet, record: Make) -> Callable[..., None]:
    """Accept a run of the given scores, and commit it unless told otherwise."""

    def accept(*scores: float, commit: str = "accepted") -> None:
        run: RunRecord = record(tiny, scores, environment={"recorded": "2026-03-01"})
        path = project / "baselines" / "tiny" / "plain.json"
        old = file.read(path)
        repeat = Repeat((1.0, *scores[1:]), {})
        file.write(path, descend(old, run, repeat))
        if commit:
            git(project, "add", ".")
            git(project, "commit", "-q", "-m", commit, "--date=2026-02-01T12:00:00+00:00")

    return accept


def test_revisions(project: Path, tiny: TaskSet, accept: Make) -> None:
    accept(1, 1, 1, 1, commit="first")
    accept(0, 1, 1, 1, commit="second: | \x02 odd")
    accept(0, 0, 1, 1, commit="")
    path = project / "baselines" / "tiny" / "plain.json"
    capabilities = {sample.content_hash: sample.capability for sample in tiny.samples}
    first, second, now = history.read(path, capabilities)
    assert (first.subject, first.mean, first.anchor, first.changes) == ("first", 1.0, 1.0, 0)
    assert (second.mean, second.anchor, second.changes, second.churn) == (0.75, 1.0, 1, 0.25)
    assert second.worst is not None
    assert (second.worst.name, second.worst.n, second.worst.mean) == ("a", 2, 0.5)
    assert (now.commit, now.date, now.mean, now.changes) == ("not committed", "2026-03-01", 0.5, 2)


def test_a_revision_that_cannot_be_read_is_listed(
    project: Path, accept: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(1, 1, 1, 1)
    path = project / "baselines" / "tiny" / "plain.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    git(project, "commit", "-q", "-a", "-m", "cut off")
    path.write_text(whole)
    git(project, "commit", "-q", "-a", "-m", "restored: no NaN")
    accept(0, 1, 1, 1)
    good, bad, *_ = history.read(path, {})
    assert good.worst is None, "today's samples are other ones"
    assert bad.problem.startswith(f"{bad.commit}:")
    assert "truncated or malformed JSON" in bad.problem
    assert cli.main(["history", "plain"]) == 0
    assert "cannot be read: " in capsys.readouterr().out
    assert cli.main(["history", "plain", "--json"]) == 0
    _, cut_off, whole, _ = json.loads(capsys.readouterr().out)["tiny"]
    assert (cut_off["mean"], cut_off["anchor"], whole["mean"]) == (None, None, 1.0)
    assert whole["subject"] == "restored: no NaN"


def test_a_renamed_file_is_followed(project: Path, accept: Make) -> None:
    accept(1, 1, 1, 1)
    git(project, "mv", "baselines/tiny/plain.json", "baselines/tiny/other.json")
    git(project, "commit", "-q", "-m", "renamed")
    found = history.read(project / "baselines" / "tiny" / "other.json", {})
    assert [revision.subject for revision in found] == ["accepted", "renamed"]


def test_a_similar_baseline_is_another_history(project: Path, accept: Make) -> None:
    accept(1, 1, 1, 1, commit="first")
    folder = project / "baselines" / "tiny"
    (folder / "other.json").write_text((folder / "plain.json").read_text() + "\n")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "", "--allow-empty-message")
    accept(0, 1, 1, 1, commit="second")
    (alone,) = history.read(folder / "other.json", {})
    assert (alone.subject, alone.commit == history.UNCOMMITTED) == ("", False)
    subjects = [revision.subject for revision in history.read(folder / "plain.json", {})]
    assert subjects == ["first", "second"]


def test_the_settings_of_git_do_not_matter(project: Path, accept: Make) -> None:
    accept(1, 1, 1, 1, commit="first")
    git(project, "config", "diff.relative", "true")
    git(project, "config", "core.quotePath", "true")
    path = project / "baselines" / "tiny" / "plain.json"
    assert [revision.subject for revision in history.read(path, {})] == ["first"]


def test_nothing_committed_yet(project: Path, accept: Make) -> None:
    accept(1, 1, 1, 1, commit="")
    (only,) = history.read(project / "baselines" / "tiny" / "plain.json", {})
    assert (only.commit, only.mean) == (history.UNCOMMITTED, 1.0)


def test_the_command(project: Path, accept: Make, capsys: pytest.CaptureFixture[str]) -> None:
    accept(1, 1, 1, 1)
    accept(0, 1, 1, 1)
    assert cli.main(["history", "plain"]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "plain on tiny"
    assert lines[2].startswith("1 ")
    assert lines[2].endswith(" 1.000 itself 0.0% a 1.00")
    assert lines[3].endswith(" 0.750 -0.250 -0.250 25.0% a 0.50")
    assert "(success)" in out, "the plot"
    assert cli.main(["history", "plain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tiny"]
    assert [revision["mean"] for revision in found] == [1.0, 0.75]


def test_scores_on_other_samples_are_no_change(
    project: Path, accept: Make, make_tasks: Make, sample: Make, record: Make, capsys: Any
) -> None:
    accept(1, 1, 1, 1)
    other = make_tasks([sample(k) for k in range(1, 5)])
    file.write(
        project / "baselines" / "tiny" / "plain.json",
        Baseline(record(other, (1, 1, 0, 1))),
    )
    assert cli.main(["history", "plain"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[3].endswith(" not committed 0.750 itself"), "of the same version, all the same"


def test_a_metric(
    project: Path, tiny: TaskSet, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs that were accepted before it was kept are listed, and say so."""
    path = project / "baselines" / "tiny" / "plain.json"
    old = None
    for number, value in enumerate((None, 0.5, 0.25)):
        run = record(tiny, [1.0] * 4, environment={"recorded": "2026-03-01"})
        if value is not None:
            both = {"likelihood": value, "probability": value / 2}
            samples = [dataclasses.replace(s, metrics=both) for s in run.samples[:3]]
            reply = dataclasses.replace(run.samples[3], metrics={"likelihood": 1.0})
            run = dataclasses.replace(run, samples=(*samples, reply))
        old = descend(old, run, None)
        file.write(path, old)
        git(project, "add", ".")
        git(project, "commit", "-q", "-m", str(number))
    assert cli.main(["history", "plain", "--metric", "likelihood"]) == 0
    out = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[1].split()[2] == "likelihood"
    assert lines[2].endswith(" has no likelihood")
    assert lines[3].endswith(" 0.500 itself a 0.50"), "the reply is each run's own"
    assert lines[4].endswith(" 0.250 -0.250 -0.250 a 0.25")
    assert "(likelihood)" in out, "the plot"
    assert cli.main(["history", "plain", "--metric", "likelihood", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["tiny"]
    assert [(one["mean"], one["samples"]) for one in found] == [(None, 0), (0.5, 3), (0.25, 3)]
    assert cli.main(["history", "plain", "--metric", "probabilty"]) == 2
    assert capsys.readouterr().err == (
        "modellab: no accepted run of 'plain' has the metric 'probabilty'; did you mean "
        "'probability'? Known: likelihood, probability\n"
    )


def test_of_bits_per_byte_the_most_are_the_worst(
    project: Path, tiny: TaskSet, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    run = record(tiny, [0.5] * 4)
    samples = [
        dataclasses.replace(one, metrics={"bits_per_byte": 1.0 + k % 2})
        for k, one in enumerate(run.samples)
    ]
    path = project / "baselines" / "tiny" / "plain.json"
    file.write(path, descend(None, dataclasses.replace(run, samples=tuple(samples)), None))
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "documents")
    assert cli.main(["history", "plain", "--metric", "bits_per_byte"]) == 0
    assert "b 2.00" in capsys.readouterr().out


def test_a_metric_that_no_accepted_run_has(
    project: Path, accept: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(1, 1, 1, 1)
    assert cli.main(["history", "plain", "--metric", "probability"]) == 2
    assert capsys.readouterr().err == (
        "modellab: no accepted run of 'plain' has the metric 'probability'; modellab accept plain "
        "--task-set tiny adds it\n"
    )


def test_one_run_has_no_plot(
    project: Path, accept: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(1, 1, 1, 1)
    assert cli.main(["history", "plain"]) == 0
    assert "(success)" not in capsys.readouterr().out


def test_interrupted(
    project: Path,
    accept: Make,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(history, "read", interrupt)
    assert cli.main(["history", "plain"]) == 130
    assert capsys.readouterr().err == "\nmodellab: interrupted; answers so far are stored\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plian"], "unknown variant 'plian'; did you mean 'plain'? Known: plain"),
        (["plain"], "nothing was accepted of 'plain' yet: modellab accept plain"),
        (["plain", "--task-set", "tny"], "unknown task set 'tny'; did you mean 'tiny'?"),
    ],
)
def test_nothing_to_show(
    project: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    git(project, "commit", "-q", "--allow-empty", "-m", "begin")
    assert cli.main(["history", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(HistoryUnavailable, match="git cannot read the history of the baselines"):
        history.read(tmp_path / "plain.json", {})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HistoryUnavailable, match=r"^git is not installed"):
        history.read(tmp_path / "plain.json", {})


@pytest.mark.parametrize(
    ("means", "first", "runs"),
    [
        ((0.5, 0.45, 0.4), ["0.500", "0.450", "0.400"], ["1", "2", "3"]),
        ((1.0, 0.0), ["1.000", "0.000"], ["1", "2"]),
        ((1.0, 1.0), ["1.000", "1.000"], ["1", "2"]),
        ((0.0, 0.0), ["0.000", "0.000"], ["1", "2"]),
        ((0.8,) * 9, ["0.800"] * 9, ["2", "4", "6", "8"]),
    ],
)
def test_the_plot_has_each_run_in_the_row_of_its_label(
    means: tuple[float, ...], first: list[str], runs: list[str]
) -> None:
    one = history.Revision("2026-01-01", "abc", "", mean=0.5, anchor=means[0])
    lines = plot([dataclasses.replace(one, mean=mean) for mean in means]).splitlines()
    rows = [line.split("|", 1) for line in lines[1 : lines.index("Legend:") - 3]]
    assert [label.strip() for label, row in rows for _ in range(row.count("o"))] == first
    labels = [label.strip() for label, _ in rows if label.strip()]
    assert len(set(labels)) == len(labels), "no two rows are called alike"
    assert all(0.0 <= float(label) <= 1.0 for label in labels)
    assert next(line for line in lines if "(accepted run)" in line)
    assert lines[lines.index("Legend:") - 2].split()[1:] == runs


def test_what_git_keeps_in_another_form(project: Path, tiny: TaskSet, accept: Make) -> None:
    git(project, "config", "filter.packed.clean", "gzip -cn")  # as Git LFS keeps a pointer
    git(project, "config", "filter.packed.smudge", "gzip -dc")
    (project / ".gitattributes").write_text("*.json filter=packed\n")
    accept(1, 1, 1, 0)
    path = project / "baselines" / "tiny" / "plain.json"
    (one,) = history.read(path, {sample.content_hash: "a" for sample in tiny.samples})
    assert (one.problem, one.mean) == ("", 0.75)


def test_a_metric_that_no_sample_can_have(
    project: Path,
    accept: Make,
    tiny: TaskSet,
    write_samples: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    accept(1, 1, 1, 1)
    reply: dict[str, Any] = {"choices": (), "target": "b", "scorer": "exact", "max_tokens": 2}
    write_samples(tuple(dataclasses.replace(one, **reply) for one in tiny.samples))
    assert cli.main(["history", "plain", "--metric", "probability"]) == 2
    assert capsys.readouterr().err == (
        "modellab: no accepted run of 'plain' has the metric 'probability'; tiny: no sample can "
        "have it\n"
    )


def test_a_bad_first_run_is_named_once_a_chain(
    project: Path, accept: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    accept(1, 1, 1, 1, commit="")
    path = project / "baselines" / "tiny" / "plain.json"
    first = file.read(path)
    assert first is not None
    despite = Despite("other", (Fall("all", 1.0, 0.5),))
    file.write(path, dataclasses.replace(first, despite=despite))
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "first")
    accept(0, 1, 1, 1)
    said = "worse than its base other beyond chance: all samples 1.00 -> 0.50"
    assert cli.main(["history", "plain"]) == 0
    shown = capsys.readouterr().out
    assert f"\n1 was accepted though {said}\n" in shown
    assert shown.count(said) == 1
    assert cli.main(["history", "plain", "--json"]) == 0
    assert [one["despite"] for one in json.loads(capsys.readouterr().out)["tiny"]] == [said, said]
