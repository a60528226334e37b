"""Format: does the reply keep the form that the request asks for.

Replies are generated greedily and judged by a regular expression, by exact match or by a JSON
schema; only the form counts. Easy: a numbered list of a given length. Medium: bullets, one word,
commas. Hard: a given last line, capitals, JSON, a sentence in quotes, several demands at once. The
preferences ask for the same forms with other contents; the rejected reply has the right content in
another form.
"""

from __future__ import annotations

import json
import random
from typing import Literal, NamedTuple

from .common import DIFFICULTIES, Difficulty, Pair, Sample, Target, dealt, generated

CAPABILITY = "format"


class Row(NamedTuple):
    """A probe as it is written down."""

    kind: str
    request: str
    target: Target
    max_tokens: int
    scorer: Literal["regex", "exact", "json_schema"] = "regex"


def numbered(request: str, length: int, limit: int = 32) -> Row:
    """The reply must be a numbered list of this length and nothing else."""
    lines = "".join(rf"\n{number}\. [^\n]+" for number in range(2, length + 1))
    return Row("numbered", request, rf"^1\. [^\n]+{lines}\s*$", limit)


def bullets(request: str, length: int) -> Row:
    """The reply must be a list of this many hyphens and nothing else."""
    return Row("bullets", request, rf"^- [^\n]+(\n- [^\n]+){{{length - 1}}}\s*$", 32)


def one_word(request: str) -> Row:
    """The reply must be a single word."""
    return Row("one_word", request, r"^[\w'-]+\.?$", 8)


def commas(request: str, length: int) -> Row:
    """The reply must be this many short items, separated by commas, on one line."""
    return Row("commas", request, rf"^[^,\n]{{1,24}}(, [^,\n]{{1,24}}){{{length - 1}}}$", 24)


def ends(request: str, line: str) -> Row:
    """The reply must end with this line, after something else."""
    return Row("ends", request, rf"\S\s*\n+{line}$", 40)


def capitals(request: str) -> Row:
    """The reply must have capital letters only."""
    return Row("capitals", request, r"^(?=.*[A-Z])[^a-z]+$", 24)


def has_keys(request: str, **properties: str) -> Row:
    """The reply must be a JSON object with these keys of these types."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {key: {"type": kind} for key, kind in properties.items()},
        "required": list(properties),
    }
    return Row("json", request, schema, 32, "json_schema")


def exactly(request: str, words: str) -> Row:
    """The reply must be these words."""
    return Row("exact", request, words, 16, "exact")


ROWS: dict[Difficulty, tuple[Row, ...]] = {
    "easy": (
        numbered("Name 3 drinks as a numbered list.", 3),
        numbered("Give me a numbered list of exactly 2 toys.", 2),
        numbered("Write a numbered list of exactly 3 flowers.", 3),
        numbered("List 4 kinds of weather. Number them.", 4),
        numbered("Give me 3 names for a dog as a numbered list.", 3),
        numbered("Write a numbered list of 2 shapes.", 2),
        numbered("Name 4 languages in a numbered list.", 4),
        numbered("List exactly 3 kitchen items. Number them.", 3),
        bullets("List 3 birds. Use a hyphen for each.", 3),
        bullets("Give me a bullet list of 2 hot drinks, each line with a hyphen.", 2),
        bullets("Name 3 jobs as a list with hyphens.", 3),
        bullets("Write a bullet list of 2 rivers. Begin each line with a hyphen.", 2),
        one_word("What do cows drink? Answer in one word."),
        one_word("Which country has the Eiffel Tower? One word only."),
        one_word("What colour is coal? Answer with a single word."),
        one_word("Name a fruit. One word only."),
        commas("Name three trees, separated by commas.", 3),
        commas("Give me two sweet foods, separated by a comma.", 2),
        exactly("Reply with the word done and nothing else.", "done"),
        exactly("Say only: good night.", "good night"),
    ),
    "medium": (
        numbered("What do I do before a trip? A numbered list of exactly 3 short steps.", 3, 48),
        numbered("How do I clean a cup? Write 2 short numbered steps.", 2, 40),
        numbered("Give exactly 5 parts of the body as a numbered list.", 5, 40),
        numbered("I need 3 ideas for dinner. Number them, few words each.", 3, 48),
        bullets("What do I need for a picnic? A bullet list of 3 items with hyphens.", 3),
        bullets("Give me 4 adjectives as a list with hyphens.", 4),
        bullets("List 3 things that are round, each line with a hyphen.", 3),
        bullets("Which 2 sports need a net? Answer as a list with hyphens.", 2),
        one_word("How does a lemon taste? Answer in one word."),
        one_word("Is the Earth round? One word only."),
        one_word("Who lays eggs, a hen or a cow? Answer with a single word."),
        one_word("What is the first name of Mr. Einstein? One word only."),
        commas("Name four cities in one line, separated by commas.", 4),
        commas("Give three words that rhyme with cat, separated by commas.", 3),
        commas("List three gifts in one line, separated by commas.", 3),
        ends("What is rain? End with the line: Stay dry.", r"Stay dry\.?"),
        ends("Describe a cat in one sentence. End with the line: Meow.", r"Meow\.?"),
        capitals("Say hello in capital letters only."),
        capitals("Write the name of a country in capital letters only."),
        exactly("Reply with these two words only: blue moon", "blue moon"),
    ),
    "hard": (
        numbered("Is tea better than coffee? A numbered list of exactly 2 short reasons.", 2, 48),
        bullets("Compare cats and dogs in exactly 2 short lines with hyphens.", 2),
        bullets("Give 3 short tips for an interview as a list with hyphens, no intro.", 3),
        one_word("Sum up the sea in a single word."),
        one_word("What is 3 + 4? Answer in one word, no digits."),
        commas("Count from one to five in words, on one line, separated by commas.", 5),
        ends("Name a mountain. End with the line: That is all.", r"That is all\.?"),
        ends("Tell me what bread is made of. End with the line: Enjoy!", "Enjoy!"),
        ends("Say why we read. The last line must be: Thank you.", r"Thank you\.?"),
        ends("Write one sentence about trains. The last line must be: The end.", r"The end\.?"),
        capitals("Name the colour of snow in capital letters only."),
        capitals("Where is Berlin? Answer in capital letters only."),
        capitals("Write a short sentence about a lion in capital letters only."),
        has_keys('Give the name of a cat as JSON with the key "name".', name="string"),
        has_keys('Describe an apple as JSON with the key "colour".', colour="string"),
        has_keys(
            'Invent a man. Answer as JSON with the keys "name" and "age".',
            name="string",
            age="integer",
        ),
        has_keys('Is water wet? Answer as JSON with the key "answer".', answer="string"),
        Row("quotes", "Write one sentence about ice in double quotes.", r'^"[^"\n]+"\.?$', 24),
        Row(
            "letter",
            "Thank Eva. First line: Dear Eva, last line: Yours, Max",
            r"^Dear Eva,\s*\n(.|\n)*\nYours, Max\.?$",
            40,
        ),
        exactly("Reply with the number ten in digits and nothing else.", "10"),
    ),
}

# Preferences. Group -> members
GROUPS: dict[str, str] = {
    "insects": "ants|bees|flies|wasps|moths|beetles",
    "fruits from warm countries": "mangos|papayas|bananas|dates|figs|kiwis",
    "things in a school bag": "a ruler|a book|a pencil|an eraser|a notebook|a snack",
    "capitals in Europe": "Madrid|Oslo|Vienna|Rome|Warsaw|Athens",
    "kinds of cheese": "brie|feta|cheddar|gouda|edam|parmesan",
    "hobbies": "painting|hiking|chess|reading|dancing|baking",
    "clothes": "a shirt|a coat|a scarf|socks|a hat|gloves",
    "sea animals": "crabs|seals|whales|squid|cod|lobsters",
    "spices": "pepper|cumin|ginger|paprika|saffron|cinnamon",
    "kinds of furniture": "a bed|a table|a sofa|a shelf|a desk|a bench",
    "metals": "iron|copper|zinc|tin|silver|nickel",
    "ways to travel": "by train|by bus|by car|by boat|on foot|by bike",
    "famous painters": "Monet|Klimt|Dali|Goya|Munch|Rubens",
    "chores": "sweep the floor|wash up|dust|iron|do the laundry|cook",
    "things at the beach": "sand|shells|waves|towels|boats|gulls",
    "feelings": "joy|fear|anger|pride|envy|hope",
}
COUNTS = (2, 3, 4, 5)
FRAMES: dict[str, tuple[str, ...]] = {
    "numbered": (
        "Give a numbered list of exactly {count} {group}.",
        "Write down {count} {group}. Number them.",
        "I want {count} {group} as a numbered list.",
    ),
    "bullets": (
        "Give {count} {group} as a bullet list with hyphens.",
        "Write {count} {group}, one a line, each with a hyphen.",
        "I want {count} {group} as a list with hyphens.",
    ),
    "commas": (
        "Give {count} {group} on one line, separated by commas.",
        "Tell me {count} {group}, separated by commas.",
    ),
    "ends": (
        "Name {count} {group}. End with the line: {line}",
        "Tell me {count} {group}. The last line must be: {line}",
    ),
    "json": (
        'Give {count} {group} as JSON with the key "items".',
        'Answer as JSON with the key "list": {count} {group}.',
    ),
    "capitals": ("Name {count} {group} in capital letters only.",),
}
LINES = ("See you soon.", "Over and out.", "I hope this helps!", "Best wishes.", "Goodbye.")
# question, single word, the same as a sentence
WORDS = (
    ("What do sheep give us?", "Wool", "Sheep give us wool, which is used for clothes."),
    ("What is the colour of a ruby?", "Red", "The colour of a ruby is red."),
    ("Which country has the city of Naples?", "Italy", "The city of Naples lies in Italy."),
    ("How does honey taste?", "Sweet", "Honey has a very sweet taste."),
    ("Can a stone float?", "No", "No, a stone sinks in water."),
    ("Do fish breathe?", "Yes", "Yes, fish breathe with their gills."),
    ("Which animal has a trunk?", "Elephant", "It is the elephant that has a trunk."),
    ("What is the season of snow?", "Winter", "Snow mostly falls in winter."),
    ("Name a musical instrument.", "Guitar", "One musical instrument is the guitar."),
    ("What is the opposite of empty?", "Full", "The opposite of empty is full."),
    ("What falls from clouds?", "Rain", "Clouds bring rain, snow or hail."),
    ("Name a planet.", "Venus", "Sure! Venus is one of the planets."),
    ("What is the currency in Spain?", "Euro", "In Spain, people pay with the euro."),
    ("Who leads an orchestra?", "Conductor", "An orchestra is led by its conductor."),
    ("What do vegetarians not eat?", "Meat", "Vegetarians do not eat any meat."),
    ("How does silk feel?", "Smooth", "Silk feels smooth to the touch."),
    ("Name a colour of the rainbow.", "Violet", "One colour of the rainbow is violet."),
    ("What do you hear with?", "Ears", "We hear with our two ears."),
    ("Is fire cold?", "No", "No, fire is very hot."),
    ("Which metal are coins often made of?", "Copper", "Coins are often made of copper alloys."),
    ("What do you call a frozen river of ice?", "Glacier", "That is called a glacier."),
    ("Sum up a party.", "Fun", "A party is a lot of fun for everyone."),
    ("Which day follows Sunday?", "Monday", "The day after Sunday is Monday."),
    ("What is a doctor's place of work?", "Hospital", "A doctor often works in a hospital."),
)
WORD_FRAMES = ("{question} Answer in one word.", "{question} Use a single word.", "One word: {q}")
# request, the exact reply, a reply that says more
EXACT = (
    ("Say only: thank you.", "Thank you.", "Sure! I would like to say: thank you very much."),
    ("Reply with the word ready and nothing else.", "ready", "Okay, I am ready when you are!"),
    ("Write just the word stop.", "stop", "Here is the word you asked for: stop."),
    ("Reply with these two words only: green tea", "green tea", "Green tea is a popular drink."),
    ("Answer with the number six in digits, nothing else.", "6", "The number six is written 6."),
    ("Say only: well done.", "Well done.", "You did a good job, so well done, my friend!"),
    ("Just write: see you", "see you", "Of course! Here it is: see you. Anything else?"),
    ("Reply with okay and no other word.", "okay", "Okay, I understand what you mean."),
    ("Repeat only this word: window", "window", "A window is an opening in a wall."),
    ("Write the number twelve in digits only.", "12", "Twelve in digits is written as 12."),
    (
        "Write one sentence about wind in double quotes.",
        '"The wind moves the leaves."',
        "The wind moves the leaves.",
    ),
    (
        "Write a sentence about gold in double quotes.",
        '"Gold is heavy and bright."',
        "Gold is heavy and bright.",
    ),
    (
        "Put a short greeting in double quotes.",
        '"Hello and welcome!"',
        "Hello and welcome!",
    ),
    (
        "Thank Rosa. First line: Dear Rosa, last line: Yours, Tim",
        "Dear Rosa,\nThank you for the lovely cake.\nYours, Tim",
        "Thank you for the lovely cake, Rosa!",
    ),
    (
        "Invite Karl. First line: Dear Karl, last line: Yours, Ida",
        "Dear Karl,\nPlease come to my party on Sunday.\nYours, Ida",
        "Karl, please come to my party on Sunday.",
    ),
    (
        'Describe a lemon as JSON with the key "taste".',
        '{"taste": "sour"}',
        "A lemon tastes sour.",
    ),
    (
        'Make up a woman as JSON; the keys are "name" and "city".',
        '{"name": "Lena", "city": "Bonn"}',
        "Her name is Lena and she lives in Bonn.",
    ),
    (
        'Is ice warm? Answer as JSON with the key "answer".',
        '{"answer": "no"}',
        "No, ice is not warm.",
    ),
    (
        'Give the name of a horse as JSON with the key "name".',
        '{"name": "Storm"}',
        "A good name for a horse is Storm.",
    ),
    (
        'How old is a teenager? JSON with the key "age".',
        '{"age": 15}',
        "A teenager may be 15 years old.",
    ),
    ("Say good morning in capital letters only.", "GOOD MORNING", "Good morning to you!"),
    ("Name a big cat in capital letters only.", "TIGER", "The tiger is a big cat."),
    ("Where is Cairo? Use capital letters only.", "IN EGYPT", "Cairo is in Egypt."),
    ("Write a warning in capital letters only.", "MIND THE STEP", "Please mind the step."),
)


def written(kind: str, items: list[str], line: str, key: str) -> str:
    """The items in a form."""
    match kind:
        case "numbered":
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        case "bullets":
            return "\n".join(f"- {item}" for item in items)
        case "commas":
            return ", ".join(items)
        case "json":
            return json.dumps({key: items})
        case "capitals":
            return ", ".join(items).upper()
        case _:
            return f"{plain(items)}\n{line}"


def plain(items: list[str]) -> str:
    """The items as a sentence."""
    text = f"{', '.join(items[:-1])} and {items[-1]}."
    return text[0].upper() + text[1:]


def samples(rng: random.Random) -> list[Sample]:
    """The 60 probes."""
    del rng  # every request is written out
    return [
        generated(
            CAPABILITY,
            difficulty,
            number,
            row.request,
            row.scorer,
            row.target,
            row.max_tokens,
            {"template": row.kind},
        )
        for difficulty in DIFFICULTIES
        for number, row in enumerate(ROWS[difficulty], 1)
    ]


def pairs(rng: random.Random) -> list[Pair]:
    """The asked form against the same content in another form, or with a wrong number of items."""
    lines, counts = dealt(rng, LINES), dealt(rng, COUNTS)
    frames = {kind: dealt(rng, texts) for kind, texts in FRAMES.items()}
    faults = dealt(rng, ("plain", "chatty", "count", "other"))
    made = []
    for group, text in GROUPS.items():
        members = text.split("|")
        kinds = ["numbered", "numbered", *FRAMES, "bullets", "ends"]
        for kind, count in zip(kinds, counts, strict=False):
            line, items = next(lines), rng.sample(members, count)
            request = next(frames[kind]).format(count=count, group=group, line=line)
            key = "list" if '"list"' in request else "items"
            chosen = written(kind, items, line, key)
            match next(faults):
                case "plain":
                    rejected = plain(items)
                case "chatty":
                    rejected = f"Sure! Here are some {group} for you: {plain(items)}"
                case "count" if kind in ("numbered", "bullets", "commas"):
                    other = rng.sample(members, count - 1 if count > 3 else count + 1)
                    rejected = written(kind, other, line, key)
                case _:
                    other_kind = "bullets" if kind != "bullets" else "numbered"
                    rejected = written(other_kind, items, line, key)
            made.append(Pair(request, chosen, rejected))
    for question, word, sentence in WORDS:
        for frame in rng.sample(WORD_FRAMES, 2):
            request = frame.format(question=question, q=question[0].lower() + question[1:])
            made.append(Pair(request, word, sentence))
    return [*made, *(Pair(*row) for row in EXACT)]
