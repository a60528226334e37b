"""Why a GGUF file does not load, in llama.cpp's own words; files in parts."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gguf_files import write_gguf

from pytest_modellab.engines.language import gguf_model, gguf_tokenizer, llamacpp_server
from pytest_modellab.errors import ModelError

gguf = pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

ANEW = "convert it anew from the base, with a llama.cpp as new as the installed xllamacpp"
DAMAGED = "the file is damaged or not whole: copy or download it again"


def said(path: Path, folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        gguf_model.load(path, folder)
    return str(caught.value).removeprefix(str(path))


def test_the_reason_is_llama_cpps_own(
    model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.gguf"
    write_gguf(model_folder, path, leave_out={"merges"})
    assert said(path, model_folder) == (
        ": llama.cpp cannot load it: error loading model vocabulary: cannot find tokenizer merges "
        f"in model file; {ANEW}"
    )
    write_gguf(model_folder, path, architecture="lamma")
    assert said(path, model_folder) == (
        ": llama.cpp cannot load it: unknown model architecture: 'lamma'; a newer xllamacpp may "
        "know it (pip install --upgrade xllamacpp); or run the folder that the file was converted "
        "from"
    )
    write_gguf(model_folder, path, leave_out={"blk.1.attn_q.weight"})
    assert said(path, model_folder) == (
        ": llama.cpp cannot load it: check_tensor_dims: tensor 'blk.1.attn_q.weight' not found"
    )
    write_gguf(model_folder, path, endianess=gguf.GGUFEndian.BIG)
    capfd.readouterr()  # what reading the model for the file wrote
    told = said(path, model_folder)
    assert told.startswith(": llama.cpp cannot load it: failed to load model: this GGUF file ")
    assert told.endswith(f"a mismatch between the host and model endianness?; {ANEW}")
    assert capfd.readouterr() == ("", "")


def test_what_gguf_cannot_read(model_folder: Path, tmp_path: Path) -> None:
    path = write_gguf(model_folder, tmp_path / "a.gguf")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5000])
    assert said(path, model_folder) == (
        " is not a GGUF file that can be read: tensor 'blk.1.ffn_down.weight' data is not within "
        f"the file bounds, model is corrupted or incomplete; {DAMAGED}"
    )
    path.write_bytes(whole[:4] + struct.pack("<I", 99) + whole[8:])
    assert said(path, model_folder) == (
        " is not a GGUF file that can be read: this GGUF file is version 99 but this software only "
        f"supports up to version 3; {ANEW}"
    )
    path.write_bytes(b"")
    assert said(path, model_folder) == (
        f" is not a GGUF file that can be read: failed to read magic; {DAMAGED}"
    )


def test_what_is_no_model(model_folder: Path, tmp_path: Path) -> None:
    path = write_gguf(model_folder, tmp_path / "a.gguf", leave_out={"context_length"})
    assert said(path, model_folder) == (
        " does not say how many tokens its model was trained for (the key "
        "ARCHITECTURE.context_length): convert it anew from the base"
    )
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_token_list(["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert said(path, model_folder) == (
        " holds no weights, only a head (a vocabulary or another's metadata): name the file with "
        "the model"
    )


def test_a_file_in_parts(model_folder: Path, tmp_path: Path) -> None:
    whole = gguf_tokenizer.read(write_gguf(model_folder, tmp_path / "whole.gguf"))
    write_gguf(model_folder, tmp_path / "a.gguf", split_max_tensors=8)
    parts = [tmp_path / f"a-0000{k}-of-00003.gguf" for k in (1, 2, 3)]
    assert gguf_tokenizer.read(parts[0]).parameter_bytes == whole.parameter_bytes
    gguf_model.load(parts[0], model_folder).close()
    mend = (
        "as its head says: name the first, and give all parts the names they were made with "
        "(…-0000{}-of-00003.gguf), in one folder"
    )
    assert said(parts[1], model_folder) == f" is part 2 of 3, {mend.format(2)}"
    renamed = parts[0].rename(tmp_path / "b.gguf")
    assert said(renamed, model_folder) == f" is part 1 of 3, {mend.format(1)}"


def test_the_first_error_is_picked() -> None:
    log = (
        "0.00.001 W srv   init: no API key\n"
        "0.00.003 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 8"
        "\n0.00.004 E llama_model_load_from_file_impl: failed to load model\n"
    )
    assert llamacpp_server.picked(log) == (
        "failed to allocate buffer of size 8; it needs more memory than is free: free some, or "
        "take a file of fewer bits"
    )
    shown = llamacpp_server.picked("0.1 E x: \x1b[2Jodd \u202e name\n")
    assert shown == "\\x1b[2Jodd \\u202e name"
    assert llamacpp_server.picked("0.1 E srv  init: exiting due to model loading error\n") == (
        "exiting due to model loading error"
    )
    assert llamacpp_server.picked("no log at all") == ""


def test_without_an_answer_the_server_is_quoted(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_gguf(model_folder, tmp_path / "a.gguf", leave_out={"merges"})
    monkeypatch.setattr(llamacpp_server, "SECONDS", 0)
    assert said(path, model_folder) == (
        ": llama.cpp cannot load it: Failed to init server, please check the input params."
    )
