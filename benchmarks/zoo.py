"""Every variant of the suites side by side, as a Markdown table: `python -m benchmarks.zoo`.

Scores, churn and the forgetting verdict come from the accepted baselines, training costs from the
provenance of the adapters. Speed and memory are measured here, each variant in a process of its
own: the multiple-choice samples of assistant_core_v2, every `--every`th, in `--rounds` rounds after
one that is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pytest_modellab.baselines import file as baseline_file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.config import read
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.errors import ModellabError
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.question import Question
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.recipes import provenance
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.runs.summary import summarize
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites"
CORE, DOMAIN, PROBES = "assistant_core_v2", "support_triage_v1", "alignment_probes_v1"
COLUMNS = (
    "variant",
    "strategy",
    "parameters, M",
    "weights held, MB",
    "shipped, MB",
    "core",
    "worst capability",
    "forgetting",
    "churn",
    "domain",
    "probes",
    "tokens/s",
    "peak memory, GB",
    "trained",
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variants", nargs="*", help="default: all that have a baseline")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", action="store_true", help="measure one variant, print JSON")
    options = parser.parse_args()
    lab = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=default_folder()))
    if options.one:
        print(json.dumps(_measure(lab, options.variants[0], options.every, options.rounds)))
        return 0
    names = options.variants or [
        name for name in lab.config.variants if _baseline(lab, name, CORE) is not None
    ]
    print("|", " | ".join(COLUMNS), "|")
    print("|", " | ".join("---" for _ in COLUMNS), "|")
    for name in names:
        print("|", " | ".join(_row(lab, name, options)), "|", flush=True)
    return 0


def _measure(lab: Lab, name: str, every: int, rounds: int) -> dict[str, Any]:
    engine: Any = lab.engine(lab.variant(name))
    samples = [s for s in lab.task_set(CORE).samples if s.choices][::every]
    prompt = lab.variant(name).plan.prompt
    requests = [ScoringRequest(engine.render(prompt.messages(s.input)), s.choices) for s in samples]
    speeds = []
    for _ in range(rounds + 1):
        answers: dict[int, Output] = {}
        start = time.perf_counter()
        engine.score_options(requests, budget=DEFAULT_BUDGET, skip=set(), done=answers.update)
        seconds = time.perf_counter() - start
        tokens = sum(output.tokens_in + output.tokens_out for output in answers.values())
        speeds.append(tokens / seconds)
    model = getattr(engine, "model", None)
    return {
        "parameters": model.num_parameters() if hasattr(model, "num_parameters") else None,
        "bytes": engine.parameter_bytes(),
        "tokens_per_second": statistics.median(speeds[1:]),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _row(lab: Lab, name: str, options: argparse.Namespace) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.zoo", name, "--one"]
    command += ["--every", str(options.every), "--rounds", str(options.rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModellabError(f"{name}: cannot be measured: {done.stderr.strip()[-500:]}")
    measured = json.loads(done.stdout.splitlines()[-1])
    spec = lab.spec(name)
    core = _baseline(lab, name, CORE)
    parameters = measured["parameters"]
    return [
        name,
        spec.strategy,
        f"{parameters / 1e6:.1f}" if parameters else "–",
        f"{measured['bytes'] / 1e6:.0f}",
        _shipped(lab, spec),
        _mean(lab, core, CORE),
        _worst(lab, core),
        _forgetting(lab, spec, core),
        f"{core.churn:.3f}" if core is not None and core.churn is not None else "–",
        _mean(lab, _baseline(lab, name, DOMAIN), DOMAIN),
        _mean(lab, _baseline(lab, name, PROBES), PROBES),
        f"{measured['tokens_per_second']:.0f}",
        f"{measured['peak'] / 1e9:.2f}",
        _trained(lab, spec),
    ]


def _baseline(lab: Lab, name: str, task_set: str) -> Baseline | None:
    return baseline_file.read(lab.baseline_path(name, task_set))


def _mean(lab: Lab, baseline: Baseline | None, task_set: str) -> str:
    if baseline is None:
        return "–"
    return f"{summarize(baseline.run, lab.task_set(task_set)).mean:.3f}"


def _worst(lab: Lab, baseline: Baseline | None) -> str:
    if baseline is None:
        return "–"
    summary = summarize(baseline.run, lab.task_set(CORE))
    worst = min(summary.capabilities, key=lambda capability: capability.mean)
    return f"{worst.name} {worst.mean:.2f}"


def _forgetting(lab: Lab, spec: VariantSpec, baseline: Baseline | None) -> str:
    reference = _baseline(lab, spec.base, CORE) if spec.base is not None else None
    if baseline is None or reference is None:
        return "–"
    second = reference.second_run()
    task_set: TaskSet = lab.task_set(CORE)
    if second is None:
        return "–"
    question = Question(
        assertion="no_forgetting",
        test="benchmarks.zoo",
        spec=spec,
        task_set=task_set,
        against=f"baseline of {spec.base}",
        budget=Budget(share=0.05, alpha=0.05),
        candidate=baseline.run,
        reference=reference.run,
        prompt_may_differ=True,
    )
    targeted = set(spec.targets)
    comparison = no_forgetting(question, second=second, targeted=targeted, margin=0.10)
    lost = [figures.name for figures in comparison.figures if figures.verdict == "block"]
    return f"{comparison.verdict}: {', '.join(lost)}" if lost else comparison.verdict


def _shipped(lab: Lab, spec: VariantSpec) -> str:
    folder = spec.options.get("adapter")
    if folder is None:
        return "–"
    files = (lab.config.root / folder).glob("*.safetensors")
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f}"


def _trained(lab: Lab, spec: VariantSpec) -> str:
    folder = spec.options.get("adapter")
    made = provenance.read(lab.config.root / folder) if folder is not None else None
    if made is None:
        return "–"
    return f"{made.method}, {made.steps} steps, {made.seconds:.0f} s on {made.device}"


if __name__ == "__main__":
    sys.exit(main())
