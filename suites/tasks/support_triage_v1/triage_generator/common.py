"""What the capability modules share: the shape of a sample, the invented shop, and its customers.

Training and test share the instructions and nothing else: every list here exists twice, order
numbers come from different thousands.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, NotRequired, TypedDict, TypeVar

Difficulty = Literal["easy", "medium", "hard"]
Queue = Literal["delivery", "returns", "billing", "account", "technical"]
Priority = Literal["urgent", "high", "normal", "low"]

DIFFICULTIES: tuple[Difficulty, ...] = ("easy", "medium", "hard")
QUEUES: tuple[Queue, ...] = ("delivery", "returns", "billing", "account", "technical")
PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal", "low")
PER_BUCKET = 20

Source = TypeVar("Source")


class Sample(TypedDict):
    """One line of samples.jsonl."""

    id: str
    capability: str
    difficulty: Difficulty
    input: str
    scorer: Literal["choice", "exact", "regex", "json_schema"]
    target: int | str | dict[str, object]
    choices: NotRequired[list[str]]
    max_tokens: NotRequired[int]
    metadata: dict[str, str]


class Solved(NamedTuple):
    """A sample and the reply that a perfect model would give."""

    sample: Sample
    reply: str


class World(NamedTuple):
    """What fills the gaps of a message; one for training, one for the test."""

    items: tuple[str, ...]
    names: tuple[str, ...]
    openers: tuple[str, ...]
    closers: tuple[str, ...]
    thousands: tuple[int, ...]

    def item(self, rng: random.Random, other_than: str = "") -> str:
        return rng.choice([item for item in self.items if item != other_than])

    def name(self, rng: random.Random, other_than: str = "") -> str:
        return rng.choice([name for name in self.names if name != other_than])

    def order(self, rng: random.Random) -> str:
        return f"BP-{rng.choice(self.thousands)}{rng.randrange(1000):03d}"


# Every seventh thousand is the test's, so that both see every digit in every place.
TRAIN = World(
    items=tuple(
        "kettle, toaster, blender, air fryer, coffee grinder, desk lamp, heater, table "
        "fan, radio, steam iron, hair dryer, rice cooker, vacuum cleaner, scanner, "
        "keyboard, router, baby monitor, electric blanket, sewing machine, waffle maker, "
        "alarm clock, projector, power drill, hand mixer, bread maker, camera, tablet, "
        "egg boiler, paper shredder, leaf blower".split(", ")
    ),
    names=tuple(
        "Anna Ben Carla David Elena Felix Greta Hannes Ines Jonas Karin Leo Maria Nils Olga Paul "
        "Rosa Simon Tina Viktor Wanda Yusuf Zoe Amir Bianca Chen Dalia Emil Fatima Gustav Hilda "
        "Ivan Julia Kofi Lena Marco Nadia Oscar Petra Quentin Rita Stefan Tamara Umar Vera Walter "
        "Xenia Yara Zeno Agnes Bruno Clara Dennis Edith Frank Gloria Hugo Irma Jakob Katja".split()
    ),
    openers=(
        "Hello.",
        "Hi there.",
        "Good morning.",
        "Good evening.",
        "Dear support team.",
        "Hey.",
        "Hi Brambleport.",
        "Sorry to bother you.",
        "A short note.",
        "Dear Sir or Madam.",
    ),
    closers=(
        "Thanks.",
        "Please help.",
        "Please reply.",
        "What now?",
        "Regards.",
        "Waiting for your answer.",
        "Thank you in advance.",
        "Please advise.",
        "Best wishes.",
        "Let me know.",
    ),
    thousands=tuple(t for t in range(10, 100) if t % 7 != 3),
)
TEST = World(
    items=tuple(
        "espresso machine, juicer, dehumidifier, smart speaker, soldering iron, food "
        "processor, floor lamp, air purifier, headset, webcam, label printer, pressure "
        "cooker, shaver, e-reader, doorbell, ice maker, popcorn maker, lawn mower, hedge "
        "trimmer, massage gun".split(", ")
    ),
    names=tuple(
        "Adele Boris Celine Dario Esther Farid Gemma Henrik Isabel Joris Kamila Luca Miriam Noel "
        "Ottilie Pavel Ramona Soren Thea Ulrich Valerie Wim Yvonne Zahra Alma Basil Cora Dmitri "
        "Elif Florian".split()
    ),
    openers=("Greetings.", "To whom it may concern.", "Hiya.", "Good day to you."),
    closers=("Much obliged.", "Hope to hear from you.", "Over to you.", "Have a nice day."),
    thousands=tuple(t for t in range(10, 100) if t % 7 == 3),
)


def typos(rng: random.Random, text: str, count: int) -> str:
    """Swap or drop a letter in up to `count` long lower-case words; gaps are left alone."""
    words = text.split(" ")
    able = [i for i, word in enumerate(words) if re.fullmatch(r"[a-z]{5,}[.,?!]?", word)]
    for index in rng.sample(able, min(count, len(able))):
        word = words[index]
        at = rng.randrange(1, len(word) - 2)
        pair = word[at + 1] + word[at] if rng.random() < 0.5 else word[at]
        words[index] = word[:at] + pair + word[at + 2 :]
    return " ".join(words)


def bucket_id(capability: str, difficulty: Difficulty, number: int) -> str:
    """A sample's id; `number` counts from 1 within its bucket."""
    return f"{capability}-{difficulty}-{number:03d}"


def drawn(
    rng: random.Random,
    sources: Sequence[Source],
    rounds: int,
    make: Callable[[Source], tuple[str, str]],
) -> list[tuple[str, str]]:
    """Inputs and replies made of each source `rounds` times, no input twice, shuffled."""
    found: dict[str, str] = {}
    for turn, source in enumerate(sources, 1):
        while len(found) < turn * rounds:
            asked, answer = make(source)
            found[asked] = answer
    pairs = list(found.items())
    rng.shuffle(pairs)
    return pairs


def deal(rng: random.Random, count: int, places: Sequence[int]) -> list[int]:
    """`count` of `places` in random order, each equally often, give or take one."""
    dealt = [places[turn % len(places)] for turn in range(count)]
    rng.shuffle(dealt)
    return dealt
