"""Exact match of a generated reply."""

from __future__ import annotations

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample


def normalize(text: str) -> str:
    """Trim, drop one pair of quotes and a final period, and fold the case."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text.strip().removesuffix(".").strip().casefold()


class Exact:
    """1 where the reply equals the target but for case, outer space, quotes and a final period.

    Range [0, 1], higher is better.
    """

    name = "exact"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        if not isinstance(sample.target, str) or not normalize(sample.target):
            return "target: the scorer 'exact' needs a non-empty string"
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        return float(normalize(output.text) == normalize(sample.target)), output.text
