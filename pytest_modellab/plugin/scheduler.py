"""Distribution over xdist workers: all tests of a variant on one worker, so it is loaded once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler.load import LoadScheduling

from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.plugin.nodeids import variant_of
from pytest_modellab.plugin.session import TODAY_SENT, today_of

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController


class Distribution:
    """Plugin that supplies the scheduler where xdist would distribute by load.

    Args:
        config: names the variants, and where their baselines say how long they took.
    """

    def __init__(self, config: LabConfig) -> None:
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Tell a worker what day the session began on."""
        node.workerinput[TODAY_SENT] = today_of(node.config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Supply the scheduler, unless the user chose another ``--dist``."""
        if config.getoption("dist") != "load":
            return None
        variants = tuple(self._config.variants)

        def group_of(nodeid: str) -> str:
            return variant_of(nodeid, variants) or nodeid.partition("::")[0]

        return VariantScheduling(config, log, group_of=group_of, seconds=self._seconds)

    def _seconds(self, group: str) -> float:
        """Return how long a variant took when its baselines were recorded; unknown comes first."""
        from pytest_modellab.baselines import file
        from pytest_modellab.errors import ModellabError

        if group not in self._config.variants:
            return 0.0
        total = 0.0
        for task_set in self._config.task_sets:
            path = file.path_of(self._config.baselines, task_set, group)
            try:
                baseline = file.read(path)
            except ModellabError:
                baseline = None
            if baseline is None:
                return math.inf
            total += baseline.run.probes.get("seconds", 0.0)
        return total


class VariantScheduling(LoadScheduling):
    """Hands out whole groups, the most expensive first; a dead worker's group goes on elsewhere.

    A worker starts its last test only when it knows that no other follows, so every worker gets
    its next group while one test of the last is still to come.

    Args:
        config: the session's.
        log: xdist's.
        group_of: node id → group.
        seconds: group → how long it is expected to take.
    """

    collection: list[str] | None
    pending: list[int]

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        *,
        group_of: Callable[[str], str],
        seconds: Callable[[str], float],
    ) -> None:
        super().__init__(config, log)
        self._group_of = group_of
        self._seconds = seconds

    def schedule(self) -> None:
        """Give every worker its first groups."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                self.log("**Different tests collected, aborting run**")
                return
            self.collection = next(iter(self.node2collection.values()))
            groups: dict[str, list[int]] = {}
            for index, nodeid in enumerate(self.collection):
                groups.setdefault(self._group_of(nodeid), []).append(index)
            order = sorted(groups, key=lambda name: (-self._seconds(name), name))
            self.pending[:] = [index for name in order for index in groups[name]]
            for node in self.nodes:
                self._send_group(node)
        for node in self.nodes:
            self.check_schedule(node)

    def check_schedule(self, node: WorkerController, duration: float = 0) -> None:
        """Keep at least two tests waiting on a worker, or tell it that none follow."""
        if node.shutting_down:
            return
        while self.pending and len(self.node2pending[node]) < 2:
            self._send_group(node)
        if not self.pending:
            node.shutdown()

    def _send_group(self, node: WorkerController) -> None:
        """Send the tests at the head of the queue that belong together."""
        if not self.pending:
            return
        assert self.collection is not None
        group = self._group_of(self.collection[self.pending[0]])
        count = 1
        while (
            count < len(self.pending)
            and self._group_of(self.collection[self.pending[count]]) == group
        ):
            count += 1
        self._send_tests(node, count)
