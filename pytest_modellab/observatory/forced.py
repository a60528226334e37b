"""Every module of the candidate is given what the base's took, so that no error can travel."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pytest_modellab.observatory import shares, tensors
from pytest_modellab.observatory.run import BaseRun, Damage, Trace, forward, frozen, hooked
from pytest_modellab.observatory.sites import Leaf

END = "logits"
"""The path of the last node."""


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A place where an error can enter.

    Attributes:
        part: a leaf's own output, or the code in front of it.
        path: the leaf's, or :data:`END`.
        relative: mean over positions of ``‖error‖ / ‖reference‖``.
        nats: a token, that enter here to first order; None where it was not shared out.
        positions: ``‖error‖ / ‖reference‖`` of every position, a tensor a part of the windows.
        finite: whether the error is.
        fits: whether what it is given is finite in the candidate's own dtype.
    """

    part: Literal["leaf", "glue"]
    path: str
    relative: float
    nats: float | None
    positions: tuple[Any, ...]
    finite: bool
    fits: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Passes:
    """What the forced passes measured.

    Attributes:
        nodes: in call order.
        branches: attention's or MLP's path → the error at its end, from the base's residual stream.
        masks: attention's path → whether its mask is the base's.
        missing: paths of the base's leaves that the candidate lacks, or never calls.
    """

    nodes: tuple[Node, ...]
    branches: Mapping[str, float] = dataclasses.field(default_factory=dict)
    masks: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def node(self, part: str, path: str) -> Node | None:
        """The node at a path, or None."""
        return next((n for n in self.nodes if n.part == part and n.path == path), None)


@dataclasses.dataclass
class _Sum:
    """What is known of a node so far."""

    positions: list[Any] = dataclasses.field(default_factory=list)
    nats: float = 0.0
    finite: bool = True
    fits: bool = True


def leaf_pass(run: BaseRun, found: Damage, model: Any) -> Passes:
    """Give every leaf the base's input and the next one the base's output.

    Args:
        run: the base's.
        found: the candidate's damage; where it is finite, what enters is shared out in nats.
        model: the candidate's.

    Returns:
        The errors, and what they cost.
    """
    sums: dict[tuple[str, str], _Sum] = {}
    masks: dict[str, bool] = {}
    missing = _missing(model, [leaf.path for leaf in run.leaves])
    for number in range(len(run.parts)):
        trace = run.trace(number)
        gradients = (
            shares.gradients(trace, run.logprobs[number], found.logprobs[number], run.tokens)
            if found.finite
            else {}
        )
        hooks = _Forcing(trace, gradients, sums)
        attentions = [path for path in trace.masks if path not in _missing(model, trace.masks)]
        with (
            frozen(model),
            hooked(
                [
                    *hooks.on(
                        model, [leaf.path for leaf in run.leaves if leaf.path not in missing]
                    ),
                    *(_masks(model, path, trace, masks) for path in attentions),
                ]
            ),
        ):
            hooks.end(_forward(model, trace))
    order = {key: i for i, key in enumerate(_order(run))}
    nodes = sorted(sums.items(), key=lambda item: order[item[0]])
    uncalled = {path for part, path in order if part == "leaf"} - {path for _, path in sums}
    return Passes(
        tuple(_node(part, path, one, found.finite) for (part, path), one in nodes),
        masks=masks,
        missing=tuple(leaf.path for leaf in run.leaves if leaf.path in uncalled),
    )


def branch_pass(run: BaseRun, passes: Passes, model: Any) -> Passes:
    """Give only the norms in front of attentions and MLPs the base's input.

    Args:
        run: the base's.
        passes: the leaf pass.
        model: the candidate's.

    Returns:
        The same, with the branches' errors.
    """
    import torch

    fronts = [path for path in fronting(run.leaves) if path not in passes.missing]
    errors: dict[str, list[Any]] = {}
    for number in range(len(run.parts)):
        trace = run.trace(number)

        def give(path: str, trace: Trace = trace) -> Any:
            def hook(_module: Any, args: Any, kwargs: Any) -> Any:
                given = tensors.first(args, kwargs)
                right = tensors.like(trace.calls[path][0].input, given)
                return tensors.put_first(args, kwargs, right.clone())

            return lambda: model.get_submodule(path).register_forward_pre_hook(
                hook, with_kwargs=True
            )

        def measure(path: str, trace: Trace = trace) -> Any:
            def hook(_module: Any, _args: Any, output: Any) -> None:
                reference = trace.branches[path][0].outputs
                errors.setdefault(path, []).append(
                    by_position(tensors.floats(output)[:1], reference)[0].flatten()
                )

            return lambda: model.get_submodule(path).register_forward_hook(hook)

        gone = _missing(model, trace.branches)
        ends = [path for path in trace.branches if path not in gone]
        with frozen(model), hooked([*map(give, fronts), *map(measure, ends)]):
            logits = _forward(model, trace)
        if logits.shape == trace.logits.shape:
            errors.setdefault(END, []).append(by_position([logits], [trace.logits])[0].flatten())
    means = {path: torch.cat(rows).double().mean().item() for path, rows in errors.items()}
    return dataclasses.replace(passes, branches=means)


def fronting(leaves: tuple[Leaf, ...]) -> list[str]:
    """Norms that an attention, an MLP or the head follows directly."""
    return [
        one.path
        for one, following in itertools.pairwise(leaves)
        if one.norm
        and not one.branch
        and ((following.branch and one.layer == following.layer) or following.kind == "lm_head")
    ]


def by_position(values: Any, references: Any) -> tuple[Any, Any]:
    """``‖error‖ / ‖reference‖`` of every position, and the errors.

    A node of several tensors is measured in all of them together, over their last axes.
    """
    import torch

    errors, squares, sizes = [], [], []
    for value, reference in zip(values, references, strict=True):
        wanted = reference.detach().float()
        error = value.detach().to(wanted.device).float() - wanted
        errors.append(error)
        squares.append(error.square().flatten(2).sum(-1) if error.dim() > 2 else error.square())
        sizes.append(wanted.square().flatten(2).sum(-1) if error.dim() > 2 else wanted.square())
    size = sum(sizes)
    tiny = torch.finfo(torch.float32).tiny
    return (sum(squares) / torch.clamp(size, min=tiny)).sqrt(), errors


class _Forcing:
    """The hooks of one pass over one part."""

    def __init__(self, trace: Trace, gradients: Mapping[Any, Any], sums: dict[Any, _Sum]) -> None:
        self._trace = trace
        self._gradients = gradients
        self._sums = sums
        self._calls: dict[str, int] = {}

    def on(self, model: Any, paths: list[str]) -> Iterator[Any]:
        for path in paths:
            module = model.get_submodule(path)
            yield lambda m=module, p=path: m.register_forward_pre_hook(
                self._arriving(p), with_kwargs=True
            )
            yield lambda m=module, p=path: m.register_forward_hook(self._leaving(p))

    def end(self, logits: Any) -> None:
        if self._trace.logits_glue and logits.shape == self._trace.logits.shape:
            self._add(("glue", END), 0, [logits], [self._trace.logits])

    def _arriving(self, path: str) -> Any:
        def hook(_module: Any, args: Any, kwargs: Any) -> Any:
            number = self._calls.get(path, 0)
            calls = self._trace.calls[path]
            if number >= len(calls):
                return None
            given, wanted = tensors.first(args, kwargs), calls[number].input
            if given.shape != wanted.shape:
                return None
            right = tensors.like(wanted, given)
            if path in self._trace.glue:
                self._add(("glue", path), number, [given], [wanted])
                if not bool(right.isfinite().all()):
                    self._sums[("glue", path)].fits = False
            return tensors.put_first(args, kwargs, right.clone())

        return hook

    def _leaving(self, path: str) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            number = self._calls.get(path, 0)
            self._calls[path] = number + 1
            calls = self._trace.calls[path]
            given = tensors.floats(output)
            if number >= len(calls) or [one.shape for one in given] != [
                one.shape for one in calls[number].outputs
            ]:
                return None
            wanted = calls[number].outputs
            self._add(("leaf", path), number, given, wanted)
            right = [
                tensors.like(one, other).clone() for one, other in zip(wanted, given, strict=True)
            ]
            return tensors.put_floats(output, right)

        return hook

    def _add(self, key: tuple[str, str], number: int, given: Any, wanted: Any) -> None:
        one = self._sums.setdefault(key, _Sum())
        relative, errors = by_position(given, wanted)
        one.positions.append(relative)
        one.finite = one.finite and all(bool(error.isfinite().all()) for error in errors)
        for error, gradient in zip(errors, self._gradients.get((*key, number), ()), strict=False):
            if gradient is not None:
                one.nats += 0.5 * (error * gradient).double().sum().item()


def _forward(model: Any, trace: Trace) -> Any:
    import torch

    with torch.no_grad():
        return forward(model, trace.windows)


def _masks(model: Any, path: str, trace: Trace, same: dict[str, bool]) -> Any:
    def hook(_module: Any, _args: Any, kwargs: Any) -> None:
        mask, wanted = kwargs.get("attention_mask"), trace.masks[path]
        same[path] = same.get(path, True) and _equal(mask, wanted)

    return lambda: model.get_submodule(path).register_forward_pre_hook(hook, with_kwargs=True)


def _equal(mask: Any, wanted: Any) -> bool:
    """Whether two masks hide the same positions, whatever their dtype."""
    if mask is None or wanted is None:
        return mask is wanted
    if not hasattr(mask, "dtype") or not hasattr(wanted, "dtype"):
        return True
    if mask.shape != wanted.shape:
        return False
    return bool((_hides(mask) == _hides(wanted.to(mask.device))).all())


def _hides(mask: Any) -> Any:
    return ~mask if str(mask.dtype) == "torch.bool" else mask.float() < -1.0


def _missing(model: Any, paths: Any) -> frozenset[str]:
    gone = []
    for path in paths:
        try:
            model.get_submodule(path)
        except AttributeError:
            gone.append(path)
    return frozenset(gone)


def _order(run: BaseRun) -> Iterator[tuple[str, str]]:
    for leaf in run.leaves:
        yield "glue", leaf.path
        yield "leaf", leaf.path
    yield "glue", END


def _node(part: Any, path: str, one: _Sum, shared: bool) -> Node:
    import torch

    values = torch.cat([relative.flatten() for relative in one.positions]).double()
    return Node(
        part,
        path,
        values.mean().item(),
        one.nats if shared else None,
        tuple(one.positions),
        one.finite,
        one.fits,
    )
