"""What is still to be scored, in the order that loads least, and what it is expected to take."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.errors import ModellabError
from pytest_modellab.lab import pricing
from pytest_modellab.lab.absent import Absent
from pytest_modellab.runs.shards import cut, spans

if TYPE_CHECKING:
    from pytest_modellab.lab.cluster import Cluster
    from pytest_modellab.lab.lab import Lab
    from pytest_modellab.records.progress import Watch
    from pytest_modellab.records.runs import RunRecord
    from pytest_modellab.records.tasks import TaskSet
    from pytest_modellab.runs.job import Job
    from pytest_modellab.store.runs import StoredRun


@dataclasses.dataclass(frozen=True)
class Piece:
    """A variant on a task set.

    Attributes:
        variant: its name.
        task_set: its name.
        samples: how many are asked.
        family: what it shares a loaded model with; empty where a server has the model.
        stored: whether its run is in the store already; None where only a server can tell.
        parts: samples of each part that can be run on another worker.
        seconds: expected of a run, from an accepted one; None where there is none.
        tokens: read and written, likewise.
        held: bytes of the model's parameters, likewise.
        usd: dollars, at the declared prices; None where none is declared or nothing is known.
        error: why it cannot be run; empty where it can.
    """

    variant: str
    task_set: str
    samples: int = 0
    family: str = ""
    stored: bool | None = False
    parts: tuple[int, ...] = ()
    seconds: float | None = None
    tokens: float | None = None
    held: float | None = None
    usd: float | None = None
    error: str = ""


def wanted(
    lab: Lab, variants: Sequence[str], task_sets: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield what is to be scored, variants that share a loaded model in a row.

    Args:
        lab: the session.
        variants: names; all that are declared where empty.
        task_sets: names; where empty those that a variant was accepted on, and all that are
            declared where there is none.
    """
    declared = lab.config.task_sets
    for variant in lab.together(variants or lab.config.variants):
        before = [name for name in declared if lab.baseline_path(variant, name).exists()]
        yield from ((variant, name) for name in task_sets or before or declared)


def plan(lab: Lab, pairs: Iterable[tuple[str, str]], *, ask: bool = True) -> Sequence[Piece]:
    """Find out what is stored and what the rest would take; nothing is run or loaded.

    Args:
        lab: the session.
        pairs: names of a variant and of a task set.
        ask: False to ask no server either: what is stored of a served variant is unknown then.
    """
    absent = Absent(lab.config, lab.extensions.kinds)
    return [_piece(lab, absent, *pair, ask=ask) for pair in pairs]


def _piece(lab: Lab, absent: Absent, name: str, on: str, *, ask: bool) -> Piece:
    family = lab.family(name)
    if missing := (*absent.of_task_set(on), *absent.of_variant(name)):
        return Piece(name, on, family=family, error="; ".join(missing))
    try:
        accepted = lab.accepted(name, on)
        before = None if accepted is None else accepted.run
        if not ask and lab.is_served(name):
            task_set = lab.task_set(on)
            parts = tuple(map(len, cut(task_set.samples)))
            found = Piece(name, on, len(task_set.samples), stored=None, parts=parts)
            return _expected(lab, found, task_set, before)
        variant, task_set = lab.asked(name, on)
        stored = lab.stored(variant, task_set)
        parts = tuple(len(span) for job in lab.jobs(variant, task_set) for span in spans(job))
    except ModellabError as error:
        return Piece(name, on, family=family, error=str(error))
    if variant.plan.served is not None:
        family = ""
    found = Piece(name, on, len(task_set.samples), family, stored is not None, parts)
    return _expected(lab, found, task_set, before if stored is None else stored)


def wall_time(pieces: Iterable[Piece], workers: int) -> float:
    """Return the seconds that so many workers take, where the longest part comes first.

    Graham's rule of the longest processing time (1969): at most 4/3 of the shortest.

    Args:
        pieces: of :func:`plan`; what is stored, or of which nothing is known, takes none.
        workers: at least one.
    """
    due = [one for one in pieces if not one.stored and one.seconds is not None]
    seconds = [part / sum(one.parts) * (one.seconds or 0.0) for one in due for part in one.parts]
    busy = [0.0] * workers
    for part in sorted(seconds, reverse=True):
        heapq.heapreplace(busy, busy[0] + part)
    return max(busy)


def _expected(lab: Lab, piece: Piece, task_set: TaskSet, run: RunRecord | None) -> Piece:
    """Add what a run of the same pair took, for the samples that are asked now."""
    if run is None:
        return piece
    share = len(task_set.samples) / max(1, len(run.samples))
    seconds = run.probes.get("seconds", 0.0) * share
    device = str(run.environment.get("device") or "cpu")
    price = pricing.price_of(lab.spec(piece.variant), device, lab.config.prices)
    usd = None
    if price is not None and price.usd_per_hour is not None:
        usd = price.usd_per_hour * seconds / 3600.0
    elif price is not None and price.usd_per_million_input is not None:
        read = math.fsum(one.tokens_in for one in run.samples) * share
        written = math.fsum(one.tokens_out for one in run.samples) * share
        per = price.usd_per_million_input, price.usd_per_million_output or 0.0
        usd = (read * per[0] + written * per[1]) / 1e6
    return dataclasses.replace(
        piece,
        seconds=seconds,
        tokens=run.probes.get("tokens", 0.0) * share,
        held=run.probes.get("parameter_bytes") if piece.family else None,
        usd=usd,
    )


def spread(lab: Lab, pieces: Iterable[Piece], cluster: Cluster, watch: Watch) -> Sequence[Piece]:
    """Have a cluster obtain what is missing, into the store of this machine.

    Args:
        lab: the session.
        pieces: of :func:`plan`.
        cluster: where they are run.
        watch: is told how far each is.

    Returns:
        The pieces, with what was said of those that failed.
    """
    pieces = list(pieces)
    jobs: dict[int, tuple[Job, int]] = {}
    for number, piece in enumerate(pieces):
        if piece.error:
            continue
        try:
            for job in lab.jobs(*lab.asked(piece.variant, piece.task_set)):
                jobs[id(job)] = job, number
        except ModellabError as error:
            pieces[number] = dataclasses.replace(piece, error=str(error))

    def told(job: Job, found: StoredRun | ModellabError) -> None:
        number = jobs[id(job)][1]
        if isinstance(found, ModellabError):
            pieces[number] = dataclasses.replace(pieces[number], error=str(found))

    def family(job: Job) -> str:
        return pieces[jobs[id(job)][1]].family

    cluster.obtain([job for job, _ in jobs.values()], lab.here, told, family, watch)
    return pieces


def _scored(lab: Lab, piece: Piece) -> RunRecord:
    """Return a piece's run, sharing one that was made when no store was shared."""
    asked = lab.asked(piece.variant, piece.task_set)
    found = lab.record(*asked)
    if piece.stored:
        for job in lab.jobs(*asked):
            lab.here.share(job)
    return found


def score(
    lab: Lab, pieces: Iterable[Piece], told: Callable[[Piece, RunRecord | str], None]
) -> bool:
    """Score what is missing; what fails does not keep the others from being scored.

    Args:
        lab: the session.
        pieces: of :func:`plan`.
        told: called after each with its run, or with why there is none.

    Returns:
        Whether all have a run.
    """
    whole = True
    for piece in pieces:
        try:
            found: RunRecord | str = piece.error or _scored(lab, piece)
        except ModellabError as error:
            found = str(error)
        whole = whole and not isinstance(found, str)
        told(piece, found)
    lab.release()
    return whole
