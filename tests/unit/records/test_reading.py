"""What is read back is what the record holds, or named with its place."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from pytest_modellab.records import reading
from pytest_modellab.records.reading import Count, Id, Share, Unfit


@dataclasses.dataclass(frozen=True)
class Inner:
    id: Id
    score: Share | None = None


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: tuple[Inner, ...]
    pair: tuple[int, float]
    count: Count
    kind: Literal["a", "b"]
    sure: bool = False
    some: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    either: str | int | None = None


VALID: dict[str, Any] = {
    "name": "x",
    "inner": [{"id": "a", "score": 1}, {"id": "b"}],
    "pair": [1, 2.5],
    "count": 3,
    "kind": "a",
    "some": {"deep": [{"a": [1]}]},
}


def test_a_record_is_built_without_converting_a_number() -> None:
    found = reading.build(Outer, VALID)
    assert found == Outer("x", (Inner("a", 1), Inner("b")), (1, 2.5), 3, "a", some=VALID["some"])
    assert type(found.inner[0].score) is int


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "name: None: expected a string"),
        ({"name": 1}, "name: 1: expected a string"),
        ({"inner": {}}, "inner: {}: expected a list"),
        ({"inner": [1]}, "inner[0]: 1: expected an object"),
        ({"inner": [{}]}, "inner[0].id: missing"),
        ({"inner": [{"id": "a", "b c": 1}]}, "inner[0]['b c']: unknown key"),
        ({"inner": [{"id": "a", "score": True}]}, "inner[0].score: True: expected a finite number"),
        ({"inner": [{"id": "a", "score": 2}]}, "inner[0].score: 2: expected a number in [0, 1]"),
        (
            {"inner": [{"id": "a", "score": float("nan")}]},
            "inner[0].score: nan: expected a finite number",
        ),
        ({"pair": [1]}, "pair: [1]: expected a list of 2"),
        ({"pair": [1.0, 1]}, "pair[0]: 1.0: expected a whole number"),
        ({"pair": [1, 10**400]}, f"pair[1]: 1{'0' * 58}\u2026: expected a finite number"),
        ({"pair": [2**63, 1]}, "pair[0]: 9223372036854775808: expected a whole number"),
        ({"count": -1}, "count: -1: expected a whole number of at least 0"),
        ({"count": True}, "count: True: expected a whole number"),
        ({"kind": "c"}, "kind: 'c': expected 'a' or 'b'"),
        ({"kind": []}, "kind: []: expected 'a' or 'b'"),
        ({"sure": 1}, "sure: 1: expected true or false"),
        ({"some": []}, "some: []: expected an object"),
        ({"some": {"a": [float("inf")]}}, "some.a: inf: expected a finite number"),
        ({"either": 1.5}, "either: 1.5: expected a whole number"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, Any], said: str) -> None:
    with pytest.raises(Unfit) as caught:
        reading.build(Outer, {**VALID, **change})
    assert str(caught.value) == said


def test_nesting_has_an_end() -> None:
    deep = json.loads("[" * 60 + "]" * 60)
    with pytest.raises(Unfit, match=r"^some\.a: nested deeper than 50$"):
        reading.build(Outer, {**VALID, "some": {"a": deep}})


def test_messages_are_short_and_on_one_line() -> None:
    with pytest.raises(Unfit) as caught:
        reading.build(Outer, {**VALID, "kind": "\n::error::" + "x" * 9999})
    assert str(caught.value).startswith("kind: '\\n::error::xxx")
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("text", ["a", "a b", "\u00e9", "a/b:c", "\u0661", "a\u200db"])
def test_ids(text: str) -> None:
    assert reading.id_problem(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        (" ", "is blank"),
        ("\u00a0", "is blank"),
        ("a ", "begins or ends with a blank"),
        ("\ta", "begins or ends with a blank"),
        ("a\nb", "holds the control character U+000A"),
        ("a\x7f", "holds the control character U+007F"),
        ("a\u2028b", "holds the control character U+2028"),
        ("\ud800", "holds the control character U+D800"),
    ],
)
def test_what_is_no_id(text: str, problem: str) -> None:
    assert reading.id_problem(text) == problem


@pytest.mark.parametrize("text", ["1", "+1", "-0.5", ".5", "1.", "1e-3", " 7 "])
def test_decimals(text: str) -> None:
    assert reading.decimal(text) == float(text)


@pytest.mark.parametrize("text", ["", "0_1", "\u0661", "inf", "nan", "1e999", "0x1", "1,5", "1 2"])
def test_what_is_no_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        reading.decimal(text)
