"""Groups are exchanged one after the other, until the damage is gone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import transplant
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.run import BaseRun, Damage
from pytest_modellab.observatory.verdict import NOTHING

ENOUGH = 0.9
"""The share of the damage that ends the search."""


HALF = 0.5
"""The share that one group should restore; the next ones are tried where none does."""


MORE = 0.1
"""The share that a further group must add to be a culprit as well."""


_FIRST = 3
_LATER = 8


@dataclasses.dataclass(frozen=True)
class Tried:
    """A group that was exchanged.

    Attributes:
        group: which.
        restored: share of the damage that was gone with it alone.
    """

    group: Group
    restored: float


@dataclasses.dataclass(frozen=True)
class Proof:
    """What exchanging showed.

    Attributes:
        tried: groups one by one, the one that restores most first.
        chain: the best group, and those that added to it.
        restored: share that was gone with the whole chain.
        together: share that was gone with all groups, or None where that was not tried.
    """

    tried: tuple[Tried, ...] = ()
    chain: tuple[Group, ...] = ()
    restored: float = 0.0
    together: float | None = None

    def of(self, group: Group) -> float | None:
        """What a group restored by itself, or None."""
        return next((one.restored for one in self.tried if one.group == group), None)


def restored(run: BaseRun, model: Any, damage: Damage, groups: Sequence[Group]) -> float:
    """Measure the share of the damage that is gone with the base's part of some groups.

    Args:
        run: the base's.
        model: the candidate's, left as it was.
        damage: the candidate's.
        groups: which.

    Returns:
        1 where nothing is left; below 0 where it gets worse.
    """
    try:
        with transplant.applied(run, model, groups) as exchanged:
            left = running.left(run, exchanged)
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        if "out of memory" in str(error):
            raise
        return 0.0  # the base's part does not fit into this candidate, so nothing is proved
    if not math.isfinite(left):
        return 0.0
    if not damage.finite or not math.isfinite(damage.nats):
        return 1.0
    return 1.0 - left / damage.nats


def prove(run: BaseRun, model: Any, damage: Damage, groups: Sequence[Group]) -> Proof:
    """Find the groups that hold the damage.

    Args:
        run: the base's.
        model: the candidate's.
        damage: the candidate's.
        groups: in the order of what enters there.

    Returns:
        What was tried; nothing where there is no damage.
    """
    if damage.nats < NOTHING or not groups:
        return Proof()
    tried: list[Tried] = []
    for group in groups[:_LATER]:
        best = max((one.restored for one in tried), default=0.0)
        if best >= ENOUGH or (len(tried) >= _FIRST and best >= HALF):
            break
        tried.append(Tried(group, restored(run, model, damage, [group])))
    tried.sort(key=lambda one: -one.restored)
    if len(tried) > 1 and tried[0].restored < HALF:
        together = restored(run, model, damage, groups)
    else:
        together = None
    chain, reached = _chain(run, model, damage, groups, tried)
    return Proof(tuple(tried), tuple(chain), reached, together)


def _chain(
    run: BaseRun, model: Any, damage: Damage, groups: Sequence[Group], tried: Sequence[Tried]
) -> tuple[list[Group], float]:
    """Keep the best group exchanged, and look for the next one."""
    chain, reached = [tried[0].group], tried[0].restored
    budget = _LATER
    rest = [group for group in groups if group not in chain]
    while rest and budget and (1.0 - reached) * _finite(damage.nats) > NOTHING:
        if 1.0 - reached < MORE:
            break
        best: tuple[float, Group] | None = None
        for group in rest[:_FIRST]:
            budget -= 1
            found = restored(run, model, damage, [*chain, group])
            if best is None or found > best[0]:
                best = found, group
            if found - reached >= HALF * (1.0 - reached) or not budget:
                break
        if best is None or best[0] - reached < MORE:
            break
        reached = best[0]
        chain.append(best[1])
        rest.remove(best[1])
    same = [group for group in rest if set(group.paths) <= {p for g in chain for p in g.paths}]
    return [*chain, *(group for group in same if group.way == "modules" and group.paths)], reached


def _finite(nats: float) -> float:
    return nats if math.isfinite(nats) else 1.0
