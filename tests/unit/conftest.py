"""Small hand-made samples, runs and a random model for the tests of the core."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pytest_modellab import testing
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample, TaskSet

# how long an example takes says how busy the machine is; tests write anew what fixtures gave them
unchecked = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("untimed", deadline=None, suppress_health_check=unchecked)
settings.load_profile("untimed")

MERGES = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "n"), ("Ġ", "a"), ("e", "r"), ("o", "n")]


def _sample(number: int = 0, **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": f"s{number}",
        "input": f"What is {number}?",
        "target": 0,
        "scorer": "choice",
        "capability": "counting",
        "difficulty": "easy",
        "choices": ("one", "two"),
    }
    return Sample(**{**values, **changes})


def _task_set(samples: Sequence[Sample], **changes: Any) -> TaskSet:
    return TaskSet(**{"name": "tiny", "version": "1", "samples": tuple(samples), **changes})


def _fingerprint(**changes: Any) -> Fingerprint:
    values: dict[str, Any] = {
        "weights": "w" * 64,
        "tokenizer": "t" * 64,
        "prompt": "p" * 16,
        "settings": {"device": "cpu", "dtype": "float32"},
    }
    return Fingerprint(**{**values, **changes})


def _record(
    task_set: TaskSet, scores: Sequence[float | None] | None = None, **changes: Any
) -> RunRecord:
    if scores is None:
        scores = [1.0] * len(task_set.samples)
    values: dict[str, Any] = {
        "task_set": {"name": task_set.name, "version": task_set.version, "hash": task_set.hash},
        "variant": {
            "name": "plain",
            "kind": "prompted",
            "strategy": "prompting",
            "base": None,
        },
        "fingerprint": _fingerprint(),
        "scorers": {"choice": 1},
        "samples": tuple(
            SampleResult(s.id, s.content_hash, score, "one", 7, 2)
            for s, score in zip(task_set.samples, scores, strict=True)
        ),
        "probes": {"parameter_bytes": 1e6, "seconds": 1.25},
        "environment": {"python": "3.11.0", "device": "cpu", "threads": 1, "token_budget": 64},
    }
    return RunRecord(**{**values, **changes})


@pytest.fixture(scope="session")
def sample() -> Callable[..., Sample]:
    """Make a multiple-choice sample: ``sample(number, field=…)``."""
    return _sample


@pytest.fixture(scope="session")
def make_tasks() -> Callable[..., TaskSet]:
    """Make a task set: ``make_tasks(samples, field=…)``; the plugin has the name ``task_set``."""
    return _task_set


@pytest.fixture(scope="session")
def fingerprint() -> Callable[..., Fingerprint]:
    """Make a fingerprint: ``fingerprint(part=…)``."""
    return _fingerprint


@pytest.fixture(scope="session")
def record() -> Callable[..., RunRecord]:
    """Make a run record: ``record(task_set, scores, field=…)``."""
    return _record


@pytest.fixture
def spec() -> Callable[..., VariantSpec]:
    """Make a variant's declaration: ``spec(field=…)``."""

    def make(**changes: Any) -> VariantSpec:
        values: dict[str, Any] = {
            "name": "plain",
            "kind": "prompted",
            "strategy": "prompting",
            "model": "tiny",
        }
        return VariantSpec(**{**values, **changes})

    return make


@pytest.fixture
def write_samples(tmp_path: Path) -> Callable[..., Path]:
    """Write a task set's folder: ``write_samples(lines, header)``; a mapping becomes a line."""

    def write(
        lines: Sequence[str | Mapping[str, Any] | Sample],
        header: str = 'name = "tiny"\nversion = "1"\n',
        folder: Path = tmp_path / "tiny",
    ) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "task_set.toml").write_text(header, encoding="utf-8")
        text = "".join(f"{_line(line)}\n" for line in lines)
        (folder / "samples.jsonl").write_text(text, encoding="utf-8")
        return folder

    return write


def _line(line: str | Mapping[str, Any] | Sample) -> str:
    if isinstance(line, Sample):
        line = {f.name: getattr(line, f.name) for f in dataclasses.fields(line)}
        del line["media"]
        line = {k: dict(v) if k == "metadata" else v for k, v in line.items() if v is not None}
    return line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer Llama with random weights and a byte-level tokenizer with a few merges."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return testing.write_random_model(folder, seed=7, merges=MERGES)
