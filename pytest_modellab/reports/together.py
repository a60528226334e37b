"""What graded evidence says beside the score, where a session judged the same question by both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_modellab.gate.results import Figures
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.graded import GRADED, LIKELIHOOD, PROBABILITY
from pytest_modellab.reports.session import subject
from pytest_modellab.reports.words import both, listed, moved, number

LESS_SURE = (
    "the model is less sure of what it still gets right: another calibration, or an early warning, "
    "since answers flip later"
)
"""Where the probability of the right options fell and the score passes."""


TOO_FEW = (
    "the right options lose probability: a loss that more samples would show in the score, too, "
    "or another calibration"
)
"""Where it fell and the score is undecided."""


ANOTHER_STYLE = (
    "the right words come less readily: another style or less fluency, evidence of change and not "
    "of a lost capability"
)
"""Where only the likelihood fell."""


CLOSE_CALLS = (
    "answers that were close have flipped, and the model is as sure of the right ones as before: "
    "look at the flipped samples"
)
"""Where right or wrong fell and the probability of the right options passes."""


def together(comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """Relate what was judged by the score and by graded metrics, a sentence a question.

    Args:
        comparisons: of one session.

    Returns:
        Of each question (candidate, task set, assertion, reference, capability) that was judged by
        the score and by a graded metric what the one shows that the other does not; the questions
        where a graded metric blocks first, and with the task set where there are several. Nothing
        where they say the same.
    """
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for one in comparisons:
        key = (one.candidate, one.task_set, one.assertion, one.against, one.capability or "")
        groups.setdefault(key, []).append(one)
    found = []
    several = len({key[1] for key in groups}) > 1
    for group in groups.values():
        score = next((one for one in group if one.metric is None), None)
        graded = {m: one for m in GRADED for one in group if one.metric == m}
        if score is None or not graded or score.ratio is not None:
            continue
        blocks = any(one.verdict == "block" for one in graded.values())
        on = f" on {score.task_set}" if several else ""
        what = f"{subject(score)} against {score.against}{on}"
        found += [(not blocks, f"{what}: {text}") for text in _question(score, graded)]
    return tuple(text for _, text in sorted(found, key=lambda pair: pair[0]))


def _question(score: Comparison, graded: Mapping[str, Comparison]) -> list[str]:
    """The sentences about one question."""
    own = {figure.name: figure for figure in score.figures if figure.floor is None}
    others = {
        metric: {f.name: f for f in one.figures if f.floor is None and f.name in own}
        for metric, one in graded.items()
    }
    if len(own) == 1:
        (name,) = own
        return _sentence(own[name], {m: f[name] for m, f in others.items() if name in f})
    found = []
    for name, figure in own.items():
        beside = {m: f[name] for m, f in others.items() if name in f}
        if any(f.verdict == "block" for f in (figure, *beside.values())):
            found += [f"{name}: {text}" for text in _sentence(figure, beside)]
    noun = "capabilities" if score.assertion == "no_forgetting" else "buckets"
    return found + _settled(own, others, noun)


def _sentence(score: Figures, graded: Mapping[str, Figures]) -> list[str]:
    """What the metrics show of one bucket and the score does not, or the other way round."""
    blocked = [metric for metric, figure in graded.items() if figure.verdict == "block"]
    decided = [metric for metric, figure in graded.items() if figure.verdict != "inconclusive"]
    seen = _moved(score)
    if score.verdict == "inconclusive":
        if not decided:
            return []
        first = f"the score cannot tell ({seen}, p = {score.p_adjusted:.2g})"
        parts = [f"{metric} does: {_limit(graded[metric])}" for metric in decided]
    elif score.verdict == "pass":
        if not blocked:
            return []
        first = f"the score passes ({seen})"
        parts = [f"{metric} fell: {_limit(graded[metric])}" for metric in blocked]
    else:
        if not graded:
            return []
        first = f"the score fell ({seen})"
        parts = [_beside(metric, figure) for metric, figure in graded.items()]
    meaning = _meaning(score, graded, blocked)
    return [f"{', '.join([first, *parts])}{f'; {meaning}' if meaning else ''}"]


def _beside(metric: str, figure: Figures) -> str:
    """What a metric shows of a bucket whose score fell."""
    if figure.verdict == "inconclusive":
        return f"{metric} cannot tell ({_moved(figure)}, p = {figure.p_adjusted:.2g})"
    if figure.verdict == "pass":
        return f"{metric} did not: {_limit(figure)}"
    return f"so did {metric}: {_moved(figure)}"


def _meaning(score: Figures, graded: Mapping[str, Figures], blocked: Sequence[str]) -> str:
    if score.verdict == "block":
        sure = PROBABILITY in graded and graded[PROBABILITY].verdict == "pass"
        return CLOSE_CALLS if sure else ""
    if PROBABILITY in blocked:
        return LESS_SURE if score.verdict == "pass" else TOO_FEW
    return ANOTHER_STYLE if LIKELIHOOD in blocked else ""


def _settled(
    own: Mapping[str, Figures], others: Mapping[str, Mapping[str, Figures]], noun: str
) -> list[str]:
    """How many of several buckets each of them settles; nothing where the score settles most."""
    by = {"the score": own, **others}
    counts = {
        name: sum(f.verdict != "inconclusive" for f in figures.values())
        for name, figures in by.items()
    }
    if max(counts.values()) == counts["the score"]:
        return []
    parts = [f"{name} settles {count}" for name, count in counts.items()]
    open_ = [
        name
        for name in own
        if all(name not in f or f[name].verdict == "inconclusive" for f in by.values())
    ]
    rest = f"; {listed(open_)} {'stays' if len(open_) == 1 else 'stay'} open" if open_ else ""
    return [f"of {len(own)} {noun} {both(parts)}{rest}"]


def _moved(figure: Figures) -> str:
    return moved(figure.baseline, figure.candidate)


def _limit(figure: Figures) -> str:
    """``0.65 -> 0.59, beyond the allowed 0.02``."""
    where = "beyond" if figure.verdict == "block" else "within"
    return f"{_moved(figure)}, {where} the allowed {number(figure.margin)}"
