"""What a training run logged: a trainer's state, CSV or JSON lines."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import sheets
from pytest_modellab.records.reading import decimal, shown

LARGEST = 64 << 20
"""Bytes of a log, at most."""


ROWS = 200_000
"""Rows of a log, at most."""


STATE = "trainer_state.json"
"""What transformers' trainer writes into each checkpoint."""


_LAYER = re.compile(r"grad_norm[./_]layers?[._](\d{1,4})")


_NO_NUMBER = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a log; None where it does not say.

    Attributes:
        step: of the optimizer.
        loss: of training; may be no number.
        grad_norm: before it was clipped.
        rate: of learning.
        evaluated: loss of the evaluation.
        epoch: with its part.
        layers: layer → norm of its gradient.
    """

    step: int
    loss: float | None = None
    grad_norm: float | None = None
    rate: float | None = None
    evaluated: float | None = None
    epoch: float | None = None
    layers: Mapping[int, float] = dataclasses.field(default_factory=dict)


_NAMES = {
    "loss": "loss",
    "train_loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "rate",
    "lr": "rate",
    "eval_loss": "evaluated",
    "epoch": "epoch",
}


def read(path: Path) -> tuple[Row, ...]:
    """Read a log.

    Args:
        path: a trainer's state, a folder with one or with checkpoints, a CSV file with a header,
            or JSON lines; with ``step`` and any of ``loss``, ``grad_norm``, ``learning_rate``,
            ``eval_loss``, ``epoch``, and ``grad_norm.layer.N``.

    Returns:
        Its rows by step; of a step that was logged twice, since a run went on from a checkpoint,
        the last.

    Raises:
        DiagnosisError: the log cannot be read, or says something that is no number.
    """
    path = _file(path)
    rows: dict[tuple[int, bool], Row] = {}
    for count, (where, record) in enumerate(_records(path, sheets.text(path, LARGEST)), start=1):
        if count > ROWS:
            raise DiagnosisError(f"{path}: more than {ROWS:,} rows: log less often")
        row = _row(where, record)
        if row is not None:
            rows[row.step, row.evaluated is not None and row.loss is None] = row
    if not any(row.loss is not None for row in rows.values()):
        raise DiagnosisError(f"{path}: no row has both a step and a loss")
    return tuple(rows[key] for key in sorted(rows))


def _file(path: Path) -> Path:
    """Find the log that is meant: of checkpoints, the last one's."""
    if not path.is_dir():
        return path
    if (path / STATE).exists():
        return path / STATE
    numbered = [
        (int(name[1]), folder)
        for folder in path.iterdir()
        if (name := re.fullmatch(r"checkpoint-([0-9]{1,12})", folder.name))
        and (folder / STATE).exists()
    ]
    if not numbered:
        raise DiagnosisError(
            f"{path}: there is no {STATE} in it, and none in a checkpoint-N: name the log's file, "
            f"CSV or JSON lines"
        )
    return max(numbered)[1] / STATE


def _records(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if path.suffix == ".csv":
        yield from sheets.rows(path, text, ("step",))
    elif path.suffix == ".json":
        state = _json(str(path), text)
        history = state.get("log_history")
        if not isinstance(history, list):
            raise DiagnosisError(f"{path}: has no list log_history, so it is no {STATE}")
        for number, record in enumerate(history):
            if not isinstance(record, dict):
                raise DiagnosisError(f"{path}: log_history[{number}] is no object")
            yield f"{path}: log_history[{number}]", record
    else:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield f"{path}:{number}", _json(f"{path}:{number}", line)


def _json(where: str, text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DiagnosisError(f"{where}: malformed JSON: {error}") from error
    if not isinstance(data, dict):
        raise DiagnosisError(f"{where}: holds {type(data).__name__}, expected a JSON object")
    return data


def _row(where: str, record: Mapping[str, Any]) -> Row | None:
    step = _number(where, "step", record.get("step"))
    if step is None:
        return None
    if not step.is_integer() or step < 0:
        raise DiagnosisError(f"{where}: step is {step:g}, expected a whole number from 0")
    values = {
        _NAMES[name]: found
        for name in _NAMES
        if (found := _number(where, name, record.get(name))) is not None
        and not (name == "train_loss" and "train_runtime" in record)  # the mean of a whole run
    }
    layers = {
        int(named[1]): found
        for name, value in record.items()
        if (named := _LAYER.fullmatch(str(name)))
        and (found := _number(where, str(name), value)) is not None
    }
    if not values.keys() - {"epoch"} and not layers:
        return None
    return Row(step=int(step), layers=layers, **values)


def _number(where: str, name: str, value: Any) -> float | None:
    if value is None or value == "":
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        if text.lstrip("+-") in _NO_NUMBER:
            return math.copysign(_NO_NUMBER[text.lstrip("+-")], -1 if text[0] == "-" else 1)
        try:
            return decimal(text)
        except ValueError as error:
            raise DiagnosisError(f"{where}: {name}: {error}") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DiagnosisError(f"{where}: {name} is {shown(value)}, expected a number")
    try:
        return float(value)
    except OverflowError as error:
        raise DiagnosisError(f"{where}: {name} is no number that can be compared") from error
