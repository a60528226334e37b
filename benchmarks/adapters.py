"""What do eight adapters of one base cost? `python -m benchmarks.adapters --limit 11`.

SmolLM2-135M of the suites with eight LoRA adapters, those in suites/adapters and others with random
matrices, answers a part of `assistant_core_v2` through a session. Three ways, each in a process of
its own: one adapter alone; eight on one loaded base; eight with the base loaded anew for each, as
before, which answer nothing since their answers would be the same. Seconds of loading (the base,
then what is put on it) and of answering, and the most memory that the process held; medians of the
rounds. On a CPU seconds are processor time, which other work on the machine does not lengthen.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.runs import memory
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites"
OURS = ("support", "overtrained", "dpo", "grpo")
COUNT = 8
ONE, SHARED, ANEW = WAYS = ("one alone", "eight on one base", "eight, loaded anew")

Measured = Mapping[str, float]


def _project(folder: Path, limit: int, device: str) -> Path:
    """Write a configuration of the base and eight adapters."""
    model = read.load(SUITES / FILE_NAME).models["smollm2"]
    lines = [
        f'[models.smollm2]\nsource = "{model.source}"\nsha256 = "{model.sha256}"',
        f'[task_sets.core]\npath = "{SUITES / "tasks" / "assistant_core_v2"}"',
        f"margin = 0.1\nlimit = {limit}",
        '[variants.plain]\nkind = "prompted"\nmodel = "smollm2"',
        f'prompt = "{SUITES / "prompts" / "assistant.jinja"}"\ndevice = "{device}"',
    ]
    for number in range(COUNT):
        own = SUITES / "adapters" / OURS[number] if number < len(OURS) else folder / f"r{number}"
        lines.append(f'[variants.a{number}]\nkind = "lora"\nbase = "plain"\nadapter = "{own}"')
    toml = folder / FILE_NAME
    toml.write_text("\n".join(lines) + "\n")
    return toml


def _write_random(lab: Lab, folder: Path) -> None:
    """Make the adapters that the suites do not have, each of another rank, on other layers."""
    import peft
    import torch

    engine: Any = lab.engine(lab.variant("plain"))
    model, layers = engine.model, ("q_proj", "v_proj", "up_proj", "down_proj")
    for number in range(len(OURS), COUNT):
        torch.manual_seed(number)
        config = peft.LoraConfig(
            r=4 * (number - 2),
            target_modules=[*layers[: number - 2]],
            init_lora_weights=False,
            task_type="CAUSAL_LM",
        )
        made = peft.get_peft_model(model, config)
        made.save_pretrained(folder / f"r{number}")
        model = made.unload()
    lab.release()


def _lab(toml: Path, cache: Path) -> Lab:
    return Lab(read.load(toml), Settings(cache=cache, reuse=False))


def _measure(toml: Path, cache: Path, way: str, rounds: int) -> list[Measured]:
    """Run the adapters of one way in this process, a session a round."""
    warm = _lab(toml, cache)
    warm.engine(warm.variant("plain"))  # imports, and the file in memory
    warm.release()
    return [_round(_lab(toml, cache), way) for _ in range(rounds)]


def _round(lab: Lab, way: str) -> Measured:
    tasks = lab.task_set("core")
    variants = [lab.variant(f"a{k}") for k in range(COUNT)]  # found and hashed: not measured
    device = str(variants[0].fingerprint.settings["device"])
    clock = time.process_time if device == "cpu" else time.perf_counter
    memory.begin(device)
    loads: list[float] = []
    answers: list[float] = []
    for variant in variants[: 1 if way == ONE else COUNT]:
        if way == ANEW:
            lab.release()
        start = clock()
        lab.engine(variant)
        loads.append(clock() - start)
        if way != ANEW:
            start = clock()
            lab.record(variant, tasks)
            answers.append(clock() - start)
    peaks = memory.peaks(device)
    lab.release()
    return {
        "samples": len(tasks.samples),
        "first load": loads[0],
        "other loads": sum(loads[1:]),
        "answering": sum(answers),
        "memory": peaks.get("peak_device_bytes", peaks.get("peak_host_bytes", float("nan"))),
    }


def _table(found: Mapping[str, Sequence[Measured]]) -> str:
    """Medians of every way, and the ratios that count."""
    middle = {
        way: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
        for way, runs in found.items()
    }
    lines = [f"{'':22}{'first, s':>10}{'others, s':>11}{'answers, s':>12}{'GB':>7}"]
    for way, one in middle.items():
        lines.append(
            f"{way:22}{one['first load']:10.2f}{one['other loads']:11.2f}{one['answering']:12.2f}"
            f"{one['memory'] / 1e9:7.2f}"
        )
    alone, shared = middle[ONE], middle[SHARED]
    each = statistics.fmean((alone["answering"], shared["answering"] / COUNT)) / alone["samples"]
    rest = (shared["other loads"] + shared["answering"]) / alone["answering"]
    enough = shared["other loads"] / (0.5 * each)
    lines.append(f"eight on one base: one load and {rest:.2f} times the answering of one;")
    lines.append(f"  {each:.3f} s a sample: at most 8.5 times from {enough:.0f} samples on")
    lines.append(f"memory: {shared['memory'] / alone['memory']:.2f} times that of one")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=11, help="samples, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--toml", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        cache = options.toml.parent / "cache"
        print(json.dumps(_measure(options.toml, cache, options.way, options.rounds)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cache").mkdir()
        (folder / "cache" / "models").symlink_to(default_folder() / "models")
        toml = _project(folder, options.limit, options.device)
        _write_random(_lab(toml, folder / "cache"), folder)
        found: dict[str, list[Measured]] = {}
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.adapters", "--way", way]
            done = subprocess.run(
                [*command, "--toml", str(toml), "--rounds", str(options.rounds)],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            found[way] = json.loads(done.stdout.splitlines()[-1])
    print(_table(found))
    samples = int(found[ONE][0]["samples"])
    print(f"{samples} samples each, {options.rounds} rounds, device {options.device}")


if __name__ == "__main__":
    main()
