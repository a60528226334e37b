"""What the capability modules share: the shape of a sample and two ways to make one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict

Difficulty = Literal["easy", "medium", "hard"]
Scorer = Literal["choice", "exact", "number", "regex", "json_schema"]

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
PER_BUCKET = 22


class Sample(TypedDict):
    """One line of samples.jsonl."""

    id: str
    capability: str
    difficulty: Difficulty
    input: str
    scorer: Scorer
    target: int | str | dict[str, object]
    choices: NotRequired[list[str]]
    max_tokens: NotRequired[int]
    cluster: NotRequired[str]
    metadata: NotRequired[dict[str, str | int | float]]


class Question(NamedTuple):
    """A multiple-choice question as it is written down: the right answer first."""

    input: str
    right: str
    wrong: tuple[str, ...]
    template: str | None = None
    cluster: str | None = None


def make(
    capability: str,
    difficulty: Difficulty,
    number: int,
    input: str,
    scorer: Scorer,
    target: int | str | dict[str, object],
    *,
    choices: Sequence[str] | None = None,
    max_tokens: int | None = None,
    cluster: str | None = None,
    metadata: Mapping[str, str | int | float] | None = None,
) -> Sample:
    """One sample; `number` counts from 1 within its bucket, absent options leave no key."""
    sample = Sample(
        id=f"{capability}-{difficulty}-{number:03d}",
        capability=capability,
        difficulty=difficulty,
        input=input,
        scorer=scorer,
        target=target,
    )
    if choices is not None:
        sample["choices"] = list(choices)
    if max_tokens is not None:
        sample["max_tokens"] = max_tokens
    if cluster is not None:
        sample["cluster"] = cluster
    if metadata:
        sample["metadata"] = dict(metadata)
    return sample


def positions(rng: random.Random, sizes: Sequence[int]) -> list[int]:
    """Where each right answer goes, given the number of choices of each question.

    Random, but for questions with equally many choices every position is used equally often
    (give or take one), so that a model that prefers a position gains nothing.
    """
    places = [0] * len(sizes)
    for size in sorted(set(sizes)):
        indices = [index for index, other in enumerate(sizes) if other == size]
        dealt = [turn % size for turn in range(len(indices))]
        rng.shuffle(dealt)
        for index, place in zip(indices, dealt, strict=True):
            places[index] = place
    return places


def multiple_choice(
    rng: random.Random,
    capability: str,
    questions: Mapping[Difficulty, Sequence[Question]],
) -> list[Sample]:
    """The samples of a capability that is multiple choice throughout, choices shuffled."""
    ordered = [
        (difficulty, number, question)
        for difficulty in DIFFICULTIES
        for number, question in enumerate(questions[difficulty], 1)
    ]
    places = positions(rng, [1 + len(question.wrong) for _, _, question in ordered])
    samples = []
    for (difficulty, number, question), place in zip(ordered, places, strict=True):
        choices = list(question.wrong)
        rng.shuffle(choices)
        choices.insert(place, question.right)
        samples.append(
            make(
                capability,
                difficulty,
                number,
                question.input,
                "choice",
                place,
                choices=choices,
                cluster=question.cluster,
                metadata={"template": question.template} if question.template else None,
            )
        )
    return samples
