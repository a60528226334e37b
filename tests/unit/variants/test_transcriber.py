"""Kind `transcriber`: plans, fingerprints and refusals; parts that others lend."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from ctranslate2_files import model_bin

from pytest_modellab import variants
from pytest_modellab.engines.speech import torch_speech, whisper
from pytest_modellab.engines.speech.settings import Settings
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds import quantized, transcriber
from pytest_modellab.variants.plan import Kind, Lent, Plan
from pytest_modellab.variants.prompt import Prompt

MODEL = ModelSource("tiny", "./tiny")
OTHER = ModelSource("other", "./other")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of CTranslate2's, and one of transformers'; neither can be loaded."""
    for name in ("tiny", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "tokenizer.json").write_text("{}")
    (tmp_path / "tiny" / "model.bin").write_bytes(model_bin())
    (tmp_path / "other" / "model.safetensors").write_text("{}")
    features = {"feature_extractor": {"sampling_rate": 16000, "feature_size": 80, "mel": [1]}}
    (tmp_path / "other" / "processor_config.json").write_text(json.dumps(features))
    return tmp_path


def declare(
    root: Path, base: Plan | None = None, model: ModelSource = MODEL, **options: Any
) -> Plan:
    own = model.name if base is None or model is not base.model else None
    spec = VariantSpec(
        "v",
        "transcriber",
        "any",
        base=None if base is None else "plain",
        model=own,
        options=options,
    )
    return variants.make_plan(variants.KINDS["transcriber"], spec, base, model, root / "lab.toml")


def settings(plan: Plan) -> Settings:
    assert isinstance(plan.open, transcriber.Opening)
    return plan.open.settings


def refusal(root: Path, base: Plan | None = None, **declared: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        declare(root, base, **declared)
    prefix = f"{root / 'lab.toml'}: variants.v."
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def fingerprint(plan: Plan, root: Path) -> dict[str, Any]:
    return dict(loading.fingerprint(plan, locate.locate(plan.model, root)).settings)


def test_a_model_as_it_is(root: Path) -> None:
    plan = declare(root)
    assert settings(plan) == Settings()
    assert plan.packages == whisper.PACKAGES
    assert (plan.dtype, plan.device, plan.quantization) == ("float32", "cpu", {})
    assert plan.media == {"audio"}
    assert plan.parts == ("preprocessing", "encoder", "decoder")
    assert plan.prompt.messages("Write.")[-1]["content"] == "Write."
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301 - its own


def test_what_the_folder_holds_decides_who_runs_it(root: Path) -> None:
    plan = declare(root, model=OTHER)
    assert settings(plan).runtime == "transformers"
    assert plan.packages == torch_speech.PACKAGES
    (root / "tiny" / "model.bin").rename(root / "other" / "model.bin.part1")
    parts = ModelSource("parts", "./tiny", more=("./other",))
    assert settings(declare(root, model=parts)).runtime == "ctranslate2"
    assert settings(declare(root, model=ModelSource("m", "some/hub"))).runtime == "transformers"
    assert settings(declare(root, model=ModelSource("m", "./none"))).runtime == "transformers"
    asked = declare(root, model=ModelSource("m", "some/hub"), runtime="ctranslate2")
    assert settings(asked).runtime == "ctranslate2"


def test_a_variant_takes_over_what_it_leaves_out(root: Path) -> None:
    base = declare(root, language="en", beam_size=1, vad=True)
    plan = declare(root, base, compute_type="int8")
    assert settings(plan) == dataclasses.replace(settings(base), compute_type="int8")
    assert plan.quantization == {"compute_type": "int8"}
    assert plan.dtype == "float32"
    assert plan.packages == (*whisper.PACKAGES, "onnxruntime")
    assert settings(declare(root, plan, vad=False)).compute_type == "int8"
    other = declare(root, plan, model=OTHER)
    assert settings(other) == Settings(runtime="transformers", language="en", beam_size=1)
    half = declare(root, base, compute_type="float16")
    assert (half.dtype, half.quantization) == ("float16", {})


def test_all_that_decides_is_in_the_fingerprint(root: Path) -> None:
    pytest.importorskip("faster_whisper")
    base = declare(root, language="en")
    found = fingerprint(base, root)
    assert found["preprocessing"] == {
        "sample_rate": 16000,
        "channels": "mean of all",
        "feature_extractor_type": "faster-whisper",
        "sampling_rate": 16000,
        "n_fft": 400,
        "hop_length": 160,
        "feature_size": 80,
        "chunk_length": 30,
    }
    assert found["decoding"] == {
        "beam_size": 5,
        "language": "en",
        "condition_on_previous_text": False,
    }
    changes: list[dict[str, Any]] = [
        {"sample_rate": 8000},
        {"vad": True},
        {"beam_size": 1},
        {"compute_type": "int8"},
        {"compute_type": "float16"},
        {"language": "de"},
        {"condition_on_previous_text": True},
        {"device": "cuda"},
    ]
    made = [found, *(fingerprint(declare(root, base, **one), root) for one in changes)]
    assert len({json.dumps(one, sort_keys=True) for one in made}) == len(made)
    assert made[1]["preprocessing"]["sample_rate"] == 8000
    assert made[2]["preprocessing"]["vad"] == dict(whisper.VAD)


def test_features_are_read_from_the_model(root: Path) -> None:
    pytest.importorskip("transformers")
    told = {"feature_size": 128, "unknown": 1}
    (root / "tiny" / "preprocessor_config.json").write_text(json.dumps(told))
    assert fingerprint(declare(root), root)["preprocessing"]["feature_size"] == 128
    (root / "tiny" / "preprocessor_config.json").write_text("[")
    assert fingerprint(declare(root), root)["preprocessing"]["feature_size"] == 80
    assert fingerprint(declare(root, model=OTHER), root)["preprocessing"] == {
        "sample_rate": 16000,
        "channels": "mean of all",
        "sampling_rate": 16000,
        "feature_size": 80,
    }


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sample_rate": 800}, "sample_rate: 800 Hz lies outside 4000 to 48000"),
        ({"language": "English"}, "language: 'English' is no code of a language, such as \"en\""),
        ({"beam_size": 0}, "beam_size: 0 must be at least 1"),
        ({"temperature": 1}, "temperature: unknown key"),
        (
            {"compute_type": "int4"},
            "compute_type: unknown 'int4'; did you mean 'int8' or 'int16'? Known: ",
        ),
        ({"runtime": "onnx"}, "runtime: unknown 'onnx'; Known: ctranslate2, transformers"),
        (
            {"model": OTHER, "compute_type": "int8"},
            "compute_type: transformers has no 'int8' of speech models, only float32, bfloat16, "
            "float16; convert the model with ct2-transformers-converter, and name the folder that "
            "it writes",
        ),
        (
            {"model": OTHER, "vad": True},
            "vad: transformers cuts no silence out; CTranslate2's models can",
        ),
        (
            {"model": NO_MODEL},
            "model: missing; name the speech model, declared in [models]",
        ),
    ],
)
def test_what_is_refused(root: Path, options: dict[str, Any], said: str) -> None:
    assert refusal(root, **options).startswith(said)


def test_a_base_that_does_not_hear(root: Path) -> None:
    words = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    assert refusal(root, words) == "base: 'plain' is no transcriber; name one that is"


@pytest.mark.parametrize("model", [MODEL, OTHER])
def test_no_method_makes_it_smaller(root: Path, model: ModelSource) -> None:
    base = declare(root, model=model)
    for method in quantized.KNOWN:
        assert on(root, base, "quantized", method=method) == (
            f"method: {method!r} does not take a transcriber, as 'plain' is; a transcriber is run "
            'in fewer bits by compute_type = "int8" in a variant of kind transcriber'
        )
    assert on(root, base, "quantized").startswith(
        "base: 'plain' is a transcriber; a transcriber is run in fewer bits by "
    )


def test_kinds_of_language_models_do_not_adapt_it(root: Path) -> None:
    base = declare(root)
    for kind in variants.KINDS.keys() - {"transcriber", "quantized"}:
        assert on(root, base, kind, adapter="a", prompt="p") == (
            f"base: 'plain' is a transcriber, which {kind!r} does not adapt; declare what is "
            "changed of it in a variant of kind transcriber"
        )
    own = variants.KINDS["transcriber"].plan
    spec = VariantSpec("v", "ours", "any", base="plain")
    ours = Kind("ours", "any", "ours", own)
    assert variants.make_plan(ours, spec, base, MODEL, root / "lab.toml") == base


def on(root: Path, base: Plan, kind: str, **options: Any) -> str:
    spec = VariantSpec("v", kind, "any", base="plain", options=options)
    with pytest.raises(ConfigError) as caught:
        variants.make_plan(variants.KINDS[kind], spec, base, base.model, root / "lab.toml")
    return str(caught.value).removeprefix(f"{root / 'lab.toml'}: variants.v.")


def test_parts_come_from_transcribers_of_the_same_runtime(root: Path) -> None:
    plan = declare(root)
    files = ModelFiles(MODEL, root / "tiny", "w", "t")
    opening = transcriber.Opening(Settings())

    def said(part: str, lender: Plan) -> str:
        with pytest.raises(VariantLoadError) as caught:
            opening._lent(part, Lent(lender, files), plan, object(), root)
        return str(caught.value)

    words = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    assert said("encoder", words) == (
        "encoder: model 'tiny' (source = './tiny') lends no such part to a transcriber; its parts "
        "are preprocessing, encoder, decoder, of transcribers"
    )
    assert said("vision", plan).startswith("vision: model 'tiny'")
    assert said("encoder", declare(root, model=OTHER)) == (
        "encoder: model 'other' (source = './other') runs by transformers, and this variant by "
        "ctranslate2; parts are lent within one"
    )


def test_preprocessing_of_the_same_model_loads_nothing(root: Path) -> None:
    own = whisper.Loaded(None, None, Settings(sample_rate=8000), root)  # type: ignore[arg-type]
    base = declare(root)
    files = ModelFiles(MODEL, root / "tiny", "w", "t")
    opening = transcriber.Opening(own.settings)
    lent = opening._lent("preprocessing", Lent(base, files), base, own, root)
    assert lent == dataclasses.replace(own, settings=Settings())
