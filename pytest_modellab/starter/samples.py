"""The twelve samples that are written where nobody hands in any.

SmolLM2-135M-Instruct answers them all, in 4 bits (nf4) too, and hardly one when told to answer in
French.
"""

from __future__ import annotations

from typing import Any

from pytest_modellab.starter.tasks import questions

_MOST_TOKENS = 24


_ASKED = {
    "knowledge": (
        ("What is the capital of England?", "London"),
        ("What is the capital of Japan?", "Tokyo"),
        ("What is the largest ocean on Earth?", "Pacific"),
        ("What is the capital of France?", "Paris"),
    ),
    "language": (
        ("What is the opposite of up?", "down"),
        ("What is the opposite of big?", "small"),
        ("What is the opposite of day?", "night"),
        ("What is the plural of child?", "children"),
    ),
    "reading": (
        ("The meeting is on Tuesday at three. On which day is the meeting?", "Tuesday"),
        ("The soup costs five euros. How much does the soup cost?", "five"),
        ("Maria plays the violin. What does Maria play?", "violin"),
        ("The exam is in the library. Where is the exam?", "library"),
    ),
}


def twelve() -> list[dict[str, Any]]:
    """Return the samples, as lines of ``samples.jsonl`` hold them."""
    return [
        {
            "id": f"{capability}-{number}",
            "capability": capability,
            "difficulty": "easy",
            "input": asked,
            "target": rf"(?i)\b{word}\b",
            "scorer": "regex",
            "max_tokens": _MOST_TOKENS,
        }
        for capability, rows in _ASKED.items()
        for number, (asked, word) in enumerate(rows, start=1)
    ]


STARTER = questions("starter", "Twelve questions to replace by your own.", twelve())
