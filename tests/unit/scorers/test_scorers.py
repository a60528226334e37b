"""Scorers: what is right, what is wrong, and what cannot be scored."""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.exact import normalize
from pytest_modellab.scorers.interface import Scorer
from pytest_modellab.scorers.number import last_number
from pytest_modellab.scorers.strict_json import first_json

Make = Callable[..., Sample]


def score(sample: Sample, output: Output | str) -> float:
    scorer = scorers.SCORERS[sample.scorer]
    assert isinstance(scorer, Scorer)
    value, _ = scorer.score(sample, Output(output) if isinstance(output, str) else output)
    return value


def test_every_scorer_is_listed_under_its_name() -> None:
    assert sorted(scorers.SCORERS) == [
        "anls",
        "answer_f1",
        "cer",
        "choice",
        "exact",
        "json_schema",
        "number",
        "perplexity",
        "refusal",
        "regex",
        "spearman",
        "wer",
    ]
    for name, scorer in scorers.SCORERS.items():
        assert scorer.name == name
        assert scorer.version >= 1
        assert scorer.likelihood == (name in ("choice", "perplexity", "spearman"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"scorer": "exakt"},
            "scorer: unknown 'exakt'; did you mean 'exact'? "
            "Known: anls, answer_f1, cer, choice, exact, json_schema, map@K, mrr@K, ndcg@K, "
            "number, perplexity, precision@K, recall@K, refusal, regex, spearman, wer",
        ),
        ({"choices": ("one",)}, "choices: the scorer 'choice' needs at least two"),
        ({"choices": ("one", "one")}, "choices: two are equal"),
        ({"target": 2}, "target: 2 is not the index of one of 2 choices (0 to 1)"),
        ({"target": -1}, "target: -1 is not the index of one of 2 choices (0 to 1)"),
        ({"target": "one"}, "target: 'one' is not the index of one of 2 choices (0 to 1)"),
        (
            {"scorer": "exact", "target": "x", "max_tokens": 4},
            "choices: the scorer 'exact' generates a reply and takes none",
        ),
        (
            {"scorer": "exact", "target": "x", "choices": ()},
            "max_tokens: the scorer 'exact' needs at least 1",
        ),
    ],
)
def test_check(sample: Make, changes: dict[str, Any], said: str) -> None:
    assert scorers.check(sample(**changes)) == said


@pytest.mark.parametrize(
    ("scorer", "target", "said"),
    [
        ("exact", 3, "target: the scorer 'exact' needs a non-empty string"),
        ("exact", " '.' ", "target: the scorer 'exact' needs a non-empty string"),
        ("number", 3, "target: 3 is not a decimal number in a string"),
        ("number", "3 apples", "target: '3 apples' is not a decimal number in a string"),
        ("number", "1e3", "target: '1e3' is not a decimal number in a string"),
        ("regex", 3, "target: the scorer 'regex' needs a regular expression in a string"),
        (
            "regex",
            "a(",
            "target: not a regular expression: missing ), unterminated subpattern at position 1",
        ),
        (
            "regex",
            "a{99999999999999999999}",
            "target: not a regular expression: the repetition number is too large",
        ),
        ("regex", "a*", "target: the expression matches an empty reply"),
        (
            "json_schema",
            {},
            "target: the scorer 'json_schema' needs a JSON schema (a non-empty object)",
        ),
        (
            "json_schema",
            "{}",
            "target: the scorer 'json_schema' needs a JSON schema (a non-empty object)",
        ),
    ],
)
def test_check_of_generated(sample: Make, scorer: str, target: Any, said: str) -> None:
    made = sample(scorer=scorer, target=target, choices=(), max_tokens=4)
    assert scorers.check(made) == said


@pytest.mark.parametrize(
    ("scorer", "target"),
    [
        ("choice", 1),
        ("exact", "x"),
        ("number", "-1,000.5"),
        ("regex", "^a+$"),
        ("json_schema", {"a": 1}),
    ],
)
def test_check_finds_nothing(sample: Make, scorer: str, target: Any) -> None:
    likelihood = scorers.SCORERS[scorer].likelihood
    made = sample(
        scorer=scorer,
        target=target,
        choices=("a", "b") if likelihood else (),
        max_tokens=0 if likelihood else 4,
    )
    assert scorers.check(made) is None


# --- choice --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logprobs", "right"),
    [((-1.0, -2.0), 1.0), ((-2.0, -1.0), 0.0), ((-1.0, -1.0), 0.0), ((-1.0, -math.inf), 1.0)],
    ids=["higher", "lower", "a tie is not right", "impossible"],
)
def test_choice(sample: Make, logprobs: tuple[float, ...], right: float) -> None:
    assert score(sample(target=0), Output("", option_logprobs=logprobs)) == right


def test_choice_is_normalized_by_utf8_bytes(sample: Make) -> None:
    made = sample(target=1, choices=("no", "déjà"))  # 2 and 6 bytes
    scorer = scorers.SCORERS["choice"]
    assert isinstance(scorer, Scorer)
    assert scorer.score(made, Output("", option_logprobs=(-2.0, -5.9))) == (1.0, "déjà")
    assert scorer.score(made, Output("", option_logprobs=(-2.0, -6.1))) == (0.0, "no")


def test_choice_refuses_nan(sample: Make) -> None:
    with pytest.raises(ScoringError) as caught:
        score(sample(), Output("", option_logprobs=(-1.0, math.nan)))
    assert str(caught.value) == "sample 's0': the model's likelihood is NaN"


# --- generated replies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("Paris", 1.0),
        ("  paris.\n", 1.0),
        ('"Paris."', 1.0),
        ("'Paris'.", 0.0),
        ("Paris, France", 0.0),
        ("", 0.0),
    ],
)
def test_exact(sample: Make, reply: str, right: float) -> None:
    assert score(sample(scorer="exact", target="Paris"), reply) == right


@given(st.text())
def test_normalized_text_ignores_outer_space_and_case(text: str) -> None:
    assert normalize(f" {text}\n") == normalize(text)
    assert normalize(text) == normalize(text).casefold()


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("1,000", 1.0),
        ("It is 3, or rather 1000.0.", 1.0),
        ("1000 apples for 3 dollars", 0.0),
        ("1000.001", 0.0),
        ("-1000", 0.0),
        ("none", 0.0),
    ],
)
def test_number(sample: Make, reply: str, right: float) -> None:
    assert score(sample(scorer="number", target="1000"), reply) == right


@given(st.text(alphabet="0123456789,.-e ab", max_size=20))
def test_last_number_of_anything(text: str) -> None:
    found = last_number(text)
    assert (found is None) == (not any(c.isdigit() for c in text))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3))
def test_last_number_finds_a_decimal(value: Any) -> None:
    assert last_number(f"It is {value:f}.") == value


@given(
    st.decimals(-1000, 1000, places=3),
    st.sampled_from([0.0, 5e-10, -3e-10, 2e-9, -1e-6, 1.0]),
)
def test_numbers_are_as_close_as_floats_are(value: Any, apart: float) -> None:
    said = f"{float(value) * (1 + apart):.15f}"
    right = math.isclose(float(said), float(value), rel_tol=1e-9)
    target = Sample("a", "x", f"{value:f}", "number", "c", "easy", max_tokens=8)
    assert score(target, said) == right


@pytest.mark.parametrize(
    ("target", "reply", "right"),
    [
        ("1" * 400, "1" * 400, 1.0),
        ("1" * 400, "2" * 400, 0.0),
        ("9" * 400, "1" + "0" * 400, 1.0),  # a relative 1e-9 is a relative 1e-9
        ("0." + "0" * 400 + "1", "0." + "0" * 400 + "2", 0.0),
        ("0", "0." + "0" * 400 + "2", 0.0),
        ("1" * 400, "-" + "1" * 400, 0.0),
    ],
)
def test_long_numbers_are_compared_digit_by_digit(
    sample: Make, target: str, reply: str, right: float
) -> None:
    assert score(sample(scorer="number", target=target), reply) == right


@pytest.mark.parametrize(("reply", "right"), [("  yes, yes", 1.0), ("no yes", 0.0), ("", 0.0)])
def test_regex(sample: Make, reply: str, right: float) -> None:
    assert score(sample(scorer="regex", target="^(?i:yes)"), reply) == right


# --- json_schema ---------------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"age": {"$ref": "#/$defs/age"}},
    "required": ["age"],
    "$defs": {"age": {"type": "integer"}},
}


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ('{"age": 3}', 1.0),
        ('Sure:\n```json\n{"age": 3}\n```\n{"age": "x"}', 1.0),
        ('{"age": "3"}', 0.0),
        ("[]", 0.0),
        ('{"age": 3', 0.0),
        ('{oh} {"age": 3}', 1.0),
        ("I do not know", 0.0),
    ],
)
def test_json_schema(sample: Make, reply: str, right: float) -> None:
    pytest.importorskip("jsonschema")
    assert score(sample(scorer="json_schema", target=SCHEMA), reply) == right


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (
            {"type": "integr"},
            "sample 's0': target is no JSON schema: "
            "'integr' is not valid under any of the given schemas",
        ),
        (
            {"pattern": "("},
            "sample 's0': target is no JSON schema: not a regular expression: "
            "missing ), unterminated subpattern at position 0",
        ),
        (
            {"$ref": "#/$defs/none"},
            "target: PointerToNowhere: '/$defs/none' does not exist within {…}; "
            "a schema may refer to its own parts only",
        ),
        (
            {"$ref": "http://127.0.0.1:9/schema"},
            "target: Unresolvable: http://127.0.0.1:9/schema; "
            "a schema may refer to its own parts only",
        ),
    ],
)
def test_wrong_schema(sample: Make, schema: dict[str, Any], said: str) -> None:
    pytest.importorskip("jsonschema")
    with pytest.raises(ScoringError) as caught:
        score(sample(scorer="json_schema", target=schema), '{"a": 1}')
    assert str(caught.value) == said


def test_without_jsonschema(sample: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "jsonschema":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ScoringError) as caught:
        score(sample(scorer="json_schema", target=SCHEMA), "{}")
    assert str(caught.value) == (
        "the scorer 'json_schema' needs the package jsonschema: pip install jsonschema"
    )


@pytest.mark.parametrize("reply", ["[" * 5000, "{" * 5000, f"[{'9' * 5000}", '{"a":' * 2000])
def test_a_reply_that_json_cannot_take(reply: str) -> None:
    assert first_json(reply) is None


@given(st.text(alphabet='{}[]",: 1a', max_size=30))
def test_first_json_of_anything(text: str) -> None:
    found = first_json(text)
    assert found is None or isinstance(found, dict | list)


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.text(alphabet="ab \n:,"))
def test_first_json_finds_a_value_in_prose(value: dict[str, Any], prose: str) -> None:
    assert first_json(f"{prose}{json.dumps(value)}{prose}") == value
