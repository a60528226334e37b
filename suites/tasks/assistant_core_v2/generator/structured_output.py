"""Structured output: small JSON objects with the values that the request gives.

Most samples are generated greedily; the first JSON object of the reply must validate against a
schema that requires the keys and fixes the values (chance 0). Four in every bucket are multiple
choice: which of four texts is the valid JSON or CSV that was asked for (chance 0.25).

Calibrated on SmolLM2-135M-Instruct, which writes objects well and arrays not at all: asked for a
bare array, or shown examples to continue, it never succeeded, so arrays appear only as a value and
only in the hard bucket. It does best when the request names the keys (0.8); pairs to convert, a
single key and three keys succeed less often (0.2 to 0.4), changes to a given object hardly ever.
The multiple-choice samples are nearly all right, and keep a model measurable that no longer stops
at the closing brace. Difficulty: easy is two values, mostly with named keys; medium is three
values, an object in an object, true or false, one key alone, or one of several labels; hard is a
list, decimals, renamed or computed values, a choice of keys, or a form to fill in.
The buckets measure 0.73, 0.45 and 0.32.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from .common import DIFFICULTIES, Difficulty, Sample, make, positions


class Task(NamedTuple):
    """A request and the object that answers it."""

    kind: str
    input: str
    answer: dict[str, object]
    max_tokens: int = 30
    only: bool = False  # no other keys


class Pick(NamedTuple):
    """A request and four texts, the right one first."""

    input: str
    choices: tuple[str, str, str, str]


TASKS: dict[Difficulty, tuple[Task, ...]] = {
    "easy": (
        Task("pairs", "Turn this into JSON: name = Anna, age = 30", {"name": "Anna", "age": 30}),
        Task("pairs", "Turn this into JSON: item = pen, price = 2", {"item": "pen", "price": 2}),
        Task(
            "pairs", "Turn this into JSON: city = Rome, year = 1960", {"city": "Rome", "year": 1960}
        ),
        Task("pairs", "Make JSON from this: day: Monday, hour: 9", {"day": "Monday", "hour": 9}),
        Task(
            "sentence",
            'Ben lives in Oslo. Give this as JSON with the keys "name" and "city".',
            {"name": "Ben", "city": "Oslo"},
        ),
        Task(
            "sentence",
            'The dog Rex is 4 years old. Reply with JSON, keys "name" and "age".',
            {"name": "Rex", "age": 4},
        ),
        Task(
            "sentence",
            'A cake costs 12 dollars. Give this as JSON with the keys "item" and "price".',
            {"item": "cake", "price": 12},
        ),
        Task(
            "sentence",
            'Mia plays the violin. Answer in JSON with the keys "player" and "instrument".',
            {"player": "Mia", "instrument": "violin"},
        ),
        Task(
            "sentence",
            'Emma was written by Austen. Give this as JSON with the keys "title" and "author".',
            {"title": "Emma", "author": "Austen"},
        ),
        Task(
            "sentence",
            'Berlin is in Germany. Give this as JSON with the keys "city" and "country".',
            {"city": "Berlin", "country": "Germany"},
        ),
        Task(
            "keys",
            'Reply with a JSON object with the keys "name" and "age" for Sara, who is 61.',
            {"name": "Sara", "age": 61},
        ),
        Task(
            "keys",
            'Write a JSON object with the key "animal" set to "cat" and the key "legs" set to 4.',
            {"animal": "cat", "legs": 4},
        ),
        Task(
            "keys",
            'Write a JSON object with the key "status" set to "open" and the key "code" set to 7.',
            {"status": "open", "code": 7},
        ),
        Task(
            "keys",
            'Write a JSON object with the key "team" set to "blue" and the key "points" set to 15.',
            {"team": "blue", "points": 15},
        ),
        Task(
            "keys",
            'I need a JSON object with the key "drink" set to "tea" and the key "cups" set to 3.',
            {"drink": "tea", "cups": 3},
        ),
        Task(
            "keys",
            'Create a JSON object with "width" set to 40 and "height" set to 25.',
            {"width": 40, "height": 25},
        ),
        Task(
            "keys",
            'Write a JSON object with the keys "first" and "last" for Tom Hill.',
            {"first": "Tom", "last": "Hill"},
        ),
        Task(
            "keys",
            'Write a JSON object with the key "id" set to 25 and the key "type" set to "bird".',
            {"id": 25, "type": "bird"},
        ),
    ),
    "medium": (
        Task(
            "three",
            'Leo is 8 and lives in Cairo. Give this as JSON with the keys "name", "age" and '
            '"city".',
            {"name": "Leo", "age": 8, "city": "Cairo"},
            36,
        ),
        Task(
            "three",
            "Turn this into JSON: model = Swift, year = 1999, colour = green",
            {"model": "Swift", "year": 1999, "colour": "green"},
            38,
        ),
        Task(
            "three",
            "A flight goes from Lima to Quito and takes 2 hours. Give this as JSON with the keys "
            '"from", "to" and "hours".',
            {"from": "Lima", "to": "Quito", "hours": 2},
            36,
        ),
        Task(
            "three",
            'Write a JSON object with "planet" set to "Mars", "moons" set to 2 and "rings" set to '
            "0.",
            {"planet": "Mars", "moons": 2, "rings": 0},
            36,
        ),
        Task(
            "three",
            'Write JSON with the keys "customer", "pizzas" and "day": Nina ordered 3 pizzas on '
            "Friday.",
            {"customer": "Nina", "pizzas": 3, "day": "Friday"},
            38,
        ),
        Task(
            "three",
            "Turn this into JSON: x = 4, y = 7, z = 9",
            {"x": 4, "y": 7, "z": 9},
            34,
        ),
        Task(
            "nested",
            'Write a JSON object with the key "user" holding an object with "name" set to "Mia".',
            {"user": {"name": "Mia"}},
        ),
        Task(
            "nested",
            'Write a JSON object with the key "box" holding an object with "width" set to 20.',
            {"box": {"width": 20}},
        ),
        Task(
            "nested",
            'Write a JSON object with the key "shop" whose value is an object with "town" set to '
            '"Bath".',
            {"shop": {"town": "Bath"}},
        ),
        Task(
            "flag",
            'Write a JSON object with the key "name" set to "Omar" and "member" set to true.',
            {"name": "Omar", "member": True},
        ),
        Task(
            "flag",
            'Write a JSON object with the key "door" set to "north" and "locked" set to false.',
            {"door": "north", "locked": False},
        ),
        Task(
            "flag",
            'Write a JSON object with the key "email" set to true and the key "sms" set to false.',
            {"email": True, "sms": False},
        ),
        Task(
            "flag",
            'Write JSON with "file" set to "plan.txt", "size" set to 80 and "saved" set to true.',
            {"file": "plan.txt", "size": 80, "saved": True},
            38,
        ),
        Task(
            "label",
            'Text: "I love this phone." Reply with JSON {"label": "positive"} or '
            '{"label": "negative"}.',
            {"label": "positive"},
            16,
        ),
        Task(
            "label",
            'A rose: reply with JSON {"kind": "animal"} or {"kind": "plant"}.',
            {"kind": "plant"},
            16,
        ),
        Task(
            "one",
            'Write a JSON object with the key "river" and the value "Nile", and nothing else.',
            {"river": "Nile"},
            20,
        ),
        Task(
            "one",
            'Write a JSON object with one key, "answer", set to "maybe".',
            {"answer": "maybe"},
            20,
        ),
        Task("one", 'JSON with one key "month", value "May".', {"month": "May"}, 20),
    ),
    "hard": (
        Task(
            "list",
            'Write a JSON object with the key "colours" holding a list of "red" and "blue".',
            {"colours": ["red", "blue"]},
            36,
        ),
        Task(
            "list",
            'Write a JSON object with the key "numbers" set to the list 1, 2, 3.',
            {"numbers": [1, 2, 3]},
            36,
        ),
        Task(
            "list",
            'Pets: cat, dog. Write this as JSON with the key "pets" and a list of strings.',
            {"pets": ["cat", "dog"]},
            36,
        ),
        Task(
            "decimal",
            'Milk costs 1.25 and bread costs 2.4. Give JSON with the keys "milk" and "bread".',
            {"milk": 1.25, "bread": 2.4},
            34,
        ),
        Task(
            "decimal",
            'Write JSON with "lat" set to 51.5 and "lon" set to -0.1.',
            {"lat": 51.5, "lon": -0.1},
            34,
        ),
        Task(
            "only",
            'Eva, 27, is a nurse in Perth. Write JSON with the keys "name" and "job" only.',
            {"name": "Eva", "job": "nurse"},
            36,
            only=True,
        ),
        Task(
            "only",
            'Order 88: two lamps, paid. Write JSON with the keys "order" and "paid" only.',
            {"order": 88, "paid": True},
            36,
            only=True,
        ),
        Task(
            "only",
            'The museum opens at 10 and closes at 18. JSON with the key "closes" only.',
            {"closes": 18},
            24,
            only=True,
        ),
        Task(
            "renamed",
            'Rename the key "nm" to "name" in this JSON: {"nm": "Ida", "age": 33}',
            {"name": "Ida", "age": 33},
            30,
            only=True,
        ),
        Task(
            "changed",
            'Change the age to 51 in this JSON: {"name": "Karl", "age": 50}',
            {"name": "Karl", "age": 51},
            30,
        ),
        Task(
            "changed",
            'Add the key "year" with the value 2020 to this JSON: {"film": "Tides"}',
            {"film": "Tides", "year": 2020},
            30,
        ),
        Task(
            "changed",
            'Remove the key "b" from this JSON: {"a": 1, "b": 2}',
            {"a": 1},
            20,
            only=True,
        ),
        Task(
            "form",
            'Fill in this JSON for Paul from Lyon: {"name": "", "city": ""}',
            {"name": "Paul", "city": "Lyon"},
        ),
        Task(
            "form",
            'Fill in this JSON for a blue car with 5 doors: {"colour": "", "doors": 0}',
            {"colour": "blue", "doors": 5},
        ),
        Task(
            "null",
            'Write JSON with "name" set to "Zoe" and "phone" set to null.',
            {"name": "Zoe", "phone": None},
        ),
        Task(
            "deep",
            'Write JSON: "team" holds an object with "name" set to "Owls" and "size" set to 9.',
            {"team": {"name": "Owls", "size": 9}},
            36,
        ),
        Task(
            "four",
            "Turn this into JSON: a = 1, b = 2, c = 3, d = 4",
            {"a": 1, "b": 2, "c": 3, "d": 4},
            40,
        ),
        Task(
            "computed",
            'Kim has 2 cats and 3 dogs. JSON with the keys "cats", "dogs" and "total".',
            {"cats": 2, "dogs": 3, "total": 5},
            36,
        ),
    ),
}

PICKS: dict[Difficulty, tuple[Pick, ...]] = {
    "easy": (
        Pick(
            "Write a JSON object for a car with four wheels.",
            ('{"wheels": 4}', "wheels are 4", "(wheels) (4)", "<wheels 4 />"),
        ),
        Pick(
            "Give the name Rosa as a JSON object.",
            ('{"name": "Rosa"}', "name is Rosa, ok", "/name/Rosa/name/", "[name] -> [Rosa]"),
        ),
        Pick(
            "Write a CSV line with the values 4, 5 and 6.",
            ("4,5,6", "4/5/6", "4#5#6", "4_5_6"),
        ),
        Pick(
            "Write the temperature 21 in JSON.",
            (
                '{"temperature": 21}',
                "temperature => 21;",
                "<temperature 21 />",
                "(temperature) 21 !",
            ),
        ),
    ),
    "medium": (
        Pick(
            "Write JSON in which the key x has the value 1.",
            ('{"x": 1}', '{"x": 1', '["x": 1]', '("x": 1)'),
        ),
        Pick(
            "Write the list of 7 and 8 as a JSON array.",
            ("[7, 8]", "{7, 8}", "(7, 8)", "<7, 8>"),
        ),
        Pick(
            "Write JSON that says that the user is active.",
            ('{"active": true}', '{"active": yes}', '{"active"- true}', '{"active" true}'),
        ),
        Pick(
            "Write a CSV header for the columns name, age and city.",
            ("name,age,city", "name;age,city", "name age city", "{name,age,city}"),
        ),
    ),
    "hard": (
        Pick(
            'Write an empty JSON object for the key "data".',
            ('{"data": {}}', '{"data": ()}', '{"data": {}', '{"data": }}'),
        ),
        Pick(
            'Write JSON with the key "tags" and an array of "a" and "b".',
            (
                '{"tags": ["a", "b"]}',
                '{"tags": {"a", "b"}}',
                '{"tags": ["a" "b"]}',
                '{"tags": ["a", "b"}',
            ),
        ),
        Pick(
            "Write JSON with the numbers one and two under the keys p and q.",
            ('{"p": 1, "q": 2}', '{"p": 1; "q": 2}', '{"p", 1: "q", 2}', '{"p": 1 "q": 2}'),
        ),
        Pick(
            'Write a CSV line with two fields: the text "Hill, Tom" and the number 9.',
            ('"Hill, Tom",9', "Hill, Tom,9", '"Hill, Tom,9"', '"Hill", Tom,9'),
        ),
    ),
}


def schema(answer: dict[str, object], only: bool) -> dict[str, object]:
    """A JSON schema that this object satisfies and an object with other values does not."""
    properties = {
        key: schema(value, only) if isinstance(value, dict) else {"const": value}
        for key, value in answer.items()
    }
    result: dict[str, object] = {
        "type": "object",
        "required": list(answer),
        "properties": properties,
    }
    if only:
        result["additionalProperties"] = False
    return result


def samples(rng: random.Random) -> list[Sample]:
    """The 66 samples: in every bucket 18 generated ones, then 4 of multiple choice."""
    picks = [pick for difficulty in DIFFICULTIES for pick in PICKS[difficulty]]
    places = dict(zip(picks, positions(rng, [len(pick.choices) for pick in picks]), strict=True))
    made: list[Sample] = []
    for difficulty in DIFFICULTIES:
        for number, task in enumerate(TASKS[difficulty], 1):
            made.append(
                make(
                    "structured_output",
                    difficulty,
                    number,
                    task.input,
                    "json_schema",
                    schema(task.answer, task.only),
                    max_tokens=task.max_tokens,
                    metadata={"template": task.kind},
                )
            )
        for number, pick in enumerate(PICKS[difficulty], len(TASKS[difficulty]) + 1):
            right, *choices = pick.choices
            rng.shuffle(choices)
            choices.insert(places[pick], right)
            made.append(
                make(
                    "structured_output",
                    difficulty,
                    number,
                    pick.input,
                    "choice",
                    places[pick],
                    choices=choices,
                    metadata={"template": "pick"},
                )
            )
    return made
