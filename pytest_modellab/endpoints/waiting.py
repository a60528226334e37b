"""How long a request waits: for its turn in the rate limit, and before it is repeated."""

from __future__ import annotations

import dataclasses
import email.utils
import math
import random
import threading
import time
from collections.abc import Callable

FIRST, LONGEST = 0.5, 30.0
"""Seconds of back-off: up to this before the first repetition, doubled each time, up to that."""

MOST_ASKED = 120.0
"""Most seconds of a server's Retry-After that are waited; the next reply may ask for more."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time and chance; tests bring their own.

    Attributes:
        now: seconds, that only go on.
        date: seconds since 1970.
        sleep: waits.
        chance: draws from [0, 1).
    """

    now: Callable[[], float] = time.monotonic
    date: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.Random().random


class Turns:
    """Gives requests their turns: so many a minute, none before a server is ready for more.

    Args:
        per_minute: most requests in a minute; 0 for any number.
        clock: time.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        self._gap = 60 / per_minute if per_minute else 0.0
        self._clock = clock
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Wait for the next turn."""
        while True:
            with self._lock:
                now = self._clock.now()
                missing = self._next - now
                if missing <= 0:
                    self._next = now + self._gap
                    return
            self._clock.sleep(missing)

    def pause(self, seconds: float) -> None:
        """Give nobody a turn for a while: what one request is told holds for all."""
        with self._lock:
            self._next = max(self._next, self._clock.now() + seconds)


def backoff(repetition: int, clock: Clock) -> float:
    """Return the seconds before a repetition: exponential, with full jitter.

    Args:
        repetition: from 0.
        clock: chance.
    """
    return min(LONGEST, FIRST * 2.0 ** min(repetition, 30)) * clock.chance()


def asked(header: str | None, clock: Clock) -> float | None:
    """Return the seconds that a Retry-After header asks for, at most :data:`MOST_ASKED`.

    Args:
        header: seconds or a date, or None.
        clock: today's date.

    Returns:
        None where there is no header, or it says neither.
    """
    if header is None or len(header) > 100:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(header).timestamp() - clock.date()
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    return min(max(seconds, 0.0), MOST_ASKED) if not math.isnan(seconds) else None
