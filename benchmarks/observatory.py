"""What does a diagnosis cost? `python -m benchmarks.observatory [--case fault|VARIANT ...]`.

`modellab diagnose` runs from command to report, with pictures, in a process of its own: a copy of
the base with one head set to zero (`fault`), and variants of the suites. Processor seconds of each
step, so that nothing else on the machine counts, are shown beside those of one forward pass of the
base over as many tokens, and beside what others do: hooks on every module of both models, and the
first one whose output differs. Medians of all runs.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.store.place import default_folder

CONFIG = Path(__file__).parents[1] / "suites" / "modellab.toml"
BASE = "prompting"
FAULT = "fault"
LAYER, HEAD, WIDTH = 8, 3, 64
TOKENS = ((8, 40), (1, 128))
MOST = 60.0
COMMAND = """
import sys, time
time.perf_counter = time.process_time
from pytest_modellab.cli import main
sys.exit(main(sys.argv[1:]))
"""


def main() -> int:
    """Measure, print, and fail where a whole takes more than a minute."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", metavar="NAME")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    names = options.case or [FAULT]
    lab = Lab(read.load(CONFIG), Settings(cache=default_folder()))
    opened = lab.variant(BASE).source.open(lab.settings.cache)
    base, tokenizer = _inside(opened)
    broken = copy.deepcopy(base)
    wide = slice(HEAD * WIDTH, (HEAD + 1) * WIDTH)
    broken.model.layers[LAYER].self_attn.o_proj.weight.data[:, wide] = 0
    rows: dict[str, dict[str, list[float]]] = {}
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        broken.save_pretrained(model)
        tokenizer.save_pretrained(model)
        for name in names * options.runs:
            row = rows.setdefault(name, {})
            forward = seconds(lambda: _logits(base))
            peer = seconds(lambda: first_divergence(base, broken))
            took, said[name] = command(str(model) if name == FAULT else name, Path(folder))
            for step, value in {**took, "forward": forward, "peer": peer}.items():
                row.setdefault(step, []).append(value)
    medians = {
        name: {step: statistics.median(values) for step, values in row.items()}
        for name, row in rows.items()
    }
    print(f"{os.cpu_count()} cores, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}")
    print(f"first divergence names {first_divergence(base, broken)}", end="\n\n")
    for name, culprit in said.items():
        print(f"{name}: {culprit}")
    print(f"\n{table(medians)}")
    return 0 if all(row["whole"] < MOST for row in medians.values()) else 1


def command(candidate: str, folder: Path) -> tuple[dict[str, float], str]:
    """Run the command; processor seconds of its steps and of the whole, and what it names."""
    out = folder / "diagnosis.json"
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    arguments = ["diagnose", BASE, candidate, "--config", str(CONFIG), "--no-cache"]
    reports = ["--html", str(folder / "diagnosis.html"), "--json", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments, *reports],
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    found = json.loads(out.read_text(encoding="utf-8"))
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    steps = {step: float(value) for step, value in found["seconds"].items()}
    whole = {
        "loading and reports": spent - sum(steps.values()),
        "whole": spent,
        "whole, by the clock": wall,
    }
    return {**steps, **whole}, f"{found['culprit']} {found['fault']}"


def first_divergence(base: Any, candidate: Any, differs: float = 0.01) -> str | None:
    """Name the first module without children whose output differs by more than a share."""
    theirs, ours = _outputs(base), _outputs(candidate)
    for name, reference in theirs.items():
        if float((ours[name] - reference).norm()) > differs * float(reference.norm()):
            return name
    return None


def table(medians: dict[str, dict[str, float]]) -> str:
    """Seconds of each step that takes any, and how many forward passes they are."""
    steps = list(
        dict.fromkeys(step for row in medians.values() for step in row if row[step] >= 0.05)
    )
    last = [step for step in steps if step.startswith("whole")]
    first = ["forward", "peer", *(one for one in steps if one not in (*last, "forward", "peer"))]
    titles = {"forward": "one forward pass of the base", "peer": "first divergence, by hooks"}
    lines = [["step", *medians], ["---"] * (1 + len(medians))]
    for step in (*first, *last):
        cells = [
            f"{row[step]:.1f} ({row[step] / row['forward']:.1f})" if step in row else "–"
            for row in medians.values()
        ]
        lines.append([titles.get(step, step), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds(work: Callable[[], Any]) -> float:
    """Take the processor's time for something."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _inside(opened: Any) -> tuple[Any, Any]:
    """The model and the tokenizer that an engine, or what wraps it, holds."""
    engine = getattr(opened, "engine", opened)
    return engine.model, engine.tokenizer


def _ids() -> list[Any]:
    import torch

    draw = torch.Generator().manual_seed(0)
    return [torch.randint(1000, 20000, size, generator=draw) for size in TOKENS]


def _logits(model: Any) -> None:
    import torch

    with torch.inference_mode():
        for ids in _ids():
            model(input_ids=ids, use_cache=False)


def _outputs(model: Any) -> dict[str, Any]:
    """Outputs of all modules without children, in call order."""
    import torch

    found: dict[str, list[Any]] = {}

    def keep(name: str) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> None:
            whole = torch.cat(output, -1) if isinstance(output, tuple) else output
            found.setdefault(name, []).append(whole.detach().flatten())

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    _logits(model)
    for handle in handles:
        handle.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


if __name__ == "__main__":
    sys.exit(main())
