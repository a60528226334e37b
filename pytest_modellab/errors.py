"""Every error that pytest-modellab raises on purpose.

Verdicts against a model are ``AssertionError`` subclasses: pytest and Allure then count the test as
*failed*. Anything else means that no verdict could be reached: Allure counts the test as *broken*.
Each message says what is wrong, where, and what to do.
"""

from __future__ import annotations

import bisect
import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pytest_modellab.visible import MESSAGE, VERDICT, message, visible

if TYPE_CHECKING:
    from typing import Self


class _Shown:
    """What an error says holds other people's text, and ends in terminals, logs and reports."""

    longest = MESSAGE

    def __str__(self) -> str:
        return message(super().__str__(), self.longest)


class _Verdict(_Shown, AssertionError):
    longest = VERDICT  # the table has a line a bucket


class ModellabError(_Shown, Exception):
    """No verdict could be reached; the message names the mend."""

    told = ""

    @property
    def cause(self) -> str:
        """What is wrong, whatever it concerns: equal where one mend helps several."""
        return self.told or str(self)

    def about(self, what: str) -> Self:
        """Return the same error, whose message begins with what it concerns."""
        error = type(self)(f"{what}: {self}")
        error.told = self.cause
        return error


class ConfigError(ModellabError):
    """A setting is wrong: the message names file, key, value and the choices."""


class TaskSetError(ModellabError):
    """A task set cannot be read: the message names file, line and key."""


class MediaError(ModellabError):
    """An image or a recording cannot be used: the message names the file."""


class ModelError(ModellabError):
    """A model's files are missing, damaged or not allowed."""


class EndpointError(ModelError):
    """A server does not answer, or not as it should: the message names host and route.

    Args:
        message: what was seen, and what to do.
        status: of HTTP; 0 where there is none.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class StoreError(ModellabError):
    """Something cannot be kept in the store: the message names the folder."""


class VariantLoadError(ModellabError):
    """A variant cannot be made from its base, for example because a library is missing."""


class DiagnosisError(ModellabError):
    """Two models cannot be examined; the message says which, and why."""


class OutOfTime(DiagnosisError):
    """An examination is not done, and its time is up."""


class ScoringError(ModellabError):
    """A variant's answers could not be scored."""


class Unscorable(ScoringError):
    """One answer cannot be scored, for example within the limits: that sample's failure."""


class Unable(ScoringError):
    """An engine is asked for what it does not give, such as a transcriber for likelihoods."""


class OutOfMemory(ModellabError):
    """A batch did not fit into memory; a smaller token budget may."""


class BaselineInvalid(ModellabError):
    """A baseline file is truncated, edited by hand, or of another schema."""


class FirstBaselineWorse(ModellabError):
    """A first baseline would be worse than its base beyond chance, and nobody has said it may."""


class HistoryUnavailable(ModellabError):
    """The history of a baseline cannot be read from git."""


class ReviewUnavailable(ModellabError):
    """What decides cannot be compared with that of a git ref; the message names the mend."""


class ComparisonRefused(ModellabError):
    """Two runs may not be compared; the message names what differs."""


class ScoreFileError(ModellabError):
    """A file of scores cannot be read or matched: the message names file, place and value."""


class CardError(ModellabError):
    """A model card cannot be made or updated."""


class GateUsageError(ModellabError):
    """A test asks the gate for something that it cannot answer for."""


class BaselineMissing(_Shown, AssertionError):
    """There is nothing to compare with yet.

    Args:
        message: what is missing, and where.
        command: records it; joins the message.
        where: on which commit it has to be recorded, in words; empty for the working tree.
        cause: what is missing, in equal words for all that one call of a command records; empty
            where each says it itself.
    """

    def __init__(self, message: str, *, command: str, where: str = "", cause: str = "") -> None:
        there = f" {where}" if where else ""
        super().__init__(f"{message}\nRecord one{there} and commit it: {command}")
        self.command = "" if where else command  # what is run here would not record it there
        self.cause = cause


class RegressionDetected(_Verdict):
    """The gate blocks: the candidate is worse than allowed beyond chance."""


class SlowdownDetected(RegressionDetected):
    """The gate blocks: the candidate takes longer than allowed beyond chance."""


class FidelityLost(RegressionDetected):
    """The gate blocks: the candidate has moved further from its base than allowed beyond chance."""


class CapabilityForgotten(RegressionDetected):
    """The gate blocks: a capability that the base has is lost beyond chance."""


class FloorViolated(_Verdict):
    """The gate blocks: a bucket lies under the floor beyond chance."""


class VerdictInconclusive(_Verdict):
    """The data cannot settle the question, and the settings say that this fails."""


def is_own(error: BaseException) -> bool:
    """Whether an error's message is all that there is to say of it."""
    return isinstance(error, _Shown)


def cause_of(error: BaseException) -> str:
    """What keeps several tests from a verdict, in equal words for all; empty of other errors."""
    if isinstance(error, ModellabError):
        return error.cause
    return (error.cause or str(error)) if isinstance(error, BaselineMissing) else ""


@contextlib.contextmanager
def store_errors_as(kind: type[ModellabError]) -> Iterator[None]:
    """Let a full store be told as what could not be made without it, in the same words.

    Args:
        kind: of error, which is raised in place of :class:`StoreError`.
    """
    try:
        yield
    except StoreError as error:
        raise kind(str(error)) from error


_SEARCHED = 10_000
"""Names, those beside the misspelt one in their order, among which near misses are looked for."""


_LISTED = 40
"""Known names that an error lists; ids of samples may be many."""


def near_misses(name: str, known: Iterable[str]) -> str:
    """Return a clause that helps with a mistyped name.

    Args:
        name: what was asked for.
        known: what there is.

    Returns:
        ``"did you mean 'x'? Known: a, b, x"``, or only the known names, of very many the first, or
        ``"none is declared"``.
    """
    names = sorted(known)
    if not names:
        return "none is declared"
    at = bisect.bisect(names, name)
    near = names[max(at - _SEARCHED // 2, 0) : at + _SEARCHED // 2]
    close = difflib.get_close_matches(name, near, n=3)
    hint = f"did you mean {' or '.join(repr(c) for c in close)}? " if close else ""
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{hint}Known: {', '.join(map(visible, names[:_LISTED]))}{rest}"
