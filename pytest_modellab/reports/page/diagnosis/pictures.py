"""Pictures, each with the sentence that says what is to be seen in it."""

from __future__ import annotations

import enum

from pytest_modellab.records.diagnosis import Diagnosis, Heat, Panel, Picture, Sides
from pytest_modellab.reports.page.diagnosis import values
from pytest_modellab.reports.page.diagnosis.heat import NUMBERED, heat
from pytest_modellab.reports.page.diagnosis.lines import lines
from pytest_modellab.reports.page.diagnosis.sides import sides
from pytest_modellab.reports.page.markup import Content, Html, details, el, section

_MANY = 1500  # values of a picture


_TABLED, _SAVED = 30_000, 100_000  # values of all pictures


_PICTURES, _PANELS = 24, 12


_ABOUT = {
    "tokenizer": "text",
    "chat_template": "text",
    "generation_config": "text",
    "kv_cache": "kv_cache",
}


class Room(enum.IntEnum):
    """How much of the pictures a page has room for."""

    ALL = 0
    CSV = 1  # no tables of pictures with many values
    DRAWINGS = 2  # nothing but drawings of those
    FEW = 3  # no picture with many values
    NONE = 4


def least(diagnosis: Diagnosis) -> Room:
    """Where to begin: what would be far too large is not made first."""
    count = sum(map(values.count, diagnosis.pictures))
    return Room.ALL if count < _TABLED else Room.CSV if count < _SAVED else Room.DRAWINGS


def ordered(diagnosis: Diagnosis) -> list[Picture]:
    """The pictures, the one that is about the culprit first."""
    about = _ABOUT.get(diagnosis.culprit or "")
    return sorted(diagnosis.pictures, key=lambda picture: picture.name != about)


def shown(diagnosis: Diagnosis, room: Room) -> Html | None:
    """All pictures; None where there is none to be shown."""
    found = [
        figure(picture, diagnosis, f"p{i}", room)
        for i, picture in enumerate(ordered(diagnosis)[:_PICTURES])
        if room < Room.NONE
    ]
    return section("pictures", "What is seen", found) if found else None


def figure(picture: Picture, diagnosis: Diagnosis, ident: str, room: Room) -> Html:
    """One picture with its values.

    Args:
        picture: the one.
        diagnosis: whose it is.
        ident: unique on the page.
        room: how much of it there is room for.
    """
    many = values.count(picture) > _MANY
    if room >= Room.FEW and many:
        body: Content = el("p", "Too large for this page.", class_="aside")
    else:
        panels = [
            _panel(panel, picture, diagnosis, f"{ident}-{i}")
            for i, panel in enumerate(picture.panels[:_PANELS])
        ]
        empty = el("p", "Its values were left out.", class_="aside")
        body = el("div", panels, class_="panels") if panels else empty
    return el(
        "section",
        el("h4", picture.title, id=ident),
        el("p", picture.sentence, class_="says"),
        body,
        _values(picture, many, room),
        class_="picture",
        aria_labelledby=ident,
    )


def _panel(panel: Panel, picture: Picture, diagnosis: Diagnosis, ident: str) -> Html:
    title = f"{picture.title}: {panel.title}" if panel.title else picture.title
    head = el("h5", panel.title) if panel.title else None
    if isinstance(panel, Sides):
        drawn = sides(panel, diagnosis.base.name, diagnosis.candidate.name)
    elif isinstance(panel, Heat):
        drawn = heat(panel, ident, title)
    else:
        drawn = lines(panel, ident, title)
    return el("div", head, drawn, class_="seen")


def _values(picture: Picture, many: bool, room: Room) -> Content:
    if not picture.panels or (room >= Room.DRAWINGS and many):
        return None
    link = el("p", values.link(picture), class_="aside")
    if room >= Room.CSV and many:
        return link
    found = [
        values.tables(panel, panel.title or picture.title)
        for panel in picture.panels[:_PANELS]
        if not (isinstance(panel, Heat) and len(panel.columns) <= NUMBERED)
    ]
    tables = [one for one in found if one is not None]
    return details("values", link, tables) if tables else link
