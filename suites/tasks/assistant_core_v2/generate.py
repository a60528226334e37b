"""Writes samples.jsonl from the capability modules in generator/ and the seed in task_set.toml.

    python suites/tasks/assistant_core_v2/generate.py           # write
    python suites/tasks/assistant_core_v2/generate.py --check   # exit 1 when the file differs

Capabilities come in alphabetical order, the samples of each as its module returns them: easy,
medium, hard, each numbered from 001.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import random
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import cast

import generator
from generator.common import DIFFICULTIES, PER_BUCKET, Sample

from pytest_modellab.store import atomic

FOLDER = Path(__file__).resolve().parent
SAMPLES = FOLDER / "samples.jsonl"


def capabilities() -> list[str]:
    """Names of the capability modules that exist."""
    names = (module.name for module in pkgutil.iter_modules(generator.__path__))
    return sorted(name for name in names if name != "common")


def samples_of(capability: str, seed: int) -> list[Sample]:
    """The samples of one capability, checked for count, order and choices."""
    module = importlib.import_module(f"generator.{capability}")
    make = cast("Callable[[random.Random], list[Sample]]", module.samples)
    samples = make(random.Random(f"{seed}:{capability}"))
    expected = [
        f"{capability}-{difficulty}-{number:03d}"
        for difficulty in DIFFICULTIES
        for number in range(1, PER_BUCKET + 1)
    ]
    found = [sample["id"] for sample in samples]
    if found != expected:
        odd = sorted(set(found).symmetric_difference(expected))
        raise ValueError(f"{capability}: ids are not easy, medium, hard × 001-022; odd: {odd}")
    for sample in samples:
        check(sample)
    return samples


def check(sample: Sample) -> None:
    """Refuse a multiple-choice sample whose choices or target make no sense."""
    if sample["scorer"] != "choice":
        return
    choices, target = sample.get("choices", []), sample["target"]
    if not 2 <= len(choices) <= 5 or len(set(choices)) != len(choices):
        raise ValueError(f"{sample['id']}: needs 2 to 5 distinct choices, has {choices}")
    if not isinstance(target, int) or not 0 <= target < len(choices):
        raise ValueError(f"{sample['id']}: target {target!r} is no index into {choices}")


def render() -> str:
    """The whole file as text."""
    with (FOLDER / "task_set.toml").open("rb") as file:
        seed = int(tomllib.load(file)["seed"])
    lines = [
        json.dumps(sample, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        for capability in capabilities()
        for sample in samples_of(capability, seed)
    ]
    return "".join(line + "\n" for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate samples.jsonl of assistant_core_v2.")
    parser.add_argument("--check", action="store_true", help="compare with the file, write nothing")
    options = parser.parse_args(arguments)
    text = render()
    if not options.check:
        atomic.write_text(SAMPLES, text)
        print(f"{SAMPLES.name}: {text.count(chr(10))} samples written")
        return 0
    found = SAMPLES.read_bytes().decode("utf-8") if SAMPLES.exists() else ""
    if found == text:
        print(f"{SAMPLES.name}: up to date")
        return 0
    old, new = found.splitlines(), text.splitlines()
    changed = sorted(set(old).symmetric_difference(new))
    print(
        f"{SAMPLES.name} differs from what the generator makes ({len(old)} lines on disk, "
        f"{len(new)} generated, {len(changed)} lines on one side only); "
        "run generate.py to rewrite it",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
