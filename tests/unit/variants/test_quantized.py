"""Kind ``quantized``: its methods on a small model, and checkpoints that are quantized already."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import testing, variants
from pytest_modellab.engines.interface import Engine, GenerationRequest, ScoringRequest
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError
from pytest_modellab.models import locate, quantization
from pytest_modellab.models.files import NO_FILES, ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds import finetuned, quantized
from pytest_modellab.variants.methods import quanto_weights, rtn, skipping
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt

MODEL = ModelSource("tiny", "./tiny")
BASE = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
KNOWN = (
    "bitsandbytes-fp4, bitsandbytes-int8, bitsandbytes-nf4, gguf, kv-cache, onnxruntime-int8, "
    "quanto-int4, quanto-int8, rtn, torchao-int4-weight-only, torchao-int8, "
    "torchao-int8-weight-only"
)


def quantize(base: Plan | None = BASE, **options: Any) -> Plan:
    spec = VariantSpec("q", "quantized", "quantization", base="plain", options=options)
    toml = Path("modellab.toml")
    return variants.make_plan(variants.KINDS["quantized"], spec, base, MODEL, toml)


def refusal(base: Plan | None = BASE, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        quantize(base, **options)
    return str(caught.value).removeprefix("modellab.toml: variants.q.")


# --- declared -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", quantized.METHODS)
def test_method(method: str) -> None:
    made = quantize(method=method)
    (package,) = set(made.packages) - set(BASE.packages)
    assert package.removeprefix("optimum-") == method.split("-", maxsplit=1)[0]
    size = {"group_size": 32} if method == "torchao-int4-weight-only" else {}
    assert made.quantization == {"method": method, **size}
    assert made.inference_mode == (method != "quanto-int4")
    assert (made.prompt, made.dtype, made.device) == (BASE.prompt, BASE.dtype, BASE.device)


def test_adapters_are_merged_first() -> None:
    adapter = Step("adapter", {}, lambda model: model)
    for method in ("torchao-int8", "rtn"):
        made = quantize(BASE.with_step(adapter), method=method)
        assert made.baked == (adapter,)
        assert adapter not in made.steps


def test_rtn() -> None:
    made = quantize(method="rtn")
    assert made.quantization == {"method": "rtn", "bits": 4, "group_size": 64}
    assert made.packages == BASE.packages
    assert [step.name for step in made.steps] == ["rtn"]
    made = quantize(method="rtn", bits=2, group_size=8)
    assert made.quantization == {"method": "rtn", "bits": 2, "group_size": 8}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, f"method: missing; Known: {KNOWN}"),
        (
            {"method": "bitsandbytes-nf8"},
            "method: unknown 'bitsandbytes-nf8'; did you mean 'bitsandbytes-nf4' or "
            f"'bitsandbytes-int8' or 'bitsandbytes-fp4'? Known: {KNOWN}",
        ),
        ({"method": 4}, "method: 4 is int, expected str"),
        ({"method": ["rtn"]}, "method: ['rtn'] is list, expected str"),
        (
            {"method": "rtn", "bit": 3},
            "bit: unknown key; did you mean 'bits'? Known: bits, group_size, method, parts, "
            "skip_modules",
        ),
        ({"method": "rtn", "bits": 4.0}, "bits: 4.0 is float, expected int"),
        ({"method": "rtn", "bits": 1}, "bits: 1 lies outside 2 to 8"),
        ({"method": "rtn", "bits": 9}, "bits: 9 lies outside 2 to 8"),
        ({"method": "rtn", "group_size": 0}, "group_size: 0 must be at least 1"),
        (
            {"method": "torchao-int4-weight-only", "group_size": 0},
            "group_size: 0 must be at least 1",
        ),
        ({"method": "torchao-int8", "bits": 4}, "bits: the method 'torchao-int8' does not take it"),
        (
            {"method": "rtn", "prompt": "p.jinja"},
            "prompt: unknown key; Known: bits, group_size, method, parts, skip_modules",
        ),
        (
            {"method": "rtn", "skip_modules": "lm_head"},
            "skip_modules: 'lm_head' is str, expected list",
        ),
        (
            {"method": "torchao-int8", "skip_modules": [3]},
            "skip_modules: [3]: expected a list of strings",
        ),
        (
            {"method": "kv-cache", "skip_modules": ["model.layers.0"]},
            "skip_modules: the method 'kv-cache' does not take it: it leaves all weights as they "
            "are",
        ),
        (
            {"method": "onnxruntime-int8", "skip_modules": ["model.layers.0"]},
            "skip_modules: the method 'onnxruntime-int8' does not take it: a graph's products have "
            "no modules' names",
        ),
        (
            {"method": "gguf", "file": "a.gguf", "skip_modules": ["model.layers.0"]},
            "skip_modules: the method 'gguf' does not take it: the file holds the weights as "
            "somebody has rounded them; llama.cpp's llama-quantize keeps tensors as they are by "
            "--tensor-type",
        ),
    ],
)
def test_wrong_option(options: dict[str, Any], said: str) -> None:
    assert refusal(**options) == said


def test_a_plain_base_is_needed() -> None:
    assert refusal(None, method="rtn") == "base: missing; name the variant that is quantized"
    once = quantize(method="rtn")
    assert refusal(once, method="rtn") == "base: 'plain' is quantized already"


def test_no_step_reaches_a_model_in_another_engine() -> None:
    other = quantize(method="onnxruntime-int8")
    with pytest.raises(ConfigError) as caught:
        other.with_step(Step("adapter", {}, lambda model: model))
    assert str(caught.value) == (
        "base: onnxruntime-1 runs it, which takes no adapter; name a base that transformers runs"
    )


# --- loaded ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough for blocks of 64."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return testing.write_random_model(
        tmp_path_factory.mktemp("wide") / "tiny", seed=7, hidden_size=64
    )


def load(made: Plan, folder: Path, cache: Path) -> Engine:
    return loading.load(made, locate.locate(ModelSource("m", str(folder)), cache), cache)


def answers(engine: Engine) -> tuple[list[float], str]:
    """Likelihoods of options, and a reply."""
    context = engine.render([{"role": "user", "content": "What is the capital?"}])
    seen: list[Output] = []

    def keep(batch: Any) -> None:
        seen.extend(batch.values())

    engine.score_options(
        [ScoringRequest(context, ("a", "b", "the other"))], budget=99, skip=set(), done=keep
    )
    engine.generate([GenerationRequest(context, 4)], budget=99, skip=set(), done=keep)
    return list(seen[0].option_logprobs), seen[1].text


@pytest.mark.parametrize("method", quantized.METHODS)
def test_method_on_a_model(
    method: str, wide_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(
        {"bitsandbytes": "bitsandbytes", "torchao": "torchao"}.get(
            method.split("-", maxsplit=1)[0], "optimum.quanto"
        )
    )
    plain = load(BASE, wide_folder, tmp_path)
    with caplog.at_level(logging.WARNING):
        made = load(quantize(method=method), wide_folder, tmp_path)
        found = answers(made)
        assert found == answers(made), "deterministic"
    assert [r.getMessage() for r in caplog.records if "MatMul" in r.getMessage()] == []
    wanted, _ = answers(plain)
    assert found[0] != wanted
    assert all(map(math.isfinite, found[0]))
    assert found[0] == pytest.approx(wanted, abs=2 if "8" in method else 8)
    assert made.parameter_bytes() < 0.75 * plain.parameter_bytes()


def test_quanto_compiles_nothing(
    wide_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optimum.quanto")
    from optimum.quanto.library.extensions import extension

    def compile_(**_: Any) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(extension, "load", compile_)
    extension.get_extension("quanto_cpp")._lib = None
    answers(load(quantize(method="quanto-int4"), wide_folder, tmp_path))


@pytest.mark.parametrize("bits", [2, 4])
def test_unpacking_undoes_the_packing(bits: int) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("optimum.quanto")
    from optimum.quanto.tensor.packed import pack_weights

    values = torch.arange(64, dtype=torch.uint8).remainder(2**bits).reshape(16, 4)
    packed = pack_weights(values, bits)
    assert packed.numel() == values.numel() * bits // 8
    assert torch.equal(quanto_weights._unpack(packed, bits), values)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("group_size", [5, 8, 100])
def test_rounding(bits: int, group_size: int) -> None:
    torch = pytest.importorskip("torch")
    weight = torch.randn(6, 20, generator=torch.Generator().manual_seed(1))
    weight[0] = 3.0  # a group without any spread
    rounded = rtn._rounded(weight, bits, group_size)
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
    again = rtn._rounded(rounded, bits, group_size)
    assert torch.allclose(again, rounded, atol=1e-5), "rounding twice is rounding once"


def test_rtn_rounds_all_linear_layers_but_the_head(model_folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    plain, rounded = (
        load(made, model_folder, tmp_path) for made in (BASE, quantize(method="rtn", bits=2))
    )
    old, new = (dict(engine.model.named_parameters()) for engine in (plain, rounded))  # type: ignore[attr-defined]
    changed = {name for name in old if not torch.equal(old[name], new[name])}
    linear = {name for name in old if "proj" in name}
    assert len(linear) == 14, "seven in each of two layers"
    assert changed == linear
    assert plain.parameter_bytes() == rounded.parameter_bytes()
    assert answers(plain)[0] != answers(rounded)[0]


# --- what stays as it is --------------------------------------------------------------------------


def test_names_are_part_of_a_fingerprint_where_they_are_given() -> None:
    for method in ("rtn", "torchao-int8", "bitsandbytes-nf4"):
        plain = quantize(method=method)
        none = quantize(method=method, skip_modules=[])
        assert none.quantization == plain.quantization
        assert [dict(step.settings) for step in none.steps] == [
            dict(step.settings) for step in plain.steps
        ]
        made = quantize(method=method, skip_modules=["b", "a", "b"])
        assert made.quantization == {**plain.quantization, "skip_modules": ["a", "b"]}
        assert made.skipped == ("a", "b")


@pytest.mark.parametrize("method", [*quantized.METHODS, "rtn"])
def test_named_modules_stay_as_they_are(method: str, wide_folder: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip(
        {"bitsandbytes": "bitsandbytes", "torchao": "torchao", "rtn": "torch"}.get(
            method.split("-", maxsplit=1)[0], "optimum.quanto"
        )
    )
    plain, made = (
        load(plan, wide_folder, tmp_path).model  # type: ignore[attr-defined]
        for plan in (
            BASE,
            quantize(method=method, skip_modules=["model.layers.1.mlp", "0.self_attn.q_proj"]),
        )
    )
    same = set()
    for path, module in skipping.linear(made):
        weight = module.weight
        if type(module) is torch.nn.Linear and type(weight) is torch.nn.Parameter:
            same |= {path} if torch.equal(weight, plain.get_submodule(path).weight) else set()
    assert same == {
        "model.layers.0.self_attn.q_proj",
        *(f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")),
    }
    assert type(made.lm_head) is torch.nn.Linear
    assert torch.equal(made.lm_head.weight, plain.lm_head.weight), "left out by itself as before"


@pytest.mark.parametrize("method", ["rtn", "torchao-int8-weight-only"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "model.layers.1.mlp.dwn_proj",
            "skip_modules: 'model.layers.1.mlp.dwn_proj' is no module of this model; did you mean "
            "'model.layers.1.mlp.down_proj' or 'model.layers.0.mlp.down_proj' or "
            "'model.layers.1.mlp.up_proj'? A name is a path, such as 'lm_head'",
        ),
        (
            "down_proj",
            "skip_modules: 'down_proj' may be any of 2 modules (model.layers.0.mlp.down_proj, "
            "model.layers.1.mlp.down_proj); write the whole path",
        ),
        (
            "lm_head",
            "skip_modules: 'lm_head' holds no weights that are quantized; leave it out of the list",
        ),
        (
            "model.norm",
            "skip_modules: 'model.norm' holds no weights that are quantized; leave it out of the "
            "list",
        ),
    ],
)
def test_a_name_that_names_nothing(
    method: str, name: str, said: str, wide_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torchao")
    with pytest.raises(VariantLoadError) as caught:
        load(quantize(method=method, skip_modules=[name]), wide_folder, tmp_path)
    assert str(caught.value) == said


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint's config.json and nothing else."""

    def write(**config: Any) -> Path:
        (tmp_path / "tiny").mkdir(exist_ok=True)
        (tmp_path / "tiny" / "config.json").write_text(json.dumps(config))
        return tmp_path

    return write


def take(
    root: Path,
    base: Plan | None = BASE,
    source: str = "./tiny",
    recipe: dict[str, Any] | None = None,
    **options: Any,
) -> Plan:
    spec = VariantSpec(
        "q",
        "quantized",
        "quantization",
        base="plain",
        model="ready",
        options=options,
        recipe=recipe,
    )
    return quantized.plan(spec, base, ModelSource("ready", source), root)


def test_checkpoint(written: Callable[..., Path]) -> None:
    root = written(quantization_config={"quant_method": "awq", "bits": 4})
    made = take(root, dataclasses.replace(BASE, dtype="bfloat16"))
    assert made.quantization == {"checkpoint": "awq"}
    assert made.packages == (*BASE.packages, "compressed-tensors")
    assert made.model.name == "ready"
    assert (made.prompt, made.dtype) == (BASE.prompt, "bfloat16")


def test_wrong_checkpoint(written: Callable[..., Path], tmp_path: Path) -> None:
    config = tmp_path / "tiny" / "config.json"
    known = ", ".join(sorted(quantization.PACKAGES))

    def said(root: Path, **changes: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            take(root, **changes)
        return str(caught.value)

    assert said(written()) == (
        f"model: {config.parent}: neither config.json (quantization_config) nor a file beside it "
        "says that 'ready' is quantized. Name a 'method' instead of a 'model'; a plain checkpoint "
        "is of the kind 'finetuned'"
    )
    assert said(written(quantization_config={"quant_method": "gptk"})) == (
        f"model: {config}: quantization_config: unknown quant_method 'gptk'; did you mean 'gptq'? "
        f"Known: {known}"
    )
    assert said(written(quantization_config={})) == (
        f"model: {config}: quantization_config: no quant_method says how, so nothing can read the "
        f"weights: add the one that the tool that wrote them goes by; known: {known}"
    )
    assert said(tmp_path, method="rtn") == (
        "method: belongs to a variant without a model of its own; how 'ready' was quantized "
        "stands in its config.json"
    )
    assert said(tmp_path, source="./none") == (
        "model: model 'ready' (source = './none'): no such file or folder: "
        f"{tmp_path.resolve() / 'none'}"
    )
    assert said(tmp_path, source="./none", recipe={}).endswith("/none; build it: modellab build q")
    assert said(written(quantization_config={"quant_method": "fp8"}), base=None) == (
        "base: missing; name the variant that it is compared with"
    )
    for text in ("{", "[" * 100_000):
        config.write_text(text)
        assert said(tmp_path).startswith(f"model: {config}: not JSON: ")
    config.unlink()
    (config.parent / "m.gguf").touch()
    assert said(tmp_path) == (
        f"model: {config.parent} holds m.gguf and no safetensors: declare the variant without a "
        'model, by method = "gguf" and file = "tiny/m.gguf"'
    )


def test_a_plain_variant_of_quantized_weights(written: Callable[..., Path]) -> None:
    root = written(quantization_config={"quant_method": "fp8"})
    files = ModelFiles(MODEL, root / "tiny", weights="w", tokenizer="t")
    spec = VariantSpec("v", "finetuned", "fine-tuning", base="plain", model="ready")
    full = finetuned.plan(spec, BASE, MODEL, root)
    where = f"{root / 'tiny' / 'config.json'}: quantization_config"
    for made, mend in (
        (
            full,
            'declare it by kind = "quantized", with this model, and the plain variant as base',
        ),
        (quantize(method="bitsandbytes-nf4"), "name a base with plain weights"),
        (quantize(method="rtn"), "name a base with plain weights"),
    ):
        with pytest.raises(ModelError) as caught:
            loading.fingerprint(made, files)
        assert str(caught.value) == (
            f"model 'tiny' (source = './tiny'): is quantized: {where} (fp8); {mend}"
        )
    assert loading.fingerprint(BASE, files).settings["quantization"] == {}
    root = written(quantization_config={"quant_method": "exl2"})
    with pytest.raises(ModelError) as caught:
        loading.fingerprint(BASE, files)
    assert str(caught.value) == (
        f"model 'tiny' (source = './tiny'): {where}: ExLlamaV2's own format, which needs its own "
        "engine: take the same model in plain weights, or as GPTQ, AWQ or GGUF"
    )


def test_no_model_is_not_the_working_folder(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = written(quantization_config={"quant_method": "exl2"})
    monkeypatch.chdir(root / "tiny")
    assert loading.fingerprint(BASE, NO_FILES).weights == ""


@pytest.mark.parametrize(
    ("method", "wanted"),
    [("hqq", "hqq"), ("awq", "'pytest-modellab[quantized]'")],
)
def test_missing_library_of_a_checkpoint(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, method: str, wanted: str
) -> None:
    package = quantization.PACKAGES[method][0]

    def version(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    root = written(quantization_config={"quant_method": method})
    files = ModelFiles(MODEL, root / "tiny", weights="w", tokenizer="t")
    with pytest.raises(VariantLoadError) as caught:
        loading.fingerprint(take(root), files)
    assert str(caught.value) == f"{package} is not installed: pip install {wanted}"


@pytest.mark.parametrize("method", ["bitsandbytes-nf4", "torchao-int8-weight-only"])
def test_a_saved_model_says_what_it_said(method: str, wide_folder: Path, tmp_path: Path) -> None:
    package = method.split("-", maxsplit=1)[0]
    pytest.importorskip(package)
    first = load(quantize(method=method), wide_folder, tmp_path)
    folder = tmp_path / "ready"
    first.model.save_pretrained(folder)  # type: ignore[attr-defined]
    first.tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
    made = take(tmp_path, source="ready")
    assert made.quantization == {"checkpoint": package}
    again = load(made, folder, tmp_path)
    assert answers(again) == answers(first)
    assert again.parameter_bytes() == first.parameter_bytes()


@pytest.mark.parametrize("symmetric", [True, False])
def test_compressed_tensors(model_folder: Path, tmp_path: Path, symmetric: bool) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("compressed_tensors")
    from compressed_tensors.compressors import ModelCompressor
    from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(model_folder)
    weights = {"num_bits": 4, "strategy": "group", "group_size": 16, "symmetric": symmetric}
    settings = QuantizationConfig(
        config_groups={"all": {"targets": ["Linear"], "weights": weights}},
        ignore=["lm_head"],
        format="pack-quantized",
    )
    apply_quantization_config(model, settings)
    meant = {}
    for name, module in model.named_modules():
        if hasattr(module, "weight_scale"):
            groups = module.weight.detach().unflatten(1, (-1, 16))
            module.weight_scale.data.copy_(groups.abs().amax(-1) / 7.5)
            zeros = torch.zeros(groups.shape[:2])
            if not symmetric:
                zeros[::2] = 3
                module.weight_zero_point.data.copy_(zeros)
            scale = module.weight_scale.detach()[..., None]
            values = (groups / scale + zeros[..., None]).round().clamp(-8, 7)
            meant[f"{name}.weight"] = ((values - zeros[..., None]) * scale).flatten(1)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    folder = tmp_path / "ready"
    model.save_pretrained(folder)
    compressor.update_config(folder)
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)

    engine = load(take(tmp_path, source="ready"), folder, tmp_path)
    reference = AutoModelForCausalLM.from_pretrained(model_folder)
    reference.load_state_dict(meant, strict=False)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        ours, theirs = (m(ids).logits for m in (engine.model, reference))  # type: ignore[attr-defined]
    assert torch.equal(ours, theirs)
    assert answers(engine)[0] != answers(load(BASE, model_folder, tmp_path))[0]
