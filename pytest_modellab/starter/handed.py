"""A task set from a file of somebody's questions and answers: CSV, TSV or JSON lines."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.starter import columns
from pytest_modellab.starter.starter import margin
from pytest_modellab.starter.tasks import BRIEF, Tasks, questions
from pytest_modellab.store import regular
from pytest_modellab.tables import objects, sheets, source
from pytest_modellab.tables.purpose import Purpose
from pytest_modellab.tasksets import jsonl, media
from pytest_modellab.tasksets.quality import lint
from pytest_modellab.visible import visible

MOST_BYTES = 64 << 20


MOST_ROWS = 20_000


MOST_CELLS = 2_000_000
"""Of a table with a header: a hundred columns in as many rows as there may be."""


SHOWN = 5
"""Wrong rows that a message names."""


MOST_TOKENS = {"exact": 32, "number": 64}
"""Of a reply, by scorer; of any other :data:`_TOKENS`."""


_TOKENS = 128


_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


_COUNT = re.compile(r"\d{1,6}", re.ASCII)


_ALONE = "You are a helpful assistant. Reply with the answer alone, in as few words as possible."


_MEANS = {
    "choice": "the likeliest of the choices counts as the reply",
    "number": "the last number of the reply must be the target",
    "exact": "the whole reply must be the target, but for case and a final period; a column "
    "'scorer' says otherwise, for example regex",
}


_PURPOSE = Purpose(
    error=TaskSetError,
    what="file of questions and answers",
    smaller="cut it into parts",
    wanted="give it one question a row: input,target",
    row="'input' and 'target'",
    header="input,target",
    known=columns.KNOWN,
    most_rows=MOST_ROWS,
    most_cells=MOST_CELLS,
)


@dataclasses.dataclass(frozen=True)
class Handed:
    """What a file gave.

    Attributes:
        tasks: the task set.
        samples: its samples, as lines of ``samples.jsonl`` have them.
        said: what is to be said of how it was read, line by line.
    """

    tasks: Tasks
    samples: Sequence[Mapping[str, Any]]
    said: tuple[str, ...]


def read(path: Path, check: Callable[[Sample], str | None]) -> Handed:
    """Read a file of questions and answers.

    Args:
        path: .csv, .tsv, .jsonl or .json (an array of objects).
        check: says what is wrong with a sample in its scorer's eyes, or None.

    Returns:
        Its rows as samples, each as the reader of task sets takes it.

    Raises:
        TaskSetError: it cannot be read, or a row is wrong; the message names the rows.
    """
    rows = _rows(path)
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    found = columns.chosen(str(path), names)
    cells = [(where, _cells(row, found)) for where, row in rows]
    scorer = _guessed([row for _, row in cells])
    samples, wrong = [], []
    seen: dict[str, str] = {}
    for number, (where, row) in enumerate(cells, start=1):
        try:
            sample = _sample(where, row, number, scorer)
            problem = check(jsonl.sample_of(where, json.dumps(sample), media.Desk(path.parent)))
            if not problem and sample["id"] in seen:
                problem = f"id: {sample['id']!r} stands on {seen[sample['id']]} too"
            if problem:
                raise TaskSetError(f"{where}: {problem}")
        except TaskSetError as error:
            wrong.append(str(error))
            continue
        seen[sample["id"]] = where
        samples.append(sample)
    if wrong:
        raise _refused(path, wrong, len(rows), found)
    samples, moved = _settled(path, samples)
    said = [
        f"read {path}: {_counted(len(samples), 'sample')}; {columns.said(found, names)}",
        *_scoring(samples, found),
        *moved,
        _enough(len(samples)),
    ]
    return Handed(_tasks(path, samples), samples, tuple(said))


def _rows(path: Path) -> Sequence[tuple[str, Mapping[str, Any]]]:
    kind = path.suffix.lower()
    if kind not in (".csv", ".tsv", ".jsonl", ".ndjson", ".json"):
        raise TaskSetError(
            f"{path}: of {kind or 'no'} kind; hand in .csv, .tsv or .jsonl, one question a row"
        )
    try:
        regular.check(path)
        large = path.stat().st_size > MOST_BYTES
    except OSError as error:
        raise TaskSetError(f"{path}: cannot be read: {error.strerror}") from error
    if large:
        raise TaskSetError(f"{path}: larger than {MOST_BYTES >> 20} MB; {_PURPOSE.smaller}")
    text = source.text(path, source.read_bytes(path, _PURPOSE), _PURPOSE)
    rows: Sequence[tuple[str, Mapping[str, Any]]]
    if kind in (".csv", ".tsv"):
        usual = "," if kind == ".csv" else "\t"
        rows = sheets.rows(path, sheets.sheet(path, text, usual, _PURPOSE), _PURPOSE)
    else:
        rows = objects.records(path, text, _PURPOSE)
    if not rows:
        raise TaskSetError(f"{path}: holds no row; {_PURPOSE.wanted}")
    return rows


def _cells(row: Mapping[str, Any], found: Mapping[str, str]) -> dict[str, Any]:
    """Return what a row says of each key; what is empty or null is left out."""
    said = {key: row.get(column) for key, column in found.items()}
    said = {key: value.strip() if isinstance(value, str) else value for key, value in said.items()}
    return {key: value for key, value in said.items() if value is not None and value != ""}


def _guessed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what scores the rows that name no scorer and offer no choices."""
    targets = [row.get("target") for row in rows if not row.keys() & {"scorer", "choices"}]
    return "number" if targets and all(map(_is_number, targets)) else "exact"


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sample(where: str, row: Mapping[str, Any], number: int, guessed: str) -> dict[str, Any]:
    """Return a row as a line of ``samples.jsonl`` has it; what is wrong stays so."""
    sample = {"id": f"row-{number:03}", "capability": "general", "difficulty": "medium", **row}
    if isinstance(sample["difficulty"], str):
        sample["difficulty"] = sample["difficulty"].casefold()
    for key in ("id", "capability", "cluster"):
        if isinstance(sample.get(key), int):
            sample[key] = str(sample[key])
    if "choices" in sample:
        sample.setdefault("scorer", "choice")
        sample["choices"] = _choices(sample["choices"])
        if "target" in sample:
            sample["target"] = _option(where, sample["target"], sample["choices"])
        return sample
    sample.setdefault("scorer", guessed)
    if _is_number(sample.get("target")):
        sample["target"] = str(sample["target"])
    sample.setdefault("max_tokens", MOST_TOKENS.get(str(sample["scorer"]), _TOKENS))
    if isinstance(tokens := sample["max_tokens"], str) and _COUNT.fullmatch(tokens):
        sample["max_tokens"] = int(tokens)
    return sample


def _choices(value: Any) -> Any:
    """Return the options of a cell: JSON, or texts with ``|`` between them."""
    if not isinstance(value, str):
        return [str(one) if _is_number(one) else one for one in value] if _is_list(value) else value
    if value.startswith("["):
        try:
            return _choices(json.loads(value))
        except (ValueError, RecursionError):
            pass
    return [one.strip() for one in value.split("|")]


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _option(where: str, target: Any, choices: Any) -> Any:
    """Return the place of the right option, which may be told by its text or its letter."""
    if not _is_list(choices):
        return target
    if isinstance(target, int):
        if str(target) in choices and choices.index(str(target)) != target:
            raise TaskSetError(
                f"{where}: target: {target} is the place of one choice (from 0) and the text "
                f'of another; write the text: "{target}"'
            )
        return target
    if target in choices:
        return choices.index(target)
    if isinstance(target, str) and len(target) == 1 and "A" <= target <= "Z":
        return ord(target) - ord("A")
    raise TaskSetError(
        f"{where}: target: {str(target)[:60]!r} is none of the choices; write the right one "
        "as it stands there, or its letter"
    )


def _refused(path: Path, wrong: Sequence[str], rows: int, found: Mapping[str, str]) -> TaskSetError:
    more = len(wrong) - SHOWN
    return TaskSetError(
        "\n".join(
            [
                f"{path}: {len(wrong)} of {_counted(rows, 'row')} "
                f"{'is' if len(wrong) == 1 else 'are'} no sample, and nothing was written "
                f"({columns.said(found, ())}):",
                *(f"  {text.removeprefix(f'{path}: ')}" for text in wrong[:SHOWN]),
                *([f"  and {more} more"] if more > 0 else []),
            ]
        )
    )


def _settled(
    path: Path, samples: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], Sequence[str]]:
    """Move right options that stand in one place, and refuse what a check would call an error."""
    errors = _errors(samples)
    moved = []
    if any(finding.rule == "position-bias" for finding in errors):
        samples = _turned(samples)
        errors = _errors(samples)
        moved.append("the right choice stood in one place too often: the choices were turned round")
    if errors:
        shown = [f"  {finding.message}" for finding in errors[:SHOWN]]
        more = len(errors) - SHOWN
        raise TaskSetError(
            "\n".join(
                [
                    f"{path}: no task set that could show a regression, and nothing was written:",
                    *shown,
                    *([f"  and {more} more"] if more > 0 else []),
                ]
            )
        )
    return samples, moved


def _errors(samples: Sequence[Mapping[str, Any]]) -> Sequence[lint.Finding]:
    desk = media.Desk(Path())
    return lint.errors([jsonl.sample_of("", json.dumps(sample), desk) for sample in samples])


def _turned(samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Turn the choices of each sample so that the right one stands in every place equally often."""
    counted: Counter[tuple[str, int]] = Counter()
    turned = []
    for sample in samples:
        if "choices" in sample:
            choices, target = sample["choices"], sample["target"]
            key = sample["capability"], len(choices)
            by = (target - counted[key]) % len(choices)
            counted[key] += 1
            sample = {
                **sample,
                "choices": [*choices[by:], *choices[:by]],
                "target": (target - by) % len(choices),
            }
        turned.append(sample)
    return turned


def _scoring(samples: Sequence[Mapping[str, Any]], found: Mapping[str, str]) -> list[str]:
    """Say how replies are scored where no column says it."""
    if "scorer" in found:
        return []
    scorers = Counter(sample["scorer"] for sample in samples)
    return [
        f"scored by {name} ({_counted(count, 'sample')}): {_MEANS[name]}"
        for name, count in scorers.items()
    ]


def _enough(n: int) -> str:
    """Say which drop so many samples can rule out."""
    return f"{_counted(n, 'sample')} can rule out a drop of {margin(n)}, which is the margin"


def _tasks(path: Path, samples: Sequence[Mapping[str, Any]]) -> Tasks:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", path.stem).strip("_") or "tasks"
    exact = any(sample["scorer"] == "exact" for sample in samples)
    return questions(name, f"From {visible(path.name)}.", samples, _ALONE if exact else BRIEF)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
