"""How the risk of a false verdict is spent over several looks."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from pytest_modellab.gate._saddlepoint import Floats
from pytest_modellab.gate.errors import SettingError
from pytest_modellab.gate.settings import check_level

_REACH = 8.5  # standard deviations of a Brownian motion that are worth integrating over


_LEAST = 1e-300


def spent(alpha: float, fraction: npt.ArrayLike) -> Floats:
    """The risk spent when a fraction of the samples is in: ``2 (1 - Phi(z_{1-alpha/2} / sqrt t))``.

    Lan & DeMets (1983), Biometrika 70:659-663, the spending function of O'Brien and Fleming type.
    """
    t = np.asarray(fraction, dtype=np.float64)
    return np.asarray(2.0 * ndtr(ndtri(0.5 * alpha) / np.sqrt(t)))


@lru_cache(maxsize=4096)
def nominal_levels(alpha: float, fractions: tuple[float, ...]) -> tuple[float, ...]:
    """One-sided nominal level of each look, so that `spent` is the risk up to it.

    The boundary of a look is where the paths of a Brownian motion that have crossed none before
    cross with the probability left to that look; their density is carried from look to look by
    numerical integration (Armitage, McPherson & Rowe 1969; Jennison & Turnbull 2000, chapter 19).

    Args:
        alpha: The risk over all looks, in (0, 1).
        fractions: Share of the samples that is in at each look, rising, in (0, 1].

    Returns:
        One level a look. Below 1e-300 it is 0.

    Raises:
        SettingError: alpha or the fractions lie outside their range.
    """
    alpha = check_level("alpha", alpha)
    times = np.asarray(fractions, dtype=np.float64)
    if not times.size or not (np.diff([0.0, *times]) > 0.0).all() or times[-1] > 1.0:
        raise SettingError(f"fractions must rise from above 0 to 1, but are {fractions}")
    shares = np.diff(np.append(0.0, spent(alpha, times)))
    at, mass, before = np.zeros(1), np.ones(1), 0.0
    levels = []
    for time, share in zip(times.tolist(), shares.tolist(), strict=True):
        step, edge = math.sqrt(time - before), _REACH * math.sqrt(time)
        bound = _crossing(at, mass, step, share)
        levels.append(float(ndtr(-bound / math.sqrt(time))) if share > _LEAST else 0.0)
        top = min(bound, edge)
        node, weight = _legendre(64 * math.ceil((top + edge) / step / 16.0))
        here = 0.5 * (top + edge) * node + 0.5 * (top - edge)
        density = np.exp(-0.5 * ((here[:, None] - at) / step) ** 2) @ mass
        mass = density * weight * 0.5 * (top + edge) / (step * math.sqrt(2.0 * math.pi))
        at, before = here, time
    return tuple(levels)


def _crossing(at: Floats, mass: Floats, step: float, share: float) -> float:
    """The value that a step of standard deviation `step` from `at` exceeds with chance `share`."""
    low, high = float(at.min()) - 40.0 * step, float(at.max()) + 40.0 * step
    while high - low > 1e-12 * max(1.0, abs(high)):
        middle = 0.5 * (low + high)
        crossed = float(np.sum(mass * ndtr((at - middle) / step)))
        low, high = (middle, high) if crossed > share else (low, middle)
    return high


@lru_cache(maxsize=32)
def _legendre(nodes: int) -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(nodes)
