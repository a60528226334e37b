"""What a reply breaks in a scorer is that sample's failure."""

from __future__ import annotations

from collections.abc import Callable

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.scoring import score_sample


class Breaks:
    name = "exact"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        raise OverflowError(f"too\nlarge: {output.text}")


def test_an_exception_in_a_scorer_is_the_samples_failure(sample: Callable[..., Sample]) -> None:
    found = score_sample(Breaks(), sample(scorer="exact"), Output("1e400"), None)
    assert found.score is None
    assert found.output == "(the scorer 'exact' failed: OverflowError: too large: 1e400)"
