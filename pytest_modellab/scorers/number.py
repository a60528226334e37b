"""The last number of a generated reply."""

from __future__ import annotations

import math
import re

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text: str) -> float | None:
    """Return the last decimal number in ``text`` (commas between digits are dropped), or None."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


class Number:
    """1 where the last number of the reply equals the target within a relative 1e-9.

    Range [0, 1], higher is better.
    """

    name = "number"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        if not isinstance(sample.target, str) or not _NUMBER.fullmatch(sample.target):
            return f"target: {sample.target!r} is not a decimal number in a string"
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        said, target = last_number(output.text), last_number(sample.target)
        assert target is not None  # checked when the task set was read
        right = said is not None and math.isclose(said, target, rel_tol=1e-9)
        return float(right), output.text
