"""Distribution over xdist workers: all tests of a variant on one worker, so it is run once.

Variants that share a loaded model (:mod:`.variants.families`) stay on one worker, too, as long as
another one has something else to do, or would need longer to load the model than it saves. And
where each GPU has its worker, the others first do what needs none: they would wait for one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler.load import LoadScheduling

from pytest_modellab.engines import device
from pytest_modellab.plugin.nodeids import variant_of
from pytest_modellab.plugin.session import COMPARED_SENT, TODAY_SENT, today_of
from pytest_modellab.variants import KINDS, families

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

    from pytest_modellab.plugin.projects import Project, Projects


LOADED_PER_SECOND = 2e8
"""Bytes of a model that a worker loads in a second: of a solid-state disk, read and converted, on a
core that others share. Too low a figure keeps variants together that two workers would run sooner,
too high a one loads a model for nothing; both cost seconds."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """How long the tests of a group are expected to take.

    Attributes:
        seconds: answering.
        loading: reading the model before.
        gpu: whether it computes on a GPU, which workers hold one after another.
    """

    seconds: float
    loading: float
    gpu: bool = False


class Distribution:
    """Plugin that supplies the scheduler where xdist would distribute by load.

    Args:
        projects: name the variants, and where their baselines say how long they took.
    """

    def __init__(self, projects: Projects) -> None:
        self._projects = projects

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Tell a worker what day the session began on, and the commits that are compared with."""
        node.workerinput[TODAY_SENT] = today_of(node.config)
        compared = (one.compared for one in self._projects.known)
        node.workerinput[COMPARED_SENT] = {str(c.top): c.commit for c in compared if c is not None}

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Supply the scheduler, unless the user chose another ``--dist``."""
        if config.getoption("dist") != "load":
            return None
        variants: dict[str, tuple[Project, str]] = {}  # by group, as they are met

        def group_of(nodeid: str) -> str:
            project = self._projects.of_test(nodeid)
            name = None if project is None else variant_of(nodeid, project.declared.variants)
            if project is None or name is None:
                return nodeid.partition("::")[0]
            group = f"{project.name}::{name}"
            variants[group] = project, name
            return group

        def family_of(group: str) -> str:
            if group not in variants:
                return group
            project, name = variants[group]
            return f"{project.name}::{families.family(name, project.declared.variants, KINDS)}"

        def expected(group: str) -> Expected:
            return _expected(*variants[group]) if group in variants else Expected(0.0, 0.0)

        return VariantScheduling(
            config,
            log,
            group_of=group_of,
            family_of=family_of,
            expected=expected,
            gpus=device.gpus(),
        )


def _expected(project: Project, variant: str) -> Expected:
    """Return how long a variant took when its baselines were recorded; unknown comes first."""
    from pytest_modellab.baselines import file
    from pytest_modellab.errors import ModellabError

    declared = project.declared
    gpu = families.device(variant, declared.variants).startswith("cuda")
    seconds, held = 0.0, 0.0
    for task_set in declared.task_sets:
        path = file.path_of(declared.baselines, task_set, variant)
        try:
            baseline = file.read(path)
        except ModellabError:
            baseline = None
        if baseline is None:
            return Expected(math.inf, held / LOADED_PER_SECOND, gpu)
        seconds += baseline.run.probes.get("seconds", 0.0)
        held = baseline.run.probes.get("parameter_bytes", held)
    return Expected(seconds, held / LOADED_PER_SECOND, gpu)


class VariantScheduling(LoadScheduling):
    """Hands out whole groups, the most expensive first; a dead worker's group goes on elsewhere.

    A worker goes on with groups of the family that it has loaded; then comes the most expensive
    family that no worker has; then it takes a group of another worker's family, the most expensive
    one that it ends, loading counted in, before that worker would have come to it. One that finds
    none is done: loading would take longer than waiting. What needs a GPU comes last where others
    have them all.

    A worker starts its last test only when it knows that no other follows, so every worker gets
    its next group while one test of the last is still to come.

    Args:
        config: the session's.
        log: xdist's.
        group_of: node id → group.
        family_of: group → what it shares with others on a worker.
        expected: group → how long it is expected to take.
        gpus: how many there are; None where that is not known.
    """

    collection: list[str] | None
    pending: list[int]

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        *,
        group_of: Callable[[str], str],
        family_of: Callable[[str], str],
        expected: Callable[[str], Expected],
        gpus: int | None = None,
    ) -> None:
        super().__init__(config, log)
        self._group_of = functools.cache(group_of)
        self._family_of = functools.cache(family_of)
        self._expected = functools.cache(expected)
        self._gpus = gpus
        self._groups: dict[WorkerController, str] = {}  # the last that each was sent

    def schedule(self) -> None:
        """Give every worker its first groups."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                self.log("**Different tests collected, aborting run**")
                return
            self.collection = next(iter(self.node2collection.values()))
            self.pending[:] = range(len(self.collection))
            for node in self.nodes:
                self._send_group(node)
        for node in self.nodes:
            self.check_schedule(node)

    def check_schedule(self, node: WorkerController, duration: float = 0) -> None:
        """Keep at least two tests waiting on a worker, or tell it that none follow."""
        if node.shutting_down:
            return
        while self.pending and len(self.node2pending[node]) < 2:
            if not self._send_group(node):
                node.shutdown()
                return
        if not self.pending:
            node.shutdown()

    def _send_group(self, node: WorkerController) -> bool:
        """Send a worker the tests of its next group; False where there is none for it."""
        groups = self._grouped(self.pending)
        group = self._next(node, [*groups])
        if group is None:
            return False
        self._groups[node] = group
        chosen = groups.pop(group)
        self.pending[:] = chosen + [index for rest in groups.values() for index in rest]
        self._send_tests(node, len(chosen))
        return True

    def _grouped(self, indices: Iterable[int]) -> dict[str, list[int]]:
        """Tests by group."""
        assert self.collection is not None
        groups: dict[str, list[int]] = {}
        for index in indices:
            groups.setdefault(self._group_of(self.collection[index]), []).append(index)
        return groups

    def _next(self, node: WorkerController, groups: Sequence[str]) -> str | None:
        """Choose a worker's next group among those that are left."""
        families: dict[str, list[str]] = {}
        for group in sorted(groups, key=lambda name: (-self._expected(name).seconds, name)):
            families.setdefault(self._family_of(group), []).append(group)
        if node in self._groups and (own := families.get(self._family_of(self._groups[node]))):
            return own[0]
        others = [one for one in self.nodes if one is not node and not one.shutting_down]
        last = {one: self._groups[one] for one in others if one in self._groups}
        taken = {self._family_of(group) for group in last.values()}

        def seconds(family: str) -> float:
            return sum(self._expected(group).seconds for group in families[family])

        ordered = sorted(families, key=lambda family: (-seconds(family), family))
        waiting = set[str]()
        if self._gpus is not None and self._gpus <= sum(self._on_gpu(one) for one in last.values()):
            waiting = {one for one in ordered if self._on_gpu(families[one][0])}
        ready = [family for family in ordered if family not in waiting]
        for family in ready:
            if family not in taken:
                return families[family][0]
        for family in ready:
            owners = [one for one in last if self._family_of(last[one]) == family]
            held = sum(self._seconds_of(self.node2pending[one]) for one in owners)
            theirs = (seconds(family) + held) / len(owners)
            for group in families[family]:
                needed = self._expected(group)
                if math.isinf(needed.seconds) or needed.loading + needed.seconds < theirs:
                    return group
        return next((families[one][0] for one in ordered if one in waiting - taken), None)

    def _on_gpu(self, group: str) -> bool:
        return self._expected(group).gpu

    def _seconds_of(self, waiting: Sequence[int]) -> float:
        """How long a worker still needs for tests of groups that were sent to it, at most."""
        return sum(self._expected(group).seconds for group in self._grouped(waiting))
