"""The accepted runs of a variant, from git: the baseline file's revisions, oldest first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import by_metric
from pytest_modellab.errors import BaselineInvalid, HistoryUnavailable
from pytest_modellab.records.runs import BucketScore, RunRecord
from pytest_modellab.records.windows import BITS
from pytest_modellab.store import git

UNCOMMITTED = "not committed"


@dataclasses.dataclass(frozen=True)
class Revision:
    """One revision of a baseline file.

    Attributes:
        date: when it was committed, ``YYYY-MM-DD``.
        commit: short hash, or ``not committed``.
        subject: the commit message's first line.
        problem: why the revision cannot be read, else empty; what follows is then empty too.
        version: the task set's version.
        task_set: hash of its samples; scores compare where it is the same.
        samples: how many there are; where a metric is asked for, how many have it.
        mean: mean score over all samples, in [0, 1]; one without an answer counts as 0. Where a
            metric is asked for, its mean over the samples that have it; NaN where none has.
        anchor: the same of the anchor.
        changes: changed runs that were accepted since the anchor.
        churn: share of samples that flipped in the second run, or None.
        worst: the capability with the lowest mean, the highest of bits per byte; None where the
            samples are not today's.
        despite: what the first run of its chain was accepted in spite of, in words, else empty.
    """

    date: str
    commit: str
    subject: str
    problem: str = ""
    version: str = ""
    task_set: str = ""
    samples: int = 0
    mean: float = math.nan
    anchor: float = math.nan
    changes: int = 0
    churn: float | None = None
    worst: BucketScore | None = None
    despite: str = ""


def read(
    path: Path, capabilities: Mapping[str, str], metric: str | None = None
) -> tuple[Revision, ...]:
    """Read every committed revision of a baseline, and the file itself where it differs.

    Args:
        path: the baseline file.
        capabilities: sample content hash → capability, of today's task set.
        metric: show the means of this figure of the samples, and not of their scores.

    Returns:
        The revisions, oldest first.

    Raises:
        HistoryUnavailable: git is missing, or the file lies in no repository.
    """
    found = []
    last = b""
    for date, commit, subject, name in _log(path):
        # with filters, as a checkout has it: what Git LFS keeps is a pointer without
        last = _git(path.parent, "cat-file", "--filters", f"{commit}:{name}")
        found.append(_revision(last, path, capabilities, date, commit[:7], subject, metric))
    if path.is_file() and (now := path.read_bytes()) != last:
        found.append(_revision(now, path, capabilities, "", UNCOMMITTED, "", metric))
    return tuple(found)


def _log(path: Path) -> list[tuple[str, str, str, str]]:
    """Date, commit, subject and the file's name at the time, oldest first; across renames."""
    if not _git(path.parent, "rev-list", "--all", "--max-count=1"):
        return []  # nothing is committed yet, which git log calls an error
    text = _git(  # --reverse would end --follow at the first rename
        path.parent,
        *("log", "--follow", "--diff-filter=ACMR", "--name-status", "-z"),
        *("--date=short", "--format=%x01%cd%x02%H%x02%s", "--", path.name),
    ).decode("utf-8", "replace")
    found = []
    for entry in text.split("\x01")[1:]:
        date, commit, rest = entry.split("\x02", 2)
        subject, status, *names = rest.rstrip("\0").split("\0")
        found.append((date, commit, subject, names[-1]))
        if status.strip().startswith("C"):
            break  # git takes a new baseline for a copy of a similar one: older ones are that one's
    return found[::-1]


def _git(folder: Path, *arguments: str) -> bytes:
    try:  # the last baseline of a task set may have been removed, and its folder
        return git.ask(folder, *arguments)
    except git.GitMissing as error:
        raise HistoryUnavailable("git is not installed, and the history is kept in git") from error
    except git.GitError as error:
        raise HistoryUnavailable(
            f"{folder}: git cannot read the history of the baselines: {error}"
        ) from error


def _revision(
    content: bytes,
    path: Path,
    capabilities: Mapping[str, str],
    date: str,
    commit: str,
    subject: str,
    metric: str | None,
) -> Revision:
    try:
        baseline = file.parse(content, path, "look at an older or newer commit", commit)
    except BaselineInvalid as error:
        return Revision(date, commit, subject, problem=str(error))
    run = baseline.run
    shown, first = (by_metric(one, metric) for one in (run, baseline.anchor_run()))
    return Revision(
        date=date or str(run.environment.get("recorded", "")),
        commit=commit,
        subject=subject,
        version=run.task_set["version"],
        task_set=run.task_set["hash"],
        samples=len(shown.samples),
        mean=shown.mean if shown.samples else math.nan,
        anchor=first.mean if first.samples else math.nan,
        changes=baseline.anchor.accepted if baseline.anchor is not None else 0,
        churn=baseline.churn,
        worst=_worst(shown, capabilities, lower=metric == BITS),
        despite="" if baseline.despite is None else str(baseline.despite),
    )


def _worst(run: RunRecord, capabilities: Mapping[str, str], *, lower: bool) -> BucketScore | None:
    """The capability with the worst mean, which is the largest where lower is better."""
    groups: dict[str, list[float]] = {}
    for sample in run.samples:
        if sample.hash not in capabilities:
            return None
        groups.setdefault(capabilities[sample.hash], []).append(sample.score or 0.0)
    means = [
        BucketScore(name, len(scores), math.fsum(scores) / len(scores))
        for name, scores in groups.items()
    ]
    sign = -1.0 if lower else 1.0
    return min(means, key=lambda one: (sign * one.mean, one.name), default=None)
