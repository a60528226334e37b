"""Entities: order number, product and price as a JSON object; a schema of constants.

Easy messages hold all three in plain words, medium ones lack some or put them elsewhere, hard ones
hold a second order, product or price that is not meant.
"""

from __future__ import annotations

import json
import random
import tomllib

from .common import DIFFICULTIES, TEST, TRAIN, Sample, Solved, World, bucket_id, drawn
from .messages import FOLDER

INSTRUCTION = (
    "Give the order, product and amount (price) of this message to the shop Brambleport "
    "as a JSON object, null for what it does not say.\nMessage: "
)
ROUNDS = 9  # renderings of each training message
CENTS = ("", "", "", ".95", ".99", ".49")


def facts(rng: random.Random, text: str, world: World) -> tuple[str, dict[str, object]]:
    """A message with its gaps filled, and what a perfect model reads from it."""
    order, item = world.order(rng), world.item(rng)
    price, other = (f"{whole}{rng.choice(CENTS)}" for whole in rng.sample(range(12, 900), 2))
    filled = text.format(
        order=order,
        item=item,
        amount=price,
        other_order=world.order(rng),
        other_item=world.item(rng, other_than=item),
        other_amount=other,
    )
    return filled, {
        "order": order if "{order}" in text else None,
        "product": item if "{item}" in text else None,
        "amount": json.loads(price) if "{amount}" in text else None,
    }


def schema(expected: dict[str, object]) -> dict[str, object]:
    """The schema that only the expected object satisfies."""
    return {
        "type": "object",
        "properties": {key: {"const": value} for key, value in expected.items()},
        "required": list(expected),
        "additionalProperties": False,
    }


def solved(rng: random.Random) -> list[Solved]:
    """The test; every message is used once."""
    bank = tomllib.loads((FOLDER / "entities_test.toml").read_text(encoding="utf-8"))
    found = []
    for difficulty in DIFFICULTIES:
        for number, text in enumerate(bank[difficulty], 1):
            message, expected = facts(rng, text, TEST)
            sample = Sample(
                id=bucket_id("entities", difficulty, number),
                capability="entities",
                difficulty=difficulty,
                input=INSTRUCTION + message,
                scorer="json_schema",
                target=schema(expected),
                max_tokens=40,
                metadata={"template": f"{difficulty}-{number:02d}"},
            )
            found.append(Solved(sample, json.dumps(expected)))
    return found


def examples(rng: random.Random) -> list[tuple[str, str]]:
    """Training inputs and replies."""
    bank = tomllib.loads((FOLDER / "entities_train.toml").read_text(encoding="utf-8"))

    def one(text: str) -> tuple[str, str]:
        message, expected = facts(rng, text, TRAIN)
        return INSTRUCTION + message, json.dumps(expected)

    texts = [text for difficulty in DIFFICULTIES for text in bank[difficulty]]
    return drawn(rng, texts, ROUNDS, one)
