"""Draws of every metric, for intervals and for the decision: the Bayesian bootstrap (Rubin 1981).

Each draw weighs the units that were sampled (clusters of samples, prompts, rounds) by independent
exponential variables, the same for every variant, so that what is hard for all of them cancels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.tradeoff.figures import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Draws = NDArray[np.float64]

INTERVAL = (0.025, 0.975)


RESAMPLES = 2000


SEED = 0


_CELLS = 4_000_000
"""Weights that are held at a time: 32 MB."""


def scores(
    scores: Draws,
    clusters: Sequence[Hashable],
    slices: Mapping[str, Sequence[int]],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, Draws]:
    """Draw the mean score of each slice.

    Args:
        scores: of shape (n, V), one column a variant.
        clusters: what each sample shares with others, of length n.
        slices: indices of the samples of each slice.
        resamples: how many draws.
        seed: of the weights.

    Returns:
        For each slice an array of shape (resamples, V).
    """
    import numpy as np

    codes = {label: i for i, label in enumerate(dict.fromkeys(clusters))}
    of_sample = np.array([codes[label] for label in clusters])
    rng = np.random.default_rng(seed)
    found = {name: np.empty((resamples, scores.shape[1])) for name in slices}
    rows = {name: np.asarray(indices) for name, indices in slices.items()}
    chunk = max(1, _CELLS // max(len(codes), len(of_sample)))
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        weights = rng.standard_exponential((size, len(codes)))[:, of_sample]
        for name, indices in rows.items():
            part = weights[:, indices]
            means = part @ scores[indices]
            found[name][start : start + size] = means / part.sum(axis=1, keepdims=True)
    return found


def quantiles(
    values: Draws,
    levels: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
    stream: int = 0,
) -> Draws:
    """Draw quantiles of measurements of shape (rounds, prompts).

    Prompts weigh the same for every variant, rounds on their own: a prompt that is long is long
    for all, while one round's noise is no other's.

    Args:
        values: of shape (rounds, prompts).
        levels: in (0, 1), of length Q.
        resamples: how many draws.
        seed: of the prompts' weights.
        stream: the variant's number, for the rounds' weights.

    Returns:
        Of shape (Q, resamples).
    """
    import numpy as np

    prompts = np.random.default_rng(seed).standard_exponential((resamples, values.shape[1]))
    rounds = np.random.default_rng([seed, stream + 1]).standard_exponential(
        (resamples, values.shape[0])
    )
    weights = (rounds[:, :, None] * prompts[:, None, :]).reshape(resamples, -1)
    flat = values.reshape(-1)
    order = np.argsort(flat, kind="stable")
    heights = np.cumsum(weights[:, order], axis=1)
    heights /= heights[:, -1:]
    positions = [(heights < level).sum(axis=1).clip(max=flat.size - 1) for level in levels]
    return np.stack([flat[order][position] for position in positions])


def means(values: Draws, *, resamples: int = RESAMPLES, seed: int = SEED, stream: int = 0) -> Draws:
    """Draw the mean over rounds of what each round took.

    Args:
        values: of shape (rounds,).
        resamples: how many draws.
        seed: of the weights.
        stream: the variant's number.

    Returns:
        Of shape (resamples,).
    """
    import numpy as np

    rng = np.random.default_rng([seed, stream + 1])
    weights = rng.standard_exponential((resamples, values.size))
    return np.asarray(weights @ values / weights.sum(axis=1))


def estimate(value: float, draws: Draws) -> Estimate:
    """A figure with the 95 % interval of its draws."""
    import numpy as np

    low, high = np.quantile(draws, INTERVAL)
    return Estimate(float(value), float(low), float(high))
