"""What is graded evidence worth? Measured on real runs, and simulated from them.

    python -m benchmarks.evidence [--only PART,...] [--from FILE] [--json PATH] [--plot PNG]
    python -m benchmarks.evidence --record FILE [--device cuda] [--config PATH]

Without ``--record`` nothing is run: the runs that docs/evidence.md is made from lie beside this
file. All parts take about five minutes of one core; a part's tables are printed when it is done.
Parts:

* *seen*: each variant's drop by each metric over all samples, and how certain it is.
* *ladder*: the share of blocks in draws of 30 to 480 samples, and the samples that a power of 0.8
  takes.
* *same*: runs of unchanged models, and simulations that draw from them.
* *sure*: models that differ in how sure they are alone.
* *pooling*: several task sets judged together, or each.
* *cost*: seconds and memory of a million samples.

Every draw is seeded by the question that it answers: no figure depends on the other parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence import cost, figures, ladder, plot, pooling, readings, record, same, tables
from benchmarks.evidence.figures import ACCURACY, KL, SCORES, Figures
from pytest_modellab.config import read as configuration
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorers.graded import graded
from pytest_modellab.store.place import default_folder

RECORDED = Path(__file__).with_name("recorded.jsonl.xz")

CORE = "assistant_core_v2"
SETS = (CORE, "support_triage_v1", "alignment_probes_v1")

LEVELS = (0.05, 0.05 / 14)
"""One comparison's risk: alone, and as one of the fourteen questions of README's main job."""

SAME_MARGINS = (0.0, 0.01, 0.02)

POOLED = ("nf4", "rtn5", "rtn4", "support", "overtrained", "dpo", "grpo", "student")

WORLDS: tuple[tuple[str, tuple[float, ...], tuple[int, ...]], ...] = (
    ("nothing changed", (0.0,) * 3, (150,) * 3),
    ("all fall by 0.05", (0.05,) * 3, (150,) * 3),
    ("one of three falls by 0.15", (0.15, 0.0, 0.0), (150,) * 3),
    ("one falls by 0.15, one rises by 0.15", (0.15, -0.15, 0.0), (150,) * 3),
    ("eight sets, nothing changed", (0.0,) * 8, (50,) * 8),
    ("eight sets, all fall by 0.05", (0.05,) * 8, (50,) * 8),
    ("eight sets, one falls by 0.2", (0.2, *(0.0,) * 7), (50,) * 8),
    ("a small one of three falls by 0.15", (0.15, 0.0, 0.0), (60, 600, 600)),
)
"""Name, true drop of each set, and samples of each."""


class Found:
    """The runs, by what they are for."""

    def __init__(self, path: Path, lab: Lab) -> None:
        self._path = path
        self.task_sets: dict[str, TaskSet] = {name: lab.task_set(name) for name in SETS}
        declared = lab.config.task_sets[CORE]
        allowed = {
            name: declared.allowed(metric=None if name == ACCURACY else name) for name in SCORES
        }
        self.margins = same.Margins(
            {name: (one.mean, one.capability) for name, one in allowed.items()}
        )

    @functools.cached_property
    def runs(self) -> list[tuple[readings.Reading, Figures]]:
        """All that was recorded, scored."""
        found = []
        replies: dict[str, Mapping[str, str]] = {}
        for one in readings.read(self._path):
            if one.variant == record.BASE and one.beside == record.BASE:
                replies.setdefault(
                    one.task_set, {id_: said.text for id_, said in one.said.items() if said.text}
                )
            task_set = self.task_sets[one.task_set]
            found.append((one, figures.figures(one, task_set, replies.get(one.task_set))))
        return found

    def ladder(self, task_set: str = CORE) -> dict[str, tuple[Figures, Figures]]:
        """Base and variant by the variant's name, both on one device; the accelerator's first."""
        found: dict[str, tuple[Figures, Figures]] = {}
        for device in ("cuda", "cpu"):
            runs = {
                one.variant: run
                for one, run in self.runs
                if (one.task_set, one.device) == (task_set, device) and self._is_whole(one)
            }
            for name, run in runs.items():
                if name != record.BASE:
                    found.setdefault(name, (runs[record.BASE], run))
        return {name: found[name] for name in record.LADDER if name in found}

    def _is_whole(self, one: readings.Reading) -> bool:
        return len(one.said) == len(self.task_sets[one.task_set].samples)

    def unchanged(self) -> Iterator[tuple[Figures, Figures]]:
        """Two runs of one model: in two ways on one device, or on two devices."""
        firsts: dict[tuple[str, str], Figures] = {}
        whole: dict[str, Figures] = {}
        for one, run in self.runs:
            if one.task_set != CORE:
                continue
            if not self._is_whole(one):
                if (one.variant, one.device) not in firsts:
                    firsts[one.variant, one.device] = run
                elif not _is_other_model(one):
                    yield firsts[one.variant, one.device], run
            elif one.variant not in whole:
                whole[one.variant] = run
            else:  # of divergences from the base nothing can be said here
                nothing = np.full(run.tokens.shape, np.nan)
                blank = dataclasses.replace(run, nats=nothing, tokens=np.zeros(run.tokens.shape))
                yield whole[one.variant], blank


def _is_other_model(one: readings.Reading) -> bool:
    """Quantizing in half precision makes other weights."""
    return one.variant.startswith(("rtn", "nf4", "int8")) and "float16" in one.setting


def say(title: str, text: str) -> None:
    print(f"\n## {title}\n\n{text}", flush=True)


def seen(found: Found, options: argparse.Namespace) -> Any:
    runs = list(found.ladder().values())
    say("What all samples show", tables.seen(runs))
    rows = []
    for base, run in runs:
        ids = sorted(set(base.read) & set(run.read))
        if not ids:
            continue
        right = np.array([run.whole[id_] - base.whole[id_] for id_ in ids])
        likely = np.array([run.read[id_] - base.read[id_] for id_ in ids])
        rows.append([run.variant, *(f"{d.mean():+.3f} ({_z(d):+.1f})" for d in (right, likely))])
    header = ("variant", "right or wrong (z)", "likelihood of the accepted reply (z)")
    say("Generated replies", tables.table(header, rows))
    return rows


def _z(d: figures.Floats) -> float:
    deviation = float(d.std(ddof=1))
    return float(d.mean()) / deviation * d.size**0.5 if deviation else 0.0


def ladders(found: Found, options: argparse.Namespace) -> Any:
    wanted = options.variants.split(",")
    runs = {name: pair for name, pair in found.ladder().items() if name in wanted}
    base = {name: pair[0] for name, pair in runs.items()}
    every = []
    for level in LEVELS:
        cells = list(
            ladder.cells(
                {name: pair[1] for name, pair in runs.items()},
                base,
                ladder.NEED_MARGINS,
                level,
                options.draws,
                options.seed,
            )
        )
        every += cells
        for margin in ladder.MARGINS:
            title = (
                f"Blocked at margin {margin:g}, alpha {level:.3g}: percent of {options.draws} draws"
            )
            say(title, tables.blocked(cells, margin, ladder.SIZES))
        title = f"Samples for a power of 0.8, alpha {level:.3g}"
        say(title, tables.needed(cells, ladder.NEED_MARGINS))
        if options.plot is not None and level == LEVELS[0]:
            plot.draw(cells, ladder.MARGINS[0], list(runs), options.plot)
    return [dataclasses.asdict(cell) for cell in every]


def sames(found: Found, options: argparse.Namespace) -> Any:
    runs = list(found.unchanged())
    margins = {f"{margin:g}": same.one_for_all(margin) for margin in SAME_MARGINS}
    margins["the suites'"] = found.margins
    pairs = list(same.pairs(runs, margins))
    say("Unchanged models, each pair at a risk of 0.05", tables.same(pairs, list(margins)))
    for pair in pairs:
        if any(pair.blocked.values()):
            at = ", ".join(name for name, blocked in pair.blocked.items() if blocked)
            print(f"\nblocked: {pair.label}, {pair.metric}, drop {pair.drop:+.4f}, at margin {at}")
    rows = []
    nf4 = found.ladder().get("nf4")
    apart = [pair for pair in runs if "float16" in pair[1].setting]
    if nf4 is None or not apart:
        say("Simulated", "needs a run of nf4, and unchanged runs in half precision")
        return {"pairs": [dataclasses.asdict(pair) for pair in pairs]}
    for metric in SCORES:
        own = same.others(metric, apart)
        damaged = figures.difference(metric, *nf4)
        for margin in (0.01, 0.02, 0.05):
            for name, d in (
                ("unchanged", own),
                ("unchanged, moved to the margin", same.at_margin(own, margin)),
                ("nf4, moved to the margin", same.at_margin(damaged, margin)),
            ):
                shares = same.simulated(
                    f"{metric} {name}", d, margin, ladder.SIZES, options.repetitions, options.seed
                )
                rows.append([metric, name, f"{margin:g}", *(f"{v:.3f}" for v in shares.values())])
    for limit in (0.02, 0.05):
        shares = same.simulated_divergence(
            nf4[1].nats, nf4[1].tokens, limit, ladder.SIZES, options.repetitions, options.seed
        )
        name = "nf4, moved to the limit"
        rows.append([KL, name, f"{limit:g}", *(f"{v:.3f}" for v in shares.values())])
    header = ("metric", "differences of", "margin", *(f"n = {n}" for n in ladder.SIZES))
    say("Simulated: share of false blocks at alpha 0.05", tables.table(header, rows))
    return {"pairs": [dataclasses.asdict(pair) for pair in pairs], "simulated": rows}


def sures(found: Found, options: argparse.Namespace) -> Any:
    """Scale the likelihoods of every option: right and wrong stay what they were."""
    base = next(run for one, run in found.runs if one.variant == record.BASE)
    said = next(one for one, _ in found.runs if one.variant == record.BASE).said
    rows = []
    for heat in (0.77, 1.1, 1.3, 2.0):
        scores: dict[str, list[float]] = {name: [] for name in SCORES[1:]}
        for sample in base.samples:
            values = tuple(value / heat for value in said[sample.id].options)
            warmed = graded(sample, Output(text="", option_logprobs=values))
            for name, kept in scores.items():
                kept.append(warmed[name])
        warm = {name: np.array(values) for name, values in scores.items()}
        run = dataclasses.replace(base, scores={ACCURACY: base.scores[ACCURACY], **warm})
        cells = [f"{float(figures.difference(name, base, run).mean()):+.3f}" for name in SCORES]
        rows.append([f"{heat:g}", *cells])
    say("Likelihoods of the options over a number", tables.table(("over", *SCORES), rows))
    return rows


def poolings(found: Found, options: argparse.Namespace) -> Any:
    by_set = {name: found.ladder(name) for name in SETS}
    rows = []
    for variant in (name for name in POOLED if all(name in runs for runs in by_set.values())):
        pairs = [by_set[name][variant] for name in SETS]
        right = [
            np.array([run.whole[sample.id] - base.whole[sample.id] for sample in samples])
            for (base, run), samples in zip(
                pairs, (found.task_sets[name].samples for name in SETS), strict=True
            )
        ]
        for margin in (0.0, 0.02):
            for n in (30, 60):
                shares = pooling.real(
                    right, n, margin, 5 * options.draws, options.seed, f"{variant} {ACCURACY}"
                )
                drops = " / ".join(f"{0.0 - float(d.mean()):+.3f}" for d in right)
                rows.append([variant, drops, f"{margin:g}", str(n), *_cells(shares)])
    titles: tuple[str, ...] = (
        "variant",
        "drops of the sets",
        "margin",
        "samples a set",
        *pooling.WAYS,
    )
    say("Real task sets: share of blocks", tables.table(titles, rows))
    worlds = []
    for world, falls, sizes in WORLDS:
        for margin in (0.0, 0.02):
            shares = pooling.simulated(falls, sizes, 0.06, margin, 10 * options.draws, options.seed)
            worlds.append([world, f"{margin:g}", *_cells(shares)])
    titles = ("world", "margin", *pooling.WAYS)
    say("Simulated task sets: share of blocks", tables.table(titles, worlds))
    return {"real": rows, "simulated": worlds}


def _cells(shares: Mapping[str, float]) -> Sequence[str]:
    return [f"{shares[way]:.3f}" for way in pooling.WAYS]


def costs(_found: Found, options: argparse.Namespace) -> Any:
    measured = {way: cost.measure(way, options.samples) for way in cost.WAYS}
    rows = [
        [
            way,
            f"{one['seconds']:.2f}",
            f"{one['seconds'] / measured['graded']['seconds']:.2f}",
            f"{one['bytes'] / 1e6:.0f}",
        ]
        for way, one in measured.items()
    ]
    header = ("way", "processor seconds", "to ours", "MB at the peak")
    say(f"{options.samples} samples of four options", tables.table(header, rows))
    return measured


PARTS: Mapping[str, Callable[[Found, argparse.Namespace], Any]] = {
    "seen": seen,
    "ladder": ladders,
    "same": sames,
    "sure": sures,
    "pooling": poolings,
    "cost": costs,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evidence",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    parser.add_argument(
        "--from", dest="recorded", type=Path, default=RECORDED, metavar="FILE", help="recorded runs"
    )
    parser.add_argument("--draws", type=int, default=200, help="draws of each size (200)")
    parser.add_argument("--repetitions", type=int, default=4000, help="of a simulation (4000)")
    parser.add_argument("--samples", type=int, default=1_000_000, help="cost: how many")
    parser.add_argument("--seed", type=int, default=17, help="of all draws (17)")
    parser.add_argument("--json", type=Path, help="write every figure as JSON")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the ladder")
    parser.add_argument(
        "--config", type=Path, default=Path("suites/modellab.toml"), help="suites/modellab.toml"
    )
    parser.add_argument("--cache", type=Path, help="the store; where the models are converted to")
    running = parser.add_argument_group("running the models")
    running.add_argument("--record", type=Path, metavar="FILE", help="run them, and keep it")
    running.add_argument("--device", default="cpu", choices=list(record.WAYS))
    running.add_argument("--task-set", action="append", help=f"{CORE} unless given")
    running.add_argument("--variants", default=",".join(record.LADDER))
    running.add_argument("--unchanged", default=",".join(record.UNCHANGED))
    running.add_argument("--budget", type=int, default=512, help="tokens a batch of the ladder")
    running.add_argument("--few", type=int, help="about so many samples; all unless given")
    running.add_argument(
        "--divergence", action=argparse.BooleanOptionalAction, default=True, help="measure KL too"
    )
    options = parser.parse_args()
    cache = options.cache or default_folder()
    if options.record is not None:
        run(options, cache)
        return 0
    unknown = [part for part in options.only.split(",") if part not in PARTS]
    if unknown:
        parser.error(f"--only: no part is called {unknown[0]!r}; there are {', '.join(PARTS)}")
    found = Found(options.recorded, Lab(configuration.load(options.config), Settings(cache)))
    told = {part: PARTS[part](found, options) for part in options.only.split(",")}
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


def run(options: argparse.Namespace, cache: Path) -> None:
    """Run the models, and keep what they said."""
    bench = record.Bench(options.config, cache, options.device, options.few, options.divergence)
    task_sets = options.task_set or [CORE]
    names, again = (
        [name for name in text.split(",") if name] for text in (options.variants, options.unchanged)
    )
    ways = record.WAYS[options.device]
    readings.write(
        options.record,
        itertools.chain(
            record.ladder(bench, names, task_sets, options.budget),
            *(record.unchanged(bench, name, task_sets[0], ways) for name in again),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
