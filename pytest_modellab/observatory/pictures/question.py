"""One token of a sample that is right, and what could have been said in its place."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_modellab.observatory.probes import Probes

LONGEST = 128
"""Tokens in front of the answer, at most."""


@dataclasses.dataclass(frozen=True)
class Question:
    """A place where one token is right.

    Attributes:
        ids: of the tokens in front of it.
        right: the token that is right.
        wrong: the tokens that are not.
    """

    ids: tuple[int, ...]
    right: int
    wrong: tuple[int, ...]


def asked(probes: Probes, tokenizer: Any) -> Question | None:
    """The first of the samples that asks to choose: where its options part.

    Args:
        probes: with samples in the order of their importance, and a rendering each.
        tokenizer: the base's.

    Returns:
        The question, or None without such a sample, or where they are too long.
    """
    for sample, text in zip(probes.samples, probes.texts, strict=False):
        if not sample.choices or not isinstance(sample.target, int):
            continue
        options = list(sample.choices)
        right = options.pop(sample.target)
        prompt, found, _ = text.rpartition(right)
        if found:
            said = parted(
                _ids(tokenizer, prompt + right), [_ids(tokenizer, prompt + one) for one in options]
            )
            if said is not None and 0 < len(said.ids) <= LONGEST:
                return said
    return None


def parted(right: tuple[int, ...], wrong: list[tuple[int, ...]]) -> Question | None:
    """The first token at which the right text parts from a wrong one."""
    for at, token in enumerate(right):
        others = {one[at] for one in wrong if len(one) > at and one[:at] == right[:at]} - {token}
        if others:
            return Question(right[:at], token, tuple(sorted(others)))
    return None


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"])
