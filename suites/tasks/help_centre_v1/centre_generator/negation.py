"""Negation: six members of a kind, one of which lacks what all the others have.

All six documents of a sheet speak of the same three features, so that only the polarity tells them
apart. Easy: the title says what is lacking. Medium: the text says so with "not" or "no". Hard: it
says so in words of exception.
"""

from __future__ import annotations

import random
from typing import Any

from .common import ANSWERS, Document, Part, Query, bank, dealt, flow


def made(rng: random.Random) -> Part:
    """All sheets and their queries, in turns over the sheets."""
    documents: list[Document] = []
    turns: list[list[Query]] = [[], [], []]
    for sheet in bank("negation")["sheet"]:
        members, features = sheet["members"], sheet["features"]
        ids = [f"negation-{sheet['name']}-{number}" for number in range(1, len(members) + 1)]
        lacking = rng.sample(range(len(members)), len(features))
        documents += _documents(rng, sheet, ids, lacking)
        for turn, feature, place in zip(turns, features, lacking, strict=True):
            turn.append(
                Query(
                    "negation",
                    sheet["difficulty"],
                    feature["ask"],
                    {ids[place]: ANSWERS},
                    tuple(id for id in ids if id != ids[place]),
                    cluster=sheet["name"],
                    answers=(members[place],),
                )
            )
    return Part(documents, [query for turn in turns for query in turn])


def _documents(
    rng: random.Random, sheet: dict[str, Any], ids: list[str], lacking: list[int]
) -> list[Document]:
    """The six documents; feature k is missing in the one at place `lacking[k]`."""
    members, features = sheet["members"], sheet["features"]
    openings = dealt(rng, sheet["openings"], len(members))
    closings = dealt(rng, sheet["closings"], len(members))
    found = []
    for place, member in enumerate(members):
        title = sheet["title"]
        sentences = []
        for feature, owner in zip(features, lacking, strict=True):
            if owner == place:
                title = feature.get("no_title", title)
                sentences.append(rng.choice(feature["no"]))
            else:
                sentences.append(rng.choice(feature["yes"]))
        rng.shuffle(sentences)
        text = flow(openings[place], *sentences, closings[place])
        found.append(Document(ids[place], title.format(m=member), text.format(m=member)))
    return found
