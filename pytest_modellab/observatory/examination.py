"""What an examination knows: pictures and added probes are made of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

from pytest_modellab.observatory import transplant
from pytest_modellab.observatory.forced import Passes
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.probes import Probes
from pytest_modellab.observatory.proof import Proof
from pytest_modellab.observatory.run import BaseRun, Damage
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.weights import Weights
from pytest_modellab.records.diagnosis import Finding, WeightChange


@dataclasses.dataclass(frozen=True, eq=False)
class Examination:
    """All that was measured; the models are still loaded, and as they were.

    Attributes:
        base: what it is compared with.
        candidate: what is examined.
        probes: what both read.
        leaves: of the base, in call order.
        run: the base's.
        damage: the candidate's.
        passes: the forced passes.
        weights: a leaf each.
        groups: places that may be named, in the order of what enters there.
        findings: the first named first.
        culprit: the group that is named, or None.
        long: width of the long window.
        compared: the weights, with blocks and peers.
        struck: paths of leaves that differ while their branch computes the same.
        proof: what exchanging showed.
    """

    base: Subject
    candidate: Subject
    probes: Probes
    leaves: tuple[Leaf, ...]
    run: BaseRun
    damage: Damage
    passes: Passes
    weights: tuple[WeightChange, ...]
    groups: tuple[Group, ...] = ()
    findings: tuple[Finding, ...] = ()
    culprit: Group | None = None
    long: int = 128
    compared: Weights | None = None
    struck: frozenset[str] = frozenset()
    proof: Proof = dataclasses.field(default_factory=Proof)

    @contextlib.contextmanager
    def exchanged(self, group: Group | None = None) -> Iterator[Any]:
        """Let the candidate have the base's part of a group, the culprit's by default.

        Args:
            group: whose part.

        Yields:
            The model to run.
        """
        which = group or self.culprit
        groups = [] if which is None else [which]
        with transplant.applied(self.run, self.candidate.model, groups) as model:
            yield model
