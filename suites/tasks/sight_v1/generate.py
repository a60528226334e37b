"""Writes samples.jsonl and its pictures from the seed in task_set.toml.

    python suites/tasks/sight_v1/generate.py           # write
    python suites/tasks/sight_v1/generate.py --check   # exit 1 when a file differs

The pictures are drawn by `suites/sight/pictures.py`, as those that `smollm2_sight` learned from,
but from other seeds, with other words, and asked about in other wordings.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parent
SAMPLES = FOLDER / "samples.jsonl"
PER_BUCKET = 20

sys.path.insert(0, str(FOLDER.parents[1] / "sight"))

import pictures  # noqa: E402 (its folder is put on the path above)
from pictures import Ask, Picture  # noqa: E402

WORDINGS: Mapping[str, tuple[str, str]] = {
    "shape": ("Which shape do you see here?", "What kind of shape does the picture show?"),
    "shape_of": ("Which of the shapes is {colour}?", "What shape has the colour {colour}?"),
    "colour_of": ("Which colour does the {shape} have?", "The {shape} is painted in what colour?"),
    "count": ("How many {shape}s can be counted?", "The picture holds how many {shape}s?"),
    "letter": ("Which letter does the word begin with?", "Which letter is the first one?"),
    "last": ("Which letter does the word end with?", "Which letter is the last one?"),
    "number": ("Which number do you see?", "What number does the picture show?"),
    "word": ("Which word do you see?", "What does the picture say?"),
    "tallest": ("Which bar is higher than all others?", "Which of the bars is the tallest one?"),
    "shortest": ("Which bar is lower than all others?", "Which of the bars is the shortest one?"),
    "ink": (
        "In what colour is the word painted?",
        "Which colour do the letters have?",
    ),
}
"""Question → wordings that training does not have."""

WORDS = tuple(
    """
    ace aim arc bay bow cap cub den dew fan fin gem gum hut ivy jaw keg lid mat mop nap oak owe
    pad pea ram rib rug sap tub urn vat wig yak
    arch bait bolt calf cape clay cord dart dice dusk fang fern foam fork fort gift glow hail hare
    hive iris kelp lace lane loaf mast maze mint moss oven palm pier pine pork quay reed rope sail
    silk sink snail stem tile tusk vase vine wand yarn yolk
    acorn amber angel badge baker basil blade bloom brick cabin camel candy chalk cider cliff cobra
    crane dough easel fairy ferry flame flint flour frost ghost grain guest hazel honey igloo
    jelly kayak koala ladle linen llama lunar maple medal metal motor opera otter panda petal
    """.split()
)
"""Words that training does not have."""


def _asked(draw: Callable[[random.Random], Picture], *questions: str) -> Any:
    """Return a maker of samples: a picture, and one of these questions about it."""

    def make(rng: random.Random, number: int) -> tuple[Picture, Ask]:
        wanted = questions[number % len(questions)]
        while True:
            found = draw(rng)
            asks = [ask for ask in found.asks if ask.question == wanted and len(ask.options) > 2]
            if asks:
                return found, rng.choice(asks)

    return make


def _counted(rng: random.Random, number: int) -> tuple[Picture, Ask]:
    """Every count from one to seven about equally often."""
    while True:
        found = pictures.scene(rng)
        asks = [
            ask
            for ask in found.asks
            if ask.question == "count" and int(ask.answer) == 1 + number % 7
        ]
        if asks:
            return found, rng.choice(asks)


def _shape(rng: random.Random, number: int) -> tuple[Picture, Ask]:
    if number % 2:
        return _asked(pictures.single, "shape")(rng, number)  # type: ignore[no-any-return]
    return _asked(pictures.scene, "shape_of")(rng, number)  # type: ignore[no-any-return]


def _number(rng: random.Random, number: int) -> tuple[Picture, Ask]:
    digits = 2 + number % 3
    found = pictures.number(rng, [rng.randint(10 ** (digits - 1), 10**digits - 1)])
    return found, found.asks[0]


def _word(rng: random.Random, number: int) -> tuple[Picture, Ask]:
    length = 3 + number % 3
    found = pictures.word(rng, [word for word in WORDS if len(word) == length])
    return found, found.asks[0]


def _letter(rng: random.Random, number: int) -> tuple[Picture, Ask]:
    """The first or the last letter; the other options are letters of the same word where it can."""
    word = rng.choice([word for word in WORDS if word[0] != word[-1] and len(word) > 3])
    found = pictures.word(rng, [word])
    right = word[0] if number % 2 else word[-1]
    others = [letter.upper() for letter in dict.fromkeys(word) if letter != right]
    more = [letter for letter in "AEIOSTRN" if letter not in word.upper()]
    options = (right.upper(), *(others + rng.sample(more, 3))[:3])
    return found, Ask("letter" if number % 2 else "last", right.upper(), options)


def _misleading(rng: random.Random, number: int) -> tuple[Picture, Ask]:
    if number % 2:
        return _asked(pictures.misleading, "ink")(rng, number)  # type: ignore[no-any-return]
    questions = ("shape", "colour_of", "count")
    return _asked(pictures.empty, questions[number // 2 % 3])(rng, 0)  # type: ignore[no-any-return]


CAPABILITIES: Mapping[str, Callable[[random.Random, int], tuple[Picture, Ask]]] = {
    "charts": _asked(pictures.chart, "tallest", "shortest"),
    "colours": _asked(pictures.scene, "colour_of"),
    "counting": _counted,
    "letters": _letter,
    "misleading": _misleading,
    "numbers": _number,
    "shapes": _shape,
    "words": _word,
}


def samples(seed: int) -> Iterator[tuple[dict[str, Any], Picture]]:
    """Make every sample, with its picture; no number and no word comes twice."""
    for capability, make in CAPABILITIES.items():
        seen: set[str] = set()
        for number in range(PER_BUCKET):
            attempt = 0
            while True:
                rng = random.Random(f"sight_v1:{seed}:{capability}:{number}:{attempt}")
                picture, ask = make(rng, number)
                answered = f"{ask.answer} {ask.slots}"
                if capability not in ("numbers", "words") or answered not in seen:
                    break
                attempt += 1
            seen.add(answered)
            name = f"{capability}-{number + 1:03d}"
            question = WORDINGS[ask.question][rng.randrange(2)].format(**ask.slots)
            sample: dict[str, Any] = {
                "id": name,
                "capability": capability,
                "difficulty": "medium",
                "input": question.replace("crosss", "crosses"),
                "image": f"images/{name}.png",
                "metadata": {"question": ask.question},
            }
            if capability == "numbers":
                sample |= {"scorer": "exact", "target": ask.answer, "max_tokens": 8}
            else:
                options = rng.sample(ask.options, len(ask.options))
                target = options.index(ask.answer)
                sample |= {"scorer": "choice", "choices": options, "target": target}
            yield sample, picture


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate samples and pictures of sight_v1.")
    parser.add_argument("--check", action="store_true", help="compare with files, write nothing")
    options = parser.parse_args(arguments)
    with (FOLDER / "task_set.toml").open("rb") as file:
        made = list(samples(int(tomllib.load(file)["seed"])))
    lines = [
        json.dumps(sample, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        for sample, _ in made
    ]
    text = "".join(line + "\n" for line in lines)
    if not options.check:
        (FOLDER / "images").mkdir(exist_ok=True)
        SAMPLES.write_text(text, encoding="utf-8", newline="\n")
        for sample, picture in made:
            written = io.BytesIO()
            Image.fromarray(picture.pixels).save(written, "PNG", optimize=True)
            (FOLDER / sample["image"]).write_bytes(written.getvalue())
        print(f"{len(made)} samples written")
        return 0
    differ = [] if SAMPLES.read_text(encoding="utf-8") == text else [SAMPLES.name]
    for sample, picture in made:
        with Image.open(
            FOLDER / sample["image"]
        ) as image:  # bytes depend on the library, not pixels
            if not np.array_equal(np.asarray(image), picture.pixels):
                differ.append(sample["image"])
    if differ:
        print(f"{', '.join(differ)}: not what the generator makes; run it", file=sys.stderr)
        return 1
    print("up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
