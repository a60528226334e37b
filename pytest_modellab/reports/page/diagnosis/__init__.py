"""A diagnosis as one HTML page: what is broken, the proof, what to do, and the pictures.

The page is complete without scripts and asks nothing of the network; its drawings are made here.
"""

from __future__ import annotations

from importlib import resources

from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.reports.page.diagnosis import evidence, pictures, verdict
from pytest_modellab.reports.page.diagnosis.pictures import Room
from pytest_modellab.reports.page.markup import Content, Html, document, el

BYTES = 1_000_000
"""What a page takes, at most."""


def render(diagnosis: Diagnosis) -> str:
    """Render the page.

    Args:
        diagnosis: any.

    Returns:
        HTML that refers to nothing outside of it, of at most :data:`BYTES`: where it would be
        larger, the largest pictures' tables and CSV go, then the pictures.
    """
    for room in Room:
        if room < pictures.least(diagnosis):
            continue
        text = _page(diagnosis, room)
        if len(text.encode()) <= BYTES:
            break
    return text


def section(diagnosis: Diagnosis, ident: str) -> Html:
    """The diagnosis as a part of another page, without its tables.

    Args:
        diagnosis: of a variant.
        ident: unique on the page.
    """
    return el(
        "div",
        el("h4", f"{diagnosis.candidate.name}: {diagnosis.headline}", id=ident),
        el("p", verdict.lede(diagnosis)),
        _cards(diagnosis),
        verdict.layers(diagnosis),
        [pictures.figure(one, diagnosis, f"{ident}-{i}", Room.DRAWINGS)
         for i, one in enumerate(pictures.ordered(diagnosis)[:1])],
        class_="diagnosis",
    )  # fmt: skip


def css() -> str:
    """The rules that a page with diagnoses needs beside those of every page."""
    return resources.files(__package__).joinpath("diagnosis.css").read_text(encoding="utf-8")


def _page(diagnosis: Diagnosis, room: Room) -> str:
    common = resources.files("pytest_modellab.reports.page").joinpath("page.css")
    style = common.read_text(encoding="utf-8") + css()
    title = f"{diagnosis.candidate.name} against {diagnosis.base.name}"
    return document(
        f"Diagnosis: {title}",
        style,
        el("header", el("h1", "Diagnosis: ", title), class_="top"),
        el("main", _main(diagnosis, room), class_="diagnosis"),
    )


def _main(diagnosis: Diagnosis, room: Room) -> Content:
    drawn = pictures.shown(diagnosis, room)
    parts = [("pictures", "What is seen"), *evidence.parts(diagnosis)]
    links = [el("li", el("a", name, href=f"#{ident}")) for ident, name in parts]
    return [
        el("h2", verdict.capital(diagnosis.headline)),
        el("p", verdict.lede(diagnosis), class_="lede"),
        verdict.layers(diagnosis),
        _cards(diagnosis),
        verdict.facts(diagnosis),
        el("nav", el("ul", links if drawn else links[1:]), class_="within", aria_label="Contents"),
        drawn,
        evidence.evidence(diagnosis),
    ]


def _cards(diagnosis: Diagnosis) -> Html | None:
    cards = [verdict.proof(diagnosis), verdict.to_do(diagnosis)]
    return el("div", cards, class_="cards") if any(cards) else None
