"""Names and notes come from users: they are text everywhere, whatever is in them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from markupsafe import Markup

from pytest_modellab.reports import page
from pytest_modellab.reports.page.markup import Html, el, join
from pytest_modellab.tradeoff import decision, figures

Make = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


def test_hostile_names_are_shown_as_they_are(tradeoff: Make, hostile: str, read_html: Make) -> None:
    text = page.render([tradeoff()], interactive=True)
    root = read_html(text)
    assert "<b>" not in text
    assert "<strict>" not in text
    assert not root.all("b") + root.all("i") + root.all("strict") + root.all("markup")
    assert hostile in [row[0] for row in root.by_id("t0").first("table", "heat").rows()]
    assert "alignment <i>" in root.text
    assert "a <strict> regulator" in root.text
    assert "a note with <markup> & more" in root.text
    assert any(hostile in t.text for t in root.all("text"))  # in the drawings too, not as math


def test_what_looks_like_a_drawing_s_own_colours_and_ids_stays(
    tradeoff: Make, read_html: Make
) -> None:
    example = tradeoff(only=["prompting", "nf4"])
    name = 'id="m1" #0a0b00 url(#x)'
    renamed = _renamed(example, "nf4", name)
    root = read_html(page.render([renamed]))
    assert any(t.text == name for t in root.all("text"))


def test_control_characters_and_surrogates_are_made_visible(tradeoff: Make) -> None:
    renamed = _renamed(tradeoff(only=["prompting", "nf4"]), "nf4", "a\x00b\ud800c\u202ed\n中")
    text = page.render([renamed], interactive=True)
    assert text.encode("utf-8")
    assert r"a\x00b\ud800c\u202ed\n中" in text


def test_the_embedded_figures_are_the_record_and_cannot_end_their_element(
    tradeoff: Make, hostile: str, read_html: Make
) -> None:
    example = tradeoff()
    text = page.render([example, example], interactive=True)
    assert text.count("</script") == 2
    assert hostile not in text
    data, code = read_html(text).all("script")
    assert data.attributes["type"] == "application/json"
    assert data.attributes["data-sure"] == str(decision.SURE)
    raw = "".join(str(c) for c in data.children)
    assert not set("<>&") & set(raw)
    plain = json.loads(json.dumps(figures.to_dict(example)))
    assert json.loads(raw) == [plain, plain]
    script = "".join(str(c) for c in code.children)
    assert script.startswith('"use strict";')
    for word in ("eval", "Function(", "innerHTML", "fetch", "XMLHttpRequest", "localStorage"):
        assert word not in script


def test_elements() -> None:
    assert el("p", "a < b & c") == "<p>a &lt; b &amp; c</p>"
    assert el("p", Html("<i>x</i>"), None, ["y", ["z"]]) == "<p><i>x</i>yz</p>"
    assert el("input", type="radio", checked=True, disabled=False) == '<input type="radio" checked>'
    assert el("td", "x", class_="n", data_v='1"2') == '<td class="n" data-v="1&quot;2">x</td>'
    assert join(None) == ""


def test_whatever_is_put_into_markup_is_escaped() -> None:
    start = Html("<b>")
    assert start + "<i>\x00" == r"<b>&lt;i&gt;\x00"
    assert "<i>" + start == "&lt;i&gt;<b>"
    assert start.join(["<", Markup("<br>"), Html("<hr>")]) == "&lt;<b><br><b><hr>"
    assert Html('<a title="{}">').format('"') == '<a title="&quot;">'
    assert all(type(found) is Html for found in (start + "<", start.join("<"), Html.escape("<")))


def _renamed(example: Any, old: str, new: str) -> Any:
    def swap(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: swap(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return type(value)(**fields)
        if isinstance(value, tuple | list):
            return tuple(swap(v) for v in value)
        if hasattr(value, "items"):
            return {swap(k): swap(v) for k, v in value.items()}
        return new if value == old else value

    return swap(example)
