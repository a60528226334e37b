"""Damage a model in every way there is a name for, and count how often the right part is named.

    python -m benchmarks.faults [--model tiny|smollm2] [--model-folder PATH] [--device cpu|cuda]
        [--seeds 0-1] [--kind KIND,...] [--background NAME,...] [--json FILE] [--budget SECONDS]

Every seed asks every kind once; the background goes round, so that as many seeds as backgrounds ask
every pair. A line a case, then the tables of docs/observatory.md; ends with 1 where a target is
missed. With ``--json`` a line a case is appended to the file, and what stands in it is not asked
again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the same products twice

import torch

from benchmarks.faults import cases, harmless, measure, models, table
from benchmarks.faults.backgrounds import BACKGROUNDS


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; seeds, kinds and backgrounds as lists."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", choices=("tiny", "smollm2"), default="tiny")
    parser.add_argument("--model-folder", type=Path, help="of smollm2; else the one that is cached")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", default="0-0", metavar="A-B")
    parser.add_argument("--kind", metavar="KIND,...", help="also faults, harmless; default: all")
    parser.add_argument("--background", default=",".join(BACKGROUNDS), metavar="NAME,...")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append to, and resume from")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="ask no more after these")
    options = parser.parse_args(arguments)
    first, _, last = options.seeds.partition("-")
    options.seeds = range(int(first), int(last or first) + 1)
    options.background = _known(parser, options.background, BACKGROUNDS)
    everything = [*cases.KINDS, *harmless.HARMLESS]
    groups = {"faults": list(cases.KINDS), "harmless": list(harmless.HARMLESS), None: everything}
    options.kind = groups.get(options.kind) or _known(parser, options.kind, everything)
    return options


def _known(parser: argparse.ArgumentParser, given: str, known: Any) -> list[str]:
    chosen = given.split(",")
    if unknown := [one for one in chosen if one not in known]:
        parser.error(f"{', '.join(unknown)} is none of {', '.join(known)}")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask every case, print the tables, and say whether the targets are met."""
    options = parse(arguments)
    measure.prepare(options.device)
    begun, rows = time.monotonic(), _kept(options.json)
    done = {(row["kind"], row["background"], row["seed"]) for row in rows}
    loaded: dict[int, models.Loaded] = {}
    for case in cases.cases(options.seeds, options.kind, options.background):
        if (case.kind, case.background, case.seed) in done:
            continue
        if options.budget is not None and time.monotonic() - begun > options.budget:
            print("the budget is spent; the same command with --json goes on from here")
            break
        built = cases.build(case, _load(options, case.seed, loaded))
        if built is None:
            continue
        row = json.loads(json.dumps(dataclasses.asdict(cases.ask(case, built, _diagnose))))
        rows.append(row)
        print(table.line(row), flush=True)
        if options.json:
            with options.json.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, sort_keys=True) + "\n")
    print("\n" + table.text(rows))
    missed = table.missed(rows)
    for sentence in missed:
        print(f"missed: {sentence}")
    return 1 if missed else 0


def _kept(file: Path | None) -> list[dict[str, Any]]:
    if file is None or not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _load(options: argparse.Namespace, seed: int, loaded: dict[int, models.Loaded]) -> Any:
    """The seed's model; the real one is the same for all."""
    key = seed if options.model == "tiny" else -1
    if key not in loaded:
        loaded.clear()
        if options.model == "tiny":
            loaded[key] = models.tiny(seed, options.device)
        else:
            folder = options.model_folder or models.cached_folder()
            loaded[key] = models.real(folder, options.device)
    return loaded[key]


def _diagnose(built: cases.Built) -> Any:
    """The library's call; models with their tokenizers, and a cache where one was declared."""
    from pytest_modellab.observatory import diagnose
    from pytest_modellab.observatory.probes import Probes
    from pytest_modellab.observatory.subject import Subject
    from pytest_modellab.records.diagnosis import Side

    draw = built.draw
    base = Subject(Side("base"), draw.base, built.tokenizer)
    candidate = Subject(Side("candidate"), draw.model, draw.tokenizer, draw.cache)
    probes = Probes(draw.windows, texts=draw.texts, messages=models.CHATS)
    return diagnose(base, candidate, probes, pictures=False)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    sys.exit(main())
