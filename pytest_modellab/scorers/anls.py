"""ANLS: how near a short answer about a document comes to one of those that are accepted."""

from __future__ import annotations

from typing import Any

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.errors import LONGEST, normalization, unknown

THRESHOLD = 0.5
"""An answer that is this far away is another answer, and no misread one."""


_DEFAULT = "caseless-1"


class Anls:
    """Average Normalized Levenshtein Similarity (Biten et al. 2019, "Scene Text VQA", equation 1).

    With NL the Levenshtein distance between reply and accepted answer divided by the length of the
    longer one, a reply's score is the largest over the answers of 1 - NL where NL < 0.5, and else
    0: a misread letter costs a little, another answer everything. The mean over samples is ANLS.
    Range [0, 1], higher is better.

    The target is the answer, or ``{"answers": [text, …], "normalize": name}``. Without a
    normalization it is ``caseless-1``, as ANLS was defined: case does not count, white space does
    as one space.
    """

    name = "anls"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the target: no answers, an empty or a very long one."""
        target = sample.target
        given = target if isinstance(target, dict) else {"answers": [target]}
        answers = given.get("answers")
        if (
            not isinstance(answers, list)
            or not answers
            or not all(isinstance(one, str) for one in answers)
            or not given.keys() <= {"answers", "normalize"}
        ):
            return (
                "target: the scorer 'anls' needs the answer, or "
                f'{{"answers": [text, …], "normalize": name}}, not {target!r}'
            )
        if problem := unknown(given):
            return problem
        for answer in answers:
            if len(answer) > LONGEST:
                return f"target: an answer of {len(answer)} characters; {LONGEST} is the most"
            if not normalization(target, _DEFAULT)(answer):
                return f"target: the answer {answer!r} is empty"
        return None

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Score the reply against the nearest answer."""
        distance = _levenshtein()
        target, normalize = sample.target, normalization(sample.target, _DEFAULT)
        said = normalize(output.text)
        answers = target["answers"] if isinstance(target, dict) else [target]
        return max(_similarity(normalize(one), said, distance) for one in answers), output.text


def _similarity(wanted: str, said: str, distance: Any) -> float:
    longer = max(len(wanted), len(said))
    if 2 * abs(len(wanted) - len(said)) >= longer:  # so much is missing or too much
        return 0.0
    away = distance(wanted, said) / longer
    return 1 - away if away < THRESHOLD else 0.0


def _levenshtein() -> Any:
    try:
        from rapidfuzz.distance.Levenshtein import distance
    except ImportError as error:
        raise ScoringError(
            "the scorer 'anls' needs rapidfuzz, which comes with jiwer: "
            "pip install 'pytest-modellab[documents]'"
        ) from error
    return distance
