"""Text of other people: the one module that makes it fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.errors import ConfigError, FloorViolated
from pytest_modellab.visible import CELL, LINE, cell, line, message, raised, shortened, visible

ANY = st.text(st.characters(codec=None)) | st.text(":#[=+-@\t\r\n\x1b\x85\u2028\u202e\ud800a ")


def test_ordinary_text_stays() -> None:
    for text in ("a: b", "naïve 漢 😀", "t.py::test[x]", "std::vector", "1-2", "", "  note: x"):
        assert visible(text) == line(text) == message(text) == text
    assert cell("naïve") == "naïve"
    assert cell("") == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x\n::error::pwned", r"x\n::error::pwned"),
        ("::error::pwned", r"\x3a:error::pwned"),
        ("  ::stop-commands::x", r"  \x3a:stop-commands::x"),
        ("a ##[error]b", r"a #\x23[error]b"),
        ("###vso[task.complete]", r"##\x23vso[task.complete]"),
        ("##teamcity[x]", r"#\x23teamcity[x]"),
        ("\x1b[31mred\x1b]0;t\x07", r"\x1b[31mred\x1b]0;t\x07"),
        ("a\u202eb\u2066c\ud800\u2028", r"a\u202eb\u2066c\ud800\u2028"),
    ],
)
def test_a_line_is_one_line_and_no_command(text: str, expected: str) -> None:
    assert line(text) == expected


def test_a_message_keeps_its_own_lines_and_tabs() -> None:
    assert message("a\r\n\tb\n::error::c\x1b[2J") == "a\n\tb\n\\x3a:error::c\\x1b[2J"


def test_what_is_long_keeps_both_ends_and_says_its_length() -> None:
    assert shortened("ab" * 10, 8) == "ababab… (20 characters) …ab"
    text = f"modellab.toml: {'x' * 100_000} is no number; write one"
    assert line(text).startswith("modellab.toml: xx")
    assert f"x… ({len(text)} characters) …x" in line(text)
    assert line(text).endswith(" is no number; write one")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1"])
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert cell(text) == f"'{text}"


def test_errors_show_what_they_say() -> None:
    assert str(ConfigError("a\x1b[2J\n::error::b")) == "a\\x1b[2J\n\\x3a:error::b"
    assert len(str(ConfigError("x" * 10**6))) < LINE + 100
    assert len(str(FloorViolated("x\n" * 10**6))) < 250_000


def test_what_others_raise_is_one_short_line() -> None:
    assert raised(KeyError("a\n b")) == "KeyError: 'a\\n b'"
    assert raised(ValueError(" a\n\n\x1b[31m b")) == "ValueError: a \\x1b[31m b"
    assert len(raised(ValueError("x" * 10_000))) < 350


@given(ANY)
def test_whatever_it_is(text: str) -> None:
    assert line(text).isprintable()
    for shown in (line(text), *message(text).split("\n")):
        assert not shown.lstrip().startswith("::")
        assert "##[" not in shown
        assert shown.replace("\t", "").isprintable()
    assert not cell(text).lstrip().startswith(("=", "+", "-", "@"))


@given(st.text(min_size=1).map(lambda text: text * (100_000 // len(text))))
def test_however_long_it_is(text: str) -> None:
    assert len(line(text)) < 11 * LINE  # a character may take ten
    assert len(visible(shortened(text, CELL))) < 11 * CELL
