"""Graded evidence of one sample, from the likelihoods that a run has anyway."""

from __future__ import annotations

import math

from pytest_modellab.records.graded import (
    DECISION_MARGIN,
    LIKELIHOOD,
    PROBABILITY,
    is_choice,
)
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample

ROUNDING = 1e-6
"""How far above 0 rounding may lift a log-likelihood."""


def a_byte(logprob: float, text: str) -> float | None:
    """Return the likelihood of a byte of a text, exp(l / bytes), in [0, 1].

    Args:
        logprob: the text's log-likelihood, in nats.
        text: the text.

    Returns:
        None where the text is empty, or the log-likelihood is NaN or above 0.
    """
    if not text or math.isnan(logprob) or logprob > ROUNDING:
        return None
    return min(1.0, math.exp(logprob / len(text.encode())))


def graded(sample: Sample, output: Output) -> dict[str, float]:
    """Return the graded metrics of an answer to a multiple-choice sample.

    Of options with natural-log likelihoods ``l_k`` and ``b_k`` UTF-8 bytes, ``r`` the right one:

    * ``probability`` = exp(l_r) / Σ_k exp(l_k), in [0, 1]: the softmax of the options' likelihoods
      (the Brier score's probability; Schaeffer et al. 2023, arXiv 2304.15004, show that it moves
      where accuracy does not).
    * ``likelihood`` = exp(l_r / b_r), in [0, 1]: a byte's, which no tokenizer changes (bits per
      byte, Gao et al. 2020, arXiv 2101.00027, as a number that is higher where it is better).
    * ``decision_margin`` = l_r / b_r - max_{k≠r} l_k / b_k, in nats a byte, any sign: above 0 where
      the scorer ``choice`` finds the sample right.

    Args:
        sample: what was asked.
        output: the answer.

    Returns:
        The metrics by name; nothing where no option is the right one, where the answer has no
        likelihood of every option, one of them is NaN or above 0, or all are minus infinity.
    """
    values = output.option_logprobs
    if not is_choice(sample) or len(values) != len(sample.choices):
        return {}
    right = sample.target
    top = max(values)
    if not -math.inf < top <= ROUNDING:
        return {}
    total = math.fsum([math.exp(value - top) for value in values])
    if math.isnan(total):  # one of them was; the largest need not be
        return {}
    per_byte = [
        value / len(text.encode()) if text else math.nan
        for value, text in zip(values, sample.choices, strict=True)
    ]
    own = per_byte[right]
    found = {PROBABILITY: math.exp(values[right] - top) / total}
    likelihood = a_byte(values[right], sample.choices[right])
    if likelihood is not None:
        found[LIKELIHOOD] = likelihood
    margin = own - max([*per_byte[:right], *per_byte[right + 1 :]], default=math.nan)
    if math.isfinite(margin):
        found[DECISION_MARGIN] = margin
    return found
