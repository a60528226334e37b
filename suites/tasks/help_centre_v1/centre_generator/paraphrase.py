"""Paraphrase: articles on one subject each, and queries that avoid their words.

Easy: a question that shares one or two content words with its article. Medium: a question that
shares none. Hard: a situation instead of a question, sharing none. Words count as shared when
their first five letters are the same.
"""

from __future__ import annotations

import re

from .common import Document, Part, Query, bank, flow, graded

STOPWORDS = frozenset(
    "a about above after again ago all already although always am an and any anybody are aren't "
    "as at be because been before behind below but by can can't come could did do does don't "
    "down each else for from gave get gets give go goes had has have how however i i'd i'm if "
    "in into is it its just keep keeps let like long longer many may me mine more most much "
    "must my need no nobody not now of off on once one only onto or other our out over please "
    "same send set shall she should since so some something still such take than that the their "
    "them then there these they thing things this those though through to too two until up us "
    "want wants was way we were what when where whether which while who whoever whole why will "
    "with within without would yet you you're your".split()
)


def stems(text: str) -> set[str]:
    """The content words of a text, each cut to five letters."""
    words = re.findall(r"[a-z']+", text.lower())
    return {word[:5] for word in words if word not in STOPWORDS and len(word) > 1}


def shared(query: str, document: Document) -> set[str]:
    """The content words that a query and a document have in common."""
    return stems(query) & stems(f"{document.title} {document.text}")


def made() -> Part:
    """All articles, and the queries about three of the four on each topic."""
    articles = bank("articles")
    documents, queries = [], []
    for topic, entries in articles.items():
        ids = [f"article-{topic}-{entry['id']}" for entry in entries]
        for id, entry in zip(ids, entries, strict=True):
            documents.append(Document(id, entry["title"], flow(entry["text"])))
            if "query" in entry:
                relevant = graded(id, entry.get("related"))
                queries.append(
                    Query(
                        "paraphrase",
                        entry["difficulty"],
                        entry["query"],
                        relevant,
                        tuple(other for other in ids if other not in relevant),
                    )
                )
    return Part(documents, queries)
