"""How long a variant took to answer, and what it held."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pytest_modellab.records.reading import Amount, Count


@dataclasses.dataclass(frozen=True)
class Performance:
    """What was measured of a variant.

    Attributes:
        candidate: its timings.
        reference: the reference's, taken in turns with them; None where it is the reference itself.
        memory: ``peak_host_bytes`` and ``peak_device_bytes``, as far as the system tells, while
            the variant alone was loaded and answered.
        environment: device, machine, threads, whether other workers ran, and the day.
        declared: rounds that were to be made; 0 in what older versions stored, who made all.
    """

    candidate: Timings
    reference: Timings | None
    memory: Mapping[str, Amount]
    environment: Mapping[str, Any]
    declared: Count = 0

    @property
    def cut(self) -> str:
        """That time was up before all rounds were made, in words; else empty."""
        made = len(self.candidate.end_to_end)
        if made >= self.declared:
            return ""
        return (
            f"{made} of {self.declared} rounds were timed, then the time was up: "
            "performance.seconds in modellab.toml gives more, fewer requests or max_tokens take "
            "less"
        )


Rows = tuple[tuple[float, ...], ...]
"""Seconds, one row a round, one column a prompt (of ``loaded``: a group of prompts)."""


@dataclasses.dataclass(frozen=True)
class Timings:
    """What one engine took.

    Attributes:
        first_token: seconds to the first token, of shape (rounds, prompts).
        end_to_end: seconds to the last token, of shape (rounds, prompts).
        tokens_in: tokens of each prompt.
        tokens_out: tokens of each reply.
        loaded: seconds until all of a group of requests that arrived together were answered, of
            shape (rounds, groups).
        groups: how many requests there were in each group.
        audio_seconds: length of each prompt's recordings; empty where none has any.
        images: how many images each prompt holds; empty where none has any.
    """

    first_token: Rows
    end_to_end: Rows
    tokens_in: tuple[Count, ...]
    tokens_out: tuple[Count, ...]
    loaded: Rows
    groups: tuple[Count, ...]
    audio_seconds: tuple[Amount, ...] = ()
    images: tuple[Count, ...] = ()
