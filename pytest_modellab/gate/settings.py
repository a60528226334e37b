"""Levels, margins, floors and limits, checked."""

from __future__ import annotations

import math

from pytest_modellab.gate.errors import SettingError


def check_level(name: str, value: float) -> float:
    """`value` as a float, or SettingError unless it lies in (0, 1)."""
    number = check_number(name, value)
    if not 0.0 < number < 1.0:
        raise SettingError(
            f"{name} is {number:g}, but must lie above 0 and below 1: it is the accepted risk "
            "of a false alarm; 0.05 is usual"
        )
    return number


def check_levels(alpha: float, pass_alpha: float | None) -> tuple[float, float]:
    """The risks of a false block and of a false pass, the same unless both are given."""
    alpha = check_level("alpha", alpha)
    return alpha, alpha if pass_alpha is None else check_level("pass_alpha", pass_alpha)


def check_confidence(value: float) -> float:
    """`value` as a float, or SettingError unless it lies in (0, 1)."""
    number = check_number("confidence", value)
    if not 0.0 < number < 1.0:
        raise SettingError(
            f"confidence is {number:g}, but must lie above 0 and below 1; 0.95 is usual"
        )
    return number


def check_margin(name: str, value: float) -> float:
    """`value` as a float, or SettingError unless it lies in [0, 1)."""
    number = check_number(name, value)
    if not 0.0 <= number < 1.0:
        raise SettingError(
            f"{name} is {number:g}, but must be at least 0 and below 1: it is the drop allowed on "
            "the score scale from 0 to 1; write 0.02 for two points of a hundred"
        )
    return number


def check_power(value: float) -> float:
    """`value` as a float, or SettingError unless it lies in (0, 1)."""
    number = check_number("power", value)
    if not 0.0 < number < 1.0:
        raise SettingError(
            f"power is {number:g}, but must lie above 0 and below 1: it is the chance that a drop "
            "worth catching is caught; 0.8 is usual"
        )
    return number


def check_floor(value: float) -> float:
    """`value` as a float, or SettingError unless it lies in [0, 1)."""
    number = check_number("floor", value)
    if not 0.0 <= number < 1.0:
        raise SettingError(
            f"floor is {number:g}, but must be at least 0 and below 1: it is the least mean score "
            "of a bucket, on the score scale from 0 to 1"
        )
    return number


def check_max_missing(value: float) -> float:
    """`value` as a float, or SettingError unless it lies in [0, 1]."""
    number = check_number("max_missing", value)
    if not 0.0 <= number <= 1.0:
        raise SettingError(
            f"max_missing is {number:g}, but must lie between 0 and 1: it is the share of "
            "candidate scores that may be missing"
        )
    return number


def check_limit(value: float) -> float:
    """`value` as a float, or SettingError unless it is a finite number above 0."""
    number = check_number("limit", value)
    if not 0.0 < number < math.inf:
        raise SettingError(
            f"limit is {number:g}, but must lie above 0: it is the largest ratio to the reference "
            "that is allowed; 1.2 allows a fifth more"
        )
    return number


def check_kl(value: float) -> float:
    """`value` as a float, or SettingError unless it is a finite number above 0."""
    number = check_number("kl", value)
    if not 0.0 < number < math.inf:
        raise SettingError(
            f"kl is {number:g}, but must lie above 0: it is the largest mean divergence from the "
            "base that is allowed, in nats a token; rounding to bfloat16 alone gives about 1e-4"
        )
    return number


def check_agreement(value: float) -> float:
    """`value` as a float, or SettingError unless it lies in (0, 1)."""
    number = check_number("agreement", value)
    if not 0.0 < number < 1.0:
        raise SettingError(
            f"agreement is {number:g}, but must lie above 0 and below 1: it is the least share of "
            "tokens at which candidate and base have the same first choice; write 0.98"
        )
    return number


def check_number(name: str, value: float) -> float:
    """Return a setting as a number, or raise."""
    try:
        return float(value)
    except OverflowError:
        raise SettingError(f"{name} is larger than any number that can be judged by") from None
    except (TypeError, ValueError):
        raise SettingError(f"{name} is {value!r}, but must be a number") from None
