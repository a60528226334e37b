"""The help centre of Tarnhollow, an invented outdoor shop: its documents and queries."""

from __future__ import annotations

import random

from . import families, guides, long_document, negation, paraphrase
from .common import DIFFICULTIES, PER_BUCKET, Document, Query

__all__ = ["QA_PER_BUCKET", "Document", "Query", "made"]

CAPABILITIES = (
    "entity",
    "long_document",
    "negation",
    "numbers",
    "other_language",
    "paraphrase",
    "typo",
)
QA_PER_BUCKET = 5  # queries of a bucket that keep their answers


def made(seed: int) -> tuple[list[Document], dict[str, Query]]:
    """All documents, and the queries by id: capabilities in order, each easy, medium, hard.

    Raises:
        ValueError: a bucket has too few or too many queries.
    """

    def rng(name: str) -> random.Random:
        return random.Random(f"{seed}:{name}")

    parts = (
        paraphrase.made(),
        guides.made(rng("guides")),
        negation.made(rng("negation")),
        families.made(rng("numbers"), "numbers"),
        families.made(rng("entity"), "entity"),
        long_document.made(rng("long_document")),
    )
    queries: dict[str, Query] = {}
    for capability in CAPABILITIES:
        for difficulty in DIFFICULTIES:
            bucket = [
                query
                for part in parts
                for query in part.queries
                if (query.capability, query.difficulty) == (capability, difficulty)
            ]
            if len(bucket) != PER_BUCKET:
                raise ValueError(f"{capability}/{difficulty} has {len(bucket)} queries")
            for number, query in enumerate(bucket, 1):
                kept = query if number <= QA_PER_BUCKET else query._replace(answers=())
                queries[f"{capability}-{difficulty}-{number:03d}"] = kept
    return [document for part in parts for document in part.documents], queries
