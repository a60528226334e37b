"""Distributions of tokens reduced to their largest probabilities and the rest, and compared.

A distribution is a row of natural-log probabilities, one a token of the vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ABSENT = -1
"""The id in place of a token where the vocabulary has fewer than are kept."""


def reduced(rows: NDArray[np.floating[Any]], kept: int) -> NDArray[np.float32]:
    """Keep the largest log-probabilities of every row, and the mass of the others.

    Args:
        rows: of shape (places, vocabulary).
        kept: how many are kept.

    Returns:
        Of shape (places, 2 · kept + 1): the values, the largest first and of equal ones the lower
        id, then their ids (a float32 holds them exactly below 2²⁴), then the log of the others'
        mass. Rows with a NaN are NaN.
    """
    import numpy as np

    places, vocabulary = rows.shape
    out = np.full((places, 2 * kept + 1), -np.inf, np.float32)
    out[:, kept : 2 * kept] = ABSENT
    count = min(kept, vocabulary)
    if count < vocabulary:
        ids = np.argpartition(rows, -count, axis=1)[:, -count:]
    else:
        ids = np.broadcast_to(np.arange(vocabulary), rows.shape)
    values = np.take_along_axis(rows, ids, axis=1)
    order = np.lexsort((ids, -values), axis=1)
    out[:, :count] = np.take_along_axis(values, order, axis=1)
    out[:, kept : kept + count] = np.take_along_axis(ids, order, axis=1)
    out[:, -1] = _others(rows, ids)
    out[np.isnan(rows).any(axis=1)] = np.nan
    return out


def rest(kept: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mass that is one cell, of every row that :func:`reduced` made."""
    import numpy as np

    mass: NDArray[np.float64] = np.exp(kept[:, -1].astype(np.float64))
    return mass


class Compared(NamedTuple):
    """Places compared.

    Attributes:
        nats: the divergence of each, at least 0; NaN where either has a NaN.
        fewer: what half as many of the largest probabilities show of it.
        same: whether both models would choose the same token first.
    """

    nats: NDArray[np.float64]
    fewer: NDArray[np.float64]
    same: NDArray[np.bool_]


def divergences(kept: NDArray[np.float32], rows: NDArray[np.floating[Any]]) -> Compared:
    """Compare the base's reduced distributions with the candidate's whole ones, place by place.

    ``KL = Σ_k p_k log(p_k / q_k) + P log(P / Q)`` over the base's largest probabilities
    p and the mass P of all others, in nats. It is at most the divergence of the whole
    distributions, by the log-sum inequality (Cover & Thomas 2006, theorem 2.7.1), and equal to it
    where the whole vocabulary is kept. On whole distributions it is what llama.cpp's
    ``llama-perplexity --kl-divergence`` calls KLD, and the last figure its *same top p*.

    Args:
        kept: what :func:`reduced` made of the base's rows.
        rows: the candidate's, of the same places and the same vocabulary.
    """
    import numpy as np

    width = kept.shape[1] // 2
    count = min(width, rows.shape[1])
    with np.errstate(invalid="ignore"):
        ids = np.nan_to_num(kept[:, width : width + count]).astype(np.int64)
    base = np.column_stack([kept[:, :count], kept[:, -1]]).astype(np.float64)
    other = np.column_stack([np.take_along_axis(rows, ids, axis=1), _others(rows, ids)])
    nan = np.isnan(base).any(axis=1) | np.isnan(rows).any(axis=1)
    half = (width + 1) // 2
    pairs = (base, other), (_merged(base, half), _merged(other, half))
    nats, fewer = (np.where(nan, np.nan, _divergence(p, q)) for p, q in pairs)
    return Compared(nats, fewer, ids[:, 0] == rows.argmax(axis=1))


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    with np.errstate(invalid="ignore"):
        terms = np.where(np.isneginf(p), 0.0, np.exp(p) * (p - q))
    return np.asarray(np.maximum(terms.sum(axis=1), 0.0))


def _merged(cells: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Put all cells but the first few into one."""
    import numpy as np

    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.log(np.exp(cells[:, count:]).sum(axis=1))
    return np.column_stack([cells[:, :count], rest])


def _others(rows: NDArray[np.floating[Any]], ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log of the mass of all tokens but some, summed itself: a difference cancels."""
    import numpy as np

    probabilities = np.exp(rows)
    np.put_along_axis(probabilities, ids, 0.0, axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probabilities.sum(axis=1, dtype=np.float64)))
