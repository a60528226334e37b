"""The candidate as it was declared: made of the base in float32, to be compared with what is there.

What a plan declares is no fault. An adapter or a rounding moves every answer, by more than most
faults do, so a candidate is compared twice: with the base, and with the base as the plan says that
it is changed. Where it is not the latter, something went wrong on the way.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

from pytest_modellab.engines.loading import quiet
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.observatory import rounding
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.diagnosis import Side
from pytest_modellab.variants.methods import skipping
from pytest_modellab.variants.plan import Plan, Step

NAME = "the candidate as declared"

_CACHE = "kv-cache"
"""A method that changes no weight."""

_ROUGH = ("bitsandbytes-nf4", "bitsandbytes-fp4", "bitsandbytes-int8", "torchao-int8")
"""Methods that compute in half precision, or round activations as well."""

_STEP = "rtn"
"""A method that is a step of its own name."""


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a plan says is done to the base.

    Attributes:
        before: changes that come before the weights are rounded.
        settings: how the weights are rounded; empty where they are not.
        skipped: names of modules that are not rounded.
        after: changes that come behind that.
        note: why the candidate cannot be made of this base; empty where it can.
        exact: whether what is made computes as the candidate does.
    """

    before: tuple[Step, ...] = ()
    settings: tuple[tuple[str, Any], ...] = ()
    skipped: tuple[str, ...] = ()
    after: tuple[Step, ...] = ()
    note: str = ""
    exact: bool = True

    @property
    def adapters(self) -> tuple[Step, ...]:
        """The adapters among the changes."""
        return tuple(step for step in (*self.before, *self.after) if step.name == "adapter")

    @property
    def rounds(self) -> bool:
        """Whether weights are rounded."""
        return bool(self.settings)

    @property
    def changes(self) -> bool:
        """Whether anything is declared that changes the weights."""
        return bool(self.before or self.after or self.settings)


def declared(plan: Plan | None, base: Plan | None) -> Declared:
    """Read what a candidate's plan changes of its base.

    Args:
        plan: the candidate's, or None for a plain model.
        base: the base's.

    Returns:
        The changes; nothing with a note where they start from something else.
    """
    if plan is None or base is None:
        return Declared()
    if plan.open is not None or base.open is not None:
        return Declared(note="another engine runs it, so its weights cannot be made here")
    if plan.model != base.model or plan.weights != base.weights:
        return Declared(
            note="it has weights of its own, and no plan says how they follow from the base"
        )
    done = [_identity(step) for step in (*base.baked, *base.steps)]
    before, after = list(plan.baked), list(plan.steps)
    settings = dict(plan.quantization)
    if base.quantization:
        if dict(base.quantization) != settings:
            return Declared(note="its base is quantized in another way")
        settings = {}
    while done and before and _identity(before[0]) == done[0]:
        done.pop(0), before.pop(0)
    if done and (before or settings):
        return Declared(note="its base has changes that it has not, or has them rounded")
    while done and after and _identity(after[0]) == done[0]:
        done.pop(0), after.pop(0)
    if done:
        return Declared(note="its base has changes that it has not")
    if settings.get("method") == _CACHE:
        settings = {}
    if settings and rounding.of(settings) is None:
        return Declared(note=f"how {settings.get('method')!r} rounds is not known here")
    rest = tuple(step for step in after if step.name != _STEP)
    exact = plan.dtype == "float32" and plan.quantization.get("method") not in _ROUGH
    return Declared(tuple(before), tuple(settings.items()), plan.skipped, rest, exact=exact)


def expected(subject: Subject, base: Subject, *, rounded: bool = True) -> Subject | None:
    """Make the candidate of the base, as its plan says.

    The base's weights are changed in float32 on its own device, whatever library or dtype the
    candidate is computed with: what that costs is then part of what differs.

    Args:
        subject: the candidate.
        base: what it is made of; left as it is.
        rounded: whether a declared rounding is applied.

    Returns:
        A model of its own; None where nothing is declared that changes weights, or where
        :func:`declared` notes why it cannot be made.

    Raises:
        VariantLoadError: a declared change cannot be applied to this base.
    """
    said = declared(subject.plan, base.plan)
    if said.note or not said.changes:
        return None
    with quiet():
        model = _copied(base)
        model = _changed(model, said.before)
        if rounded and said.settings:
            _round(model, dict(said.settings), said.skipped)
        model = _changed(model, said.after).eval()
    model.requires_grad_(False)
    return Subject(Side(NAME), model, base.tokenizer, subject.cache, subject.plan)


def _identity(step: Step) -> tuple[str, Any]:
    """What a change is, merged or beside the weights."""
    return step.name, {key: value for key, value in step.settings.items() if key != "merged"}


def _copied(base: Subject) -> Any:
    model = copy.deepcopy(base.model)
    return model if base.plan is not None and base.plan.quantization else model.float()


def _changed(model: Any, steps: Sequence[Step]) -> Any:
    for step in steps:
        try:
            model = (step.bake or step.apply)(model)
        except VariantLoadError:
            if step.bake is None:
                raise
            model = step.apply(model)  # what cannot be merged, as into packed weights
    return model


def _round(model: Any, settings: dict[str, Any], skipped: Sequence[str]) -> None:
    import torch

    apply = rounding.of(settings)
    assert apply is not None
    kept = skipping.paths(model, skipped)
    with torch.no_grad():
        for path, module in skipping.linear(model):
            if path not in kept and isinstance(module, torch.nn.Linear):
                module.weight.copy_(apply(module.weight))
