"""One function a kind of page: a number and a source of chance → picture, text, what was chosen."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from PIL import Image

from . import drawing, words
from .drawing import Page, face

EACH = 20
"""Pages of a kind."""

Made = tuple[Image.Image, str, dict[str, Any]]


def _price(draw: random.Random, most: int = 90) -> float:
    return draw.randrange(45, most * 100, 5) / 100


def _code(draw: random.Random, length: int) -> str:
    """Capitals and digits, each of which looks like another: there is no word to guess it by."""
    return "".join(draw.choices("0O1I2Z5S8B", k=length))


def _date(draw: random.Random) -> str:
    return f"{draw.randint(1, 28):02}.{draw.randint(1, 12):02}.{draw.randint(2021, 2026)}"


def invoice(draw: random.Random, _number: int) -> Made:
    """Head, number and date, two or three items in columns, the sum; an old scan."""
    name, size = draw.choice(drawing.SANS + drawing.SERIF[:1]), draw.randint(8, 10)
    page = Page(330, face(name, size))
    page.line([(20, draw.choice(words.SHOPS))])
    page.line([(20, draw.choice(words.STREETS))])
    page.top += 8
    code = f"Invoice {_code(draw, 3)}-{_code(draw, 5)}"
    page.line([(20, code), (310, _date(draw))], end=310)
    page.rule(20, 310)
    total = 0.0
    for item in draw.sample(words.ITEMS, draw.randint(2, 3)):
        count, price = draw.randint(1, 24), _price(draw)
        total += count * price
        page.line([(20, item), (180, str(count)), (310, f"{count * price:.2f}")], end=310)
    page.rule(20, 310)
    page.line([(20, "Total EUR"), (310, f"{total:,.2f}")], end=310)
    return drawing.scanned(page.cut(), 0.8, 50, 40), page.text, {"face": name, "size": size}


def receipt(draw: random.Random, _number: int) -> Made:
    """A narrow strip of a till, in fading print."""
    name, size = draw.choice(drawing.MONO), draw.randint(10, 12)
    page = Page(240, face(name, size))
    page.line([(20, draw.choice(words.SHOPS))])
    page.line([(20, f"{_date(draw)}"), (170, f"{draw.randint(8, 19)}:{draw.randint(10, 59)}")])
    total = 0.0
    for item in draw.sample([one for one in words.ITEMS if len(one) < 14], draw.randint(2, 4)):
        price = _price(draw, 30)
        total += price
        page.line([(20, item), (220, f"{price:.2f}")], end=220)
    page.line([(20, "SUM"), (220, f"{total:.2f}")], end=220)
    page.line([(20, f"Till {draw.randint(1, 9)}  No. {draw.randint(1000, 9999)}")])
    page.rows[-1] = " ".join(page.rows[-1].split())
    worn = drawing.faded(page.cut(), draw)
    image = drawing.faint(worn, 250, 10, 14.0, draw.randrange(2**32))
    return image, page.text, {"face": name, "size": size}


def table(draw: random.Random, _number: int) -> Made:
    """Narrow ruled cells with names, codes and numbers; an old scan."""
    name, size = draw.choice(drawing.SANS[2:] + drawing.SERIF[2:3]), draw.randint(9, 10)
    page = Page(230, face(name, size))
    page.pitch = round(1.3 * size) + 1
    edges = (20, 100, 155, 210)
    heads = draw.choice([("Name", "Code", "Rate"), ("Person", "Room", "Cost")])
    people = draw.sample(words.PEOPLE, 3)
    rows = [heads, *((one, _code(draw, 5), f"{_price(draw):.2f}") for one in people)]
    top = page.top - 1
    for row in rows:
        page.draw.line((edges[0], page.top - 1, edges[-1], page.top - 1), 60, 1)
        page.line([(left + 3, cell) for left, cell in zip(edges, row, strict=False)])
    page.draw.line((edges[0], page.top - 1, edges[-1], page.top - 1), 60, 1)
    for edge in edges:
        page.draw.line((edge, top, edge, page.top - 1), 60, 1)
    return drawing.scanned(page.cut(), 0.7, 50, 50), page.text, {"face": name, "size": size}


def _notice(draw: random.Random, name: str, size: int, lines: list[str]) -> Page:
    font = face(name, size)
    width = max(round(font.getlength(line)) for line in lines) + 48
    page = Page(width, font)
    for line in lines:
        page.line([(24, line)])
    return page


def small_type(draw: random.Random, number: int) -> Made:
    """Conditions of sale as they are printed where nobody reads them."""
    name, size = draw.choice(drawing.SANS[::2] + drawing.SERIF[2:3]), (6, 7, 8)[number % 3]
    page = _notice(draw, name, size, draw.sample(words.CONDITIONS, 3))
    return drawing.scanned(page.cut(), 0.3, 40, 70), page.text, {"face": name, "size": size}


def rotation(draw: random.Random, number: int) -> Made:
    """A notice that lies askew, to either side; an old scan."""
    name, size = draw.choice(drawing.SANS + drawing.SERIF), draw.randint(9, 11)
    page = _notice(draw, name, size, draw.sample(words.NOTICES, 3))
    degrees = round(4 + 32 * number / (EACH - 1), 1) * (1 if number % 2 else -1)
    image = drawing.scanned(drawing.askew(page.cut(), degrees), 0.9, 60, 30)
    return image, page.text, {"face": name, "degrees": degrees}


def blur(draw: random.Random, number: int) -> Made:
    """A notice out of focus."""
    name, size = draw.choice(drawing.SANS + drawing.SERIF), draw.randint(14, 17)
    page = _notice(draw, name, size, draw.sample(words.NOTICES, 3))
    radius = round(1.4 + 1.6 * number / (EACH - 1), 2)
    return drawing.unfocused(page.cut(), radius), page.text, {"face": name, "radius": radius}


def low_contrast(draw: random.Random, number: int) -> Made:
    """A notice in grey on grey."""
    name, size = draw.choice(drawing.SANS + drawing.SERIF), draw.randint(13, 16)
    page = _notice(draw, name, size, draw.sample(words.NOTICES, 3))
    paper = draw.randint(120, 220)
    steps = round(44 - 32 * number / (EACH - 1))
    image = drawing.faint(page.cut(), paper, paper - steps, 4.0, draw.randrange(2**32))
    return image, page.text, {"face": name, "steps": steps}


def scripts(draw: random.Random, number: int) -> Made:
    """A notice in another language than English; an old scan."""
    language = sorted(words.LANGUAGES)[number % len(words.LANGUAGES)]
    name, size = draw.choice(drawing.WIDE), draw.randint(12, 14)
    lines = draw.sample(words.LANGUAGES[language], 3)
    page = _notice(draw, name, size, lines)
    image = drawing.scanned(page.cut(), 0.9, 50, 40)
    return image, page.text, {"face": name, "language": language}


DIFFICULTY = {
    "blur": "hard",
    "invoice": "easy",
    "low_contrast": "hard",
    "receipt": "medium",
    "rotation": "medium",
    "scripts": "hard",
    "small_type": "hard",
    "table": "easy",
}

PAGES: Mapping[str, Callable[[random.Random, int], Made]] = MappingProxyType(
    {
        "blur": blur,
        "invoice": invoice,
        "low_contrast": low_contrast,
        "receipt": receipt,
        "rotation": rotation,
        "scripts": scripts,
        "small_type": small_type,
        "table": table,
    }
)
