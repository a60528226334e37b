"""A regular expression that a generated reply must match."""

from __future__ import annotations

import re

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample


class Regex:
    """1 where ``re.search(target, reply.strip())`` finds a match.

    Range [0, 1], higher is better.
    """

    name = "regex"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        if not isinstance(sample.target, str):
            return "target: the scorer 'regex' needs a regular expression in a string"
        try:
            pattern = re.compile(sample.target)
        except (re.error, OverflowError, RecursionError) as error:
            return f"target: not a regular expression: {error}"
        if pattern.search(""):
            return "target: the expression matches an empty reply"
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        return float(re.search(sample.target, output.text.strip()) is not None), output.text
