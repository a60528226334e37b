"""Numbers and entity: families of documents that are told apart by a number or a name only.

Numbers: the documents of a family are the same text but for numbers, dates and amounts. Easy: the
numbers lie far apart. Medium: they lie close together. Hard: the query writes the number in
another way. Entity: the names look alike. Easy: they share a word. Medium: they differ in a letter
or in the order of digits. Hard: they differ in a number or a suffix, so that one may hold another.
"""

from __future__ import annotations

import random

from .common import Document, Part, Query, bank, dealt, flow, graded


def made(rng: random.Random, capability: str) -> Part:
    """All families of a capability and their queries, in turns over the families."""
    documents: list[Document] = []
    turns: list[list[Query]] = [[], [], []]
    for family in bank(capability)["family"]:
        keys = family["keys"]
        asked = family.get("asked", keys)
        values = family["values"]
        if not family.get("ordered"):
            values = dealt(rng, values, len(keys))
        others = dealt(rng, family.get("others", [""]), len(keys))
        openings = dealt(rng, family.get("openings", [""]), len(keys))
        ids = [f"{capability}-{family['name']}-{number}" for number in range(1, len(keys) + 1)]
        for id, key, value, other, opening in zip(ids, keys, values, others, openings, strict=True):
            text = flow(opening, family["text"]).format(k=key, v=value, w=other)
            documents.append(Document(id, family["title"].format(k=key), text))
        places = rng.sample(range(len(keys)), len(turns))
        for turn, place, question in zip(turns, places, family["questions"], strict=True):
            turn.append(
                Query(
                    capability,
                    family["difficulty"],
                    question.format(k=keys[place], a=asked[place]),
                    graded(ids[place], family.get("related")),
                    tuple(id for id in ids if id != ids[place]),
                    cluster=family["name"],
                    evidence=values[place],
                    answers=(values[place],),
                )
            )
    return Part(documents, [query for turn in turns for query in turn])
