"""``modellab diagnose`` and ``modellab replay`` on folders: what is said, and the exit codes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli
from pytest_modellab.engines import memory
from pytest_modellab.lab.diagnosing import Diagnosing
from pytest_modellab.store import hashes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def broken_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("broken") / "model"
    shutil.copytree(model_folder, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(-4)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def here(
    model_folder: Path, broken_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with a model and a broken one, and a store of its own."""
    (tmp_path / "sound").symlink_to(model_folder)
    (tmp_path / "broken").symlink_to(broken_folder)
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_part_is_named_stored_and_replayed(here: Path, capsys: Capture) -> None:
    reports = ["--json", "d.json", "--markdown", "d.md", "--html", "d.html", "--bundle", "d.zip"]
    assert cli.main(["diagnose", "sound", "broken", *reports]) == 1
    said = capsys.readouterr()
    head = "[Diagnosis] broken against sound: layer.1.mlp.down_proj is scaled by -4"
    assert said.out.splitlines()[0] == head
    assert "restored 100 %" in said.out
    assert said.out.splitlines()[-1].endswith("report: d.html")
    replay = "modellab replay d.zip --base FOLDER --candidate FOLDER"
    assert f"wrote d.zip; elsewhere: {replay}\n" in said.err
    found = json.loads((here / "d.json").read_text(encoding="utf-8"))
    assert found["culprit"] == "layer.1.mlp.down_proj"
    assert head.removeprefix("[Diagnosis] ") in (here / "d.md").read_text(encoding="utf-8")
    (stored,) = (here / "cache" / "diagnoses").glob("*/diagnosis.json")

    stored.write_text(stored.read_text().replace("layer.1", "layer.0"))  # not believed
    assert cli.main(["diagnose", "sound", "broken"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == head
    assert "note: the diagnosis of broken is made again: diagnoses/" in said.err
    assert "is damaged: its digest does not match" in said.err

    assert cli.main(["replay", "d.zip"]) == 2
    assert "'sound' (from 'sound'), is no variant of a modellab.toml here" in (
        capsys.readouterr().err
    )
    folders = ["--base", "sound", "--candidate"]
    assert cli.main(["replay", "d.zip", *folders, "sound"]) == 2
    assert "sound is not the bundle's candidate, 'broken': its weights differ" in (
        capsys.readouterr().err
    )
    assert cli.main(["replay", "d.zip", *folders, "broken"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[Replay] broken against sound: reproduced"
    assert lines[1] == "  culprit      layer.1.mlp.down_proj"


def test_hashes_of_folders_are_remembered_unless_asked_for_anew(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = hashes._digest

    def counted(file: Any) -> str:
        read.append(file.name)
        return digest(file)

    size = (here / "sound" / "model.safetensors").stat().st_size
    monkeypatch.setattr(hashes, "LARGE", size)
    monkeypatch.setattr(hashes, "RACY", -60.0)
    monkeypatch.setattr(hashes, "_digest", counted)
    for options, count in (([], 2), ([], 0), (["--rehash"], 2)):
        del read[:]
        assert cli.main(["diagnose", "sound", "broken", "--adapter", "nowhere", *options]) == 2
        assert sum(name.endswith("model.safetensors") for name in read) == count


def test_equal_models_have_no_culprit(here: Path, capsys: Capture) -> None:
    assert cli.main(["diagnose", "sound", "sound"]) == 0
    assert capsys.readouterr().out.startswith("[Diagnosis] sound against sound: nothing is damaged")


def test_what_cannot_be_examined_is_one_sentence(here: Path, capsys: Capture) -> None:
    (here / "empty").mkdir()
    for arguments, message in (
        (["sound", "nowhere"], "'nowhere' is neither a variant nor a folder of a model"),
        (["sound", "empty"], "holds no weights (*.safetensors); save the model there"),
        (["broken"], "its base is not known: name it too, modellab diagnose BASE broken"),
        (["a b"], "known: name it too, modellab diagnose BASE 'a b'"),
        (["--training", "log.csv", "--adapter", "x"], "--training LOG stands alone, or beside"),
        (["--tokenizer", "sound", "--adapter", "x"], "--tokenizer FOLDER stands alone, or beside"),
        (["sound", "broken", "--task-set", "x"], "--task-set x: there is no modellab.toml here"),
    ):
        assert cli.main(["diagnose", *arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert message in said.err
        assert len(said.err.splitlines()) == 1


def test_too_little_memory_is_told_before_anything_is_loaded(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 2**29)
    assert cli.main(["diagnose", "sound", "broken"]) == 2
    assert (
        "too little memory to examine broken beside sound: about 1.0 GB are needed and 0.5 GB are "
        "free; close other programs, or examine them on a machine with more"
    ) in capsys.readouterr().err


def test_an_interruption_is_130(
    here: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Diagnosing, "_examined", interrupted)
    assert cli.main(["diagnose", "sound", "broken"]) == 130
    assert capsys.readouterr().err == "modellab: interrupted; nothing of the diagnosis is kept\n"
    assert not list((here / "cache").glob("**/diagnosis.json"))


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--tokens", "0", "'0' is no whole number from 1 to 1000000"),
        ("--long", "many", "'many' is no whole number from 1 to 1000000"),
        ("--budget", "-1", "'-1' is less than 0 seconds"),
        ("--budget", "nan", "'nan' is not a number"),
    ],
)
def test_a_wrong_option_is_named(capsys: Capture, option: str, value: str, message: str) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["diagnose", "a", "b", f"{option}={value}"])
    assert caught.value.code == 2
    assert f"argument {option}: {message}" in capsys.readouterr().err


def test_a_tokenizer_is_measured_by_itself(here: Path, capsys: Capture) -> None:
    assert cli.main(["diagnose", "--tokenizer", "sound", "broken", "--json", "t.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("texts", "bytes/token", "tokens/word", "parity", "unknown", "bytes", "lost"),
    ]
    assert lines[1].split()[0] == "English"
    assert "100.0% of its vocabulary stands in the other's, too" in lines
    assert "hardly trained, by the norms of their embeddings: '" in lines[-1]
    found = json.loads((here / "t.json").read_text(encoding="utf-8"))
    assert found["rows"][0]["parity"] == 1

    assert cli.main(["diagnose", "--tokenizer", "nowhere"]) == 2
    assert "--tokenizer: nowhere is no folder of a model" in capsys.readouterr().err
    assert cli.main(["diagnose", "--tokenizer", "sound", "--html", "t.html"]) == 2
    assert "--tokenizer FOLDER stands alone" in capsys.readouterr().err
