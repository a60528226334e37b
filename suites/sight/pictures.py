"""Small pictures that a seed draws, with what can be asked about them.

`modellab build sight` learns from :func:`training`; `tasks/sight_v1/generate.py` draws its samples
with the same functions and with seeds, wordings, words and numbers of its own. Everything that is
chosen comes from `random.Random`, whose streams do not change, and all drawing is integer or exact
arithmetic: a seed gives the same pixels on every machine.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 96
CELL = SIDE // 3

COLOURS = {
    "red": (215, 35, 40),
    "green": (35, 160, 60),
    "blue": (45, 80, 225),
    "yellow": (235, 205, 30),
    "purple": (145, 55, 185),
    "orange": (240, 130, 20),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SIDES = ("left", "right", "above", "below")
COLUMNS = ("left", "middle", "right")
ROWS = ("top", "middle", "bottom")
BARS = "ABCD"

_GLYPHS = """
A0E11111F111111 B1E11111E11111E C0E11101010110E D1E11111111111E E1F10101E10101F F1F10101E101010
G0E11101711110F H1111111F111111 I0E04040404040E J0702020202120C K11121418141211 L1010101010101F
M111B1515111111 N11111915131111 O0E11111111110E P1E11111E101010 Q0E11111115120D R1E11111E141211
S0F10100E01011E T1F040404040404 U1111111111110E V11111111110A04 W11111115151B11 X11110A040A1111
Y11110A04040404 Z1F01020408101F 00E11131519110E 1040C040404040E 20E11010204081F 31F02040201110E
402060A121F0202 51F101E0101110E 60608101E11110E 71F010204080808 80E11110E11110E 90E11110F01020C
"""

WORDS = tuple(
    """
    cat dog sun car hat bed cup pen box bag map key egg ice sea sky leg arm eye ear toe lip rat cow
    pig hen bee ant fox owl bus van jet oil gas ink jar jug pot pan tin bat net web log fig nut pie
    jam tea ham rice milk corn soup salt fish cake meat bean plum pear lime tree leaf root seed rose
    weed wood fire rain snow wind hill lake pond sand rock gold iron coal road path gate door wall
    roof lamp desk sofa book page card coin ring bell drum horn flag kite ball doll game toy card
    shoe sock coat belt boot vest robe king lord duke monk girl boy man son aunt baby chef cook
    farm barn shop bank park zoo city town home tent ship boat raft cart bike taxi tram north south
    east west wolf bear deer goat lamb duck swan crow hawk frog crab worm moth bread sugar apple
    grape lemon melon olive onion peach berry water juice table chair couch clock plate spoon knife
    glass towel brush broom shirt skirt dress scarf glove boots crown queen nurse judge pilot actor
    horse sheep tiger zebra snake mouse eagle goose robin whale shark train truck plane wheel river
    ocean beach field grass plant daisy tulip cloud storm light night month year week hour day noon
    red blue one two six ten old new big hot wet dry sad mad fun run sit eat cry try buy fly yes no
    stop open push pull exit sale free left right start end up down slow fast help fire
    """.split()
)
"""What is written in the pictures of training; sight_v1 has others."""

WORDINGS: Mapping[str, Sequence[str]] = {
    "shape": (
        "What shape is this?",
        "Name the shape.",
        "Which shape is drawn here?",
        "What is the shape in the image?",
        "Look at the image. What shape is it?",
        "Tell me the shape you see.",
    ),
    "colour_of": (
        "What colour is the {shape}?",
        "Name the colour of the {shape}.",
        "The {shape} has which colour?",
        "Tell me the colour of the {shape}.",
        "What is the {shape}'s colour?",
        "Look for the {shape}. What colour is it?",
    ),
    "shape_of": (
        "What shape is {colour}?",
        "Which shape is drawn in {colour}?",
        "Name the {colour} shape.",
        "What is the {colour} thing?",
    ),
    "count": (
        "How many {shape}s are there?",
        "Count the {shape}s.",
        "What is the number of {shape}s?",
        "How many {shape}s do you see?",
        "Tell me how many {shape}s are in the image.",
        "Number of {shape}s?",
    ),
    "count_all": (
        "How many shapes are there?",
        "Count all shapes.",
        "How many things are drawn?",
        "What is the number of shapes?",
    ),
    "side": (
        "Where is the {a}, seen from the {b}?",
        "Relative to the {b}, where is the {a}?",
        "Is the {a} left, right, above or below the {b}?",
        "On which side of the {b} is the {a}?",
        "The {a} is where, compared with the {b}?",
        "Starting at the {b}, in which direction is the {a}?",
    ),
    "across": (
        "Is the {shape} on the left, in the middle or on the right?",
        "Left, middle or right: where is the {shape}?",
        "In which column is the {shape}, left, middle or right?",
        "How far to the right is the {shape}: left, middle or right?",
        "On which side is the {shape}, left or right?",
        "The {shape} is left, middle or right?",
    ),
    "down": (
        "Is the {shape} at the top, in the middle or at the bottom?",
        "Top, middle or bottom: where is the {shape}?",
        "In which row is the {shape}, top, middle or bottom?",
        "How far down is the {shape}: top, middle or bottom?",
        "How high is the {shape}, top or bottom?",
        "The {shape} is top, middle or bottom?",
    ),
    "number": (
        "What number is written?",
        "Read the number.",
        "Which number is this?",
        "What is the number in the image?",
        "Tell me the number.",
        "Which digits are shown?",
    ),
    "word": (
        "What word is written?",
        "Read the word.",
        "Which word is this?",
        "What is the word in the image?",
        "Tell me the word.",
        "What do the letters spell?",
    ),
    "letter": ("What is the first letter?", "Which letter comes first?", "Name the first letter."),
    "last": ("What is the last letter?", "Which letter comes last?", "Name the last letter."),
    "tallest": (
        "Which bar is the tallest?",
        "Name the tallest bar.",
        "What is the label of the tallest bar?",
        "Which bar is the highest?",
        "Which letter has the longest bar?",
        "The largest value belongs to which bar?",
    ),
    "shortest": (
        "Which bar is the shortest?",
        "Name the shortest bar.",
        "What is the label of the shortest bar?",
        "Which bar is the lowest?",
        "Which letter has the smallest bar?",
        "The smallest value belongs to which bar?",
    ),
    "bar_colour": (
        "What colour is bar {bar}?",
        "Name the colour of bar {bar}.",
        "Bar {bar} has which colour?",
    ),
    "bars": ("How many bars are there?", "Count the bars.", "What is the number of bars?"),
    "ink": (
        "What colour are the letters?",
        "In which colour is the word written?",
        "Name the colour of the writing.",
        "What colour is the text drawn in?",
        "Not what it says: what colour is the word?",
        "Tell me the colour of the letters.",
    ),
}
"""Question → its wordings in training. A ``{…}`` is filled from what is in the picture."""


class Ask(NamedTuple):
    """What can be asked about a picture.

    Attributes:
        question: key of :data:`WORDINGS`.
        answer: the right one.
        options: the right one and wrong ones; empty where there are none to choose from.
        slots: fills the wording.
    """

    question: str
    answer: str
    options: tuple[str, ...] = ()
    slots: Mapping[str, str] = {}


class Picture(NamedTuple):
    """A picture, what can be asked about it, and what it shows, for the encoder's own lessons.

    Attributes:
        pixels: ``(SIDE, SIDE, 3)``, uint8, RGB.
        asks: at least one.
        labels: a name of :data:`LABELS` → the class that the picture has.
    """

    pixels: NDArray[np.uint8]
    asks: list[Ask]
    labels: dict[str, int]


_TEXT = 5  # most letters of a word

LABELS: Mapping[str, int] = {
    **{f"shape_{cell}": len(SHAPES) + 1 for cell in range(9)},
    **{f"colour_{cell}": len(COLOURS) + 1 for cell in range(9)},
    "shape": len(SHAPES) + 1,
    "colour": len(COLOURS) + 1,
    **{f"letter_{place}": 37 for place in range(_TEXT)},
    **{f"height_{bar}": 12 for bar in range(len(BARS))},
    **{f"bar_{bar}": len(COLOURS) + 1 for bar in range(len(BARS))},
    "tallest": len(BARS),
    "shortest": len(BARS),
}
"""What an encoder can be asked to tell of a picture, and how many classes each has; class 0 of a
cell, a letter or a bar is that there is none."""


@functools.cache
def _glyphs() -> Mapping[str, NDArray[np.bool_]]:
    text = "".join(_GLYPHS.split())
    found = {}
    for start in range(0, len(text), 15):
        rows = [int(text[start + 1 + 2 * row : start + 3 + 2 * row], 16) for row in range(7)]
        found[text[start]] = np.array(
            [[row >> (4 - x) & 1 for x in range(5)] for row in rows], bool
        )
    return found


@functools.cache
def _mask(shape: str, radius: int) -> NDArray[np.bool_]:
    """A shape of that radius, as a square of ``2 * radius + 1`` pixels."""
    found: NDArray[np.bool_]
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    if shape == "circle":
        found = x * x + y * y <= radius * radius
    elif shape == "ring":
        found = (x * x + y * y <= radius * radius) & (5 * (x * x + y * y) >= 2 * radius * radius)
    elif shape == "square":
        found = np.maximum(abs(x), abs(y)) * 8 <= 7 * radius
    elif shape == "triangle":
        found = 2 * abs(x) <= y + radius
    elif shape == "cross":
        found = (3 * abs(x) <= radius) | (3 * abs(y) <= radius)
    else:  # a star of four rays
        found = np.sqrt(abs(x)) + np.sqrt(abs(y)) <= 1.1 * np.sqrt(radius)
    return found


def _put(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], x: int, y: int, colour: Sequence[int]
) -> None:
    """Paint a mask whose upper left corner is at ``x, y``; what is outside is cut off."""
    top, left = max(-y, 0), max(-x, 0)
    bottom, right = min(mask.shape[0], SIDE - y), min(mask.shape[1], SIDE - x)
    part = mask[top:bottom, left:right]
    pixels[y + top : y + bottom, x + left : x + right][part] = colour


def _ground(rng: random.Random) -> NDArray[np.uint8]:
    base = rng.choice((245, 235, 222, 40, 25))
    pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    pixels[:] = [base + rng.randint(-8, 8) for _ in range(3)]
    return pixels


def _grained(rng: random.Random, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grain = np.frombuffer(rng.randbytes(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE, 1) % 17
    found: NDArray[np.uint8] = np.clip(pixels.astype(np.int16) + grain - 8, 0, 255).astype(np.uint8)
    return found


def _paint(rng: random.Random, colour: str) -> tuple[int, ...]:
    return tuple(min(max(part + rng.randint(-14, 14), 0), 255) for part in COLOURS[colour])


def _some(rng: random.Random, right: str, others: Sequence[str], count: int = 4) -> tuple[str, ...]:
    """The right option first, and wrong ones."""
    wrong = [other for other in others if other != right]
    return (right, *rng.sample(wrong, min(count - 1, len(wrong))))


def _near(rng: random.Random, right: int, least: int, most: int) -> tuple[str, ...]:
    """A number and the three that are nearest to it."""
    others = sorted((n for n in range(least, most + 1) if n != right), key=lambda n: abs(n - right))
    return (str(right), *map(str, others[:3]))


def single(rng: random.Random) -> Picture:
    """One shape, anywhere."""
    pixels, shape, colour = _ground(rng), rng.choice(SHAPES), rng.choice([*COLOURS])
    radius = rng.randint(12, 30)
    x, y = (rng.randint(0, SIDE - 2 * radius - 1) for _ in range(2))
    _put(pixels, _mask(shape, radius), x, y, _paint(rng, colour))
    asks = [
        Ask("shape", shape, _some(rng, shape, SHAPES)),
        Ask("colour_of", colour, _some(rng, colour, [*COLOURS]), {"shape": shape}),
        Ask("count_all", "1", _near(rng, 1, 0, 6)),
    ]
    labels = {"shape": SHAPES.index(shape) + 1, "colour": [*COLOURS].index(colour) + 1}
    return Picture(pixels, asks, labels)


def empty(rng: random.Random) -> Picture:
    """Nothing at all, and questions that suppose something."""
    asked = rng.choice(SHAPES)
    asks = [
        Ask("shape", "none", ("none", *rng.sample(SHAPES, 3))),
        Ask("colour_of", "none", ("none", *rng.sample([*COLOURS], 3)), {"shape": asked}),
        Ask("count", "0", ("0", "1", "2", "3"), {"shape": asked}),
        Ask("count_all", "0", ("0", "1", "2", "3")),
    ]
    labels = {"shape": 0, "colour": 0}
    labels |= {f"{what}_{cell}": 0 for what in ("shape", "colour") for cell in range(9)}
    labels |= {f"letter_{place}": 0 for place in range(_TEXT)}
    return Picture(_ground(rng), asks, labels)


def scene(rng: random.Random) -> Picture:
    """Two to six shapes on a grid that is not drawn."""
    pixels, colours = _ground(rng), [*COLOURS]
    many = rng.random() < 0.5
    count = rng.randint(1, 7) if many else rng.randint(2, 4)
    kinds = rng.sample(SHAPES, rng.randint(1, 2) if many else 4)
    labels = {f"{what}_{cell}": 0 for what in ("shape", "colour") for cell in range(9)}
    placed = []
    for number, cell in enumerate(rng.sample(range(9), count)):
        shape = rng.choice(kinds) if many else kinds[number]
        colour = rng.choice(colours)
        radius = rng.randint(9, 13)
        room = CELL - 2 * radius - 1
        x = CELL * (cell % 3) + rng.randint(0, room)
        y = CELL * (cell // 3) + rng.randint(0, room)
        _put(pixels, _mask(shape, radius), x, y, _paint(rng, colour))
        labels[f"shape_{cell}"] = SHAPES.index(shape) + 1
        labels[f"colour_{cell}"] = colours.index(colour) + 1
        placed.append((shape, colour, cell))
    asks = _of_scene(rng, placed)
    return Picture(pixels, asks, labels)


def _of_scene(rng: random.Random, placed: Sequence[tuple[str, str, int]]) -> list[Ask]:
    shapes, colours = [shape for shape, _, _ in placed], [colour for _, colour, _ in placed]
    asks = []
    for shape, colour, cell in placed:
        if shapes.count(shape) == 1:
            down, across = ROWS[cell // 3], COLUMNS[cell % 3]
            asks += [
                Ask("across", across, _some(rng, across, COLUMNS), {"shape": shape}),
                Ask("down", down, _some(rng, down, ROWS), {"shape": shape}),
            ]
            asks.append(Ask("colour_of", colour, _some(rng, colour, [*COLOURS]), {"shape": shape}))
        if colours.count(colour) == 1:
            asks.append(Ask("shape_of", shape, _some(rng, shape, SHAPES), {"colour": colour}))
    for shape in dict.fromkeys(shapes):
        right = shapes.count(shape)
        asks.append(Ask("count", str(right), _near(rng, right, 1, 7), {"shape": shape}))
    missing = rng.choice([shape for shape in SHAPES if shape not in shapes])
    if rng.random() < 0.3:
        asks.append(Ask("count", "0", ("0", "1", "2", "3"), {"shape": missing}))
        options = ("none", *rng.sample([*COLOURS], 3))
        asks.append(Ask("colour_of", "none", options, {"shape": missing}))
    asks.append(Ask("count_all", str(len(placed)), _near(rng, len(placed), 1, 7)))
    for one in placed:
        for other in placed:
            if shapes.count(one[0]) > 1 or shapes.count(other[0]) > 1 or one is other:
                continue
            (row, column), (other_row, other_column) = divmod(one[2], 3), divmod(other[2], 3)
            if row == other_row:
                side = "left" if column < other_column else "right"
            elif column == other_column:
                side = "above" if row < other_row else "below"
            else:
                continue
            asks.append(Ask("side", side, _some(rng, side, SIDES), {"a": one[0], "b": other[0]}))
    return asks


def write(
    rng: random.Random, pixels: NDArray[np.uint8], text: str, colour: Sequence[int]
) -> dict[str, int]:
    """Write a text of at most five letters or digits, and return its labels."""
    most = min((SIDE - 4) // (6 * len(text)), 5)
    scale = rng.randint(min(2, most), most)
    width, height = (6 * len(text) - 1) * scale, 7 * scale
    left, top = rng.randint(2, SIDE - width - 2), rng.randint(2, SIDE - height - 2)
    for place, letter in enumerate(text):
        mask = np.kron(_glyphs()[letter], np.ones((scale, scale), bool))
        _put(pixels, mask, left + 6 * scale * place, top, colour)
    letters = [*_glyphs()]
    labels = {f"letter_{place}": 0 for place in range(_TEXT)}
    return labels | {f"letter_{p}": letters.index(letter) + 1 for p, letter in enumerate(text)}


def _ink(rng: random.Random, pixels: NDArray[np.uint8]) -> tuple[int, ...]:
    """Black on light ground and white on dark, or a colour."""
    if rng.random() < 0.4:
        return _paint(rng, rng.choice([*COLOURS]))
    shade = rng.randint(0, 50) if pixels[0, 0, 0] > 128 else rng.randint(205, 255)
    return (shade, shade, shade)


def number(rng: random.Random, numbers: Sequence[int] = ()) -> Picture:
    """A number of one to four digits."""
    pixels, digits = _ground(rng), rng.randint(1, 4)
    text = str(rng.choice(numbers) if numbers else rng.randint(10 ** (digits - 1), 10**digits - 1))
    labels = write(rng, pixels, text, _ink(rng, pixels))
    return Picture(pixels, [Ask("number", text, _misread(rng, text))], labels)


def _misread(rng: random.Random, text: str) -> tuple[str, ...]:
    """A number and three others that differ from it in one digit each."""
    found = [text]
    while len(found) < 4:
        place = rng.randrange(len(text))
        other = text[:place] + rng.choice("123456789") + text[place + 1 :]
        if other not in found:
            found.append(other)
    return tuple(found)


def word(rng: random.Random, words: Sequence[str] = ()) -> Picture:
    """A word, or, where no words are given, also letters that are none."""
    pixels = _ground(rng)
    if words:
        text = rng.choice(words)
        alike = sorted(
            (w for w in words if len(w) == len(text) and w != text),
            key=lambda w: (-sum(a == b for a, b in zip(w, text, strict=True)), w),
        )
        options = (text, *alike[:3])
    elif rng.random() < 0.7:
        text = rng.choice(WORDS)
        options = ()
    else:
        text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 5)))
        options = ()
    labels = write(rng, pixels, text.upper(), _ink(rng, pixels))
    asks = [
        Ask("word", text, options),
        Ask("letter", text[0].upper()),
        Ask("last", text[-1].upper()),
    ]
    return Picture(pixels, asks, labels)


def misleading(rng: random.Random) -> Picture:
    """The name of a colour, in another colour."""
    pixels, colours = _ground(rng), [name for name in COLOURS if len(name) <= _TEXT]
    said = rng.choice(colours)
    colour = rng.choice([name for name in COLOURS if name != said])
    labels = write(rng, pixels, said.upper(), _paint(rng, colour))
    labels["colour"] = [*COLOURS].index(colour) + 1
    wrong = rng.sample([name for name in COLOURS if name not in (said, colour)], 2)
    asks = [
        Ask("ink", colour, (colour, said, *wrong)),
        Ask("word", said, (said, colour, *wrong)),
    ]
    return Picture(pixels, asks, labels)


def chart(rng: random.Random) -> Picture:
    """Three or four bars with letters below them."""
    pixels, colours = _ground(rng), [*COLOURS]
    count = rng.randint(3, 4)
    heights = rng.sample(range(1, 12), count)
    dark = pixels[0, 0, 0] > 128
    line = (30, 30, 30) if dark else (225, 225, 225)
    width, step = rng.randint(9, 14), 88 // count
    labels = {f"{what}_{bar}": 0 for what in ("height", "bar") for bar in range(len(BARS))}
    same = rng.choice(colours) if rng.random() < 0.3 else None
    asks = []
    for bar, height in enumerate(heights):
        colour = same or rng.choice(colours)
        left = 6 + step * bar + (step - width) // 2
        tall = 6 * height
        _put(pixels, np.ones((tall, width), bool), left, 76 - tall, _paint(rng, colour))
        mask = np.kron(_glyphs()[BARS[bar]], np.ones((2, 2), bool))
        _put(pixels, mask, left + width // 2 - 5, 80, line)
        labels[f"height_{bar}"], labels[f"bar_{bar}"] = height, colours.index(colour) + 1
        options = _some(rng, colour, colours)
        asks.append(Ask("bar_colour", colour, options, {"bar": BARS[bar]}))
    _put(pixels, np.ones((1, 90), bool), 3, 76, line)
    labels["tallest"] = heights.index(max(heights))
    labels["shortest"] = heights.index(min(heights))
    letters = BARS[:count]
    for question, place in (("tallest", labels["tallest"]), ("shortest", labels["shortest"])):
        asks += [Ask(question, BARS[place], _some(rng, BARS[place], letters))] * 2
    asks.append(Ask("bars", str(count), _near(rng, count, 1, 6)))
    return Picture(pixels, asks, labels)


_DRAWN: Mapping[Callable[[random.Random], Picture], int] = {
    single: 8,
    empty: 3,
    scene: 45,
    number: 16,
    word: 22,
    misleading: 7,
    chart: 12,
}


def training(seed: int, index: int) -> tuple[NDArray[np.uint8], list[tuple[str, str]], Any]:
    """Draw one picture to learn from.

    Args:
        seed: the recipe's; sight_v1's seeds are texts, and never give the same stream.
        index: which of the pictures of that seed.

    Returns:
        Pixels, up to three ``(question, answer)``, and labels.
    """
    rng = random.Random(f"training:{seed}:{index}")
    draw = rng.choices([*_DRAWN], [*_DRAWN.values()])[0]
    found = draw(rng)
    pixels = _grained(rng, found.pixels) if rng.random() < 0.4 else found.pixels
    asks = rng.sample(found.asks, min(3, len(found.asks)))
    questions = [
        (rng.choice(WORDINGS[ask.question]).format(**ask.slots), ask.answer) for ask in asks
    ]
    return pixels, questions, found.labels
