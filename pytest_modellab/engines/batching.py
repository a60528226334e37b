"""Which requests are computed together: pure functions of lengths and budget."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Set
from typing import TypeVar

Batch = TypeVar("Batch", bound=Sequence[int])


def plan(
    lengths: Sequence[int],
    budget: float,
    *,
    padded: bool,
    places: Sequence[int] = (),
    most: float = math.inf,
) -> tuple[tuple[int, ...], ...]:
    """Split requests into batches of at most ``budget`` tokens, longest first.

    Longest first, so that memory runs out in the first batch or not at all.

    Args:
        lengths: tokens of each request.
        budget: most tokens in a batch; a longer request gets a batch of its own.
        padded: True where every request of a batch takes the room of its longest.
        places: at how many places something is predicted for each request; left out, at none.
        most: most such places in a batch.

    Returns:
        Indices into ``lengths``, each in exactly one batch.
    """
    batches: list[list[int]] = []
    used = predicted = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        room = lengths[batches[-1][0]] if padded and batches else lengths[index]
        more = places[index] if places else 0
        if not batches or used + room > budget or predicted + more > most:
            batches.append([])
            used, predicted, room = 0, 0, lengths[index]
        batches[-1].append(index)
        used += room
        predicted += more
    return tuple(tuple(batch) for batch in batches)


def spread(batches: Sequence[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Order a plan's batches so that any first few stand for all of them.

    The first stays first, where memory runs out. After it comes the middle one, then the quarters,
    and so on (van der Corput's order): a batch of long requests has fewer of them, so that in the
    order of the plan the first samples would seem to say that a run takes several times as long.

    Args:
        batches: as :func:`plan` makes them.

    Returns:
        The same batches.
    """
    digits = max(1, (len(batches) - 1).bit_length())
    order = sorted(range(len(batches)), key=lambda k: f"{k:0{digits}b}"[::-1])
    return tuple(batches[k] for k in order)


def due(batches: Iterable[Batch], skip: Set[int]) -> list[Batch]:
    """Return the batches of which a request needs an answer: is not in ``skip``."""
    return [batch for batch in batches if not skip >= set(batch)]


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """Return how many leading tokens all sequences share, leaving each at least one of its own."""
    if not sequences:
        return 0
    tuples = [tuple(sequence) for sequence in sequences]
    first, last = min(tuples), max(tuples)  # by value: what these two share, all share
    length = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            break
        length += 1
    return min(length, min(len(s) for s in sequences) - 1)
