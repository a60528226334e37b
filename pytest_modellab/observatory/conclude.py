"""The last step: what was declared is told from what went wrong, and what to do is said."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from pytest_modellab.errors import VariantLoadError
from pytest_modellab.observatory import expected as declaring
from pytest_modellab.observatory import remedy as remedies
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import sites
from pytest_modellab.observatory import weights as weighing
from pytest_modellab.observatory import whole as judging
from pytest_modellab.observatory.expected import Declared
from pytest_modellab.observatory.forced import Passes
from pytest_modellab.observatory.outcome import PREDICTIONS
from pytest_modellab.observatory.run import BaseRun, Damage
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.observatory.verdict import ADAPTED, NOTHING
from pytest_modellab.observatory.weights import Weights
from pytest_modellab.observatory.whole import Whole
from pytest_modellab.records.diagnosis import Remedy

_SHARE = 0.005
"""The part of the damage, up to which a candidate is as it was declared, whose kernels round."""


@dataclasses.dataclass(frozen=True, eq=False)
class AsDeclared:
    """A candidate beside what its plan makes of the base.

    Attributes:
        declared: what the plan says.
        expected: the base with that, or None where nothing is declared, or it cannot be made.
        beyond: nats a token, ``mean KL(expected || candidate)``; None without the former.
        weights: base and expected, compared; None without the former.
        notes: why it could not be made.
    """

    declared: Declared = dataclasses.field(default_factory=Declared)
    expected: Subject | None = None
    beyond: float | None = None
    weights: Weights | None = None
    notes: tuple[str, ...] = ()

    def differs(self, nats: float) -> bool:
        """Whether the candidate is something else than what was declared.

        Args:
            nats: its damage against the base.
        """
        kernels = 0.0 if self.declared.exact else _SHARE * nats
        return self.beyond is not None and not self.beyond <= max(NOTHING, kernels)

    def accounts(self, nats: float) -> bool:
        """Whether the candidate is its base, rounded as declared, and nothing else.

        Args:
            nats: its damage against the base.
        """
        rounds = self.declared.rounds and not self.declared.adapters
        return rounds and self.beyond is not None and not self.differs(nats)

    @property
    def changes(self) -> Mapping[str, float]:
        """Path of a leaf → what the plan changes of its weights, as a part of their size."""
        if self.weights is None:
            return {}
        return {one.leaf.path: one.relative for one in self.weights.changes if not one.note}


@dataclasses.dataclass(frozen=True)
class Concluded:
    """What is said where no place is named.

    Attributes:
        whole: the kind of change.
        remedy: what to do, or None.
    """

    whole: Whole
    remedy: Remedy | None = None


def as_declared(run: BaseRun, candidate: Subject, found: Damage) -> AsDeclared:
    """Make what the candidate's plan says of the base, and compare.

    Where :meth:`AsDeclared.differs` says so, diagnosing ``expected`` → candidate names what is not
    as declared: the background of the adapter or the rounding is gone there.

    Args:
        run: the base's.
        candidate: what is examined.
        found: its damage.

    Returns:
        Both compared; nothing where the plan declares nothing.
    """
    base = run.subject
    said = declaring.declared(candidate.plan, base.plan)
    if said.note:
        return AsDeclared(said, notes=(f"not compared with what was declared: {said.note}",))
    try:
        made = declaring.expected(candidate, base)
    except VariantLoadError as error:
        return AsDeclared(said, notes=(f"not compared with what was declared: {error}",))
    if made is None:
        return AsDeclared(said)
    beyond = _between(running.damage(run, made.model), found)
    if any(
        sites.module(made.model, leaf.path) is None for leaf in run.leaves
    ):  # fewer layers: other paths
        return AsDeclared(said, made, beyond)
    return AsDeclared(said, made, beyond, weighing.compare(base.model, made.model, run.leaves))


def whole(
    run: BaseRun,
    candidate: Subject,
    found: Damage,
    passes: Passes,
    weights: Weights,
    beside: AsDeclared,
    in_time: Callable[[], bool] = lambda: True,
) -> Concluded:
    """Say what kind of change it is where no place is to be named, and what to do about it.

    Args:
        run: the base's.
        candidate: what is examined; left as it was.
        found: its damage.
        passes: the forced passes.
        weights: base and candidate, compared.
        beside: of :func:`as_declared`.
        in_time: whether there is time to measure one more point of a remedy.

    Returns:
        An adapter, a rounding, or neither, with the remedy.
    """
    base, leaves = run.subject, run.leaves
    if (gone := _left_out(run, candidate)) is not None:
        return gone
    seen = judging.judge(base.model, candidate.model, weights)
    if beside.declared.rounds and beside.weights is not None:
        seen = judging.against_rounding(seen, weights, beside.weights)
    if beside.accounts(found.nats):  # also where most is kept in full precision
        seen = dataclasses.replace(seen, fault="uniform")
    full = None
    if beside.declared.adapters and beside.expected is not None and beside.weights is not None:
        made = beside.expected
        if beside.declared.rounds:
            made = declaring.expected(candidate, base, rounded=False) or made
            full = made.model
        seen = judging.against_adapter(seen, base.model, candidate.model, made.model, leaves)
    if seen.fault == "adapter":
        changed = [one.leaf.path for one in weights.changed]
        scales = judging.line_search(run, candidate.model, changed)
        pays = judging.layers_that_pay(passes, leaves)
        return Concluded(seen, remedies.less(candidate, seen, found.nats, pays, scales))
    if seen.fault == "uniform" and seen.likely:
        return Concluded(seen, Remedy(f"{seen.sentence.rpartition('; ')[2]}; {seen.likely}"))
    if seen.fault == "uniform" and found.nats >= ADAPTED:
        return Concluded(seen, remedies.keep(run, candidate, found, passes, in_time, full))
    return Concluded(seen)


def _left_out(run: BaseRun, candidate: Subject) -> Concluded | None:
    """A model with fewer layers: what is left of it is no change of the base as a whole."""
    layers: dict[int, bool] = {}
    for leaf in run.leaves:
        if leaf.layer is not None:
            layers[leaf.layer] = (
                layers.get(leaf.layer, False)
                or sites.module(candidate.model, leaf.path) is not None
            )
    gone = [str(number) for number, there in sorted(layers.items()) if not there]
    if not gone:
        return None
    many = len(gone) > 1
    said = f"{len(gone)} of the base's {len(layers)} layers {'are' if many else 'is'} left out"
    return Concluded(
        Whole(
            "unexplained",
            f"{said}: {', '.join(gone)}",
            headline=f"{said}, and none of them alone, put back, restores half"
            if many
            else f"{said}, and put back it does not restore half",
        ),
        Remedy("keep more layers, or train what is left for longer"),
    )


def _between(one: Damage, other: Damage) -> float:
    """``mean KL`` a token of two models that were run on the same probes."""
    total, count = 0.0, 0
    for mine, theirs in zip(one.logprobs, other.logprobs, strict=True):
        kl = PREDICTIONS.apart(mine, theirs)
        total += kl.double().sum().item()
        count += kl.numel()
    return total / count
