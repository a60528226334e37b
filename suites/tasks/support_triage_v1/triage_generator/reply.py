"""Reply: two lines in a fixed form that hold order, queue, priority and name; a pattern.

Queue and priority follow the rules of the other capabilities; this instruction only lists them.
Hard messages name a second order or person who is not meant.
"""

from __future__ import annotations

import random
import re

from .common import DIFFICULTIES, TEST, TRAIN, Difficulty, Sample, Solved, World, bucket_id, drawn
from .messages import Message, for_test, for_training, test_text, train_text

INSTRUCTION = (
    "Answer this message to the shop Brambleport in this form:\n"
    "TICKET <order> | <delivery, returns, billing, account or technical> | "
    "<low, normal, high or urgent>\nHi <name>, we are on it.\nMessage: "
)
ROUNDS = 2  # renderings of each training message

TRAIN_FRAMES = (
    "{text} Order {order}. {name}",
    "{text} My order number is {order}. Regards, {name}",
    "My name is {name}, order {order}. {text}",
    "Hello, {name} here. {text} ({order})",
    "{order}: {text} Best, {name}",
    "{text} Yours, {name} ({order})",
    "I am {name}. {text} It is order {order}.",
    "Re: {order}. {text} Thanks, {name}",
    "{name}, {order}. {text}",
    "{text} - {name}, {order}",
    "I am {name} and write for {other_name}. {text} Order {order}.",
    "{text} {name}, order {order}, not {other_order}.",
    "{text} Order {order}; {other_order} is fine. Thank you, {name}",
    "{other_name} at your shop said to write. {text} Order {order}. {name}",
    "I had {other_order} before. {text} Now it is {order}. Yours, {name}",
    "Hi {other_name}! {text} {order}. Bye, {name}",
)
TEST_FRAMES: dict[Difficulty, tuple[str, ...]] = {
    "easy": (
        "{text} The order is {order}. Kind regards, {name}",
        "This is {name} with order {order}. {text}",
        "{text} {name} (order {order})",
        "Order {order}, customer {name}. {text}",
    ),
    "medium": (
        "From: {name}. Subject: {order}. {text}",
        "{text} You find it under {order}. Cheers, {name}",
        "{name} writing about {order}. {text}",
        "Number {order}. {text} Sincerely yours, {name}",
    ),
    "hard": (
        "{text} I mean {order} and not {other_order}. All the best, {name}",
        "My colleague {other_name} told me to ask you. {text} {order}, {name}",
        "{other_order} is done, this is {order}. {text} So long, {name}",
        "{text} Please answer me, {name}, and not {other_name}. {order}",
    ),
}


def framed(
    rng: random.Random, frame: str, text: str, message: Message, world: World
) -> tuple[str, str]:
    """A message with order and name, and the ideal reply to it."""
    order, name = world.order(rng), world.name(rng)
    asked = frame.format(
        text=text,
        order=order,
        name=name,
        other_order=world.order(rng),
        other_name=world.name(rng, other_than=name),
    )
    answer = f"TICKET {order} | {message.queue} | {message.priority}\nHi {name}, we are on it."
    return INSTRUCTION + asked, answer


def solved(rng: random.Random) -> list[Solved]:
    """The test; every frame of a difficulty is used five times."""
    found = []
    for difficulty in DIFFICULTIES:
        bucket = for_test("reply", difficulty)
        rng.shuffle(bucket)
        frames = TEST_FRAMES[difficulty]
        for number, message in enumerate(bucket, 1):
            text = test_text(rng, message, difficulty)
            asked, answer = framed(rng, frames[number % len(frames)], text, message, TEST)
            sample = Sample(
                id=bucket_id("reply", difficulty, number),
                capability="reply",
                difficulty=difficulty,
                input=asked,
                scorer="regex",
                target="^" + re.escape(answer).replace("\\\n", r"\n").replace(r"\ ", " ") + "$",
                max_tokens=40,
                metadata={"template": message.template},
            )
            found.append(Solved(sample, answer))
    return found


def examples(rng: random.Random) -> list[tuple[str, str]]:
    """Training inputs and replies."""

    def one(message: Message) -> tuple[str, str]:
        text = train_text(rng, message)
        return framed(rng, rng.choice(TRAIN_FRAMES), text, message, TRAIN)

    return drawn(rng, for_training(), ROUNDS, one)
