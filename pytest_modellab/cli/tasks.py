"""``modellab tasks check``: what keeps a task set from showing a regression, and what leaks."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_OK,
    Subparsers,
    add_config,
    complete,
    discover,
    find_config,
    say,
)
from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records.media import Media
from pytest_modellab.records.tasks import DIFFICULTIES, Sample
from pytest_modellab.reports.words import plural


def add(commands: Subparsers) -> None:
    """Declare the command."""
    tasks = commands.add_parser("tasks", help="look after task sets")
    actions = tasks.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="find what keeps a task set from showing a regression")
    check.add_argument("task_set", nargs="*", help="names, or folders (default: all declared)")
    add_config(check)
    check.add_argument(
        "--base", help="variant whose baseline calibrates (default: the first without a base)"
    )
    check.add_argument(
        "--train",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="training data, JSON lines with 'input' and 'reply' (or 'chosen' and 'rejected'): no "
        "sample may stand in it (repeatable)",
    )
    check.add_argument("--strict", action="store_true", help="warnings count as errors")
    complete(check, variants="base", task_sets="task_set")
    check.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab import tasksets
    from pytest_modellab.baselines import file
    from pytest_modellab.store.place import default_folder
    from pytest_modellab.tasksets.quality import leakage, lint

    config = find_config(options.config)
    known = discover(config)
    if config is not None:
        config = config.with_kinds(known.kinds)
    training = {path: leakage.read(path) for path in options.train}
    worst = EXIT_OK
    for name, folder in _folders(options.task_set, config):
        task_set = tasksets.read(folder, known.check, default_folder(), known.generators)
        base = options.base or _first_base(config)
        baseline = None
        if config is not None and base is not None:
            if base not in config.variants:
                raise ConfigError(
                    f"--base: unknown variant {base!r}; {near_misses(base, config.variants)}"
                )
            baseline = file.read(file.path_of(config.baselines, name, base))
        if baseline is not None and baseline.run.task_set["hash"] != task_set.hash:
            part = baseline.run.task_set.get("limited")
            of = f"{part} samples" if part else "another version"
            say(f"{name}: the baseline of {base!r} is of {of}; not calibrated")
            baseline = None
        scores = {s.id: s.score or 0.0 for s in baseline.run.samples} if baseline else {}
        findings = lint.check(task_set, scores)
        for path, texts in training.items():
            found = leakage.leaks(task_set, texts, source=str(path))
            findings += found
            say(f"{name}: {len(found)} of {len(task_set.samples)} samples leak into {path}")
            if any(sample.media for sample in task_set.samples):
                seen = leakage.shown_again(task_set, leakage.shown(path), source=str(path))
                findings += seen
                say(f"{name}: {len(seen)} samples show what is shown in {path}")
        for finding in findings:
            say(f"{name}: {finding}")
        _print_table(task_set.samples, scores)
        if shown := _media(task_set.samples):
            say(f"{name}: {shown}")
        errors = sum(finding.level == "error" for finding in findings)
        counted = ", ".join(
            plural(count, noun)
            for count, noun in (
                (len(task_set.samples), "sample"),
                (errors, "error"),
                (len(findings) - errors, "warning"),
            )
        )
        say(
            f"{name} {task_set.version} ({task_set.hash}): {counted}"
            + ("" if scores else "; no baseline, so not calibrated")
        )
        if errors or (options.strict and findings):
            worst = EXIT_FOUND
    return worst


def _folders(asked: Sequence[str], config: LabConfig | None) -> list[tuple[str, Path]]:
    declared = config.task_sets if config is not None else {}
    if not asked:
        if not declared:
            raise ConfigError("no modellab.toml here; name a task set's folder, or --config PATH")
        return [(name, task_set.path) for name, task_set in declared.items()]
    found = []
    for name in asked:
        if name in declared:
            found.append((name, declared[name].path))
        elif Path(name).is_dir():
            found.append((Path(name).resolve().name, Path(name)))
        else:
            raise ConfigError(
                f"task set {name!r}: neither declared nor a folder; {near_misses(name, declared)}"
            )
    return found


def _first_base(config: LabConfig | None) -> str | None:
    variants = config.variants.values() if config is not None else ()
    return next((spec.name for spec in variants if spec.base is None), None)


def _media(samples: Sequence[Sample]) -> str:
    """Count what samples show: files once, however many samples show them."""
    files = {one.sha256: one for sample in samples for one in sample.media}
    images = [one for one in files.values() if one.kind == "image"]
    sounds = [one for one in files.values() if one.kind == "audio"]
    said = []
    if images:
        pixels = sum(one.width * one.height for one in images) / 1e6
        said.append(f"{_count(images, 'image')} ({pixels:.1f} million pixels, {_formats(images)})")
    if sounds:
        minutes = sum(one.seconds for one in sounds) / 60
        said.append(f"{_count(sounds, 'recording')} ({minutes:.1f} minutes, {_formats(sounds)})")
    size = sum(Path(one.path).stat().st_size for one in files.values())
    return f"{' and '.join(said)}, {size / 1e6:.1f} MB" if said else ""


def _count(media: Sequence[Media], what: str) -> str:
    return f"{len(media)} {what}" if len(media) == 1 else f"{len(media)} {what}s"


def _formats(media: Sequence[Media]) -> str:
    counted = Counter(one.format for one in media)
    return ", ".join(f"{count} {name}" for name, count in counted.most_common())


def _print_table(samples: Sequence[Sample], scores: dict[str, float]) -> None:
    from pytest_modellab.reports.text import grid
    from pytest_modellab.tasksets.quality import lint

    def mean(group: Sequence[Sample]) -> str:
        known = [scores[s.id] for s in group if s.id in scores]
        return f"{sum(known) / len(known):.2f}" if known else "–"

    head = ["capability", "n", "clusters", "chance", "base", *DIFFICULTIES]
    rows = [
        [
            capability,
            str(len(group)),
            str(len({s.cluster or s.id for s in group})),
            f"{lint.chance(group):.2f}",
            mean(group),
            *(mean([s for s in group if s.difficulty == level]) for level in DIFFICULTIES),
        ]
        for capability, group in lint.by_capability(samples).items()
    ]
    grid.console().print(grid.grid(head, rows, right=range(1, len(head)), ruled=True))
