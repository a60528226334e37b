"""Accepted runs: read, check, write. One sample a line, so that a change can be reviewed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab import atomic
from pytest_modellab.errors import BaselineInvalid
from pytest_modellab.records import (
    RUN_SCHEMA,
    Fingerprint,
    RunRecord,
    SampleResult,
    canonical_json,
    digest,
)

MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = MappingProxyType({})
"""Old schema → the function that brings a file one schema further."""


def path_of(folder: Path, task_set: str, variant: str) -> Path:
    """Return where the baseline of a variant on a task set lies."""
    return folder / task_set / f"{variant}.json"


def write(path: Path, record: RunRecord) -> None:
    """Write an accepted run, whole or not at all.

    Per-sample seconds are left out: they would change every line of every accepted run.

    Args:
        path: destination.
        record: the run.

    Raises:
        OSError: the folder cannot be written; the old file is untouched.
    """
    data = _to_data(record)
    samples = ",\n".join(canonical_json(sample) for sample in data.pop("samples"))
    header = json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False)
    atomic.write_text(path, f'{header[:-2]},\n "samples": [\n{samples}\n]\n}}\n')


def read(path: Path) -> RunRecord | None:
    """Read an accepted run.

    Args:
        path: where it should lie.

    Returns:
        The run, or None where there is no file.

    Raises:
        BaselineInvalid: the file is truncated, was edited, or has another schema.
    """
    mend = f"restore it (git checkout -- {path}) or record it again (--modellab-update)"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BaselineInvalid(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BaselineInvalid(
            f"{path}: truncated or malformed UTF-8 ({error.reason}); {mend}"
        ) from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BaselineInvalid(
            f"{path}:{error.lineno}: truncated or malformed JSON ({error.msg}); {mend}"
        ) from error
    except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
        raise BaselineInvalid(f"{path}: malformed JSON ({error}); {mend}") from error
    if not isinstance(data, dict) or type(data.get("schema")) is not int:
        raise BaselineInvalid(f"{path}: schema: missing, so this is no baseline; {mend}")
    # before the digest, which another schema may compute otherwise
    if data["schema"] != RUN_SCHEMA and data["schema"] not in MIGRATIONS:
        raise BaselineInvalid(
            f"{path}: schema {data['schema']} was written by another version of pytest-modellab "
            f"(this one reads up to {RUN_SCHEMA}); install that version or record it again "
            "(--modellab-update)"
        )
    stated = data.pop("digest", None)
    try:
        found = digest(data)
    except (ValueError, RecursionError):  # NaN, half a surrogate pair: never written by write()
        found = None
    if found is None or stated != found:
        raise BaselineInvalid(
            f"{path}: digest: the content does not match it, so the file was edited or "
            f"merged by hand; {mend}"
        )
    while data["schema"] in MIGRATIONS:
        data = MIGRATIONS[data["schema"]](data)
    try:
        return RunRecord(
            **{
                **data,
                "fingerprint": Fingerprint(**data["fingerprint"]),
                "samples": tuple(SampleResult(**sample) for sample in data["samples"]),
            }
        )
    except (KeyError, TypeError) as error:
        raise BaselineInvalid(
            f"{path}: not laid out as schema {RUN_SCHEMA} ({type(error).__name__}: {error}); {mend}"
        ) from error


def same_answers(a: RunRecord, b: RunRecord) -> bool:
    """Tell whether two runs differ in nothing but time and environment."""
    return _answers(a) == _answers(b)


def _answers(record: RunRecord) -> dict[str, Any]:
    data = _to_data(record)
    for measured in ("digest", "probes", "environment"):
        del data[measured]
    return data


def _to_data(record: RunRecord) -> dict[str, Any]:
    data = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    for name in ("task_set", "variant", "scorers", "probes", "environment"):
        data[name] = dict(data[name])
    data["fingerprint"] = {
        **dataclasses.asdict(record.fingerprint),
        "settings": dict(record.fingerprint.settings),
    }
    data["samples"] = [
        {k: v for k, v in dataclasses.asdict(sample).items() if k != "seconds"}
        for sample in record.samples
    ]
    return {**data, "digest": digest(data)}
