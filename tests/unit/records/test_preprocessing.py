from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.records.preprocessing import Unlike, differences, unlike

SIGHT: dict[str, Any] = {
    "class": "SmolVLMImageProcessorPil",
    "image_mean": [0.48145466, 0.45, 0.40821073],
    "size": {"height": 96, "width": 96},
    "do_resize": True,
}


def test_each_setting_that_differs_is_named_with_both_values() -> None:
    changed = {**SIGHT, "image_mean": [0.5, 0.5, 0.5], "size": {"height": 96, "width": 48}}
    found = unlike({"preprocessing": changed}, {"preprocessing": SIGHT}, "its base sight")
    assert list(map(str, found)) == [
        "preprocessing is not that of its base sight: "
        "image_mean: [0.5, 0.5, 0.5] here, [0.481455, 0.45, 0.408211] there; "
        "size.width: 48 here, 96 there"
    ]


@pytest.mark.parametrize(
    ("here", "there", "said"),
    [
        ({"a": 1}, {}, "a: 1 here, not set there"),
        ({}, {"a": "bicubic"}, 'a: not set here, "bicubic" there'),
        ({"a": True}, {"a": 1}, "a: true here, 1 there"),
        ({"a": None}, {"a": False}, "a: none here, false there"),
        ({"a": 0.1}, {"a": 0.1000000001}, "a: 0.1 here, 0.1000000001 there"),
        ({"a": {}}, {"a": {"b": 1}}, "a: {} here, not set there"),
        ({"a": [*range(20)]}, {}, "a: [0, 1, 2, 3, 4, 5, 6, 7, … 20 in all] here, not set there"),
        ({"a\x1b[2J": "x\ny"}, {}, 'a\\x1b[2J: "x\\ny" here, not set there'),
    ],
)  # fmt: skip
def test_values_are_written_on_one_line(here: Any, there: Any, said: str) -> None:
    assert next(differences(here, there)) == said


def test_a_long_value_is_cut() -> None:
    (said,) = differences({"a": "x" * 1000}, {"a": 1})
    assert said.startswith('a: "xxx')
    assert "(1002 characters)" in said
    assert len(said) < 150


def test_only_the_first_settings_are_named() -> None:
    found = Unlike("its base sight", tuple(differences({f"k{i:02}": i for i in range(20)}, {})))
    assert str(found).count(" here,") == 12
    assert str(found).endswith("k11: 11 here, not set there; and 8 more settings")


def test_what_prepares_nothing_differs_in_nothing() -> None:
    assert unlike({}, {"preprocessing": {}}, "its base") == ()
    assert unlike({"preprocessing": SIGHT}, {"preprocessing": dict(SIGHT)}, "its base") == ()


@pytest.mark.parametrize(
    ("at", "said"), [(0, "known here, not there"), (1, "known there, not here")]
)
def test_a_run_without_any_is_told_as_one_difference(at: int, said: str) -> None:
    here, there = ({"preprocessing": SIGHT} if at == side else {} for side in (0, 1))
    (found,) = unlike(here, there, "own baseline")
    assert str(found) == f"preprocessing is not that of own baseline: {said}"


settings = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_tuples(one) for key, one in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


@given(st.dictionaries(st.text(max_size=4), settings, max_size=4))
def test_settings_never_differ_from_themselves_as_json_has_them(found: dict[str, Any]) -> None:
    assert list(differences(found, _as_tuples(found))) == []


@given(settings, settings)
def test_what_is_said_is_one_printable_line(here: Any, there: Any) -> None:
    for said in differences({"a": here}, {"a": there}):
        assert said.isprintable()
        assert len(said) < 300
