"""A diagnosis as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from diagnoses import DIAGNOSES, EXAMPLES, head_is_zeroed, large, template_differs
from hypothesis import given, settings

from pytest_modellab.records.diagnosed import BYTES, LARGEST, as_read, finite, from_json, to_json
from pytest_modellab.records.diagnosis import Diagnosis, Finding, Heat, NodeError, Picture, Sides

any_diagnosis = settings(max_examples=50)


@any_diagnosis
@given(DIAGNOSES)
def test_what_was_written_is_read(diagnosis: Diagnosis) -> None:
    text = to_json(diagnosis, None)
    assert text.isascii()
    found = from_json(text)
    assert to_json(found, None) == text
    assert found.pictures == diagnosis.pictures
    assert found == diagnosis


@any_diagnosis
@given(DIAGNOSES)
def test_no_diagnosis_is_too_large(diagnosis: Diagnosis) -> None:
    text = to_json(diagnosis)
    assert len(text.encode()) <= BYTES
    from_json(text)


@pytest.mark.parametrize("name", EXAMPLES)
def test_keys_are_sorted_and_figures_are_short(name: str) -> None:
    text = to_json(EXAMPLES[name]())
    data = json.loads(text)
    assert list(data) == sorted(data)
    found = from_json(text)
    for picture in found.pictures:
        for panel in picture.panels:
            rows = panel.values if isinstance(panel, Heat) else ()
            assert all(v is None or v == float(f"{v:.4g}") for row in rows for v in row)
    assert to_json(found) == text


def test_of_a_large_one_the_largest_pictures_lose_their_values() -> None:
    diagnosis = large()
    found = from_json(to_json(diagnosis))
    assert [p.name for p in found.pictures if not p.panels] == ["huge"]
    assert found.pictures[-1].sentence == "It is huge."
    assert found.notes == ("left out of the JSON, which would be too large: the values of huge",)
    assert len(found.weights) == len(diagnosis.weights)
    assert from_json(to_json(diagnosis, None)).pictures[-1].panels


def test_of_a_deep_model_what_stands_out_is_kept() -> None:
    diagnosis = head_is_zeroed()
    many = tuple(NodeError(f"layer.{i}.mlp", 0.1, i / 1000) for i in range(5000))
    found = from_json(to_json(dataclasses.replace(diagnosis, nodes=many)))
    assert len(found.nodes) == len(found.weights) == 100
    assert found.nodes == many[-100:]
    assert [w for w in found.weights if w.stands_out] == [
        w for w in diagnosis.weights if w.stands_out
    ]
    assert found.notes[-1] == (
        "left out of the JSON: all but the 100 leaves and nodes that stand out most"
    )


def test_what_is_not_finite_is_written_all_the_same() -> None:
    diagnosis = dataclasses.replace(
        head_is_zeroed(), damage=math.inf, nodes=(NodeError("embedding", math.nan, -math.inf),)
    )
    found = from_json(to_json(diagnosis))
    assert (found.damage, found.nodes[0].relative, found.nodes[0].nats) == (
        LARGEST,
        LARGEST,
        -LARGEST,
    )
    assert not finite(LARGEST)
    assert not finite(math.nan)
    assert finite(1e300)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("damage"), "damage: missing"),
        (lambda d: d.update(damage="1"), "damage: '1': expected a finite number"),
        (lambda d: d.update(level="all"), "level: 'all': expected 'internals' or"),
        (lambda d: d.update(more=1), "more: unknown key"),
        (lambda d: d.update(schema=2), "schema is 2, this version of pytest-modellab reads 1"),
        (lambda d: d.update(schema=True), "schema is True, this version"),
        (lambda d: d.update(pictures=3), "pictures: 3: expected a list"),
        (lambda d: d["findings"][0].pop("site"), r"findings\[0\].site: missing"),
        (lambda d: d["pictures"][0].pop("title"), r"pictures\[0\].title: missing"),
        (
            lambda d: d["pictures"][0]["panels"][0].update(kind="pie"),
            r"pictures\[0\].panels\[0\].kind: 'pie': expected heat or lines or sides",
        ),
        (
            lambda d: d["pictures"][0]["panels"][0].update(kind=["heat"]),
            r"pictures\[0\].panels\[0\].kind: \['heat'\]: expected heat or lines or sides",
        ),
        (
            lambda d: d["pictures"][0]["panels"][0]["rows"].pop(),
            r"pictures\[0\].panels\[0\].values: expected 29 rows of 9",
        ),
        (
            lambda d: d["pictures"][0]["panels"][0].update(framed=[[8, 9]]),
            r"pictures\[0\].panels\[0\].framed: outside of the values",
        ),
        (
            lambda d: d["pictures"][3]["panels"][1]["x"].pop(),
            r"pictures\[3\].panels\[1\].series: expected 29 values in each",
        ),
        (
            lambda d: d["pictures"][3]["panels"][1].update(framed=[-1]),
            r"pictures\[3\].panels\[1\].framed: outside of the places",
        ),
    ],
)
def test_nothing_is_believed_unchecked(change: Change, message: str) -> None:
    data = json.loads(to_json(head_is_zeroed()))
    change(data)
    with pytest.raises(ValueError, match=f"^{message}"):
        from_json(json.dumps(data))


def test_what_is_no_diagnosis() -> None:
    with pytest.raises(ValueError, match="expected an object"):
        from_json("[]")
    with pytest.raises(ValueError, match=r"^schema: missing"):
        from_json("{}")
    with pytest.raises(ValueError, match="nested too deep"):
        from_json("[" * 100_000)
    with pytest.raises(ValueError, match=r"^64,000,001 characters are no diagnosis"):
        from_json(" " * 64_000_001)


def test_texts_come_back_as_they_were() -> None:
    found = from_json(to_json(template_differs())).pictures[0].panels[0]
    assert isinstance(found, Sides)
    assert [p.text for p in found.candidate if p.differs] == ["\t", "\n"]


def test_parts_of_others_are_as_they_are_read() -> None:
    numpy = pytest.importorskip("numpy")
    diagnosis = head_is_zeroed()
    found, drawn, said = as_read(diagnosis.findings, diagnosis.pictures, ["one"])
    assert (found, said) == (diagnosis.findings, ("one",))
    assert drawn == from_json(to_json(diagnosis)).pictures
    heat = Heat(("a",), ("b", "c"), ((numpy.float64(1.0),),), None, "nats")
    with pytest.raises(
        ValueError, match=r"^pictures\[0\]\.panels\[0\]\.values: expected 1 rows of 2"
    ):
        as_read((), [Picture("n", "t", "s", (heat,))], ())
    with pytest.raises(TypeError, match="float32 is not JSON serializable"):
        as_read([Finding("a", "b", "c", numpy.float32(1.0))], (), ())
    with pytest.raises(ValueError, match=r"^notes\[0\]: 3: expected a string"):
        as_read((), (), [3])  # type: ignore[list-item]
