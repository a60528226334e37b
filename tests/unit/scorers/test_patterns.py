"""Expressions of task files: what re says, within limits of time and size."""

from __future__ import annotations

import re
import sys
import unicodedata
import warnings
from collections.abc import Callable

import hangs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import Unscorable
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.scoring import score_sample
from pytest_modellab.scorers import patterns

Make = Callable[..., Sample]


def nested(inner: str, repeat: str, times: int) -> str:
    for _ in range(times):
        inner = f"(?:{inner}){repeat}"
    return inner


@pytest.mark.parametrize("pattern", ["^(a+)+$", r"(\w+\s?)+$", "(x+x+)+y", "a*a*a*a*b"])
def test_repeats_that_the_engine_sees_through(sample: Make, pattern: str) -> None:
    made = sample(scorer="regex", target=pattern, choices=(), max_tokens=64)
    assert scorers.check(made) in (None, "target: the expression matches an empty reply")
    with hangs.ends():
        found = score_sample(scorers.SCORERS["regex"], made, Output("a" * 40 + "!"), None)
    assert found.score == 0.0


@pytest.mark.parametrize("pattern", ["^(a|aa)+$", "((a{1,100}){1,90})b"])
def test_a_search_without_end_is_the_samples_failure(sample: Make, pattern: str) -> None:
    made = sample(scorer="regex", target=pattern, choices=(), max_tokens=64)
    assert scorers.check(made) is None
    with hangs.ends():
        found = score_sample(scorers.SCORERS["regex"], made, Output("a" * 5000 + "!"), None)
    assert found.score is None
    assert found.output == (
        f"(the expression {pattern!r} takes more than 2 seconds of processor time on a text of "
        "5001 characters; nested repeats such as (a+)+ do that)"
    )


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        (nested("a", "{3}", 12), 3**12),
        (nested("a", "{3,}", 12), 6**12),
        (nested("ab", "+", 20), (2**20) * 2),
        ("x{10001}", 10001),
        ("a(?:b{100}){101}", 10101),
    ],
)
def test_repeats_that_multiply_are_an_error_of_the_task_file(
    sample: Make, pattern: str, size: int
) -> None:
    with hangs.ends():
        said = scorers.check(sample(scorer="regex", target=pattern, choices=(), max_tokens=64))
    assert said is not None
    match = re.fullmatch(
        r"target: (.*) has (\d+) parts with its repeats written out, more than 10000; "
        r"repeat less, or do not nest repeats",
        said,
    )
    assert match is not None, said
    assert int(match[2]) >= size
    with pytest.raises(Unscorable, match="parts with its repeats written out"):
        patterns.found(pattern, "x")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("a" * 5001, f"'{'a' * 58}… has 5001 characters, more than 5000"),
        ("(?x) a # b", "'(?x) a # b' has the flag x, which is not taken; leave it out, and with "
         "it blanks and comments"),
        ("(?ix:a)", "'(?ix:a)' has the flag x, which is not taken; leave it out, and with it "
         "blanks and comments"),
        (r"\p{L}", r"not a regular expression: bad escape \p at position 0"),
        ("a" + "(" * 2000 + ")" * 2000, "not a regular expression: maximum recursion depth"),
    ],
)  # fmt: skip
def test_what_is_not_taken(pattern: str, said: str) -> None:
    assert (patterns.problem(pattern) or "").startswith(said), patterns.problem(pattern)


@pytest.mark.parametrize(
    "pattern", [nested("a", "*", 30), nested("a", "{0,3}", 12), r"\d{4}-\d{2}", r"\(?x", "a{10000}"]
)
def test_what_is_taken(pattern: str) -> None:
    assert patterns.problem(pattern) is None


# --- as re searches -------------------------------------------------------------------------------

ATOMS = [
    *"ab1_ -.:ä=<]{}^$,",
    *(r"\w", r"\W", r"\d", r"\s", r"\S", r"\b", r"\B", r"\.", r"\{", r"\A", r"\Z"),
    *("[a-c]", r"[^\n]", "[]a]", "[^]a]", "[[:a]", r"[a\]b]", r"[\w-]", r"[^\s-]", "[[:alpha:]]"),
    *("{a}", "{e}", "{e<=1}", "{,}", "{1,", "{}", "a{}", r"\[", "(?#x()"),
]

OPEN = ["(", "(?:", "(?=", "(?!", "(?>", "(?i:", "(?s:", "(?-i:"]

TEXT = "ab1_ -.:{}[]e,AäB=<\n²½\u0301न\u093f\x1c"

REPEATS = ["*", "+", "?", "{2}", "{1,3}", "{2,}", "{,2}", "*?", "+?", "{2}?"]


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=2).map("|".join),
        st.builds(lambda begin, x: f"{begin}{x})", st.sampled_from(OPEN), inner),
        st.builds(lambda x, repeat: f"(?:{x}){repeat}", inner, st.sampled_from(REPEATS)),
    )


expressions = st.builds(
    lambda flags, x: flags + x,
    st.sampled_from(["", "(?i)", "(?m)", "(?s)"]),
    st.recursive(st.sampled_from(ATOMS), grown, max_leaves=8),
)


@pytest.mark.parametrize(
    "pattern", [r"\w", r"[\w]", r"[^\w]", r"\W", r"\s", r"[\s-]", r"\S", r"\d"]
)
def test_classes_are_those_of_re(pattern: str) -> None:
    """Of every character that this Python's Unicode has."""
    known = re.compile(pattern)
    all_of_them = [chr(number) for number in range(sys.maxunicode + 1)]
    given = [one for one in all_of_them if unicodedata.category(one) not in ("Cn", "Cs")]
    outside = "".join(one for one in given if not known.match(one))
    assert not patterns.found(pattern, outside)
    inside = "".join(one for one in given if known.match(one))
    assert patterns.found(f"^{pattern}+$", inside)


@settings(max_examples=1000)
@given(expressions, st.text(alphabet=TEXT, max_size=8))
def test_searches_as_re_does(pattern: str, text: str) -> None:
    assume(text or r"\B" not in pattern)  # which finds nothing in no text before Python 3.14
    wrong = patterns.problem(pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if wrong is not None:
            with pytest.raises(re.error):
                re.compile(pattern)
            return
        expected = re.search(pattern, text) is not None
    assert patterns.found(pattern, text) == expected


@settings(max_examples=300)
@given(expressions)
def test_what_is_taken_compiles_at_once(pattern: str) -> None:
    with hangs.ends():
        patterns.problem(pattern * 5)
