"""``modellab plan``: what the task sets can notice, what to add to them, and what to keep."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.cli import affordable, spreads
from pytest_modellab.cli.common import (
    EXIT_OK,
    Subparsers,
    add_config,
    chosen,
    complete,
    discover,
    required_config,
    save,
    say,
)
from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ComparisonRefused, ConfigError, GateUsageError, near_misses
from pytest_modellab.records import counts
from pytest_modellab.records.graded import DECISION_MARGIN, GRADED, NUMERICS
from pytest_modellab.records.reading import decimal
from pytest_modellab.visible import line

if TYPE_CHECKING:
    from pytest_modellab import gate
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.lab.changes import Change
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.media.generators import Generator
    from pytest_modellab.records.asked import Allowed
    from pytest_modellab.records.tasks import Sample, TaskSet
    from pytest_modellab.tasksets.quality.affording import Pace
    from pytest_modellab.tasksets.quality.planning import Aim, Bucket, Cut
    from pytest_modellab.tasksets.quality.settling import Evidence

    Check = Callable[[Sample], str | None]
    Generators = Mapping[str, Generator]

ASSUMED_CHURN = 0.10


LEAST_DROP = 0.05


LEAST_GRADED_DROP = 0.02


ASSERTIONS = 2
"""The mean and the family of buckets: the least that a suite with both has."""


_TIME = re.compile(r"([0-9]+(?:\.[0-9]*)?)\s*([smh]?)")


_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


def add(commands: Subparsers) -> None:
    """Declare the command."""
    plan = commands.add_parser(
        "plan",
        help="what the task sets can notice, what to add, what to keep",
        description="Says how likely a drop is to be blocked in each bucket and in the run, how "
        "many samples are lacking and what they cost, and which samples to keep in a given time. "
        "Runs nothing. How to read it: docs/plan.md.",
    )
    what = plan.add_argument_group("what is planned")
    what.add_argument("--task-set", action="append", help="names (default: all declared)")
    add_config(what)
    what.add_argument(
        "--sizes", type=_sizes, metavar="N,N,…", help="buckets of these sizes; no file is read"
    )
    what.add_argument(
        "--by",
        default="capability",
        help="what makes a bucket: capability (default), bucket (capability and difficulty), "
        "difficulty, or a key of the samples' metadata",
    )
    what.add_argument(
        "--variant",
        help="whose measured churn and times count (default: the first without a base)",
    )
    what.add_argument(
        "--metric",
        metavar="NAME",
        help="plan by a graded metric in place of the score: probability, likelihood …; its own "
        "spread counts, as measured between a variant and its base",
    )
    what.add_argument(
        "--change",
        metavar="VARIANT",
        help="whose measured change against its base gives the spread (default: the one whose drop "
        "is nearest to the drop worth catching)",
    )
    asked = plan.add_argument_group("what is asked")
    asked.add_argument(
        "--drop",
        type=decimal,
        help=f"drop worth catching (default: twice a bucket's margin, at least {LEAST_DROP}, of a "
        f"graded metric {LEAST_GRADED_DROP})",
    )
    asked.add_argument(
        "--power", type=decimal, default=0.8, help="chance of catching it (default: 0.8)"
    )
    asked.add_argument(
        "--churn",
        type=decimal,
        help=f"share of samples that flip anyway (default: as measured, else {ASSUMED_CHURN})",
    )
    asked.add_argument(
        "--sd",
        type=_positive,
        help="standard deviation of the metric's paired differences, in place of a measured one",
    )
    asked.add_argument("--margin", type=decimal, help="allowed drop of the mean and of a bucket")
    asked.add_argument(
        "--alpha",
        type=decimal,
        default=0.05,
        help="the run's risk of a false block (default: 0.05)",
    )
    asked.add_argument(
        "--assertions",
        type=_count,
        metavar="N",
        help=f"how many share alpha; pytest prints it at its end (default: {ASSERTIONS})",
    )
    costs = plan.add_argument_group("what it costs")
    costs.add_argument(
        "--seconds-per-sample", type=_positive, metavar="S", help="in place of measured times"
    )
    costs.add_argument("--usd-per-hour", type=_positive, metavar="USD", help="the machine's price")
    costs.add_argument(
        "--time-budget",
        type=_seconds,
        metavar="TIME",
        help="also say which samples to keep for a run of one variant in 30s, 5m or 1h",
    )
    affordable.add(costs)
    costs.add_argument("--write", type=Path, metavar="FOLDER", help="write them as a task set")
    plan.add_argument("--json", type=Path, metavar="PATH", help="write every figure as JSON")
    complete(plan, variants="variant change", task_sets="task_set")
    plan.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.gate import GateInputError
    from pytest_modellab.models.sources import without_downloads

    if options.write is not None and (options.time_budget is None or options.sizes is not None):
        raise ConfigError("--write: needs --time-budget and a declared task set")
    if options.metric is None and (options.change is not None or options.sd is not None):
        raise ConfigError("--change and --sd: are about a metric; name it: --metric probability")
    if options.metric is not None and options.write is not None:
        raise ConfigError(
            f"--write: a part planned by {options.metric} would lack the samples that it tells "
            "nothing of; leave --metric out"
        )
    if options.metric is not None and options.churn is not None:
        raise ConfigError(
            "--churn: is of right-or-wrong scores; of a metric give the standard deviation of its "
            "paired differences: --sd"
        )
    report, lines = {}, []
    try:
        with without_downloads():
            subjects = _subjects(options)
        for name, subject in subjects.items():
            report[name], shown = _planned(options, subject)
            lines += shown
    except GateInputError as error:
        raise GateUsageError(str(error)) from error
    text = json.dumps(report, indent=1) + "\n"
    unwritten = save({options.json: text}) if options.json is not None else []
    print(*lines, sep="\n")
    if unwritten:
        raise ConfigError("; ".join(unwritten))
    return EXIT_OK


@dataclasses.dataclass(frozen=True)
class _Subject:
    """What one plan is of.

    Attributes:
        title: names it.
        word: what its buckets are, in the singular.
        question: what is asked of it.
        notes: where the question's figures come from.
        buckets: their clusters in the order of keeping them.
        whole: all samples.
        task_set: the samples, or None where only sizes were given.
        pieces: their ids, by bucket and cluster.
        check: judges a sample in its scorer's eyes.
        generators: of images and recordings, by name.
        changes: what has been measured of the task set, for the table of metrics.
        margins: the drop of the mean that is allowed, by metric.
        paces: how fast variants were, by variant and device.
        unpaced: the variants whose pace is not known.
    """

    title: str
    word: str
    question: Aim
    notes: tuple[str, ...]
    buckets: tuple[Bucket, ...]
    whole: Bucket
    task_set: TaskSet | None = None
    pieces: Cut = dataclasses.field(default_factory=dict)
    check: Check = lambda _: None
    generators: Generators = dataclasses.field(default_factory=dict)
    changes: Sequence[Change] = ()
    margins: Mapping[str, float] = dataclasses.field(default_factory=dict)
    paces: Sequence[Pace] = ()
    unpaced: Sequence[str] = ()


def _subjects(options: argparse.Namespace) -> dict[str, _Subject]:
    if options.sizes is not None:
        return {"sizes": _of_sizes(options)}
    config = required_config(options.config)
    if not config.task_sets:
        raise ConfigError(f"{config.path}: declares no task set: add [task_sets.NAME] with a path")
    names = chosen("task set", options.task_set or config.task_sets, config.task_sets)
    if options.write is not None and len(names) != 1:
        raise ConfigError(f"--write: {len(names)} task sets; choose one: --task-set NAME")
    lab = affordable.lab_of(config, discover(config))
    found, without = {}, {}
    for name in names:
        try:
            found[name] = _of_task_set(options, lab, name)
        except (ComparisonRefused, spreads.Lacking) as error:
            if options.task_set:
                raise
            without[name] = error
    if not found:
        raise next(iter(without.values()))
    for name, why in without.items():
        say(f"{name} is left out: {why}")
    return found


def _of_sizes(options: argparse.Namespace) -> _Subject:
    from pytest_modellab.records.asked import Allowed
    from pytest_modellab.reports.words import plural
    from pytest_modellab.tasksets.quality.planning import Bucket

    seconds = options.seconds_per_sample
    margin = options.margin or 0.0
    if options.metric in GRADED and not margin:
        raise ConfigError(
            f"--metric {options.metric}: {NUMERICS.format(metric=options.metric)}; with --sizes "
            "say what may be lost: --margin 0.01"
        )
    spread, scatter = spreads.assumed(options) if options.metric else (None, ())
    buckets = [Bucket(str(i), (1,) * n, seconds, spread) for i, n in enumerate(options.sizes, 1)]
    question, notes = _question(options, Allowed(margin, margin), None, "")
    return _Subject(
        title=f"{plural(sum(options.sizes), 'sample')} in {plural(len(buckets), 'bucket')}",
        word="bucket",
        question=question,
        notes=(*notes, *scatter),
        buckets=tuple(buckets),
        whole=Bucket("all", (1,) * sum(options.sizes), seconds, spread),
    )


def _of_task_set(options: argparse.Namespace, lab: Lab, name: str) -> _Subject:
    from pytest_modellab import tasksets
    from pytest_modellab.judging.scores import judged_by
    from pytest_modellab.records.graded import check_margin, left_out
    from pytest_modellab.store.place import default_folder
    from pytest_modellab.tasksets.limit import limited
    from pytest_modellab.tasksets.quality import planning
    from pytest_modellab.tasksets.quality.settling import SCORE
    from pytest_modellab.tasksets.slices import slice_by

    config, extensions = lab.config, lab.extensions
    declared, metric = config.task_sets[name], options.metric
    complete = tasksets.read(
        declared.path, extensions.check, default_folder(), extensions.generators
    )
    everything = complete = dataclasses.replace(complete, name=name)
    if declared.limit is not None:
        everything = limited(complete, declared.limit, f"limit = {declared.limit}")
    variant, baseline = _baseline(options.variant, config, everything, complete)
    task_set = judged_by(metric, everything, None if baseline is None else baseline.run)
    name_of = slice_by(task_set, options.by)
    if options.time_budget is not None:
        planning.check_clusters(task_set.samples, name_of)
    seconds, timed = _times(options.seconds_per_sample, everything, variant, baseline)
    allowed = declared.allowed(options.margin, metric)
    who = None if options.margin is None else "--margin"
    check_margin(metric, allowed.mean, name, asked=who)
    check_margin(metric, allowed.capability, name, "capability_margin", asked=who)
    question, notes = _question(options, allowed, baseline, variant)
    changes: Sequence[Change] = ()
    spread_in: Callable[[Sequence[str]], gate.Spread | None] = lambda _: None  # noqa: E731
    if metric is not None:
        changes = _changes(lab, everything, metric)
        _check_known(options, everything, baseline, changes)
        spread_in, scatter = spreads.of(options, changes, question.drop, baseline)
        silent = left_out(metric, task_set.samples, everything.samples)
        notes = (*([silent] if silent else []), *notes, *scatter)

    def bucket(named: str, clusters: Sequence[Sequence[str]]) -> Bucket:
        ids = [id_ for cluster in clusters for id_ in cluster]
        known = [seconds[id_] for id_ in ids if id_ in seconds]
        mean = math.fsum(known) / len(known) if known else None
        sizes = tuple(len(cluster) for cluster in clusters)
        return planning.Bucket(named, sizes, mean, spread_in(ids))

    paces, unpaced = affordable.paces(lab, everything, options.variant)
    pieces = planning.cut(task_set.samples, name_of)
    (whole,) = planning.cut(task_set.samples, lambda _: "all").values()
    of = f" by {metric}," if metric is not None else ""
    return _Subject(
        title=f"{name} {task_set.version}:{of} {len(task_set.samples)} samples, by {options.by}",
        word=options.by,
        question=question,
        notes=(*([everything.note] if everything.whole else []), *notes, timed),
        buckets=tuple(bucket(*piece) for piece in pieces.items()),
        whole=bucket("all", whole),
        task_set=task_set,
        pieces=pieces,
        check=extensions.check,
        generators=extensions.generators,
        changes=changes,
        paces=paces,
        unpaced=unpaced,
        margins={
            known: declared.allowed(options.margin, known).mean
            for known in {*GRADED, *([metric] if metric else [])}
        }
        | {SCORE: declared.allowed(options.margin).mean},
    )


def _check_known(
    options: argparse.Namespace,
    task_set: TaskSet,
    baseline: Baseline | None,
    changes: Sequence[Change],
) -> None:
    """Refuse a metric that nothing has; what was never measured can be planned with ``--sd``."""
    from pytest_modellab.tasksets.quality.settling import SCORE

    metric, runs = options.metric, () if baseline is None else baseline.run.samples
    known = {*GRADED, *task_set.metrics, *(name for one in runs for name in one.metrics)}
    known.update(name for one in changes for name in one.differences if name != SCORE)
    known -= {DECISION_MARGIN, *counts.NAMES}  # never judged
    if metric not in known and options.sd is None:
        raise spreads.Lacking(
            f"--metric {metric}: no run on {task_set.name!r} has it; {near_misses(metric, known)}; "
            "of a metric to come give the standard deviation of its differences: --sd"
        )


def _changes(lab: Lab, task_set: TaskSet, metric: str) -> Sequence[Change]:
    """What has been measured of variants and their bases; nothing is run."""
    from pytest_modellab.lab import changes

    return changes.measured(lab, task_set, {*GRADED, metric})


def _question(
    options: argparse.Namespace,
    allowed: Allowed,
    baseline: Baseline | None,
    variant: str,
) -> tuple[Aim, tuple[str, ...]]:
    """What is asked, and where its figures come from."""
    from pytest_modellab.tasksets.quality.planning import Aim

    metric = options.metric
    measured = baseline.churn if baseline is not None else None
    if options.churn is not None:
        churn, source = options.churn, "as given"
    elif measured is not None:
        churn, source = measured, f"as measured on {variant!r}, run twice"
    else:
        churn, source = ASSUMED_CHURN, "assumed: none was measured (modellab accept does)"
    drop = options.drop
    if drop is None:
        drop = max(LEAST_DROP if metric is None else LEAST_GRADED_DROP, 2 * allowed.capability)
    assertions = options.assertions or ASSERTIONS
    shared = f"alpha {options.alpha:g} shared by {assertions} assertions"
    if options.assertions is None:
        shared += (
            ", the mean and the family of buckets; a suite with more, or of several variants, "
            "leaves each less: pytest prints how many there are at its end, --assertions takes it"
        )
    question = Aim(
        drop=drop,
        power=options.power,
        churn=churn,
        allowed=allowed,
        alpha=options.alpha,
        assertions=assertions,
        metric=metric,
    )
    of = f" of {metric}" if metric is not None else ""
    asked = (
        f"asked: a drop of {drop:g}{of} noticed with power {options.power:g}; allowed: "
        f"{allowed.mean:g} of the mean, {allowed.capability:g} of a bucket"
    )
    flips = [f"churn {churn:.3g}, {source}"] if metric is None else []
    return question, (asked, *flips, shared)


def _baseline(
    asked: str | None, config: LabConfig, task_set: TaskSet, whole: TaskSet
) -> tuple[str, Baseline | None]:
    """The variant whose measurements count, and its baseline if it is of these samples."""
    from pytest_modellab.baselines import file
    from pytest_modellab.baselines.part import narrowed

    first = next((spec.name for spec in config.variants.values() if spec.base is None), None)
    variant = asked or first
    if variant is None:
        return "", None
    chosen("variant", [variant], config.variants)
    found = file.read(file.path_of(config.baselines, task_set.name, variant))
    if found is None:
        return variant, None
    found = narrowed(found, task_set, whole)
    return variant, found if found.run.task_set["hash"] == task_set.hash else None


def _times(
    given: float | None, task_set: TaskSet, variant: str, baseline: Baseline | None
) -> tuple[Mapping[str, float], str]:
    """Seconds of each sample by id, as far as they are known, and where they come from."""
    from pytest_modellab.runs.corpus import depth_of
    from pytest_modellab.store.place import default_folder
    from pytest_modellab.store.runs import RunEntry

    ids = [sample.id for sample in task_set.samples]
    if given is not None:
        return dict.fromkeys(ids, given), f"{given:g} s a sample, as given"
    if baseline is None:
        return {}, "no times: there is no baseline of these samples"
    run = baseline.run
    depth = depth_of(task_set)
    stored = RunEntry(default_folder(), task_set, run.fingerprint, depth).read()
    if stored is not None:
        measured = {id_: out.seconds for id_, out in zip(ids, stored.outputs, strict=True)}
        return measured, f"times as stored here of {variant!r}"
    seconds, tokens = run.probes.get("seconds"), run.probes.get("tokens")
    if not seconds or not tokens:
        return {}, "no times: the baseline has none"
    by_tokens = {s.id: seconds / tokens * (s.tokens_in + s.tokens_out) for s in run.samples}
    recorded = run.environment.get("recorded", "an unknown day")
    return by_tokens, f"times by tokens, from the baseline of {variant!r} of {recorded}"


def _planned(options: argparse.Namespace, subject: _Subject) -> tuple[dict[str, Any], list[str]]:
    """Plan, and write what is to be kept; returns every figure, and the lines to print."""
    from pytest_modellab.reports.text import plan as report
    from pytest_modellab.tasksets.quality import planning

    before = planning.plan(subject.buckets, subject.whole, subject.question)
    lines = [line(text) for text in (subject.title, *(f"  {n}" for n in subject.notes))]
    lines += ["", report.render(before, subject.word, options.usd_per_hour), ""]
    figures = before.to_data()
    if options.metric is not None:
        found = _settled(subject)
        figures["changes"] = {
            words: [dataclasses.asdict(one) for one in evidence]
            for words, evidence in found.items()
        }
        lines += [*report.render_settling(found, subject.question), ""] if found else []
    paid = affordable.afforded(subject.paces, options.minutes, subject.whole, subject.question)
    figures["affordable"] = [one.to_data() for one in paid]
    if paid or options.minutes is not None:
        minutes = options.minutes or affordable.MINUTES
        lines += [*report.render_affordable(paid, subject.unpaced, before, minutes), ""]
    if options.time_budget is None:
        return figures, lines
    if before.seconds is None:
        raise GateUsageError(
            "--time-budget: the time of a sample is not known; accept a run (modellab accept) or "
            "give it: --seconds-per-sample 0.1"
        )
    counts = planning.keep(subject.buckets, options.time_budget)
    after = planning.plan_kept(subject.buckets, counts, subject.question, subject.whole.spread)
    lines += [report.render_kept(before, after, subject.word, options.time_budget), ""]
    ids = planning.kept_ids(subject.pieces, counts) if subject.task_set is not None else frozenset()
    if options.write is not None and subject.task_set is not None:
        lines.append(_write(options.write, subject.task_set, ids, subject))
    return {**figures, "kept": {**after.to_data(), "samples": sorted(ids)}}, lines


def _settled(subject: _Subject) -> dict[str, tuple[Evidence, ...]]:
    """What each metric shows of the changes that were measured."""
    from pytest_modellab.tasksets.quality import settling

    question = subject.question
    found = {
        change.words: settling.settle(
            change.differences,
            subject.margins,
            level=question.budget.share,
            alpha=question.alpha,
            power=question.power,
        )
        for change in subject.changes
        if len(change.differences) > 1
    }
    return {words: evidence for words, evidence in found.items() if evidence}


def _write(folder: Path, task_set: TaskSet, ids: frozenset[str], subject: _Subject) -> str:
    from pytest_modellab.tasksets.quality import part

    written = part.write(task_set, ids, folder, subject.check, subject.generators)
    return line(
        f"wrote {folder}: {written.name} {written.version}, {len(written.samples)} samples; "
        "declare it under [task_sets] in modellab.toml and accept its baselines: modellab accept"
    )


# --- arguments -----------------------------------------------------------------------------------


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_count(part.strip()) for part in text.split(","))


def _positive(text: str) -> float:
    try:
        value = decimal(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _seconds(text: str) -> float:
    found = _TIME.fullmatch(text.strip())
    if found is None or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 30s, 5m or 1h")
    return float(found[1]) * _UNITS[found[2]]
