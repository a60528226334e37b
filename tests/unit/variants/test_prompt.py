"""Prompt files: how a sample becomes chat messages, and the text of every error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.errors import ConfigError
from pytest_modellab.variants import prompt
from pytest_modellab.variants.prompt import Prompt

USER = "{% block user %}Q: {{ input }}{% endblock %}"
SYSTEM = "{% block system %}\nBe brief.\n{% endblock %}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "p.jinja"
    path.write_text(f"{SYSTEM}\n{USER}\n", encoding="utf-8")
    return path


def shots_file(folder: Path, *lines: str | dict[str, Any]) -> Path:
    path = folder / "shots.jsonl"
    texts = [x if isinstance(x, str) else json.dumps(x, ensure_ascii=False) for x in lines]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def message(path: Path, shots: Path | None = None, n_shots: int | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        prompt.read(path, shots, n_shots)
    return str(caught.value)


def test_zero_shot(file: Path) -> None:
    assert prompt.read(file).messages("two?") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Q: two?"},
    ]


def test_without_a_system_message(file: Path) -> None:
    file.write_text(USER)
    assert prompt.read(file).messages("two?") == [{"role": "user", "content": "Q: two?"}]


def test_few_shot(file: Path) -> None:
    one, two = {"input": "1?", "reply": "1"}, {"input": "2?", "reply": "2\u2028\x85!"}
    shots = shots_file(file.parent, one, "", two)
    chat = prompt.read(file, shots).messages("3?")
    assert [(m["role"], m["content"]) for m in chat] == [
        ("system", "Be brief."),
        ("user", "Q: 1?"),
        ("assistant", "1"),
        ("user", "Q: 2?"),
        ("assistant", "2\u2028\x85!"),
        ("user", "Q: 3?"),
    ]
    assert len(prompt.read(file, shots, 1).messages("3?")) == 4


def test_hash(file: Path) -> None:
    shots = shots_file(file.parent, {"input": "1?", "reply": "1"}, {"input": "2?", "reply": "2"})
    hashes = {
        prompt.read(file).hash,
        prompt.read(file, shots).hash,
        prompt.read(file, shots, 1).hash,
        Prompt(USER).hash,
    }
    assert len(hashes) == 4
    assert prompt.read(file, shots, 2).hash == prompt.read(file, shots).hash


@given(st.text())
def test_a_samples_text_is_data(text: str) -> None:
    """Template code in a sample is shown, not run."""
    assert Prompt(USER).messages(text)[-1]["content"] == f"Q: {text}".strip()


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% raw %}", "{% block user %}", "<b>&amp;</b>"])
def test_template_code_in_a_sample(text: str) -> None:
    assert Prompt(USER).messages(text)[-1]["content"] == f"Q: {text}"


def test_examples_with_options_are_shown_in_words_where_that_is_asked(file: Path) -> None:
    choice = {"input": "1?", "reply": "one", "choices": ["two", "one"]}
    shots = shots_file(file.parent, choice, {"input": "2?", "reply": "2"})
    found = prompt.read(file, shots)
    assert [m["content"] for m in found.messages("3?")[1:]] == [
        "Q: 1?",
        "one",
        "Q: 2?",
        "2",
        "Q: 3?",
    ]
    question, reply, *others = (m["content"] for m in found.in_words.messages("3?")[1:])
    lines = question.split("\n")
    assert (lines[0], lines[-1]) == ("Q: 1?", "Answer:")
    assert f"{reply}. one" in lines
    assert others == ["Q: 2?", "2", "Q: 3?"]
    plain = shots_file(file.parent, {"input": "1?", "reply": "one"}, {"input": "2?", "reply": "2"})
    assert prompt.read(file, plain).hash != found.hash
    assert prompt.read(file, plain).in_words == prompt.read(file, plain)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", [["b", "c"], ["a"], ["a", "a"], ["a", ""], ["a", 1], "ab", 7])
def test_options_that_do_not_fit(file: Path, choices: Any) -> None:
    shots = shots_file(file.parent, {"input": "1?", "reply": "a", "choices": choices})
    assert message(file, shots) == (
        f"shots: {shots}:1: choices: expected 2 to 26 texts, no two of them equal, of which the "
        "reply is one"
    )


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.jinja"
    assert message(path) == (f"prompt: {path}: cannot be read: No such file or directory")
    path.write_bytes(b"caf\xe9")
    assert message(path) == (
        f"prompt: {path}: line 1: not UTF-8 (unexpected end of data); save it as UTF-8"
    )


@pytest.mark.parametrize("text", ["", "Q: {{ input }}", SYSTEM, "{% block user %} {% endblock %}"])
def test_no_user_block(file: Path, text: str) -> None:
    file.write_text(text)
    assert message(file) == f"prompt: {file}: has no {{% block user %}}, or it is empty"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{% block user %}", "TemplateSyntaxError: "),
        ("{% block user %}{{ inptu }}{% endblock %}", "UndefinedError: 'inptu' is undefined"),
        (
            "{% block system %}{{ input }}{% endblock %}" + USER,
            "UndefinedError: 'input' is undefined",
        ),
        ("{% block user %}{{ input.x }}{% endblock %}", "UndefinedError: 'str object' has no"),
        ("{% block user %}{{ input.__class__ }}{% endblock %}", "SecurityError: access to attribu"),
        ("{% block user %}{{ input + 1 }}{% endblock %}", "TypeError: "),
        ("{% block user %}{{ 1 // 0 }}{% endblock %}", "ZeroDivisionError: "),
        ("{% block user %}{{ range(10**9) }}{% endblock %}", "OverflowError: "),
        ("{% block user %}{% include 'x' %}{% endblock %}", "TypeError: no loader"),
    ],
)
def test_template_that_fails(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    assert message(file).startswith(f"prompt: {file}: {said}")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"input": "x"}', "'reply'"),
        ('["input", "reply"]', "list indices must be integers or slices, not str"),
        ("3", "'int' object is not subscriptable"),
        (
            "[" * 100_000,
            "maximum recursion depth exceeded while decoding a JSON array from a unicode string",
        ),
    ],
)
def test_malformed_shot(file: Path, line: str, why: str) -> None:
    shots = shots_file(file.parent, {"input": "1?", "reply": "1"}, line)
    assert message(file, shots) == (f'shots: {shots}:2: expected {{"input": …, "reply": …}}: {why}')


def test_wrong_number_of_shots(file: Path) -> None:
    shots = shots_file(file.parent, {"input": "1?", "reply": "1"})
    for number in (0, 2, -1):
        said = f"n_shots: {number} examples asked for, {shots} has 1"
        assert message(file, shots, number) == said
    assert message(file, None, 2) == "n_shots: needs 'shots', a file of examples"


def test_no_shots(file: Path) -> None:
    shots = shots_file(file.parent)
    assert message(file, shots) == f"shots: {shots}: holds no example"
    shots.unlink()
    assert message(file, shots) == (f"shots: {shots}: cannot be read: No such file or directory")
