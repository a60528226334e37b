"""What is said of a forecast."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence

from pytest_modellab.observatory.scaling import Law, Scaling


def text(found: Scaling, name: str, computes: Sequence[float]) -> str:
    """Say what larger runs would reach, for a terminal; each forecast beside its check.

    Args:
        found: the fit.
        name: of the file.
        computes: operations of the runs that are asked about.
    """
    law, checked = found.law, found.checked
    worst = max(abs(law.loss(run.parameters, run.tokens) / run.loss - 1) for run in found.runs)
    lines = [
        f"[Forecast] {name}: L = {law.e:.3g} + {math.exp(law.log_a):.4g} / N^{law.alpha:.3g} + "
        f"{math.exp(law.log_b):.4g} / D^{law.beta:.3g}",
        f"  fit          {len(found.runs)} runs, at most {100 * worst:.2g} % off; 95 % of "
        f"{len(found.resampled):,} resamples between:",
    ]
    for title, figure in (("E", "e"), ("alpha", "alpha"), ("beta", "beta")):
        low, high = found.interval(operator.attrgetter(figure))
        lines.append(f"  {title:<12} {getattr(law, figure):.3g} ({low:.3g} to {high:.3g})")
    lines.append(
        f"  check        the largest run, N = {checked.run.parameters:.3g} and D = "
        f"{checked.run.tokens:.3g}, left out: {checked.forecast:.4g} forecast, "
        f"{checked.run.loss:.4g} reached, {_off(found)} off"
    )
    for compute in computes:
        parameters, tokens = law.optimal(compute)
        low, high = found.interval(functools.partial(_best, compute=compute))
        beyond = compute / found.largest
        far = f", {beyond:.3g} times the largest run" if beyond > 1 else ""
        lines.append(
            f"  C = {compute:<8.3g} best with N = {parameters:.3g} and D = {tokens:.3g}: loss "
            f"{law.loss(parameters, tokens):.4g} ({low:.4g} to {high:.4g}; check {_off(found)} "
            f"off){far}"
        )
    return "\n".join(lines)


def _best(law: Law, compute: float) -> float:
    return law.loss(*law.optimal(compute))


def _off(found: Scaling) -> str:
    return f"{100 * found.checked.off:+.2g} %"
