"""Which files of a folder belong to a model's fingerprint, whatever their folders are called."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import ModelError
from pytest_modellab.models import locate, sources
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource


def found(folder: Path, **options: Any) -> ModelFiles:
    return locate.locate(ModelSource("tiny", str(folder), **options), folder)


def message(folder: Path, **options: Any) -> str:
    """What ``locate`` says after the model's name and source."""
    with pytest.raises(ModelError) as caught:
        found(folder, **options)
    return str(caught.value).removeprefix(f"model 'tiny' (source = {str(folder)!r}): ")


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return write(tmp_path / "model", "model.safetensors", "config.json", "tokenizer.json")


def write_modules(folder: Path, *places: str) -> None:
    modules = [{"idx": i, "path": place, "type": "T"} for i, place in enumerate(places)]
    (folder / "modules.json").write_text(json.dumps(modules))


def is_part(folder: Path, name: str, **options: Any) -> bool:
    """Whether a change of a file, or of whether it is there, changes a fingerprint."""
    before = found(folder, **options)
    with (folder / name).open("a") as file:
        file.write(" ")
    after = found(folder, **options)
    return (before.weights, before.tokenizer) != (after.weights, after.tokenizer)


@pytest.mark.parametrize(
    "name",
    [
        "2_Dense/model.safetensors",
        "projection/model.safetensors",  # any name may be given in modules.json
        "2_Dense/vocabulary.dat",
        "1_Router/query_0_Dense/model.safetensors",
        "1_Router/query_0_Dense/inner/pytorch_model.bin",
    ],
)
def test_every_file_of_a_module_is_hashed(plain: Path, name: str) -> None:
    write(plain, name)
    write_modules(plain, "", name.partition("/")[0])
    assert is_part(plain, name)


def test_a_module_may_have_no_folder(plain: Path) -> None:
    """Normalize has no settings, and git and the hub keep no empty folders."""
    write(plain, "1_Pooling/config.json")
    write_modules(plain, "", "1_Pooling", "2_Normalize")
    assert plain / "1_Pooling" / "config.json" in found(plain).hashed


@pytest.mark.parametrize("trusted", [False, True])
def test_the_hub_is_asked_for_all_that_is_read(
    plain: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    names = (
        "2_Dense/model.safetensors",
        "1_Router/query_0_Dense/config.json",
        "additional_chat_templates/tools.jinja",
        "0_Transformer/sentencepiece.bpe.model",
        "source.spm",
        *(("inner/modeling.py", "2_Dense/pytorch_model.bin") if trusted else ()),
    )
    write(plain, *names, "model.gguf", "tf_model.h5", "README.md")
    write_modules(plain, "", "0_Transformer", "1_Router", "2_Dense")
    asked: list[str] = []

    def snapshot(repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        assert (repository, revision) == ("a/b", "v1")
        asked.extend(allow_patterns)
        return str(plain)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    source = ModelSource(
        "tiny", "a/b", trust_remote_code=trusted, allow_pickle=trusted, revision="v1"
    )
    files = locate.locate(source, plain)
    read = {path.relative_to(plain).as_posix() for path in files.hashed}
    assert {*names} < read
    assert locate.made(source, plain).weights == files.weights
    assert set(hub.utils.filter_repo_objects(read, allow_patterns=asked)) == read
    assert (
        set(hub.utils.filter_repo_objects(["model.gguf", "tf_model.h5"], allow_patterns=asked))
        == set()
    )


@pytest.mark.parametrize("router", ["router_config.json", "config.json"])
def test_the_folder_itself_may_be_a_router(plain: Path, router: str) -> None:
    write_modules(plain, "")
    (plain / router).write_text(json.dumps({"types": {"query_0_Dense": "T", "document": "T"}}))
    for name in (router, "query_0_Dense/model.safetensors", "document/model.safetensors"):
        assert is_part(write(plain, name) if "/" in name else plain, name)


@pytest.mark.parametrize(
    "name",
    [
        "additional_chat_templates/tools.jinja",
        "audio_tokenizer_config.json",
        "bpe.codes",
        "chat_template.jinja",
        "preprocessor_config.json",
        "processor_config.json",
        "quantize_config.json",
        "sentence_xlnet_config.json",
        "sentencepiece.bpe.model",
        "tekken.json",
        "video_preprocessor_config.json",
        "vocab.txt",
        "wordembedding_config.json",
    ],
)
def test_what_is_read_beside_the_weights(plain: Path, name: str) -> None:
    assert is_part(write(plain, name), name)


def test_what_tokenizers_and_processors_of_transformers_are_made_of(plain: Path) -> None:
    """By the library's own lists, read without importing its hundreds of modules."""
    transformers = pytest.importorskip("transformers")
    place = Path(transformers.__file__).parent
    listed = re.compile(r"VOCAB_FILES_NAMES[^=]*= \{(.*?)\}", re.DOTALL)
    names = {
        name
        for path in place.rglob("tokenization_*.py")
        for found in listed.findall(path.read_text(encoding="utf-8"))
        for name in re.findall(r':\s*"([^"]+)"', found)
    }
    assert {"spiece.model", "bpe.codes", "vocab.txt"} < names
    constants = vars(transformers.utils)
    names |= {v for k, v in constants.items() if k.endswith("_NAME") and str(v).endswith(".json")}
    names -= {"modelcard.json", "adapter_config.json"}  # a text for people; refused
    write(plain, *names)
    for name in names:
        if name.endswith(".index.json"):
            (plain / name).write_text('{"weight_map": {}}')
    assert names - {path.name for path in found(plain).hashed} == set()
    assert [name for name in names if not name.endswith(sources.PLAIN)] == []


@pytest.mark.parametrize(
    "name", ["README.md", "modeling.py", "onnx/model.onnx", "trainer_state.json", ".cache/a.json"]
)
def test_what_is_not_read(plain: Path, name: str) -> None:
    assert not is_part(write(plain, name), name)


def test_the_index_and_shards_in_folders(plain: Path) -> None:
    (plain / "model.safetensors").rename(plain / "a.safetensors")
    index = write(plain, "parts/b.safetensors") / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "a.safetensors", "b": "parts/b.safetensors"}}')
    assert all(is_part(plain, name) for name in ("parts/b.safetensors", index.name))
    index.write_text('{"weight_map": {"a": "../b.safetensors"}}')
    assert message(plain) == (
        f"{index} names '../b.safetensors', which is not below the model's own folder; copy what "
        "is there into the folder, and name it by a relative path"
    )


def test_weights_that_the_configuration_names(plain: Path) -> None:
    index = "half/all.safetensors.index.json"
    write(plain, "half/a.safetensors", "half/b.safetensors")
    (plain / "config.json").write_text('{"transformers_weights": "half/a.safetensors"}')
    assert is_part(plain, "half/a.safetensors")
    (plain / "config.json").write_text(json.dumps({"transformers_weights": index}))
    assert message(plain) == (
        f"{plain / index} is missing, but config.json names it; copy or download the folder again"
    )
    (plain / index).write_text('{"weight_map": {"b": "b.safetensors"}}')
    assert is_part(plain, index)
    assert is_part(plain, "half/b.safetensors")
    (plain / "config.json").write_text('{"transformers_weights": "../a.safetensors"}')
    assert message(plain).startswith(f"{plain / 'config.json'} names '../a.safetensors', which is")


def test_shards_of_pickles(plain: Path) -> None:
    (plain / "model.safetensors").rename(plain / "a.bin")
    (plain / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "a.bin", "b": "b"}}')
    assert message(plain, allow_pickle=True) == (
        f"{plain / 'b'} is missing, but pytorch_model.bin.index.json names it; "
        "copy or download the folder again"
    )
    assert is_part(write(plain, "b"), "b", allow_pickle=True)


@pytest.mark.parametrize("name", ["modeling.py", "deep/inside.py", "tables/words.dat"])
def test_trusted_code_may_read_anything(plain: Path, name: str) -> None:
    assert is_part(write(plain, name), name, trust_remote_code=True)


@pytest.mark.parametrize("place", ["../elsewhere", "/elsewhere", "a/../../b"])
def test_a_module_outside(plain: Path, place: str) -> None:
    write_modules(plain, "", place)
    assert message(plain) == (
        f"{plain / 'modules.json'} names {place!r}, which is not below the model's own folder; "
        "copy what is there into the folder, and name it by a relative path"
    )


@pytest.mark.parametrize("text", ["", "{", "3", "null", '{"a": 1}', "[1]", '[{"type": "T"}]'])
def test_damaged_modules(plain: Path, text: str) -> None:
    (plain / "modules.json").write_text(text)
    assert message(plain) == (
        f"{plain / 'modules.json'} is not a list of modules with type and path; copy or download "
        "the folder again"
    )


def test_an_adapter_in_a_models_folder(plain: Path) -> None:
    """transformers puts it on where peft is installed, and leaves it where it is not."""
    write(plain, "adapter_config.json", "adapter_model.safetensors")
    assert message(plain) == (
        f"{plain / 'adapter_config.json'}: an adapter lies where a model should, and whether it is "
        "put on, and on which base, depends on what is installed. Merge it and save the result "
        "(merge_and_unload(), then save_pretrained()); for a language model, you can also declare "
        'its base here and the adapter as a variant: kind = "lora", adapter = "FOLDER"'
    )


def test_a_tokenizer_elsewhere(plain: Path) -> None:
    path = plain / "sentence_bert_config.json"
    path.write_text('{"max_seq_length": 8, "tokenizer_name_or_path": null}')
    found(plain)
    path.write_text('{"max_seq_length": 8, "tokenizer_name_or_path": "someone/words"}')
    assert message(plain) == (
        f"{path}: takes the tokenizer from 'someone/words', which is in no hash of this model; "
        "copy its files beside it, and leave out tokenizer_name_or_path"
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "modules.json"])
def test_code_of_another_repository(
    plain: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in models whose code several of them share; it runs where it is trusted."""
    hub = pytest.importorskip("huggingface_hub")
    code = write(tmp_path / "hub", "modeling.py", "inner/more.py")
    asked: list[tuple[str, object]] = []

    def snapshot(repository: str, *, revision: None, allow_patterns: object) -> str:
        asked.append((repository, allow_patterns))
        return str(code)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    text = '[{"path": "", "type": "a-b/c.d--modeling.Model"}]'
    if name != "modules.json":
        text = '{"auto_map": {"AutoModel": "a-b/c.d--modeling.Model", "AutoConfig": "own.Config"}}'
    (plain / name).write_text(text)
    before = found(plain, trust_remote_code=True)
    assert asked == [("a-b/c.d", ["*.py"])]
    assert {code / "modeling.py", code / "inner" / "more.py"} < before.hashed
    (code / "inner" / "more.py").write_text("changed")
    assert found(plain, trust_remote_code=True).weights != before.weights
    found(plain)
    assert len(asked) == 2, "code that is not trusted is not asked for"

    def offline(*_: object, **__: object) -> str:
        raise OSError("offline")

    monkeypatch.setattr(hub, "snapshot_download", offline)
    assert message(plain, trust_remote_code=True) == (
        "its configuration takes code from a-b/c.d, and the hub gave none of that id (offline). "
        "Check the name; where HF_HUB_OFFLINE is set nothing is downloaded: unset it, or first, "
        "where there is a network: hf download a-b/c.d"
    )
