"""Whether a chat template asks for the date is found in a model's files, of every form."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from pytest_modellab.models import clock
from pytest_modellab.models.files import NO_FILES, ModelFiles
from pytest_modellab.records.declared import ModelSource

DATED = "Today is {{ strftime_now('%d %b %Y') }}."


def files(path: Path, tokenizer: ModelFiles | None = None) -> ModelFiles:
    return ModelFiles(ModelSource("tiny", str(path)), path, "w", "t", tokenizer)


@pytest.mark.parametrize(
    "name",
    [
        "chat_template.jinja",
        "chat_template.json",
        "tokenizer_config.json",
        "additional_chat_templates/tool_use.jinja",
    ],
)
@pytest.mark.parametrize("asks", [True, False])
def test_a_folder_and_the_tokenizer_of_an_onnx_file(tmp_path: Path, name: str, asks: bool) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"chat_template": DATED if asks else "{{ messages }}"}))
    (tmp_path / "tokenizer.json").write_text(DATED)  # whose tokens are no template
    found = files(tmp_path)
    assert clock.asked(found) is asks
    assert clock.asked(files(tmp_path / "model.onnx", found)) is asks


@pytest.mark.parametrize("asks", [True, False])
def test_a_zip(tmp_path: Path, asks: bool) -> None:
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("tokenizer_config.json", DATED if asks else "{}")
        archive.writestr("config.json", DATED)
    assert clock.asked(files(tmp_path / "model.zip")) is asks


def test_a_gguf_file(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(5000) + DATED.encode() + bytes(5000))
    assert clock.asked(files(path))
    path.write_bytes(b"GGUF" + bytes(5000))
    assert not clock.asked(files(path))
    path.write_bytes(b"")
    assert not clock.asked(files(path))
    assert not clock.asked(NO_FILES)
