"""What the capability modules share: the shape of a sample and of a preference, and their data."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict, TypeVar

Difficulty = Literal["easy", "medium", "hard"]
Scorer = Literal["choice", "exact", "json_schema", "refusal", "regex"]
Target = int | str | dict[str, object]
T = TypeVar("T")

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
PER_BUCKET = 20


class Sample(TypedDict):
    """One line of samples.jsonl."""

    id: str
    capability: str
    difficulty: Difficulty
    input: str
    scorer: Scorer
    target: Target
    choices: NotRequired[list[str]]
    max_tokens: NotRequired[int]
    metadata: NotRequired[dict[str, str]]


class Pair(NamedTuple):
    """A preference as it is written down."""

    input: str
    chosen: str
    rejected: str


class Question(NamedTuple):
    """A multiple-choice question as it is written down: the right answer first."""

    input: str
    right: str
    wrong: tuple[str, ...]
    metadata: dict[str, str]


def rows(text: str, columns: int) -> list[list[str]]:
    """A table written as text: a row a line, cells apart by `|`."""
    table = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    for row in table:
        if len(row) != columns or not all(row):
            raise ValueError(f"needs {columns} cells: {row}")
    return table


def dealt(rng: random.Random, items: Sequence[T]) -> Iterator[T]:
    """The items in random order, again and again, so that all are used equally often."""
    while True:
        yield from rng.sample(items, len(items))


def upper(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def generated(
    capability: str,
    difficulty: Difficulty,
    number: int,
    input: str,
    scorer: Scorer,
    target: Target,
    max_tokens: int,
    metadata: Mapping[str, str] | None = None,
) -> Sample:
    """A sample whose reply is generated; `number` counts from 1 within its bucket."""
    sample = Sample(
        id=f"{capability}-{difficulty}-{number:03d}",
        capability=capability,
        difficulty=difficulty,
        input=input,
        scorer=scorer,
        target=target,
        max_tokens=max_tokens,
    )
    if metadata:
        sample["metadata"] = dict(metadata)
    return sample


def multiple_choice(
    rng: random.Random, capability: str, questions: Mapping[Difficulty, Sequence[Question]]
) -> list[Sample]:
    """Samples with shuffled choices; in each bucket all positions are right equally often."""
    samples = []
    for difficulty in DIFFICULTIES:
        bucket = questions[difficulty]
        places = [turn % (1 + len(question.wrong)) for turn, question in enumerate(bucket)]
        rng.shuffle(places)
        for number, (question, place) in enumerate(zip(bucket, places, strict=True), 1):
            choices = rng.sample(question.wrong, len(question.wrong))
            choices.insert(place, question.right)
            samples.append(
                Sample(
                    id=f"{capability}-{difficulty}-{number:03d}",
                    capability=capability,
                    difficulty=difficulty,
                    input=question.input,
                    scorer="choice",
                    target=place,
                    choices=choices,
                    metadata=question.metadata,
                )
            )
    return samples
