"""The last number of a generated reply."""

from __future__ import annotations

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


_TOLERANCE = Decimal("1e-9")


def last_number(text: str) -> Decimal | None:
    """Return the last decimal number in ``text`` (commas between digits are dropped), or None."""
    found = _NUMBER.findall(text)
    return Decimal(found[-1].replace(",", "")) if found else None


def _close(left: Decimal, right: Decimal) -> bool:
    """Whether two numbers differ by at most a relative 1e-9, however many digits they have."""
    digits = sum(abs(int(n.as_tuple().exponent)) + len(n.as_tuple().digits) for n in (left, right))
    exact = Context(prec=digits + 10, Emax=MAX_EMAX, Emin=MIN_EMIN)
    largest = max(exact.abs(left), exact.abs(right))
    return exact.abs(exact.subtract(left, right)) <= exact.multiply(largest, _TOLERANCE)


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
        right = said is not None and _close(said, target)
        return float(right), output.text
