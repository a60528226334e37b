"""The files beside a model's file that hold its weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from opening import opened

from pytest_modellab.engines.encoders import onnx_graph
from pytest_modellab.errors import ModelError
from pytest_modellab.models import convert, locate, parts
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource


def located(path: Path, **options: Any) -> ModelFiles:
    return locate.locate(ModelSource("tiny", str(path), **options), path.parent)


def message(path: Path, **options: Any) -> str:
    """What ``locate`` says after the model's name and source."""
    with pytest.raises(ModelError) as caught:
        located(path, **options)
    return str(caught.value).removeprefix(f"model 'tiny' (source = {str(path)!r}): ")


# --- graphs ---------------------------------------------------------------------------------------


def write_graph(path: Path, *, external: bool = True, **options: Any) -> None:
    """Write a graph that looks tokens up in a table of 8 lines, and adds numbers to each."""
    np, onnx = pytest.importorskip("numpy"), pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    table = np.arange(32, dtype=np.float32).reshape(8, 4)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["plain"]),
        helper.make_node("Add", ["plain", "a" * 200], ["more"]),
        helper.make_node("Constant", [], ["b"], value=numpy_helper.from_array(table[:1], "b")),
        helper.make_node("Add", ["more", "b"], ["tokens"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])],
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, ["batch", "tokens", 4])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.ones(4, np.float32), "a" * 200),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test"
    )
    helper.set_model_props(model, {"location": "no file but a place"})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path, save_as_external_data=external, size_threshold=0, **options)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path / "base"
    folder.mkdir()
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "a": 1}, "[UNK]"))
    words.save(str(folder / "tokenizer.json"))
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_text("{}")
    return folder


FORMS: dict[str, dict[str, Any]] = {
    "one file": {"location": "model.onnx_data"},
    "a name that onnx makes up": {},
    "a file a tensor": {"all_tensors_to_one_file": False},
    "attributes, too": {"all_tensors_to_one_file": False, "convert_attribute": True},
}


@pytest.mark.parametrize("form", FORMS)
def test_external_data_is_hashed_and_taken_along(
    form: str, tokenizer: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    from onnx import external_data_helper, load

    path = tmp_path / "graph" / "model.onnx"
    write_graph(path, **FORMS[form])
    names = sorted(place.name for place in path.parent.iterdir() if place != path)
    assert names
    tensors = external_data_helper._get_all_tensors(load(path, load_external_data=False))
    places = {external_data_helper.ExternalDataInfo(tensor).location for tensor in tensors}
    before = located(path, tokenizer=str(tokenizer))
    assert parts.of_file(before.source, path) == [path.parent / name for name in names]
    assert places - {""} == set(names)
    folder = convert.folder(before, tmp_path / "cache")
    with opened(folder) as read:
        encoder = onnx_graph.load(folder, key="k", prompts={}, max_tokens=None, pooling="mean")
    assert {"model.onnx", *names} <= read
    assert encoder.encode(["a"], "query").tolist() == [[5, 7, 9, 11]]
    made = locate.made(before.source, folder)
    assert read == {place.relative_to(folder).as_posix() for place in made.hashed}
    for name in names:
        content = (path.parent / name).read_bytes()
        (path.parent / name).unlink()
        assert message(path, tokenizer=str(tokenizer)) == (
            f"{path.parent / name} is missing, but model.onnx has weights in it; copy it from "
            "where the graph is from, to the same place beside it"
        )
        (path.parent / name).write_bytes(content[::-1])
        changed = located(path, tokenizer=str(tokenizer))
        assert changed.weights != before.weights
        other = convert.folder(changed, tmp_path / "cache")
        assert locate.made(before.source, other).weights != made.weights
        (path.parent / name).write_bytes(content)
    assert located(path, tokenizer=str(tokenizer)) == before
    assert convert.folder(before, tmp_path / "cache") == folder
    assert locate.made(before.source, folder) == made


def test_external_data_in_a_folder_below(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "graph" / "model.onnx"
    (path.parent / "data").mkdir(parents=True)
    write_graph(path, location="data/weights.bin")
    files = located(path, tokenizer=str(tokenizer))
    folder = convert.folder(files, tmp_path / "cache")
    assert (folder / "data" / "weights.bin").read_bytes()


def test_external_data_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "graph" / "model.onnx"
    write_graph(path, location="model.onnx_data")
    path.write_bytes(path.read_bytes().replace(b"model.onnx_data", b"../ther/to_data"))
    assert message(path) == (
        f"{path} has weights in '../ther/to_data', which is not below its own folder; save them "
        "beside it: onnx.save(onnx.load(…), …, save_as_external_data=True)"
    )


def test_a_graph_with_its_weights_has_no_parts(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_graph(path, external=False)
    assert parts.of_file(ModelSource("tiny", ""), path) == []
    path.write_bytes(b"")
    assert parts.of_file(ModelSource("tiny", ""), path) == []


def test_a_declared_hash_is_over_the_external_data_too(tokenizer: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_graph(path, location="model.onnx_data")
    options = {"tokenizer": str(tokenizer)}
    right = located(path, **options).weights
    assert located(path, sha256=right, **options).weights == right
    (tmp_path / "model.onnx_data").write_bytes(b"other")
    assert message(path, sha256=right, **options).startswith(f"{path} has sha256 ")


# --- split GGUF files -----------------------------------------------------------------------------


def test_a_split_gguf_file(tmp_path: Path) -> None:
    names = [f"tiny-0000{k}-of-00003.gguf" for k in (1, 2, 3)]
    for name in names:
        (tmp_path / name).write_text(name)
    first = tmp_path / names[0]
    before = located(first)
    for name in names:
        (tmp_path / name).write_text("changed")
        assert located(first).weights != before.weights
        (tmp_path / name).write_text(name)
    assert located(first) == before
    assert message(tmp_path / names[1]) == (
        f"{tmp_path / names[1]} is a part of a split file; name the first: {names[0]}"
    )
    pytest.importorskip("gguf")
    with pytest.raises(ModelError) as caught:
        convert.folder(before, tmp_path / "cache")
    assert str(caught.value).endswith(
        f"{first} is the first of several files, and transformers reads one; join them with "
        f"llama.cpp: llama-gguf-split --merge {names[0]} WHOLE.gguf, and name that"
    )
    (tmp_path / names[2]).unlink()
    assert message(first) == (
        f"{tmp_path / names[2]} is missing: by its name, {names[0]} is the first of 3 files; copy "
        "all of them, or rename the file if it is whole"
    )


def test_a_gguf_file_of_one_part(tmp_path: Path) -> None:
    path = tmp_path / "tiny-00001-of-00001.gguf"
    path.write_bytes(b"x")
    assert parts.of_file(ModelSource("tiny", ""), path) == []
    plain = shutil.copy(path, tmp_path / "tiny.gguf")
    assert located(path).weights == located(Path(plain)).weights
