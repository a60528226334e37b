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
from pytest_modellab.observatory.verdict import NAMED, NOTHING

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
    """

    tried: tuple[Tried, ...] = ()
    chain: tuple[Group, ...] = ()
    restored: float = 0.0

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
    return _Search(run, model, damage, groups).proof()


class _Search:
    """The groups of one candidate, asked as few times as will do.

    A group is asked on the windows of most damage first, and on all only where it restores
    something there.
    """

    def __init__(self, run: BaseRun, model: Any, damage: Damage, groups: Sequence[Group]) -> None:
        self._run, self._model, self._damage, self._groups = run, model, damage, groups
        self._few = running.worst(run, damage) if damage.finite else None

    def proof(self) -> Proof:
        tried: list[Tried] = []
        for group in self._groups[:_LATER]:
            best = max((one.restored for one in tried), default=0.0)
            if best >= ENOUGH or (len(tried) >= _FIRST and best >= HALF):
                break
            if len(tried) == _FIRST and best < MORE and self._all(self._groups) < MORE:
                break  # all of them hold nothing
            tried.append(Tried(group, self._with(group) if tried else self._all([group])))
        tried.sort(key=lambda one: -one.restored)
        chain, reached = [tried[0].group], tried[0].restored
        if reached >= NAMED:  # else nothing is named, with others beside it or without
            chain, reached = self._chain(chain, reached)
        return Proof(tuple(tried), tuple(chain), reached)

    def _chain(self, chain: list[Group], reached: float) -> tuple[list[Group], float]:
        """Keep the best group exchanged, and look for the next one."""
        budget = _LATER
        rest = [group for group in self._groups if group not in chain]
        while rest and budget and (1.0 - reached) * _finite(self._damage.nats) > NOTHING:
            if 1.0 - reached < MORE:
                break
            before = self._first(chain)
            best: tuple[float, Group] | None = None
            for group in rest[:_FIRST]:
                budget -= 1
                found = self._with(group, chain, reached, before)
                if best is None or found > best[0]:
                    best = found, group
                if found - reached >= HALF * (1.0 - reached) or not budget:
                    break
            if best is None or best[0] - reached < MORE:
                break
            reached = best[0]
            chain = [*chain, best[1]]
            rest.remove(best[1])
        paths = {path for group in chain for path in group.paths}
        same = [one for one in rest if one.way == "modules" and one.paths]
        return [*chain, *(one for one in same if set(one.paths) <= paths)], reached

    def _with(
        self,
        group: Group,
        chain: Sequence[Group] = (),
        reached: float = 0.0,
        before: float | None = 0.0,
    ) -> float:
        """What a group restores beside others, to within what is less than enough."""
        seen = None if before is None else self._first([*chain, group])
        if seen is not None and before is not None and seen - before < MORE / 2:
            return reached + seen - before
        return self._all([*chain, group])

    def _all(self, groups: Sequence[Group]) -> float:
        return restored(self._run, self._model, self._damage, groups)

    def _first(self, groups: Sequence[Group]) -> float | None:
        """The same on the windows of most damage, where it is cheap."""
        if self._few is None or any(one.way != "modules" for one in groups):
            return None
        return restored(self._few[0], self._model, self._few[1], groups)


def _finite(nats: float) -> float:
    return nats if math.isfinite(nats) else 1.0
