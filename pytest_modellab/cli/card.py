"""``modellab card``: the evaluation section of a variant's model card, from its accepted runs."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from pytest_modellab.errors import CardError, ComparisonRefused, GateUsageError, near_misses
from pytest_modellab.records.graded import DECISION_MARGIN, GRADED, LIKELIHOOD, is_reply

if TYPE_CHECKING:
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.records.declared import VariantSpec
    from pytest_modellab.records.runs import RunRecord, RunSummary
    from pytest_modellab.records.tasks import TaskSet
    from pytest_modellab.reports.card.section import CardMetric

INSTALL = "pip install 'pytest-modellab[transformers]'"


def add(commands: Subparsers) -> None:
    """Declare the command."""
    card = commands.add_parser(
        "card",
        help="the evaluation section of a variant's model card",
        description="Prints what a model card says of a variant's evaluation, from its accepted "
        "runs; runs nothing. With -o it goes into a card, whose other text and metadata stay.",
    )
    card.add_argument("variant")
    card.add_argument(
        "--task-set",
        action="append",
        metavar="NAME",
        help="names (default: those that the variant was accepted on)",
    )
    card.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the card to update or to make: README.md"
    )
    card.add_argument(
        "--metric",
        action="append",
        default=[],
        metavar="NAME",
        help="also say what the gate finds by probability, likelihood or another figure that the "
        "accepted runs keep",
    )
    add_config(card)
    complete(card, variants="variant", task_sets="task_set")
    card.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        CardError: there is nothing to say, or the card cannot be updated.
    """
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.settings import Settings
    from pytest_modellab.reports.card import file
    from pytest_modellab.reports.card import section as card_section
    from pytest_modellab.store.place import default_folder

    config = required_config(options.config)
    (variant,) = chosen("variant", [options.variant], config.variants)
    named = chosen("task set", options.task_set or (), config.task_sets)
    lab = Lab(config, Settings(cache=default_folder()), extensions=discover(config))
    names = named or [name for name in config.task_sets if lab.accepted(variant, name) is not None]
    if not names:
        raise CardError(f"nothing was accepted of {variant!r} yet: modellab accept {variant}")
    spec = lab.spec(variant)
    metrics = tuple(dict.fromkeys(options.metric))
    _check_known(lab, variant, names, metrics)
    measured = [_measured(lab, spec, name, metrics) for name in names]
    section = card_section.section(spec, measured)
    try:
        results = card_section.results(measured)
        if options.output is None:
            print(file.new(variant, results, section), end="")
            return EXIT_OK
        path = options.output.resolve()  # a link stays one
        old = _read(path)
        if old is None:
            text = file.new(variant, results, section)
        else:
            text = file.update(old, variant, results, section, str(options.output))
    except ImportError as error:
        needed = (error.name or str(error)).partition(".")[0]
        raise CardError(f"a model card needs {needed}: {INSTALL}") from error
    if text == old:
        say(f"{options.output} is unchanged")
        return EXIT_OK
    if unwritten := save({path: text}):
        raise CardError(*unwritten)
    say(f"{'wrote' if old is None else 'updated'} {options.output}: {', '.join(names)}")
    return EXIT_OK


def _check_known(lab: Lab, variant: str, task_sets: Sequence[str], metrics: Sequence[str]) -> None:
    """Refuse a metric that none of the accepted runs has; a graded one says itself what adds it."""
    runs = (lab.accepted(variant, name) for name in task_sets)
    known = {*GRADED, *(k for one in runs if one for s in one.run.samples for k in s.metrics)}
    known -= {DECISION_MARGIN}  # never judged
    for metric in metrics:
        if metric not in known:
            raise CardError(
                f"--metric {metric}: no accepted run of {variant!r} has it, or it is not judged; "
                f"{near_misses(metric, known)}"
            )


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")  # its line ends stay
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CardError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CardError(f"{path}: is not UTF-8 text: {error.reason}") from error


def _measured(lab: Lab, spec: VariantSpec, name: str, metrics: Sequence[str]) -> CardMetric:
    from pytest_modellab.lab.pricing import priced
    from pytest_modellab.reports.card.section import CardMetric
    from pytest_modellab.runs.summary import summarize

    prices = lab.config.prices
    task_set = lab.task_set(name)
    baseline = _accepted(lab, spec.name, task_set)
    assert baseline is not None
    its = None if spec.base is None else lab.spec(spec.base)
    base = None if its is None else _accepted(lab, its.name, task_set, required=False)
    reference: RunSummary | None = None
    if its is not None and base is not None:
        reference = priced(summarize(_comparable(base.run, task_set), task_set), its, prices)
        reference = dataclasses.replace(reference, churn=base.churn)
    comparisons, refused = _judged(lab, spec, task_set, baseline, base, metrics)
    return CardMetric(
        summary=priced(summarize(_comparable(baseline.run, task_set), task_set), spec, prices),
        task_set_hash=task_set.hash,
        description=task_set.description,
        limited=task_set.note if task_set.whole else "",
        churn=baseline.churn,
        reference=reference,
        comparisons=tuple(comparisons),
        refused=tuple(refused),
    )


def _comparable(run: RunRecord, task_set: TaskSet) -> RunRecord:
    """A run without the likelihood of its replies, since every run has read its own."""
    own = {sample.id for sample in task_set.samples if is_reply(sample)}
    return dataclasses.replace(
        run,
        samples=tuple(
            dataclasses.replace(
                one, metrics={k: v for k, v in one.metrics.items() if k != LIKELIHOOD}
            )
            if one.id in own
            else one
            for one in run.samples
        ),
    )


def _accepted(
    lab: Lab, variant: str, task_set: TaskSet, *, required: bool = True
) -> Baseline | None:
    """The accepted run, if it is of these samples."""
    baseline = (
        lab.baseline(variant, task_set.name) if required else lab.accepted(variant, task_set.name)
    )
    if baseline is None or baseline.run.task_set["hash"] == task_set.hash:
        return baseline
    if not required:
        return None
    raise CardError(
        f"the baseline of {variant!r} on {task_set.name!r} is of another version of the task set; "
        f"accept it again: modellab accept {variant} --task-set {task_set.name}"
    )


def _judged(
    lab: Lab,
    spec: VariantSpec,
    task_set: TaskSet,
    baseline: Baseline,
    base: Baseline | None,
    metrics: Sequence[str],
) -> tuple[list[Comparison], list[str]]:
    """What the gate says of the accepted run: verdicts, and why something has none.

    By the score, and by each metric; an accepted run has read no other's replies, so that the
    likelihood is of multiple choice and documents.
    """
    from pytest_modellab.judging.assertions import ASSERTIONS
    from pytest_modellab.judging.question import Question
    from pytest_modellab.judging.scores import judged_by, narrowed
    from pytest_modellab.records.asked import Budget

    asked = [
        (metric, *one)
        for metric in (None, *metrics)
        for one in _asked(lab, spec, task_set, baseline, base, metric)
    ]
    budget = Budget.shared(lab.settings.alpha, len(asked))
    found, refused = [], []
    for metric, assertion, reference, against, settings in asked:
        try:
            told = judged_by(metric, task_set)
            question = Question(
                assertion=assertion,
                test="modellab card",
                spec=spec,
                task_set=told,
                against=against,
                budget=budget,
                candidate=narrowed(baseline.run, told, task_set),
                reference=None if reference is None else narrowed(reference, told, task_set),
                metric=metric,
            )
            if "second" in settings:
                settings["second"] = narrowed(settings["second"], told, task_set)
            found.append(ASSERTIONS[assertion].judge(question, **settings))
        except (ComparisonRefused, GateUsageError) as error:  # the latter of a margin of 0
            refused.append(str(error).partition("\n")[0])
    return found, list(dict.fromkeys(refused))


def _asked(
    lab: Lab,
    spec: VariantSpec,
    task_set: TaskSet,
    baseline: Baseline,
    base: Baseline | None,
    metric: str | None,
) -> Iterator[tuple[str, RunRecord | None, str, dict[str, Any]]]:
    """Each assertion that can be judged, its reference, that in words, and its settings."""
    from pytest_modellab.judging.comparison import FLOOR
    from pytest_modellab.tasksets.slices import slice_by

    declared = lab.config.task_sets[task_set.name]
    allowed, floor = declared.allowed(metric=metric), declared.least(metric)
    if base is not None:
        against = f"baseline of {spec.base}"
        yield "no_regression", base.run, against, {"margin": allowed.mean}
        if (second := base.second_run()) is not None:
            targeted, margin = set(spec.targets), allowed.capability
            settings = {"second": second, "targeted": targeted, "margin": margin}
            yield "no_forgetting", base.run, against, settings
    if baseline.anchor is not None:
        anchor, against = baseline.anchor_run(), baseline.anchor_words
        yield "no_drift", anchor, against, {"margin": allowed.mean}
    if floor is not None:
        slice_ = slice_by(task_set, "bucket")
        yield "worst_bucket", None, FLOOR, {"floor": floor, "slice_": slice_}
