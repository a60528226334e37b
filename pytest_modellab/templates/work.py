"""What a template may do: values of a size, and work that is counted, so that no clock decides.

Every value is weighed when something is done with it, and what would be large is refused before it
is made. A unit of work takes some nanoseconds, so that a template is stopped after seconds.
"""

from __future__ import annotations

import re
import string
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from types import GeneratorType
from typing import Any

SOURCE = 100_000
"""Characters of a template; the longest chat templates have a third of it."""

VALUE = 10_000_000
"""Characters of a value or of all that is rendered; an element of a list counts as 100."""

WORK = 200_000_000
"""Units of work for a sample: a character that is read or made is one, a call at least 500."""

BITS = 60
"""Bits of a whole number; larger ones can be chosen to have all the same hash."""

ATTRIBUTE = 100
"""Characters of ``attribute=`` in a filter."""

ELEMENT = 100
CALL = 500
SEEN = 50
NODE = 15

_CONTAINERS = (list, tuple, set, frozenset, KeysView, ValuesView, ItemsView)
_ROWS = (*_CONTAINERS, dict, range, GeneratorType)

_GROWING = frozenset(
    "batch center expandtabs indent ljust rjust round slice to_bytes tojson translate wordwrap "
    "zfill".split()
)
"""Filters and methods whose result may be as large as their arguments say."""

_SQUARE = frozenset("decode encode wordwrap".split())
"""What takes longer than a text is long, at worst."""

_PRODUCT = frozenset("lstrip rfind rindex rpartition rsplit rstrip strip trim".split())
"""What takes as long as both texts, multiplied, at worst."""

_ONE_BY_ONE = frozenset(
    "batch dictsort groupby list map max min reject rejectattr select selectattr slice sort sum "
    "unique".split()
)
"""Filters that look at each element, which of a text is each character."""

_SLOW = {"pprint": 60, "title": 10, "urlize": 60, "wordcount": 10, "xmlattr": 10}
"""What takes that many times as long as reading a character."""

_ATTRIBUTES = frozenset(
    "attr groupby join map max min rejectattr selectattr sort sum unique".split()
)

_WIDTHS = re.compile(r"\d+")
_WIDTH_OF_VALUE = re.compile(r"%(\([^)]*\))?[-+ #0]*(\*|\d*\.\*)")


class TooMuch(Exception):
    """A template has reached a limit; the message ends a sentence that begins with its name."""


class Work:
    """What one rendering has left."""

    def __init__(self) -> None:
        self._left = WORK

    def begin(self) -> None:
        """Begin another rendering."""
        self._left = WORK

    def round(self, cost: int) -> None:
        """Count a round of a loop.

        Raises:
            TooMuch: as :meth:`spend`.
        """
        self.spend(SEEN + max(0, cost))

    def spend(self, units: int) -> None:
        """Count work.

        Raises:
            TooMuch: there is more than a template may do.
        """
        self._left -= units
        if self._left < 0:
            raise TooMuch(
                f"does more than {WORK:,} units of work (a character that is read or made counts "
                "as one, a call as 500): shorten its loops, and do not nest them"
            )

    def room(self, size: int) -> None:
        """Refuse a value before it is made.

        Raises:
            TooMuch: it would be larger than a value may be.
        """
        if size > VALUE:
            raise TooMuch(
                f"makes a value of more than {VALUE:,} characters (an element of a list counts as "
                f"{ELEMENT}): repeat less, or make widths smaller"
            )

    def weigh(self, value: Any) -> Any:
        """Count a value's size as work.

        Returns:
            The value; items that are made one by one are weighed as they come.

        Raises:
            TooMuch: it is larger than a value may be.
        """
        if type(value) is str and len(value) <= VALUE:  # nearly all of them
            self.spend(SEEN + len(value))
            return value
        if isinstance(value, GeneratorType):
            return self._counted(value)
        self.spend(SEEN + self.weight(value))
        return value

    def weight(self, value: Any) -> int:
        """Return the size of a value with all that is in it.

        Raises:
            TooMuch: it is larger than a value may be.
        """
        if type(value) is str and len(value) <= VALUE:
            return len(value)
        total = 0
        pending = [value]
        while pending:
            item = pending.pop()
            if isinstance(item, str | bytes | range):
                total += len(item)
            elif isinstance(item, int):
                if item.bit_length() > BITS:
                    raise TooMuch(f"makes a whole number of more than {BITS} bits")
                total += 1
            elif isinstance(item, dict):
                total += ELEMENT * len(item)
                self.room(total)
                pending += item
                pending += item.values()
            elif isinstance(item, _CONTAINERS):
                total += ELEMENT * len(item)
                self.room(total)
                pending += item
            self.room(total)
        return total

    def _counted(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            yield self.weigh(item)

    def before(self, name: str, subject: Any, values: tuple[Any, ...], named: Any) -> None:
        """Count what a filter, a test or a method is given, and refuse a result that is too large.

        Args:
            name: of the filter, test or method.
            subject: what it is applied to.
            values: its arguments.
            named: its named arguments.

        Raises:
            TooMuch: it would do or make too much.
        """
        given = (*values, *named.values())
        if name in ("count", "length"):  # which read nothing
            self.spend(CALL)
            return
        weight = self.weight(subject)
        self.spend(CALL + weight + sum(self.weight(value) for value in given))
        texts = sum(len(value) for value in given if isinstance(value, str | bytes))
        if name in _GROWING:
            self.room((weight or 1) * (1 + sum(_reach(value) for value in given)))
        elif name == "replace":
            old, new = (*given, "", "")[:2]
            both = isinstance(subject, str | bytes) and isinstance(old, type(subject))
            times = subject.count(old) if both else weight
            self.room(weight + times * self.weight(new))
        elif name == "format":
            self.format(str(subject), given)
        elif name == "sum" and any(isinstance(value, list | tuple) for value in given):
            self.spend(weight * weight // ELEMENT**2)
        self.spend(_SLOW.get(name, 0) * weight)
        if name in _ONE_BY_ONE and isinstance(subject, str | bytes | range):
            self.room(ELEMENT * len(subject))
            self.spend(ELEMENT * len(subject))
        if name in _SQUARE:
            self.spend(weight * weight // 1000)
        elif name in _PRODUCT:
            self.spend(weight * texts // 10)
        elif name in _ATTRIBUTES and isinstance(subject, _ROWS):
            self._attribute(name, given)

    def _attribute(self, name: str, given: tuple[Any, ...]) -> None:
        longest = max((len(value) for value in given if isinstance(value, str)), default=0)
        if name != "join" and longest > ATTRIBUTE:
            raise TooMuch(f"gives {name} an attribute of more than {ATTRIBUTE} characters")

    def join(self, between: Any, items: Any, *more: Any) -> None:
        """Refuse a joined text that is too large."""
        self.spend(CALL + self.weight(more))
        self.room(self.weight(items) + len(items) * self.weight(between))

    def format(self, text: str, given: Any) -> None:
        """Refuse a text with placeholders that becomes too large.

        Raises:
            TooMuch: it does, or a width is not a number in the text.
        """
        if _WIDTH_OF_VALUE.search(text.replace("%%", "")):
            raise TooMuch("takes a width from a value, '%*d': write a number")
        places = text.count("%") + text.count("{")
        widths = sum(_number(digits) for digits in _WIDTHS.findall(text))
        self.room(len(text) + widths + places * self.weight(given))
        self.spend(len(text) + widths + places * self.weight(given))

    def format_fields(self, text: str, given: Any) -> None:
        """As :meth:`format`, for ``str.format``.

        Raises:
            TooMuch: as there.
        """
        for _, _, spec, _ in string.Formatter().parse(text):
            if spec and "{" in spec:
                raise TooMuch("takes a width from a value, '{:{}}': write a number")
        self.format(text, given)

    def operation(self, operator: str, left: Any, right: Any) -> None:
        """Refuse the result of an operator that would be too large.

        Raises:
            TooMuch: it would.
        """
        self.spend(SEEN + self.weight(left) + self.weight(right))
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if left.bit_length() * abs(right) > BITS:
                raise TooMuch(f"makes a whole number of more than {BITS} bits")
        elif operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(times, int) and not isinstance(many, int | float):
                    self.room(self.weight(many) * times)
        elif operator == "%" and isinstance(left, str | bytes):
            self.format(str(left), right)


def _reach(value: Any) -> int:
    """How many times larger an argument can make a result."""
    if isinstance(value, int):
        return abs(value)
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(_reach(item) for item in value)
    if isinstance(value, dict):  # of str.translate
        return sum(_reach(item) for item in value.values())
    return 0


def _number(digits: str) -> int:
    return int(digits) if len(digits) < 10 else VALUE + 1
