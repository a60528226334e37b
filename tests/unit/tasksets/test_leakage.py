"""Leakage: copies and long overlaps are found, instructions are not, and every message is right."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import cli
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.tasksets.quality import leakage
from pytest_modellab.tasksets.quality.leakage import COMMON_SAMPLES, COMMON_TEXTS, leaks

Make = Callable[..., Any]
Write = Callable[..., Path]

FOX = "The quick brown fox jumps over the lazy dog at dawn."
INSTRUCTION = "Say in one word which of the two queues this belongs to."


def task_set(*inputs: str) -> TaskSet:
    samples = tuple(
        Sample(
            id=f"s{number}",
            input=text,
            target="x",
            scorer="exact",
            capability="words",
            difficulty="easy",
        )
        for number, text in enumerate(inputs)
    )
    return TaskSet(name="tiny", version="1", samples=samples)


def said(*inputs: str, training: list[str], **options: Any) -> list[str]:
    return [str(finding) for finding in leaks(task_set(*inputs), training, **options)]


def test_a_copy_is_named_with_its_line() -> None:
    assert said("Is it red?", FOX, training=["", "Something else", "is it  RED?\nNo."]) == [
        "error: leak-copy: s0 stands word for word in training data:3; remove that line from the "
        "training data, or the sample"
    ]


def test_a_copy_is_whole_lines() -> None:
    assert not said("Is it red?", training=["Is it red? Or is it blue?"])
    assert not said("Is it\nred?", training=["Is it\nblue?", "red?"])
    assert len(said("Is it\nred?", training=["Look.\n\nIs it\nred?\nYes."])) == 1


def test_shared_words_are_quoted() -> None:
    text = "Yesterday: THE QUICK, brown fox jumps over the lazy cat"
    assert said(FOX, training=["Nothing", text], source="train.jsonl") == [
        "error: leak-overlap: s0 shares 8 words in a row with train.jsonl:2: 'the quick brown fox "
        "jumps over the lazy'; reword or remove that line in the training data, or remove the "
        "sample"
    ]


def test_the_line_with_most_words_is_named() -> None:
    training = ["quick brown fox jumps over the lazy dog", "So " + FOX, "Oh, " + FOX[:-9] + "."]
    assert said(FOX, training=training) == [
        "error: leak-overlap: s0 shares 11 words in a row with training data:2 (and 2 more "
        "lines): 'the quick brown fox jumps over the lazy dog at dawn'; reword or remove those "
        "lines in the training data, or remove the sample"
    ]
    assert "data:2 (and 1 more line): 'the" in said(FOX, training=training[:2])[0]


def test_a_long_quotation_is_cut() -> None:
    words = " ".join(f"w{number}" for number in range(30))
    (found,) = said(words, training=[f"x {words} x"])
    assert "shares 30 words in a row" in found
    assert "w14 w15 …';" in found
    assert "w16" not in found


def test_fewer_words_than_n_are_no_leak() -> None:
    seven = "the quick brown fox jumps over the"
    assert not said(FOX, training=[f"{seven} wall"])
    assert len(said(FOX, training=[f"{seven} wall"], n=7)) == 1
    assert not said("Is it red?", training=["But is it red?"])


def test_n_is_checked() -> None:
    with pytest.raises(ValueError, match="n is 0; at least one word must be compared"):
        leaks(task_set(FOX), [], n=0)


def test_an_instruction_is_no_leak() -> None:
    own = [f"{INSTRUCTION} Red{number}." for number in range(COMMON_SAMPLES + 1)]
    training = [f"{INSTRUCTION} Blue{number}." for number in range(COMMON_TEXTS + 1)]
    assert not said(*own, training=training)
    assert len(said(*own, training=training[:-1])) == len(own), "too few texts to be boilerplate"
    assert len(said(*own[:-1], training=training)) == len(own) - 1, "too few samples"


def test_a_text_that_is_repeated_counts_once() -> None:
    own = [f"{INSTRUCTION} Red{number}." for number in range(COMMON_SAMPLES + 1)]
    training = [f"{INSTRUCTION} Blue."] * (COMMON_TEXTS + 1)
    assert len(said(*own, training=training)) == len(own)


def test_words_beside_an_instruction_count_without_it() -> None:
    own = [f"{INSTRUCTION} Red{number}." for number in range(COMMON_SAMPLES + 1)]
    training = [f"{INSTRUCTION} Blue{number}." for number in range(COMMON_TEXTS + 1)]
    near = f"{INSTRUCTION} one two three four five six seven"
    assert not said(*own, f"{near} no", training=[*training, f"{near} yes"])
    (found,) = said(*own, f"{near} eight no", training=[*training, f"{near} eight yes"])
    assert "'one two three four five six seven eight'" in found


def test_a_template_that_was_filled_in_often_is_a_leak() -> None:
    training = [
        f"Where is my coat {number}, it should have been here since last week?"
        for number in range(40)
    ]
    (found,) = said(
        "Where is my coat X, it should have been here since last week?", training=training
    )
    assert "shares 8 words in a row with training data:1 (and 39 more lines)" in found


SENTENCES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=15).map(" ".join)


@settings(max_examples=60)
@given(
    st.lists(SENTENCES.filter(str.strip), min_size=1, max_size=5, unique=True),
    st.lists(SENTENCES, max_size=15),
    st.data(),
)
def test_a_copied_sample_is_always_found(
    inputs: list[str], training: list[str], data: st.DataObject
) -> None:
    copied = data.draw(st.sampled_from(inputs))
    place = data.draw(st.integers(0, len(training)))
    reply = data.draw(SENTENCES)
    texts = [*training[:place], f"{copied}\n{reply}", *training[place:]]
    rules = {f.message.split()[0]: f.rule for f in leaks(task_set(*inputs), texts)}
    assert rules[f"s{inputs.index(copied)}"] == "leak-copy"


@settings(max_examples=60)
@given(
    st.lists(st.text("abc \n", min_size=1).filter(str.strip), min_size=1, max_size=5),
    st.lists(st.text("xyz \n"), max_size=15),
    st.integers(1, 9),
)
def test_disjoint_vocabularies_never_leak(inputs: list[str], training: list[str], n: int) -> None:
    assert leaks(task_set(*inputs), training, n=n) == ()


def test_lines_are_read_with_their_replies(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [
        {"input": "a", "reply": "b", "id": 7},
        {"input": "c", "chosen": "d", "rejected": "e"},
        {"input": "f"},
    ]
    path.write_text("\n\n".join(json.dumps(line) for line in lines) + "\n")
    assert leakage.read(path) == ("a\nb", "", "c\nd\ne", "", "f")


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes have no path here")
def test_training_data_may_come_through_a_pipe() -> None:
    """As ``--train <(zcat train.jsonl.gz)`` gives it."""
    end, start = os.pipe()
    with os.fdopen(start, "w") as file:
        file.write('{"input": "a", "reply": "b"}\n')
    try:
        assert leakage.read(Path(f"/dev/fd/{end}")) == ("a\nb",)
    finally:
        os.close(end)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "malformed JSON, column 2: Expecting property name enclosed in double quotes"),
        ("[1]", "holds list, expected a JSON object"),
        ("{}", "input: missing; the line holds nothing"),
        ('{"prompt": "a", "reply": "b"}', "input: missing; the line holds 'prompt', 'reply'"),
        ('{"input": 1}', "input: 1 is int, expected str"),
        ('{"input": " "}', "input: empty"),
        ('{"input": "a", "reply": null}', "reply: None is NoneType, expected str"),
        ('{"input": "a", "rejected": 1}', "rejected: 1 is int, expected str"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"input": "a"}\n' + line + "\n")
    with pytest.raises(TaskSetError) as caught:
        leakage.read(path)
    assert str(caught.value) == f"{path}:2: {problem}"


def test_deep_and_long_json(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    for line in ("[" * 100_000, "9" * 5000):
        path.write_text(line)
        with pytest.raises(TaskSetError, match=":1: malformed JSON: "):
            leakage.read(path)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    with pytest.raises(TaskSetError, match=r"train\.jsonl: cannot be read: "):
        leakage.read(path)
    path.write_text(" \n")
    with pytest.raises(TaskSetError, match=r"train\.jsonl: holds no training data"):
        leakage.read(path)


@pytest.fixture
def folder(write_samples: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    line = {
        "id": "a",
        "input": FOX,
        "target": "x",
        "scorer": "exact",
        "capability": "words",
        "difficulty": "easy",
        "max_tokens": 3,
    }
    return write_samples([line], 'name = "tiny"\nversion = "1"\n')


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("clean.jsonl").write_text('{"input": "Is it red?", "reply": "no"}\n')
    Path("dirty.jsonl").write_text(json.dumps({"input": FOX, "reply": "no"}) + "\n")
    command = ["tasks", "check", str(folder), "--train", "clean.jsonl"]
    assert cli.main(command) == 0
    assert f"{folder.name}: 0 of 1 samples leak into clean.jsonl" in capsys.readouterr().out
    assert cli.main([*command, "--train", "dirty.jsonl"]) == 1
    text = capsys.readouterr().out
    assert f"{folder.name}: 0 of 1 samples leak into clean.jsonl" in text
    assert f"{folder.name}: 1 of 1 samples leak into dirty.jsonl" in text
    assert "error: leak-copy: a stands word for word in dirty.jsonl:1; remove that line" in text
    assert "1 sample, 1 error, 1 warning" in text


def test_the_command_names_a_bad_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.jsonl").write_text('{"input": "a"}\n{"reply": "b"}\n')
    assert cli.main(["tasks", "check", str(folder), "--train", "bad.jsonl"]) == 2
    message = "modellab: bad.jsonl:2: input: missing; the line holds 'reply'\n"
    assert capsys.readouterr().err == message
