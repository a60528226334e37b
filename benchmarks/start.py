"""What a session costs before it asks a model: `python -m benchmarks.start`.

    python -m benchmarks.start [--only import,collect,rerun] [--rounds N] [--rerun SELECTION …]

The plugin's import over bare pytest; collecting 60 variants x 40 capabilities; and the suites again
when nothing has changed, from the store that is there (`MODELLAB_CACHE` or the user's), without a
model. Medians, in seconds of the clock and, since a busy machine stretches those, of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIANTS, CAPABILITIES, SAMPLES = 60, 40, 10_000
LIMITS = {"import": 0.060, "collect": 2.0, "rerun": 5.0}
HEAVY = ("torch", "transformers", "mlflow", "matplotlib", "sentence_transformers", "peft")
_TESTS = """import pytest

pytestmark = [pytest.mark.task_set("words")]


def test_capability(candidate, capability, gate):
    gate.no_regression(candidate, capability=capability)
"""


def main() -> int:
    """Measure, print, and fail where a figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="import,collect,rerun")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rerun", nargs=argparse.REMAINDER, default=["-k", "not latency"])
    options = parser.parse_args()
    held = True
    for part in options.only.split(","):
        if part == "import":
            seconds, processor = _import(4 * options.rounds)
        elif part == "collect":
            with tempfile.TemporaryDirectory() as folder:
                write_project(Path(folder))
                found = [_pytest(folder, ["--collect-only", "-q"]) for _ in range(options.rounds)]
            seconds, processor = _medians(found)
        else:
            once = ["suites", *options.rerun]
            found = [_pytest(ROOT, once) for _ in range(options.rounds + 1)][1:]
            seconds, processor = _medians(found)
            print(f"  imported: {', '.join(_heavy(once)) or 'nothing heavy'}")
        limit = LIMITS[part]
        held = held and processor <= limit
        print(f"{part:8} {seconds:7.3f} s, processor {processor:7.3f} s, allowed {limit:g} s")
    return 0 if held else 1


def write_project(folder: Path) -> None:
    """Write a task set of many capabilities, and as many variants of one model."""
    tasks = folder / "tasks"
    tasks.mkdir()
    lines = []
    for number in range(SAMPLES):
        sample = {
            "id": f"s{number:05}",
            "input": f"What is {number} and {number % 7}?",
            "capability": f"capability_{number % CAPABILITIES:02}",
            "difficulty": ("easy", "medium", "hard")[number // CAPABILITIES % 3],
            "scorer": "choice",
            "choices": [str(number + k) for k in range(4)],
            "target": number % 4,
        }
        lines.append(json.dumps(sample))
    (tasks / "samples.jsonl").write_text("\n".join(lines) + "\n")
    (tasks / "task_set.toml").write_text('name = "words"\nversion = "1.0.0"\n')
    (folder / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}\n")
    toml = ["[models.base]", 'source = "model"', "[task_sets.words]", 'path = "tasks"']
    for number in range(VARIANTS):
        toml += [f"[variants.v{number:02}]", 'kind = "prompted"', 'model = "base"']
        toml += ['prompt = "prompt.jinja"']
    (folder / "modellab.toml").write_text("\n".join(toml) + "\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_words.py").write_text(_TESTS)


def _import(rounds: int) -> tuple[float, float]:
    """How much longer pytest takes to start with the plugin than without."""
    more, alone = [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            bare = _pytest(folder, ["--collect-only", "-p", "no:modellab"])
            ours = _pytest(folder, ["--collect-only"])
            more.append((ours[0] - bare[0], ours[1] - bare[1]))
            alone.append(bare)
    print("  pytest without it: {:.3f} s, processor {:.3f} s".format(*_medians(alone)))
    return _medians(more[1:])


def _pytest(folder: str | Path, arguments: Sequence[str]) -> tuple[float, float]:
    """Run pytest; seconds of the clock, and of the processor."""
    begun, before = time.perf_counter(), _used()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    wall, used = time.perf_counter() - begun, _used() - before
    if done.returncode not in (0, 1, 5):
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    return wall, used


def _used() -> float:
    """Seconds of the processor that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _heavy(arguments: Sequence[str]) -> list[str]:
    """Which heavy libraries a run has imported; with -s, since pytest would keep what is said."""
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "-s", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    names = set(re.findall(r"\|\s+(\w+)\s*$", done.stderr, flags=re.MULTILINE))
    return [name for name in HEAVY if name in names]


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*pairs, strict=True)
    return statistics.median(first), statistics.median(second)


if __name__ == "__main__":
    sys.exit(main())
