"""The page is complete, lawful HTML that asks nothing of the network."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest

from pytest_modellab.errors import ModellabError
from pytest_modellab.reports import page

Make = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")


@pytest.fixture(
    scope="module", params=["whole", "untimed", "one variant", "two task sets", "no scenario"]
)
def text(request: pytest.FixtureRequest, tradeoff: Make) -> str:
    examples = {
        "whole": lambda: [tradeoff()],
        "untimed": lambda: [tradeoff(timed=False, history=False)],
        "one variant": lambda: [tradeoff(only=["prompting"])],
        "two task sets": lambda: [tradeoff(), tradeoff(timed=False)],
        "no scenario": lambda: [tradeoff(scenarios=[], only=["prompting", "nf4"])],
    }
    return page.render(examples[request.param]())


def test_the_page_is_lawful_html(text: str, read_html: Make) -> None:
    root = read_html(text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert root.first("html").attributes["lang"] == "en"
    assert root.first("title").text
    assert "width=device-width" in text


def test_ids_are_unique_and_what_refers_to_them_finds_them(text: str, read_html: Make) -> None:
    root = read_html(text)
    nodes = root.all()
    ids = [n.attributes["id"] for n in nodes if "id" in n.attributes]
    assert len(ids) == len(set(ids))
    references = [
        value.removeprefix("#")
        for n in nodes
        for key in ("href", "for", "aria-labelledby", "aria-describedby")
        if (value := n.attributes.get(key))
    ]
    references += re.findall(r'"url\(#([^)]*)\)"', text)
    assert references
    assert set(references) <= set(ids)


def test_headings_do_not_skip_a_level(text: str, read_html: Make) -> None:
    levels = [int(n.tag[1]) for n in read_html(text).all() if re.fullmatch("h[1-6]", n.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_nothing_is_fetched_and_nothing_runs(text: str, read_html: Make) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", text)
    nodes = read_html(text).all()
    assert not {n.tag for n in nodes} & {"script", "link", "img", "iframe", "object", "button"}
    assert not [k for n in nodes for k in n.attributes if k.startswith("on") or k == "src"]


def test_drawings_say_what_they_show(text: str, read_html: Make) -> None:
    drawings = read_html(text).all("svg")
    assert drawings
    for drawing in drawings:
        assert drawing.attributes["role"] == "img"
        assert drawing.first("title").text
        assert drawing.first("desc").text
        assert not drawing.all("style")
    assert not re.search("#0a0b|DejaVu|Matplotlib|#000000|#ffffff(?!;)", text.split("</style>")[1])


def test_tables_have_a_caption_and_scopes(text: str, read_html: Make) -> None:
    tables = read_html(text).all("table")
    assert tables
    for table in tables:
        assert table.first("caption").text
        assert all(th.attributes["scope"] for th in table.all("th"))
        widths = [
            sum(int(c.attributes.get("colspan", 1)) for c in row.children if not isinstance(c, str))
            for row in table.first("tbody").all("tr")
        ]
        assert len(set(widths)) <= 1


def test_links_to_the_parts_that_there_are(tradeoff: Make, read_html: Make) -> None:
    root = read_html(page.render([tradeoff(timed=False, history=False)]))
    links = [a.text for a in root.first("nav", "within").all("a")]
    assert links == [
        "strategies",
        "variants",
        "heat map",
        "capabilities",
        "forgetting",
        "risk",
        "verdicts",
        "method",
    ]


def test_several_task_sets_are_linked(tradeoff: Make, read_html: Make) -> None:
    other = {"name": "support_triage_v1", "version": "1", "hash": "f00"}
    root = read_html(page.render([tradeoff(), tradeoff(task_set=other)]))
    assert [h.text for h in root.all("h2")] == ["assistant_core_v2", "support_triage_v1"]
    top = root.first("header").all("a")
    assert [(a.text, a.attributes["href"]) for a in top] == [
        ("assistant_core_v2", "#t0-top"),
        ("support_triage_v1", "#t1-top"),
    ]


def test_nothing_compared(read_html: Make) -> None:
    assert "Nothing was compared." in read_html(page.render([])).text


def test_the_same_trade_off_gives_the_same_bytes(tradeoff: Make) -> None:
    first = page.render([tradeoff()], interactive=True)
    assert page.render([tradeoff()], interactive=True) == first


def test_without_matplotlib_it_says_what_to_install(
    tradeoff: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModellabError, match=r"pip install 'pytest-modellab\[report\]'"):
        page.render([tradeoff()])


def test_pyplot_is_left_alone(tradeoff: Make) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    page.render([tradeoff(only=["prompting", "nf4"])])
    assert dict(mpl.rcParams) == before


def _luminance(colour: str) -> float:
    found = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in found)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_has_contrast_in_light_in_dark_and_on_paper() -> None:
    css = resources.files(page).joinpath("page.css").read_text("utf-8")
    themes = [
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(themes) == 3
    words = ("ink", "soft", "accent", "good", "bad", "warn")
    pairs = [(word, back) for word in words for back in ("paper", "raised", "accent-back")]
    pairs += [(word, f"{word}-back") for word in ("good", "bad", "warn")]
    pairs += [("ink", "bad-back"), *((f"s{i}", "paper") for i in range(8))]
    pairs += [("heat-ink", f"h{i}") for i in range(10)]
    for theme in themes:
        for word, back in pairs:
            bright, dark = sorted((_luminance(theme[word]), _luminance(theme[back])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (word, back)
