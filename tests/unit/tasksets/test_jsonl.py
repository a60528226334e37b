"""Task sets in JSON lines: what is read, and the text of every error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import scorers
from pytest_modellab.errors import TaskSetError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.tasksets import jsonl

GOOD: dict[str, Any] = {
    "id": "a",
    "input": "Two and two?",
    "target": 1,
    "scorer": "choice",
    "capability": "arithmetic",
    "difficulty": "easy",
    "choices": ["three", "four"],
}
HEADER = 'name = "tiny"\nversion = "1"\n'
Write = Callable[..., Path]


def message(folder: Path) -> str:
    """The error's message after the folder."""
    with pytest.raises(TaskSetError) as caught:
        jsonl.read(folder, scorers.check)
    prefix = f"{folder}/"
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_whole_set(write_samples: Write) -> None:
    other = {
        **GOOD,
        "id": "b",
        "cluster": "c",
        "capability": "art",
        "difficulty": "hard",
        "metadata": {"language": "français"},
    }
    header = f'{HEADER}description = "d"\nlicense = "x"\n[capabilities.art]\n'
    folder = write_samples([GOOD, "", "  ", other], header)
    found = jsonl.read(folder, scorers.check)
    assert (found.name, found.version, found.description) == ("tiny", "1", "d")
    assert found.path == str(folder)
    assert found.capabilities == ("arithmetic", "art")
    first, second = found.samples
    assert first.choices == ("three", "four")
    assert (first.bucket, first.cluster, first.max_tokens) == ("arithmetic/easy", None, 0)
    assert (second.bucket, second.cluster) == ("art/hard", "c")
    assert dict(second.metadata) == {"language": "français"}


def test_windows_line_ends_change_nothing(write_samples: Write) -> None:
    folder = write_samples([GOOD, {**GOOD, "id": "b"}])
    before = jsonl.read(folder).hash
    samples = folder / jsonl.SAMPLES
    samples.write_bytes(samples.read_bytes().replace(b"\n", b"\r\n"))
    assert jsonl.read(folder).hash == before


def test_line_separators_inside_a_string(write_samples: Write) -> None:
    text = "one\u2028two\x85three"
    assert jsonl.read(write_samples([{**GOOD, "input": text}])).samples[0].input == text


def test_hash_follows_content_and_order(write_samples: Write) -> None:
    a, b = GOOD, {**GOOD, "id": "b"}
    before = jsonl.read(write_samples([a, b])).hash
    assert jsonl.read(write_samples([a, b])).hash == before
    assert jsonl.read(write_samples([b, a])).hash != before
    for change in (
        {"input": "?"},
        {"target": 0},
        {"difficulty": "hard"},
        {"cluster": "x"},
        {"metadata": {"a": 1}},
        {"choices": ["three", "five"]},
    ):
        assert jsonl.read(write_samples([a, {**b, **change}])).hash != before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "b",', "malformed JSON, column 12: Expecting property name enclosed in double "),
        ("[1]", "holds list, expected a JSON object"),
        ("3", "holds int, expected a JSON object"),
        pytest.param(
            f'{{"id": {"9" * 5000}}}',
            "malformed JSON: Exceeds the limit (4300 digits) for integer",
            id="long number",
        ),
        pytest.param("[" * 9999, "malformed JSON: maximum recursion depth exceeded", id="deep"),
        (
            {**GOOD, "catgory": "x"},
            "catgory: unknown key; Known: audio, capability, choices, cluster, difficulty, id, "
            "image, input, max_tokens, metadata, scorer, target",
        ),
        (
            {**GOOD, "capabilty": "x"},
            "capabilty: unknown key; did you mean 'capability'? Known: audio, capability, choices, "
            "cluster, difficulty, id, image, input, max_tokens, metadata, scorer, target",
        ),
        ({**GOOD, "id": 7}, "id: 7 is int, expected str"),
        ({**GOOD, "id": None}, "id: None is NoneType, expected str"),
        ({**GOOD, "target": 1.5}, "target: 1.5 is float, expected int or str or dict"),
        ({**GOOD, "target": True}, "target: True is bool, expected int or str or dict"),
        ({**GOOD, "choices": "ab"}, "choices: 'ab' is str, expected list"),
        ({**GOOD, "metadata": []}, "metadata: [] is list, expected dict"),
        ({k: v for k, v in GOOD.items() if k != "target"}, "target: missing"),
        ({k: v for k, v in GOOD.items() if k != "id"}, "id: missing"),
        ({**GOOD, "id": " "}, "id: empty"),
        ({**GOOD, "capability": ""}, "capability: empty"),
        (
            {**GOOD, "difficulty": "hrad"},
            "difficulty: unknown 'hrad'; did you mean 'hard'? Known: easy, hard, medium",
        ),
        ({**GOOD, "choices": ["a", ""]}, "choices: every choice must be a non-empty string"),
        ({**GOOD, "choices": ["a", 1]}, "choices: every choice must be a non-empty string"),
        (
            GOOD,
            "id: 'a' stands on line 1 too; ids must be unique",
        ),
        (
            {**GOOD, "id": "b", "metadata": {"x": float("nan")}},
            "holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate pair): "
            "Out of range float values are not JSON compliant",
        ),
        (
            json.dumps({**GOOD, "id": "b", "metadata": {"x": 0}}).replace(" 0}", " 1e999}"),
            "holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate pair): "
            "Out of range float values are not JSON compliant",
        ),
        (
            json.dumps({**GOOD, "id": "b", "input": "\ud800"}),
            "holds what JSON and UTF-8 cannot say (NaN, Infinity, half a surrogate pair): "
            "'utf-8' codec can't encode character '\\ud800' in position",
        ),
        # what the scorer says
        (
            {**GOOD, "id": "b", "scorer": "choise"},
            "sample 'b': scorer: unknown 'choise'; did you mean 'choice'? "
            "Known: anls, answer_f1, cer, choice, exact, json_schema, map@K, mrr@K, ndcg@K, "
            "number, perplexity, precision@K, recall@K, refusal, regex, spearman, wer",
        ),
        (
            {**GOOD, "id": "b", "target": 2},
            "sample 'b': target: 2 is not the index of one of 2 choices (0 to 1)",
        ),
    ],
)
def test_line_message(write_samples: Write, line: Any, said: str) -> None:
    assert message(write_samples([GOOD, "", line])).startswith(f"samples.jsonl:3: {said}")


def test_file_messages(write_samples: Write, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    assert message(missing).startswith("task_set.toml: cannot be read: [Errno 2] No such file")
    folder = write_samples([GOOD])
    (folder / jsonl.SAMPLES).unlink()
    assert message(folder).startswith("samples.jsonl: cannot be read: [Errno 2] No such file")
    (folder / jsonl.SAMPLES).write_bytes(b'{"id": "caf\xe9"}\n')
    assert message(folder) == (
        "samples.jsonl: line 1: not UTF-8 (invalid continuation byte); save it as UTF-8"
    )
    assert message(write_samples(["", " "])) == "samples.jsonl: holds no sample"


@pytest.mark.parametrize("name", ["task_set.toml", "samples.jsonl"])
def test_a_pipe_is_not_waited_for(write_samples: Write, name: str) -> None:
    folder = write_samples([GOOD])
    path = folder / name
    path.unlink()
    os.mkfifo(path)
    said = f"cannot be read: [Errno 22] Is a pipe or a device, and no regular file: '{path}'"
    assert message(folder) == f"{name}: {said}"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("name = \n", "malformed TOML: Invalid value (at line 1, column 8)"),
        pytest.param(
            f"x = {'9' * 5000}",
            "malformed TOML: Exceeds the limit (4300 digits) for integer",
            id="long number",
        ),
        pytest.param(
            f"x = {'[' * 5000}", "malformed TOML: maximum recursion depth exceeded", id="deep"
        ),
        ('version = "1"', "name: missing, or not a string"),
        ('name = "a"\nversion = 1', "version: missing, or not a string"),
        (f"{HEADER}description = 3", "description: not a string"),
        (f"{HEADER}capabilities = 3", "capabilities: must be a table"),
        (
            f"{HEADER}[capabilities.arithmetic]\n[capabilities.poetry]",
            "capabilities.poetry: declared but samples.jsonl has no sample of it",
        ),
    ],
)
def test_header_message(write_samples: Write, header: str, said: str) -> None:
    assert message(write_samples([GOOD], header)).startswith(f"task_set.toml: {said}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
LINE = st.one_of(
    st.text(max_size=50),
    JSON.map(json.dumps),
    st.dictionaries(st.sampled_from([*GOOD, "metadata", "cluster", "max_tokens"]), JSON).map(
        lambda changes: json.dumps({**GOOD, **changes})
    ),
)


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=100),
        st.lists(LINE, max_size=4).map(
            lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
        ),
    ),
    st.one_of(st.just(HEADER.encode()), st.binary(max_size=100)),
)
def test_anything_gives_a_task_set_or_its_error(
    tmp_path: Path, content: bytes, header: bytes
) -> None:
    (tmp_path / jsonl.SAMPLES).write_bytes(content)
    (tmp_path / jsonl.HEADER).write_bytes(header)
    try:
        found = jsonl.read(tmp_path, scorers.check)
    except TaskSetError as error:
        assert str(error).startswith(f"{tmp_path}/")  # noqa: PT017
    else:
        assert len(found.hash) == 16
        assert len({s.id for s in found.samples}) == len(found.samples) > 0


@pytest.mark.parametrize("name", ["samples.jsonl", "task_set.toml"])
def test_a_link_out_of_the_folder_is_refused(
    write_samples: Callable[..., Path], sample: Callable[..., Sample], tmp_path: Path, name: str
) -> None:
    folder = write_samples([sample(1)])
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    with pytest.raises(TaskSetError) as caught:
        jsonl.read(folder)
    assert str(caught.value) == (
        f"{folder / name}: leads out of {folder}, to {tmp_path.resolve() / name}; put the file "
        "itself there, or declare the folder that it lies in"
    )


def test_a_folder_that_is_a_link_was_chosen(
    write_samples: Callable[..., Path], sample: Callable[..., Sample], tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(write_samples([sample(1)]))
    assert len(jsonl.read(link).samples) == 1


@pytest.mark.parametrize(
    ("id_", "problem"),
    [
        (" s1", "' s1' begins or ends with a blank"),
        ("s\n1", "'s\\n1' holds the control character U+000A"),
        ("s\x1b[0m", "'s\\x1b[0m' holds the control character U+001B"),
    ],
)
def test_ids_that_cannot_be_told_apart(
    write_samples: Callable[..., Path], sample: Callable[..., Sample], id_: str, problem: str
) -> None:
    folder = write_samples([sample(1, id=id_)])
    with pytest.raises(TaskSetError) as caught:
        jsonl.read(folder)
    said = f"{folder / 'samples.jsonl'}:1: id: {problem}; give it another id"
    assert str(caught.value) == said
