"""What a variant said, as plain data of a file and back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pytest_modellab.records.runs import Audited, Output, Ranking


def to_data(output: Output) -> dict[str, Any]:
    """Return an output as plain data."""
    return dataclasses.asdict(output)


def from_data(data: Mapping[str, Any]) -> Output:
    """Read what :func:`to_data` made.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is not that.
    """
    exact = data.get("exact")
    return Output(
        **{
            **data,
            "text": _text(data["text"]),
            "option_logprobs": tuple(number(value) for value in data["option_logprobs"]),
            "tokens_in": _count(data["tokens_in"]),
            "tokens_out": _count(data["tokens_out"]),
            "seconds": number(data["seconds"]),
            "failed": _text(data["failed"]),
            "ranking": _ranking(data.get("ranking", [])),
            "exact": exact and Audited(_ranking(exact["ranking"]), number(exact["recall"])),
            "passages": tuple(_text(passage) for passage in data.get("passages", [])),
        }
    )


def number(value: object) -> float:
    """Return a finite number; true and false are none.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{value!r} is no count")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _ranking(data: list[Any]) -> Ranking:
    return tuple((_text(id_), number(score)) for id_, score in data)
