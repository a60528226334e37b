"""Guides: products × topics, and two capabilities that query them.

Typo: a question with misspelt words. Easy: two. Medium: four. Hard: six. Other language: a
question in German, French or Spanish. Easy: it names the product and has a word that looks like
its English counterpart. Medium: it names the product. Hard: it only describes it. The two
capabilities never ask about the same guide.
"""

from __future__ import annotations

import random

from .common import DIFFICULTIES, PER_BUCKET, Document, Part, Query, bank, dealt, flow, graded
from .typos import misspelt

LANGUAGES = ("de", "fr", "es")
TYPOS = {"easy": 2, "medium": 4, "hard": 6}
RELATED = {"warranty": "warranty-claim"}


def made(rng: random.Random) -> Part:
    """All guides and the queries about three of four of them."""
    guides = bank("guides")
    topics, products = guides["topics"], guides["products"]
    closings = iter(dealt(rng, guides["closings"], len(topics) * len(products)))
    documents: list[Document] = []
    queries: list[Query] = []
    levels = iter(dealt(rng, DIFFICULTIES, len(DIFFICULTIES) * PER_BUCKET))
    styles = {
        topic: zip(
            dealt(rng, texts["titles"], len(products)),
            dealt(rng, texts["openings"], len(products)),
            strict=True,
        )
        for topic, texts in topics.items()
    }
    for product in products:
        for topic in topics:
            id = f"guide-{product['id']}-{topic}"
            guide = product[topic]
            title, opening = next(styles[topic])
            text = flow(opening.format(p=product["name"]), guide["text"], next(closings))
            documents.append(Document(id, title.format(p=product["name"]), text))
            relevant = graded(id, RELATED.get(topic))
            negatives = tuple(
                f"guide-{product['id']}-{other}" for other in topics if other != topic
            )
            if "typo" in guide:
                level = next(levels)
                asked = misspelt(rng, guide["typo"], TYPOS[level])
                queries.append(
                    Query(
                        "typo", level, asked, relevant, negatives, metadata={"clean": guide["typo"]}
                    )
                )
            queries += [
                Query(
                    "other_language",
                    guide["difficulty"],
                    guide[language],
                    relevant,
                    negatives,
                    metadata={"language": language},
                )
                for language in LANGUAGES
                if language in guide
            ]
    return Part(documents, queries)
