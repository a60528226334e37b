"""Arithmetic: sums, differences, products, quotients, sequences and short word problems.

Every sample is multiple choice. The choices are whole equations or sentences which differ in the
result alone ("17 + 5 = 22"), because a small model rarely answers with a bare number: with bare
numbers SmolLM2-135M-Instruct was near chance on most kinds, with equations it is well above it.
The wrong results have as many digits as the right one and lie near it.

Difficulty is the kind of task, as measured on that model over 20 to 30 samples of each kind
(chance 0.25): easy kinds 0.85 to 1.0 (one-step word problems with a sum or a product, tables,
doubles and halves), medium kinds 0.65 to 0.85 (larger sums, quotients, sequences, percentages),
hard kinds 0.25 to 0.65 (differences, products of larger numbers; a few of two steps or three
terms, where the model is still at chance). Comparing numbers, sums in words and reading the clock
were tried and left out: the model is at or below chance there whatever the wording.
The buckets measure 0.95, 0.86 and 0.41.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from .common import Difficulty, Question, Sample, multiple_choice

# Every scenario is used once; {a}, {b} and {c} are numbers.
SUM_STORIES = (
    "Tom has {a} apples and gets {b} more. How many apples does he have now?",
    "A bus carries {a} people. At the next stop {b} people get on. How many are on it now?",
    "Mia read {a} pages in the morning and {b} pages at night. How many pages did she read?",
    "There are {a} red cups and {b} blue cups on the shelf. How many cups are there?",
    "A hen laid {a} eggs last week and {b} eggs this week. How many eggs did she lay?",
)
PRODUCT_STORIES = (
    "There are {a} boxes with {b} pens in each. How many pens are there?",
    "Ben swims {b} lengths a day for {a} days. How many lengths does he swim?",
    "A hall has {a} rows of {b} chairs. How many chairs are in the hall?",
    "Each ticket costs {b} dollars. How much do {a} tickets cost?",
    "Lucy plants {a} beds with {b} tulips in each. How many tulips does she plant?",
)
DIFFERENCE_STORIES = (
    "Sam has {a} coins and gives away {b}. How many coins are left?",
    "There were {a} birds on a roof and {b} flew off. How many birds stayed?",
    "A baker made {a} rolls and sold {b}. How many rolls remain?",
    "Anna had {a} balloons, but {b} of them burst. How many does she still have?",
    "A film lasts {a} minutes and {b} minutes are over. How many minutes are left?",
)
TWO_STEP_STORIES = (
    "Leo buys {a} bags of {b} oranges and eats {c} of them. How many oranges are left?",
    "A class has {a} tables with {b} pupils each; {c} pupils are ill. How many are present?",
    "Nora fills {a} trays with {b} cakes each and drops {c}. How many cakes remain?",
    "A team wins {a} games at {b} points each and loses {c} points. What is its score?",
)


def near(rng: random.Random, right: int, spread: int) -> list[int]:
    """Three wrong results: within `spread` of the right one, with as many digits."""
    options = [
        value
        for value in range(max(1, right - spread), right + spread + 1)
        if value != right and len(str(value)) == len(str(right))
    ]
    return rng.sample(options, 3)


def question(
    rng: random.Random, kind: str, text: str, answer: str, right: int, spread: int
) -> Question:
    """`answer` is the sentence with {n} for the result."""
    wrong = tuple(answer.format(n=value) for value in near(rng, right, spread))
    return Question(text, answer.format(n=right), wrong, template=kind)


def small_sum(rng: random.Random) -> Question:
    a, b = rng.randint(4, 9), rng.randint(6, 9)
    return question(rng, "small_sum", f"What is {a} + {b}?", f"{a} + {b} = {{n}}", a + b, 3)


def large_sum(rng: random.Random) -> Question:
    a, b = rng.randint(11, 49), rng.randint(11, 49)
    return question(rng, "large_sum", f"What is {a} + {b}?", f"{a} + {b} = {{n}}", a + b, 9)


def huge_sum(rng: random.Random) -> Question:
    a, b = rng.randint(110, 499), rng.randint(110, 499)
    return question(rng, "huge_sum", f"Please add {a} and {b}.", f"{a} + {b} = {{n}}", a + b, 30)


def three_terms(rng: random.Random) -> Question:
    a, b, c = rng.randint(4, 9), rng.randint(3, 9), rng.randint(3, 9)
    terms = f"{a} + {b} + {c}"
    return question(rng, "three_terms", f"What is {terms}?", f"{terms} = {{n}}", a + b + c, 4)


def small_difference(rng: random.Random) -> Question:
    a, b = rng.randint(12, 19), rng.randint(2, 9)
    return question(
        rng, "small_difference", f"What is {a} minus {b}?", f"{a} - {b} = {{n}}", a - b, 4
    )


def large_difference(rng: random.Random) -> Question:
    a, b = rng.randint(51, 99), rng.randint(11, 39)
    return question(
        rng, "large_difference", f"What is {a} minus {b}?", f"{a} - {b} = {{n}}", a - b, 20
    )


def small_product(rng: random.Random) -> Question:
    a, b = rng.randint(3, 9), rng.randint(4, 9)
    return question(rng, "small_product", f"What is {a} times {b}?", f"{a} x {b} = {{n}}", a * b, 9)


def large_product(rng: random.Random) -> Question:
    a, b = rng.randint(11, 29), rng.randint(4, 9)
    return question(
        rng, "large_product", f"What is {a} times {b}?", f"{a} x {b} = {{n}}", a * b, 20
    )


def quotient(rng: random.Random) -> Question:
    a, b = rng.randint(3, 9), rng.randint(3, 9)
    return question(
        rng, "quotient", f"What is {a * b} divided by {b}?", f"{a * b} / {b} = {{n}}", a, 4
    )


def half(rng: random.Random) -> Question:
    a = rng.choice([6, 7, 8, 9, 15, 20, 25, 30, 40, 50, 100])
    return question(rng, "half", f"What is half of {2 * a}?", f"Half of {2 * a} is {{n}}.", a, 8)


def double(rng: random.Random) -> Question:
    a = rng.choice([6, 7, 8, 9, 12, 15, 20, 25, 30, 40])
    return question(rng, "double", f"What is double {a}?", f"Double {a} is {{n}}.", 2 * a, 5)


def percentage(rng: random.Random) -> Question:
    percent, whole = rng.choice([10, 20, 25, 50]), 20 * rng.randint(2, 15)
    right = percent * whole // 100
    text = f"What is {percent}% of {whole}?"
    return question(rng, "percentage", text, f"{percent}% of {whole} is {{n}}.", right, 9)


def sequence(rng: random.Random) -> Question:
    start, step = rng.randint(2, 20), rng.choice([1, 2, 3, 4, 5, 10])
    shown = ", ".join(str(start + step * turn) for turn in range(4))
    return question(
        rng, "sequence", f"Continue the sequence: {shown}", f"{shown}, {{n}}", start + step * 4, 6
    )


def sum_story(rng: random.Random) -> Question:
    a, b = rng.randint(4, 9), rng.randint(3, 9)
    text = rng.choice(SUM_STORIES)
    return question(rng, "sum_story", text.format(a=a, b=b), f"{a} + {b} = {{n}}", a + b, 3)


def product_story(rng: random.Random) -> Question:
    a, b = rng.randint(3, 6), rng.randint(4, 9)
    text = rng.choice(PRODUCT_STORIES)
    return question(rng, "product_story", text.format(a=a, b=b), f"{a} x {b} = {{n}}", a * b, 6)


def difference_story(rng: random.Random) -> Question:
    left, b = rng.randint(3, 9), rng.randint(3, 9)
    text = rng.choice(DIFFERENCE_STORIES).format(a=left + b, b=b)
    return question(rng, "difference_story", text, f"{left + b} - {b} = {{n}}", left, 3)


def two_step_story(rng: random.Random) -> Question:
    a, b, c = rng.randint(3, 6), rng.randint(4, 9), rng.randint(2, 5)
    text = rng.choice(TWO_STEP_STORIES).format(a=a, b=b, c=c)
    return question(rng, "two_step_story", text, f"{a} x {b} - {c} = {{n}}", a * b - c, 6)


KINDS: dict[Difficulty, tuple[tuple[Callable[[random.Random], Question], int], ...]] = {
    "easy": (
        (sum_story, 5),
        (product_story, 5),
        (small_product, 4),
        (small_sum, 4),
        (half, 2),
        (double, 2),
    ),
    "medium": (
        (large_sum, 5),
        (huge_sum, 4),
        (quotient, 5),
        (sequence, 4),
        (percentage, 4),
    ),
    "hard": (
        (large_difference, 5),
        (small_difference, 6),
        (large_product, 6),
        (difference_story, 2),
        (two_step_story, 2),
        (three_terms, 1),
    ),
}
STORIES = SUM_STORIES + PRODUCT_STORIES + DIFFERENCE_STORIES + TWO_STEP_STORIES


def story_of(question: Question) -> str | None:
    """The beginning that tells which scenario a word problem uses."""
    for story in STORIES:
        pieces = story.replace("{b}", "{a}").replace("{c}", "{a}").split("{a}")
        if all(piece in question.input for piece in pieces):
            return story
    return None


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples; no sum is asked twice and no story is told twice."""
    questions: dict[Difficulty, list[Question]] = {"easy": [], "medium": [], "hard": []}
    taken: set[str] = set()
    for difficulty, kinds in KINDS.items():
        for kind, count in kinds:
            made = 0
            while made < count:
                asked = kind(rng)
                marks = {asked.right, story_of(asked) or asked.input}
                if marks & taken:
                    continue
                taken |= marks
                questions[difficulty].append(asked)
                made += 1
    return multiple_choice(rng, "arithmetic", questions)
