"""Are embeddings those of the declared model? Judged by vectors alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

from pytest_modellab.engines.interface import Role
from pytest_modellab.records.canary import Finding

Vector = Sequence[float]

ALIKE = 0.995
"""Cosine from which on two vectors are of one text in one model, quantized or not."""

EQUAL = 1 - 1e-7
"""Cosine of vectors that differ by rounding."""

WORDS = 100
"""Words that any model sees: some have room for 128 tokens."""

LENGTH = 1e-3
"""How far the length of a normalized vector may be from 1."""


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a server's vectors should be.

    Attributes:
        text: a document.
        vector: of that text, made by the model that the server should have; None without one.
        words: of a text that the model sees to its end.
        otherwise: tells, by pooling, what vectors that makes of the text, to name a fault by.
        prompt: put before a document.
        prefix: put before a query; empty where nothing is.
        fields: by role, what a request says of its texts beside them.
        unsaid: why there is no vector.
    """

    text: str = ""
    vector: tuple[float, ...] | None = None
    words: int = WORDS
    otherwise: Callable[[], Mapping[str, tuple[float, ...]]] = dict
    prompt: str = ""
    prefix: str = ""
    fields: Mapping[Role, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    unsaid: str = (
        "nothing says what vectors the server should give: name the model that it should have, or "
        "a reference"
    )


def shaped(vector: Vector, declared: Declared) -> Finding | None:
    """Judge a vector's dimension and length by the reference's."""
    if declared.vector is None:
        return None
    if len(vector) != len(declared.vector):
        return Finding(
            "other dimension",
            f"vectors have {len(vector)} numbers",
            f"{len(declared.vector)}, as the reference has",
            "serve the declared model whole (dimensions = … of the variant keeps the first numbers "
            "of its vectors), or declare the one that is served",
        )
    length, expected = math.hypot(*vector), math.hypot(*declared.vector)
    if abs(expected - 1) <= LENGTH < abs(length - 1):
        return Finding(
            "unnormalized embeddings",
            f"a vector has length {length:.4g}",
            "length 1, as the reference has",
            "turn normalization on in the server, or rank by cosine: a dot product prefers long "
            "vectors",
        )
    return None


def pooled(vector: Vector, declared: Declared) -> Finding | None:
    """Judge a vector of the reference text by its reference."""
    if declared.vector is None or len(vector) != len(declared.vector):
        return None
    near = cosine(vector, declared.vector)
    if near >= ALIKE:
        return None
    others = {name: cosine(vector, one) for name, one in declared.otherwise().items()}
    name = max(others, key=others.__getitem__, default="")
    if name and others[name] >= ALIKE:
        seen = f"it is that of {name} pooling (cosine {others[name]:.4f})"
    else:
        seen = "it is another model's, or that of another pooling or prefix"
    return Finding(
        "other pooling" if name and others[name] >= ALIKE else "other vectors",
        f"the vector of the reference text has cosine {near:.4f} to its reference; {seen}",
        f"a cosine of at least {ALIKE}",
        "start the server with the pooling that the model's own card names, and without a prefix "
        "of its own; or declare the model that it has",
    )


def equal(repeats: Sequence[Vector]) -> float:
    """Return the cosine from which on vectors of a server are of one text.

    Args:
        repeats: of one text, which differ by the server's own noise.
    """
    apart = max(1 - cosine(repeats[0], one) for one in repeats)
    return min(EQUAL, 1 - 2 * apart)  # two more may lie further apart than those few


def prefixed(bare: Vector, prefixed_: Vector, prefix: str, equal: float = EQUAL) -> Finding | None:
    """Judge that a prefix is part of what is embedded."""
    if cosine(bare, prefixed_) < equal:
        return None
    return Finding(
        "prefix dropped",
        f"a text has the same vector with {prefix!r} before it and without",
        "another vector",
        "the server takes prefixes away, or sets its own: turn that off, since queries and "
        "passages are told apart by it",
    )


def told_apart(query: Vector, passage: Vector, equal: float = EQUAL) -> Finding | None:
    """Judge that the declared types of input make a difference."""
    if cosine(query, passage) < equal:
        return None
    return Finding(
        "input type ignored",
        "a text has the same vector as a query and as a document",
        "two vectors, since query_input_type and passage_input_type are declared",
        "the server does not know these types, or the model makes no difference: put the model's "
        "own prefixes before texts, query_prompt and passage_prompt, and leave the types out",
    )


def none(why: str) -> Finding:
    """Name what came in the place of vectors: NaN, too few of them, something else."""
    return Finding(
        "no vectors",
        why,
        "a vector of finite numbers for every text",
        "see the server's log: weights may be damaged, or their numbers too large for its dtype",
    )


def truncated(one: Vector, other: Vector, words: int, equal: float = EQUAL) -> Finding | None:
    """Judge that the end of a long text counts.

    Args:
        one: vector of a long text.
        other: vector of one that differs in its last words alone.
        words: how many each has; fewer than the model sees.
        equal: cosine from which on two vectors are of one text.
    """
    if cosine(one, other) < equal:
        return None
    return Finding(
        "truncation",
        f"two texts of {words} words that differ in their end have one vector",
        "two vectors, since the model sees more than that",
        "raise the server's limit of tokens (its context or batch size): the end of documents is "
        "not searched",
    )


def placed(alone: Vector, among: Vector) -> Finding | None:
    """Judge that a text has its own vector in a batch."""
    if cosine(alone, among) >= ALIKE:
        return None
    return Finding(
        "vectors of a batch exchanged",
        f"a text's vectors alone and in a batch have cosine {cosine(alone, among):.4f}",
        f"at least {ALIKE}",
        "update the server: vectors belong to other texts than they say",
    )


def cosine(a: Vector, b: Vector) -> float:
    """Return the cosine of two vectors; 0 where one of them is zero."""
    if len(a) != len(b):
        return 0.0
    most = max((abs(value) for value in (*a, *b)), default=0.0)
    if not most:
        return 0.0
    a, b = [value / most for value in a], [value / most for value in b]
    size = math.hypot(*a) * math.hypot(*b)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / size if size else 0.0
