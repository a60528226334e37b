"""GGUF files that are whole but cannot be converted: what is wrong, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf_files import write_gguf

from pytest_modellab.errors import ModelError
from pytest_modellab.models import convert, locate
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt

gguf = pytest.importorskip("gguf")


def said(path: Path) -> str:
    files = locate.locate(ModelSource("m", str(path)), path.parent)
    with pytest.raises(ModelError) as caught:
        convert.folder(files, path.parent / "cache")
    return str(caught.value).removeprefix(f"model 'm' (source = '{path}'): ")


def test_what_is_wrong(model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    write_gguf(model_folder, path, leave_out={"merges"})
    assert said(path) == (
        f"{path} has no merges of its tokenizer (tokenizer.ggml.merges): convert it anew from its "
        "folder"
    )
    write_gguf(model_folder, path, endianess=gguf.GGUFEndian.BIG)
    assert said(path) == (
        f"{path} is made for processors of the other byte order: convert it anew, or with "
        "gguf-convert-endian of the package gguf"
    )
    write_gguf(model_folder, path, architecture="lamma")
    assert said(path) == (
        f"transformers cannot convert {path}: GGUF model with architecture lamma is not supported "
        "yet. Name the folder that it was made from; llama.cpp may run the file as it is, as a "
        'variant with kind = "quantized" and method = "gguf"'
    )
    path.write_bytes(path.read_bytes()[:-5000])
    assert said(path).endswith(
        "; copy or download it again, or convert it anew if it is of another version"
    )
    writer = gguf.GGUFWriter(path, "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert said(path) == f"{path} holds no weights, only a head: name the file with the model"


def test_no_chat_template(model_folder: Path, tmp_path: Path) -> None:
    path = write_gguf(model_folder, tmp_path / "a.gguf")
    source = ModelSource("m", str(path))
    plan = Plan(model=source, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    with pytest.raises(ModelError) as caught:
        loading.load(plan, locate.locate(source, tmp_path), tmp_path / "cache")
    assert str(caught.value) == (
        f"model 'm' (source = '{path}'): {path} holds no chat template (tokenizer.chat_template); "
        "name the folder that it was made from, or write a file that has one: gguf-new-metadata "
        "--chat-template-file chat_template.jinja a.gguf NEW.gguf"
    )
