"""Contexts and their options in one row without padding: where tokens stand and what they see."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Packed:
    """A row of tokens; an option's last token is only predicted, so it is left out.

    Attributes:
        ids: the tokens.
        positions: where each stands in its own text.
        sample_of: the sample that each belongs to.
        option_of: the option of its sample that each belongs to, -1 in the context.
        predicts: for each target, the place in ``ids`` whose logits predict it.
        targets: the options' tokens.
        owner: for each target, the running number of its option.
        options: how many there are.
    """

    ids: list[int]
    positions: list[int]
    sample_of: list[int]
    option_of: list[int]
    predicts: list[int]
    targets: list[int]
    owner: list[int]
    options: int


def pack(rows: Sequence[tuple[list[int], Sequence[list[int]]]], prefix: int = 0) -> Packed:
    """Put contexts with their options into one row.

    Args:
        rows: of each sample the tokens of its context, and of each of its options.
        prefix: tokens that stand before every context.
    """
    ids: list[int] = []
    positions: list[int] = []
    sample_of: list[int] = []
    option_of: list[int] = []
    predicts: list[int] = []
    targets: list[int] = []
    owner: list[int] = []
    options = 0
    for sample, (context, choices) in enumerate(rows):
        ids += context
        begin = prefix + len(context)
        positions += range(prefix, begin)
        sample_of += [sample] * len(context)
        option_of += [-1] * len(context)
        last = len(ids) - 1
        for number, tokens in enumerate(choices):
            inner = len(tokens) - 1
            predicts += [last, *range(len(ids), len(ids) + inner)]
            targets += tokens
            owner += [options] * len(tokens)
            options += 1
            ids += tokens[:-1]
            positions += range(begin, begin + inner)
            sample_of += [sample] * inner
            option_of += [number] * inner
    return Packed(ids, positions, sample_of, option_of, predicts, targets, owner, options)
