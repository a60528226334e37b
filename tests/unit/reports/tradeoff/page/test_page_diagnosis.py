"""The page of a diagnosis: what is broken, the proof, what to do, and the pictures."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
from diagnoses import (
    DIAGNOSES,
    EXAMPLES,
    head_is_zeroed,
    large,
    only_outputs,
    rounded_everywhere,
    template_differs,
)
from hypothesis import given, settings

from pytest_modellab.records.diagnosis import Diagnosis, Heat, Lines, Picture, Piece, Series, Sides
from pytest_modellab.reports import page as trade_off
from pytest_modellab.reports.page import diagnosis as page
from pytest_modellab.reports.page.diagnosis import values, verdict
from pytest_modellab.reports.page.diagnosis.scale import decades, rounded, scale, shown, ticks

Make = Callable[..., Any]


def _with(*panels: Any) -> Diagnosis:
    picture = Picture("one", "One", "It is one.", panels)
    return dataclasses.replace(only_outputs(), pictures=(picture,))


@settings(
    max_examples=60,
)
@given(DIAGNOSES)
def test_any_diagnosis_is_a_page_that_does_nothing(read_html: Make, diagnosis: Diagnosis) -> None:
    text = page.render(diagnosis)
    assert text.encode("utf-8")
    assert len(text.encode()) <= page.BYTES
    root = read_html(text)
    assert not root.all("script") + root.all("b") + root.all("iframe") + root.all("img")
    for node in root.all():
        assert not [name for name in node.attributes if name.startswith("on")]
        address = node.attributes.get("href", "#")
        assert address.startswith(("#", "data:text/csv;")), address[:80]
    idents = [n.attributes["id"] for n in root.all() if "id" in n.attributes]
    assert len(idents) == len(set(idents))


def test_the_name_comes_first_then_the_proof_and_what_to_do(read_html: Make) -> None:
    root = read_html(page.render(head_is_zeroed()))
    assert root.first("h2").text == "layer.8.attention.head.3 is zeroed"
    assert root.first("p", "lede").text == (
        "broken differs from prompting, and one part of it accounts for that: attention head 3 of "
        "layer 8. With prompting's part put back in its place, 100 % of the difference is gone, "
        "and 31 of 31 flipped samples right again."
    )
    proof, to_do = root.all("article", "card")
    assert [li.text for li in proof.all("li")] == [
        "as it is0.68",
        "with the base's part put backunder 0.001",
    ]
    widths = [s.attributes["style"] for s in proof.all("span") if "style" in s.attributes]
    assert widths == ["width:100.0%", "width:0.0%"]
    assert "0.68 nats: what the base would write next is 0.5 times as likely here" in proof.text
    assert to_do.text == (
        "What to do Columns 192-255 of o_proj are zero. A head was pruned or a shard is damaged; "
        "build the variant again."
    )
    strip = root.first("ol", "stack").all("li")
    assert len(strip) == 32
    assert [li.text for li in strip if "on" in li.attributes.get("class", "")] == ["named: ◆ 8"]


def test_a_remedy_can_be_pasted_and_shows_what_it_costs(read_html: Make) -> None:
    root = read_html(page.render(rounded_everywhere()))
    assert root.first("h2").text == (
        "It is rounded everywhere as 4 bits are; no single part is to blame"
    )
    block = "".join(str(c) for c in root.first("pre").first("code").children)
    assert block.splitlines()[:3] == [
        "[variants.nf4]",
        "skip_modules = [",
        '    "model.layers.1.mlp.down_proj",',
    ]
    bars = [li.text for li in root.first("ul", "proof").all("li")]
    assert bars[0] == "as it is0.26"
    assert bars[3] == "with 4 modules kept, 10.6 MB more: 41 % gone0.15"
    assert not root.all("ol", "stack")


def test_of_a_text_fault_both_texts_stand_side_by_side(read_html: Make) -> None:
    root = read_html(page.render(template_differs()))
    assert root.first("p", "lede").text.startswith(
        "retold is not given the text that prompting is given: the chat template differs."
    )
    assert "Given the same tokens, the two are under 0.001 nats" in root.first("article").text
    base, candidate = root.first("div", "sides").all("div", "said")
    assert [m.text for m in candidate.all("mark")] == ["differs: ⇥", "differs: ⏎"]
    assert not base.all("mark")
    assert base.text.count("⏎") == 3
    assert "What · is · 2" in base.text


def test_what_is_framed_is_marked_and_numbers_tell_no_noise(read_html: Make) -> None:
    root = read_html(page.render(head_is_zeroed()))
    table = root.first("table", "numbered")
    (cell,) = table.all("td", "framed")
    assert cell.text == "named: ◆ 0.66"
    assert {c.text for c in table.all("td") if "framed" not in c.attributes.get("class", "")} <= {
        *("", "0"),
    }
    assert [row[0] for row in table.rows() if row[0].startswith("◆")] == ["◆ layer 8"]


def test_a_wide_matrix_is_drawn_with_its_frame_and_its_hatching(read_html: Make) -> None:
    names = tuple(f"t {i}" for i in range(40))
    row = tuple(i / 39 - 0.5 for i in range(40))
    odd: tuple[float | None, ...] = (None, math.inf, *row[2:])
    heat = Heat(("a", "b"), names, (row, odd), 0.0, "nats", framed=((1, 39),))
    root = read_html(page.render(_with(heat)))
    names_svg, cells = root.first("div", "map").all("svg")
    assert [t.text for t in names_svg.all("text")] == ["a", "◆ b"]
    assert cells.first("desc").text == "2 rows of 40; furthest out is \N{MINUS SIGN}0.5 at a, t 0."
    styles = {p.attributes["class"] for p in cells.all("path")}
    assert {"m5", "p5", "p0", "odd", "zplus", "zminus"} <= styles
    assert [r.attributes["class"] for r in cells.all("rect")] == ["frame"]
    assert cells.all("text")[-1].text == "◆ t 39"
    legend = root.first("p", "legend").text
    assert legend.startswith("nats: \\ \N{MINUS SIGN}0.5\\ \N{MINUS SIGN}0.4\N{MINUS SIGN}0.3")
    assert "Empty: nothing to show. / on grey: not finite." in legend


def test_a_matrix_beyond_all_bounds_is_drawn_by_what_is_furthest_out(read_html: Make) -> None:
    values = tuple(
        tuple(1.0 if (r, c) == (501, 7) else 0.0 for c in range(300)) for r in range(600)
    )
    side = tuple(map(str, range(600)))
    heat = Heat(side, side[:300], values, None, "nats", framed=((501, 7),))
    text = page.render(_with(heat))
    assert len(text) <= page.BYTES
    root = read_html(text)
    assert "A cell shows the value that is furthest out of 7 × 4." in root.first("p", "legend").text
    assert "furthest out is 1 at 497, 4." in root.first("div", "map").all("desc")[1].text


def test_series_differ_by_more_than_colour(read_html: Make) -> None:
    text = page.render(head_is_zeroed())
    free, forced = read_html(text).all("section", "picture")[5].first("svg", "wide").all("g")
    assert [g.all("path")[0].attributes.get("stroke-dasharray") for g in (free, forced)] == [
        None,
        "7 4",
    ]
    first, second = (g.all("path")[1].attributes["d"] for g in (free, forced))
    assert "a3.6" in first
    assert "a3.6" not in second
    assert "●free run" in read_html(text).text
    assert "■forced run" in read_html(text).text


def test_lines_join_what_was_measured(read_html: Make) -> None:
    root = read_html(page.render(head_is_zeroed()))
    drawn = root.all("section", "picture")[3].first("svg", "wide")
    line, marks = drawn.first("g").all("path")
    assert line.attributes["d"].count("L") == 5
    assert marks.attributes["d"].count("M") == 6
    assert drawn.first("desc").text == "base's stream put back behind this layer from 0 to 1."


@pytest.mark.parametrize(
    "values",
    [(0.0, 0.0), (1e-299, 1e299), (-1.7e308, 1.7e308), (5.0, None), (math.nan, -math.inf)],
)
@pytest.mark.parametrize("bars", [False, True])
def test_extremes_are_drawn(read_html: Make, values: Any, bars: bool) -> None:
    for log in (False, True):
        few = Lines(("a", "b"), (Series("s", values),), "place", "unit", log=log, bars=bars)
        many = Lines(
            tuple(map(str, range(40))), (Series("s", values * 20),), "x", "u", log=log, bars=bars
        )
        for middle in (None, 0.0):
            heat = Heat(("a",), ("b", "c"), (values,), middle, "unit")
            text = page.render(_with(few, many, heat))
            assert "nan" not in re.sub(r'<style>.*</style>|href="[^"]*"', "", text, flags=re.DOTALL)
            read_html(text)


def test_the_csv_holds_the_values_and_no_formula(read_html: Make) -> None:
    heat = Heat(("=1+1",), ("a,b", "c"), ((0.123456789, None),), None, "nats", title="@x")
    text = Sides((Piece("-a"),), (Piece("\t", differs=True),))
    root = read_html(page.render(_with(heat, text)))
    (link,) = [a for a in root.all("a") if "download" in a.attributes]
    assert link.attributes["download"] == "one.csv"
    head, _, data = link.attributes["href"].partition(",")
    assert head == "data:text/csv;charset=utf-8"
    assert list(csv.reader(io.StringIO(urllib.parse.unquote(data)))) == [
        ["'@x"],
        ["", "a,b", "c"],
        ["'=1+1", "0.123457", ""],
        [],
        ["side", "differs", "text"],
        ["base", "no", "'-a"],
        ["candidate", "yes", "\\t"],
    ]


def test_a_large_diagnosis_keeps_its_page_small(read_html: Make) -> None:
    text = page.render(large())
    assert 500_000 < len(text.encode()) <= page.BYTES
    root = read_html(text)
    assert len(root.all("section", "picture")) == 7
    huge = root.all("section", "picture")[-1]
    assert len(huge.all("svg", "names")) == 8
    assert not huge.all("table")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_section_of_another_page(read_html: Make, name: str) -> None:
    diagnosis = EXAMPLES[name]()
    root = read_html(page.section(diagnosis, "d0"))
    assert root.by_id("d0").text == f"{diagnosis.candidate.name}: {diagnosis.headline}"
    assert len(root.all("section", "picture")) == min(1, len(diagnosis.pictures))


def test_scales() -> None:
    assert scale([0.0, 10.0], None).steps() == [(i, 2.0 * i) for i in range(6)]
    assert scale([9.0, 10.0], None).low == 9.0
    assert scale([6.0, None, 20.0], None).low == 0.0
    around = scale([1.0, 4.0], 2.0)
    assert (around.low, around.high) == (0.0, 4.0)
    assert [around.step(v) for v in (0.0, 2.0, 2.3, 4.0, 99.0)] == [-5, 0, 1, 5, 5]
    assert scale([], 0.0).steps()[0] == (-5, -1.0)


def test_ticks_are_round_and_cover() -> None:
    assert ticks(0.0, 1.0) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert ticks(-0.02, 1.01) == pytest.approx([-0.5, 0, 0.5, 1.0, 1.5])
    assert decades(0.002, 3.0) == pytest.approx([0.001, 0.01, 0.1, 1, 10])
    assert decades(1.0, 1.0) == [1.0, 10.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.5, "\N{MINUS SIGN}0.5"),
        (1e-7, "1e\N{MINUS SIGN}7"),
        (123456.0, "123456"),
        (math.inf, "not finite"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert shown(value) == text


def test_what_is_under_a_hundredth_of_the_scale_is_nothing() -> None:
    assert [rounded(v, 1.32) for v in (0.004, 0.006, 0.66, -0.004)] == ["0", "0.01", "0.66", "0"]
    assert rounded(1234.4, 5000.0) == "1234"
    assert rounded(0.004, 0.0) == "0.004"


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("layer.8", "layer 8"),
        ("layers.3-5", "layers 3 to 5"),
        ("layer.3+layer.4", "layers 3 and 4"),
        ("layer.8.attention.kv_head.1", "key and value head 1 of layer 8"),
        ("layer.8.mlp.down_proj", "down_proj of layer 8"),
        ("layer.8.post_norm", "the post norm of layer 8"),
        ("all.q_proj+k_proj", "q_proj and k_proj of every layer"),
        ("lm_head", "the output head"),
        ("model.own.module", "model.own.module"),
    ],
)
def test_a_part_in_words(site: str, words: str) -> None:
    assert verdict.named_part(site) == words


def test_values_are_counted() -> None:
    assert values.count(head_is_zeroed().pictures[0]) == 270


def test_the_trade_off_says_why_a_variant_is_worse(tradeoff: Make, read_html: Make) -> None:
    pytest.importorskip("matplotlib")
    example = tradeoff(only=["prompting", "nf4"])
    diagnoses = {"nf4": rounded_everywhere(), "elsewhere": head_is_zeroed()}
    text = trade_off.render([example], diagnoses=diagnoses)
    root = read_html(text)
    assert root.by_id("t0-why-0").text.startswith("nf4: it is rounded everywhere as 4 bits are")
    assert len(root.all("div", "diagnosis")) == 1
    assert "why it is worse" in root.first("nav", "within").text
    assert ".numbered" in text
    plain = trade_off.render([example])
    assert ".numbered" not in plain
    assert "Why it is worse" not in plain


def test_a_whole_row_is_framed_as_one(read_html: Make) -> None:
    for count, style in ((20, "map"), (3, "numbered")):
        names = tuple(f"t{i}" for i in range(count))
        values = tuple(tuple(float(r) for _ in names) for r in range(3))
        framed = tuple((1, c) for c in range(count))
        root = read_html(
            page.render(_with(Heat(("a", "b", "c"), names, values, None, "", "", framed)))
        )
        drawn = next(n for n in root.all() if style in n.attributes.get("class", "").split())
        assert drawn.text.count("◆") == 1  # at the row's name
        if style == "map":
            (frame,) = drawn.all("rect")
            assert (frame.attributes["x"], frame.attributes["width"]) == ("0", "240")
        else:
            assert len(drawn.all("td", "framed")) == 3


def test_many_rows_without_a_value_are_one(read_html: Make) -> None:
    root = read_html(page.render(head_is_zeroed()))
    changed = root.all("table", "numbered")[1]
    assert [row[:2] for row in changed.rows()] == [
        ["layer 0 to layer 7", "–"],
        ["◆ layer 8", "–"],
        ["layer 9 to layer 29", "–"],
    ]


def test_the_picture_that_is_about_the_culprit_comes_first(read_html: Make) -> None:
    text = template_differs()
    both = dataclasses.replace(text, pictures=(*head_is_zeroed().pictures[:2], *text.pictures))
    titles = [p.first("h4").text for p in read_html(page.render(both)).all("section", "picture")]
    assert titles == ["Text", "Where it enters", "What changed"]
