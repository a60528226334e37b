"""A diagnosis is written and read back exactly."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pytest_modellab.records.diagnosis import (
    SCHEMA,
    Answers,
    Diagnosis,
    Finding,
    Heat,
    Kept,
    Lines,
    NodeError,
    Picture,
    Piece,
    Remedy,
    Series,
    Side,
    Sides,
    WeightChange,
)

PICTURE = Picture(
    "where_it_enters",
    "Where it enters",
    "At one place.",
    (
        Heat(("q",), ("0",), ((None,),), 0.0, "nats", framed=((0, 0),)),
        Lines(("0",), (Series("base", (1.0, None)),), "layer", "nats"),
        Sides((Piece("a"),), (Piece("b", differs=True),)),
    ),
)

FOUND = Diagnosis(
    schema=SCHEMA,
    base=Side("plain"),
    candidate=Side("broken", "f" * 16, 7),
    level="internals",
    culprit="layer.1.mlp",
    fault="rounded(2)",
    headline="layer.1.mlp is rounded to 2 bits",
    damage=0.5,
    tokens=448,
    restored=0.99,
    findings=(Finding("layer.1.mlp", "rounded(2)", "seen", evidence={"bits": 2, "how": "a"}),),
    weights=(WeightChange("layer.1.mlp", 0.5),),
    nodes=(NodeError("layer.1.mlp", 0.1, 0.4),),
    remedy=Remedy("keep it", curve=(Kept(1, 0.9, 4096),)),
    answers=Answers(4, 3),
    pictures=(PICTURE,),
    seconds={"base": 0.5},
)


def test_what_was_written_is_read_back() -> None:
    assert Diagnosis.from_json(FOUND.to_json()) == FOUND
    assert list(json.loads(FOUND.to_json())) == sorted(json.loads(FOUND.to_json()))


def test_another_schema_is_refused() -> None:
    old = dataclasses.replace(FOUND, schema=SCHEMA + 1).to_json()
    with pytest.raises(ValueError, match=f"schema: {SCHEMA + 1}: expected {SCHEMA}"):
        Diagnosis.from_json(old)


def test_another_form_is_refused_with_its_place() -> None:
    data = json.loads(FOUND.to_json())
    data["pictures"][0]["panels"][0]["unit"] = 3
    with pytest.raises(ValueError, match=r"pictures\[0\]\.panels\[0\]"):
        Diagnosis.from_json(json.dumps(data))
