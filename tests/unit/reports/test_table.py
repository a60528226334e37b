from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.reports.advice import next_step
from pytest_modellab.reports.text.flipped import clip
from pytest_modellab.reports.text.table import (
    code,
    escape,
    render_markdown,
    render_text,
)
from pytest_modellab.visible import visible

Make = Callable[..., Any]

SENTENCE = (
    "blocked: arithmetic fell from 0.62 to 0.41 (n = 66); a drop this large happens by chance in "
    "1 of 1000 runs; the allowed risk here is 1 in 200"
)


def test_text_of_a_block(comparison: Make, flip: Make) -> None:
    flips = (
        flip(),
        flip(id="a-2", after=None, after_output=""),
        flip(id="a-3", before=0.0, after=0.5, before_output="one\ntwo", after_output="long " * 30),
    )
    found = render_text(comparison("block", flips=flips, notes=("torch differs",)), width=80)
    assert found == SENTENCE + (
        "\n\n"
        "nf4 against own baseline, assistant_core_v2, arithmetic: BLOCK\n"
        "  bucket       n  baseline  candidate    drop      bound  adjusted p  verdict\n"
        "  arithmetic  66     0.620      0.410  +0.210  >= +0.090      0.0020  block\n"
        "\n"
        "3 flipped samples, 2 worse and 1 better:\n"
        "  sample               score      own baseline       nf4\n"
        "  arithmetic-hard-003  1 -> 0     The answer is 12.  The answer is 11.\n"
        "  a-2                  1 -> none  The answer is 12.  (empty)\n"
        "  a-3                  0 -> 0.5   one\\ntwo           long long long long l…\n"
        "note: torch differs"
    )


def test_text_of_a_floor_names_every_bucket(comparison: Make, figures: Make) -> None:
    low = figures(
        name="arithmetic/hard",
        n=22,
        clusters=22,
        baseline=None,
        candidate=0.09,
        floor=0.3,
        score_high=0.25,
    )
    lower = figures(
        name="code/hard",
        n=22,
        clusters=22,
        baseline=None,
        candidate=0.05,
        floor=0.3,
        score_high=0.2,
        p_adjusted=0.00001,
    )
    fine = figures(
        name="reading/hard",
        n=22,
        clusters=22,
        baseline=None,
        candidate=0.5,
        floor=0.3,
        score_low=0.35,
        verdict="pass",
        p_adjusted=1.7,
    )
    found = render_text(
        comparison(
            "block",
            assertion="worst_bucket",
            against="floor",
            capability=None,
            figures=(low, fine, lower),
        )
    )
    assert found == (
        "blocked: code/hard scores 0.05 (n = 22), below the floor of 0.3; a mean this low happens "
        "by chance in 1 of 1000 runs of a model at the floor; the allowed risk here is 1 in 200; "
        "also arithmetic/hard 0.09\n"
        "\n"
        "nf4 against floor, assistant_core_v2, worst bucket: BLOCK\n"
        "  bucket            n  floor  candidate     bound  adjusted p  verdict\n"
        "  code/hard        22  0.300      0.050  <= 0.200     <0.0001  block\n"
        "  arithmetic/hard  22  0.300      0.090  <= 0.250      0.0020  block\n"
        "  reading/hard     22  0.300      0.500  >= 0.350      1.0000  pass"
    )


def test_text_without_figures_or_flips(comparison: Make) -> None:
    assert render_text(comparison("inconclusive", figures=())) == (
        "inconclusive: no bucket was judged\n"
        "\n"
        "nf4 against own baseline, assistant_core_v2, arithmetic: INCONCLUSIVE\n"
        "  bucket  n  baseline  candidate  drop  bound  adjusted p  verdict"
    )


def test_flips_beyond_the_limit_are_counted(comparison: Make, flip: Make) -> None:
    many = comparison("block", flips=tuple(flip(id=f"s{i}") for i in range(12)))
    text = render_text(many)
    assert "12 flipped samples, 12 worse and 0 better, the first 10:" in text
    assert text.count("1 -> 0") == 10
    assert render_text(many, max_flips=0).endswith("12 flipped samples, 12 worse and 0 better")
    assert render_markdown(many, max_flips=2).count("1 -> 0") == 2


@pytest.mark.parametrize("width", [60, 80, 120])
def test_flips_keep_to_the_width(width: int, comparison: Make, flip: Make) -> None:
    wide = flip(id="s", before_output="漢字" * 100, after_output="x" * 300)
    last = render_text(comparison("block", flips=(wide,)), width=width).splitlines()[-1]
    assert len(last) + last.count("漢") + last.count("字") <= width
    assert last.count("…") == 2


def test_markdown_of_a_block(comparison: Make, flip: Make) -> None:
    hostile = flip(
        id="a|b", before_output="1 | 2\n*x* `y` \\| <b>", after_output="@all see https://x.y"
    )
    empty = flip(id="a_b", after_output=" ")
    assert render_markdown(comparison("block", flips=(hostile, empty))) == (
        f"{SENTENCE}\n"
        "\n"
        "**nf4 against own baseline, assistant_core_v2, arithmetic: BLOCK**\n"
        "\n"
        "| bucket | n | baseline | candidate | drop | bound | adjusted p | verdict |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n"
        "| arithmetic | 66 | 0.620 | 0.410 | +0.210 | ≥ +0.090 | 0.0020 | block |\n"
        "\n"
        "2 flipped samples, 2 worse and 0 better:\n"
        "\n"
        "| sample | score | own baseline | nf4 |\n"
        "| --- | --- | --- | --- |\n"
        "| a&#124;b | 1 -> 0 "
        "| <code>1 &#124; 2&#92;n&#42;x&#42; &#96;y&#96; &#92;&#124; &#60;b></code> "
        "| <code>&#64;all see https&#58;//x.y</code> |\n"
        "| a_b | 1 -> 0 | <code>The answer is 12.</code> | *empty* |\n"
    )


def test_markdown_shows_what_was_asked_where_that_is_known(comparison: Make, flip: Make) -> None:
    flips = (flip(asked="5 x | 5?\n" + "y" * 200, expected="25"), flip(id="b"))
    lines = render_markdown(comparison("block", flips=flips)).splitlines()
    assert "| sample | score | asked | expected | own baseline | nf4 |" in lines
    asked = f"5 x &#124; 5?&#92;n{'y' * 149}…"
    outputs = "<code>The answer is 12.</code> | <code>The answer is 11.</code> |"
    assert f"| arithmetic-hard-003 | 1 -> 0 | {asked} | 25 | {outputs}" in lines
    assert f"| b | 1 -> 0 |  |  | {outputs}" in lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain (n = 66), 5 %; fine.", "plain (n = 66), 5 %; fine."),
        ("assistant_core_v2", "assistant_core_v2"),
        ("_x_", "&#95;x&#95;"),
        ("> quote", "&#62; quote"),
        ("- item", "&#45; item"),
        ("-0.010", "-0.010"),
        (":smile: #12", "&#58;smile: &#35;12"),
        ("www.example.org", "www&#46;example.org"),
        ("a & b", "a &#38; b"),
        ("~~gone~~", "&#126;&#126;gone&#126;&#126;"),
    ],
)
def test_escape(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_control_characters_are_shown_not_sent() -> None:
    assert visible("a\tb\r\n\x1b[31m\u202e") == "a\\tb\\r\\n\\x1b[31m\\u202e"
    assert visible("naïve 漢") == "naïve 漢"


def test_clip() -> None:
    assert clip("exact", 5) == "exact"
    assert clip("longer", 5) == "long…"
    assert clip("two words", 5) == "two…"
    assert code("x" * 200) == f"<code>{'x' * 159}…</code>"


def test_samples_that_moved_under_a_graded_metric(
    comparison: Make, figures: Make, flip: Make
) -> None:
    flips = (flip(before=0.8124, after=0.1), flip(id="a-2", before=0.25, after=None))
    found = comparison(
        "block", metric="probability", flips=flips, figures=(figures(losses=421, gains=185),)
    )
    text = render_text(found, max_flips=2)
    assert "606 samples moved, 421 down and 185 up, the 2 that moved most:" in text
    assert "sample               probability" in text
    assert "arithmetic-hard-003  0.812 -> 0.100" in text
    assert "a-2                  0.250 -> none" in text
    assert "| sample | probability |" in render_markdown(found)
    assert render_text(found, max_flips=0).endswith("606 samples moved, 421 down and 185 up")


def test_what_to_do_after_a_block_by_a_graded_metric(comparison: Make, report: Make) -> None:
    blocked = comparison("block", metric="probability")
    (found,) = next_step(report(runs=(), comparisons=(blocked,)))
    assert found == (
        "nf4 fell: arithmetic by probability 0.62 -> 0.41; look at the samples that moved most; if "
        "the drop is wanted, accept it: modellab accept nf4 --task-set assistant_core_v2 "
        "--because 'WHO AND WHY', then commit what it writes"
    )
    both = report(runs=(), comparisons=(blocked, comparison("block")))
    assert "look at the flipped samples" in next_step(both)[0]
