"""The trade-off report at scale: `python -m benchmarks.tradeoff`.

60 variants, 40 capabilities in three difficulties, 10,000 samples: seconds and memory from run
records to the JSON and the page, and how large they are. The scores are drawn; everything after
them is what `modellab compare` does.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import sys
import time
from pathlib import Path

import numpy as np

from pytest_modellab.config.lab_config import SCENARIOS
from pytest_modellab.records.declared import Price, TaskSetConfig, VariantSpec
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import DIFFICULTIES, Sample, TaskSet
from pytest_modellab.records.timings import Performance, Timings
from pytest_modellab.reports import page
from pytest_modellab.tradeoff import assemble, figures
from pytest_modellab.tradeoff.entry import Entry

STRATEGIES = ("prompting", "fine-tuning", "quantization", "distillation", "alignment")
SECONDS, GIGABYTES, MEGABYTES = 20.0, 1.0, 5.0


def main() -> int:
    """Generate, print, and fail where a promised figure is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", type=int, default=60)
    parser.add_argument("--capabilities", type=int, default=40)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--write", type=Path, help="write the page here")
    options = parser.parse_args()
    task_set, entries = _populate(options.variants, options.capabilities, options.samples)
    print(f"records: {_peak():.2f} GB held")
    start = time.perf_counter()
    tradeoff = assemble.assemble(
        entries,
        task_set=task_set,
        settings=TaskSetConfig(task_set.name, Path(), 0.02, 0.05, 0.3),
        reference="v0",
        second=entries[0].record,
        scenarios=list(SCENARIOS.values()),
    )
    weighed = time.perf_counter()
    text = figures.dumps(tradeoff)
    html = page.render([tradeoff], interactive=True)
    seconds, size = time.perf_counter() - start, len(html.encode()) / 1e6
    if options.write is not None:
        options.write.write_text(html, encoding="utf-8")
    print(
        f"{options.variants} variants x {options.capabilities} capabilities x {options.samples} "
        f"samples: {seconds:.1f} s (weighing {weighed - start:.1f} s), peak {_peak():.2f} GB, "
        f"JSON {len(text.encode()) / 1e6:.1f} MB, page {size:.1f} MB"
    )
    return 0 if seconds < SECONDS and _peak() < GIGABYTES and size < MEGABYTES else 1


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def _populate(variants: int, capabilities: int, samples: int) -> tuple[TaskSet, list[Entry]]:
    rng = np.random.default_rng(0)
    task_set = TaskSet(
        "drawn_v1",
        "1.0",
        tuple(
            Sample(
                id=f"s{i}",
                input="",
                target=0,
                scorer="choice",
                capability=f"capability_{i % capabilities:02}",
                difficulty=DIFFICULTIES[i // capabilities % 3],
                choices=("a", "b"),
            )
            for i in range(samples)
        ),
    )
    hard = rng.random(samples)
    entries = []
    for v in range(variants):
        skill = 0.65 + (rng.normal(0.0, 0.05) if v else 0.0)
        scores = (0.7 * hard + 0.3 * rng.random(samples) < skill).astype(float)
        factor = float(np.exp(rng.normal(0.0, 0.3))) if v else 1.0
        name, strategy = f"v{v}", STRATEGIES[v % len(STRATEGIES)]
        base = "v0" if v else None
        record = RunRecord(
            task_set={"name": task_set.name, "version": "1.0", "hash": task_set.hash},
            variant={"name": name, "kind": "prompted", "strategy": strategy, "base": base},
            fingerprint=Fingerprint("w", "t", "p", {"device": "cpu"}),
            scorers={"choice": 1},
            samples=tuple(
                SampleResult(s.id, s.content_hash, float(x), "a", 50, 2, 0.01, confidence=0.7)
                for s, x in zip(task_set.samples, scores, strict=True)
            ),
            probes={"parameter_bytes": 5e8 * factor},
            environment={"device": "cpu"},
        )
        own = _timings(rng, factor)
        performance = Performance(own, _timings(rng, 1.0) if v else None, {}, {"device": "cpu"})
        spec = VariantSpec(name, "prompted", strategy, base)
        entry = Entry(spec, record, "stored", performance, Price("cpu", 0.1), churn=0.0)
        history = tuple((f"2026-{m:02}-01", float(scores.mean())) for m in range(1, 7))
        entries.append(dataclasses.replace(entry, history=history))
    return task_set, entries


def _timings(rng: np.random.Generator, factor: float) -> Timings:
    end = factor * np.linspace(0.3, 0.9, 6) * np.exp(rng.normal(0.0, 0.05, (5, 6)))

    def rows(values: np.ndarray) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(float(v) for v in row) for row in values)

    return Timings(rows(0.3 * end), rows(end), (50,) * 6, (16,) * 6, rows(end[:, :2]), (3, 3))


if __name__ == "__main__":
    sys.exit(main())
