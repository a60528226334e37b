"""What counts as forgotten, and what could be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_modellab.gate import (
    AlignmentError,
    EmptyError,
    Forgetting,
    GateInputError,
    LabelError,
    LengthError,
    MissingScoresError,
    ScoreError,
    SettingError,
    combine,
    drop_family,
    forgetting_family,
)


def answers(right: dict[str, int], n: int = 60) -> list[float]:
    return [float(i < count) for count in right.values() for i in range(n)]


BASE = answers({"arithmetic": 54, "code": 40, "poetry": 19, "trivia": 25})
AFTER = answers({"arithmetic": 54, "code": 10, "poetry": 1, "trivia": 5})
NAMES = [name for name in ("arithmetic", "code", "poetry", "trivia") for _ in range(60)]
CHANCE = [0.25 if name in ("poetry", "trivia") else 0.0 for name in NAMES]


def judged(**changed: Any) -> Forgetting:
    settings: dict[str, Any] = {
        "baseline_scores": BASE,
        "candidate_scores": AFTER,
        "capabilities": NAMES,
        "second_scores": BASE,
        "chance": CHANCE,
        **changed,
    }
    return forgetting_family(**settings)


def test_scope_is_what_the_base_shows_and_nothing_targets() -> None:
    found = judged(targeted={"code"})
    assert found.in_scope == ("arithmetic", "trivia")
    assert found.out_of_scope == (
        ("code", "targeted by the adaptation"),
        ("poetry", "the base does not show it: 0.32 (n = 60), chance 0.25"),
    )
    assert found.verdict == "block"
    assert [one.verdict for one in found.figures] == ["inconclusive", "block"]


def test_the_bound_is_clopper_pearson() -> None:
    """P(Bin(60, 1/4) >= 20) is 0.092, of 21 and more 0.053, of 22 and more 0.028."""
    for right, inside in ((20, False), (21, False), (22, True)):
        second = answers({"arithmetic": 54, "code": 40, "poetry": right, "trivia": 25})
        assert ("poetry" in judged(second_scores=second).in_scope) is inside


def test_without_chance_a_single_right_answer_shows_it() -> None:
    for right in (0, 1):
        second = answers({"arithmetic": 54, "code": right, "poetry": 19, "trivia": 25})
        assert ("code" in judged(second_scores=second).in_scope) is bool(right)


def test_scope_does_not_look_at_the_runs_compared() -> None:
    lucky = answers({"arithmetic": 54, "code": 40, "poetry": 60, "trivia": 25})
    found = judged(baseline_scores=lucky)
    assert "poetry" not in found.in_scope
    for before, after in ((BASE, AFTER), (AFTER, BASE), (lucky, lucky)):
        scope = judged(baseline_scores=before, candidate_scores=after).out_of_scope
        assert scope == judged().out_of_scope


def test_figures_are_those_of_the_family_in_scope() -> None:
    found = judged(targeted=["code"], margin=0.02, alpha=0.02, pass_alpha=0.1)
    inside = np.isin(NAMES, ["arithmetic", "trivia"])
    family = drop_family(
        np.array(BASE)[inside],
        np.array(AFTER)[inside],
        np.array(NAMES)[inside],
        margin=0.02,
        alpha=0.02,
        pass_alpha=0.1,
    )
    assert found.figures == family
    assert found.verdict == combine(family)


def test_positions_stay_those_of_the_caller() -> None:
    before, after = list(BASE), list(AFTER)
    before[70] = before[200] = np.nan  # of code, targeted, and of trivia
    after[71] = after[201] = np.nan
    found = judged(baseline_scores=before, candidate_scores=after, targeted=["code"])
    assert [(one.dropped, one.missing) for one in found.figures] == [((), ()), ((200,), (201,))]


def test_clusters_count_in_the_scope_too() -> None:
    together = [f"{name} {i // 30}" for i, name in enumerate(NAMES)]
    found = judged(clusters=together)
    assert "trivia" not in found.in_scope
    assert found.figures[0].clusters == 2


def test_missing_second_scores_show_nothing() -> None:
    second = [*BASE[:180], *[np.nan] * 60]
    assert "trivia" not in judged(second_scores=second).in_scope


def test_a_pass_needs_every_capability_in_scope() -> None:
    same = judged(candidate_scores=BASE, margin=0.1)
    assert same.verdict == "pass"
    assert judged(candidate_scores=BASE, margin=0.02).verdict == "inconclusive"


def test_in_words() -> None:
    found = judged(targeted=["code"])
    lines = found.explain().splitlines()
    assert lines[0].startswith("blocked: trivia fell from 0.42 to 0.08 (n = 60); a drop this large")
    assert lines[1].startswith("undecided: arithmetic stayed at 0.90")
    assert lines[2:] == [
        "not judged: code, targeted by the adaptation",
        "not judged: poetry, the base does not show it: 0.32 (n = 60), chance 0.25",
    ]
    assert repr(found) == (
        "<block: capabilities: 2 in scope, 2 not; worst: trivia 0.42 -> 0.08, n = 60, "
        "p = 4.8e-07 (allowed 0.025)>"
    )


def message(kind: type[GateInputError], **changed: Any) -> str:
    with pytest.raises(kind) as caught:
        judged(**changed)
    return str(caught.value)


def test_errors() -> None:
    assert message(
        EmptyError, second_scores=[0] * 240, targeted=["arithmetic", "code", "trivia"]
    ) == (
        "there is nothing that could be forgotten: arithmetic: targeted by the adaptation; "
        "code: targeted by the adaptation; poetry: the base does not show it: 0.00 (n = 60), "
        "chance 0.25; trivia: targeted by the adaptation: add samples of capabilities that the "
        "base has and the adaptation leaves alone"
    )
    assert message(LabelError, targeted=["coding"]) == (
        "targeted holds 'coding', which no sample is labelled with: the capabilities are "
        "arithmetic, code, poetry, trivia"
    )
    assert message(LabelError, targeted="code") == (
        "targeted is the text 'code', but must be a list of capabilities"
    )
    assert message(ScoreError, chance=[1.0, None, *CHANCE[2:]]) == (
        "chance: 2 samples without a probability below 1, at index 0, 1: write 1 / number of "
        "options, and 0 where the answer is generated"
    )
    assert message(LengthError, second_scores=[1]).startswith(
        "second_scores has 1 entries, baseline_scores 240: both must list the same samples"
    )
    assert message(LengthError, chance=[0]).startswith("chance has 1 entries, baseline_scores 240")
    assert message(LabelError, capabilities=[None] * 240).startswith("capabilities: 240 samples")
    assert message(SettingError, margin=1).startswith("margin is 1,")
    assert message(SettingError, alpha=0).startswith("alpha is 0,")
    assert message(SettingError, pass_alpha=2).startswith("pass_alpha is 2,")
    assert message(MissingScoresError, candidate_scores=[None] * 240).startswith("240 of 240")
    pandas = pytest.importorskip("pandas")
    assert message(
        AlignmentError,
        baseline_scores=pandas.Series(BASE),
        chance=pandas.Series(CHANCE, index=range(1, 241)),
    ).startswith("baseline_scores and chance are Series")
