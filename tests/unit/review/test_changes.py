"""Which way a change goes, what acknowledges it, and that the review knows the gate's arguments."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import Gate
from pytest_modellab.lab import settings
from pytest_modellab.plugin import assertions, overrides
from pytest_modellab.review import gating, ini
from pytest_modellab.review.asked.asks import BY_BASE, LIMITS, SCOPE
from pytest_modellab.review.changes import Change, higher, lower
from pytest_modellab.review.side import line_of
from pytest_modellab.review.words import toml

limits = st.none() | st.floats(0, 1)


@given(limits, limits)
def test_a_limit_from_above_and_one_from_below(old: float | None, new: float | None) -> None:
    above = [one.kind for one in lower("margin", old, new)]
    back = [one.kind for one in lower("margin", new, old)]
    assert (above, back) in (([], []), (["weaker"], ["stronger"]), (["stronger"], ["weaker"]))
    below = [one.kind for one in higher("floor", old, new)]
    if old is not None and new is not None:
        assert below == back
    elif old != new:  # no limit is the weakest, from both sides
        assert above == below == ["weaker" if new is None else "stronger"]


@given(st.text(), st.text(), st.text())
def test_what_is_printed_acknowledges_the_change(what: str, old: str, new: str) -> None:
    change = Change("weaker", what, old, new)
    pasted = tomllib.loads(f'{toml(change.key)} = "agreed with … because …"')
    assert list(pasted) == [change.key]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("task_sets", "a", "margin"), 3),
        (("task_sets", "a", "floor"), 1),  # its table
        (("task_sets", "b.c", "margin"), 6),
        (("task_sets", "d", "margin"), 8),  # an inline table
        (("variants", "e", "slow"), 10),
        (("variants", "f"), 9),
        (("scenarios", "g"), None),
    ],
)
def test_lines_of_keys(keys: tuple[str, ...], line: int | None) -> None:
    text = (
        '[task_sets.a]\npath = "a"\nmargin = 0.1\n'
        '[ task_sets . "b.c" ]  # margin = 2\npath = "b"\nmargin=0.2\n'
        "[task_sets]\nd = { margin = 0.3 }\n[variants]\ne.slow = true\n"
    )
    assert line_of(text, keys) == line


def test_the_gates_own_rules() -> None:
    assert gating.LIMIT == assertions.LIMIT
    assert gating.STARVED == overrides.STARVED
    assert ini.ALPHA == settings.ALPHA
    assert settings.ON_INCONCLUSIVE == "warn"


def test_every_argument_of_an_assertion_is_known() -> None:
    by_base = set()
    for name, method in inspect.getmembers(Gate, inspect.isfunction):
        if name.startswith("_") or name == "judge":
            continue
        parameters = inspect.signature(method).parameters
        given = [one for one in parameters.values() if one.kind is one.KEYWORD_ONLY]
        assert {one.name for one in given} <= {*SCOPE, *LIMITS}, name
        if any(one.name == "against" and one.default == "base" for one in given):
            by_base.add(name)
    assert by_base == set(BY_BASE)


def test_the_example_of_the_page_is_one() -> None:
    page = (Path(__file__).parents[3] / "docs/review.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    assert list(tomllib.loads(example)) == ["acknowledged"]
