"""Files of per-sample scores that somebody else's tool wrote: one file a format."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.reports.words import listed
from pytest_modellab.scorefiles import (
    baseline_file,
    csv_file,
    deepeval,
    inspect_log,
    jsonl,
    lm_eval,
    parquet,
    promptfoo,
)
from pytest_modellab.scorefiles.purpose import PURPOSE
from pytest_modellab.scorefiles.rows import ScoreFile, Wanted, score_file
from pytest_modellab.scorefiles.table import ScoreTable
from pytest_modellab.store import checkout
from pytest_modellab.tables import objects, sheets, source

FORMATS = ".csv, .tsv, .jsonl, .parquet, .eval, .json, or a folder of lm-eval's samples_*.jsonl"


_BINARY = (".eval", ".gz", ".parquet")


def read(path: Path, wanted: Wanted) -> ScoreFile:
    """Read per-sample scores in any format that is known.

    Args:
        path: a CSV, TSV, JSONL or Parquet file, an inspect log, an accepted baseline, or a folder
            with samples of lm-evaluation-harness. Text may be gzipped (``.jsonl.gz``).
        wanted: which columns hold what, and how scores are mapped.

    Returns:
        The scores in [0, 1], one row a sample.

    Raises:
        ScoreFileError: the file cannot be read as scores; the message names file, place and mend.
        BaselineInvalid: a baseline file was edited or truncated.
    """
    if not path.is_dir():
        content = source.read_bytes(path, PURPOSE)
        digest = hashlib.sha256(content).hexdigest()
        try:
            return score_file(path, _table(path, content, wanted), wanted, ((str(path), digest),))
        except ScoreFileError as error:
            # told of what cannot be read alone: samples may hold such lines
            if path.suffix in _BINARY or not (said := checkout.conflict(content)):
                raise
            raise ScoreFileError(f"{path}: {said}") from error
    tasks, notes = lm_eval.newest(path)
    parts = [(task, read(file, wanted)) for task, file in tasks.items()]
    kind = parts[0][1].kind
    return ScoreFile(
        path=str(path),
        kind=f"{kind}, {len(parts)} tasks" if len(parts) > 1 else kind,
        rows=tuple(
            dataclasses.replace(
                row,
                id=f"{task}/{row.id}",
                bucket=row.bucket if wanted.by or len(parts) == 1 else task,
                cluster=None if row.cluster is None else f"{task}/{row.cluster}",
            )
            for task, part in parts
            for row in part.rows
        ),
        sources=tuple(found for _, part in parts for found in part.sources),
        notes=(*notes, *(f"{task}: {note}" for task, part in parts for note in part.notes)),
    )


def _table(path: Path, content: bytes, wanted: Wanted) -> ScoreTable:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix in (".csv", ".tsv", ".txt"):
        usual = "," if suffix == ".csv" else "\t"
        cells = sheets.sheet(
            path, source.text(path, content, PURPOSE), usual, PURPOSE, wanted.named
        )
        return promptfoo.sheet_table(path, cells) or csv_file.table(path, cells, wanted.named)
    if suffix == ".parquet":
        return parquet.table(path, content, wanted.named)
    if suffix == ".eval" or (suffix == ".json" and inspect_log.is_json_log(content)):
        return inspect_log.table(path)
    if suffix == ".json" and baseline_file.is_baseline(content):
        return baseline_file.table(path, content)
    # early versions of DeepEval name their results by the time alone
    lines = suffix in (".jsonl", ".ndjson")
    if lines or suffix == ".json" or (not suffix and content[:1] in (b"{", b"[")):
        try:
            return _json(path, source.text(path, content, PURPOSE), wanted, lines=lines)
        except RecursionError as error:
            raise ScoreFileError(f"{path}: has too many brackets inside each other") from error
    sheet = "; save the sheet as CSV" if suffix in (".xls", ".xlsx", ".ods") else ""
    raise ScoreFileError(f"{path}: unknown kind of file {suffix!r}; known are {FORMATS}{sheet}")


def _json(path: Path, text: str, wanted: Wanted, *, lines: bool) -> ScoreTable:
    """Objects one a line or in an array, or one document in the layout of a tool."""
    first, _, more = text.strip().partition("\n")
    if lines or not first.startswith("{") or (more and first.rstrip().endswith("}")):
        records = objects.records(path, text, PURPOSE)
        values = [record for _, record in records]
        return (
            lm_eval.table(path, records, wanted.filter)
            or promptfoo.table(path, values, wanted.filter)
            or deepeval.table(path, values)
            or jsonl.table(path, records)
        )
    document = objects.document(path, text, PURPOSE)
    found = promptfoo.table(path, promptfoo.results(document), wanted.filter)
    if found := found or deepeval.table(path, document):
        return found
    if lm_eval.is_summary(document):
        raise ScoreFileError(
            f"{path}: holds the means that lm-evaluation-harness writes, and no sample; its "
            "samples are in samples_*.jsonl: lm_eval run … --log_samples"
        )
    keys = listed(repr(key[:40]) for key in document) or "no key"
    raise ScoreFileError(
        f"{path}: an object with {keys}, which is no layout that is known: no baseline of "
        "pytest-modellab, no log of inspect_ai, no results of promptfoo or DeepEval; write scores "
        "of other tools as one object a sample, in an array or one a line"
    )
