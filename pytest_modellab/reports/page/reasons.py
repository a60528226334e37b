"""Why a scenario's choice is what it is, in sentences."""

from __future__ import annotations

from pytest_modellab.reports.page.words import (
    FEW,
    limit_value,
    limited,
    measured,
    metric_value,
    miss,
    named,
    share,
    short_by,
    signed,
    tied,
)
from pytest_modellab.reports.words import both, number
from pytest_modellab.tradeoff.decision import NONE, Choice, Turn
from pytest_modellab.tradeoff.figures import SUCCESS, TradeOff

OTHERS = 3
"""How many other variants' shares a sentence names."""


FELT = 0.005
"""A part of a weighted sum that rounds to 0.00 steps is neither a gain nor a loss."""


def headline(tradeoff: TradeOff) -> str:
    """What to ship, in one sentence over all scenarios."""
    choices = tradeoff.choices
    if not choices:
        return "No scenario is declared, so nothing is recommended."
    chosen = {c.variants[0] for c in choices if c.verdict == "choose"}
    if len(chosen) == 1 and all(c.verdict == "choose" for c in choices):
        where = (
            f"the scenario {choices[0].scenario.title!r}"
            if len(choices) == 1
            else f"all {len(choices)} scenarios"
        )
        return f"Ship {chosen.pop()}: it is the choice in {where}."
    groups: dict[str, list[str]] = {}
    for choice in choices:
        groups.setdefault(_short(choice), []).append(choice.scenario.title)
    if len(groups) == 1:
        return f"In every scenario: {next(iter(groups))}."
    said = "; ".join(f"{what} for {both(titles)}" for what, titles in groups.items())
    return f"It depends on the scenario: {said}."


def _short(choice: Choice) -> str:
    if choice.verdict == "choose":
        return f"ship {choice.variants[0]}"
    if choice.verdict == "tie":
        return f"a tie of {tied(choice.variants)}"
    return f"nothing meets the limits (nearest: {choice.variants[0]})"


def probability(choice: Choice, resamples: int) -> str:
    """How sure the choice is: ``best in 87% of 2,000 resamples; prompting in 13%``."""
    shares = choice.shares
    lead = choice.variants[0]
    ranked = sorted((k for k in shares if k not in (NONE, lead)), key=lambda k: (-shares[k], k))
    seen = [k for k in ranked if shares[k] > 0.0]
    if choice.verdict == "none":
        text = f"No variant met the limits in {share(shares[NONE])} of {resamples:,} resamples"
        met = [k for k in (lead, *seen[:2]) if shares.get(k, 0.0) > 0.0]
        return "; ".join([text, *(f"{k} did and was best in {share(shares[k])}" for k in met)])
    parts = [f"{lead} is best in {share(shares[lead])} of {resamples:,} resamples"]
    named = [k for k in ranked if k in choice.variants[:FEW] or k in seen[:OTHERS]]
    parts += [f"{k} in {share(shares[k])}" for k in named]
    rest = sum(shares[k] for k in seen if k not in named)
    if rest > 0.0:
        parts.append(f"others in {share(rest)}")
    if shares.get(NONE, 0.0) > 0.0:
        parts.append(f"in {share(shares[NONE])} none met the limits")
    return "; ".join(parts)


def explained(choice: Choice, reference: str) -> str | None:
    """The variant whose steps explain the choice: the first that is not the reference."""
    for name in choice.variants:
        if name != reference:
            return name
    able = [k for k in choice.steps if k != reference and not choice.misses.get(k)]
    others = able or [k for k in choice.steps if k != reference]
    return max(others, key=lambda k: (choice.steps[k].get("total", 0.0), k), default=None)


def reason(tradeoff: TradeOff, choice: Choice) -> str:
    """What the choice gains and loses against the reference, in one or two sentences."""
    if choice.verdict == "none":
        return nearest_miss(choice, tradeoff.quality)
    reference = tradeoff.reference
    name = explained(choice, reference)
    if name is None:
        return f"{reference} is the only variant."
    parts = choice.steps[name]
    total = parts.get("total", 0.0)
    text = f"Against {reference}, {name} {_balance(tradeoff, choice, name)}"
    text += f"; in all {signed(total)} steps."
    if choice.verdict == "choose" and choice.variants[0] == reference:
        kept_out = choice.misses.get(name)
        why = "the others meet the limits less" if kept_out else "no other variant is better"
        return f"{reference} is the reference and {why}. The next best: {_lower(text)}"
    if choice.verdict == "tie":
        alike = f"{tied(choice.variants)} cannot be told apart with these samples"
        first = (
            f"; {reference} comes first, since a change that gains nothing is not worth making"
            if choice.variants[0] == reference
            else ""
        )
        return f"{alike}{first}. {text}"
    return text


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _balance(tradeoff: TradeOff, choice: Choice, name: str) -> str:
    parts = {k: v for k, v in choice.steps[name].items() if k != "total"}
    gains = sorted((k for k in parts if parts[k] >= FELT), key=lambda k: -parts[k])
    losses = sorted((k for k in parts if parts[k] <= -FELT), key=lambda k: parts[k])
    said = []
    for verb, metrics in (("gains by", gains), ("loses by", losses)):
        if metrics:
            said.append(f"{verb} {both([_moved(tradeoff, choice, name, k) for k in metrics])}")
    return " and ".join(said) if said else "gains and loses nothing that counts"


def _moved(tradeoff: TradeOff, choice: Choice, name: str, metric: str) -> str:
    """``success (0.721 → 0.799)``."""
    volume = choice.scenario.volume
    before, after = (
        metric_value(metric, measured(tradeoff.profile(n), metric, volume))
        for n in (tradeoff.reference, name)
    )
    return f"{named(metric, tradeoff.quality)} ({before} → {after})"


def nearest_miss(choice: Choice, quality: str = SUCCESS) -> str:
    """Which variant comes nearest to the limits, and what it misses."""
    name = choice.variants[0]
    missed = choice.misses.get(name, ())
    said = "; ".join(f"{miss(m, quality)}: missed {short_by(m)}" for m in missed)
    return f"The nearest miss is {name}: {said}." if said else f"The nearest is {name}."


def sensitivity(choice: Choice, quality: str = SUCCESS) -> tuple[str, ...]:
    """What would change the choice."""
    if choice.verdict != "choose":
        return ()
    if not choice.turns:
        return ("No change of a single weight or limit would change the choice.",)
    return tuple(_turn(turn, quality) for turn in choice.turns)


def _turn(turn: Turn, quality: str) -> str:
    if turn.what == "weight":
        more = "at least" if turn.then > turn.now else "at most"
        return (
            f"It turns to {turn.variant} where {named(turn.name, quality)} weighs {more} "
            f"{turn.then:.2f} instead of {turn.now:.2f}."
        )
    return (
        f"It turns to {turn.variant} where the limit of {limited(turn.name, quality)} is "
        f"{limit_value(turn.name, turn.then)} instead of {limit_value(turn.name, turn.now)}."
    )


def unapplied(choice: Choice, quality: str = SUCCESS) -> str | None:
    """What could not be weighed or limited."""
    if not choice.unmeasured:
        return None
    names = [limited(k, quality) for k in choice.unmeasured]
    return f"Not applied, since not every variant was measured: {both(list(dict.fromkeys(names)))}."


def weights(choice: Choice, quality: str = SUCCESS) -> str:
    """``success 0.50, latency 0.40, cost 0.10``, the heaviest first."""
    found = sorted(choice.scenario.weights.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{named(k, quality)} {number(w)}" for k, w in found if w > 0)
