"""A card's text: what changes, what stays byte for byte, and what is no card."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_modellab.errors import CardError
from pytest_modellab.reports.card import file
from pytest_modellab.reports.card.section import BEGIN, END

pytest.importorskip("huggingface_hub")

SECTION = f"{BEGIN}\n## Evaluation\n\nnew\n{END}\n"

HUMAN = """\
---
license: apache-2.0   # checked
base_model: "HuggingFaceTB/SmolLM2-135M-Instruct"
model-index:
- name: mine
  results:
  - task: {type: text-generation}
    dataset: {name: MMLU, type: cais/mmlu}
    metrics:
    - {type: accuracy, value: 0.3}

  - task: {type: text-generation}
    dataset: {name: core, type: core}
    metrics:
    - {type: mean_score, value: 0.1}
# tags come last
tags: [small,   english]
---
# My model

Text — with *markup*.
"""


def result(value: float = 0.5, name: str = "core") -> dict[str, Any]:
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": name, "type": name},
        "metrics": [{"type": "mean_score", "value": value}],
    }


def update(text: str, *results: dict[str, Any]) -> str:
    return file.update(text, "nf4", results or [result()], SECTION, "README.md")


def loaded(text: str) -> Any:
    from huggingface_hub import ModelCard

    return ModelCard(text)


def test_a_new_card_is_read_back_by_the_hubs_library() -> None:
    card = loaded(file.new("nf4", [result(0.25), result(0.5, "other")], SECTION))
    assert card.data.model_name == "nf4"
    found = {r.dataset_type: r.metric_value for r in card.data.eval_results}
    assert found == {"core": 0.25, "other": 0.5}
    assert card.text.strip() == SECTION.strip()


def test_an_update_keeps_everything_else() -> None:
    found = update(HUMAN)
    head, _, rest = HUMAN.partition("model-index:")
    tail = rest[rest.index("# tags come last") :]
    assert found.startswith(head + "model-index:\n")
    assert found.endswith(tail + "\n" + SECTION)
    data = loaded(found).data
    assert data.model_name == "mine", "the card's own name stays"
    assert {r.dataset_type: r.metric_value for r in data.eval_results} == {
        "cais/mmlu": 0.3,
        "core": 0.5,
    }
    assert update(found) == found, "twice changes nothing"


def test_between_the_markers_is_replaced() -> None:
    text = f"# Mine\n\n{BEGIN}\nold\n{END}\n\n## License\n"
    found = update(text)
    assert found.endswith(f"# Mine\n\n{SECTION}\n## License\n")
    assert "old" not in found
    assert update(found) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# A card without metadata",
        "---\n---\n# Empty metadata\n",
        "---\n# only a comment\n---\n",
        "---\nlicense: mit\n---",
        "---\nlicense: mit\n---\nText\n\n---\n\nafter a rule\n",
        "\ufeff---\nlicense: mit\n---\n",
        "---\nmodel-index:\n---\n",
        "---\n'model-index' : []\nlicense: mit\n---\n",
        "---\nmodel-index: []\ntext: |\n  model-index:\n  - x\n---\n",
    ],
)
def test_whatever_a_card_looks_like(text: str) -> None:
    found = update(text)
    card = loaded(found.removeprefix("\ufeff"))
    assert [r.metric_value for r in card.data.eval_results] == [0.5]
    assert card.data.get("license") == ("mit" if "license" in text else None)
    assert found.count(SECTION) == 1
    body = file._FRONT.sub("", text)
    assert card.text.startswith(body)
    assert update(found) == found


def test_windows_line_ends_stay() -> None:
    found = update(HUMAN.replace("\n", "\r\n"))
    assert re.search(r"(?<!\r)\n", found) is None
    assert found.replace("\r\n", "\n") == update(HUMAN)


def test_another_entry_of_the_index_stays() -> None:
    other = "---\nmodel-index:\n- name: big\n  results: []\n- name: nf4\n  results: []\n---\n"
    index = file._read(file._FRONT.match(update(other))[2], "x")["model-index"]  # type: ignore[index]
    assert [(entry["name"], len(entry["results"])) for entry in index] == [("big", 0), ("nf4", 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "---\nlicense: mit\n# no end\n",
            "README.md: its front matter begins and never ends; add its last line, ---",
        ),
        (
            "---\na: [1\nb: 2\n---\n",
            "README.md: its front matter is malformed YAML (line 3): expected ',' or ']', but got "
            "':'",
        ),
        (
            "---\n- a\n---\n",
            "README.md: its front matter is list, expected keys with values",
        ),
        (
            "---\nmodel-index: none\n---\n",
            "README.md: its model-index is none: TypeError: string indices must be integers, not "
            "'str'; mend or remove it",
        ),
        (
            "---\nmodel-index:\n- name: x\n---\n",
            "README.md: its model-index is none: KeyError: 'results'; mend or remove it",
        ),
        (
            "---\n{license: mit, model-index: []}\n---\n",
            "README.md: its front matter cannot be updated without changing more than "
            "'model-index'; write one key a line, 'model-index' as the last",
        ),
        (
            "---\n{license: mit}\n---\n",
            "README.md: its front matter cannot be updated without changing more than "
            "'model-index'; write one key a line, 'model-index' as the last",
        ),
        (
            '---\ntext: "a\nmodel-index: b"\nmodel-index: []\n---\n',
            "README.md: its front matter cannot be updated without changing more than "
            "'model-index'; write one key a line, 'model-index' as the last",
        ),
        (
            f"{BEGIN}\n",
            f"README.md: expected one {BEGIN} and after it one {END}, found 1 and 0; remove what "
            "is too much",
        ),
        (
            f"{END}\n{BEGIN}\n",
            f"README.md: expected one {BEGIN} and after it one {END}, found 1 and 1; remove what "
            "is too much",
        ),
    ],
)
def test_what_is_no_card(text: str, message: str) -> None:
    with pytest.raises(CardError) as caught:
        update(text)
    assert str(caught.value) == message


def test_an_entry_that_the_hubs_library_refuses() -> None:
    broken = result(name="other")
    del broken["task"]["type"]
    text = file._dump([{"name": "x", "results": [broken]}])
    with pytest.raises(CardError, match=r"README.md: its model-index is none: Invalid `model_ind"):
        update(f"---\n{text}---\n")
