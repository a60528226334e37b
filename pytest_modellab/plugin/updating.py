"""Update mode: what is given up is judged and named, and nobody updates in passing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from pytest_modellab.errors import ComparisonRefused, ModellabError
from pytest_modellab.plugin.options import option, said

if TYPE_CHECKING:
    from pytest_modellab.judging.comparison import Comparison
    from pytest_modellab.judging.question import Question
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.records.runs import RunRecord

_FALSE = ("", "0", "false", "no", "off")


def check_asked(config: pytest.Config) -> None:
    """Refuse update mode in a CI run unless the command line itself asks for it.

    There nobody looks before a lower baseline is accepted, and a setting that was committed would
    accept every drop.

    Raises:
        pytest.UsageError: it comes from an ini file, ``addopts`` or PYTEST_ADDOPTS.
    """
    if not option(config, "update") or os.environ.get("CI", "").strip().lower() in _FALSE:
        return
    if "--modellab-update" not in config.invocation_params.args:
        source = said(config, "update")
        if source == "--modellab-update":
            source = "--modellab-update in addopts or PYTEST_ADDOPTS"
        raise pytest.UsageError(
            f"{source}: refused in CI (CI={os.environ['CI']}), where it would make every "
            "candidate its own baseline; take it out, or ask for it on the command line: pytest "
            "--modellab-update"
        )


def remember(lab: Lab, candidates: Iterable[tuple[str, str]]) -> None:
    """Read the accepted runs that this session replaces, before any test or worker writes one.

    Args:
        lab: the session.
        candidates: variant and task set of each test.
    """
    for variant, task_set in candidates:
        try:
            lab.accepted_before(variant, task_set)
        except ModellabError:
            continue  # the test says so


def judge(
    question: Question,
    judged: Callable[[Question], Comparison],
    own: Callable[[], RunRecord],
) -> Comparison:
    """Judge a run that is accepted by the one that was accepted before it.

    Args:
        question: against that one; against the run itself where it is the first.
        judged: answers it.
        own: the run itself, which is compared with where the other is not comparable.

    Returns:
        The comparison; it says so where the gate blocks, or where the two cannot be compared.
    """
    try:
        comparison = judged(question)
    except ComparisonRefused as error:
        run = own()
        # under a metric the run is a whole one, and may have to read other replies
        candidate = question.candidate if question.metric is None else run
        comparison = judged(dataclasses.replace(question, candidate=candidate, reference=run))
        notes = (*comparison.notes, f"not judged against the run accepted before: {error}")
        return dataclasses.replace(comparison, accepted="unjudged", notes=notes)
    if comparison.verdict != "block":
        return comparison
    return dataclasses.replace(comparison, accepted="drop")
