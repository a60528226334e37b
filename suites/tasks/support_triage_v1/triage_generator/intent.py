"""Intent: which of five queues a message belongs to; multiple choice by likelihood.

Easy messages name one thing plainly, medium ones describe it in other words, hard ones mention
other queues' business as well and have typos.
"""

from __future__ import annotations

import random

from .common import DIFFICULTIES, PER_BUCKET, QUEUES, Sample, Solved, bucket_id, deal, drawn
from .messages import Message, for_test, for_training, test_text, train_text

INSTRUCTION = (
    "Which support queue of the shop Brambleport does this message belong to: "
    "delivery, returns, billing, account or technical?\nMessage: "
)
ROUNDS = 2  # renderings of each training message


def solved(rng: random.Random) -> list[Solved]:
    """The test."""
    found = []
    places = deal(rng, PER_BUCKET * len(DIFFICULTIES), range(len(QUEUES)))
    for difficulty in DIFFICULTIES:
        bucket = for_test("intent", difficulty)
        rng.shuffle(bucket)
        for number, message in enumerate(bucket, 1):
            choices = [str(queue) for queue in QUEUES if queue != message.queue]
            rng.shuffle(choices)
            place = places.pop()
            choices.insert(place, message.queue)
            sample = Sample(
                id=bucket_id("intent", difficulty, number),
                capability="intent",
                difficulty=difficulty,
                input=INSTRUCTION + test_text(rng, message, difficulty),
                scorer="choice",
                target=place,
                choices=choices,
                metadata={"template": message.template},
            )
            found.append(Solved(sample, message.queue))
    return found


def examples(rng: random.Random) -> list[tuple[str, str]]:
    """Training inputs and replies."""

    def one(message: Message) -> tuple[str, str]:
        return INSTRUCTION + train_text(rng, message), message.queue

    return drawn(rng, for_training(), ROUNDS, one)
