"""Does the latency gate notice a fifth, and nothing else? `python -m benchmarks.latency`.

The base model four times in one process: as the reference, as two unchanged variants, and behind a
hook that really sleeps a fifth of the time that each answer took. Every run measures all of them in
turns and judges each against the reference, as `gate.no_slowdown` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab import gate
from pytest_modellab.config import read
from pytest_modellab.engines.interface import Done, Engine, GenerationRequest
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.runs import latency, performance
from pytest_modellab.runs.passages import Grounded
from pytest_modellab.store.place import default_folder
from pytest_modellab.tradeoff.judge import SLOWER

SUITES = Path(__file__).parents[1] / "suites"
TASK_SET = "assistant_core_v2"
SHARE = 0.05


class Slowed:
    """An engine whose answers take longer by a share of their time, spent asleep."""

    def __init__(self, engine: Engine, share: float) -> None:
        self._engine, self._share = engine, share

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return self._engine.render(messages)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: set[int], done: Done
    ) -> None:
        start = time.perf_counter()
        self._engine.generate(requests, budget=budget, skip=skip, done=done)
        time.sleep(self._share * (time.perf_counter() - start))


def main() -> int:
    """Measure, print, and fail where the gate misses its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--requests", type=int, default=PerformanceConfig.requests)
    parser.add_argument("--rounds", type=int, default=PerformanceConfig.rounds)
    parser.add_argument("--max-tokens", type=int, default=PerformanceConfig.max_tokens)
    parser.add_argument("--slower", type=float, default=0.20)
    options = parser.parse_args()
    lab = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=default_folder()))
    variant, samples = lab.variant("prompting"), lab.task_set(TASK_SET).samples
    prompt = Grounded(variant.plan.prompt)
    settings = PerformanceConfig(
        options.requests, options.rounds, options.requests, options.max_tokens
    )

    def load() -> Any:
        return variant.source.open(lab.settings.cache)

    reference, slowed = load(), Slowed(load(), options.slower)
    engines: Any = [slowed, load(), load(), reference]
    chosen = latency.spread([len(s.input) for s in samples], settings.requests)
    asked = performance._requests(reference, prompt, [samples[i] for i in chosen], settings)
    names = ("slowed", "unchanged", "unchanged")
    blocked = {"slowed": 0, "unchanged": 0}
    for run in range(options.runs):
        start = time.perf_counter()
        *judged, beside = latency.measure(engines, [asked] * len(engines), settings)
        for name, timings in zip(names, judged, strict=True):
            ratio = gate.latency_ratio(
                timings.end_to_end, beside.end_to_end, limit=SLOWER, alpha=SHARE
            )
            blocked[name] += ratio.verdict == "block"
            print(f"{run + 1:3} {name:9} x{ratio.ratio:.3f} {ratio.verdict}", end="  ")
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
    for name, count in blocked.items():
        print(f"{name}: blocked in {count} of {names.count(name) * options.runs}")
    held = blocked["slowed"] >= 0.9 * options.runs and blocked["unchanged"] <= options.runs / 10
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
