"""The JSON of a reply, strict and exact, and schemas that are evaluated within limits."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import hangs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.scoring import score_sample
from pytest_modellab.scorers import schemas
from pytest_modellab.scorers.strict_json import DEPTH, DIGITS, LENGTH, first_json

pytest.importorskip("jsonschema")

Make = Callable[..., Sample]


def judged(schema: dict[str, Any], reply: str) -> tuple[float | None, str]:
    sample = Sample("s", "x", schema, "json_schema", "c", "easy", max_tokens=64)
    found = score_sample(scorers.SCORERS["json_schema"], sample, Output(reply), None)
    return found.score, found.output


def of_a(**keywords: Any) -> dict[str, Any]:
    return {"properties": {"a": keywords}, "required": ["a"]}


# --- strict, exact, limited -----------------------------------------------------------------------


@pytest.mark.parametrize("said", ["NaN", "Infinity", "-Infinity", "01", "1.", "+1", "'x'", "\n"])
def test_what_is_not_json_satisfies_no_schema(said: str) -> None:
    assert first_json(f'{{"a": {said}}}') is None
    assert judged(of_a(), f'{{"a": {said}}}')[0] == 0.0


@pytest.mark.parametrize(
    ("keywords", "said", "right"),
    [
        ({"multipleOf": 0.01}, "1e400", 1.0),
        ({"multipleOf": 0.01}, "1.23", 1.0),
        ({"multipleOf": 0.01}, "1.234", 0.0),
        ({"multipleOf": 0.1}, "0.3", 1.0),
        ({"multipleOf": 0.5}, "9" * 400, 1.0),
        ({"multipleOf": 7}, "1" + "0" * 400, 0.0),
        ({"multipleOf": 1e-300}, "1e900", 1.0),
        ({"const": int("9" * 400)}, "9" * 400, 1.0),
        ({"const": int("9" * 400)}, "9" * 399 + "8", 0.0),
        ({"maximum": 10**400}, "1" + "0" * 400, 1.0),
        ({"maximum": 10**400}, "1" + "0" * 399 + "1", 0.0),
        ({"maximum": 1}, "1.00000000000000000000001", 0.0),
        ({"type": "integer"}, "1e400", 1.0),
        ({"type": "integer"}, "1.0", 1.0),
        ({"type": "integer"}, "1.5", 0.0),
        ({"const": 1}, "1.0", 1.0),
        ({"const": 1}, "true", 0.0),
        ({"const": 0.1}, "0.10", 1.0),
        ({"const": [1, {"b": False}]}, '[1.0, {"b": false}]', 1.0),
        ({"const": [1, {"b": False}]}, '[1.0, {"b": 0}]', 0.0),
        ({"enum": [0, "x"]}, "false", 0.0),
        ({"enum": [0, "x"]}, "-0.0", 1.0),
        ({"uniqueItems": True}, "[1, 1.0]", 0.0),
        ({"uniqueItems": True}, "[1, true, [1], [true], {}, []]", 1.0),
        ({"uniqueItems": True}, '[{"a": 1, "b": 2}, {"b": 2, "a": 1e0}]', 0.0),
    ],
)
def test_numbers_are_exact(keywords: dict[str, Any], said: str, right: float) -> None:
    assert judged(of_a(**keywords), f'{{"a": {said}}}')[0] == right


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ("9" * DIGITS, True),
        ("9" * (DIGITS + 1), False),
        (f"1e{DIGITS}", True),
        (f"1e-{DIGITS}", True),
        (f"1E+00{DIGITS}", True),
        (f"1e{DIGITS + 1}", False),
        ("1e999999999", False),
        ("1e-99999999999999999999999999", False),
        (f"1e{'9' * 5000}", False),
    ],
)
def test_digits_are_limited(said: str, taken: bool) -> None:
    assert (first_json(f'{{"a": {said}}}') is not None) == taken
    assert judged(of_a(type="number"), f'{{"a": {said}}}')[0] == float(taken)


@pytest.mark.parametrize("levels", [DEPTH - 1, DEPTH])
def test_depth_is_limited(levels: int) -> None:
    reply = '{"a":' * levels + "{}" + "}" * levels
    taken = levels < DEPTH
    assert (first_json(reply) is not None) == taken
    schema = {"type": "object", "properties": {"a": {"$ref": "#"}}}
    assert judged(schema, reply)[0] == float(taken)


def test_of_equal_keys_the_last_counts() -> None:
    assert first_json('{"a": 1, "a": 2}') == {"a": 2}


def test_numbers_that_are_whole_stay_so() -> None:
    found = first_json('{"a": 1, "b": 1.50, "c": 1e2}')
    assert found == {"a": 1, "b": Decimal("1.50"), "c": Decimal(100)}
    assert [type(one) for one in found.values()] == [int, Decimal, Decimal]


def test_a_reply_that_is_too_long() -> None:
    assert judged({"type": "object"}, "{}".rjust(LENGTH))[0] == 1.0
    assert judged({"type": "object"}, "{}".rjust(LENGTH + 1)) == (
        None,
        "(the reply has 100001 characters, more than 100000)",
    )


@pytest.mark.parametrize(
    "reply",
    [
        "[" * LENGTH,
        '{"a":' * (LENGTH // 5),
        "[" * (DEPTH - 1) + "[x]" * 33_000,
        ("[" * (DEPTH - 1) + "[1]," * 24_000 + "x" + "]" * (DEPTH - 1)),
        '["' * (LENGTH // 2),
        '["' + "\\" * 99_000,
        '["[\\"' * 20_000,
    ],
    ids=range(7),
)
def test_a_hostile_reply_takes_no_time(reply: str) -> None:
    with hangs.ends():
        judged({"type": "object"}, reply)


# --- schemas without end --------------------------------------------------------------------------


def doubling(keyword: str, levels: int, leaf: dict[str, Any]) -> dict[str, Any]:
    defs: dict[str, Any] = {
        f"d{i}": {keyword: [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}"}]}
        for i in range(levels)
    }
    return {"$defs": {**defs, f"d{levels}": leaf}, "$ref": "#/$defs/d0"}


NESTED = "(target: the schema has more than 100 keywords inside each other for this reply)"
STEPS = "(target: the schema takes more than 50000 steps for this reply)"
DRAFT = "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$ref": "#"}, NESTED),
        ({"$dynamicAnchor": "x", "$dynamicRef": "#x"}, NESTED),
        ({"unevaluatedProperties": False, "$ref": "#"}, NESTED),
        ({"not": {"$ref": "#"}}, NESTED),
        (doubling("allOf", 25, {"type": "object"}), STEPS),
        (doubling("anyOf", 25, {"type": "string"}), STEPS),
        (doubling("oneOf", 25, {"type": "string"}), STEPS),
        ({"$schema": DRAFT, **doubling("allOf", 25, {"$schema": DRAFT})}, STEPS),
        (
            {
                "$defs": doubling("allOf", 25, {})["$defs"],
                "allOf": [{"$schema": DRAFT, "$ref": "#/$defs/d0"}],
            },
            STEPS,
        ),
        ({"unevaluatedProperties": False, **doubling("allOf", 25, {})}, STEPS),
    ],
    ids=range(10),
)
def test_a_schema_without_end_is_the_samples_failure(schema: dict[str, Any], said: str) -> None:
    sample = Sample("s", "x", schema, "json_schema", "c", "easy", max_tokens=64)
    assert scorers.check(sample) is None
    with hangs.ends():
        assert judged(schema, '{"a": 1}') == (None, said)


@pytest.mark.parametrize(
    "schema",
    [
        {"propertyNames": {"pattern": "^(a|aa)+$"}},
        {"patternProperties": {"^(a|aa)+$": {}}},
        {"patternProperties": {"^(a|aa)+$": {}}, "additionalProperties": False},
        {"additionalProperties": {"pattern": "^(a|aa)+$"}},
    ],
)
def test_an_expression_without_end_in_a_schema(
    schema: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = functools.partial(schemas._Left, seconds=0.1)
    monkeypatch.setattr(schemas, "_Left", left)
    text = "a" * 100 + "!"
    score, said = judged(schema, json.dumps({text: text}))
    assert score is None
    assert said.startswith("(the expression '^(a|aa)+$' takes more than 2 seconds of processor")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"uniqueItems": True}, [{"a": i} for i in range(8000)]),
        ({"anyOf": [{"type": "string"}] * 800}, list(range(15_000))),
        ({"items": {"anyOf": [{"type": "integer"}] * 800}}, ["x" * 90_000]),
        ({"items": {"enum": [*map(str, range(4000))]}}, list(range(15_000))),
        ({"items": {"multipleOf": 1e-300}}, [10**900] * 100),
    ],
    ids=range(5),
)
def test_no_keyword_is_slow(schema: dict[str, Any], value: Any) -> None:
    with hangs.ends():
        judged(schema, json.dumps(value))


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"a": [0] * 5000}, "target: the schema: holds more than 5000 values"),
        (json.loads('{"not":' * 51 + "{}" + "}" * 51), "target: the schema: nested deeper than 50"),
        (
            {"items": {"pattern": "(?:(?:a{100}){100}){2}"}},
            "target: the schema: '(?:(?:a{100}){100}){2}' has 20202 parts with its repeats written "
            "out, more than 10000; repeat less, or do not nest repeats",
        ),
        (
            {"patternProperties": {"(": {}}},
            "target: the schema: not a regular expression: missing ), unterminated subpattern at "
            "position 0",
        ),
        (
            {"unevaluatedProperties": False, "patternProperties": {"a": {}}},
            "target: the schema: unevaluatedProperties and patternProperties are not taken "
            "together",
        ),
        (
            {"properties": {"const": {"pattern": "("}}},
            "target: the schema: not a regular expression: missing ), unterminated subpattern at "
            "position 0",
        ),
        *(
            ({"$ref": to}, f"target: the schema: the reference {to!r} leads to no schema")
            for to in ("#/default", "#/enum/0", "#/properties", "x#/not/propertie%73", "#/$defs")
        ),
    ],
)
def test_a_schema_that_is_too_large_is_an_error_of_the_task_file(
    sample: Make, schema: dict[str, Any], said: str
) -> None:
    made = sample(scorer="json_schema", target=schema, choices=(), max_tokens=64)
    assert scorers.check(made) == said


def test_data_in_a_schema_is_no_schema(sample: Make) -> None:
    schema = {"const": {"pattern": "("}, "enum": [{"pattern": "("}]}
    made = sample(scorer="json_schema", target=schema, choices=(), max_tokens=64)
    assert scorers.check(made) is None
    assert judged(schema, '{"pattern": "("}')[0] == 1.0


@pytest.mark.parametrize(
    "schema",
    [
        {
            "properties": {
                "unevaluatedProperties": {"type": "boolean"},
                "patternProperties": {"type": "object"},
            }
        },
        {
            "$defs": {"unevaluatedProperties": {}, "default": {}},
            "properties": {"a": {"$ref": "#/$defs/default"}},
            "patternProperties": {"^b": {}},
        },
        {"properties": {"properties": {}, "a": {"$ref": "#/properties/properties"}}},
    ],
)
def test_names_in_a_schema_are_no_keywords(sample: Make, schema: dict[str, Any]) -> None:
    made = sample(scorer="json_schema", target=schema, choices=(), max_tokens=64)
    assert scorers.check(made) is None
    assert judged(schema, '{"a": 1, "patternProperties": {}}')[0] == 1.0


# --- as jsonschema says ---------------------------------------------------------------------------

values = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 2, -1, 0.5, 1.0, 1.5, "", "a", "ab", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=6,
)

TYPES = ["array", "boolean", "integer", "null", "number", "object", "string"]


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    count = st.integers(0, 2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1),
            "const": values,
            "enum": st.lists(values, min_size=1, max_size=3),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "minimum": count,
            "exclusiveMaximum": count,
            "minLength": count,
            "pattern": st.sampled_from(["a", "^a$", "b?"]),
            "minItems": count,
            "maxItems": count,
            "uniqueItems": st.booleans(),
            "contains": inner,
            "items": inner,
            "prefixItems": several,
            "required": st.lists(st.sampled_from("abc"), unique=True, max_size=2),
            "properties": named,
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["a|b", "c"]), inner, max_size=2),
            "propertyNames": inner,
            "allOf": several,
            "anyOf": several,
            "oneOf": several,
            "not": inner,
            "if": inner,
            "then": inner,
            "else": inner,
            "dependentSchemas": named,
            "unevaluatedItems": inner,
            "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
        },
    )


def drawn() -> st.SearchStrategy[Any]:
    return st.recursive(st.booleans() | st.just({}), keywords, max_leaves=6)


@settings(max_examples=150)
@given(keywords(drawn()), values, keywords(st.booleans()).map(lambda a: {**a, "$ref": "#/$defs/b"}))
def test_valid_is_what_jsonschema_says(schema: dict[str, Any], value: Any, part: Any) -> None:
    import jsonschema

    schema = {**schema, "$defs": {"a": part, "b": {"type": TYPES}}}
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    exact = first_json(json.dumps([value]))[0]
    assert schemas.valid(schema, exact) == expected


ODD = [
    "",
    "#",
    "#/$defs/a",
    "http://[",
    "http://127.0.0.1:9/x",
    "a",
    "(",
    DRAFT,
    "file:///etc/passwd",
]

KEYS = [
    *("$schema", "$id", "$ref", "$dynamicRef", "$anchor", "$defs", "type", "enum", "const", "not"),
    *("multipleOf", "maximum", "pattern", "items", "properties", "required", "uniqueItems", "if"),
    *("additionalProperties", "patternProperties", "allOf", "dependencies", "minContains", "a"),
]

anything = st.recursive(
    st.sampled_from([None, True, 0, -1, 0.5, 10**400, *ODD]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS), inner, min_size=1, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(KEYS), anything, min_size=1, max_size=4), values)
def test_any_schema_is_judged_or_named(schema: dict[str, Any], value: Any) -> None:
    sample = Sample("s", "x", schema, "json_schema", "c", "easy", max_tokens=64)
    if scorers.check(sample) is not None:
        return
    try:
        score, said = judged(schema, json.dumps({"a": value}))
    except ScoringError as error:
        score, said = None, str(error)
    named = ("sample 's': target is no JSON schema: ", "(target: ", "(the ")
    assert score in (0.0, 1.0) or (score is None and said.startswith(named))


@given(st.integers(-(10**40), 10**40), st.integers(-400, 400), st.integers(1, 10**6))
def test_multiples_are_exact(number: int, power: int, of: int) -> None:
    right = Fraction(number) * Fraction(10) ** power / of
    said = judged({"items": {"multipleOf": of}}, f"[{number}e{power}]")
    assert said[0] == float(right.denominator == 1)
