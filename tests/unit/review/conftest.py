"""A small project in a real git repository, and pull requests to it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pull_requests import HEADER, INI, LIMITS, STEPS, TEST, TOML, WORKFLOW, git, write

from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline, Repeat
from pytest_modellab.config import read as configuration
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.review.against import BASE, TARGETS
from pytest_modellab.review.review import Review, review
from pytest_modellab.tasksets import jsonl


@pytest.fixture(scope="session")
def samples(sample: Callable[..., Any]) -> list[str]:
    """The lines of the project's samples: eight of two capabilities."""
    made = [
        sample(k, input=f"Which word has {k} letters?", capability=("spelling", "meaning")[k % 2])
        for k in range(8)
    ]
    lines = []
    for one in made:
        data = dataclasses.asdict(one)
        del data["media"]
        del data["cluster"], data["max_tokens"]
        lines.append(json.dumps(data))
    return lines


@pytest.fixture(scope="session")
def accept(record: Callable[..., RunRecord]) -> Callable[..., None]:
    """Accept a run: ``accept(root, variant, scores, anchor=…)`` as it would be written."""

    def accept(root: Path, variant: str, scores: list[float], **changes: Any) -> None:
        tasks: TaskSet = jsonl.read(root / "suites/tasks/words")
        anchor = changes.pop("anchor", None)
        table = {"name": variant, "kind": "quantized", "strategy": "quantization", "base": "plain"}
        run = record(tasks, scores, variant=table, **changes)
        path = file.path_of(root / "baselines", "words", variant)
        file.write(path, Baseline(run, Repeat(run_scores(run), {}), anchor))

    return accept


def run_scores(run: RunRecord) -> tuple[float | None, ...]:
    return tuple(sample.score for sample in run.samples)


@pytest.fixture(scope="session")
def template(
    tmp_path_factory: pytest.TempPathFactory, samples: list[str], accept: Callable[..., None]
) -> Path:
    """The project, committed on ``main``; the working tree is on a branch."""
    root = tmp_path_factory.mktemp("template")
    write(
        root,
        {
            "suites/modellab.toml": TOML,
            "suites/test_small.py": TEST,
            "suites/limits.py": LIMITS,
            "suites/tasks/words/task_set.toml": HEADER,
            "suites/tasks/words/samples.jsonl": "\n".join(samples) + "\n",
            "pytest.ini": INI,
            "README.md": "A gate.\n",
            WORKFLOW: STEPS,
        },
    )
    for variant in ("plain", "small", "smaller"):
        accept(root, variant, [1.0] * 6 + [0.0] * 2)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "a gate")
    git(root, "checkout", "-q", "-b", "pull-request")
    return root


@pytest.fixture
def project(tmp_path: Path, template: Path, monkeypatch: Any) -> Path:
    """The project in a folder of its own."""
    for name in (*TARGETS, BASE):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "project"
    shutil.copytree(template, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def reviewed(project: Path) -> Callable[..., Review]:
    """Review the working tree as it lies there."""

    def reviewed(ref: str | None = None) -> Review:
        return review(configuration.load(project / "suites/modellab.toml"), ref)

    return reviewed
