"""What kind of fault one matrix or vector has, judged by itself, the base's, and its peers.

Two matrices and their context in, a fault's string out: ``zeroed(0.11, columns)``. The classes are
asked in a fixed order, the first that fits is it.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

_NEIGHBOURS = 32
_FEWEST = 12
_SAMPLE = 64
_SPIKES = 64
_DIRECTIONS = 40
_NO_GRID = 99
_ON_GRID = 0.7
_ONE_LEVEL = 0.9


@dataclasses.dataclass(frozen=True)
class Context:
    """What a matrix is judged by, beside the base's.

    Attributes:
        usual: the relative change that its peers have.
        vocabulary: whether its rows are tokens.
        others: of the base, what it might be a copy of: site → matrix of the same shape.
        peers: of the candidate, matrices of the same kind that do not stand out.
    """

    usual: float = 0.0
    vocabulary: bool = False
    others: Callable[[], Iterable[tuple[str, Any]]] = tuple
    peers: Callable[[], Iterable[Any]] = tuple


def matrix(base: Any, candidate: Any, context: Context | None = None) -> str:
    """Name what happened to a matrix.

    Args:
        base: ``(out, in)``, float32.
        candidate: of the same shape.
        context: its peers; none where None.

    Returns:
        A class with its arguments.
    """
    import torch

    with torch.no_grad():
        return _matrix(base, candidate, context or Context())


def vector(base: Any, candidate: Any, usual: float = 0.0) -> str:
    """Name what happened to a vector: a norm's weight, a bias."""
    import torch

    with torch.no_grad():
        if not candidate.isfinite().all() and base.isfinite().all():
            return "nonfinite"
        if not candidate.any():
            return "zeroed"
        if _constant(candidate) and not _constant(base):
            return "reset"
        change = candidate - base
        return (
            _scaled(base, candidate, usual)
            or _spikes(base, candidate, change)
            or _noise(base, change)
        )


def low_rank_share(change: Any, directions: int = _DIRECTIONS) -> float:
    """Give the share of a change's squared length that its first directions hold.

    At most a quarter of the directions that there are: any matrix has a small rank among all.
    """
    total = float(change.double().square().sum())
    return float(_singular(change, directions).square().sum()) / total if total else 0.0


def _matrix(base: Any, candidate: Any, context: Context) -> str:
    if not candidate.isfinite().all() and base.isfinite().all():
        return "nonfinite"
    if _gone(base, candidate, context.usual):
        return "zeroed"
    change = candidate - base
    return (
        (_rows_damaged(base, change) if context.vocabulary else "")
        or _scaled(base, candidate, context.usual)
        or _zeroed(base, candidate, change, context.usual)
        or _spikes(base, candidate, change)
        or _copied(base, candidate, context)
        or _rounded(base, candidate, context)
        or _permuted(base, candidate, change, context.usual)
        or _low_rank(base, change, context.usual)
        or _noise(base, change)
    )


def _gone(base: Any, candidate: Any, usual: float) -> bool:
    """Whether nothing is left but what a rounding or a change of all matrices puts back."""
    left = min(max(1.5 * usual, 0.1), 0.3) * float(base.norm())
    return not candidate.any() or (
        float(candidate.norm()) <= left and abs(_factor(base, candidate)) < 0.03
    )


def _rows_damaged(base: Any, change: Any) -> str:
    lengths = base.norm(dim=1)
    errors = change.norm(dim=1) / lengths.clamp(min=float(lengths.median()) / 100 + 1e-30)
    count = int((errors > max(5 * float(errors.median()), 0.05)).sum())
    return f"rows_damaged({count})" if 0 < count < len(base) / 2 else ""


def _scaled(base: Any, candidate: Any, usual: float) -> str:
    """Tell a multiple of the base: close to it, or nine tenths of the change explained by it."""
    factor = _factor(base, candidate)
    if abs(factor - 1) <= 0.02 or not factor:
        return ""
    rest = float((candidate - factor * base).norm())
    length, change = float(candidate.norm()), float((candidate - base).norm())
    close = rest < max(0.02, min(1.5 * usual, 0.25)) * length
    explained = rest < 0.35 * length and rest**2 < 0.1 * change**2
    return f"scaled({_short(factor)})" if close or explained else ""


def _zeroed(base: Any, candidate: Any, change: Any, usual: float) -> str:
    little = min(max(3 * usual, 0.15), 0.4)  # what a change of all matrices may be of a row
    for axis, name in ((1, "rows"), (0, "columns")):
        lengths = base.norm(dim=axis)
        left = candidate.norm(dim=axis) <= little * lengths
        along = (base * candidate).sum(dim=axis) / (lengths**2).clamp(min=1e-30)
        gone = left & (along.abs() <= 0.05) & (lengths > 0)
        share = float(gone.float().mean())
        kept = change.norm(dim=axis)[~gone] <= little * lengths[~gone]
        if 0.02 < share < 1 and float(kept.float().mean()) > 0.5:  # rounding empties some as well
            return f"zeroed({_short(share)}, {name})"
    gone = (candidate == 0) & (base != 0)
    share = float(gone.float().mean())
    others = float(change.masked_fill(gone, 0).norm() / base.norm())
    return f"zeroed({_short(share)}, elements)" if share > 0.02 and others <= 2 * usual else ""


def _spikes(base: Any, candidate: Any, change: Any) -> str:
    largest = change.abs().flatten().topk(min(_SPIKES, change.numel() // 8)).values
    if not len(largest) or float(candidate.abs().max()) <= 5 * float(base.abs().max()):
        return ""
    if float(largest.double().square().sum()) < 0.9 * float(change.double().square().sum()):
        return ""
    return f"spikes({int((largest > largest[0] / 10).sum())})"


def _copied(base: Any, candidate: Any, context: Context) -> str:
    own = abs(_cosine(base, candidate))
    best = max(
        ((_cosine(other, candidate), site) for site, other in context.others()),
        key=lambda pair: pair[0],
        default=(0.0, ""),
    )
    return f"copied({best[1]})" if best[0] > 0.9 and best[0] > own else ""


def _rounded(base: Any, candidate: Any, context: Context) -> str:
    """Tell few values from many, and even levels also where a small change lies over them."""
    count, bits = _distinct(candidate), _grid_bits(candidate)
    fewer = 0 < count <= 0.7 * _distinct(base)
    coarser = bits < _NO_GRID and bits < _grid_bits(base)
    if not fewer and not coarser:
        return ""
    peers = list(context.peers())
    if peers:
        fewer = fewer and count <= 0.7 * statistics.median(_distinct(peer) for peer in peers)
        coarser = coarser and bits < statistics.median(_grid_bits(peer) for peer in peers)
    if not fewer and not coarser:
        return ""
    return f"rounded({bits if bits < _NO_GRID else math.ceil(math.log2(max(2.0, count)))})"


def _permuted(base: Any, candidate: Any, change: Any, usual: float) -> str:
    """Tell rows or columns in another order, by a sample of those that changed."""
    for mine, theirs, moved in ((base, candidate, change), (base.t(), candidate.t(), change.t())):
        errors = moved.norm(dim=1) / mine.norm(dim=1).clamp(min=1e-30)
        rows = (errors > max(0.3, 3 * usual)).nonzero().flatten()
        if len(rows) < 2 or mine.shape[1] < _FEWEST:  # short vectors are alike by chance
            continue
        rows = _spread(rows)
        unit = mine / mine.norm(dim=1, keepdim=True).clamp(min=1e-30)
        asked = theirs[rows] / theirs[rows].norm(dim=1, keepdim=True).clamp(min=1e-30)
        best, place = (asked @ unit.t()).max(dim=1)
        if float(((best > 0.9) & (place != rows)).float().mean()) > 0.5:
            return "permuted"
    return ""


def _low_rank(base: Any, change: Any, usual: float) -> str:
    values = _singular(change, _DIRECTIONS)
    whole = float(change.double().square().sum())
    rounding = usual**2 * float(base.double().square().sum())  # what peers have too
    rest = max(whole - rounding, 0.8 * whole)
    if not len(values) or float(values.double().square().sum()) < 0.9 * rest:
        return ""
    steps = values[:-1] / values[1:].clamp(min=float(values[0]) * 1e-6)
    return f"low_rank({int(steps.argmax()) + 1 if len(steps) else 1})"


def _noise(base: Any, change: Any) -> str:
    if abs(_factor(base, base + change)) < 0.1:
        return "reset"
    return f"noise({_short(float(change.norm() / base.norm()))})"


def _factor(base: Any, candidate: Any) -> float:
    """Give the multiple of the base that is closest to the candidate."""
    length = float(base.double().square().sum())
    return float((base.double() * candidate.double()).sum()) / length if length else 0.0


def _cosine(one: Any, other: Any) -> float:
    length = float(one.norm()) * float(other.norm())
    return float((one * other).sum()) / length if length else 0.0


def _singular(change: Any, directions: int) -> Any:
    """Give the largest singular values, by a randomized range finder with one power iteration."""
    import torch

    count = min(directions, min(change.shape) // 4)
    if not count:
        return torch.zeros(0)
    seed = torch.Generator().manual_seed(0)
    start = torch.randn(change.shape[1], count + 8, generator=seed).to(change)
    basis = torch.linalg.qr(change @ start).Q
    basis = torch.linalg.qr(change @ (change.t() @ basis)).Q
    return torch.linalg.svdvals(basis.t() @ change)[:count]


def _distinct(weights: Any) -> float:
    """Give the median number of distinct values among neighbours of a row."""
    width = min(_NEIGHBOURS, weights.shape[1])
    windows = _windows(weights, width)
    if width < _FEWEST or not len(windows):
        return 0.0
    steps = windows.sort(dim=1).values.diff(dim=1)
    return float(((steps != 0).sum(dim=1) + 1).float().median())


def _grid_bits(weights: Any) -> int:
    """Give the fewest bits whose even levels the neighbours of a row lie on.

    Levels are between a window's least and largest value, or symmetric around zero. How close
    values lie to them is the length of their mean direction, when a step is once around a circle.
    """
    import torch

    for width in (weights.shape[1], 128, 64, _NEIGHBOURS):  # few neighbours miss rare levels
        for bits in (1, 2, 3, 4):
            windows = _spread(_windows(weights, width))
            if width < _FEWEST or not len(windows):
                continue
            least = windows.amin(dim=1, keepdim=True)
            step = (windows.amax(dim=1, keepdim=True) - least) / (2**bits - 1)
            grids = [(windows - least, step)]
            if bits > 1:
                largest = windows.abs().amax(dim=1, keepdim=True)
                grids.append((windows, largest / (2 ** (bits - 1) - 1)))
            for values, size in grids:
                places = values / size.clamp(min=1e-30)
                turns = 2 * math.pi * places
                close = torch.hypot(turns.cos().mean(dim=1), turns.sin().mean(dim=1))
                whole = places.round()
                most = (whole == whole.mode(dim=1, keepdim=True).values).float().mean(dim=1)
                if float(((close > _ON_GRID) & (most < _ONE_LEVEL)).float().mean()) > 0.5:
                    return bits
    return _NO_GRID


def _windows(weights: Any, width: int) -> Any:
    """Cut a sample of rows into windows of neighbours."""
    rows = weights[_spread_of(len(weights), weights.device)]
    whole = rows.shape[1] // width * width
    return rows[:, :whole].reshape(-1, width)


def _spread(rows: Any) -> Any:
    return rows if len(rows) <= _SAMPLE else rows[_spread_of(len(rows), rows.device)]


def _spread_of(count: int, device: Any) -> Any:
    """Give up to 64 indices, spread evenly."""
    import torch

    return torch.linspace(0, count - 1, min(count, _SAMPLE), device=device).round().long()


def _constant(values: Any) -> bool:
    return float(values.max() - values.min()) <= 1e-6 * float(values.abs().max())


def _short(value: float) -> str:
    """Print a number with at most three digits."""
    return f"{float(f'{value:.3g}'):g}"
