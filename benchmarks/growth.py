"""How time and memory grow with samples and variants, no model loaded.

    python -m benchmarks.growth [--samples 1000,…] [--variants 1,10,100] [--json PATH]

A million samples (`--samples 1000,10000,100000,1000000`) take about 4 GB of memory and 8 minutes of
a core more. Every size is measured in processes of its own. Answers are drawn by an engine that
costs nothing; what is timed is all the rest: reading the task set, a run (rendering, records,
scores, store), the same run from the store, a verdict over all capabilities, the reports; and a
whole session of pytest on stored runs, its collection apart. Seconds are the processor's, so that a
busy machine does not count. Exponents are fitted by least squares to the logarithms: 1 is growth in
proportion.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.engines.interface import Done, ScoringRequest
from pytest_modellab.gate import compare
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import Output
from pytest_modellab.reports import json_file
from pytest_modellab.reports.session import SessionReport
from pytest_modellab.reports.text import markdown
from pytest_modellab.runs.executor import InProcess

ROOT = Path(__file__).parents[1]
CAPABILITIES = 10
BATCH = 256
_TEST = """import pytest

pytestmark = [pytest.mark.task_set("drawn")]


@pytest.mark.variants({names})
def test_cost(candidate, gate):
    gate.no_regression(candidate, against="base", margin=0.05)
"""


class Drawn:
    """Answers at once: log-likelihoods by a hash of the context."""

    abilities = frozenset({"score"})

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return "\n".join(message["content"] for message in messages)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        for start in range(0, len(requests), BATCH):
            batch = range(start, min(start + BATCH, len(requests)))
            done({i: _drawn(requests[i]) for i in batch if i not in skip})

    def generate(self, requests: Sequence[Any], **_: Any) -> None:
        assert not requests

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


def _drawn(request: ScoringRequest) -> Output:
    rng = random.Random(request.context)
    values = tuple(-10 * rng.random() for _ in request.options)
    return Output("", values, tokens_in=100, tokens_out=20, seconds=1e-3)


def write_project(folder: Path, samples: int, variants: int) -> None:
    """Write a task set and variants of a model that is never loaded; each has its own prompt."""
    (folder / "model").mkdir(parents=True)
    for name, text in (("config.json", "{}"), ("tokenizer.json", "{}"), ("model.safetensors", "")):
        (folder / "model" / name).write_text(text)
    tasks = folder / "tasks"
    tasks.mkdir()
    rng = random.Random(0)
    with (tasks / "samples.jsonl").open("w") as file:
        for number in range(samples):
            sample = {
                "id": f"s{number:07}",
                "input": f"{number}: " + " ".join(f"{rng.randrange(10**6)}" for _ in range(12)),
                "capability": f"capability_{number % CAPABILITIES}",
                "difficulty": "easy",
                "scorer": "choice",
                "choices": [f"option {k} of {number}" for k in range(4)],
                "target": number % 4,
            }
            file.write(json.dumps(sample) + "\n")
    (tasks / "task_set.toml").write_text('name = "drawn"\nversion = "1.0.0"\n')
    toml = ["[models.none]", 'source = "./model"', "[task_sets.drawn]", 'path = "tasks"']
    for number in range(variants + 1):
        (folder / f"p{number}.jinja").write_text(
            f"{{% block user %}}{number} {{{{ input }}}}{{% endblock %}}"
        )
        toml += [f"[variants.v{number:03}]", 'kind = "prompted"']
        toml += ['base = "v000"' if number else 'model = "none"']
        toml += [f'prompt = "p{number}.jinja"']
    (folder / "modellab.toml").write_text("\n".join(toml) + "\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    names = ", ".join(f'"v{number + 1:03}"' for number in range(variants))
    (folder / "test_drawn.py").write_text(_TEST.format(names=names))


def stages(folder: Path, variants: int) -> dict[str, float]:
    """Seconds of each stage for all variants together, and the memory that this process took."""
    store = folder / "store"
    taken: dict[str, float] = {}

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        begun = time.process_time()
        yield
        taken[name] = taken.get(name, 0.0) + time.process_time() - begun

    def lab() -> Lab:
        drawn = InProcess(store, lambda _: Drawn())  # type: ignore[arg-type,return-value]
        return Lab(read.load(folder / "modellab.toml"), Settings(cache=store), executor=drawn)

    before = _memory()
    first, again = lab(), lab()
    names = [f"v{number:03}" for number in range(variants + 1)]
    with timed("task set"):
        task_set = first.task_set("drawn")
    with timed("plan"):
        planned = [first.variant(name) for name in names]
    with timed("run"):
        for one in planned:
            first.record(one, task_set)
    records = []
    with timed("from the store"):
        for one in planned:
            found = again.stored(one, task_set)
            assert found is not None
            records.append(found)
    labels = [sample.capability for sample in task_set.samples]
    scores = [[sample.score or 0.0 for sample in record.samples] for record in records]
    with timed("verdicts"):
        for other in scores[1:]:
            compare(scores[0], other, labels, margin=0.05)
    with timed("reports"):
        runs = tuple(again.summary(one, task_set) for one in planned)
        report = SessionReport(runs, (), (), 0.05, 0, "warn", complete=True, notes=())
        json_file.dumps(report)
        markdown.render(report)
    taken["memory"] = _memory() - before
    first.accept(planned[0], task_set)  # what the session of pytest compares with
    return taken


def session(folder: Path, arguments: Sequence[str]) -> tuple[float, float]:
    """Run pytest on the stored runs: seconds, and the most memory that it took in MB."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    watched = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:]); "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print('used', used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    command = [sys.executable, "-c", watched, sys.executable, "-m", "pytest"]
    command += ["-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "MODELLAB_CACHE": str(folder / "store"), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if " passed" not in done.stdout and " collected in" not in done.stdout:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-2000:])
    seconds, peak = done.stdout.split("used ")[-1].split()
    return float(seconds), int(peak) / 1024


def measure(samples: int, variants: int) -> dict[str, float]:
    """All figures of one size."""
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where) / "project"
        write_project(folder, samples, variants)
        found = _alone(folder, variants)
        found["collection"], _ = session(folder, ["--collect-only"])
        found["session"], found["session, MB"] = session(
            folder, ["--modellab-json=r.json", "--modellab-markdown=r.md"]
        )
    return found


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """The slope of the logarithms, by least squares."""
    xs = [math.log(size) for size in sizes]
    ys = [math.log(max(value, 1e-6)) for value in values]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    over = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return over / sum((a - x) ** 2 for a in xs)


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with the defaults, and with the text above as it is written."""


def main() -> None:
    """Measure every size, print a table for samples and one for variants."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description=__doc__,
        formatter_class=_Help,
    )
    parser.add_argument("--samples", default="1000,10000,100000", help="sizes, with commas")
    parser.add_argument("--variants", default="1,10,100", help="sizes, with commas")
    parser.add_argument("--at", type=int, default=1000, help="samples where variants grow")
    parser.add_argument("--json", type=Path, help="file that is to keep all figures")
    parser.add_argument("--stages", nargs=2, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.stages:
        print(json.dumps(stages(Path(options.stages[0]), int(options.stages[1]))))
        return
    kept: dict[str, Any] = {}
    for what, sizes, run in (
        ("samples", options.samples, lambda n: measure(n, 1)),
        ("variants", options.variants, lambda n: measure(options.at, n)),
    ):
        kept[what] = _table(what, [int(n) for n in sizes.split(",") if n], run)
        if options.json:
            options.json.write_text(json.dumps(kept, indent=1))


def _table(
    what: str, sizes: Sequence[int], run: Callable[[int], dict[str, float]]
) -> dict[int, dict[str, float]]:
    found = {}
    for size in sizes:
        found[size] = run(size)
        print(f"{what} {size}: {found[size]}", file=sys.stderr, flush=True)
    if not found:
        return found
    print(f"\n| {what} | " + " | ".join(f"{size:,}" for size in sizes) + " | exponent |")
    print("|---" * (len(sizes) + 2) + "|")
    for name in next(iter(found.values())):
        values = [found[size][name] for size in sizes]
        unit = "MB" if "M" in name or name == "memory" else "s"
        slope = f"{exponent(sizes, values):.2f}" if len(sizes) > 1 else "–"
        row = " | ".join(f"{value:.3g}" for value in values)
        print(f"| {name}, {unit} | {row} | {slope} |".replace(", MB, MB", ", MB"))
    return found


def _alone(folder: Path, variants: int) -> dict[str, float]:
    """The stages in a process of their own, whose memory nothing else has raised."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--stages", str(folder), str(variants)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _memory() -> float:
    """Most memory that this process had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
