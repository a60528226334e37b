"""JSON schemas of task files, evaluated by ``jsonschema`` within limits.

A schema may refer to itself, and nested ``allOf`` double their work at each level: every keyword
that is looked at is a step of so many, and lies in so many others at most. Its expressions are
searched as those of :mod:`pytest_modellab.scorers.patterns`; numbers are compared exactly.
"""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import json
import time
import urllib.parse
from collections.abc import Callable, Hashable, Iterator, Mapping
from decimal import Context, Decimal
from typing import Any

from pytest_modellab.errors import ScoringError, Unscorable
from pytest_modellab.records.reading import shown
from pytest_modellab.scorers import patterns

STEPS = 50_000
"""Keywords that are looked at for one reply, at most; a long list counts as several."""


NESTED = 100
"""Keywords inside each other, at most: a schema that refers to itself has no end."""


DEPTH = 50
"""Objects and lists inside each other in a schema, at most."""


PARTS = 5_000
"""Values in a schema, at most."""


_DATA = frozenset({"const", "default", "enum", "examples"})
"""Keywords that hold no schema."""


_NAMES = frozenset(
    {
        *("$defs", "definitions", "properties", "patternProperties"),
        *("dependencies", "dependentRequired", "dependentSchemas"),
    }
)
"""Keywords under which names stand, and no keywords."""


_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


def problem(schema: object) -> str | None:
    """Say why a schema cannot be evaluated within the limits, or None; nothing is imported for it.

    Args:
        schema: as a task file has it.
    """
    seen, waiting = set[str](), [(schema, 1, False)]
    parts = 0
    while waiting:
        value, depth, names = waiting.pop()
        parts += 1
        if depth > DEPTH:
            return f"nested deeper than {DEPTH}"
        if parts > PARTS:
            return f"holds more than {PARTS} values"
        if isinstance(value, list):
            waiting += [(one, depth + 1, False) for one in value]
        elif isinstance(value, dict) and names:
            waiting += [(one, depth + 1, False) for one in value.values()]
        elif isinstance(value, dict):
            seen.update(value)
            waiting += [(v, depth + 1, k in _NAMES) for k, v in value.items() if k not in _DATA]
            for reference in map(value.get, _REFERENCES):
                if isinstance(reference, str) and _astray(reference):
                    return f"the reference {shown(reference)} leads to no schema"
            for pattern in _patterns(value):
                if found := patterns.problem(pattern):
                    return found
    if {"unevaluatedProperties", "patternProperties"} <= seen:
        return "unevaluatedProperties and patternProperties are not taken together"
    return None


def _astray(reference: str) -> bool:
    """Whether a reference leads to what :func:`problem` does not take for a schema."""
    names = False
    for key in urllib.parse.unquote(reference.partition("#")[2]).split("/")[1:]:
        if key in _DATA and not names:
            return True
        names = key in _NAMES and not names
    return names


def _patterns(schema: Mapping[str, Any]) -> list[str]:
    own, keys = schema.get("pattern"), schema.get("patternProperties")
    return [*([own] if isinstance(own, str) else []), *(keys if isinstance(keys, dict) else [])]


def wrong(schema: Mapping[str, Any]) -> str | None:
    """Say why something is no JSON schema, by its metaschema, or None.

    Raises:
        ScoringError: jsonschema is missing.
    """
    try:
        import jsonschema  # noqa: F401
    except ImportError as error:
        raise ScoringError(
            "the scorer 'json_schema' needs the package jsonschema: pip install jsonschema"
        ) from error
    return problem(schema) or _wrong(json.dumps(schema))


@functools.lru_cache(maxsize=1024)
def _wrong(text: str) -> str | None:
    """The same of a schema's text, once for all replies."""
    import jsonschema

    schema = json.loads(text)
    try:
        _kind(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        return str(error.message)
    return None


def _kind(schema: Mapping[str, Any]) -> Any:
    """The validator of a schema's draft; the newest where it names none, or one of its own."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    return validator_for(schema, default=Draft202012Validator)


def valid(schema: Mapping[str, Any], value: Any) -> bool:
    """Whether a value satisfies a schema.

    Args:
        schema: one that its metaschema allows.
        value: of ``int``, ``Decimal``, ``str``, ``bool``, None, lists and dicts.

    Raises:
        Unscorable: it takes too many steps, or refers to what is not there.
    """
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = _limited(_kind(schema))
    token = _LEFT.set(_Left())
    try:
        exact = _exact({key: part for key, part in schema.items() if key != "$schema"})
        # an empty registry: a "$ref" is never fetched
        return bool(kind(exact, registry=Registry()).is_valid(_exact(value)))
    except Unresolvable as error:
        raise Unscorable(f"target: {error}; a schema may refer to its own parts only") from error
    except RecursionError as error:
        raise Unscorable(_DEEP) from error
    finally:
        _LEFT.reset(token)


_DEEP = f"target: the schema has more than {NESTED} keywords inside each other for this reply"


@dataclasses.dataclass
class _Left:
    """What one reply may still take."""

    steps: int = STEPS
    nested: int = 0
    seconds: float = patterns.SECONDS

    def step(self, *values: Any) -> None:
        self.steps -= 1 + sum(len(v) for v in values if isinstance(v, list | dict)) // 10
        if self.steps < 0:
            raise Unscorable(f"target: the schema takes more than {STEPS} steps for this reply")
        if self.nested > NESTED:
            raise Unscorable(_DEEP)

    def found(self, pattern: str, text: str) -> bool:
        begin = time.process_time()
        try:
            return patterns.found(pattern, text, max(self.seconds, 0.001))
        finally:
            self.seconds -= time.process_time() - begin


_LEFT: contextvars.ContextVar[_Left] = contextvars.ContextVar("left")


# jsonschema writes a value into the message of each error, also of those that anyOf drops: these
# are short there, however long they are.


class _Object(dict[str, Any]):
    def __repr__(self) -> str:
        return "{…}"


class _Array(list[Any]):
    def __repr__(self) -> str:
        return "[…]"


class _Text(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return shown(str(self))


def _exact(value: Any) -> Any:
    """A value with its numbers exact, as they were written."""
    if isinstance(value, dict):
        return _Object((key, _exact(one)) for key, one in value.items())
    if isinstance(value, list):
        return _Array(map(_exact, value))
    if isinstance(value, str):
        return _Text(value)
    return Decimal(repr(value)) if isinstance(value, float) else value


def _frozen(value: Any) -> Hashable:
    """A value that equals another as JSON does: 1 is 1.0, and no truth value."""
    if isinstance(value, dict):
        _LEFT.get().step()
        return frozenset((key, _frozen(one)) for key, one in value.items())
    if isinstance(value, list):
        _LEFT.get().step()
        return tuple(map(_frozen, value))
    return (str, str(value)) if isinstance(value, str) else (isinstance(value, bool), value)


@functools.cache
def _limited(kind: Any) -> Any:
    """A validator class whose keywords count their steps."""
    from jsonschema import validators

    whole = kind.TYPE_CHECKER.is_type(1.0, "integer")  # from draft 6 on
    made = validators.extend(
        kind,
        {name: _counted(_OWN.get(name, keyword)) for name, keyword in kind.VALIDATORS.items()},
        type_checker=kind.TYPE_CHECKER.redefine("integer", _is_whole)
        if whole
        else kind.TYPE_CHECKER,
    )
    evolve = made.evolve

    def evolved(self: Any, **changes: Any) -> Any:
        """A part's own "$schema" would bring the class without limits back."""
        if isinstance(part := changes.get("schema"), dict) and "$schema" in part:
            changes["schema"] = {key: one for key, one in part.items() if key != "$schema"}
        return evolve(self, **changes)

    made.evolve = evolved
    return made


def _is_whole(_: object, value: object) -> bool:
    if isinstance(value, Decimal):
        return value == value.to_integral_value()
    return isinstance(value, int) and not isinstance(value, bool)


def _counted(keyword: Keyword) -> Keyword:
    def counted(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        left = _LEFT.get()
        left.nested += 1
        try:
            left.step(value, instance)
            yield from keyword(validator, value, instance, schema) or ()
        finally:
            left.nested -= 1

    return counted


def _error(unless: bool) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not unless:
        yield ValidationError("")


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    yield from _error(not isinstance(instance, str) or _LEFT.get().found(pattern, instance))


def _pattern_properties(validator: Any, parts: Any, instance: Any, schema: Any) -> Iterator[Any]:
    for key, value in instance.items() if isinstance(instance, dict) else ():
        for pattern, part in parts.items():
            if _LEFT.get().found(pattern, key):
                yield from validator.descend(value, part)


def _additional(validator: Any, part: Any, instance: Any, schema: Any) -> Iterator[Any]:
    known, expressions = schema.get("properties", {}), schema.get("patternProperties", {})
    for key, value in instance.items() if isinstance(instance, dict) else ():
        if key not in known and not any(_LEFT.get().found(p, key) for p in expressions):
            yield from validator.descend(value, part)


def _const(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
    yield from _error(_frozen(instance) == _frozen(value))


def _enum(validator: Any, values: Any, instance: Any, schema: Any) -> Iterator[Any]:
    own = _frozen(instance)
    yield from _error(any(own == _frozen(value) for value in values))


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if wanted and isinstance(instance, list):
        yield from _error(len(set(map(_frozen, instance))) == len(instance))


def _multiple(validator: Any, of: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, int | Decimal) and not isinstance(instance, bool):
        yield from _error(_is_multiple(Decimal(instance), Decimal(of)))


def _is_multiple(number: Decimal, of: Decimal) -> bool:
    """Exact: both times the same power of ten, whose exponents are limited, are whole numbers."""
    least = min(int(number.as_tuple().exponent), int(of.as_tuple().exponent), 0)
    left, right = (int(n.scaleb(-least, _WIDE)) for n in (number, of))
    return left % right == 0


_WIDE = Context(prec=10_000)


_OWN: Mapping[str, Keyword] = {
    "additionalProperties": _additional,
    "const": _const,
    "divisibleBy": _multiple,
    "enum": _enum,
    "multipleOf": _multiple,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "uniqueItems": _unique,
}
"""Keywords that are slow, inexact or without a limit in ``jsonschema``."""
