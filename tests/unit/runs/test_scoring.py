"""What a reply breaks in a scorer is that sample's failure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from pytest_modellab.errors import ScoringError, Unscorable
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.scoring import score_sample, score_sets
from pytest_modellab.scorers.interface import Scored

Make = Callable[..., Sample]


@dataclasses.dataclass
class Does:
    """A scorer that does what it is told."""

    what: Callable[[str], Any]
    name: str = "exact"
    version: int = 1
    likelihood: bool = False

    def check(self, sample: Sample) -> str | None:
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        found: tuple[float, str] = self.what(output.text)
        return found


@dataclasses.dataclass
class DoesTogether:
    """A scorer of many samples that does what it is told."""

    what: Callable[[Sequence[Output]], Any]
    name: str = "exact"
    version: int = 1
    likelihood: bool = False
    ranking: bool = False

    def check(self, sample: Sample) -> str | None:
        return None

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> Sequence[Scored]:
        found: Sequence[Scored] = self.what(outputs)
        return found


def raises(error: BaseException) -> Callable[[Any], Any]:
    def raise_it(_: object) -> None:
        raise error

    return raise_it


def test_an_exception_in_a_scorer_is_the_samples_failure(sample: Make) -> None:
    broken = Does(raises(OverflowError("too\nlarge: 1e400")))
    found = score_sample(broken, sample(scorer="exact"), Output("1e400"), None)
    assert found.score is None
    assert found.output == "(the scorer 'exact' failed: OverflowError: too large: 1e400)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (True, "TypeError: cannot unpack"),
        ((True, "x"), "TypeError: gave the score as True, which is no number"),
        (("1", "x"), "TypeError: gave the score as '1', which is no number"),
        ((None, "x"), "TypeError: gave the score as None, which is no number"),
        ((0.5, 3), "TypeError: gave the answer 3, which is no text"),
        ((1.5, "x"), "ValueError: gave 1.5, which lies outside [0, 1]"),
        ((-0.1, "x"), "ValueError: gave -0.1, which lies outside [0, 1]"),
        ((math.nan, "x"), "ValueError: gave nan, which lies outside [0, 1]"),
        ((10**400, "x"), "OverflowError: int too large to convert to float"),
    ],
)
def test_what_is_no_score_is_the_samples_failure(sample: Make, given: Any, said: str) -> None:
    found = score_sample(Does(lambda _: given), sample(scorer="exact"), Output("x"), None)
    assert found.score is None
    assert found.output.startswith(f"(the scorer 'exact' failed: {said}"), found.output


@pytest.mark.parametrize("given", [1, np.float32(1), np.float64(1), Fraction(1)])
def test_any_real_number_is_a_score(sample: Make, given: Any) -> None:
    found = score_sample(Does(lambda _: (given, "x")), sample(scorer="exact"), Output("x"), None)
    assert type(found.score) is float
    assert found.score == 1.0


def test_a_failure_said_on_purpose_keeps_its_words(sample: Make) -> None:
    said = Does(raises(Unscorable("the reply is too long")))
    found = score_sample(said, sample(scorer="exact"), Output("x"), None)
    assert (found.score, found.output) == (None, "(the reply is too long)")


def test_a_missing_library_stops_the_run(sample: Make) -> None:
    with pytest.raises(ScoringError, match="needs ir_measures"):
        score_sample(
            Does(raises(ScoringError("needs ir_measures"))),
            sample(scorer="exact"),
            Output(""),
            None,
        )


# --- scored together ------------------------------------------------------------------------------


def together(sample: Make, what: Callable[[Sequence[Output]], Any]) -> list[tuple[Any, str]]:
    samples = tuple(sample(id=f"s{i}", scorer="exact") for i in range(3))
    outputs = [Output("one"), Output("", failed="NaN"), Output("two")]
    scorer = DoesTogether(what)
    found = score_sets(TaskSet("words", "1", samples), {"exact": scorer}, outputs)
    results = [
        score_sample(scorer, s, o, found.get(i))
        for i, (s, o) in enumerate(zip(samples, outputs, strict=True))
    ]
    return [(result.score, result.output) for result in results]


def test_what_breaks_a_scorer_of_many_is_the_failure_of_them_all(sample: Make) -> None:
    why = "(the scorer 'exact' failed: ZeroDivisionError: division by zero)"
    assert together(sample, lambda _: 1 / 0) == [(None, why), (None, "(NaN)"), (None, why)]


def test_a_scorer_of_many_that_loses_one(sample: Make) -> None:
    why = "(the scorer 'exact' failed: ValueError: gave 1 scores for 2 samples)"
    found = together(sample, lambda _: [Scored(1.0, "x")])
    assert found == [(None, why), (None, "(NaN)"), (None, why)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (0.5, "TypeError: gave 0.5, which is no Scored(score, answer, metrics)"),
        (Scored(math.nan, "x"), "ValueError: gave nan, which lies outside [0, 1]"),
        (Scored(2, "x"), "ValueError: gave 2.0, which lies outside [0, 1]"),
        (
            Scored(1.0, "x", {"f1": math.inf}),
            "ValueError: gave the figure 'f1' as inf, which is not finite",
        ),
        (
            Scored(1.0, "x", {"f1": True}),
            "TypeError: gave the figure 'f1' as True, which is no number",
        ),
    ],
)
def test_one_wrong_score_of_many_is_one_failure(sample: Make, wrong: Any, said: str) -> None:
    found = together(sample, lambda outputs: [wrong, Scored(2 / 3, outputs[1].text)])
    why = f"(the scorer 'exact' failed: {said})"
    assert found == [(None, why), (None, "(NaN)"), (0.666667, "two")]
