"""Variant kinds: options, plans, fingerprints, and rounding; one small model is loaded."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import models, variants
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.records import ModelSource, ScoringRequest, VariantSpec
from pytest_modellab.variants import plan as planning
from pytest_modellab.variants import prompted, quantized
from pytest_modellab.variants.plan import Plan

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


# --- prompted -------------------------------------------------------------------------------------


def test_prompted(base: Plan, toml: Path, spec: Spec) -> None:
    assert base.model is MODEL
    assert (base.dtype, base.device, base.quantization) == ("float32", "cpu", {})
    options = {"prompt": "q.jinja", "shots": "shots.jsonl", "n_shots": 1, "dtype": "bfloat16"}
    made = make(spec(options={**options, "device": "cuda"}), None, toml)
    assert (made.dtype, made.device) == ("bfloat16", "cuda")
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


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "prompt: missing; name a Jinja file with {% block user %}"),
        (
            {"promt": "p.jinja"},
            "promt: unknown key; did you mean 'prompt'? Known: chains, device, dtype, n_shots, "
            "paraphrases, prompt, shots, temperature, thinking_tokens",
        ),
        ({"prompt": 3}, "prompt: 3 is int, expected str"),
        ({"prompt": "p.jinja", "n_shots": True}, "n_shots: True is bool, expected int"),
        (
            {"prompt": "p.jinja", "dtype": "float23"},
            "dtype: unknown 'float23'; did you mean 'float32' or 'float16' or 'bfloat16'? "
            "Known: bfloat16, float16, float32",
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


def test_missing_prompt_file(toml: Path, spec: Spec) -> None:
    with pytest.raises(ConfigError) as caught:
        make(spec(options={"prompt": "none.jinja"}), None, toml)
    assert str(caught.value).startswith(
        f"{toml}: variants.plain.prompt: {toml.parent / 'none.jinja'}: cannot be read: "
    )


# --- quantized ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "package"), [("bitsandbytes-nf4", "bitsandbytes"), ("torchao-int8", "torchao")]
)
def test_quantized(base: Plan, toml: Path, quantize: Spec, method: str, package: str) -> None:
    made = make(quantize(method=method), base, toml)
    assert made.quantization == {"method": method}
    assert made.packages == (*base.packages, package)
    assert made.steps == ()
    assert (made.prompt, made.dtype, made.device) == (base.prompt, base.dtype, base.device)


def test_rtn(base: Plan, toml: Path, quantize: Spec) -> None:
    made = make(quantize(method="rtn"), base, toml)
    assert made.quantization == {"method": "rtn", "bits": 4, "group_size": 64}
    assert made.packages == base.packages
    assert [step.name for step in made.steps] == ["rtn"]
    made = make(quantize(method="rtn", bits=2, group_size=8), base, toml)
    assert made.quantization == {"method": "rtn", "bits": 2, "group_size": 8}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "method: missing; Known: bitsandbytes-nf4, gguf, rtn, torchao-int8"),
        (
            {"method": "bitsandbytes-nf8"},
            "method: unknown 'bitsandbytes-nf8'; did you mean 'bitsandbytes-nf4'? "
            "Known: bitsandbytes-nf4, gguf, rtn, torchao-int8",
        ),
        ({"method": 4}, "method: 4 is int, expected str"),
        (
            {"method": "rtn", "bit": 3},
            "bit: unknown key; did you mean 'bits'? Known: bits, group_size, method",
        ),
        ({"method": "rtn", "bits": 4.0}, "bits: 4.0 is float, expected int"),
        ({"method": "rtn", "bits": 1}, "bits: 1 lies outside 2 to 8"),
        ({"method": "rtn", "bits": 9}, "bits: 9 lies outside 2 to 8"),
        ({"method": "rtn", "group_size": 0}, "group_size: 0 must be at least 1"),
        (
            {"method": "torchao-int8", "bits": 4},
            "bits: the method 'torchao-int8' does not take it",
        ),
        (
            {"method": "rtn", "prompt": "p.jinja"},
            "prompt: unknown key; Known: bits, group_size, method",
        ),
    ],
)
def test_wrong_option_of_quantized(
    base: Plan, toml: Path, quantize: Spec, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(quantize(**options), base, toml)
    assert str(caught.value) == f"{toml}: variants.q.{said}"


def test_quantized_needs_a_plain_base(base: Plan, toml: Path, quantize: Spec) -> None:
    with pytest.raises(ConfigError) as caught:
        make(quantize(method="rtn"), None, toml)
    assert str(caught.value) == (
        f"{toml}: variants.q.base: missing; name the variant that is quantized"
    )
    once = make(quantize(method="rtn"), base, toml)
    with pytest.raises(ConfigError) as caught:
        make(quantize(method="rtn"), once, toml)
    assert str(caught.value) == f"{toml}: variants.q.base: 'plain' is quantized already"


# --- fingerprints ---------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> models.ModelFiles:
    return models.ModelFiles(MODEL, tmp_path, weights="w", tokenizer="t")


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
def test_fingerprint(base: Plan, files: models.ModelFiles) -> None:
    found = planning.fingerprint(base, files)
    assert (found.weights, found.tokenizer, found.prompt) == ("w", "t", base.prompt.hash)
    assert found.settings["versions"] == {
        "torch": "2.9",
        "transformers": "5.0",
        "tokenizers": "0.22",
    }
    assert found.settings["converter"] is None, "a folder is not converted"
    file = dataclasses.replace(files, path=files.path / "p.jinja")
    assert planning.fingerprint(base, file).settings["converter"] == models.CONVERTER


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "bfloat16"},
        {"device": "cuda"},
        {"quantization": {"method": "rtn", "bits": 4, "group_size": 64}},
        {"packages": ("torch", "transformers", "bitsandbytes")},
    ],
    ids=str,
)
def test_fingerprint_changes(base: Plan, files: models.ModelFiles, change: dict[str, Any]) -> None:
    before = planning.fingerprint(base, files)
    assert planning.fingerprint(base, files).key == before.key
    assert planning.fingerprint(dataclasses.replace(base, **change), files).key != before.key


def test_fingerprint_changes_with_a_library(
    base: Plan, files: models.ModelFiles, versions: dict[str, str]
) -> None:
    before = planning.fingerprint(base, files).key
    versions["torch"] = "2.10"
    assert planning.fingerprint(base, files).key != before


@pytest.mark.parametrize(
    ("package", "extra"),
    [("torch", "transformers"), ("transformers", "transformers"), ("torchao", "quantized")],
)
def test_missing_library(
    base: Plan,
    files: models.ModelFiles,
    versions: dict[str, str],
    tmp_path: Path,
    package: str,
    extra: str,
) -> None:
    versions.pop(package, None)
    made = dataclasses.replace(base, packages=(*base.packages, package))
    said = f"{package} is not installed: pip install 'pytest-modellab[{extra}]'"
    with pytest.raises(VariantLoadError) as caught:
        planning.fingerprint(made, files)
    assert str(caught.value) == said
    with pytest.raises(VariantLoadError) as caught:
        planning.load(made, files, tmp_path)
    assert str(caught.value) == said


# --- loaded ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("group_size", [5, 8, 100])
def test_rounding(bits: int, group_size: int) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    weight[0] = 3.0  # a group without any spread
    rounded = quantized._rounded(weight, bits, group_size)
    assert rounded.shape == weight.shape
    assert torch.equal(rounded[0], weight[0])
    for old, new in zip(
        weight.split(group_size, dim=1), rounded.split(group_size, dim=1), strict=True
    ):
        step = (old.amax(1, keepdim=True) - old.amin(1, keepdim=True)) / (2**bits - 1)
        assert bool(((new - old).abs() <= step / 2 + 1e-6).all()), "to the nearest step"
        assert torch.allclose(new.amin(1), old.amin(1))
        assert torch.allclose(new.amax(1), old.amax(1))
        assert all(row.unique().numel() <= 2**bits for row in new)
    again = quantized._rounded(rounded, bits, group_size)
    assert torch.allclose(again, rounded, atol=1e-5), "rounding twice is rounding once"


def test_rtn_rounds_all_linear_layers_but_the_head(
    base: Plan, toml: Path, quantize: Spec, model_folder: Path, tmp_path: Path
) -> None:
    torch = pytest.importorskip("torch")
    files = models.locate(ModelSource("tiny", str(model_folder)), tmp_path)
    rtn = make(quantize(method="rtn", bits=2), base, toml)
    plain, rounded = (planning.load(made, files, tmp_path) for made in (base, rtn))
    old, new = (dict(engine.model.named_parameters()) for engine in (plain, rounded))  # type: ignore[attr-defined]
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    linear = {name for name in old if "proj" in name}
    assert len(linear) == 14, "seven in each of two layers"
    assert changed == linear
    assert plain.parameter_bytes() == rounded.parameter_bytes()
    seen: list[Any] = []
    for engine in (plain, rounded):
        context = engine.render(base.prompt.messages("What?"))
        engine.score_options(
            [ScoringRequest(context, ("a", "b"))], budget=64, skip=set(), done=seen.append
        )
        engine.close()
    assert seen[0][0].option_logprobs != seen[1][0].option_logprobs


def test_options_of_prompted_are_all_documented() -> None:
    for name in prompted.OPTIONS:
        assert f"``{name}``" in (prompted.plan.__doc__ or "")
