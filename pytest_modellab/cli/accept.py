"""``modellab accept``: run a variant twice and make the run its baseline."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import shlex
import sys
from typing import TYPE_CHECKING

from pytest_modellab.cli.common import (
    EXIT_FOUND,
    EXIT_OK,
    Subparsers,
    add_config,
    add_running,
    chosen,
    complete,
    discover,
    required_config,
    running,
    say,
)
from pytest_modellab.errors import ConfigError, FirstBaselineWorse
from pytest_modellab.visible import line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.records.preprocessing import Unlike
    from pytest_modellab.records.runs import RunRecord
    from pytest_modellab.records.tasks import TaskSet


def add(commands: Subparsers) -> None:
    """Declare the command."""
    accept = commands.add_parser(
        "accept",
        help="run variants twice and make the runs their baselines",
        description="Runs each variant on each task set, and once more in another sample order "
        "and batch size to measure its churn, shows it beside its base by capability, and writes "
        "the baseline. Review it as a git diff.",
    )
    accept.add_argument("variant", nargs="+", help="names; a base before what it is the base of")
    accept.add_argument(
        "--task-set",
        action="append",
        help="names (default: those that the variant was accepted on; if none, all declared)",
    )
    add_config(accept)
    accept.add_argument(
        "--new-anchor",
        action="store_true",
        help="forget the run that later drift is measured from; this run takes its place",
    )
    accept.add_argument(
        "--first",
        action="store_true",
        help="accept a first baseline though it is worse than its base beyond chance; the file "
        "says so",
    )
    accept.add_argument(
        "--because",
        metavar="REASON",
        help="who agreed to a lower accepted run and why: written into [acknowledged] of "
        "modellab.toml, for modellab review",
    )
    add_running(accept)
    complete(accept, variants="variant", task_sets="task_set")
    accept.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    from pytest_modellab.lab import absent, work
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.reports.text.progress import RunProgress

    if options.because is not None and not options.because.strip():
        raise ConfigError("--because: it is empty; say who agreed to a lower accepted run and why")
    config = required_config(options.config)
    variants = chosen("variant", options.variant, config.variants)
    named = chosen("task set", options.task_set or (), config.task_sets)
    settings = dataclasses.replace(running(options), update=True, new_anchor=options.new_anchor)
    lab = Lab(config, settings, RunProgress(sys.stderr), discover(config))
    absent.require(lab.config, lab.extensions.kinds, variants, named)
    code, accepted = EXIT_OK, []
    for variant, task_set in work.wanted(lab, variants, named):
        found, samples = lab.asked(variant, task_set)
        if _accept(lab, found, samples, options):
            accepted.append(f"baselines.{task_set}.{variant}")
        else:
            code = EXIT_FOUND
    lab.release()
    say(*_reviewed(config, accepted, options))
    return code


def _reviewed(config: LabConfig, accepted: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Say what ``modellab review`` asks a reason for, or write the one that was given."""
    from pytest_modellab.review import reasons, words
    from pytest_modellab.review.review import in_passing

    found, why = in_passing(config), options.because
    if found is None:
        lost = "--because: modellab review cannot compare here, so no reason was written: run it"
        return [] if why is None else [f"{lost} to see why"]
    names = tuple(f"{name}." for name in accepted)
    changes = [change for change in found.weaker if change.what.startswith(names)]
    path = os.path.relpath(config.path)
    if why is None:
        again = ["modellab", "accept", *options.variant]
        again += [word for name in options.task_set or () for word in ("--task-set", name)]
        again += ["--config", str(options.config)] if options.config else []
        return list(words.accepted(found, changes, path, shlex.join(again)))
    if not changes:
        return ["--because: nothing became weaker that has no reason yet: none was written"]
    return [f"wrote to [acknowledged] in {path}:", *reasons.write(config.path, changes, why)]


def _accept(lab: Lab, variant: Resolved, task_set: TaskSet, options: argparse.Namespace) -> bool:
    """Accept a run and show it; returns False where a bad first baseline was not written."""
    from pytest_modellab.reports.text import accepting

    of_base = lab.beside_base(variant, task_set)
    shown, run = [], lab.record(variant, task_set)
    if of_base is not None:
        shown = accepting.lines(of_base, f"its base {variant.spec.base}", run)
    if of_base is None and variant.spec.base is not None:
        shown = [
            f"  not compared with its base {variant.spec.base}, which was not run on "
            f"{task_set.name}: modellab accept {variant.spec.base} --task-set {task_set.name}"
        ]
    accept = functools.partial(lab.accept, variant, task_set, new_anchor=options.new_anchor)
    try:
        old, new = accept(first=options.first)
    except FirstBaselineWorse as error:
        say(*(f"{variant.name}: {one}" for one in lab.unlike_base(variant)))
        say(f"{variant.name} on {task_set.name}: success {run.mean:.3f}")
        say(*shown)
        if not _allowed(variant.name):
            say(f"modellab: {error}", error=True)
            return False
        old, new = accept(first=True)
        shown = []
    say(*_lines(lab, variant, task_set, old, new, shown))
    return True


def _allowed(variant: str) -> bool:
    """Ask whether a bad first baseline is wanted; nobody is asked where nobody answers."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    question = f"{variant} is worse than its base. Make this its first baseline all the same? [y/N]"
    try:
        return input(f"{line(question)} ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _lines(
    lab: Lab,
    variant: Resolved,
    task_set: TaskSet,
    old: Baseline | None,
    new: Baseline,
    of_base: list[str],
) -> list[str]:
    from pytest_modellab.baselines.chain import one_chain
    from pytest_modellab.judging.beside import beside
    from pytest_modellab.reports.text import accepting

    path = os.path.relpath(lab.baseline_path(variant.name, task_set.name))
    done = f"{path} is unchanged" if new == old else f"wrote {path}"
    summary = lab.summary(variant, task_set)
    lines = [f"{variant.name}: {one}" for one in _unlike(lab, variant, old, new)]
    lines.append(f"{variant.name} on {task_set.name}: success {summary.mean:.3f}; {done}")
    lines += accepting.nothing_to_lose(summary)
    lines.append(f"  {lab.churn(variant, task_set).words}")
    if task_set.note:
        lines.append(f"  {task_set.note}")
    lines += of_base
    if new.despite is not None and (old is None or new.despite != old.despite):
        lines.append(f"  the file says that it was accepted though {new.despite}")
    if old is not None and not one_chain(old.run, new.run):
        lines.append(
            "  the task set or a scorer has changed since the last accepted run: a new chain begins"
        )
    elif old is not None and new.run != old.run:
        last = "the last accepted run"
        moved = beside(
            variant.spec,
            task_set,
            new.run,
            old.run,
            against=last,
            alpha=lab.settings.alpha,
            prompt_may_differ=True,  # whatever was changed, it is accepted as one
        )
        lines += accepting.lines(moved, last)
        begun = old.anchor is None and new.anchor is not None
        if not moved.differs:
            compared = _judged(lab, variant, task_set, new.run, old.run, last)
            lines.append(f"  against {last}{', the anchor' if begun else ''}: {compared}")
        lines += accepting.metrics(old.run, new.run, last)
        if begun:
            return lines
    if new.anchor is not None:
        compared = _judged(lab, variant, task_set, new.run, new.anchor_run(), "the anchor")
        lines.append(f"  against its {new.anchor_words}: {compared}")
    return lines


def _unlike(lab: Lab, variant: Resolved, old: Baseline | None, new: Baseline) -> list[Unlike]:
    """Say where media are not prepared as in the last accepted run, and as the base's."""
    from pytest_modellab.records.preprocessing import unlike

    found: list[Unlike] = []
    if old is not None:
        now, then = (one.run.fingerprint.settings for one in (new, old))
        found += unlike(now, then, "the last accepted run")
    known = {one.changed for one in found}
    return [*found, *(one for one in lab.unlike_base(variant) if one.changed not in known)]


def _judged(
    lab: Lab,
    variant: Resolved,
    task_set: TaskSet,
    run: RunRecord,
    reference: RunRecord,
    against: str,
) -> str:
    from pytest_modellab.judging import comparable
    from pytest_modellab.judging.drop import no_regression
    from pytest_modellab.judging.question import Question
    from pytest_modellab.records.asked import Budget

    differs, _ = comparable.differences(variant.spec, run, reference, prompt_may_differ=True)
    if differs:
        return f"not compared: {'; '.join(differs)}"
    question = Question(
        assertion="no_regression",
        test="modellab accept",
        spec=variant.spec,
        task_set=task_set,
        against=against,
        budget=Budget.shared(lab.settings.alpha, 1),
        candidate=run,
        reference=reference,
        prompt_may_differ=True,
    )
    allowed = lab.config.task_sets[task_set.name].allowed()
    return no_regression(question, margin=allowed.mean).figures[0].explain()
