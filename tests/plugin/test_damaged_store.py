"""A session believes nothing in the cache that was changed: it makes it again, and says so."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.reports.text.table import escape
from pytest_modellab.store import atomic, folders, manifest

MISMATCH = "is damaged: its digest does not match what it holds"


@pytest.fixture
def zipped(project: pytest.Pytester) -> pytest.Pytester:
    """The project with its model as an archive, which the cache unpacks."""
    shutil.make_archive(str(project.path / "model"), "zip", project.path / "model")
    config = project.path / "modellab.toml"
    config.write_text(config.read_text().replace('source = "model"', 'source = "./model.zip"'))
    return project


def run(project: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    path = project.path / "report.json"
    result = project.runpytest_inprocess(
        "-k", "overall", f"--modellab-json={path}", "--modellab-markdown=report.md", *arguments
    )
    return result, json.loads(path.read_text())


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """All of a report but times and notes."""
    return {key: value for key, value in report.items() if key not in ("measured", "notes")}


def cached(report: dict[str, Any]) -> list[bool]:
    return [run["cached"] for run in report["measured"]["runs"]]


def stored_runs(project: pytest.Pytester) -> dict[str, Path]:
    """The stored runs by their keys; those that a first acceptance repeats included."""
    found = (project.path / "cache" / "runs").glob("*/run.json")
    return {path.parent.name: path for path in sorted(found)}


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return rewrite


def rotate(data: dict[str, Any]) -> None:
    for output in data["outputs"]:
        output["option_logprobs"].append(output["option_logprobs"].pop(0))


def shown_everywhere(project: pytest.Pytester, result: pytest.RunResult, notes: list[str]) -> None:
    """In the terminal and in Markdown; JSON is where they come from."""
    assert [line for line in result.outlines if line.startswith("note: ")] == [
        f"note: {note}" for note in notes
    ]
    markdown = (project.path / "report.md").read_text()
    assert all(f"note: {escape(note)}<" in markdown for note in notes)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


RUN_DAMAGES: dict[str, Callable[[Path], None]] = {
    "rotated": rewritten(rotate),
    "wrong types": rewritten(lambda data: data["outputs"][0].update(option_logprobs=[True, None])),
    "no list": rewritten(lambda data: data.update(outputs=7)),
    "flipped bit": flip_a_bit,
    "cut": cut,
}


def test_a_changed_run_is_run_again_and_every_report_says_so(project: pytest.Pytester) -> None:
    run(project, "--modellab-update")
    _, before = run(project)
    assert before["notes"] == []
    paths = stored_runs(project)
    for name, damage in RUN_DAMAGES.items():
        for path in paths.values():
            damage(path)
        result, after = run(project)
        result.assert_outcomes(passed=2, deselected=6)
        assert judged(after) == judged(before), name
        assert cached(after) == [False, False], name
        notes = {
            f"the stored run of {variant} on words is run again: runs/{key}/run.json {MISMATCH}"
            for key in paths
            for variant in ("plain", "rounded")
        }
        assert len(after["notes"]) == 2, name
        assert {*after["notes"]} < notes, name
        shown_everywhere(project, result, after["notes"])
    _, again = run(project)
    assert again["notes"] == []
    assert cached(again) == [True, True]


def test_swapped_runs_are_run_again(project: pytest.Pytester) -> None:
    run(project, "--modellab-update")
    _, before = run(project)
    paths = [*stored_runs(project).values()]  # of which this session reads two
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, (*contents[1:], contents[0]), strict=True):
        path.write_bytes(content)
    result, after = run(project)
    result.assert_outcomes(passed=2, deselected=6)
    assert judged(after) == judged(before)
    assert len(after["notes"]) == 2
    assert all(note.endswith(f"run.json {MISMATCH}") for note in after["notes"])


@pytest.mark.usefixtures("warmed")
def test_workers_note_a_damaged_run_once(project: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    run(project, "--modellab-update")
    for path in stored_runs(project).values():
        flip_a_bit(path)
    report = project.path / "report.json"
    result = project.runpytest_inprocess("-n2", f"--modellab-json={report}")
    result.assert_outcomes(passed=8)
    unasked, *notes = json.loads(report.read_text())["notes"]
    assert unasked == "not judged: unloadable, declared in modellab.toml"
    assert sorted(note.partition(":")[0] for note in notes) == [
        "the stored run of plain on words is run again",
        "the stored run of rounded on words is run again",
    ]
    assert [line for line in result.outlines if line.startswith("note: ")] == [
        f"note: {note}" for note in (unasked, *notes)
    ]


def test_an_older_versions_run_is_run_again(project: pytest.Pytester) -> None:
    run(project, "--modellab-update")
    for path in stored_runs(project).values():
        rewritten(lambda data: data.pop("digest"))(path)
    result, report = run(project)
    result.assert_outcomes(passed=2, deselected=6)
    assert len(report["notes"]) == 2
    assert report["notes"][0].endswith("run.json has no digest, as an older version wrote it")


def edit_template(model: Path) -> None:
    template = model / "chat_template.jinja"
    template.write_text("{% for m in messages %}{{ m['content'] | reverse }}{% endfor %}")


def edit_tokenizer(model: Path) -> None:
    data = json.loads((model / "tokenizer.json").read_text())
    vocabulary = data["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (model / "tokenizer.json").write_text(json.dumps(data))


def truncate_weights(model: Path) -> None:
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])


def add_weights(model: Path) -> None:
    shutil.copy(model / "model.safetensors", model / "more.safetensors")


MODEL_DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "template": (edit_template, r"is damaged: chat_template\.jinja has \d+ bytes and should have"),
    "tokenizer": (edit_tokenizer, r"is damaged: tokenizer\.json has \d+ bytes and should have"),
    "truncated": (truncate_weights, r"is damaged: model\.safetensors has \d+ bytes and should"),
    "flipped": (
        lambda model: flip_a_bit(model / "model.safetensors"),
        r"is damaged: model\.safetensors was changed, its digest does not match$",
    ),
    "missing": (
        lambda model: (model / "model.safetensors").unlink(),
        r"is damaged: model\.safetensors is missing$",
    ),
    "added": (add_weights, r"is damaged: more\.safetensors was added$"),
    "manifest": (lambda model: cut(model / manifest.NAME), rf"has a damaged {manifest.NAME}$"),
}


def test_a_changed_model_in_the_cache_is_made_anew(zipped: pytest.Pytester) -> None:
    run(zipped, "--modellab-update")
    _, before = run(zipped, "--modellab-no-cache")
    assert before["notes"] == []
    (model,) = (zipped.path / "cache" / "models").glob("*-v1")
    for name, (damage, said) in MODEL_DAMAGES.items():
        damage(model)
        result, after = run(zipped, "--modellab-no-cache")
        result.assert_outcomes(passed=2, deselected=6)
        assert judged(after) == judged(before), name
        (note,) = after["notes"]
        assert re.match(rf"model 'tiny' .* is made anew: models/{model.name} {said}", note), note
        shown_everywhere(zipped, result, [note])
    _, again = run(zipped, "--modellab-no-cache")
    assert again["notes"] == []


def test_a_cache_that_is_only_read(
    zipped: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it holds every run, nothing is locked or written."""
    run(zipped, "--modellab-update")
    _, before = run(zipped)

    def refuse(path: Path) -> None:
        if path.is_relative_to(zipped.path / "cache"):
            raise PermissionError(13, "Permission denied", str(path))

    def new_file(path: Path, once: Callable[[Path], Any] = atomic.new_file) -> Any:
        refuse(path)
        return once(path)

    monkeypatch.setattr(folders, "_lock", refuse)
    monkeypatch.setattr(atomic, "new_file", new_file)
    result, after = run(zipped)
    result.assert_outcomes(passed=2, deselected=6)
    assert judged(after) == judged(before)
    assert (cached(after), after["notes"]) == ([True, True], [])
