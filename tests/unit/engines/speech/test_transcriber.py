"""Recordings in, words out: Whisper by CTranslate2 and transformers' models, of one layer."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("faster_whisper")

from ctranslate2_files import model_bin
from tiny_speech import aligner_folder, converted_folder, recording, whisper_folder

from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.speech import torch_speech, whisper
from pytest_modellab.engines.speech.settings import Settings
from pytest_modellab.engines.speech.transcriber import Heard, Transcriber
from pytest_modellab.errors import ModelError, ScoringError, VariantLoadError
from pytest_modellab.media import sound
from pytest_modellab.records.media import Media
from pytest_modellab.records.runs import Output

TORCH = Settings(runtime="transformers", beam_size=1)
PLAIN = Settings(beam_size=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("speech")
    whisper_folder(root / "a", seed=3)
    whisper_folder(root / "b", seed=4)
    whisper_folder(root / "wide", width=32)
    aligner_folder(root / "aligner")
    for name in ("a", "b", "wide"):
        converted_folder(root / f"{name}.ct2", root / name)
    return root


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Media]:
    root = tmp_path_factory.mktemp("tones")
    return [recording(root / f"{pitch}.wav", pitch=pitch) for pitch in (110.0, 880.0)]


def of(loaded: Any, **others: Any) -> Any:
    """Make a model of one loaded one, but for the parts that others lend."""
    make: Any = whisper.Whisper if isinstance(loaded, whisper.Loaded) else torch_speech.Speech
    return make(**{"preprocessing": loaded, "encoder": loaded, "decoder": loaded, **others})


def load(folder: Path, **changes: Any) -> Any:
    if folder.suffix == ".ct2":
        return whisper.load(folder, dataclasses.replace(PLAIN, **changes), device="cpu")
    return torch_speech.load(folder, dataclasses.replace(TORCH, **changes), device="cpu")


def answers(engine: Transcriber, *requests: Sequence[Media], skip: set[int] | None = None) -> Any:
    found: dict[int, Output] = {}
    engine.generate(
        [GenerationRequest("Write.", 6, media=tuple(media)) for media in requests],
        budget=1,
        skip=skip or set(),
        done=found.update,
    )
    return {index: (output.text, output.tokens_out) for index, output in found.items()}


@pytest.mark.parametrize("name", ["a", "a.ct2", "aligner"])
def test_two_loads_hear_the_same(models: Path, tones: Sequence[Media], name: str) -> None:
    first, second = (Transcriber(of(load(models / name))) for _ in range(2))
    heard = answers(first, [tones[0]], [tones[1]])
    assert heard == answers(second, [tones[0]], [tones[1]])
    assert answers(second, [tones[0]], [tones[1]], skip={0}) == {1: heard[1]}
    assert first.parameter_bytes() == second.parameter_bytes() > 0
    assert first.environment()["threads"] >= 1
    assert all(tokens > 0 for _, tokens in heard.values())


def test_recordings_of_a_sample_are_lines(models: Path, tones: Sequence[Media]) -> None:
    engine = Transcriber(of(load(models / "a")))
    apart = answers(engine, [tones[0]], [tones[1]])
    together = answers(engine, tones)
    assert together[0] == (f"{apart[0][0]}\n{apart[1][0]}", apart[0][1] + apart[1][1])


def test_seconds_are_measured(models: Path, tones: Sequence[Media]) -> None:
    found: dict[int, Output] = {}
    Transcriber(of(load(models / "aligner"))).generate(
        [GenerationRequest("", 4, media=(tones[0],))], budget=1, skip=set(), done=found.update
    )
    assert found[0].seconds > 0
    assert found[0].tokens_in == 0


def test_what_is_no_question_for_it(models: Path) -> None:
    engine = Transcriber(of(load(models / "aligner")))
    engine.score_options([], budget=1, skip=set(), done=lambda _: None)
    with pytest.raises(ScoringError) as caught:
        engine.score_options(
            [ScoringRequest("a", ("b",))], budget=1, skip=set(), done=lambda _: None
        )
    assert str(caught.value) == (
        "a transcriber writes down what it hears and weighs no options; choose a scorer of "
        'replies: scorer = "wer"'
    )
    with pytest.raises(ScoringError) as caught:
        answers(engine, [])
    assert str(caught.value) == (
        "a sample ('Write.') holds no recording, and a transcriber hears nothing else; give each "
        'sample an "audio"'
    )
    assert engine.render([{"role": "user", "content": "Write."}]) == "Write."
    assert sorted(engine.abilities) == ["generate"]
    assert sorted(engine.media) == ["audio"]


class Ears:
    """Hears how many samples there are."""

    sample_rate = 8000

    def hear(self, waveform: Any, most: int) -> Heard:
        return Heard(f"{len(waveform)} samples, {most} tokens", 1)

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 0

    def close(self) -> None:
        return


def test_recordings_are_resampled_to_the_model_s_rate(tones: Sequence[Media]) -> None:
    assert answers(Transcriber(Ears()), [tones[0]]) == {0: ("4000 samples, 6 tokens", 1)}


@pytest.mark.parametrize("name", ["a", "a.ct2"])
def test_another_rate_is_taken_for_the_one_of_training(
    models: Path, tones: Sequence[Media], name: str
) -> None:
    """Half as many samples are heard twice as fast, and nothing complains."""
    eight = of(load(models / name, sample_rate=8000))
    assert eight.sample_rate == 8000
    slow = sound.waveform(tones[0], 8000)
    assert eight.hear(slow, 6) == of(load(models / name)).hear(slow, 6)


@pytest.mark.parametrize("name", ["a", "a.ct2"])
def test_long_recordings_are_heard_window_after_window(
    models: Path, tmp_path: Path, name: str
) -> None:
    model = of(load(models / name))
    long = sound.waveform(recording(tmp_path / "long.wav", seconds=31), 16000)
    assert model.hear(long, 6).tokens > model.hear(long[: 16000 * 30], 6).tokens


@pytest.mark.parametrize("ending", ["", ".ct2"])
def test_a_part_of_another_model(models: Path, tones: Sequence[Media], ending: str) -> None:
    def heard(**names: str) -> Any:
        loaded = {name: load(models / f"{name}{ending}") for name in {"a", *names.values()}}
        lent = {part: loaded[name] for part, name in names.items()}
        return answers(Transcriber(of(loaded["a"], **lent)), [tones[0]], [tones[1]])

    own, other = heard(), heard(preprocessing="b", encoder="b", decoder="b")
    assert own != other
    assert heard(encoder="b") != own
    assert heard(decoder="b") not in (own, heard(encoder="b"))
    assert heard(preprocessing="b") == own  # features are the same of both
    assert heard(encoder="b", decoder="b") == other


@pytest.mark.parametrize("ending", ["", ".ct2"])
def test_a_part_of_another_width(models: Path, ending: str) -> None:
    narrow, wide = (load(models / f"{name}{ending}") for name in ("a", "wide"))
    with pytest.raises(VariantLoadError) as caught:
        of(narrow, encoder=wide)
    assert str(caught.value) == (
        f"encoder: 32 wide in {models / f'wide{ending}'}, and the decoder of "
        f"{models / f'a{ending}'} takes 16; only parts of one size swap"
    )


def test_parts_of_another_kind_of_model(models: Path) -> None:
    whole, aligner = load(models / "a"), load(models / "aligner")
    with pytest.raises(VariantLoadError) as caught:
        of(whole, encoder=aligner)
    assert str(caught.value).startswith(f"encoder: 16 (CTC) wide in {models / 'aligner'}, and")
    with pytest.raises(VariantLoadError) as caught:
        of(whole, preprocessing=aligner)
    assert str(caught.value) == (
        f"preprocessing: no mel bands in {models / 'aligner'}, and the encoder of {models / 'a'} "
        "takes 80"
    )


def test_bytes_follow_the_compute_type(models: Path) -> None:
    sizes = {
        kind: of(load(models / "a.ct2", compute_type=kind)).parameter_bytes()
        for kind in ("float32", "int8")
    }
    assert 0 < sizes["int8"] < sizes["float32"]
    loaded = load(models / "a.ct2")
    head = dataclasses.replace(loaded.head, tensors={}, aliases={})
    assert dataclasses.replace(loaded, head=head).size("encoder") == 0


def test_a_compute_type_that_this_processor_has_not(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda _: {"float32", "int8"})
    with pytest.raises(VariantLoadError) as caught:
        load(models / "a.ct2", compute_type="int8_float16")
    assert str(caught.value) == (
        "compute_type: CTranslate2 does not compute in 'int8_float16' on this cpu: float32, int8"
    )


def test_a_language_that_it_does_not_hear(models: Path) -> None:
    with pytest.raises(VariantLoadError) as caught:
        load(models / "a.ct2", language="de")
    assert str(caught.value) == f"language: 'de' is none that {models / 'a.ct2'} hears: en"


def copied(models: Path, folder: Path) -> Path:
    return Path(shutil.copytree(models / "a.ct2", folder / "model.ct2"))


def test_damaged_folders(models: Path, tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        with pytest.raises(ModelError) as caught:
            load(folder)
        return str(caught.value)

    folder = copied(models, tmp_path / "weights")
    file = folder / "model.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert said(folder).startswith(f"{file}: it ends within ")
    assert said(folder).endswith("; copy or download it again")
    file.write_bytes(model_bin(spec="TransformerSpec"))
    assert said(folder) == (
        f"{file} holds a Transformer, which does not transcribe; name a Whisper that "
        "ct2-transformers-converter made"
    )
    file.write_bytes(model_bin())
    assert said(folder).startswith(f"{folder}: CTranslate2 cannot load it: ")

    folder = copied(models, tmp_path / "tokenizer")
    tokenizer = folder / "tokenizer.json"
    content = json.loads(tokenizer.read_text())
    content["added_tokens"] = content["added_tokens"][:1]
    tokenizer.write_text(json.dumps(content))
    assert said(folder) == (
        f"{tokenizer} has no <|startoftranscript|>: it is of no Whisper; copy the one of the model "
        "that this was converted from"
    )
    tokenizer.write_text("{")
    assert said(folder).startswith(f"{folder}: CTranslate2 cannot load it: ")
    tokenizer.unlink()
    assert said(folder).startswith(f"{folder} holds no tokenizer.json, which else is downloaded")


def test_a_folder_that_transformers_cannot_take(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "a", tmp_path / "model"))
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert str(caught.value).startswith(
        f"{folder}: transformers cannot load it as a speech model: "
    )


def test_a_model_of_another_rate(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models / "aligner", tmp_path / "model"))
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (path := folder / name).is_file():
            path.write_text(path.read_text().replace("16000", "8000"))
    with pytest.raises(VariantLoadError) as caught:
        load(folder)
    assert str(caught.value) == (
        f"sample_rate: {folder} makes features of 8000 samples a second, and recordings are "
        "resampled to 16000; set sample_rate = 8000"
    )
    assert of(load(folder, sample_rate=8000)).sample_rate == 8000


def test_memory_is_given_back(models: Path) -> None:
    model = of(load(models / "a"))
    before = model.state()
    assert before == of(load(models / "a")).state() != of(load(models / "b")).state()
    engine = Transcriber(model)
    assert engine.state() == before
    engine.close()
    assert model.parameter_bytes() == 0
    other = of(load(models / "a.ct2"))
    assert Transcriber(other).state() == {}
    other.close()
    assert not other._model.model.model_is_loaded
