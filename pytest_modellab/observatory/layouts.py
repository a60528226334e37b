"""A candidate with fewer layers, or with fused or split projections, is given the base's layout.

Weights stay the candidate's; what stands in for a layer that was left out passes its input on, and
a fused matrix is cut into the base's projections. Everything is taken back at the end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from pytest_modellab.observatory import fused, sites, tensors, transplant
from pytest_modellab.observatory.sites import Leaf

ALIKE = 0.3
"""Mean cosine of the matched layers' projections, below which layers are no relatives."""


@contextlib.contextmanager
def aligned(base: Any, candidate: Any) -> Iterator[tuple[str, ...]]:
    """Have the candidate in the base's layout while the block lasts.

    Args:
        base: whose layout.
        candidate: changed meanwhile, and left as it was whatever happens.

    Yields:
        Notes on what was done.
    """
    with contextlib.ExitStack() as stack:
        notes = []
        leaves = sites.leaves(base)
        for change in (_layers, _projections):
            note = stack.enter_context(change(base, candidate, leaves))
            notes.extend([note] if note else [])
        yield tuple(notes)


def fewer(base: Any, candidate: Any) -> tuple[int, ...] | None:
    """Match a candidate's layers with the base's, where it has fewer.

    Args:
        base: a model.
        candidate: a model.

    Returns:
        The base's number of each of the candidate's layers, in order; None where they are as many,
        or no relatives.
    """
    ours = _vectors(base)
    theirs = _vectors(candidate)[: getattr(fused.text(candidate), "num_hidden_layers", None)]
    if not 0 < len(theirs) < len(ours) or len(ours[0]) != len(theirs[0]):
        return None
    if any(len(a) != len(b) for a, b in zip(ours[0], theirs[0], strict=True)):
        return None
    likeness = [
        [sum(float(a @ b) for a, b in zip(row, one, strict=True)) / len(row) for row in ours]
        for one in theirs
    ]
    chosen = _monotone(likeness)
    mean = sum(likeness[j][i] for j, i in enumerate(chosen)) / len(chosen)
    return tuple(chosen) if mean > ALIKE else None


@contextlib.contextmanager
def _layers(base: Any, candidate: Any, leaves: Sequence[Leaf]) -> Iterator[str]:
    chosen = fewer(base, candidate)
    if chosen is None:
        yield ""
        return
    import torch

    path = next(name for leaf in leaves if (name := sites.layer(leaf))).rpartition(".")[0]
    held = candidate.get_submodule(path)
    count = len(base.get_submodule(path))
    wide = torch.nn.ModuleList(
        held[chosen.index(number)] if number in chosen else _passing() for number in range(count)
    )
    config = fused.text(candidate)
    before = config.num_hidden_layers
    try:
        candidate.set_submodule(path, wide)
        config.num_hidden_layers = count
        left = [str(number) for number in range(count) if number not in chosen]
        yield f"it has {len(chosen)} of the base's {count} layers; left out: {', '.join(left)}"
    finally:
        config.num_hidden_layers = before
        candidate.set_submodule(path, held)


@contextlib.contextmanager
def _projections(base: Any, candidate: Any, leaves: Sequence[Leaf]) -> Iterator[str]:
    made: dict[str, dict[str, Any]] = {}
    for leaf in leaves:
        path = sites.branch(leaf)
        there, found = (sites.module(candidate, one) for one in (leaf.path, path))
        if not path or there is not None or found is None:
            continue
        weights = fused.read(candidate, leaf, base.get_submodule(leaf.path))
        wanted = fused.read(base, leaf)
        if weights is None or wanted is None or weights.weight.shape != wanted.weight.shape:
            continue
        made.setdefault(path, {})[leaf.path] = _linear(weights, candidate)
    known = {leaf.path for leaf in leaves}
    modules = {
        path: transplant.core(
            base.get_submodule(path), candidate.get_submodule(path), path, known, parts
        )
        for path, parts in made.items()
    }
    with transplant.put(modules, candidate):
        yield (
            f"projections of {len(modules)} attentions or MLPs are fused or split otherwise: they "
            "are compared as the base has them, in the base's code"
            if modules
            else ""
        )


def _passing() -> Any:
    import torch

    module: Any = torch.nn.Identity()
    module.forward = tensors.first_of
    return module


def _linear(weights: Any, candidate: Any) -> Any:
    import torch

    rows, columns = weights.weight.shape
    dtype = next(one.dtype for one in candidate.parameters() if one.is_floating_point())
    module = torch.nn.Linear(columns, rows, bias=weights.bias is not None)
    with torch.no_grad():
        module.weight.copy_(weights.weight)
        if weights.bias is not None:
            module.bias.copy_(weights.bias)
    return module.to(weights.weight.device, dtype).requires_grad_(False).eval()


def _vectors(model: Any) -> list[list[Any]]:
    """Of each layer, what its attention and its MLP end with, as unit vectors."""
    import torch

    rows: dict[int, dict[str, Leaf]] = {}
    for leaf in sites.leaves(model):
        if leaf.layer is not None and leaf.branch and not leaf.norm and leaf.kind != "rope":
            rows.setdefault(leaf.layer, {})[leaf.branch] = leaf  # the last one stays
    found = []
    for _, last in sorted(rows.items()):
        read = [fused.read(model, leaf) for _, leaf in sorted(last.items())]
        found.append(
            [
                torch.nn.functional.normalize(one.weight.flatten().cpu(), dim=0)
                for one in read
                if one is not None
            ]
        )
    return found


def _monotone(likeness: list[list[float]]) -> list[int]:
    """The increasing choice of columns, one a row, with the largest sum."""
    columns = len(likeness[0])
    best: list[tuple[float, list[int]]] = [(0.0, [])] * (columns + 1)
    for row in likeness:
        above, best = best, [(float("-inf"), [])] * (columns + 1)
        for i in range(columns):
            taken = (above[i][0] + row[i], [*above[i][1], i])
            best[i + 1] = max(best[i], taken, key=lambda one: one[0])
    return best[-1][1]
