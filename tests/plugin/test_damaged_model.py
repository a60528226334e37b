"""A model folder whose files hold something else is an error of the call, and no verdict."""

from __future__ import annotations

import json

import pytest

from pytest_modellab import cli

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "null"),
        ("config.json", "[]"),
        ("config.json", DEEP),
        ("tokenizer_config.json", "null"),
        ("tokenizer_config.json", '{"tokenizer_class": 5, "chat_template": 7}'),
        ("tokenizer.json", "null"),
        ("generation_config.json", "[]"),
    ],
    ids=lambda text: text[:20],
)
def test_a_file_that_holds_something_else(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
) -> None:
    monkeypatch.chdir(project.path)
    (project.path / "model" / name).write_text(text)
    assert cli.main(["accept", "plain"]) == 2
    folder = (project.path / "model").resolve()
    assert capsys.readouterr().err.startswith(
        f"modellab: variant 'plain' on 'words': {folder}: transformers cannot load it: "
    )


@pytest.mark.parametrize(
    "text", [DEEP, json.dumps({"weight_map": {"a": 5}})], ids=["deep", "a number"]
)
def test_an_index_that_names_no_shards(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    monkeypatch.chdir(project.path)
    index = project.path / "model" / "model.safetensors.index.json"
    index.write_text(text)
    assert cli.main(["accept", "plain"]) == 2
    assert capsys.readouterr().err == (
        "modellab: variant 'plain' on 'words': model 'tiny' (source = 'model'): "
        f"{index.resolve()} names no shards (weight_map); copy or download the folder again\n"
    )
