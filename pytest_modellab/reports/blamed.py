"""Which part accounts for what was lost, in words: the same in every report."""

from __future__ import annotations

from pytest_modellab.records.diagnosis import UNCHANGED, Blame, PutBack, missing
from pytest_modellab.reports.words import listed, moved, plural


def rows(blame: Blame) -> list[tuple[str, str]]:
    """What was asked again, and what each part brings back: a word, and a sentence for it."""
    found = [("lost", lost_words(blame))]
    found += [(one.part, part_words(one, blame)) for one in blame.parts]
    if blame.whole is not None:
        found.append((blame.whole.part, part_words(blame.whole, blame)))
    return found


def lost_words(blame: Blame) -> str:
    """``12 of 40 lost answers asked again; their mean score fell from 0.91 to 0.35``."""
    asked = plural(blame.of, "lost answer")
    asked = f"{blame.lost} of {asked}" if blame.lost < blame.of else asked
    return f"{asked} asked again; their mean score: {moved(blame.before, blame.after)}"


def part_words(one: PutBack, blame: Blame) -> str:
    """``put back, 9 of 10 are right again (score 0.35 -> 0.88); alone in the base, it loses 8``."""
    if one.right_again is None or one.score is None:
        return one.why
    score = moved(blame.after, one.score)
    text = f"put back, {one.right_again} of {blame.lost} right again (mean score: {score})"
    if one.lost_alone is None:
        return text
    return f"{text}; alone in the base, the candidate's loses {one.lost_alone}"


def proof_words(blame: Blame, culprit: str | None) -> str:
    """What a failing test's message says beside the name; empty where nothing is named."""
    one = next((part for part in blame.parts if part.part == culprit), None)
    if one is None:
        return ""
    told = [f"of {blame.of} in all"] if blame.lost < blame.of else []
    if all(part.why == UNCHANGED for part in blame.parts if part is not one):
        told.append("no other part differs")
    if one.lost_alone is not None:
        told.append(f"alone in the base, it loses {one.lost_alone} of {blame.lost}")
    if left := missing(blame):
        told.append(f"not put back: {listed(left, 3)}")
    return "; ".join(told)


def lede(blame: Blame, culprit: str | None, names: tuple[str, str]) -> str:
    """What it means, for somebody who reads of all this for the first time.

    Args:
        blame: what was found.
        culprit: the part that is named, or None.
        names: what candidate and base are called.
    """
    candidate, base = names
    lost = plural(blame.lost, "answer")
    if all(part.why == UNCHANGED for part in blame.parts):
        return (
            f"{candidate} is made of {len(blame.parts)} parts, all as {base}'s: what it lost "
            "lies in none of them."
        )
    text = (
        f"{candidate} is made of {len(blame.parts)} parts. {base}'s were put into it one at a "
        f"time, and {lost} asked again that {candidate} had lost"
    )
    if blame.lost < blame.of:
        text += f", of {blame.of}"
    if culprit is None:
        return f"{text}. {_unnamed(blame)}: none is named."
    one = next(part for part in blame.parts if part.part == culprit)
    text += f". With the {culprit} put back, {one.right_again} are right again"
    if all(part.why == UNCHANGED for part in blame.parts if part is not one):
        text += "; no other part differs"
    if one.lost_alone is not None:
        text += f"; the other way round, {base} with {candidate}'s {culprit} loses {one.lost_alone}"
    return f"{text}."


def _unnamed(blame: Blame) -> str:
    """Why no part is named."""
    if any(2 * (one.right_again or 0) > blame.lost for one in blame.parts):
        return "Several bring most of them back, each by itself, so that they act together"
    left = missing(blame)
    if all(one.right_again is None for one in blame.parts):
        return "No part that differs could be put back"
    if left:
        return f"No part that could be put back brings most of them back ({listed(left, 3)} not)"
    return "No part alone brings most of them back"
