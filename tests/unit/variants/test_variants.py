"""Variant kinds: options, plans, fingerprints, and rounding; one small model is loaded."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import variants
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import convert
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.scorers.in_words import IDENTITY
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds import prompted
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.steps.weights import own_weights

Spec = Callable[..., VariantSpec]
MODEL = ModelSource("tiny", "./tiny")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Path of a configuration beside two prompts and a file of examples."""
    for name, text in (("p.jinja", "{{ input }}"), ("q.jinja", "Q: {{ input }}")):
        (tmp_path / name).write_text(f"{{% block user %}}{text}{{% endblock %}}")
    (tmp_path / "shots.jsonl").write_text('{"input": "1?", "reply": "1"}\n')
    return tmp_path / "modellab.toml"


def make(spec: VariantSpec, base: Plan | None, toml: Path) -> Plan:
    return variants.make_plan(variants.KINDS[spec.kind], spec, base, MODEL, toml)


@pytest.fixture
def base(toml: Path, spec: Spec) -> Plan:
    return make(spec(options={"prompt": "p.jinja"}), None, toml)


@pytest.fixture
def quantize(spec: Spec) -> Spec:
    def declare(**options: Any) -> VariantSpec:
        return spec(name="q", kind="quantized", model=None, base="plain", options=options)

    return declare


def test_how_multiple_choice_is_scored_is_inherited(
    base: Plan, toml: Path, spec: Spec, quantize: Spec, files: ModelFiles
) -> None:
    assert base.scoring == "likelihood"
    worded = make(spec(options={"prompt": "p.jinja", "scoring": "generated"}), None, toml)
    assert dataclasses.replace(worded, scoring="likelihood") == base
    assert make(quantize(method="rtn"), worded, toml).scoring == "generated"
    assert make(quantize(method="rtn", scoring="likelihood"), worded, toml).scoring == "likelihood"
    keys = [loading.fingerprint(one, files) for one in (base, worded)]
    assert "scoring" not in keys[0].settings
    assert keys[1].settings == {**keys[0].settings, "scoring": IDENTITY}


def test_kinds_that_are_asked_no_multiple_choice(toml: Path, spec: Spec) -> None:
    for kind in ("embedding", "transcriber", "lexical", "reader"):
        with pytest.raises(ConfigError, match=r"variants\.plain\.scoring: unknown key"):
            make(spec(kind=kind, options={"scoring": "generated"}), None, toml)
    with pytest.raises(ConfigError, match=r"scoring: unknown 'genrated'; did you mean 'generated'"):
        make(spec(options={"prompt": "p.jinja", "scoring": "genrated"}), None, toml)


# --- prompted -------------------------------------------------------------------------------------


def test_prompted(base: Plan, toml: Path, spec: Spec) -> None:
    assert base.model is MODEL
    assert (base.dtype, base.device, base.quantization) == ("float32", "cpu", {})
    options = {"prompt": "q.jinja", "shots": "shots.jsonl", "n_shots": 1, "dtype": "bfloat16"}
    made = make(spec(options={**options, "device": "cuda"}), None, toml)
    assert (made.dtype, made.device, made.kernels, made.attention) == ("bfloat16", "cuda", "", "")
    assert made.prompt.shots == (("1?", "1"),)


def test_prompted_on_a_variant_changes_the_prompt_alone(
    base: Plan, toml: Path, spec: Spec, quantize: Spec
) -> None:
    rtn = make(quantize(method="rtn"), dataclasses.replace(base, dtype="bfloat16"), toml)
    other = spec(name="other", model=None, base="q", options={"prompt": "q.jinja"})
    made = make(other, rtn, toml)
    assert made == dataclasses.replace(rtn, prompt=made.prompt)
    assert made.prompt != rtn.prompt
    with pytest.raises(ConfigError) as caught:
        make(
            dataclasses.replace(other, options={"prompt": "q.jinja", "dtype": "float32"}), rtn, toml
        )
    assert str(caught.value) == (
        f"{toml}: variants.other.dtype: belongs to the base 'q', which is quantized"
    )


def test_kernels_and_attention_are_inherited_and_changed(
    base: Plan, toml: Path, spec: Spec, quantize: Spec
) -> None:
    options = {"prompt": "p.jinja", "kernels": "liger", "attention": "sdpa", "device": "cuda"}
    fused = make(spec(name="fused", options=options), None, toml)
    assert (fused.kernels, fused.attention) == ("liger", "sdpa")
    other = spec(name="other", model=None, base="fused", options={"prompt": "q.jinja"})
    for heir in (
        make(other, fused, toml),
        make(quantize(method="bitsandbytes-nf4"), fused, toml),
        own_weights(spec(name="tuned", kind="finetuned", model="tiny", base="fused"), fused, MODEL),
    ):
        assert (heir.kernels, heir.attention) == ("liger", "sdpa")
        assert (heir.device, heir.engine) == ("cuda", fused.engine)
    changes = {**other.options, "kernels": "plain", "attention": "eager"}
    changed = make(dataclasses.replace(other, options=changes), fused, toml)
    assert (changed.kernels, changed.attention) == ("", "eager")
    graph = make(quantize(method="onnxruntime-int8"), fused, toml)
    assert (graph.device, graph.kernels, graph.attention) == ("cpu", "", "")
    for name, value in (("kernels", "liger"), ("attention", "sdpa")):
        asked = dataclasses.replace(other, base="q", options={"prompt": "q.jinja", name: value})
        with pytest.raises(ConfigError) as caught:
            make(asked, graph, toml)
        assert str(caught.value) == (
            f"{toml}: variants.other.{name}: belongs to transformers, and {graph.engine} runs the "
            "base 'q'"
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "prompt: missing; name a Jinja file with {% block user %}"),
        (
            {"promt": "p.jinja"},
            "promt: unknown key; did you mean 'prompt'? Known: attention, chains, device, "
            "dtype, kernels, n_shots, paraphrases, prompt, shots, temperature, thinking_tokens",
        ),
        ({"prompt": 3}, "prompt: 3 is int, expected str"),
        ({"prompt": "p.jinja", "n_shots": True}, "n_shots: True is bool, expected int"),
        (
            {"prompt": "p.jinja", "dtype": "float23"},
            "dtype: unknown 'float23'; did you mean 'float32' or 'float16' or 'bfloat16'? "
            "Known: bfloat16, float16, float32",
        ),
        (
            {"prompt": "p.jinja", "kernels": "liga"},
            "kernels: unknown 'liga'; did you mean 'liger'? Known: liger, plain",
        ),
        (
            {"prompt": "p.jinja", "attention": "flash_attention_2"},
            "attention: 'flash_attention_2' is not one of eager, flex_attention, sdpa: flash "
            "attention takes no mask, and packed texts need one; flex_attention skips what is "
            "masked as well",
        ),
        (
            {"prompt": "p.jinja", "attention": "egaer"},
            "attention: unknown 'egaer'; did you mean 'eager'? Known: eager, flex_attention, sdpa",
        ),
        ({"prompt": "p.jinja", "n_shots": 1}, "n_shots: needs 'shots', a file of examples"),
    ],
)
def test_wrong_option_of_prompted(
    toml: Path, spec: Spec, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(spec(options=options), None, toml)
    assert str(caught.value) == f"{toml}: variants.plain.{said}"


@pytest.mark.parametrize("key", ["kernels", "dtype", "attention", "device"])
def test_what_the_base_decides_is_to_be_set_there(
    base: Plan, toml: Path, spec: Spec, quantize: Spec, key: str
) -> None:
    adapted = spec(name="a", kind="lora", model=None, base="plain", options={key: "x"})
    nf4 = quantize(method="bitsandbytes-nf4", **{key: "x"})
    for one in (adapted, nf4):
        with pytest.raises(ConfigError) as caught:
            make(one, base, toml)
        assert str(caught.value) == (
            f"{toml}: variants.{one.name}.{key}: {one.kind!r} inherits it; set it on the base "
            "'plain'"
        )


def test_missing_prompt_file(toml: Path, spec: Spec) -> None:
    with pytest.raises(ConfigError) as caught:
        make(spec(options={"prompt": "none.jinja"}), None, toml)
    assert str(caught.value).startswith(
        f"{toml}: variants.plain.prompt: {toml.parent / 'none.jinja'}: cannot be read: "
    )


# --- fingerprints ---------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    return ModelFiles(MODEL, tmp_path, weights="w", tokenizer="t")


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = {"torch": "2.9", "transformers": "5.0", "tokenizers": "0.22", "bitsandbytes": "0.49"}

    def version(name: str) -> str:
        if name not in found:
            raise importlib.metadata.PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return found


@pytest.mark.usefixtures("versions")
def test_fingerprint(base: Plan, files: ModelFiles) -> None:
    found = loading.fingerprint(base, files)
    assert (found.weights, found.tokenizer, found.prompt) == ("w", "t", base.prompt.hash)
    assert found.settings["versions"] == {
        "torch": "2.9",
        "transformers": "5.0",
        "tokenizers": "0.22",
    }
    assert found.settings["converter"] is None, "a folder is not converted"
    file = dataclasses.replace(files, path=files.path / "p.jinja")
    assert loading.fingerprint(base, file).settings["converter"] == convert.CONVERTER


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "bfloat16"},
        {"device": "cuda"},
        {"attention": "sdpa"},
        {"quantization": {"method": "rtn", "bits": 4, "group_size": 64}},
        {"packages": ("torch", "transformers", "bitsandbytes")},
    ],
    ids=str,
)
def test_fingerprint_changes(base: Plan, files: ModelFiles, change: dict[str, Any]) -> None:
    before = loading.fingerprint(base, files)
    assert loading.fingerprint(base, files).key == before.key
    assert loading.fingerprint(dataclasses.replace(base, **change), files).key != before.key


def test_fingerprint_changes_with_a_library(
    base: Plan, files: ModelFiles, versions: dict[str, str]
) -> None:
    before = loading.fingerprint(base, files).key
    versions["torch"] = "2.10"
    assert loading.fingerprint(base, files).key != before


def test_fingerprint_of_kernels(
    base: Plan, files: ModelFiles, versions: dict[str, str], tmp_path: Path
) -> None:
    plain = loading.fingerprint(dataclasses.replace(base, device="cuda"), files)
    assert not plain.settings.keys() & {"kernels", "attention"}
    fused = dataclasses.replace(base, device="cuda", kernels="liger")
    for missing in ("liger-kernel", "triton"):
        with pytest.raises(VariantLoadError) as caught:
            loading.fingerprint(fused, files)
        assert str(caught.value) == (
            f"{missing} is not installed: pip install 'pytest-modellab[fast]'"
        )
        versions[missing] = "1.0"
    found = loading.fingerprint(fused, files)
    assert found.settings["kernels"] == "liger"
    assert found.settings["versions"] == {
        **plain.settings["versions"],
        "liger-kernel": "1.0",
        "triton": "1.0",
    }
    versions["triton"] = "1.1"
    assert loading.fingerprint(fused, files).key != found.key
    with pytest.raises(VariantLoadError) as caught:
        loading.fingerprint(dataclasses.replace(base, kernels="liger"), files)
    assert str(caught.value) == (
        'kernels: "liger" runs on a GPU, and this variant on \'cpu\': set device = "cuda", or '
        "leave kernels out"
    )


@pytest.mark.usefixtures("versions")
def test_the_engine_has_a_version_for_each_device(base: Plan) -> None:
    """Batches of another size and another mask give other digits."""
    assert base.engine == "transformers-1"
    there = base.on("cuda")
    assert (there.device, there.engine) == ("cuda", "transformers-2")
    assert there.on("cpu") == base
    opened: Any = print
    other = dataclasses.replace(base, engine="another-1", open=opened)
    assert other.on("cuda").engine == "another-1"


def test_flex_attention_needs_a_gpu(base: Plan, files: ModelFiles) -> None:
    plan = dataclasses.replace(base, attention="flex_attention")
    with pytest.raises(VariantLoadError) as caught:
        loading.fingerprint(plan, files)
    assert str(caught.value) == (
        "attention: \"flex_attention\" is compiled for a GPU, and this variant runs on 'cpu': set "
        'device = "cuda", or attention = "sdpa"'
    )
    found = loading.fingerprint(dataclasses.replace(plan, device="cuda"), files)
    assert found.settings["attention"] == "flex_attention"


@pytest.mark.skipif(find_spec("torch") is None, reason="asks torch")
def test_a_missing_device_is_told_before_anything_is_read(base: Plan, tmp_path: Path) -> None:
    nowhere = ModelFiles(MODEL, tmp_path / "none", weights="w", tokenizer="t")
    with pytest.raises(VariantLoadError, match=r"^device: 'gpu' is none that torch knows: "):
        loading.load(dataclasses.replace(base, device="gpu"), nowhere, tmp_path)


@pytest.mark.parametrize(
    ("package", "extra"),
    [("torch", "transformers"), ("transformers", "transformers"), ("torchao", "quantized")],
)
def test_missing_library(
    base: Plan,
    files: ModelFiles,
    versions: dict[str, str],
    tmp_path: Path,
    package: str,
    extra: str,
) -> None:
    versions.pop(package, None)
    made = dataclasses.replace(base, packages=(*base.packages, package))
    said = f"{package} is not installed: pip install 'pytest-modellab[{extra}]'"
    with pytest.raises(VariantLoadError) as caught:
        loading.fingerprint(made, files)
    assert str(caught.value) == said
    with pytest.raises(VariantLoadError) as caught:
        loading.load(made, files, tmp_path)
    assert str(caught.value) == said


def test_options_of_prompted_are_all_documented() -> None:
    for name in prompted.OPTIONS:
        assert f"``{name}``" in (prompted.plan.__doc__ or "")
