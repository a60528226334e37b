"""The proof: parts of the base are put into the candidate, and taken out again."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Any

from pytest_modellab.observatory import sites, tensors
from pytest_modellab.observatory.groups import Group
from pytest_modellab.observatory.run import BaseRun, hooked


@contextlib.contextmanager
def applied(run: BaseRun, candidate: Any, groups: Sequence[Group]) -> Iterator[Any]:
    """Have the base's part of some groups in place while the block lasts.

    Args:
        run: the base's.
        candidate: the model that is changed, and left as it was whatever happens.
        groups: whose parts.

    Yields:
        The model to run: the candidate, or the base with the candidate's leaves in it, where code
        cannot be exchanged alone.
    """
    base = run.subject.model
    paths = list(dict.fromkeys(p for g in groups if g.way == "modules" for p in g.paths))
    if any(group.way == "hybrid" for group in groups):
        there = [
            leaf.path
            for leaf in run.leaves
            if leaf.kind != "rope"
            and not _inside(leaf.path, paths)
            and sites.module(candidate, leaf.path) is not None
        ]
        with exchange(candidate, base, there):
            yield base
        return
    cores = list(dict.fromkeys(p for g in groups if g.way == "core" for p in g.paths))
    # what lies in a module that is exchanged comes with it
    paths = [path for path in paths if not _inside(path, [one for one in paths if one != path])]
    with exchange(base, candidate, paths), _cores(run, candidate, cores):
        yield candidate


@contextlib.contextmanager
def exchange(base: Any, candidate: Any, paths: Sequence[str]) -> Iterator[None]:
    """Put the base's modules into the candidate while the block lasts.

    Args:
        base: the model that is right.
        candidate: the model that is changed, and left as it was whatever happens.
        paths: of modules, in both.
    """
    with put({path: base.get_submodule(path) for path in paths}, candidate):
        yield


@contextlib.contextmanager
def put(modules: Mapping[str, Any], candidate: Any) -> Iterator[None]:
    """Put modules into a model at their paths while the block lasts."""
    kept: list[tuple[str, Any]] = []
    try:
        for path, new in modules.items():
            old = candidate.get_submodule(path)
            kept.append((path, old))
            candidate.set_submodule(path, fitted(new, old, candidate))
        yield
    finally:
        for path, old in reversed(kept):
            candidate.set_submodule(path, old)


@contextlib.contextmanager
def _cores(run: BaseRun, candidate: Any, paths: Sequence[str]) -> Iterator[None]:
    """Let the base's code run the candidate's projections, with the base's mask."""
    base = run.subject.model
    leaves = {leaf.path for leaf in run.leaves}
    modules = {
        path: core(base.get_submodule(path), candidate.get_submodule(path), path, leaves)
        for path in paths
    }
    masks = {
        path: {
            (len(part), len(part[0])): run.trace(i).masks.get(path)
            for i, part in enumerate(run.parts)
        }
        for path in paths
    }

    def give(path: str) -> Any:
        def hook(_module: Any, args: Any, kwargs: Any) -> Any:
            known = masks[path]
            shape = tuple(tensors.first(args, kwargs).shape[:2])
            if "attention_mask" not in kwargs or not (
                shape in known or all(mask is None for mask in known.values())
            ):
                return None
            return args, {**kwargs, "attention_mask": _fit(known.get(shape), args, kwargs)}

        return lambda: candidate.get_submodule(path).register_forward_pre_hook(
            hook, with_kwargs=True
        )

    with put(modules, candidate), hooked([give(path) for path in paths]):
        yield


def _fit(mask: Any, args: Any, kwargs: Any) -> Any:
    if not hasattr(mask, "dtype"):
        return mask
    given = tensors.first(args, kwargs)
    return mask.to(given.device, given.dtype if mask.is_floating_point() else mask.dtype)


def core(
    base: Any,
    candidate: Any,
    path: str,
    leaves: Set[str],
    parts: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """Give the base's code the candidate's leaves.

    Args:
        base: an attention, an MLP or a layer.
        candidate: the module at the same path.
        path: that.
        leaves: paths of all leaves.
        parts: path of a leaf → what stands for it where the candidate has none.

    Returns:
        A shallow copy of the base's module; where the candidate has no leaf, the base's is in it.
    """
    new = _shallow(base)
    for name, child in base.named_children():
        below = f"{path}.{name}"
        other = parts.get(below, getattr(candidate, name, None))
        if other is None:
            continue
        if below in leaves:
            new.register_module(name, other)
        elif any(leaf.startswith(f"{below}.") for leaf in leaves):
            new.register_module(name, core(child, other, below, leaves, parts))
    return new


def fitted(new: Any, old: Any, model: Any) -> Any:
    """A module that takes and gives what the one that it stands for does.

    Args:
        new: the module.
        old: the one in whose place it comes.
        model: that it comes into.

    Returns:
        The module itself; a copy where the dtype or device is another, or, where it is packed, one
        whose input and output are cast.
    """

    def where(module: Any) -> Any:
        tensor = next(module.parameters(), None)
        return None if tensor is None else (tensor.device, tensor.dtype)

    if where(new) is None or where(new) == where(old):
        return new
    device, dtype = next(new.parameters()).device, _floating(new, model)
    wanted = _floating(model, model)
    if _plain(new):  # as it would be in the candidate: rounded to its dtype
        home = next((one.device for one in old.parameters()), device)
        return copy.deepcopy(new).to(home, _floating(old, model))
    inner = new.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        given = tensors.first(args, kwargs)
        back = given.dtype if given.is_floating_point() else wanted
        args, kwargs = tensors.mapped((args, kwargs), lambda one: _cast(one, device, dtype))
        outputs = inner(*args, **kwargs)
        return tensors.mapped(outputs, lambda one: _cast(one, given.device, back))

    cast = _shallow(new)
    cast.forward = forward
    return cast


def _inside(path: str, others: Sequence[str]) -> bool:
    return any(f"{path}.".startswith(f"{other}.") for other in others)


def _shallow(module: Any) -> Any:
    """A copy of a module that shares its tensors; hooks and children of the copy are its own."""
    new = copy.copy(module)
    for name in ("_modules", "_forward_hooks", "_forward_pre_hooks"):
        vars(new)[name] = copy.copy(vars(module)[name])
    return new


def _plain(module: Any) -> bool:
    """Whether all of a module's parameters are floats as torch stores them."""
    import torch

    return all(
        one.is_floating_point() and type(one.data) is torch.Tensor for one in module.parameters()
    )


def _cast(tensor: Any, device: Any, dtype: Any) -> Any:
    return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)


def _floating(module: Any, otherwise: Any) -> Any:
    """The dtype that a module computes in; a packed one in its model's."""
    for one in module.parameters():
        if one.is_floating_point():
            return one.dtype
    return next(one.dtype for one in otherwise.parameters() if one.is_floating_point())
