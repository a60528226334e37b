"""A small project with a gate, and what a pull request does to its files."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

TOML = """\
baselines = "../baselines"

[models.tiny]
source = "./tiny"

[task_sets.words]  # what is asked
path = "tasks/words"
margin = 0.02
capability_margin = 0.05
floor = 0.30

[variants.plain]
kind = "prompted"
model = "tiny"

[variants.small]
kind = "quantized"
base = "plain"
method = "rtn"
targets = ["spelling"]

[variants.smaller]
kind = "quantized"
base = "plain"
method = "rtn"

[scenarios.shop]
weights = { quality = 1, cost = 1 }
limits = { quality = 0.5, churn = 0.02 }
"""

TEST = '''\
"""May a quantized model ship?"""

import pytest

from limits import COST

SET = "words"
pytestmark = [pytest.mark.task_set(SET), pytest.mark.variants(kind="quantized")]


def test_overall(candidate, gate):
    gate.no_regression(candidate)


def test_capability(candidate, capability, gate):
    gate.no_regression(candidate, capability=capability)


@pytest.mark.alpha_weight(2)
def test_cost(candidate, gate):
    gate.no_regression(candidate, against="base", margin=COST)


def test_drift(candidate, gate):
    gate.no_drift(candidate)


class TestFloors:
    @pytest.mark.variants("plain", "small", "smaller")
    def test_worst(self, candidate, gate):
        gate.worst_bucket(candidate, by="capability")
'''

LIMITS = "COST = 0.10  # what 4 bits may cost\n"

HEADER = 'name = "words"\nversion = "1"\n'

CONFIG = "suites/modellab.toml"

TESTS = "suites/test_small.py"

SAMPLES = "suites/tasks/words/samples.jsonl"

HEADER_FILE = "suites/tasks/words/task_set.toml"

WORKFLOW = ".github/workflows/gate.yml"

STEPS = """\
jobs:
  gate:
    steps:
      - name: Gate
        run: >
          pytest suites -m "not nightly"
          --modellab-markdown gate.md
          --modellab-on-inconclusive=fail
      - run: modellab review
      - run: modellab gate scores/base.csv scores/new.csv --margin 0.02
"""

INI = "[pytest]\naddopts = --strict-markers\npythonpath = suites\n"


def git(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgSign=false")
    command = ["git", *named, *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def change(path: Path, old: str, new: str) -> None:
    """Replace what stands once in a file."""
    text = path.read_text()
    assert text.count(old) == 1, (old, text)
    path.write_text(text.replace(old, new))


def lines(root: Path) -> list[dict[str, Any]]:
    """Return the samples of the project."""
    return [json.loads(line) for line in (root / SAMPLES).read_text().splitlines()]


def save(root: Path, samples: list[dict[str, Any]]) -> None:
    """Write the samples of the project."""
    (root / SAMPLES).write_text("".join(json.dumps(one) + "\n" for one in samples))
