"""A regular expression that a generated reply must match."""

from __future__ import annotations

from pytest_modellab.errors import Unscorable
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers import patterns


class Regex:
    """1 where ``re.search(target, reply.strip())`` finds a match.

    Within limits of time and size, see :mod:`pytest_modellab.scorers.patterns`. Range [0, 1],
    higher is better.
    """

    name = "regex"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        if not isinstance(sample.target, str):
            return "target: the scorer 'regex' needs a regular expression in a string"
        if wrong := patterns.problem(sample.target):
            return f"target: {wrong}"
        try:
            if patterns.found(sample.target, ""):
                return "target: the expression matches an empty reply"
        except Unscorable as error:
            return f"target: {error}"
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Score one sample.

        Raises:
            Unscorable: the search takes too long.
        """
        return float(patterns.found(sample.target, output.text.strip())), output.text
