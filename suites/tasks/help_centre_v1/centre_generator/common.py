"""What the modules share: the shape of a document and a query, and how a bank of texts is read."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

Difficulty = Literal["easy", "medium", "hard"]

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
PER_BUCKET = 12
ANSWERS = 2  # grade of the document that answers a query
HELPS = 1  # grade of one that is related and useful

Value = TypeVar("Value")


class Document(NamedTuple):
    """One line of corpus.jsonl."""

    id: str
    title: str
    text: str


class Query(NamedTuple):
    """A query with its grades and what the tests know of it.

    `negatives` are the documents that the fact table makes hard: they say the same of something
    else, or something else of the same. `evidence` stands once in the right document. `answers`
    are short answers in its words; `metadata` is anything else.
    """

    capability: str
    difficulty: Difficulty
    text: str
    relevant: Mapping[str, int]
    negatives: tuple[str, ...]
    cluster: str | None = None
    evidence: str = ""
    answers: tuple[str, ...] = ()
    metadata: Mapping[str, str] = MappingProxyType({})


class Part(NamedTuple):
    """What one module makes."""

    documents: list[Document]
    queries: list[Query]


def bank(name: str) -> dict[str, Any]:
    """The texts of `name`.toml beside this module."""
    path = Path(__file__).resolve().parent / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def flow(*sentences: str) -> str:
    """Sentences as one paragraph, without the line breaks of the bank."""
    return " ".join(" ".join(sentences).split())


def dealt(rng: random.Random, values: Sequence[Value], count: int) -> list[Value]:
    """`count` of `values` in random order, each equally often, give or take one."""
    found: list[Value] = []
    while len(found) < count:
        found += rng.sample(values, min(len(values), count - len(found)))
    return found


def graded(answer: str, related: str | None) -> dict[str, int]:
    """The grades of a query: the document that answers it, and an article that helps."""
    return {answer: ANSWERS} | ({f"article-{related}": HELPS} if related else {})
