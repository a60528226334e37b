"""Which option a reply names: every form of a letter, an option's text, and nothing ambiguous."""

from __future__ import annotations

import string

import hangs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_modellab.scorers.letters import NONE, read

OPTIONS = ("Paris", "London", "A dog", "Vitamin C")

FORMS = (
    *("{}", "{}.", "{})", "({})", "[{}]", "**{}**", "**{}.**", "`{}`", "_{}_", '"{}"', " {}\n"),
    *("Answer: {}", "answer: {}", "**Answer:** {}", "Answer:\n{}", "Answer is {}.", "ANSWER: ({})"),
    *("The answer is {}", "The answer is {}.", "The correct answer is **{}**.", "It's option {}"),
    *("The best answer to this question is: {}", "I choose {}.", "I'd pick {}", "Option {}"),
    *("\\boxed{{{}}}", "$\\boxed{{{}}}$", "Choice {} is correct.", "{} is the right answer."),
    *("It's {}.", "It is {}", "I'll go with {}.", "<answer>{}</answer>", '{{"answer": "{}"}}'),
    *("{} - because", "The answer is {} (surely)", "The correct answer is:\n\n**{}. That one**"),
    *("<think>A, or B? Option C!</think>\n\n{}", "I think so, or not A.</think>{}."),
    *("Let me see.\n{}", "{}\n{}", "The answer is {} because it is.", "{}, because it is so."),
)

LOWER = ("{}", "{}.", "({})", "answer: {}", "**{}**", "the answer is {}.")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", [0, 1, 8, 25])
def test_a_letter_is_read_in_any_form(form: str, place: int) -> None:
    options = [f"number {k}" for k in range(26)]
    reply = form.replace("{}\n{}", "{0}\n{0}").format(string.ascii_uppercase[place])
    assert read(reply, options) == (place, "")


@pytest.mark.parametrize("form", LOWER)
def test_a_small_letter_is_read_where_it_is_no_word(form: str) -> None:
    assert [read(form.format(c), OPTIONS)[0] for c in "abcd"] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("London", 1),
        ("london.", 1),
        ("  LONDON\n", 1),
        ("The answer is London.", 1),
        ("Answer: London", 1),
        ("London\nIt lies on the Thames.", 1),
        ("a dog", 2),
        ("B. London", 1),
        ("B London", 1),
        ("B. Lond", 1),  # cut off by the limit of tokens
        ("D. Vitamin C", 3),
        ("C. A dog", 2),
        ("B, not C", 1),
        ("London\nB", 1),
        ("B.\n\nA dog is no city.", 1),
    ],
)
def test_an_options_text_is_read(reply: str, place: int) -> None:
    assert read(reply, OPTIONS) == (place, "")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("A or B", "names A and B"),
        ("A and B", "names A and B"),
        ("B, C, D", "names B, C and D"),
        ("A. Paris\nB. London", "names A and B"),
        ("B. Paris", "names A and B"),
        ("London\nA", "names A and B"),
        ("The answer is B or C.", "names B and C"),
        ("", NONE),
        ("I do not know.", NONE),
        ("E", NONE),
        ("A cat sat here", NONE),
        ("Vitamin C is good", NONE),
        ("London is not Paris", NONE),
        ("The answer is not B", NONE),
        ("The answer isn't B", NONE),
        ("I would not pick B", NONE),
        ("Option B is incorrect.", NONE),
        ("B is wrong", NONE),
        ("Answer: A dog or a cat", NONE),
        ("B-12", NONE),
        ("b.c.", NONE),
        ("C++", NONE),
        ("Is it B?", NONE),
        ("It isn't B", NONE),
        ("<think>The answer is B", NONE),
        ("B</think>", NONE),
        ("A/B", "names A and B"),
    ],
)
def test_what_names_no_option_or_several_is_not_read(reply: str, why: str) -> None:
    assert read(reply, OPTIONS) == (None, why)


def test_a_letter_stands_for_its_place_whatever_the_options_say() -> None:
    assert read("A", ("B", "A")) == (0, "")
    assert read("A. B", ("B", "A")) == (0, "")
    assert read("The answer is B", ("B", "A")) == (1, "")


def test_of_options_that_differ_in_marks_the_exact_one_is_read() -> None:
    assert read("5!", ("5", "5!")) == (1, "")
    assert read("+", ("+", "-")) == (0, "")
    assert read("it", ("It", "it")) == (None, "names A and B")
    assert read("C++", ("C", "Java", "Rust", "C++")) == (3, "")


PIECES = st.sampled_from(
    [
        *("A", "B", "C", "D", "a", "b", "(", ")", "*", "**", ".", ":", ",", " ", "\n", "'", "_"),
        *("<think>", "</think>", "-", " - ", "it's ", " it is ", "+"),
        *("Answer", "answer", " is ", " the ", " option ", " or ", " and ", " not ", "isn't "),
        *("Paris", "London", "A dog", "Vitamin C", "\ud800", "\x00", "\u202e", "ß", "İ", "٣"),
    ]
)
REPLIES = st.text(max_size=40) | st.lists(PIECES, max_size=15).map("".join)


@settings(max_examples=400)
@given(REPLIES, st.lists(st.text(min_size=1, max_size=8), min_size=2, max_size=26, unique=True))
def test_any_reply_gives_a_place_or_a_reason(reply: str, options: list[str]) -> None:
    for some in (OPTIONS, options):
        place, why = read(reply, some)
        if place is None:
            assert why.startswith("names ")
        else:
            assert 0 <= place < len(some)
            assert why == ""


@given(
    st.permutations("ABCD"),
    st.sampled_from([" or ", ", ", " and ", "/", "\n", ". ", "; ", " & "]),
    st.sampled_from(["{}", "The answer is {}", "Answer: {}", "({})", "Either {}.", "{}?"]),
)
def test_two_letters_are_never_read_as_one(letters: list[str], between: str, form: str) -> None:
    assert read(form.format(between.join(letters[:2])), OPTIONS)[0] is None


@given(REPLIES, st.sampled_from("ABCD"), st.sampled_from("ABCD"))
def test_lines_that_name_different_options_are_not_read(text: str, one: str, other: str) -> None:
    assume(one != other and "think>" not in text)
    assert read(f"{one}\n{text}\n{other}", OPTIONS)[0] is None


@pytest.mark.parametrize(
    "piece",
    [
        *("A", "A ", "A.", "A\n", "(", "*", " ", "\n", "answer ", "is ", "the answer is ", "_"),
        *("A. ", "not ", "option", "'", "a'", "-", "Vitamin C ", "<think>", "</think>", "it is A "),
    ],
)
def test_a_long_reply_takes_no_time(piece: str) -> None:
    options = [piece * k for k in range(1, 27)]
    for reply in (piece * (90_000 // len(piece)), "B" + piece * (90_000 // len(piece)) + "!"):
        with hangs.ends():
            read(reply, OPTIONS)
            read(reply, options)
