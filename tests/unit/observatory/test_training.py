"""What went wrong in a training run follows from its log."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import cli
from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import curve, training
from pytest_modellab.observatory.curve import Row


def run(steps: int = 200) -> list[Row]:
    """A run that goes well: a loss that falls all the time, a rate that is warmed up first."""
    noise = random.Random(0)
    return [
        Row(
            step=step,
            loss=4 - step / 100 + noise.uniform(-0.02, 0.02),
            grad_norm=1 + noise.uniform(-0.1, 0.1),
            rate=min(step / 20, 1) * 1e-4,
            epoch=step / 100,
        )
        for step in range(steps)
    ]


def changed(rows: list[Row], steps: range, **by: float) -> list[Row]:
    return [
        dataclasses.replace(row, **{name: getattr(row, name) + more for name, more in by.items()})
        if row.step in steps
        else row
        for row in rows
    ]


def kinds(rows: list[Row]) -> list[tuple[str, int]]:
    return [(event.kind, event.step) for event in training.examine(rows).events]


def test_a_run_that_goes_well_has_nothing() -> None:
    found = training.examine(run())

    assert found.events == ()
    assert found.steps == 199
    assert found.first == pytest.approx(3.9, abs=0.05)
    assert found.last == pytest.approx(2.1, abs=0.05)


def test_a_spike_that_comes_back() -> None:
    (event,) = training.examine(changed(run(), range(120, 125), loss=3)).events

    assert (event.kind, event.step) == ("spike", 120)
    assert event.detail.endswith("at step 120, and comes back")
    assert event.likely.startswith("neither the learning rate nor the gradient explains it")


def test_a_run_that_does_not_come_back() -> None:
    found = kinds(changed(run(), range(120, 200), loss=3))

    assert found[0] == ("diverged", 120)


def test_a_spike_at_the_end_is_not_judged() -> None:
    (event,) = training.examine(changed(run(), range(196, 200), loss=3)).events

    assert event.kind == "spike"
    assert event.detail.endswith("and the log ends before it could come back")


def test_a_gradient_that_jumps_is_the_cause() -> None:
    rows = changed(run(), range(120, 122), loss=3)
    (event,) = training.examine(changed(rows, range(118, 121), grad_norm=9)).events

    assert event.likely.startswith("the gradient jumps with it: a bad batch")


def test_the_peak_of_the_learning_rate_is_the_cause() -> None:
    (event,) = training.examine(changed(run(), range(22, 24), loss=3)).events

    assert event.likely.startswith("the learning rate is at its peak there")


def test_the_same_place_of_two_epochs_is_the_cause() -> None:
    rows = changed(changed(run(), range(60, 62), loss=3), range(160, 162), loss=3)
    first, second = training.examine(rows).events

    assert (first.step, second.step) == (60, 160)
    assert first.likely.startswith(
        "it comes again at the same place of another epoch (step 160): look at the samples there"
    )


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
def test_what_is_no_number_comes_first(name: str) -> None:
    rows = run()
    changes: dict[str, Any] = {name: math.nan}
    rows[150] = dataclasses.replace(rows[150], **changes)

    event = training.examine(changed(rows, range(60, 62), loss=3)).events[0]

    assert (event.kind, event.step) == ("no number", 150)
    assert event.detail.endswith("is nan at step 150")


def test_evaluations_that_get_worse() -> None:
    rows = run()
    for at, value in ((40, 3.0), (80, 2.5), (120, 2.6), (160, 2.8), (190, 3.1)):
        rows[at] = dataclasses.replace(rows[at], evaluated=value)

    (event,) = training.examine(rows).events

    assert (event.kind, event.step) == ("overfit", 80)
    assert event.detail == (
        "the evaluation's loss rises 3 times from step 80 (2.5 to 3.1) while the training's falls"
    )
    assert event.likely.startswith("take the checkpoint of step 80 (2.5);")


def test_two_rises_are_no_overfitting() -> None:
    rows = run()
    for at, value in ((80, 2.5), (120, 2.6), (160, 2.8)):
        rows[at] = dataclasses.replace(rows[at], evaluated=value)

    assert training.examine(rows).events == ()


def test_a_plateau_is_told_with_its_slope() -> None:
    rows = [
        dataclasses.replace(row, loss=max(row.loss or 0, 3.0 + (row.loss or 0) % 0.01))
        for row in run()
    ]

    (event,) = training.examine(rows).events

    assert event.kind == "plateau"
    assert event.detail.startswith("from step 134 on the loss does not fall: ")


@pytest.mark.parametrize(("ratio", "kind"), [(2.0, "vanishing"), (0.5, "exploding"), (1.05, None)])
def test_gradients_over_the_layers(ratio: float, kind: str | None) -> None:
    rows = run()
    rows[7] = dataclasses.replace(rows[7], layers={layer: ratio**layer for layer in range(12)})

    assert kinds(rows) == ([(kind, 7)] if kind else [])


@given(
    losses=st.lists(st.none() | st.floats(), min_size=1, max_size=80),
    scale=st.floats(0.1, 10),
)
def test_any_log_is_examined(losses: list[float | None], scale: float) -> None:
    rows = [
        Row(step=step, loss=loss, grad_norm=loss, rate=scale, epoch=step / 7, evaluated=loss)
        for step, loss in enumerate(losses)
    ]

    found = training.examine(rows)

    assert all(0 <= event.step < len(losses) for event in found.events)
    if any(loss is not None and not math.isfinite(loss) for loss in losses):
        assert found.events[0].kind == "no number"


@given(shift=st.integers(-5, 5), at=st.integers(30, 130), height=st.integers(2, 50))
def test_a_spike_is_where_it_is_whatever_the_level(shift: int, at: int, height: int) -> None:
    rows = [dataclasses.replace(row, loss=(row.loss or 0) + shift) for row in run()]

    assert ("spike", at) in kinds(changed(rows, range(at, at + 2), loss=height))


HISTORY = [
    {"step": 10, "loss": 2.5, "grad_norm": 1.0, "learning_rate": 1e-4, "epoch": 0.1},
    {"step": 10, "eval_loss": 2.6, "eval_runtime": 3.0, "epoch": 0.1},
    {"step": 20, "loss": math.nan, "epoch": 0.2, "grad_norm/layer.3": 0.5},
    {"step": 20, "train_loss": 9.0, "train_runtime": 60.0, "epoch": 0.2},
]


def test_a_trainers_state_is_read_from_the_last_checkpoint(tmp_path: Path) -> None:
    for number in (9, 20):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        history = HISTORY if number == 20 else HISTORY[:1]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))

    trained, evaluated, last = curve.read(tmp_path)

    assert trained == Row(10, loss=2.5, grad_norm=1.0, rate=1e-4, epoch=0.1)
    assert evaluated == Row(10, evaluated=2.6, epoch=0.1)
    assert math.isnan(last.loss or 0)
    assert last.layers == {3: 0.5}


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    sheet, lines = tmp_path / "log.csv", tmp_path / "log.jsonl"
    sheet.write_text("step, loss,lr,note\n1,2.5,1e-4,ok\n2,-inf,,\n1,2.4,1e-4,again\n")
    lines.write_text('{"step": 1, "loss": 2.4, "lr": 1e-4}\n\n{"step": 2, "loss": -Infinity}\n')

    assert curve.read(sheet) == curve.read(lines)
    assert curve.read(sheet) == (Row(1, loss=2.4, rate=1e-4), Row(2, loss=-math.inf))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "[]", "a.json: holds list, expected a JSON object"),
        ("a.json", '{"log_history": 3}', "a.json: has no list log_history"),
        ("a.json", '{"log_history": [3]}', r"a.json: log_history\[0\] is no object"),
        ("a.json", "[" * 100_000, "a.json: malformed JSON"),
        ("a.jsonl", '{"step": 1.5, "loss": 1}', "a.jsonl:1: step is 1.5, expected a whole number"),
        ("a.jsonl", '{"step": true, "loss": 1}', "a.jsonl:1: step is True, expected a number"),
        ("a.jsonl", '{"step": 1, "loss": "low"}', "a.jsonl:1: loss: 'low' is not a number"),
        ("a.jsonl", '{"step": 1, "loss": 1' + "0" * 400 + "}", "loss is no number that can be"),
        ("a.jsonl", '{"step": 1}', "a.jsonl: no row has both a step and a loss"),
        ("a.csv", "loss\n1\n", "a.csv: no column is called step"),
        ("a.csv", "step,loss\n1\n", "a.csv:2: 1 cells under 2 columns"),
        ("a.csv", 'step,loss\n1,"2\n', "a.csv:2: unexpected end of data"),
        ("a.csv", "", "a.csv: no column is called step"),
    ],
)
def test_what_is_no_log_is_told(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)

    with pytest.raises(DiagnosisError, match=said):
        curve.read(tmp_path / name)


def test_files_that_are_too_large_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "a.jsonl"
    log.write_text('{"step": 1, "loss": 1}\n{"step": 2, "loss": 1}\n')

    monkeypatch.setattr(curve, "ROWS", 1)
    with pytest.raises(DiagnosisError, match="more than 1 rows: log less often"):
        curve.read(log)
    monkeypatch.setattr(curve, "LARGEST", 4)
    with pytest.raises(DiagnosisError, match="more than 0 MB, which is no log of a run"):
        curve.read(log)
    with pytest.raises(DiagnosisError, match=r"there is no trainer_state\.json in it"):
        curve.read(tmp_path)
    with pytest.raises(DiagnosisError, match="cannot be read: No such file or directory"):
        curve.read(tmp_path / "none.csv")


def test_the_command_says_what_went_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    rows = changed(run(), range(120, 125), loss=3)
    log.write_text("".join(json.dumps({"step": r.step, "loss": r.loss}) + "\n" for r in rows))

    code = cli.main(["diagnose", "--training", str(log), "--json", str(tmp_path / "said.json")])

    assert code == 1
    out = capsys.readouterr().out
    assert f"[Training] {log}: spike at step 120\n" in out
    assert "  loss         3.9 at first, 2.1 at last, 199 steps\n" in out
    assert json.loads((tmp_path / "said.json").read_text())["events"][0]["kind"] == "spike"


def test_the_command_refuses_models_beside_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diagnose", "nf4", "--training", str(tmp_path)]) == 2
    assert "--training LOG stands alone" in capsys.readouterr().err
    assert cli.main(["diagnose"]) == 2
    assert "name a candidate: modellab diagnose [BASE] CANDIDATE" in capsys.readouterr().err
