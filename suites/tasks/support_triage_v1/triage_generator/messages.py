"""The customers' messages: read from the TOML files, and written out with a product and noise."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path
from typing import NamedTuple

from .common import PRIORITIES, QUEUES, TEST, TRAIN, Difficulty, Priority, Queue, World, typos

FOLDER = Path(__file__).resolve().parent
PLACES = ("intent", "priority", "reply")  # of the three messages in a cell of the test


class Message(NamedTuple):
    """What a customer writes, with its right answers; {item} is a gap."""

    text: str
    queue: Queue
    priority: Priority

    @property
    def template(self) -> str:
        return f"{self.queue}-{self.priority}"


def for_training() -> list[Message]:
    """All messages for training."""
    bank = tomllib.loads((FOLDER / "messages_train.toml").read_text(encoding="utf-8"))
    return [
        Message(text, queue, priority)
        for queue in QUEUES
        for priority in PRIORITIES
        for text in bank[queue][priority]
    ]


def for_test(capability: str, difficulty: Difficulty) -> list[Message]:
    """The 20 messages of one bucket: one a queue and priority."""
    bank = tomllib.loads((FOLDER / "messages_test.toml").read_text(encoding="utf-8"))
    place = PLACES.index(capability)
    return [
        Message(bank[difficulty][queue][priority][place], queue, priority)
        for queue in QUEUES
        for priority in PRIORITIES
    ]


def written(rng: random.Random, text: str, world: World) -> str:
    """The text with a product in its gap."""
    return text.replace("{item}", world.item(rng))


def train_text(rng: random.Random, message: Message) -> str:
    """A training message: sometimes with a greeting, a closing or typos."""
    text = message.text
    if rng.random() < 0.3:
        text = typos(rng, text, rng.randint(1, 2))
    text = written(rng, text, TRAIN)
    if rng.random() < 0.35:
        text = f"{rng.choice(TRAIN.openers)} {text}"
    if rng.random() < 0.25:
        text = f"{text} {rng.choice(TRAIN.closers)}"
    return text


def test_text(rng: random.Random, message: Message, difficulty: Difficulty) -> str:
    """A test message: plain when easy, with a greeting or closing when medium, typos when hard."""
    if difficulty == "hard":
        return written(rng, typos(rng, message.text, 2), TEST)
    text = written(rng, message.text, TEST)
    if difficulty == "medium":
        if rng.random() < 0.5:
            return f"{rng.choice(TEST.openers)} {text}"
        return f"{text} {rng.choice(TEST.closers)}"
    return text
