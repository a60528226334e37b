"""The class of what happened to one leaf of two models, or to one block of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_modellab.observatory import classes, fused
from pytest_modellab.observatory.classes import Context
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.weights import VOCABULARY, Block, Change, Weights, pair

_PEERS = 5


def fault(
    base_model: Any, candidate_model: Any, weights: Weights, path: str, block: Block | None = None
) -> str:
    """Name what happened to a leaf's weights.

    Args:
        base_model: what is compared with.
        candidate_model: what is examined.
        weights: of both, compared.
        path: the leaf's, in the base.
        block: the head that is looked at alone; the whole leaf where None.

    Returns:
        A class with its arguments; ``none`` where the weights are equal or cannot be compared.
    """
    change = weights.by_path.get(path)
    read = pair(base_model, candidate_model, change.leaf) if change is not None else ""
    if change is None or isinstance(read, str) or not change.relative:
        return "none"
    mine, theirs = read
    usual = _tolerance(weights, change)
    if mine.weight.dim() == 1:
        return classes.vector(mine.weight, theirs.weight, usual)
    base, candidate = (one.weight.reshape(len(one.weight), -1) for one in read)
    if mine.bias is not None and theirs.bias is not None and bool((base == candidate).all()):
        return classes.vector(mine.bias, theirs.bias, usual)

    def cut(matrix: Any) -> Any:
        return matrix if block is None else block.cut(matrix)

    context = Context(
        usual=usual,
        vocabulary=change.leaf.kind in VOCABULARY,
        others=lambda: _others(base_model, weights, change, block, base),
        peers=lambda: map(cut, _peers(candidate_model, base_model, weights, change)),
    )
    return classes.matrix(cut(base), cut(candidate), context)


def _tolerance(weights: Weights, change: Change) -> float:
    """What peers have; of all kinds together where the leaf's whole kind stands out with it."""
    whole = _with_its_kind(weights, change)
    figure = weights.linear if whole or change.usual is None else change.usual
    return figure.relative


def _with_its_kind(weights: Weights, change: Change) -> bool:
    """Whether a leaf is like its kind, and the kind like no other: its kind is no yardstick."""
    return change.leaf.kind in weights.kinds and not change.stands_out


def _others(
    model: Any, weights: Weights, change: Change, block: Block | None, own: Any
) -> Iterator[tuple[str, Any]]:
    """What a matrix may be a copy of: its kind in other layers, and its likes in its own layer."""
    leaf = change.leaf
    if leaf.layer is None:
        return
    if block is not None:
        stem = leaf.site.rpartition(".")[0]
        for other in change.blocks:
            if other.name != block.name:
                yield f"{stem}.{other.name}", other.cut(own)
    for other_change in weights.changes:
        other_leaf = other_change.leaf
        if other_leaf.path == leaf.path or other_leaf.layer is None:
            continue
        if other_leaf.kind != leaf.kind and (
            other_leaf.layer != leaf.layer or other_leaf.branch != leaf.branch
        ):
            continue
        read = fused.read(model, other_leaf)
        if read is None or read.weight.dim() < 2:
            continue
        matrix = read.weight.reshape(len(read.weight), -1)
        if matrix.shape != own.shape:
            continue
        site = other_leaf.site
        if block is not None:
            site = f"{site.rpartition('.')[0]}.{block.name}"
            matrix = block.cut(matrix)
        yield site, matrix


def _peers(model: Any, base_model: Any, weights: Weights, change: Change) -> Iterator[Any]:
    """A few of the candidate's matrices of the same kind, or of usual kinds, that are usual."""
    other_kinds = _with_its_kind(weights, change)
    usual: list[Leaf] = [
        other.leaf
        for other in weights.changes
        if not other.stands_out
        and not other.note
        and (
            other.leaf.layer is not None and other.leaf.kind not in weights.kinds
            if other_kinds
            else other.leaf.kind == change.leaf.kind
        )
        and not other.leaf.norm
    ]
    step = max(1, len(usual) // _PEERS)
    for leaf in usual[::step][:_PEERS]:
        like = base_model.get_submodule(leaf.path)
        read = fused.read(model, leaf, like, getattr(model, "dtype", None))
        if read is not None:
            yield read.weight.reshape(len(read.weight), -1)
