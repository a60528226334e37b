"""Which runs of two variants are laid side by side: what is accepted or stored, nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.baselines import origin
from pytest_modellab.errors import ComparisonRefused, ConfigError, ModellabError
from pytest_modellab.judging.difference import Side
from pytest_modellab.store import git

if TYPE_CHECKING:
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.records.tasks import TaskSet

ACCEPTED, STORED = "accepted", "stored"


def parsed(text: str) -> tuple[str, str | None]:
    """Read ``nf4``, ``nf4@accepted`` or ``nf4@stored``; a name alone leaves the run open.

    Raises:
        ConfigError: something else stands behind the ``@``.
    """
    name, at, which = text.partition("@")
    if at and which not in (ACCEPTED, STORED):
        raise ConfigError(f"{text!r}: which run is {which!r}? say @{ACCEPTED} or @{STORED}")
    return name, which or None


def task_set_of(lab: Lab, variants: tuple[str, str], named: str | None) -> str:
    """Return the task set that is meant: the named one, or the only one that fits.

    Raises:
        ConfigError: several fit.
    """
    if named is not None:
        return named
    declared = list(lab.config.task_sets)
    has = [
        {name for name in declared if lab.baseline_path(variant, name).exists()}
        for variant in variants
    ]
    for fit in (has[0] & has[1], has[0] | has[1], set(declared)):
        if len(fit) == 1:
            return fit.pop()
        if fit:
            names = ", ".join(name for name in declared if name in fit)
            raise ConfigError(f"--task-set: which of {names}?")
    raise ConfigError(f"{lab.config.path}: declares no task set")


def side(lab: Lab, variant: str, task_set: TaskSet, order: tuple[str, ...]) -> Side:
    """Find a variant's run.

    Args:
        lab: the session.
        variant: its name.
        task_set: what was asked.
        order: which runs will do, the best first.

    Raises:
        ComparisonRefused: there is none; the message has the command that makes it.
        BaselineInvalid: the accepted run is damaged.
    """
    why = ""
    for which in order:
        if which == ACCEPTED:
            if (baseline := lab.accepted(variant, task_set.name)) is not None:
                path = lab.baseline_path(variant, task_set.name)
                return Side(variant, "accepted run", baseline.run, committed(path))
        else:
            try:
                run = lab.stored(lab.variant(variant, task_set), task_set, reuse=True)
            except ModellabError as error:  # its model is not here: what is accepted may do
                why = f": {error}"
                continue
            if run is not None:
                return Side(variant, "stored run", run)
    accept = f"modellab accept {variant} --task-set {task_set.name}"
    mend = f"{accept} accepts one" if order == (ACCEPTED,) else f"run its tests, or {accept}"
    raise ComparisonRefused(
        f"{variant!r} on {task_set.name!r} has no {' or '.join(order)} run{why}; {mend}"
    )


def committed(path: Path) -> str:
    """Say which commit a file is of, in words: ``commit 1a2b3c4 of 2026-11-22``."""
    try:
        found = origin.commit_of(path)
    except git.GitError:
        return ""
    if found is None:
        return "not committed"
    return f"{'changed since ' * found.changed}commit {found.name} of {found.day}"
