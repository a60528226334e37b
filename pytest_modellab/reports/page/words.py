"""Figures and facts of a trade-off in words, the same everywhere on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_modellab.reports import measured as further
from pytest_modellab.reports.words import both, listed, number
from pytest_modellab.reports.words import size as in_units
from pytest_modellab.tradeoff import cost
from pytest_modellab.tradeoff.decision import AT_LEAST, Choice, Miss
from pytest_modellab.tradeoff.figures import SUCCESS, Estimate, Profile, TradeOff

MISSING = further.MISSING
"""Stands for a figure that was not measured."""


FEW = 5
"""Ties of more variants name only the first of them."""


MINUS = "\N{MINUS SIGN}"


METRIC_NAMES = {
    "quality": SUCCESS,
    "cost": "cost",
    "latency": "latency",
    "memory": "memory",
    "risk": "risk",
}


LIMIT_NAMES = {
    **METRIC_NAMES,
    "latency": "latency (95th percentile)",
    "worst_bucket": "worst bucket",
    "forgetting": "capabilities lost",
    "churn": "churn",
    "real_time_factor": "real-time factor",
    "wer": "word error rate",
    "cer": "character error rate",
}


COMPONENT_NAMES = {
    "worst_bucket": "worst bucket",
    "forgetting": "forgetting",
    "churn": "churn",
    "prompt_instability": "prompt instability",
    "refusal_errors": "refusal errors",
    "calibration": "calibration",
}


MARKS = {"block": "✕", "pass": "✓", "inconclusive": "?"}
"""Said beside the word, so that a verdict is not a colour alone."""


def named(what: str, quality: str = SUCCESS) -> str:
    """One of ``METRICS`` or ``LIMITS`` for a reader; quality by what it is the mean of."""
    if what == "quality":
        return quality
    return METRIC_NAMES.get(what, what)


def limited(what: str, quality: str = SUCCESS) -> str:
    """The same as the name of a limit."""
    return quality if what == "quality" else LIMIT_NAMES.get(what, what)


def score(value: float) -> str:
    """A mean score: ``0.637``."""
    return f"{value:.3f}"


def interval(estimate: Estimate, form: str = "score") -> str:
    """The ends of an interval: ``0.602 to 0.671``."""
    write = {"score": score, "dollars": dollars, "seconds": seconds, "number": number}[form]
    return f"{write(estimate.low)} to {write(estimate.high)}"


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign, a minus as wide as a plus: ``+0.39``, ``0.00``."""
    text = f"{value:+.{digits}f}"
    if float(text) == 0.0:
        return text[1:]
    return text.replace("-", MINUS)


def share(value: float) -> str:
    """A share of draws: ``87%``, ``<1%``, ``>99%``."""
    if 0.0 < value < 0.01:
        return "<1%"
    if 0.99 < value < 1.0:
        return ">99%"
    return f"{value:.0%}"


def percent(value: float) -> str:
    """A flip rate: ``1.2%``."""
    return f"{value:.1%}"


def dollars(value: float) -> str:
    """Dollars to three significant digits: ``$0.00578``."""
    return f"${value:,.0f}" if value >= 1000 else f"${number(value)}"


def seconds(value: float) -> str:
    """Seconds, or milliseconds below one: ``512 ms``, ``1.23 s``."""
    return f"{number(1000 * value)} ms" if value < 0.9995 else f"{number(value)} s"


def size(value: float) -> str:
    """Bytes in decimal units: ``538 MB``, ``1.08 GB``; ``none`` of what has none, as BM25."""
    return in_units(value) if value else "none"


def requests(value: int) -> str:
    """How many requests: ``1,000,000``."""
    return f"{value:,}"


def measured(profile: Profile, metric: str, volume: int | None = None) -> float | None:
    """What a variant is weighed by.

    Args:
        profile: the variant.
        metric: one of ``METRICS``.
        volume: requests that the training is paid by; None leaves the training out.

    Returns:
        The figure, or None where it was not measured.
    """
    if metric == "quality":
        return profile.success.value
    if metric == "risk":
        return profile.risk.value.value
    if metric == "latency":
        return None if profile.latency is None else profile.latency.p50.value
    if metric == "memory":
        return None if profile.memory is None else profile.memory.held
    if profile.cost is None:
        return None
    training = 0.0 if volume is None else cost.amortized(profile.cost.training or 0.0, volume)
    return profile.cost.serving.value + training


def metric_value(metric: str, value: float | None) -> str:
    """A figure of one of ``METRICS``, or a real-time factor, with its unit."""
    if value is None:
        return MISSING
    return _METRIC[metric](value)


def limit_value(limit: str, value: float) -> str:
    """A figure that one of ``LIMITS`` holds, in the limit's unit."""
    if limit == "churn":
        return percent(value)
    if limit == "forgetting":
        return number(value)
    if limit == "cost":
        return dollars(value)
    if limit == "latency":
        return seconds(value)
    if limit == "memory":
        return f"{number(value)} GB"
    return number(value)


def limit_rule(limit: str, allowed: float, quality: str = SUCCESS) -> str:
    """What a limit asks: ``churn at most 2.0%``."""
    side = "at least" if limit in AT_LEAST else "at most"
    return f"{limited(limit, quality)} {side} {limit_value(limit, allowed)}"


def miss(found: Miss, quality: str = SUCCESS) -> str:
    """How a limit is missed: ``churn 3.1%, at most 2.0% allowed``."""
    if found.value is None:
        return f"{limited(found.limit, quality)} not measured, though limited"
    side = "at least" if found.limit in AT_LEAST else "at most"
    value = limit_value(found.limit, found.value)
    allowed = limit_value(found.limit, found.allowed)
    if value == allowed:  # apart by less than the digits shown
        value = f"{found.value:.6g}"
    verb = "asked" if found.limit in AT_LEAST else "allowed"
    return f"{limited(found.limit, quality)} {value}, {side} {allowed} {verb}"


def short_by(found: Miss) -> str:
    """By how much a limit is missed: ``by 1.1%``."""
    if found.value is None:
        return "for want of a figure"
    gap = abs(found.value - found.allowed)
    return f"by {limit_value(found.limit, gap)}"


def tied(names: tuple[str, ...]) -> str:
    """Like :func:`both`; of many only the first."""
    return both(names) if len(names) <= FEW else listed(names, FEW - 1)


def blocked(tradeoff: TradeOff) -> dict[str, tuple[str, ...]]:
    """The variants that the gate blocks, and in what."""
    found: dict[str, tuple[str, ...]] = {}
    for delta in tradeoff.deltas:
        if delta.verdict == "block":
            found[delta.variant] = (*found.get(delta.variant, ()), delta.what)
    return found


def unsettled(tradeoff: TradeOff, choice: Choice) -> str | None:
    """What the gate could not decide of the variant that is chosen."""
    found = tradeoff.unsettled(choice.variants[0]) if choice.verdict == "choose" else ()
    if not found:
        return None
    return (
        f"Whether {choice.variants[0]} is worse than {tradeoff.reference} in {both(found)} is not "
        "settled by these samples."
    )


def recommended(tradeoff: TradeOff) -> tuple[str, ...]:
    """The variants that some scenario recommends, without the nearest misses."""
    return tuple(
        dict.fromkeys(
            name
            for choice in tradeoff.choices
            if choice.verdict != "none"
            for name in choice.variants
        )
    )


def _risk(value: float) -> str:
    return f"{value:.2f}"


_METRIC: Mapping[str, Callable[[float], str]] = {
    "quality": score,
    "cost": dollars,
    "latency": seconds,
    "memory": size,
    "risk": _risk,
    "real-time factor": number,
}
