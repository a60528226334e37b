"""The gate on a real model: unchanged runs are not blocked, planted damage is.

    python -m benchmarks.real [--config PATH] [--variant NAME] [--device DEVICE] [--json PATH]
                              [--only unchanged,damage] [--seeds N]

*Unchanged*: the variant is run twenty times more with other batch sizes, sample orders, thread
counts and in bfloat16. Each run is judged against the first at margin 0, over all samples and in
every capability: as one of the twenty assertions of a run that risks 0.05, where no block may
show, and alone at a risk of 0.05 of its own, where one in twenty may.

*Damage*: normal noise is added to every weight matrix, in three sizes, with one seed a model. Each
model's run is cut into disjoint random parts, and each part is judged alone: the share that is
blocked stands beside the power that the planner promises for the model's own drop and flips.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.computing import Setting, computing
from pytest_modellab import gate, scorers
from pytest_modellab.config import read
from pytest_modellab.engines.interface import Engine
from pytest_modellab.lab.jobs import job_of
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs import runner
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.store.place import default_folder
from pytest_modellab.variants import loading, plan

ALPHA = 0.05
NOISE = "0.03,0.04,0.055"
"""Standard deviation of the noise, over that of the weight matrix."""

PARTS = (120, 240)
"""Samples in a part."""


UNCHANGED = (
    *(Setting(budget=budget) for budget in (32, 64, 128, 256, 1024, 2048, 4096)),
    *(Setting(order=seed) for seed in (1, 2)),
    *(Setting(budget=384, order=seed) for seed in (3, 4)),
    *(Setting(threads=threads) for threads in (1, 2, 3)),
    *(Setting(budget=256, order=5, threads=1),),
    *(Setting(budget=budget, dtype="bfloat16") for budget in (128, 512, 2048)),
    *(Setting(order=6, dtype="bfloat16"), Setting(budget=256, threads=1, dtype="bfloat16")),
)


class Bench:
    """One variant on one task set; nothing is taken from the store of runs."""

    def __init__(self, options: argparse.Namespace) -> None:
        path = options.config
        self.lab = Lab(read.load(path), Settings(cache=default_folder()))
        self.name: str = options.variant
        self.device: str = options.device
        self.task_set: TaskSet = self.lab.task_set(options.task_set)
        self.files = self.lab.variant(self.name).files
        self.runs = 0

    def load(self, dtype: str = "float32") -> tuple[Engine, plan.Plan]:
        """Load the variant."""
        wanted = dataclasses.replace(
            self.lab.variant(self.name).plan, dtype=dtype, device=self.device
        )
        return loading.load(wanted, self.files, self.lab.settings.cache), wanted

    def scores(self, engine: Engine, wanted: plan.Plan, setting: Setting) -> list[float | None]:
        """Run the engine; the scores in the task set's order."""
        samples = list(self.task_set.samples)
        if setting.order is not None:
            random.Random(setting.order).shuffle(samples)
        task_set = dataclasses.replace(self.task_set, samples=tuple(samples))
        job = dataclasses.replace(
            job_of(self.lab.variant(self.name), task_set, self.lab.extensions, reuse=True),
            fingerprint=loading.fingerprint(wanted, self.files),
            budget=setting.budget,
        )
        with computing(setting), tempfile.TemporaryDirectory() as cache:
            executor = InProcess(Path(cache), lambda _: engine)
            record, _ = runner.run(job, scorers.SCORERS, executor)
        self.runs += 1
        found = {sample.id: sample.score for sample in record.samples}
        return [found[sample.id] for sample in self.task_set.samples]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def unchanged(bench: Bench, match: str) -> Iterator[dict[str, Any]]:
    """Run the settings and judge each against the first run."""
    import torch

    capabilities = [sample.capability for sample in bench.task_set.samples]
    clusters = [sample.cluster or sample.id for sample in bench.task_set.samples]
    loaded = bench.load()
    first = bench.scores(*loaded, Setting())
    dtype = "float32"
    say(f"threads {torch.get_num_threads()}, mean {gate.drop(first, first).baseline:.4f}")
    for setting in (one for one in UNCHANGED if match in str(one)):
        if setting.dtype != dtype:
            loaded[0].close()
            loaded, dtype = bench.load(setting.dtype), setting.dtype
        again = bench.scores(*loaded, setting)
        alone = gate.compare(first, again, capabilities, clusters, alpha=ALPHA)
        shared = gate.compare(first, again, capabilities, clusters, alpha=ALPHA / len(UNCHANGED))
        row = {
            "setting": str(setting),
            "flips": alone.pooled.losses + alone.pooled.gains,
            "drop": alone.pooled.drop,
            "p_all": alone.pooled.p_block,
            "p_capabilities": min(figures.p_adjusted for figures in alone.buckets),
            "alone": alone.verdict,
            "in_the_run": shared.verdict,
        }
        say(f"{row}")
        yield row
    loaded[0].close()


def damage(bench: Bench, sizes: Sequence[float], seeds: int) -> Iterator[dict[str, Any]]:
    """Damage the model, judge the parts of each run, and compare with the planner."""
    engine, wanted = bench.load()
    large = Setting(budget=4096)
    whole = bench.scores(engine, wanted, large)
    weights = _weights(engine)
    for noise in sizes:
        runs = []
        for seed in range(seeds):
            _add_noise(engine, weights, noise, seed)
            runs.append(bench.scores(engine, wanted, large))
            say(f"noise {noise}, seed {seed}: drop {gate.drop(whole, runs[-1]).drop:+.3f}")
        for size in PARTS:
            yield _detected(whole, runs, noise, size)
    engine.close()


def _weights(engine: Any) -> dict[str, Any]:
    return {
        name: value.detach().clone()
        for name, value in engine.model.named_parameters()
        if value.ndim == 2
    }


def _add_noise(engine: Any, weights: dict[str, Any], noise: float, seed: int) -> None:
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in engine.model.named_parameters():
            if name in weights:
                drawn = torch.randn(value.shape, generator=generator).to(value.device)
                value.copy_(weights[name] + noise * weights[name].std() * drawn)


def _detected(
    whole: Sequence[float | None], runs: Sequence[Sequence[float | None]], noise: float, size: int
) -> dict[str, Any]:
    blocked, promised, drops = [], [], []
    for seed, run in enumerate(runs):
        figures = gate.drop(whole, run)
        drops.append(figures.drop)
        order = random.Random(seed).sample(range(len(whole)), len(whole))
        for start in range(0, len(whole) - size + 1, size):
            part = order[start : start + size]
            judged = gate.drop([whole[i] for i in part], [run[i] for i in part], alpha=ALPHA)
            blocked.append(judged.verdict == "block")
        churn = 2.0 * figures.gains / figures.n
        promised.append(gate.power(size, max(figures.drop, 0.0), churn=churn, level=ALPHA))
    measured = statistics.fmean(blocked)
    row = {
        "noise": noise,
        "models": len(runs),
        "drop": statistics.fmean(drops),
        "samples": size,
        "judged": len(blocked),
        "blocked": measured,
        "error": (measured * (1.0 - measured) / len(blocked)) ** 0.5,
        "promised": statistics.fmean(promised),
    }
    say(f"{row}")
    return row


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("suites/modellab.toml"))
    parser.add_argument("--variant", default="prompting")
    parser.add_argument("--task-set", default="assistant_core_v2")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--only", default="unchanged,damage")
    parser.add_argument("--match", default="", help="unchanged: settings with this text only")
    parser.add_argument("--noise", default=NOISE, help="sizes of the damage")
    parser.add_argument("--seeds", type=int, default=30, help="damaged models of each size")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [float(size) for size in options.noise.split(",")]
    start = time.perf_counter()
    bench = Bench(options)
    found: dict[str, Any] = {"device": options.device, "machine": _machine(options.device)}
    if "unchanged" in options.only:
        found["unchanged"] = list(unchanged(bench, options.match))
        _table(found["unchanged"])
    if "damage" in options.only:
        found["damage"] = list(damage(bench, sizes, options.seeds))
        _table(found["damage"])
    found["runs"], found["seconds"] = bench.runs, round(time.perf_counter() - start)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\n{bench.runs} runs of {len(bench.task_set.samples)} samples, {found['seconds']} s")
    return int(any(row["in_the_run"] == "block" for row in found.get("unchanged", ())))


def _machine(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name())
    return f"{platform.machine()}, {torch.get_num_threads()} threads"


def _table(rows: Sequence[dict[str, Any]]) -> None:
    print(f"\n| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        cells = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values())
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
