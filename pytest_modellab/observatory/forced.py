"""Every module of the candidate is given what the base's took, so that no error can travel."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pytest_modellab.observatory import outcome, shares, sites, tensors
from pytest_modellab.observatory.run import BaseRun, Damage, Trace, forward, frozen, hooked
from pytest_modellab.observatory.sites import Leaf

END = "logits"
"""The path of the last node."""


Part = Literal["leaf", "glue", "end"]
Key = tuple[Part, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A place where an error can enter.

    Attributes:
        part: ``leaf``, its own output; ``glue``, the code in front of a leaf, a layer or the end;
            ``end``, the code behind the last leaf of an attention or an MLP.
        path: the module's, or :data:`END`.
        relative: mean over positions of ``‖error‖ / ‖reference‖``.
        nats: a token, that enter here to first order; None where it was not shared out.
        positions: ``‖error‖ / ‖reference‖`` of every position, a tensor a part of the windows.
        factor: the multiple of the reference that is closest to what was measured.
        finite: whether the error is.
        fits: whether what it is given is finite in the candidate's own dtype.
    """

    part: Part
    path: str
    relative: float
    nats: float | None
    positions: tuple[Any, ...]
    factor: float
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
    along: float = 0.0
    square: float = 0.0
    finite: bool = True
    fits: bool = True


def leaf_pass(run: BaseRun, found: Damage, model: Any) -> Passes:
    """Give every leaf the base's input and the next one the base's output.

    Layers are given the base's residual stream, and what attentions and MLPs return is replaced
    too, so that an error of code stays where it enters.

    Args:
        run: the base's.
        found: the candidate's damage; where it is finite, what enters is shared out in nats.
        model: the candidate's.

    Returns:
        The errors, and what they cost.
    """
    sums: dict[Key, _Sum] = {}
    masks: dict[str, bool] = {}
    gone = _missing(model, [leaf.path for leaf in run.leaves])
    layers = {sites.layer(leaf) for leaf in run.leaves}
    compared = outcome.of(run.subject.model)
    for number in range(len(run.parts)):
        trace = run.trace(number)
        gradients = (
            shares.gradients(
                trace, run.logprobs[number], found.logprobs[number], run.tokens, compared
            )
            if found.finite
            else {}
        )
        hooks = _Forcing(trace, gradients, sums)
        lost = _missing(model, trace.parts)
        there = [path for path in trace.parts if path not in lost]
        with (
            frozen(model),
            hooked(
                [
                    *(_masks(model, path, trace, masks) for path in there if path in trace.masks),
                    *hooks.leaves(model, [one.path for one in run.leaves if one.path not in gone]),
                    *hooks.parts(model, there, layers),
                ]
            ),
        ):
            hooks.end(_forward(model, trace))
    order = {key: i for i, key in enumerate(_order(run))}
    nodes = [
        _node(part, path, one, found.finite)
        for (part, path), one in sorted(sums.items(), key=lambda item: order[item[0]])
    ]
    glue = run.trace(0).glue
    called = {path for part, path in sums if part == "leaf"}
    return Passes(
        tuple(n for n in nodes if n.part == "leaf" or n.path in glue or n.relative or not n.finite),
        masks=masks,
        missing=tuple(leaf.path for leaf in run.leaves if leaf.path not in called),
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
    branches = list(dict.fromkeys(sites.branch(leaf) for leaf in run.leaves if leaf.branch))
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
                reference = trace.parts[path][0].outputs
                errors.setdefault(path, []).append(
                    by_position(tensors.floats(output)[:1], reference)[0].flatten()
                )

            return lambda: model.get_submodule(path).register_forward_hook(hook)

        gone = _missing(model, branches)
        ends = [path for path in branches if path not in gone]
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

    A node of several tensors is measured in all of them together, where they have the same
    positions, and else one after the other.
    """
    import torch

    errors: list[Any] = []
    squares: list[Any] = []
    sizes: list[Any] = []
    for value, reference in zip(values, references, strict=True):
        wanted = reference.detach().float()
        error = value.detach().to(wanted.device).float() - wanted
        errors.append(error)
        last = 1 if len(values) > 1 else 2  # a router's scores and choices are (tokens, experts)
        for one, found in ((error, squares), (wanted, sizes)):
            square = one.square()
            found.append(
                square.flatten(min(2, max(last, one.dim() - 1))).sum(-1)
                if one.dim() > last
                else square
            )
    size = sum(sizes)
    tiny = torch.finfo(torch.float32).tiny
    if len({one.shape for one in squares}) > 1:
        square = torch.cat([one.flatten() for one in squares])
        size = torch.cat([one.flatten() for one in sizes])
    else:
        square, size = sum(squares), sum(sizes)
    return (square / torch.clamp(size, min=tiny)).sqrt(), errors


def _lengths(tensor: Any) -> Any:
    """Squared lengths: of all behind the first two axes, of rows, or of numbers."""
    import torch

    if tensor.dim() > 2:
        tensor = tensor.flatten(2)
    if tensor.dim() > 1:
        return torch.linalg.vector_norm(tensor, dim=-1).square()
    return tensor.square()


class _Forcing:
    """The hooks of one pass over one part of the windows."""

    def __init__(self, trace: Trace, gradients: Mapping[int, Any], sums: dict[Key, _Sum]) -> None:
        self._trace = trace
        self._gradients = gradients
        self._sums = sums
        self._calls: dict[str, int] = {}

    def leaves(self, model: Any, paths: list[str]) -> Iterator[Any]:
        for path in paths:
            module = model.get_submodule(path)
            calls = self._trace.calls[path]
            yield self._before(module, path, calls, count=False)
            yield self._after(module, path, calls, "leaf")

    def parts(self, model: Any, paths: list[str], layers: set[str]) -> Iterator[Any]:
        for path in paths:
            module, calls = model.get_submodule(path), self._trace.parts[path]
            if path in layers:
                yield self._before(module, path, calls, count=True)
            else:
                yield self._after(module, path, calls, "end")

    def end(self, logits: Any) -> None:
        if logits.shape == self._trace.logits.shape:
            self._add(("glue", END), [logits], [self._trace.logits])

    def _before(self, module: Any, path: str, calls: Any, *, count: bool) -> Any:
        def hook(_module: Any, args: Any, kwargs: Any) -> Any:
            number = self._calls.get(path, 0)
            if count:
                self._calls[path] = number + 1
            given = tensors.first(args, kwargs)
            if number >= len(calls) or given.shape != calls[number].input.shape:
                return None
            wanted = calls[number].input
            right = tensors.like(wanted, given)
            if given.is_floating_point():
                one = self._add(("glue", path), [given], [wanted], [right])
                one.fits = one.fits and bool(right.isfinite().all())
            return tensors.put_first(args, kwargs, right.clone())

        return lambda: module.register_forward_pre_hook(hook, with_kwargs=True)

    def _after(self, module: Any, path: str, calls: Any, part: Part) -> Any:
        def hook(_module: Any, _args: Any, output: Any) -> Any:
            number = self._calls.get(path, 0)
            self._calls[path] = number + 1
            given = tensors.floats(output)
            if part == "end":
                given = given[:1]
            if number >= len(calls):
                return None
            wanted = calls[number].outputs
            if [one.shape for one in given] != [one.shape for one in wanted]:
                return None
            right = [tensors.like(one, own) for one, own in zip(wanted, given, strict=True)]
            self._add((part, path), given, wanted, None if part == "leaf" else right)
            return tensors.put_floats(output, [one.clone() for one in right])

        return lambda: module.register_forward_hook(hook)

    def _add(self, key: Key, given: Any, wanted: Any, right: Any = None) -> _Sum:
        """Measure what was given against what is wanted, or that in the candidate's dtype."""
        import torch

        one = self._sums.setdefault(key, _Sum())
        if len(given) == 1 and _equal_values(given[0], wanted[0]):  # of most leaves, at no cost
            one.positions.append(given[0].new_zeros(given[0].shape[:2], dtype=torch.float32))
            one.square += _dot(wanted[0].detach().float(), wanted[0].detach().float())
            return one
        relative, errors = by_position(given, right or wanted)
        one.positions.append(relative)
        if not bool(relative.isfinite().all()):
            one.finite = one.finite and all(bool(error.isfinite().all()) for error in errors)
        for error, reference in zip(errors, wanted, strict=True):
            known = reference.detach().float()
            one.along += _dot(error, known)
            one.square += _dot(known, known)
            gradient = self._gradients.get(id(reference))
            if gradient is not None:
                one.nats += 0.5 * _dot(error, gradient)
        return one


def _dot(one: Any, other: Any) -> float:
    """The sum of products: rows in float32, which is fast, and of these in float64."""
    import torch

    return float((one * other).sum(-1).sum(dtype=torch.float64))


def _equal_values(one: Any, other: Any) -> bool:
    """Whether two tensors by positions hold the same numbers."""
    import torch

    return bool(
        one.dim() > 2
        and one.dtype == other.dtype
        and one.device == other.device
        and torch.equal(one, other)
    )


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
    return frozenset(path for path in paths if sites.module(model, path) is None)


def _order(run: BaseRun) -> Iterator[Key]:
    """All nodes in call order."""
    ends: dict[str, int] = {}
    for i, leaf in enumerate(run.leaves):
        ends[sites.branch(leaf)] = i
    started: set[str] = set()
    for i, leaf in enumerate(run.leaves):
        layer = sites.layer(leaf)
        if layer and layer not in started:
            started.add(layer)
            yield "glue", layer
        yield "glue", leaf.path
        yield "leaf", leaf.path
        if leaf.branch and ends[sites.branch(leaf)] == i:
            yield "end", sites.branch(leaf)
    yield "glue", END


def _node(part: Part, path: str, one: _Sum, shared: bool) -> Node:
    import torch

    values = torch.cat([relative.flatten() for relative in one.positions]).double()
    return Node(
        part,
        path,
        values.mean().item(),
        one.nats if shared else None,
        tuple(one.positions),
        1.0 + one.along / one.square if one.square else 1.0,
        one.finite,
        one.fits,
    )
