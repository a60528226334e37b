"""Errors that are counted by sample, so that the rate of all samples together is exact."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

WER = "wer"
"""Word error rate, and the scorer that counts words."""


CER = "cer"
"""Character error rate, and the scorer that counts characters."""


UNITS: Mapping[str, str] = {WER: "word", CER: "character"}
"""What each rate counts."""


KINDS = ("hits", "substitutions", "deletions", "insertions")
"""What an alignment consists of; the first three together are the reference."""


def name(rate: str, kind: str) -> str:
    """Return the name of a count among a sample's metrics: ``word_hits``."""
    return f"{UNITS[rate]}_{kind}"


def size(rate: str) -> str:
    """Return the name of the reference's size among a sample's metrics: ``words``."""
    return f"{UNITS[rate]}s"


NAMES = frozenset(
    {*(name(rate, kind) for rate in UNITS for kind in KINDS), *(size(rate) for rate in UNITS)}
)
"""The counts among a sample's metrics: of a run stands the rate that is made of them."""


def rates(samples: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the error rates of samples together: all errors divided by all of the references.

    Args:
        samples: the metrics of each sample; one without counts adds nothing.

    Returns:
        ``wer`` and ``cer``, at least 0 and above 1 where more is inserted than was said; lower is
        better. One of which the references hold nothing is left out.
    """
    counted = list(samples)
    found = {}
    for rate in UNITS:
        sizes = math.fsum(one.get(size(rate), 0.0) for one in counted)
        errors = math.fsum(one.get(name(rate, kind), 0.0) for one in counted for kind in KINDS[1:])
        if sizes:
            found[rate] = errors / sizes
    return found
