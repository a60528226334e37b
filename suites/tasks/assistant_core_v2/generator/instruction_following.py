"""Instruction following: does the reply have the form that the request asks for.

Every sample is generated greedily and judged by a regular expression; chance is 0. Only the form
counts, never whether the content is good. Generation stops after the few tokens that the form
needs.

Calibrated on SmolLM2-135M-Instruct, which follows few instructions about form. Tried and left out,
because it hardly ever follows them: capitals, a single word, a number alone, quotes, brackets,
bullets, counting, spelling, an end with a given word. What it does follow makes the kinds here: a
given beginning, given words, a numbered list of given length, repeating, a named function, a letter
to a person, yes or no, a question. Difficulty: easy kinds ask for one plain beginning, list or
phrase, medium kinds for a longer copy, several words or a whole question, hard kinds for several
demands at once, for the bare answer or for an unusual beginning. The buckets measure 0.91, 0.68
and 0.32.
"""

from __future__ import annotations

import random

from .common import Difficulty, Sample, make

# (kind, request, pattern, limit on generated tokens)
Row = tuple[str, str, str, int]


def begins(kind: str, request: str, words: str, limit: int = 6) -> Row:
    """The reply must begin with these words."""
    return kind, request, rf"(?i)^\W*{words}\b", limit


def contains(request: str, *words: str) -> Row:
    """The reply must have all these words, in any order."""
    ahead = "".join(rf"(?=.*\b{word})" for word in words)
    return f"words_{len(words)}", request, rf"(?is)^{ahead}", 24


def numbered(request: str, length: int) -> Row:
    """The reply must be a numbered list of this length and nothing else."""
    lines = "".join(rf"\n{number}\. [^\n]+" for number in range(2, length + 1))
    return "numbered", request, rf"^1\. [^\n]+{lines}\s*$", 24


def repeats(request: str, text: str, limit: int = 16) -> Row:
    """The reply must be this text and nothing else."""
    return "repeat", request, rf"(?i)^\W*{text}\W*$", limit


def asks(request: str, beginning: str = "") -> Row:
    """The reply must be a single question, with this beginning if one is given."""
    return "question", request, rf"(?i)^\W*{beginning}[^?.!\n]+\?\W*$", 24


YES_NO = r"(yes|no)"
EASY: tuple[Row, ...] = (
    begins("beginning", 'What is a garden? Begin with "A garden is".', "a garden is"),
    begins("beginning", 'Why do people sleep? Begin with "People sleep".', "people sleep"),
    begins("beginning", "Write a sentence about winter. Begin with I.", "I"),
    begins("letter", "Write a short letter to Anna.", "dear anna", 8),
    begins("letter", 'Thank Omar for his help in a letter. Begin with "Dear Omar".', "dear omar"),
    begins("letter", "Invite Lucy to a party by letter.", "dear lucy", 8),
    begins("yes_no", "Can birds fly? Begin your answer with yes or no.", YES_NO, 4),
    begins("yes_no", "Is milk black? Answer yes or no first, then explain.", YES_NO, 4),
    begins("yes_no", "Do dogs have wings? Start with yes or no.", YES_NO, 4),
    numbered("Write a numbered list of 3 animals.", 3),
    numbered("Give me two fruits as a numbered list.", 2),
    numbered("List four colours. Number them.", 4),
    repeats("Repeat after me: I like the teacher.", "I like the teacher"),
    repeats("Repeat after me: We walk to school.", "we walk to school"),
    repeats("Repeat after me: The soup is hot.", "the soup is hot"),
    ("function", "Write a Python function called bridge.", r"def bridge\(", 12),
    ("function", "Define a Python function with the name total.", r"def total\(", 12),
    contains("Write a short sentence with the word river.", "river"),
    contains("Write one short sentence with the words pencil and desk.", "pencil", "desk"),
    contains("Make a sentence that has both bread and butter in it.", "bread", "butter"),
    asks("Write a question about a teacher. Begin with the word Why.", "why"),
    asks("Write a short question that starts with Where.", "where"),
)
MEDIUM: tuple[Row, ...] = (
    begins("beginning", 'What is the capital of France? Begin with "I think".', "I think"),
    begins("beginning", 'What do cows eat? Begin your answer with "I believe".', "I believe"),
    begins("beginning", 'Tell me a story. Begin with "Long ago".', "long ago"),
    begins("beginning", 'Describe the sea. Start with the words "The blue sea".', "the blue sea"),
    begins("letter", "Write a postcard to Ben from the beach.", "dear ben", 8),
    begins("true_false", "Snow is cold: true or false?", "(true|false)", 4),
    begins("true_false", "Answer true or false: fish can drive cars.", "(true|false)", 4),
    ("yes_no_only", "Can a stone swim? Answer in one word: yes or no.", r"(?i)^\W*(yes|no)\W*$", 6),
    numbered("Write the steps to boil an egg: a numbered list of 2 short steps.", 2),
    numbered("Name five vegetables in a numbered list.", 5),
    repeats("Copy this sentence: The bridge is near the boat.", "the bridge is near the boat"),
    repeats("Copy this sentence: My brother sells old clocks.", "my brother sells old clocks"),
    repeats("Repeat after me: Three green frogs sat on a log.", "three green frogs sat on a log"),
    repeats("Say this back to me: The train leaves at nine.", "the train leaves at nine"),
    ("function", "Write a Python function area(w, h).", r"def area\(w, ?h\):", 14),
    ("function", "Write a Python class called Robot.", r"class Robot\b", 10),
    contains("Use the words moon, boat and song in one sentence.", "moon", "boat", "song"),
    contains("Write one sentence with dog, park and ball.", "dog", "park", "ball"),
    asks("Write a short question about a pencil."),
    asks("Ask me one question about my family."),
    ("sentence", "Describe a spoon in one short sentence.", r"^[^.!?\n]+[.!?]\W*$", 24),
    contains("Write a sentence about a farmer, a cow and milk.", "farmer", "cow", "milk"),
)
HARD: tuple[Row, ...] = (
    begins("beginning", "What colour is grass? Begin your answer with the word Sure.", "sure"),
    begins("beginning", "Where do fish live? Begin your answer with the word Well.", "well"),
    begins("beginning", "Is tea a drink? Begin your answer with the word Indeed.", "indeed"),
    begins("beginning", "Name a cold country. Let the first word be Perhaps.", "perhaps"),
    begins("greeting", "Greet Lucy by her name.", r"(hello|hi|dear|good \w+),? (there,? )?lucy", 8),
    (
        "function",
        "Write a Python function called add that takes first and second.",
        r"def add\(first, ?second\):",
        16,
    ),
    ("yes_no_only", "Is ice warm? Answer only yes or no.", r"(?i)^\W*(yes|no)\W*$", 6),
    ("yes_no_only", "Reply with yes or no: do cats bark?", r"(?i)^\W*(yes|no)\W*$", 6),
    ("commas", "Name three colours, separated by commas.", r"^[^,\n]+, *[^,\n]+, *[^,\n]+$", 20),
    ("commas", "Write this as a CSV line: bridge, boat, Mia", r"(?im)^bridge, ?boat, ?mia$", 18),
    repeats("Write this sentence twice: Cats sleep.", r"cats sleep\W+cats sleep"),
    repeats("Repeat after me: red, nine, lamp, Oslo.", "red, nine, lamp, oslo"),
    repeats(
        "Copy exactly: The old key opens the small blue door.",
        "the old key opens the small blue door",
    ),
    repeats("Repeat these words: paper, spoon, cloud.", "paper, spoon,( and)? cloud"),
    contains(
        "Use the words king, rain, apple and door in one sentence.", "king", "rain", "apple", "door"
    ),
    contains("Write a sentence with the words violin, tax and goat.", "violin", "tax", "goat"),
    (
        "sentence",
        "Write a sentence about snow that has the word quiet and ends with a full stop.",
        r"(?i)^[^.!?\n]*\bquiet\b[^.!?\n]*\.\W*$",
        24,
    ),
    ("sentence", "Describe a bridge in one sentence.", r"^[^.!?\n]+[.!?]\W*$", 24),
    asks("Ask a question with the words lemon and cake.", "(?=.*lemon)(?=.*cake)"),
    asks("Write a question about a lemon. Begin with the word How.", "how(?=.*lemon)"),
    (
        "numbered_words",
        "Write a numbered list of three colours that begins with pink.",
        r"(?i)^1\. pink\W*\n2\. [^\n]+\n3\. [^\n]+\s*$",
        20,
    ),
    (
        "numbered_words",
        "Put these in a numbered list: tea, milk.",
        r"(?i)^1\. tea\W*\n2\. milk\W*$",
        14,
    ),
)
ROWS: dict[Difficulty, tuple[Row, ...]] = {"easy": EASY, "medium": MEDIUM, "hard": HARD}


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples."""
    del rng  # the requests are written out above, and there are no choices to shuffle
    return [
        make(
            "instruction_following",
            difficulty,
            number,
            request,
            "regex",
            pattern,
            max_tokens=limit,
            metadata={"template": kind},
        )
        for difficulty, rows in ROWS.items()
        for number, (kind, request, pattern, limit) in enumerate(rows, 1)
    ]
