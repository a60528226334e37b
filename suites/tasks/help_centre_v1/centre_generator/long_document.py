"""Long documents: handbooks of 350 to 600 words, and queries about one detail in a known third.

A query names the detail, not the handbook, so the title gives nothing away. Easy: no other
handbook speaks of it. Medium: the others of the template say another word there. Hard: they say
another number there.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from .common import ANSWERS, DIFFICULTIES, Difficulty, Document, Part, Query, bank, dealt, flow

DEPTHS = ("first", "middle", "last")


class Fact(NamedTuple):
    """What one handbook says in one third, and the query about it."""

    text: str
    asked: str
    evidence: str


def made(rng: random.Random) -> Part:
    """All handbooks and one query about each, in turns over templates and depths."""
    documents: list[Document] = []
    turns: list[list[Query]] = [[], [], []]
    for number, handbook in enumerate(bank("handbooks")["handbook"]):
        subjects = handbook["subjects"]
        ids = [f"handbook-{handbook['name']}-{place}" for place in range(1, len(subjects) + 1)]
        cells = [(depth, difficulty) for depth in range(3) for difficulty in DIFFICULTIES]
        rng.shuffle(cells)
        openings = dealt(rng, handbook["openings"], len(subjects))
        facts = [_facts(rng, third, depth, cells) for depth, third in enumerate(handbook["thirds"])]
        for place, (id, subject, (depth, difficulty)) in enumerate(
            zip(ids, subjects, cells, strict=True)
        ):
            opening = openings[place].format(s=subject)
            text = flow(opening, *(third[place].text for third in facts))
            documents.append(Document(id, handbook["title"].format(s=subject), text))
            turns[(depth - number) % 3].append(
                Query(
                    "long_document",
                    difficulty,
                    facts[depth][place].asked,
                    {id: ANSWERS},
                    tuple(other for other in ids if other != id),
                    evidence=facts[depth][place].evidence,
                    answers=(subject,),
                    metadata={"depth": DEPTHS[depth], "template": handbook["name"]},
                )
            )
    return Part(documents, [query for turn in turns for query in turn])


def _facts(
    rng: random.Random, third: dict[str, Any], depth: int, cells: list[tuple[int, Difficulty]]
) -> list[Fact]:
    """One third of all handbooks of a template; the unique sentence is in one of them."""
    texts, words, numbers = (
        dealt(rng, third[name], len(cells)) for name in ("texts", "words", "numbers")
    )
    found = []
    for cell, text, word, number in zip(cells, texts, words, numbers, strict=True):
        unique = third["unique"] if cell == (depth, "easy") else ""
        asked, evidence = {
            "easy": (third["ask_unique"], third["unique"]),
            "medium": (third["ask_word"].format(word=word), word),
            "hard": (third["ask_number"].format(number=number), number),
        }[cell[1]]
        filled = text.format(word=word, number=number, unique=unique)
        found.append(Fact(filled, asked, evidence))
    return found
