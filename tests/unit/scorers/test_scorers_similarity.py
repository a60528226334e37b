"""Spearman's rho, pair by pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from pytest_modellab import scorers
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored
from pytest_modellab.scorers.similarity import Similarity


def pair(similarity: Any = 1.0, **changes: Any) -> Sample:
    values: dict[str, Any] = {
        "id": "p1",
        "input": "A man plays.",
        "target": {"similarity": similarity},
        "scorer": "spearman",
        "capability": "similarity",
        "difficulty": "easy",
        "choices": ("A man is playing.",),
    }
    return Sample(**{**values, **changes})


def score(cosines: Sequence[float], people: Sequence[float]) -> list[Scored]:
    outputs = [Output("", option_logprobs=(cosine,)) for cosine in cosines]
    return Similarity().score_all([pair(value) for value in people], outputs, ())


def contributions(cosines: Sequence[float], people: Sequence[float]) -> list[float]:
    return [scored.metrics["spearman"] for scored in score(cosines, people)]


steps = st.integers(-1000, 1000).map(lambda step: step / 1000)
few = st.sampled_from([-0.5, 0.0, 0.5])
grades = st.integers(0, 5).map(float)


@st.composite
def pairs(draw: st.DrawFn, ties: bool) -> tuple[list[float], list[float]]:
    count = draw(st.integers(2, 30))
    if ties:
        left = draw(st.lists(few | steps, min_size=count, max_size=count))
        right = draw(st.lists(grades, min_size=count, max_size=count))
        assume(len(set(left)) > 1)
        assume(len(set(right)) > 1)
    else:
        left = draw(st.lists(steps, min_size=count, max_size=count, unique=True))
        right = [float(rank) for rank in draw(st.permutations(range(count)))]
    return left, right


@given(pairs(ties=True) | pairs(ties=False))
def test_the_mean_is_rho(values: tuple[list[float], list[float]]) -> None:
    found = contributions(*values)
    rho = spearmanr(*values).statistic
    assert math.fsum(found) / len(found) == pytest.approx(rho, abs=1e-12)


@given(pairs(ties=False))
def test_without_ties_it_is_the_textbook_formula(values: tuple[list[float], list[float]]) -> None:
    left, right = values
    count = len(left)
    for found, one, other in zip(contributions(left, right), left, right, strict=True):
        d = sorted(left).index(one) - sorted(right).index(other)
        assert found == pytest.approx(1 - 6 * d**2 / (count**2 - 1), abs=1e-12)
        assert -5 < found <= 1


@given(pairs(ties=True))
def test_only_ranks_count(values: tuple[list[float], list[float]]) -> None:
    left, right = values
    found = contributions(left, right)
    assert contributions([value**3 + value for value in left], right) == found
    assert contributions(left, [math.exp(value) for value in right]) == found


@given(pairs(ties=True))
def test_scores_lie_in_0_to_1(values: tuple[list[float], list[float]]) -> None:
    for scored in score(*values):
        assert scored.score == max(0.0, (scored.metrics["spearman"] + 5) / 6)
        assert 0 <= scored.score <= 1
        assert type(scored.score) is type(scored.metrics["spearman"]) is float


def test_ties_can_push_a_contribution_under_the_least_score() -> None:
    # 30 pairs, of which one alone is told from the others, by either side another
    left, right = [0.0] * 30, [0.0] * 30
    left[0], right[1] = 1.0, 1.0
    found = score(left, right)
    assert found[0].metrics["spearman"] == pytest.approx(1 - (30 / math.sqrt(29)) ** 2 / 2)
    assert found[0].score == 0.0


@pytest.mark.parametrize(
    ("cosines", "people"),
    [([0.5] * 3, [1.0, 2.0, 3.0]), ([0.1, 0.2, 0.3], [1.0] * 3), ([0.1], [1.0])],
    ids=["model", "people", "one pair"],
)
def test_rho_that_is_not_defined_counts_as_0(cosines: list[float], people: list[float]) -> None:
    for scored in score(cosines, people):
        assert scored.metrics == {"spearman": 0.0}
        assert scored.score == 5 / 6


def test_noise_breaks_no_tie() -> None:
    people = [1.0, 2.0, 3.0, 4.0]
    exact = contributions([0.2, 1.0, 1.0, 0.5], people)
    assert contributions([0.2, 1.0 - 1.2e-7, 1.0 + 1.2e-7, 0.5], people) == exact
    assert contributions([0.2, 1.0 - 2e-6, 1.0, 0.5], people) != exact


def test_answer() -> None:
    found = score([0.83, 0.5, 0.834, 0.5], [40, 1.25, 3, 5])
    assert [scored.answer for scored in found] == [
        "similarity 0.83 (rank 2 of 4, people: 40)",
        "similarity 0.50 (rank 3.5 of 4, people: 1.25)",
        "similarity 0.83 (rank 1 of 4, people: 3)",
        "similarity 0.50 (rank 3.5 of 4, people: 5)",
    ]


def test_nan_is_refused() -> None:
    outputs = [Output("", option_logprobs=(value,)) for value in (0.1, math.nan)]
    with pytest.raises(ScoringError) as caught:
        Similarity().score_all([pair(), pair(id="p2")], outputs, ())
    assert str(caught.value) == "sample 'p2': the model's similarity is NaN"


@pytest.mark.parametrize("choices", [(), ("a", "b")])
def test_check_of_choices(choices: tuple[str, ...]) -> None:
    assert scorers.check(pair(choices=choices)) == (
        "choices: the scorer 'spearman' needs exactly one, the text that the input is compared with"
    )


@pytest.mark.parametrize(
    "target",
    [
        3,
        {"similar": 3},
        *({"similarity": value} for value in ("3", True, None, math.nan, math.inf, 10**400)),
    ],
    ids=str,
)
def test_check_of_target(target: Any) -> None:
    assert scorers.check(pair(target=target)) == (
        f"target: the scorer 'spearman' needs {{\"similarity\": a finite number}}, not {target!r}"
    )


@pytest.mark.parametrize("value", [0, -1.5, 40])
def test_check_finds_nothing(value: float) -> None:
    assert scorers.check(pair(value)) is None
