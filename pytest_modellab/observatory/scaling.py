"""What a larger training run would reach, by the losses of smaller ones."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import sheets
from pytest_modellab.records.reading import decimal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LARGEST = 1 << 20
"""Bytes of a file of runs, at most."""


ROWS = 2000
"""Runs, at most."""


FEWEST = 8
"""Runs that a fit needs."""


RANGE = 8.0
"""Largest over smallest number of parameters, and of tokens, that a fit needs."""


_TOGETHER = 0.999  # correlation of both, in logarithms, from which on they cannot be told apart
_HUBER = 1e-3
_STARTS = 8
_DISTINCT = 6  # runs of a resample: one more than there are constants
_LEVEL = (2.5, 97.5)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A training run.

    Attributes:
        parameters: N.
        tokens: D, that it saw.
        loss: at its end, in nats a token.
    """

    parameters: float
    tokens: float
    loss: float

    @property
    def compute(self) -> float:
        """Operations: 6 N D."""
        return 6 * self.parameters * self.tokens


@dataclasses.dataclass(frozen=True)
class Law:
    """``L = E + A / N^alpha + B / D^beta``; A and B as logarithms.

    Attributes:
        e: what no model goes below.
        log_a: of the parameters' part.
        log_b: of the tokens' part.
        alpha: how fast parameters help.
        beta: how fast tokens help.
    """

    e: float
    log_a: float
    log_b: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """The loss of a run."""
        return (
            self.e
            + math.exp(self.log_a - self.alpha * math.log(parameters))
            + math.exp(self.log_b - self.beta * math.log(tokens))
        )

    def optimal(self, compute: float) -> tuple[float, float]:
        """Parameters and tokens of the least loss for ``compute = 6 N D``."""
        total = self.alpha + self.beta
        log_g = (math.log(self.alpha) + self.log_a - math.log(self.beta) - self.log_b) / total
        budget = math.log(compute / 6)
        return (
            math.exp(log_g + self.beta / total * budget),
            math.exp(-log_g + self.alpha / total * budget),
        )


@dataclasses.dataclass(frozen=True)
class Checked:
    """The run of the most compute, forecast from the others.

    Attributes:
        run: that was left out.
        forecast: of its loss.
    """

    run: Trained
    forecast: float

    @property
    def off(self) -> float:
        """Error of the forecast, relative."""
        return self.forecast / self.run.loss - 1


@dataclasses.dataclass(frozen=True)
class Scaling:
    """A fit.

    Attributes:
        runs: that it is made of.
        law: that fits best.
        resampled: laws that fit resamples of the runs.
        checked: what such a fit says of the largest run.
    """

    runs: tuple[Trained, ...]
    law: Law
    resampled: tuple[Law, ...]
    checked: Checked

    def interval(self, of: Callable[[Law], float]) -> tuple[float, float]:
        """95 % of the resampled laws lie between, for a figure of a law."""
        import numpy as np

        low, high = np.percentile([of(law) for law in self.resampled], _LEVEL)
        return float(low), float(high)

    @property
    def largest(self) -> float:
        """Compute of the largest run."""
        return max(run.compute for run in self.runs)


def read(path: Path) -> tuple[Trained, ...]:
    """Read runs from CSV with the columns ``N``, ``D`` and ``loss``.

    Raises:
        DiagnosisError: the file cannot be read, or a figure is none that a run can have.
    """
    runs: list[Trained] = []
    for where, cells in sheets.rows(path, sheets.text(path, LARGEST), ("n", "d", "loss")):
        if len(runs) == ROWS:
            raise DiagnosisError(f"{path}: more than {ROWS:,} runs")
        runs.append(
            Trained(*(_positive(f"{where}: {name}", cells[name]) for name in ("n", "d", "loss")))
        )
    return tuple(runs)


def _positive(place: str, text: str) -> float:
    try:
        value = decimal(text)
    except ValueError as error:
        raise DiagnosisError(f"{place}: {error}") from error
    if not 1e-9 < value < 1e30:
        raise DiagnosisError(f"{place} is {value:g}, which no run has")
    return value


def fit(runs: Sequence[Trained], resamples: int = 1000) -> Scaling:
    """Fit the law of Hoffmann et al. (2022), approach 3.

    Huber's loss (1e-3) of the logarithms is minimized by L-BFGS from the best points of a grid,
    and again for resamples of the runs. Intervals of such fits are known to be too narrow where
    the form is wrong (Besiroglu et al. 2024), hence the check on the largest run.

    Args:
        runs: any order.
        resamples: for the intervals.

    Raises:
        DiagnosisError: the runs are too few, or too much alike.
    """
    import numpy as np

    known = tuple(sorted(set(runs), key=lambda run: (run.compute, run.parameters, run.loss)))
    refuse(known)
    law = _fitted(known)
    rest = known[:-1]
    checked = Checked(known[-1], _fitted(rest).loss(known[-1].parameters, known[-1].tokens))
    random = np.random.default_rng(0)
    resampled: list[Law] = []
    while len(resampled) < resamples:
        drawn = random.integers(0, len(known), len(known))
        if len(set(drawn.tolist())) >= _DISTINCT:
            resampled.append(_fitted([known[at] for at in drawn], law))
    return Scaling(known, law, tuple(resampled), checked)


def refuse(runs: Sequence[Trained]) -> None:
    """Refuse runs that no law can be read off.

    Raises:
        DiagnosisError: they are too few, or too much alike.
    """
    if len(runs) < FEWEST:
        raise DiagnosisError(
            f"{len(runs)} different {'run is' if len(runs) == 1 else 'runs are'} too few for a "
            f"forecast: it takes {FEWEST} or more"
        )
    logs = []
    for name in ("parameters", "tokens"):
        values = [float(getattr(run, name)) for run in runs]
        if max(values) < RANGE * min(values):
            raise DiagnosisError(
                f"{name} range from {min(values):.3g} to {max(values):.3g}, less than a factor of "
                f"{RANGE:g}: train some smaller models, or some with fewer tokens"
            )
        logs.append([math.log(value) for value in values])
    if abs(_correlation(*logs)) > _TOGETHER:
        raise DiagnosisError(
            "parameters and tokens grow together in all runs, so that it cannot be told which of "
            "them helps: train some models with other numbers of tokens"
        )


def _correlation(ones: Sequence[float], others: Sequence[float]) -> float:
    import numpy as np

    return float(np.corrcoef(ones, others)[0, 1])


def _fitted(runs: Sequence[Trained], start: Law | None = None) -> Law:
    """Fit a law: from a law that is near, or from the best points of a grid."""
    import numpy as np
    from scipy.optimize import minimize

    n = np.log([run.parameters for run in runs])
    d = np.log([run.tokens for run in runs])
    loss = np.log([run.loss for run in runs])
    # about the middle of the runs: far from it, A and alpha can hardly be told apart
    middle_n, middle_d = float(n.mean()), float(d.mean())
    n, d = n - middle_n, d - middle_d
    if start is None:
        starts = _grid(n, d, loss)
    else:
        a = start.log_a - start.alpha * middle_n
        b = start.log_b - start.beta * middle_d
        starts = np.array([[math.log(start.e), a, b, start.alpha, start.beta]])
    bounds = [(-50.0, 50.0)] * 3 + [(1e-3, 5.0)] * 2
    tries = [
        minimize(
            _objective,
            one,
            args=(n, d, loss),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 2000, "maxfun": 4000, "ftol": 1e-14, "gtol": 1e-9},
        )
        for one in starts
    ]
    e, a, b, alpha, beta = min(tries, key=lambda one: float(one.fun)).x.tolist()
    return Law(math.exp(e), a + alpha * middle_n, b + beta * middle_d, alpha, beta)


def _grid(n: Floats, d: Floats, loss: Floats) -> Floats:
    import numpy as np

    parts = loss.mean() + np.array([-4.0, -2.0, -1.0, -0.3])
    powers = np.array([0.1, 0.3, 0.6, 1.2])
    axes = np.meshgrid(parts, parts, parts, powers, powers, indexing="ij")
    points = np.stack([axis.ravel() for axis in axes], axis=1)
    values = [_objective(point, n, d, loss)[0] for point in points]
    return points[np.argsort(values, kind="stable")[:_STARTS]]


def _objective(point: Floats, n: Floats, d: Floats, loss: Floats) -> tuple[float, Floats]:
    """Huber's loss of the residuals' logarithms, and its gradient."""
    import numpy as np

    e, a, b, alpha, beta = point
    terms = np.stack([np.full_like(n, e), a - alpha * n, b - beta * d])
    top = terms.max(axis=0)
    powers = np.exp(terms - top)
    total = powers.sum(axis=0)
    residual = top + np.log(total) - loss
    size = np.abs(residual)
    near = size <= _HUBER
    value = np.where(near, residual**2 / 2, _HUBER * (size - _HUBER / 2)).sum()
    pull = np.where(near, residual, _HUBER * np.sign(residual)) * (powers / total)
    by_e, by_a, by_b = pull
    gradient = [by_e.sum(), by_a.sum(), by_b.sum(), -(by_a * n).sum(), -(by_b * d).sum()]
    # in units of the threshold, or the optimizer's tolerances end it too early
    return float(value) / _HUBER**2, np.array(gradient) / _HUBER**2
