"""Baselines: written so that they can be reviewed, read only when whole."""

from __future__ import annotations

import codecs
import dataclasses
import functools
import json
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.baselines import accepted as baselines_accepted
from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import (
    Anchor,
    Baseline,
    Despite,
    Fall,
    Repeat,
    metrics_of,
)
from pytest_modellab.baselines.chain import descend
from pytest_modellab.errors import BaselineInvalid
from pytest_modellab.records.graded import GRADED
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import TaskSet

Make = Callable[..., Any]
IDENTIFIER = "a non-empty string without control characters or blanks around it"


@pytest.fixture
def accepted(record: Make, sample: Make, make_tasks: Make) -> RunRecord:
    tiny: TaskSet = make_tasks([sample(k) for k in range(4)])
    made: RunRecord = record(tiny, [1.0, 0.0, None, 0.5])
    first, *rest = made.samples
    first = dataclasses.replace(first, output='Ça\u2028"va"\r\n', seconds=None)
    return dataclasses.replace(made, samples=(first, *rest))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return file.path_of(tmp_path, "tiny", "plain")


def mend(path: Path) -> str:
    return (
        f"restore it (git checkout -- {path}) or record it again "
        f"(modellab accept {path.stem} --task-set {path.parent.name} --new-anchor)"
    )


def message(path: Path) -> str:
    """The error's message after the file, without the mend at its end."""
    with pytest.raises(BaselineInvalid) as caught:
        file.read(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    return text.removeprefix(str(path)).removesuffix(f"; {mend(path)}")


def test_path(tmp_path: Path) -> None:
    assert file.path_of(tmp_path, "core", "nf4") == tmp_path / "core" / "nf4.json"


def test_no_file(path: Path) -> None:
    assert file.read(path) is None


def test_round_trip(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    assert file.read(path) == Baseline(accepted)
    before = path.read_bytes()
    again = file.read(path)
    assert again is not None
    file.write(path, again)
    assert path.read_bytes() == before, "writing what was read changes nothing"


def test_one_sample_a_line_and_no_times(path: Path, accepted: RunRecord) -> None:
    timed = tuple(dataclasses.replace(s, seconds=0.5) for s in accepted.samples)
    file.write(path, Baseline(dataclasses.replace(accepted, samples=timed)))
    text = path.read_text(encoding="utf-8")
    assert file.read(path) == Baseline(accepted)
    lines = [line for line in text.split("\n") if line.startswith('{"hash"')]
    assert [json.loads(line.rstrip(","))["id"] for line in lines] == ["s0", "s1", "s2", "s3"]
    assert '"score":null' in lines[2]
    assert '"seconds":0' not in text
    keys = [line.split('"')[1] for line in text.split("\n") if line.startswith(' "')]
    assert keys == [*sorted(keys[:-1]), "samples"], "sorted keys, the samples last"


def test_one_changed_score_changes_two_lines(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    before = path.read_text(encoding="utf-8").split("\n")
    first, *rest = accepted.samples
    changed = (dataclasses.replace(first, score=0.0), *rest)
    file.write(path, Baseline(dataclasses.replace(accepted, samples=changed)))
    after = path.read_text(encoding="utf-8").split("\n")
    different = [b for a, b in zip(before, after, strict=True) if a != b]
    assert len(different) == 2
    assert different[0].startswith(' "digest"')


def test_frozen_mappings_are_written(path: Path, accepted: RunRecord) -> None:
    frozen = dataclasses.replace(
        accepted,
        probes=MappingProxyType(dict(accepted.probes)),
        environment=MappingProxyType(dict(accepted.environment)),
    )
    file.write(path, Baseline(frozen))
    assert file.read(path) == Baseline(accepted)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_baseline(
    path: Path, accepted: RunRecord, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    file.write(path, Baseline(accepted))

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="disk full"):
        file.write(path, Baseline(dataclasses.replace(accepted, probes={})))
    monkeypatch.undo()
    assert list(path.parent.iterdir()) == [path]
    assert file.read(path) == Baseline(accepted)


# --- the second run and the anchor ----------------------------------------------------------------


def test_second_run_and_anchor(path: Path, accepted: RunRecord) -> None:
    repeat = Repeat((1.0, 1.0, None, 0.5), {"token_budget": 32})
    anchor = Anchor((1.0, 1.0, 1.0, 1.0), "f" * 16, "2026-01-31", accepted=2)
    baseline = Baseline(accepted, repeat, anchor)
    file.write(path, baseline)
    assert file.read(path) == baseline
    lines = [line for line in path.read_text("utf-8").split("\n") if '"id":"s1"' in line]
    assert '"anchor":1.0' in lines[0]
    assert '"repeat":1.0' in lines[0]
    assert baseline.churn == 0.25, "one flip of four; None in both runs is none"
    assert baseline.anchor_words == "anchor of 2026-01-31 (2 changes accepted since)"
    assert [s.score for s in baseline.anchor_run().samples] == [1.0] * 4
    second = baseline.second_run()
    assert second is not None
    assert [s.score for s in second.samples] == [1.0, 1.0, None, 0.5]
    assert second.environment == {"token_budget": 32}
    assert {s.output for s in second.samples} == {"(not kept)"}, "not empty: it was not that"


def test_a_run_alone(accepted: RunRecord) -> None:
    alone = Baseline(accepted)
    assert (alone.churn, alone.second_run()) == (None, None)
    assert alone.anchor_run() is accepted
    assert alone.anchor_words == "anchor (the baseline itself)"


def test_schema_1_is_read(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    data = json.loads(path.read_text("utf-8"))
    for key in ("digest", "repeat", "anchor"):
        del data[key]
    data["schema"] = 1
    path.write_text(json.dumps({**data, "digest": digest(data)}), "utf-8")
    assert file.read(path) == Baseline(accepted)


def test_schema_2_is_read(path: Path, accepted: RunRecord) -> None:
    """It has the scores of the second run and the anchor, and none of their metrics."""
    repeat = Repeat((1.0, 1.0, None, 0.5), {"token_budget": 32})
    anchor = Anchor((1.0, 1.0, 1.0, 1.0), "f" * 16, "2026-01-31", accepted=2)
    file.write(path, Baseline(accepted, repeat, anchor))
    data = json.loads(path.read_text("utf-8"))
    del data["digest"], data["repeat"]["metrics"], data["anchor"]["metrics"]
    data["schema"] = 2
    path.write_text(json.dumps({**data, "digest": digest(data)}), "utf-8")
    assert file.read(path) == Baseline(accepted, repeat, anchor)


# --- metrics --------------------------------------------------------------------------------------


def measured(run: RunRecord, *values: float | None, name: str = "probability") -> RunRecord:
    """A run with a metric; None where a sample has none."""
    samples = [
        sample
        if value is None
        else dataclasses.replace(sample, metrics={**sample.metrics, name: value})
        for sample, value in zip(run.samples, values, strict=True)
    ]
    return dataclasses.replace(run, samples=tuple(samples))


def test_metrics_of_all_runs_are_kept(path: Path, accepted: RunRecord) -> None:
    run = measured(accepted, 0.9, 0.2, None, 0.5)
    run = measured(run, -1.5, None, None, 0.5, name="decision_margin")
    anchor = Anchor((1.0,) * 4, "f" * 16, "2026-01-31", 2, metrics_of(run))
    repeat = Repeat((1.0, 1.0, None, 0.5), {}, {"mrr@10": (9.0, None, None, -1.0)})
    baseline = Baseline(run, repeat, anchor)
    assert anchor.metrics == {"probability": (0.9, 0.2, None, 0.5)}, "no decision margin"
    file.write(path, baseline)
    assert file.read(path) == baseline
    line = next(line for line in path.read_text("utf-8").split("\n") if '"id":"s1"' in line)
    assert '"anchor":[1.0,0.2]' in line
    assert '"repeat":[1.0,null]' in line
    second = baseline.second_run()
    assert second is not None
    assert [s.metrics for s in second.samples] == [{"mrr@10": 9.0}, {}, {}, {"mrr@10": -1.0}]
    assert [s.metrics for s in baseline.anchor_run().samples][1:3] == [{"probability": 0.2}, {}]
    turned = baseline.arranged((3, 1, 0, 2))
    assert [s.metrics for s in turned.anchor_run().samples][:2] == [
        {"probability": 0.5},
        {"probability": 0.2},
    ]


def test_last_digits_of_graded_metrics_are_no_answers(accepted: RunRecord) -> None:
    run = measured(accepted, 0.9, 0.2, None, 0.5)
    near = measured(accepted, 0.9005, 0.1995, None, 0.5)
    far = measured(accepted, 0.9, 0.202, None, 0.5)
    assert file.same_answers(run, near)
    assert not file.same_answers(run, far)
    assert not file.same_answers(run, accepted), "one has none"
    sure = measured(run, -9.0, 9.0, None, 0.5, name="decision_margin")
    surer = measured(run, -8.0, 8.0, None, 0.5, name="decision_margin")
    assert file.same_answers(sure, surer), "it is never judged"
    one, other = (measured(accepted, 1.0, v, None, 0.5, name="mrr@10") for v in (0.5, 0.5001))
    assert not file.same_answers(one, other)


def test_how_far_a_second_run_moves_a_metric_is_noise(accepted: RunRecord) -> None:
    """But not where all samples move in one direction, which a margin would see."""
    run = measured(accepted, 0.9, 0.2, None, 0.5)
    again = Repeat((1.0, 0.0, None, 0.5), {}, {"probability": (0.86, 0.23, None, 0.5)})
    scattered = measured(accepted, 0.82, 0.28, None, 0.5)
    assert not file.same_answers(run, scattered)
    assert file.same_answers(run, scattered, again)
    assert descend(Baseline(run, again), scattered, again) == Baseline(run, again)
    assert not file.same_answers(run, measured(accepted, 0.81, 0.29, None, 0.5), again), "more"
    fell = measured(accepted, 0.897, 0.197, None, 0.497)
    assert not file.same_answers(run, fell, again), "by 0.003 in the mean"


def test_new_metrics_are_no_accepted_change(accepted: RunRecord) -> None:
    run = measured(accepted, 0.9, 0.2, None, 0.5)
    repeat = Repeat((1.0, 1.0, None, 0.5), {})
    again = dataclasses.replace(repeat, metrics=metrics_of(run))
    assert descend(Baseline(accepted, repeat), run, again) == Baseline(run, again)
    assert descend(Baseline(accepted, repeat), run, None) == Baseline(run, repeat)
    both = measured(run, 0.3, 0.3, None, 0.3, name="likelihood")
    near = measured(both, 0.9005, 0.2, None, 0.5)
    assert descend(Baseline(run), near, None) == Baseline(both), "what it had, it keeps"
    assert descend(Baseline(both), run, None) == Baseline(both), "also what was not measured now"
    fixed = Baseline(run, again)
    assert descend(fixed, measured(run, 0.9001, 0.2, None, 0.5), repeat) is not None
    assert descend(fixed, measured(run, 0.9001, 0.2, None, 0.5), repeat) == fixed, "noise"


def test_new_metrics_and_an_anchor(accepted: RunRecord) -> None:
    """It has them where it is the very run that is accepted again."""
    changed = scored(accepted, 0.0, 0.0, None, 0.0)
    old = descend(Baseline(accepted), changed, None)
    assert old.anchor is not None
    new = descend(old, measured(changed, 0.9, 0.2, None, 0.5), None)
    assert new.anchor == old.anchor, "it stays as it was, its count too"
    back = descend(old, accepted, None)
    assert back.anchor is not None
    assert (back.anchor.accepted, back.anchor.metrics) == (2, {})
    run = measured(accepted, 0.9, 0.2, None, 0.5)
    assert descend(back, run, None).anchor == dataclasses.replace(
        back.anchor, metrics=metrics_of(run)
    )


def test_a_metric_that_moved_is_an_accepted_change(accepted: RunRecord) -> None:
    """Or drift of it would begin anew with every run that is accepted."""
    run, moved = (measured(accepted, v, 0.2, None, 0.5) for v in (0.9, 0.8))
    new = descend(Baseline(run), moved, None)
    assert new.anchor is not None
    assert (new.anchor.accepted, new.anchor.metrics) == (1, metrics_of(run))
    assert new.run == moved
    further = measured(moved, 0.1, 0.1, None, 0.1, name="likelihood")
    assert descend(new, further, None).anchor == new.anchor, "a new one beside it is none"


def scored(run: RunRecord, *scores: float | None) -> RunRecord:
    samples = [
        dataclasses.replace(sample, score=score)
        for sample, score in zip(run.samples, scores, strict=True)
    ]
    return dataclasses.replace(run, samples=tuple(samples))


def test_the_anchor_stays(accepted: RunRecord) -> None:
    first = descend(None, accepted, None)
    assert first == Baseline(accepted)
    second = descend(first, scored(accepted, 1.0, 0.0, None, 0.0), None)
    third = descend(second, scored(accepted, 0.0, 0.0, None, 0.0), None)
    assert third.anchor is not None
    assert third.anchor.scores == (1.0, 0.0, None, 0.5)
    assert (third.anchor.accepted, third.anchor.fingerprint) == (2, accepted.fingerprint.key)
    assert descend(third, third.run, None) == third, "nothing has changed"


@pytest.mark.parametrize("changed", ["samples", "scorer"])
def test_other_questions_begin_a_new_chain(accepted: RunRecord, changed: str) -> None:
    old = descend(Baseline(accepted), scored(accepted, 0.0, 0.0, None, 0.0), None)
    assert old.anchor is not None
    run = (
        dataclasses.replace(accepted, task_set={**accepted.task_set, "hash": "other"})
        if changed == "samples"
        else dataclasses.replace(accepted, scorers={"choice": 2})
    )
    assert descend(old, run, None).anchor is None


# --- truncated -----------------------------------------------------------------------------------


def test_cut_anywhere(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    whole = path.read_bytes()
    assert len("Ç".encode()) == 2, "a cut may fall inside a character"
    inside = whole.index("Ç".encode()) + 1
    line_ends = [k for k, byte in enumerate(whole) if byte == ord("\n")]
    cuts = {0, inside, *line_ends, *(k + 1 for k in line_ends)}
    cuts |= set(random.Random(0).sample(range(len(whole)), 50))
    for cut in sorted(cuts):
        path.write_bytes(whole[:cut])
        if cut >= len(whole) - 1:  # without the last line end it is still whole
            assert file.read(path) == Baseline(accepted)
            continue
        said = message(path)
        assert re.match(r"(:\d+)?: truncated or malformed (JSON|UTF-8) \(", said), (cut, said)


def test_a_changed_byte_anywhere(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    whole = path.read_bytes()
    rng = random.Random(1)
    for _ in range(200):
        place = rng.randrange(len(whole))
        changed = bytearray(whole)
        changed[place] = rng.randrange(256)
        path.write_bytes(bytes(changed))
        try:
            found = file.read(path)
        except BaselineInvalid as error:
            assert str(error).startswith(str(path))  # noqa: PT017
        else:
            assert found == Baseline(accepted), "white space alone may change"


def test_truncated(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:-4]))  # ends with the last but one sample's comma
    line = len(lines) - 4
    assert message(path) == (f":{line}: truncated or malformed JSON (Expecting value)")
    with pytest.raises(BaselineInvalid) as caught:
        file.read(path)
    assert str(caught.value).endswith(
        f"; restore it (git checkout -- {path}) or record it again "
        "(modellab accept plain --task-set tiny --new-anchor)"
    )
    path.write_bytes(b"")
    assert message(path) == ":1: truncated or malformed JSON (Expecting value)"
    path.write_bytes(b'{"a": "\xc3')
    assert message(path) == ": truncated or malformed UTF-8 (unexpected end of data)"


# --- edited, of another schema, or something else -------------------------------------------------


def edit(path: Path, change: Callable[[dict[str, Any]], object], *, sign: bool = False) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    if sign:
        data.pop("digest", None)
        data["digest"] = digest(data)
    path.write_text(json.dumps(data), encoding="utf-8")


EDITED = ": digest: the content does not match it, so the file was edited or merged by hand"


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["samples"][1].update(score=1.0),
        lambda data: data["samples"].pop(),
        lambda data: data["samples"].reverse(),
        lambda data: data["environment"].update(device="cuda"),
        lambda data: data.pop("digest"),
        lambda data: data.update(digest="0" * 64),
        lambda data: data.update(digest=3),
        lambda data: data["samples"][1].update(score=float("nan")),
        lambda data: data["samples"][1].update(output="\ud800"),
    ],
    ids=["score", "sample", "order", "environment", "none", "other", "number", "NaN", "surrogate"],
)
def test_edited(path: Path, accepted: RunRecord, change: Callable[[dict[str, Any]], Any]) -> None:
    file.write(path, Baseline(accepted))
    edit(path, change)
    assert message(path) == EDITED


def test_merge_conflict(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    lines = path.read_text(encoding="utf-8").split("\n")
    lines.insert(2, "<<<<<<< HEAD")
    path.write_text("\n".join(lines), encoding="utf-8")
    problem = ": conflict markers at line 3; resolve the merge"
    with pytest.raises(BaselineInvalid) as caught:
        file.read(path)
    assert str(caught.value) == (
        f"{path}{problem}: take one side whole (git checkout --ours -- {path}, or --theirs), run "
        "the tests, and accept what they then find if it is wanted: modellab accept "
        f"{path.stem} --task-set {path.parent.name}"
    )


def test_a_baseline_as_an_editor_or_git_lfs_leaves_it(path: Path, accepted: RunRecord) -> None:
    file.write(path, Baseline(accepted))
    content = path.read_bytes()
    path.write_bytes(codecs.BOM_UTF8 + content.replace(b"\n", b"\r\n"))
    assert file.read(path) == Baseline(accepted)
    path.write_text(content.decode(), encoding="utf-16")
    with pytest.raises(BaselineInvalid, match=r"json: saved as UTF-16; save it as UTF-8$"):
        file.read(path)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 20480\n")
    with pytest.raises(BaselineInvalid) as caught:
        file.read(path)
    assert str(caught.value) == (
        f"{path}: a Git LFS pointer, not the file itself; fetch it: git lfs pull --include "
        f"{path.name}"
    )


@pytest.mark.parametrize("schema", [0, file.SCHEMA + 1, -1])
@pytest.mark.parametrize("sign", [True, False])
def test_other_schema(path: Path, accepted: RunRecord, schema: int, sign: bool) -> None:
    file.write(path, Baseline(accepted))
    edit(path, lambda data: data.update(schema=schema), sign=sign)
    assert message(path) == (
        f": schema {schema} was written by another version of pytest-modellab (this one reads up "
        f"to {file.SCHEMA}); install that version, or {mend(path)}"
    )


def test_old_schema_is_migrated(
    path: Path, accepted: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def migrate(data: dict[str, Any]) -> dict[str, Any]:
        return {
            **{k: v for k, v in data.items() if k != "measured"},
            "probes": data["measured"],
            "schema": file.SCHEMA,
        }

    monkeypatch.setattr(file, "MIGRATIONS", {0: migrate})
    file.write(path, Baseline(accepted))
    edit(path, lambda d: d.update(schema=0, measured=d.pop("probes")), sign=True)
    assert file.read(path) == Baseline(accepted)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"schema": "1"}', '{"schema": true}'])
def test_no_baseline_at_all(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    assert message(path) == ": schema: missing, so this is no baseline"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[" * 9999, ": malformed JSON (maximum recursion depth", id="deep"),
        pytest.param(
            "9" * 5000, ": malformed JSON (Exceeds the limit (4300 digits)", id="long number"
        ),
    ],
)
def test_json_beyond_pythons_limits(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    assert message(path).startswith(said)


def test_unreadable(tmp_path: Path) -> None:
    assert message(tmp_path) == ": cannot be read: Is a directory"
    (tmp_path / "file").touch()
    assert message(tmp_path / "file" / "x.json") == ": cannot be read: Not a directory"


def test_a_pipe_is_not_waited_for(path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert message(path) == ": cannot be read: Is a pipe or a device, and no regular file"


def _second(metrics: list[str], line: object, data: dict[str, Any]) -> None:
    data["repeat"] = {"environment": {}, "metrics": metrics}
    for sample in data["samples"]:
        sample["repeat"] = line


def _rename(id_: object, data: dict[str, Any]) -> None:
    data["samples"][1]["id"] = id_


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("samples"), "samples: missing"),
        (lambda data: data.pop("repeat"), "repeat: missing"),
        (lambda data: data.update(samples=None), "samples: None: expected a list of samples"),
        (lambda data: data.update(samples=[]), "samples: []: expected a list of samples"),
        (lambda data: data.update(samples=[1, 2]), "samples[0]: 1: expected an object"),
        (lambda data: data.update(extra=1), "extra: unknown key"),
        *(
            (lambda data, found=found: data.update(accepted_despite=found), f"accepted_despite{at}")
            for found, at in (
                (None, ": None: expected an object"),
                ({"base": "plain"}, ".fell: missing"),
                ({"base": "plain", "fell": []}, ".fell: nothing stands there"),
                ({"base": "", "fell": []}, f".base: '': expected {IDENTIFIER}"),
                (
                    {"base": "plain", "fell": [{"name": "all", "before": 1.5, "after": 0.5}]},
                    ".fell[0].before: 1.5: expected a number in [0, 1]",
                ),
            )
        ),
        (lambda data: data.update(repeat="x"), "repeat: 'x': expected an object"),
        (lambda data: data.update(repeat={}), "repeat.metrics: missing"),
        (lambda data: data.update(repeat={"metrics": []}), "samples[0].repeat: missing"),
        (
            lambda data: data.update(repeat={"metrics": ["a", "a"]}),
            "repeat.metrics: ('a', 'a'): one stands there twice",
        ),
        *(
            (functools.partial(_second, metrics, line), said)
            for metrics, line, said in (
                ([], [1.0], "samples[0].repeat: [1.0]: expected a finite number"),
                (["probability"], 1.0, "samples[0].repeat: 1.0: expected a list"),
                (["probability"], [1.0], "samples[0].repeat: [1.0]: expected 2 numbers"),
                (
                    ["probability"],
                    [1.0, 1.5],
                    "samples[0].repeat[1]: 1.5: expected a number in [0, 1]",
                ),
                (["x"], [None, "1"], "samples[0].repeat[1]: '1': expected a finite number"),
            )
        ),
        (
            lambda data: data["samples"][1].update(metrics={"likelihood": -0.1}),
            "samples[1].metrics.likelihood: -0.1: expected a number in [0, 1]",
        ),
        (lambda data: data.update(variant="x"), "variant: 'x': expected an object"),
        (lambda data: data["variant"].update(name=None), "variant.name: None: expected a string"),
        (lambda data: data["variant"].update(more="x"), "variant.more: unknown key"),
        (lambda data: data.update(task_set=["x"]), "task_set: ['x']: expected an object"),
        (lambda data: data["task_set"].pop("version"), "task_set.version: missing"),
        (lambda data: data["fingerprint"].pop("prompt"), "fingerprint.prompt: missing"),
        (
            lambda data: data["fingerprint"]["settings"].update(versions=["torch"]),
            "fingerprint.settings.versions: ['torch']: expected an object",
        ),
        (
            lambda data: data["probes"].update({"a b": "fast"}),
            "probes['a b']: 'fast': expected a finite number",
        ),
        (
            lambda data: data["scorers"].update(choice=True),
            "scorers.choice: True: expected a whole number",
        ),
        (lambda data: data["samples"][0].pop("hash"), "samples[0].hash: missing"),
        (
            lambda data: data["samples"][1].update(score=True),
            "samples[1].score: True: expected a finite number",
        ),
        (
            lambda data: data["samples"][1].update(score=1.5),
            "samples[1].score: 1.5: expected a number in [0, 1]",
        ),
        (
            lambda data: data["samples"][1].update(tokens_in=-1),
            "samples[1].tokens_in: -1: expected a whole number of at least 0",
        ),
        *(
            (
                functools.partial(_rename, id_),
                f"samples[1].id: {id_!a}: expected a non-empty string without control characters "
                "or blanks around it",
            )
            for id_ in ("", " ", " s1", "s1\n", "a\x1b[31m", "a\u2028b", "a\x85b")
        ),
        (functools.partial(_rename, 3), "samples[1].id: 3: expected a string"),
        (functools.partial(_rename, "s0"), "samples[1].id: 's0' stands in samples[0] too"),
    ],
)
def test_signed_but_laid_out_otherwise(
    path: Path, accepted: RunRecord, change: Callable[[dict[str, Any]], Any], said: str
) -> None:
    file.write(path, Baseline(accepted))
    edit(path, change, sign=True)
    assert message(path) == f": not laid out as schema {file.SCHEMA}: {said}"


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_links_out_of_the_baselines_are_refused(
    path: Path, accepted: RunRecord, linked: str
) -> None:
    elsewhere = path.parent.parent.with_name("elsewhere")
    file.write(elsewhere / "tiny" / "plain.json", Baseline(accepted))
    if linked == "file":
        path.parent.mkdir(parents=True)
        path.symlink_to(elsewhere / "tiny" / "plain.json")
    else:
        path.parent.symlink_to(elsewhere / "tiny")
    target = elsewhere.resolve() / "tiny" / "plain.json"
    said = f": leads out of {path.parent.parent}, to {target}; put the file itself there, or "
    assert message(path).startswith(said)


def test_a_link_inside_the_baselines_is_followed(path: Path, accepted: RunRecord) -> None:
    file.write(path.with_name("other.json"), Baseline(accepted))
    path.symlink_to("other.json")
    assert file.read(path) == Baseline(accepted)


# --- same answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"probes": {"seconds": 9.0}}, True),
        ({"environment": {"recorded": "2030-01-01"}}, True),
        ({"scorers": {"choice": 2}}, False),
        ({"task_set": {"name": "tiny", "version": "2", "hash": "x"}}, False),
        ({"fingerprint": Fingerprint("w", "t", "p", {})}, False),
    ],
)
def test_same_answers(accepted: RunRecord, changes: dict[str, Any], same: bool) -> None:
    assert file.same_answers(accepted, dataclasses.replace(accepted, **changes)) == same


def test_confidences_are_kept_and_are_no_answers(accepted: RunRecord, tmp_path: Path) -> None:
    """Their last digits differ between machines, and that is no reason to write a file anew."""
    sure = dataclasses.replace(
        accepted,
        samples=tuple(dataclasses.replace(s, confidence=0.75) for s in accepted.samples),
    )
    assert file.same_answers(accepted, sure)
    path = tmp_path / "b.json"
    file.write(path, baselines_accepted.Baseline(sure))
    found = file.read(path)
    assert found is not None
    assert {s.confidence for s in found.run.samples} == {0.75}
    file.write(path, baselines_accepted.Baseline(accepted))
    assert "confidence" not in path.read_text()


def test_same_answers_looks_at_samples_but_not_at_time(accepted: RunRecord) -> None:
    first, *rest = accepted.samples
    for change, same in (
        ({"seconds": 3.0}, True),
        ({"score": 0.5}, False),
        ({"output": ""}, False),
    ):
        changed = dataclasses.replace(first, **change)
        other = dataclasses.replace(accepted, samples=(changed, *rest))
        assert file.same_answers(accepted, other) == same


# --- anything -------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
ID = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12)
RESULT = st.builds(
    SampleResult,
    id=ID,
    hash=ID,
    score=st.none() | st.floats(0, 1),
    output=TEXT,
    tokens_in=st.integers(0, 10**6),
    tokens_out=st.integers(0, 10**6),
    metrics=st.dictionaries(TEXT, NUMBER, max_size=2)
    | st.fixed_dictionaries({}, optional=dict.fromkeys(GRADED, st.floats(0, 1))),
)
RECORD = st.builds(
    RunRecord,
    task_set=st.fixed_dictionaries({"name": TEXT, "version": TEXT, "hash": TEXT}),
    variant=st.fixed_dictionaries(
        {"name": TEXT, "kind": TEXT, "strategy": TEXT, "base": st.none() | TEXT}
    ),
    fingerprint=st.builds(
        Fingerprint,
        weights=TEXT,
        tokenizer=TEXT,
        prompt=TEXT,
        settings=st.dictionaries(TEXT, st.none() | TEXT | NUMBER | st.lists(TEXT, max_size=2)),
    ),
    scorers=st.dictionaries(TEXT, st.integers(1, 9)),
    samples=st.lists(RESULT, min_size=1, max_size=4, unique_by=lambda s: s.id).map(tuple),
    probes=st.dictionaries(TEXT, NUMBER),
    environment=st.dictionaries(TEXT, st.none() | TEXT | st.integers()),
)
ANY = settings(max_examples=100)


FALL = st.builds(Fall, name=ID, before=st.floats(0, 1), after=st.floats(0, 1))
WORSE = st.builds(Despite, base=ID, fell=st.lists(FALL, min_size=1, max_size=3).map(tuple))


@ANY
@given(RECORD, st.none() | WORSE)
def test_any_record_survives(path: Path, made: RunRecord, despite: Despite | None) -> None:
    again = Repeat(tuple(s.score for s in made.samples), {}, metrics_of(made))
    anchor = Anchor(again.scores, "f" * 16, "2026-01-31", 1, again.metrics)
    file.write(path, Baseline(made, again, anchor, despite))
    assert file.read(path) == Baseline(made, again, anchor, despite)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = [*(field.name for field in dataclasses.fields(RunRecord)), file.DESPITE]


def signed(data: dict[str, Any]) -> bytes:
    try:
        return json.dumps({**data, "digest": digest(data)}).encode()
    except ValueError:  # NaN cannot be signed
        return json.dumps(data).encode()


@ANY
@given(
    st.one_of(
        st.binary(max_size=100),
        JSON.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from(FIELDS), JSON).map(
            lambda data: signed({**data, "schema": file.SCHEMA})
        ),
    )
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(BaselineInvalid) as caught:
        file.read(path)
    assert str(caught.value).startswith(f"{path}:")


def test_a_baseline_in_another_order_begins_no_other_chain(accepted: RunRecord) -> None:
    """What is kept of it goes with its samples, not with their places."""
    repeat = Repeat((1.0, 1.0, None, 0.5), {})
    old = descend(Baseline(accepted), scored(accepted, 0.0, 0.5, None, 1.0), repeat)
    assert old.anchor is not None
    turned = old.arranged((3, 1, 0, 2))
    assert [s.id for s in turned.run.samples] == ["s3", "s1", "s0", "s2"]
    assert turned.count_churn() == old.count_churn()
    assert descend(turned, old.run, None) == old
    new = scored(accepted, 0.25, 0.25, None, 0.25)
    assert descend(turned, new, repeat) == descend(old, new, repeat)
    first = Baseline(accepted).arranged((3, 1, 0, 2))
    assert descend(first, new, repeat) == descend(Baseline(accepted), new, repeat)


# --- a valid baseline with something changed and a right digest -----------------------------------

VALUE = JSON | st.sampled_from([True, False, -1, 0, 2, 10**30, -0.5, 1.5, "", " a", "a\n", [], {}])


def nodes(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a value, with each of its keys."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, one in list(inner):
        yield value, key
        yield from nodes(one)


def mutate(data: dict[str, Any], draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    container, key = draw(st.sampled_from(list(nodes(data))))
    what = draw(st.sampled_from(["replace", "drop", "swap", "add", "turn"]))
    other, place = draw(st.sampled_from(list(nodes(data))))
    if what == "replace":
        container[key] = draw(VALUE)
    elif what == "drop":
        del container[key]
    elif what == "swap":
        container[key] = json.loads(json.dumps(other[place]))
    elif isinstance(container, list):
        if what == "turn":
            container.reverse()
        else:
            container.append(draw(VALUE))
    else:
        container[draw(st.text(max_size=5))] = draw(VALUE)


@settings(ANY, max_examples=400)
@given(st.data())
def test_any_change_is_read_whole_or_refused(
    path: Path, accepted: RunRecord, data: st.DataObject
) -> None:
    metrics = {"probability": (0.5, 1.0, None, 0.25), "mrr@10": (0.5, None, None, 2.0)}
    repeat = Repeat((1.0, 1.0, None, 0.5), {"token_budget": 32}, metrics)
    anchor = Anchor((1.0, 1.0, 1.0, 1.0), "f" * 16, "2026-01-31", accepted=2)
    file.write(path, Baseline(measured(accepted, 0.5, 1.0, None, 0.25), repeat, anchor))
    changed = json.loads(path.read_text("utf-8"))
    del changed["digest"]
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(changed, data.draw)
    path.write_bytes(signed(changed))
    try:
        found = file.read(path)
    except BaselineInvalid as error:
        assert str(error).startswith(f"{path}:")  # noqa: PT017
        return
    assert found is not None
    ids = [sample.id for sample in found.run.samples]
    assert len(set(ids)) == len(ids) > 0
    scores = [s.score for s in (*found.run.samples, *found.anchor_run().samples)]
    again = found.second_run()
    scores += [] if again is None else [s.score for s in again.samples]
    assert all(s is None or (type(s) in (int, float) and 0 <= s <= 1) for s in scores)
    before = json.loads(path.read_text("utf-8"))
    file.write(path, found)  # nothing was converted, added or lost
    after = json.loads(path.read_text("utf-8"))
    for line in before["samples"]:
        for optional in ("seconds", "stability", "confidence", "metrics"):
            if not line.get(optional, 1) or optional == "seconds":
                line.pop(optional, None)
    for line in after["samples"]:
        for optional in ("stability", "confidence", "metrics"):
            if not line.get(optional, 1):
                line.pop(optional)
    before.pop("digest"), after.pop("digest")
    before["probes"].pop(file.PRICED, None)
    assert after == before


DESPITE = Despite("plain", tuple(Fall(name, 0.74, 0.55) for name in ("all", *"abcd")))


def test_what_it_was_accepted_in_spite_of_is_kept_with_its_chain(
    path: Path, accepted: RunRecord
) -> None:
    first = Baseline(accepted, despite=DESPITE)
    file.write(path, first)
    assert file.read(path) == first
    assert str(DESPITE) == (
        "worse than its base plain beyond chance: all samples 0.74 -> 0.55, a 0.74 -> 0.55, "
        "b 0.74 -> 0.55, c 0.74 -> 0.55 and 1 more"
    )
    samples = (dataclasses.replace(one, score=1.0) for one in accepted.samples)
    changed = dataclasses.replace(accepted, samples=tuple(samples))
    assert descend(first, accepted, None).despite == DESPITE
    assert descend(first, changed, None).despite == DESPITE
    assert first.arranged((3, 2, 1, 0)).despite == DESPITE
    file.write(path, Baseline(accepted))
    assert "accepted_despite" not in path.read_text()
