"""How far each leaf's effective weights are from the base's, and what stands out among peers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.observatory import fused, sites
from pytest_modellab.observatory import usual as peers
from pytest_modellab.observatory.effective import Effective
from pytest_modellab.observatory.sites import Leaf
from pytest_modellab.observatory.usual import Usual
from pytest_modellab.records.diagnosis import WeightChange

_BLOCK = 1 << 19
"""Elements that are compared at once: what stays in a processor's cache."""

VOCABULARY = ("embedding", "lm_head")
_HEADED = ("q_proj", "k_proj", "v_proj", "o_proj")
_LEAST = 1e-30


@dataclasses.dataclass(frozen=True)
class Block:
    """A part of a leaf that has peers of its own: an attention head, an expert.

    Attributes:
        name: ``head.3``, ``kv_head.1``, ``expert.5``.
        start: the first row, or column.
        stop: behind the last.
        columns: whether it is columns of the matrix, and not rows.
        relative: its change.
        z: how many spreads that is above what is usual for such blocks.
    """

    name: str
    start: int
    stop: int
    columns: bool
    relative: float = 0.0
    z: float = 0.0

    @property
    def stands_out(self) -> bool:
        """Whether it is far beyond its peers."""
        return self.z > peers.STANDS_OUT

    def cut(self, matrix: Any) -> Any:
        """Take the block out of a matrix."""
        return matrix[:, self.start : self.stop] if self.columns else matrix[self.start : self.stop]


@dataclasses.dataclass(frozen=True)
class Change:
    """How far one leaf's effective weights are from the base's.

    Attributes:
        leaf: which.
        relative: ``‖W_C - W_B‖ / ‖W_B‖`` with the bias in both; infinite where the candidate's is
            not finite.
        usual: what its peers have, or None where it was not compared.
        z: how many spreads it is above that.
        stands_out: itself, a block of it, or rows of it.
        blocks: heads or experts, in order; none where the leaf has no such parts.
        rows: of a vocabulary, the rows that stand out.
        finite: whether every weight of the candidate is finite, or those of the base are not.
        note: why it could not be compared; empty where it was.
    """

    leaf: Leaf
    relative: float = 0.0
    usual: Usual | None = None
    z: float = 0.0
    stands_out: bool = False
    blocks: tuple[Block, ...] = ()
    rows: int = 0
    finite: bool = True
    note: str = ""

    @property
    def blocks_apart(self) -> tuple[Block, ...]:
        """Blocks that stand out, at most a third, each by more than three times all others."""
        if not self.finite:  # one value is no head's fault
            return ()
        ordered = sorted(self.blocks, key=lambda block: -block.relative)
        if not ordered:
            return ()
        for count in range(max(1, len(ordered) // 3), 0, -1):
            rest = ordered[count:]
            least = ordered[count - 1]
            if rest and least.stands_out and least.relative > 3 * rest[0].relative:
                apart = {block.name for block in ordered[:count]}
                return tuple(block for block in self.blocks if block.name in apart)
        return ()


@dataclasses.dataclass(frozen=True)
class Weights:
    """All leaves that hold weights, compared.

    Attributes:
        changes: a leaf each, in call order.
        kinds: kinds of projections that stand out as a whole.
        linear: what is usual over all linear leaves of the layers.
    """

    changes: tuple[Change, ...]
    kinds: tuple[str, ...]
    linear: Usual

    @property
    def by_path(self) -> Mapping[str, Change]:
        """Path in the base → change."""
        return {change.leaf.path: change for change in self.changes}

    @property
    def changed(self) -> tuple[Change, ...]:
        """Leaves that differ at all."""
        return tuple(change for change in self.changes if change.relative > 0)

    def records(self) -> tuple[WeightChange, ...]:
        """Give what reports show."""
        return tuple(
            WeightChange(
                site=change.leaf.site,
                relative=change.relative if math.isfinite(change.relative) else 1e9,
                usual=None if change.usual is None else change.usual.relative,
                stands_out=change.stands_out,
            )
            for change in self.changes
            if not change.note
        )


@dataclasses.dataclass(frozen=True)
class _Measured:
    """A change before its peers are known, with the relative changes of a vocabulary's rows."""

    change: Change
    rows: Any = None


def compare(base_model: Any, candidate_model: Any, leaves: Sequence[Leaf]) -> Weights:
    """Compare the effective weights of two models, one leaf at a time.

    Args:
        base_model: what is compared with.
        candidate_model: what is examined; its modules of the same paths count.
        leaves: of the base.

    Returns:
        What differs, what is usual among peers, and what stands out.
    """
    import torch

    measured: list[_Measured] = []
    seen: dict[tuple[int, int], _Measured] = {}
    with torch.no_grad():
        for leaf in leaves:
            key = (_stored_at(base_model, leaf.path), _stored_at(candidate_model, leaf.path))
            twin = seen.get(key) if all(key) else None
            if twin is not None:  # one tensor, two leaves
                twin = dataclasses.replace(twin, change=dataclasses.replace(twin.change, leaf=leaf))
            found = twin or _measured(base_model, candidate_model, leaf)
            if found is not None:
                measured.append(found)
                seen.setdefault(key, found)
    return _judged(measured)


def pair(base_model: Any, candidate_model: Any, leaf: Leaf) -> tuple[Effective, Effective] | str:
    """Read one leaf's effective weights of both models, on the base's device.

    Returns:
        The base's and the candidate's; or why they cannot be compared, empty where the leaf holds
        no weights.
    """
    mine = fused.read(base_model, leaf)
    if mine is None:
        return ""
    theirs = fused.read(
        candidate_model,
        leaf,
        base_model.get_submodule(leaf.path),
        getattr(candidate_model, "dtype", None),
    )
    if theirs is None:
        return "the candidate has no such module, or one whose weights cannot be read"
    if mine.weight.shape != theirs.weight.shape:
        return f"{_shape(theirs.weight)} in place of {_shape(mine.weight)}"
    home = mine.weight.device
    return mine, Effective(
        theirs.weight.to(home), None if theirs.bias is None else theirs.bias.to(home)
    )


def _measured(base_model: Any, candidate_model: Any, leaf: Leaf) -> _Measured | None:
    read = pair(base_model, candidate_model, leaf)
    if isinstance(read, str):
        return _Measured(Change(leaf, note=read)) if read else None
    mine, theirs = read
    base, candidate = _flat(mine.weight), _flat(theirs.weight)
    spans = _spans(base_model, leaf, len(base), base.shape[1])
    extra = _bias_squares(mine.bias, theirs.bias, len(base))
    if not extra[1] and _equal(base, candidate):
        return _Measured(Change(leaf, blocks=spans))
    rows, columns = _squares(base, candidate, by_columns=any(span.columns for span in spans))
    norm, change = float(rows[0].sum()) + extra[0], float(rows[1].sum()) + extra[1]
    found = Change(
        leaf,
        _quotient(change, norm),
        blocks=tuple(_with_relative(span, columns if span.columns else rows) for span in spans),
        finite=math.isfinite(change) or not math.isfinite(norm),
    )
    by_row = None
    if leaf.kind in VOCABULARY:
        lengths = rows[0].sqrt()
        by_row = rows[1].sqrt() / lengths.clamp(min=max(float(lengths.median()) / 100, _LEAST))
    return _Measured(found, by_row)


def _judged(measured: Sequence[_Measured]) -> Weights:
    compared = [item.change for item in measured if not item.change.note]
    linear: dict[str, list[float]] = {}
    blocks: dict[str, list[float]] = {}
    for change in compared:
        if change.leaf.layer is not None and not change.leaf.norm:
            linear.setdefault(change.leaf.kind, []).append(change.relative)
        blocks.setdefault(change.leaf.kind, []).extend(part.relative for part in change.blocks)
    everything = peers.usual([value for values in linear.values() for value in values])
    norms = peers.usual([change.relative for change in compared if change.leaf.norm])
    figures = peers.by_kind(linear)
    parts = {kind: peers.usual(values, peers.BLOCK_SPREAD) for kind, values in blocks.items()}
    judged = [
        item.change
        if item.change.note
        else _against(
            item,
            norms if item.change.leaf.norm else figures.get(item.change.leaf.kind, everything),
            parts[item.change.leaf.kind],
        )
        for item in measured
    ]
    return Weights(
        tuple(_together(_together(judged, "attention"), "mlp")),
        peers.kinds_that_stand_out(linear),
        everything,
    )


def _together(changes: Sequence[Change], branch: str) -> list[Change]:
    """Mark the projections of a branch that are not far beyond their peers each, but together."""
    ratios: dict[int, list[float]] = {}
    times: dict[str, float] = {}
    for change in changes:
        leaf, figure = change.leaf, change.usual
        if leaf.layer is None or leaf.branch != branch or figure is None or not change.finite:
            continue
        if not leaf.norm:
            times[leaf.path] = change.relative / max(figure.relative, peers.FLOOR)
            ratios.setdefault(leaf.layer, []).append(times[leaf.path])
    layers = peers.layers_that_stand_out(ratios)
    return [
        dataclasses.replace(change, stands_out=True)
        if change.leaf.layer in layers and times.get(change.leaf.path, 0.0) > peers.TOGETHER
        else change
        for change in changes
    ]


def _against(item: _Measured, figure: Usual, part: Usual) -> Change:
    """Judge one leaf, its blocks and its rows by what is usual."""
    change = item.change
    blocks = tuple(dataclasses.replace(block, z=part.z(block.relative)) for block in change.blocks)
    rows = 0
    if item.rows is not None:
        beyond = peers.rows_beyond(float(item.rows.median()), figure.relative)
        rows = int((item.rows > beyond).sum())
    return dataclasses.replace(
        change,
        usual=figure,
        z=figure.z(change.relative),
        blocks=blocks,
        rows=rows if peers.enough_rows(rows) else 0,
        stands_out=figure.stands_out(change.relative)
        or any(block.stands_out for block in blocks)
        or peers.enough_rows(rows),
    )


def _spans(model: Any, leaf: Leaf, rows: int, columns: int) -> tuple[Block, ...]:
    """Give the parts of a leaf that have peers of their own."""
    heads, groups, width = fused.attention(model)
    count, name = (groups, "kv_head") if leaf.kind in ("k_proj", "v_proj") else (heads, "head")
    if leaf.kind.endswith("experts"):
        return tuple(Block(f"expert.{index}", index, index + 1, False) for index in range(rows))
    if held := fused.parts(model, leaf.path.rpartition(".")[2]):
        ends = list(itertools.accumulate(size for _, size in held))
        if ends[-1] != rows:
            return ()
        return tuple(
            Block(part, end - size, end, False)
            for (part, size), end in zip(held, ends, strict=True)
        )
    if leaf.kind not in _HEADED or not width or count * width not in (rows, columns):
        return ()
    by_columns = leaf.kind == "o_proj"
    if count * width != (columns if by_columns else rows):
        return ()
    return tuple(
        Block(f"{name}.{index}", index * width, (index + 1) * width, by_columns)
        for index in range(count)
    )


def _with_relative(span: Block, squares: tuple[Any, Any]) -> Block:
    norm, change = (float(values[span.start : span.stop].sum()) for values in squares)
    return dataclasses.replace(span, relative=_quotient(change, norm))


def _squares(
    base: Any, candidate: Any, by_columns: bool
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Give the squared lengths of the base's and the changes' rows, and columns if asked for."""
    import torch

    count, width = base.shape
    rows = torch.zeros(2, count, dtype=torch.float64, device=base.device)
    columns = torch.zeros(2, width, dtype=torch.float64, device=base.device)
    step = max(1, _BLOCK // max(1, width))
    for start in range(0, count, step):
        part = base[start : start + step]
        for index, values in enumerate((part, candidate[start : start + step] - part)):
            lengths = torch.linalg.vector_norm(values, dim=1).double()
            if not lengths.isfinite().all():
                values = values.double()  # large weights, whose squares are beyond float32
                lengths = torch.linalg.vector_norm(values, dim=1)
            rows[index, start : start + step] = lengths**2
            if by_columns:
                columns[index] += values.square().sum(0)
    return (rows[0], rows[1]), (columns[0], columns[1])


def _bias_squares(base: Any, candidate: Any, rows: int) -> tuple[float, float]:
    """Give the squared length of the base's bias and of its change; a missing one is zero."""
    import torch

    if base is None and candidate is None:
        return 0.0, 0.0
    base = torch.zeros_like(candidate) if base is None else base
    candidate = torch.zeros_like(base) if candidate is None else candidate
    if base.shape != candidate.shape:
        return 0.0, math.inf
    return float(base.double().square().sum()), float((candidate - base).double().square().sum())


def _quotient(change: float, norm: float) -> float:
    if not change:
        return 0.0
    if not math.isfinite(change) or not math.isfinite(norm):
        return math.inf
    return math.sqrt(change / norm) if norm else math.inf


def _equal(base: Any, candidate: Any) -> bool:
    import torch

    return bool(base.data_ptr() == candidate.data_ptr() or torch.equal(base, candidate))


def _flat(weight: Any) -> Any:
    return weight[None] if weight.dim() == 1 else weight.reshape(len(weight), -1)


def _stored_at(model: Any, path: str) -> int:
    """Tell tied tensors by where they are; 0 where that cannot be said."""
    module = sites.module(model, path)
    if module is None:
        return 0
    weight = dict(module.named_parameters(recurse=False)).get("weight")
    return 0 if weight is None else int(weight.data_ptr())


def _shape(tensor: Any) -> str:
    return " x ".join(str(size) for size in tensor.shape)
