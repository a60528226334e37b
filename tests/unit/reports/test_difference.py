"""The page of two runs side by side: whole, self-contained, and nothing of a model's text acts."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hostile import REPLIES, TEXTS
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.judging.difference import Difference, Pair, Side, chosen
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import Sample
from pytest_modellab.reports.page import difference as page

texts = st.one_of(
    st.sampled_from((*REPLIES, *TEXTS, "</p><script>x()</script>", '"><img src=x onerror=x()>')),
    st.text(max_size=60),
)


class Tags(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def pair(name: str, before: str, after: str, sure: float | None = None) -> Pair:
    sample = Sample(name, f"What of {name}?", "right", "exact", f"about {name}", "easy")
    told: list[dict[str, float]] = [{}, {}]
    if sure is not None:
        told = [{"probability": 0.9}, {"probability": sure}]
    return Pair(
        sample,
        SampleResult(name, "h", 1.0, before, 1, 1, metrics=told[0]),
        SampleResult(name, "h", 0.0, after, 1, 1, metrics=told[1]),
    )


def found(*pairs: Pair) -> Difference:
    run = RunRecord(
        {"name": "words", "version": "1", "hash": "h"},
        {"name": "plain", "kind": "k", "strategy": "s", "base": None},
        Fingerprint("w", "t", "p", {}),
        {},
        tuple(one.before for one in pairs),
        {},
        {"recorded": "2026-11-22"},
    )
    sides = Side("plain", "accepted run", run, "commit 1234567"), Side("nf4", "stored run", run)
    return Difference("words", *sides, pairs, "1")


def test_differences_are_marked_and_nothing_outside_is_referred_to() -> None:
    both = found(pair("a", "It is Paris.", "It is Rome.", 0.1))
    html = page.render(both, both.pairs)
    assert "It is <del>Paris</del>." in html
    assert "It is <ins>Rome</ins>." in html
    assert "plain: accepted run of 2026-11-22, commit 1234567" in html
    assert "score 1, right option 90%" in html
    assert not re.search(r"(?:src|href)=|url\(|https?:", html)


def test_a_card_has_what_it_is_filtered_by_and_filters_wait_for_the_script() -> None:
    both = found(pair("a", "x", "y", 0.1), pair("b", "x", "y", 0.8), pair("c", "x", "y"))
    html = page.render(both, both.pairs)
    assert re.findall(r'<li class="worse".*?data-sure="(\w+)"', html) == [
        "clear", "close", "unknown",
    ]  # fmt: skip
    assert 'data-capability="about a" data-moved="worse"' in html
    assert '<form class="filters" hidden>' in html
    assert '<option value="about c">about c</option>' in html


def test_a_page_holds_all_that_was_chosen_and_can_be_filtered() -> None:
    both = found(*(pair(f"s{i}", "x", "y") for i in range(1000)))
    html = page.render(both, chosen(both))
    assert html.count('<li class="worse"') == 1000
    assert '<option value="about s999">' in html
    assert "that were chosen" not in html
    assert "No sample moved like that." in page.render(both, ())
    assert "<li>2 of 1000 samples are on this page: those that were chosen</li>" in (
        page.render(both, both.pairs[:2])
    )


def test_a_page_that_is_full_says_what_was_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    both = found(*(pair(f"s{i}", "\U000e0001" * 4000, "y" * 10**6) for i in range(30)))
    size = len(page.render(both, both.pairs))
    assert size < 30 * 60_000, "of a reply its beginning and its end"
    monkeypatch.setattr(page, "BYTES", 10**6)
    html = page.render(both, both.pairs)
    shown = html.count('<li class="worse"')
    assert 10**6 - 60_000 < len(html) < 1.1 * 10**6
    assert (
        f"<li>note: {shown} of the 30 samples that were chosen are on this page, which holds "
        "1 MB; choose fewer: --flipped, --capability or --sample</li>" in html
    )


@given(texts, texts, texts)
def test_no_reply_adds_an_element_or_an_attribute(name: str, before: str, after: str) -> None:
    both = found(pair(name or "a", before, after))
    told = Tags(page.render(both, both.pairs))
    assert told.tags.count("script") == 1
    assert "img" not in told.tags
    assert not [key for key, _ in told.attributes if key.startswith("on")]
