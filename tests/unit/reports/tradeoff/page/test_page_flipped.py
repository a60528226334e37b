"""Pictures and players beside flipped replies: made anew, bounded, and never a file's own bytes."""

from __future__ import annotations

import base64
import dataclasses
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.judging.comparison import Flip
from pytest_modellab.media import images, sound
from pytest_modellab.records.media import Media
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.reports import page
from pytest_modellab.reports.page import flipped
from pytest_modellab.reports.page.shown import Gallery, Made, made
from pytest_modellab.reports.words import number
from pytest_modellab.tradeoff import figures

Make = Callable[..., Any]

HIDDEN = b"<script>alert(1)</script>"


@pytest.fixture
def picture(tmp_path: Path) -> Media:
    """A PNG with text of its own in it."""
    image = pytest.importorskip("PIL.Image")
    info = pytest.importorskip("PIL.PngImagePlugin").PngInfo()
    info.add_text("Comment", HIDDEN.decode())
    path = tmp_path / "red_circle.png"
    image.new("RGB", (96, 48), "red").save(path, pnginfo=info)
    return images.inspect(path)


@pytest.fixture
def recording(tmp_path: Path) -> Media:
    pytest.importorskip("av")
    path = tmp_path / "hello.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(2 * 8000))
    return sound.inspect(path)


def flip(ident: str, *media: Media, **changes: Any) -> Flip:
    values: dict[str, Any] = {
        "before": 1.0,
        "after": 0.0,
        "before_output": "a red circle",
        "after_output": "a blue square",
        "asked": "What is in the picture?",
        "expected": "a red circle",
    }
    return Flip(ident, "shapes/easy", media=media, **{**values, **changes})


def test_a_page_shows_them_beside_the_replies(
    tradeoff: Make, read_html: Make, picture: Media, recording: Media
) -> None:
    pytest.importorskip("matplotlib")
    flips = (flip("s1", picture), flip("s2", recording, before=0.0, after=0.5))
    text = page.render(
        [dataclasses.replace(tradeoff(only=["prompting", "nf4"]), flips={"nf4": flips})],
        interactive=True,
    )
    root = read_html(text)
    (nav,) = [a for a in root.all("a") if a.text == "flipped samples"]
    assert nav.attributes["href"] == "#t0-flipped"
    assert root.by_id("t0-flipped").text == "Flipped samples and what they show"
    first, second = root.first("ul", "flips").all("li")
    image = first.first("img").attributes
    assert image["alt"] == "what s1 shows: red_circle.png, 96×48 png"
    kind, _, data = image["src"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert base64.b64decode(data).startswith(b"\xff\xd8\xff")
    assert HIDDEN not in base64.b64decode(data)
    assert first.text == (
        "red_circle.png, 96×48 png s1 shapes/easy ▼ 1 → 0 asked What is in the picture? "
        "expected a red circle prompting a red circle nf4 a blue square"
    )
    player = second.first("audio").attributes
    assert (player["controls"], player["preload"]) == ("", "none")
    assert player["aria-label"] == "s2: hello.wav, 0.5 s wav"
    assert player["src"].startswith("data:audio/mpeg;base64,")
    assert "▲ 0 → 0.5" in second.text
    assert picture.path not in text


def test_a_page_without_any_is_what_it_was(tradeoff: Make) -> None:
    pytest.importorskip("matplotlib")
    text = page.render([tradeoff(only=["prompting", "nf4"])])
    assert "flips" not in text
    assert "Flipped samples" not in text
    assert "flips" not in figures.to_dict(tradeoff())


def test_what_is_missing_or_changed_is_said_in_its_place(
    picture: Media, recording: Media, read_html: Make
) -> None:
    Path(picture.path).unlink()
    Path(recording.path).write_bytes(b"RIFF....WAVE")
    said = [made(one).why for one in (picture, recording)]
    assert said[0] == "no such file; put it there, or correct the path"
    assert said[1].startswith("it has changed since its task set was read: the sha256 was ")
    shown = read_html(str(Gallery().show("s1", [picture, recording])))
    assert [p.text for p in shown.all("p", "not-shown")] == [f"not shown: {why}" for why in said]
    assert not shown.all("img") + shown.all("audio")


def test_what_the_system_says_of_a_file_does_not_say_where_it_lies(
    picture: Media, tmp_path: Path
) -> None:
    Path(picture.path).unlink()
    Path(picture.path).mkdir()
    assert made(picture).why == "cannot be read: [Errno 21] Is a directory: 'red_circle.png'"
    split = dataclasses.replace(picture, path=str(tmp_path / "a\n\u202e.png"))
    assert str(tmp_path) not in made(split).why


def test_an_svg_is_never_shown(tmp_path: Path) -> None:
    drawn = tmp_path / "x.png"
    drawn.write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'>" + HIDDEN + b"</svg>")
    found = made(Media("image", "0" * 64, str(drawn), "png", width=9, height=9))
    assert (found.data, found.why[:25]) == (b"", "its content is svg or xml")


def test_a_hostile_name_is_text(picture: Media) -> None:
    named = dataclasses.replace(picture, path='/x/"><script>\x1b[2J\u202e.png')
    gallery = Gallery(lambda _: Made(b"jpeg", "image/jpeg"))
    text = str(gallery.show('"><b>', [named]))
    assert "<script>" not in text
    assert "<b>" not in text
    assert r"&quot;&gt;&lt;script&gt;\x1b[2J\u202e.png, 96×48 png" in text


@pytest.mark.parametrize(("most", "size", "fit"), [(3, 10_000, 3), (60, 100, 2), (60, 10, 0)])
def test_number_and_size_are_bounded_and_the_rest_is_counted(
    most: int, size: int, fit: int, picture: Media, read_html: Make
) -> None:
    gallery = Gallery(lambda _: Made(b"x" * 18, "image/jpeg"), most, size)
    shown = [read_html(str(gallery.show(f"s{i}", [picture]))) for i in range(5)]
    assert [len(one.all("img")) for one in shown] == [1] * fit + [0] * (5 - fit)
    assert shown[4].first("p").text == "not shown: the page is full"
    assert str(gallery.note()) == (
        f'<p class="aside">Not shown for want of room: {5 - fit} more pictures or recordings; a '
        f"page holds {most}, of {number(size / 1e6)} MB together.</p>"
    )


def test_each_medium_is_made_once_and_of_many_the_first_are_shown(
    picture: Media, read_html: Make
) -> None:
    asked: list[Media] = []

    def make(media: Media) -> Made:
        asked.append(media)
        return Made(b"x", "image/jpeg")

    shown = read_html(str(Gallery(make).show("s1", [picture] * 9)))
    assert len(shown.all("img")) == 6
    assert shown.all("p")[-1].text == "and 3 more"
    assert asked == [picture]


def test_only_the_first_seconds_play(recording: Media) -> None:
    long = dataclasses.replace(recording, seconds=95.0)
    text = str(Gallery(lambda _: Made(b"x", "audio/mpeg")).show("s1", [long]))
    assert "<figcaption>hello.wav, 95 s wav (the first 30 s)</figcaption>" in text


def test_replies_keep_their_lines_and_nothing_else(tradeoff: Make, read_html: Make) -> None:
    reply = "first\nsecond\u2028third\x1b[2J"
    example = dataclasses.replace(tradeoff(), flips={"nf4": (flip("s1", after_output=reply),)})
    found = read_html(str(flipped.section_of(example, "t0", Gallery())))
    last = found.all("dd")[-1]
    assert last.text == r"first second third\x1b[2J"
    assert len(last.all("br")) == 2


def test_many_flips_are_folded_then_counted(
    tradeoff: Make, picture: Media, read_html: Make
) -> None:
    example = dataclasses.replace(
        tradeoff(), flips={"nf4": tuple(flip(f"s{i:02}", picture) for i in range(30))}
    )
    found = flipped.section_of(example, "t0", Gallery(lambda _: Made(b"x", "image/jpeg")))
    root = read_html(str(found))
    seen, folded = root.all("ul", "flips")
    assert (len(seen.all("li")), len(folded.all("li"))) == (6, 18)
    assert root.first("details").first("summary").text == "18 more"
    assert root.all("p", "aside")[-1].text == "and 6 more flipped samples"


def test_a_comparison_has_a_page_of_its_own(
    comparison: Make, picture: Media, read_html: Make
) -> None:
    judged = comparison(
        "block",
        flips=(flip("s1", picture), dataclasses.replace(flip("s2"), after_output=" ")),
        preprocessing=(Unlike("its base sight", ("mean: 0.5 here, 0.45 there",)),),
    )
    root = read_html(flipped.render(judged))
    assert root.first("h1").text == "Flipped samples: nf4 against own baseline"
    first, second, *_ = root.first("main").all("p")
    assert first.text == ("preprocessing is not that of its base sight: mean: 0.5 here, 0.45 there")
    assert second.text.startswith("blocked: arithmetic fell")
    assert len(root.all("li")) == 1
    assert not root.all("script")


def test_json_has_the_flips_without_where_a_file_lies(tradeoff: Make, picture: Media) -> None:
    example = dataclasses.replace(tradeoff(), flips={"nf4": (flip("s1", picture),)})
    text = figures.dumps(example)
    assert picture.path not in text
    again = figures.loads(text)
    assert again.flips == example.flips
    assert again.flips["nf4"][0].media[0].path == "red_circle.png"
    assert figures.dumps(again) == text
