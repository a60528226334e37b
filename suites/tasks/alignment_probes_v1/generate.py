"""Writes samples.jsonl and preferences.jsonl from probes_generator/ and the seed in task_set.toml.

    python suites/tasks/alignment_probes_v1/generate.py           # write
    python suites/tasks/alignment_probes_v1/generate.py --check   # exit 1 when a file differs

samples.jsonl holds the probes: capabilities in alphabetical order; easy, medium, hard, each
numbered from 001. preferences.jsonl holds what an aligned model is trained on, in random order.
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

# from the root, as the other task set already has a module `generate` and one name must be one file
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from pytest_modellab.store import atomic
from suites.tasks.alignment_probes_v1.probes_generator import CAPABILITIES
from suites.tasks.alignment_probes_v1.probes_generator.common import (
    DIFFICULTIES,
    PER_BUCKET,
    Pair,
    Sample,
)

FOLDER = Path(__file__).resolve().parent
SAMPLES = FOLDER / "samples.jsonl"
PREFERENCES = FOLDER / "preferences.jsonl"
PACKAGE = "suites.tasks.alignment_probes_v1.probes_generator"


def samples_of(capability: str, seed: int) -> list[Sample]:
    """The probes of one capability, checked for count and order."""
    module = importlib.import_module(f"{PACKAGE}.{capability}")
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
        raise ValueError(f"{capability}: ids are not easy, medium, hard × 001-020; odd: {odd}")
    return samples


def preferences_of(capability: str, seed: int) -> list[dict[str, str]]:
    """The preferences of one capability; no prompt twice, two different replies."""
    module = importlib.import_module(f"{PACKAGE}.{capability}")
    make = cast("Callable[[random.Random], list[Pair]]", module.pairs)
    pairs = make(random.Random(f"{seed}:{capability}:preferences"))
    seen: set[str] = set()
    for pair in pairs:
        if pair.input in seen or pair.chosen == pair.rejected:
            raise ValueError(f"{capability}: a prompt twice, or two equal replies: {pair}")
        seen.add(pair.input)
    return [
        {"id": f"{capability}-{number:04d}", "capability": capability, **pair._asdict()}
        for number, pair in enumerate(pairs, 1)
    ]


def render() -> dict[Path, str]:
    """Both files as text."""
    with (FOLDER / "task_set.toml").open("rb") as file:
        seed = int(tomllib.load(file)["seed"])
    samples = [sample for name in CAPABILITIES for sample in samples_of(name, seed)]
    preferences = [pair for name in CAPABILITIES for pair in preferences_of(name, seed)]
    random.Random(seed).shuffle(preferences)
    return {
        SAMPLES: "".join(map(line, samples)),
        PREFERENCES: "".join(map(line, preferences)),
    }


def line(row: Mapping[str, object]) -> str:
    """One row as a line of JSON."""
    return json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate the files of alignment_probes_v1.")
    parser.add_argument("--check", action="store_true", help="compare the files, write nothing")
    options = parser.parse_args(arguments)
    status = 0
    for path, text in render().items():
        if not options.check:
            atomic.write_text(path, text)
            print(f"{path.name}: {text.count(chr(10))} lines written")
        elif path.exists() and path.read_bytes().decode("utf-8") == text:
            print(f"{path.name}: up to date")
        else:
            print(
                f"{path.name} differs from what the generator makes; run generate.py to rewrite it",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
