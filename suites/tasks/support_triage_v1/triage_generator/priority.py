"""Priority: one word by rules that the instruction states; exact match.

The rules: danger or crime is urgent, a deadline within two days or a repeated complaint is high,
any other problem is normal, and a question, an idea or thanks is low.
"""

from __future__ import annotations

import random

from .common import DIFFICULTIES, Sample, Solved, bucket_id, drawn
from .messages import Message, for_test, for_training, test_text, train_text

INSTRUCTION = (
    "Give the priority of this message to the shop Brambleport in one word. "
    "urgent: danger or crime. high: needed within two days, or asked before. "
    "normal: any other problem. low: a question, an idea or thanks.\nMessage: "
)
ROUNDS = 2  # renderings of each training message


def solved(rng: random.Random) -> list[Solved]:
    """The test."""
    found = []
    for difficulty in DIFFICULTIES:
        bucket = for_test("priority", difficulty)
        rng.shuffle(bucket)
        for number, message in enumerate(bucket, 1):
            sample = Sample(
                id=bucket_id("priority", difficulty, number),
                capability="priority",
                difficulty=difficulty,
                input=INSTRUCTION + test_text(rng, message, difficulty),
                scorer="exact",
                target=message.priority,
                max_tokens=5,
                metadata={"template": message.template},
            )
            found.append(Solved(sample, message.priority))
    return found


def examples(rng: random.Random) -> list[tuple[str, str]]:
    """Training inputs and replies."""

    def one(message: Message) -> tuple[str, str]:
        return INSTRUCTION + train_text(rng, message), message.priority

    return drawn(rng, for_training(), ROUNDS, one)
