"""What a few requests showed of a server before anything of it is scored."""

from __future__ import annotations

import dataclasses
from typing import Literal

from pytest_modellab.records.reading import Amount, Count

Taken = Literal["", "score", "seed", "stop"]
"""The ability that a finding takes away; empty where no answer can be believed."""

UNUSED = frozenset({"seed", "stop"})
"""Abilities that no run needs: samples are decoded greedily, and asked without a stop text."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a server does not do as it says.

    Attributes:
        name: of the fault, in a few words.
        seen: what came.
        expected: what should have come.
        mend: what to do.
        takes: the ability that is taken away.
    """

    name: str
    seen: str
    expected: str
    mend: str
    takes: Taken = ""

    def __str__(self) -> str:
        """Say all of it in one line."""
        return f"{self.name}: {self.seen}; expected {self.expected}; {self.mend}"


@dataclasses.dataclass(frozen=True)
class Unchecked:
    """Something that could not be told.

    Attributes:
        name: of the check.
        why: what it wants, in words.
    """

    name: str
    why: str

    def __str__(self) -> str:
        """Say all of it in one line."""
        return f"{self.name}: not checked: {self.why}"


@dataclasses.dataclass(frozen=True)
class Noise:
    """How much the replies to one request differ that should be equal.

    Attributes:
        replies: how many were asked for.
        flips: how many of them differ from the first.
        alone: how many of those that differ were asked alone.
        nats: the largest difference of a token's log-probability, as far as texts are equal; None
            where the server tells none.
    """

    replies: Count
    flips: Count
    alone: Count = 0
    nats: Amount | None = None

    def __str__(self) -> str:
        """Say all of it in one line."""
        apart = (
            "" if self.nats is None else f"; log-probabilities differ by up to {self.nats:.2g} nats"
        )
        where = f", {self.alone} of them asked alone" if self.flips else ""
        return f"{self.flips} of {self.replies} repeated replies differ{where}{apart}"


@dataclasses.dataclass(frozen=True)
class Canary:
    """All that was checked of one server.

    Attributes:
        server: who it says that it is, as a digest.
        when: the time, in UTC.
        checked: what was looked at.
        findings: what is wrong.
        unchecked: what could not be told.
        ways: in which it tells likelihoods that are right, the best first.
        noise: the variant's noise floor; None where no reply was repeated.
    """

    server: str
    when: str
    checked: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    unchecked: tuple[Unchecked, ...] = ()
    ways: tuple[str, ...] = ()
    noise: Noise | None = None
