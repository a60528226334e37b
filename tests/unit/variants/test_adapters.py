"""Variants with an adapter or with weights of their own: plans, refusals, and what they answer."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from loras import write_adapter

from pytest_modellab import testing, variants
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language.reasoning import Thinking
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles, hash_files
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.records.declared import VariantSpec as Spec
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants import plan as planning
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt
from pytest_modellab.variants.steps import adapter as adapters
from pytest_modellab.variants.steps import adapter_base, adapter_config, adapter_loading

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

# PEFT asks transformers for a name that is on its way out
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

MODEL = ModelSource("tiny", "./tiny")
OTHER = ModelSource("other", "./other")
TEMPLATE = "{% block user %}{{ input }}{% endblock %}"
BASE = Plan(model=MODEL, prompt=Prompt(TEMPLATE))
QUANTIZED = dataclasses.replace(BASE, quantization={"method": "bitsandbytes-nf4"})
RICH = dataclasses.replace(
    BASE,
    paraphrases=(Prompt("Q " + TEMPLATE),),
    dtype="bfloat16",
    device="cuda",
    thinking=Thinking(tokens=8),
)
OPTIONS = ("the", "an other", "one")


def declare(
    kind: str,
    base: Plan | None,
    root: Path,
    *,
    model: ModelSource | None = None,
    recipe: Mapping[str, Any] | None = None,
    **options: Any,
) -> Plan:
    spec = Spec(
        "v",
        kind,
        variants.KINDS[kind].strategy,
        base=None if base is None else "plain",
        model=None if model is None else model.name,
        options=options,
        recipe=recipe,
    )
    toml = root / "modellab.toml"
    return variants.make_plan(variants.KINDS[kind], spec, base, model or MODEL, toml)


def refusal(kind: str, base: Plan | None, root: Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        declare(kind, base, root, **settings)
    prefix = f"{root / 'modellab.toml'}: variants.v."
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def edit(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Change an adapter's tensors."""
    file = folder / adapter_loading.WEIGHTS
    safetensors.save_file(change(safetensors.load_file(file)), file)


@pytest.fixture(scope="module")
def ready(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two adapters of the small model, ``a`` and ``b``."""
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate("ab", start=1):
        write_adapter(root / name, model_folder, seed=seed)
    return root


@pytest.fixture
def own(ready: Path, tmp_path: Path) -> Path:
    """A folder with the test's own copy of adapter ``a``, to be damaged."""
    shutil.copytree(ready / "a", tmp_path / "a")
    return tmp_path


@pytest.fixture
def files(model_folder: Path, tmp_path: Path) -> ModelFiles:
    return locate.locate(dataclasses.replace(MODEL, source=str(model_folder)), tmp_path)


Load = Callable[..., TransformersEngine]


@pytest.fixture
def load(files: ModelFiles, tmp_path: Path) -> Load:
    def go(made: Plan, files: ModelFiles = files) -> TransformersEngine:
        engine = loading.load(made, files, tmp_path / "cache")
        assert isinstance(engine, TransformersEngine)
        return engine

    return go


def fails(load: Load, made: Plan) -> str:
    with pytest.raises(VariantLoadError) as caught:
        load(made)
    return str(caught.value)


def likelihoods(engine: TransformersEngine) -> list[float]:
    context = engine.render([{"role": "user", "content": "What is the capital of the land?"}])
    seen: dict[int, Output] = {}
    engine.score_options(
        [ScoringRequest(context, OPTIONS)], budget=99, skip=set(), done=seen.update
    )
    return list(seen[0].option_logprobs)


def reply(engine: TransformersEngine) -> str:
    context = engine.render([{"role": "user", "content": "What is the capital of the land?"}])
    seen: dict[int, Output] = {}
    engine.generate([GenerationRequest(context, 5)], budget=99, skip=set(), done=seen.update)
    return seen[0].text


def names(steps: Sequence[planning.Step]) -> list[str]:
    return [step.name for step in steps]


# --- plans ----------------------------------------------------------------------------------------


def test_lora_changes_nothing_but_the_weights(ready: Path) -> None:
    made = declare("lora", RICH, ready, adapter="a")
    (step,) = made.steps
    assert made == dataclasses.replace(RICH, steps=(step,), packages=(*RICH.packages, "peft"))
    assert step.name == "adapter"
    assert dict(step.settings) == {
        "method": "LORA",
        "hash": hash_files(
            [ready / "a" / name for name in (adapter_loading.CONFIG, adapter_loading.WEIGHTS)]
        ),
        "merged": False,
    }
    (step,) = declare("lora", RICH, ready, adapter="a", merge=True).steps
    assert step.settings["merged"] is True


def test_qlora_keeps_the_quantization(ready: Path) -> None:
    made = declare("qlora", QUANTIZED, ready, adapter="a")
    assert made.quantization == QUANTIZED.quantization
    assert names(made.steps) == ["adapter"]
    assert made.steps[0].settings["merged"] is False


@pytest.mark.parametrize("kind", ["finetuned", "distilled", "aligned"])
def test_own_weights_keep_how_the_base_is_asked(kind: str, tmp_path: Path) -> None:
    quantized = dataclasses.replace(
        RICH, quantization={"method": "rtn"}, packages=(*RICH.packages, "torchao")
    )
    made = declare(kind, quantized, tmp_path, model=OTHER)
    assert made == Plan(
        model=OTHER,
        prompt=RICH.prompt,
        paraphrases=RICH.paraphrases,
        dtype="bfloat16",
        device="cuda",
        thinking=RICH.thinking,
        engine="transformers-2",
        plain='declare it by kind = "quantized", with this model, and the plain variant as base',
    )


def test_distilled_and_aligned_from_the_base(ready: Path) -> None:
    made = declare("distilled", RICH, ready, layers=[0])
    assert [(step.name, dict(step.settings)) for step in made.steps] == [("layers", {"kept": [0]})]
    assert made.packages == RICH.packages, "peft is not needed"
    assert (made.prompt, made.thinking) == (RICH.prompt, RICH.thinking)
    made = declare("distilled", RICH, ready, layers=[0], adapter="a", merge=True)
    assert names(made.steps) == ["layers", "adapter"]
    made = declare("aligned", RICH, ready, adapter="a")
    assert names(made.steps) == ["adapter"]


# --- refused before anything is loaded ------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "base", "settings", "said"),
    [
        ("lora", None, {}, "base: missing; name the variant that the adapter was trained on"),
        ("qlora", None, {}, "base: missing; name the variant that the adapter was trained on"),
        ("lora", QUANTIZED, {}, "base: 'plain' is quantized; then the kind is 'qlora'"),
        ("qlora", BASE, {}, "base: 'plain' is not quantized; then the kind is 'lora'"),
        ("lora", BASE, {}, "adapter: missing; name the folder of a PEFT adapter"),
        ("lora", BASE, {"adapter": 3}, "adapter: 3 is int, expected str"),
        ("lora", BASE, {"adapter": "a", "merge": 1}, "merge: 1 is int, expected bool"),
        (
            "lora",
            BASE,
            {"adaptor": "a"},
            "adaptor: unknown key; did you mean 'adapter'? Known: adapter, merge, scale",
        ),
        ("lora", BASE, {"adapter": "a", "scale": 0}, "scale: 0.0 is not above 0"),
        ("lora", BASE, {"adapter": "a", "scale": "half"}, "scale: 'half' is str, expected float"),
        (
            "lora",
            BASE,
            {"adapter": "a", "scale": math.inf},
            "scale: inf is not a finite number",
        ),
        (
            "qlora",
            QUANTIZED,
            {"adapter": "a", "merge": True},
            "merge: unknown key; Known: adapter, scale",
        ),
        (
            "finetuned",
            None,
            {"model": OTHER},
            "base: missing; name the variant that it is compared with",
        ),
        ("finetuned", BASE, {}, "model: missing; name the checkpoint, declared in [models]"),
        (
            "finetuned",
            BASE,
            {"model": OTHER, "adapter": "a"},
            "adapter: unknown key; none is declared",
        ),
        (
            "distilled",
            None,
            {"model": OTHER},
            "base: missing; name the variant that it is compared with",
        ),
        ("distilled", None, {"layers": [0]}, "base: missing; name the teacher"),
        (
            "distilled",
            QUANTIZED,
            {"layers": [0]},
            "base: 'plain' is quantized; quantize the student instead",
        ),
        (
            "distilled",
            BASE,
            {"adapter": "a"},
            "layers: missing; name the base's layers to keep, or a 'model'",
        ),
        ("distilled", BASE, {"layers": 2}, "layers: 2 is int, expected list"),
        (
            "distilled",
            BASE,
            {"layers": [0], "merge": True},
            "merge: needs 'adapter', the folder of a PEFT adapter",
        ),
        (
            "distilled",
            BASE,
            {"layers": [0], "scale": 0.5},
            "scale: needs 'adapter', the folder of a PEFT adapter",
        ),
        (
            "distilled",
            BASE,
            {"model": OTHER, "layers": [0]},
            "layers: belongs to a student without a model of its own",
        ),
        (
            "aligned",
            None,
            {"model": OTHER},
            "base: missing; name the variant that it is compared with",
        ),
        ("aligned", None, {"adapter": "a"}, "base: missing; name the variant that was aligned"),
        ("aligned", BASE, {}, "adapter: missing; name the folder of a PEFT adapter"),
        (
            "aligned",
            BASE,
            {"model": OTHER, "merge": True},
            "merge: belongs to a variant without a model of its own",
        ),
    ],
)
def test_wrong_declaration(
    kind: str, base: Plan | None, settings: dict[str, Any], said: str, ready: Path
) -> None:
    assert refusal(kind, base, ready, **settings) == said


@pytest.mark.parametrize("recipe", [None, {"method": "sft"}], ids=["own", "built"])
def test_no_adapter(own: Path, recipe: dict[str, str] | None) -> None:
    build = "; build it: modellab build v" if recipe else ""

    def said(name: str) -> str:
        return refusal("lora", BASE, own, adapter=name, recipe=recipe)

    assert said("none") == f"adapter: no such folder: {own / 'none'}{build}"
    config, weights = (
        own / "a" / name for name in (adapter_loading.CONFIG, adapter_loading.WEIGHTS)
    )
    kept = {path: path.read_bytes() for path in (config, weights)}
    for path, content in kept.items():
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:7\nsize 9\n")
        assert said("a") == (
            f"adapter: {path}: a Git LFS pointer, not the file itself; fetch it: "
            f"git lfs pull --include {path.name}"
        )
        path.write_bytes(content)
    for broken, problem in (
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("{}", "'peft_type'"),
        ("[]", "list indices must be integers or slices, not str"),
        (
            "[" * 100_000,
            "maximum recursion depth exceeded while decoding a JSON array from a unicode string",
        ),
    ):
        config.write_text(broken)
        assert said("a") == f"adapter: {config}: not what PEFT writes ({problem}){build}"
    config.unlink()
    assert said("a") == (
        f"adapter: {config}: not what PEFT writes ([Errno 2] No such file or directory: "
        f"'{config}'){build}"
    )
    weights.unlink()
    assert said("a") == f"adapter: {own / 'a'} holds no adapter_model.safetensors{build}"
    (own / "a" / "adapter_model.bin").touch()
    assert said("a") == (
        f"adapter: {own / 'a'} holds no adapter_model.safetensors (pickled weights are not read)"
        f"{build}"
    )
    for step in (200, 100):  # as a trainer leaves them
        (own / "run" / f"checkpoint-{step}").mkdir(parents=True)
        (own / "run" / f"checkpoint-{step}" / "adapter_model.safetensors").touch()
    assert said("run") == (
        f"adapter: {own / 'run'} holds no adapter_model.safetensors; name one of the folders in "
        "it: checkpoint-100, checkpoint-200"
    )


# --- fingerprints ---------------------------------------------------------------------------------


def test_fingerprint(own: Path, files: ModelFiles) -> None:
    def key(kind: str = "lora", **options: Any) -> str:
        return loading.fingerprint(declare(kind, BASE, own, **options), files).key

    plain = loading.fingerprint(BASE, files).key
    apart, merged = key(adapter="a"), key(adapter="a", merge=True)
    assert key(adapter="a") == apart
    students = [key("distilled", layers=kept) for kept in ([0], [1], [0, 1])]
    assert len({plain, apart, merged, *students}) == 6
    assert key("aligned", adapter="a") == apart, "the kind's name changes no answer"

    shutil.copytree(own / "a", own / "renamed")
    assert key(adapter="renamed") == apart
    (own / "a" / "README.md").write_text("changes no answer")
    assert key(adapter="a") == apart
    edit(own / "a", lambda tensors: {k: v * 1.5 for k, v in tensors.items()})
    other = key(adapter="a")
    assert other != apart
    config = own / "a" / adapter_loading.CONFIG
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 9'))
    assert key(adapter="a") not in (apart, other)


# --- what they answer -----------------------------------------------------------------------------


def test_apart_and_merged_say_the_same_and_not_what_the_base_says(ready: Path, load: Load) -> None:
    base = likelihoods(load(BASE))
    apart, merged = (
        load(declare("lora", BASE, ready, adapter="a", merge=merge)) for merge in (False, True)
    )
    assert likelihoods(apart) == likelihoods(apart), "dropout is for training"
    assert likelihoods(apart) == pytest.approx(likelihoods(merged), abs=1e-4)
    assert reply(apart) == reply(merged)
    assert max(abs(a - b) for a, b in zip(likelihoods(apart), base, strict=True)) > 0.1
    assert merged.parameter_bytes() == load(BASE).parameter_bytes() < apart.parameter_bytes()


@pytest.mark.parametrize("merge", [False, True])
def test_loading_warns_of_nothing(ready: Path, load: Load, merge: bool) -> None:
    made = declare("lora", declare("lora", BASE, ready, adapter="a"), ready, adapter="b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(declare("lora", made, ready, adapter="a", merge=merge))


def test_an_adapter_does_what_its_matrices_say(ready: Path, load: Load) -> None:
    """W + alpha / r B A, by hand."""
    base, merged = load(BASE), load(declare("lora", BASE, ready, adapter="a", merge=True))
    tensors = safetensors.load_file(ready / "a" / adapter_loading.WEIGHTS)
    for name, old in base.model.named_parameters():
        key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        new = merged.model.get_parameter(name)
        if f"{key}A.weight" in tensors:
            old = old + 2.0 * tensors[f"{key}B.weight"] @ tensors[f"{key}A.weight"]
            assert torch.allclose(new, old, atol=1e-6), name
        else:
            assert torch.equal(new, old), name


@pytest.mark.parametrize("merge", [False, True])
def test_a_scaled_adapter_adds_so_much_of_its_matrices(
    merge: bool, ready: Path, load: Load
) -> None:
    base = load(BASE)
    made = declare("lora", BASE, ready, adapter="a", merge=merge, scale=0.25)
    assert made.steps[0].settings["scale"] == 0.25
    tensors = safetensors.load_file(ready / "a" / adapter_loading.WEIGHTS)
    by_hand = load(BASE)
    with torch.no_grad():
        for name, weight in by_hand.model.named_parameters():
            key = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            if f"{key}A.weight" in tensors:
                weight += 0.25 * 2.0 * tensors[f"{key}B.weight"] @ tensors[f"{key}A.weight"]
    assert likelihoods(load(made)) == pytest.approx(likelihoods(by_hand), abs=1e-4)
    assert likelihoods(by_hand) != pytest.approx(likelihoods(base), abs=1e-3)


def test_a_scale_of_one_is_none(ready: Path) -> None:
    (plain,) = declare("lora", BASE, ready, adapter="a").steps
    for scale in (1, 1.0):
        (made,) = declare("lora", BASE, ready, adapter="a", scale=scale).steps
        assert made.settings == plain.settings


def test_a_scaled_adapter_is_scaled_before_it_is_rounded(ready: Path, load: Load) -> None:
    spec = Spec("q", "quantized", "quantization", base="v", options={"method": "rtn", "bits": 8})
    kind = variants.KINDS["quantized"]
    half = declare("lora", BASE, ready, adapter="a", scale=0.5)
    made = variants.make_plan(kind, spec, half, MODEL, ready / "modellab.toml")
    by_hand = load(dataclasses.replace(half, steps=()).with_step(_merged(half.steps[0])))
    for step in made.steps:
        by_hand.model = step.apply(by_hand.model)
    assert likelihoods(load(made)) == likelihoods(by_hand)


def _merged(step: planning.Step) -> planning.Step:
    assert step.bake is not None
    return dataclasses.replace(step, apply=step.bake)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"peft_type": "IA3"}, "is of PEFT's method IA3, and only a LoRA can be scaled"),
        ({"use_dora": True}, "is a DoRA, which changes the length of the base's rows, too"),
        (
            {"modules_to_save": ["lm_head"]},
            "replaces parts of the base (modules_to_save in adapter_config.json)",
        ),
        (
            {"bias": "lora_only"},
            "replaces the base's biases (bias in adapter_config.json)",
        ),
        (
            {"init_lora_weights": "pissa"},
            "changes the base by its start (init_lora_weights 'pissa'), too",
        ),
    ],
)
def test_what_cannot_be_scaled(change: dict[str, Any], said: str, own: Path) -> None:
    file = own / "a" / adapter_loading.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    declare("lora", BASE, own, adapter="a", scale=1)
    assert refusal("lora", BASE, own, adapter="a", scale=0.5) == (
        f"scale: the adapter {own / 'a'} {said}; leave it at 1"
    )


def test_an_adapter_on_an_adapter_merges_the_first(
    ready: Path, load: Load, model_folder: Path, tmp_path: Path
) -> None:
    first = declare("lora", BASE, ready, adapter="a")
    chained = declare("aligned", first, ready, adapter="b")
    assert names(chained.steps) == ["adapter", "adapter"]

    by_hand = peft.PeftModel.from_pretrained(
        transformers.AutoModelForCausalLM.from_pretrained(model_folder), str(ready / "a")
    ).merge_and_unload()
    folder = shutil.copytree(model_folder, tmp_path / "by hand")
    by_hand.save_pretrained(folder)
    files = locate.locate(ModelSource("hand", str(folder)), tmp_path)
    second = declare("lora", BASE, ready, adapter="b")
    wanted = likelihoods(load(second, files))

    assert likelihoods(load(chained)) == wanted
    assert likelihoods(load(first)) != wanted
    assert likelihoods(load(second)) != wanted


def test_a_quantized_adapter_is_baked_once(
    ready: Path, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized = Spec("q", "quantized", "quantization", base="v", options={"method": "rtn"})

    def quantize(base: Plan) -> Plan:
        kind = variants.KINDS["quantized"]
        return variants.make_plan(kind, quantized, base, MODEL, ready / "modellab.toml")

    made = quantize(declare("lora", BASE, ready, adapter="a"))
    assert (names(made.baked), names(made.steps)) == (["adapter"], ["rtn"])
    found = likelihoods(load(made))
    (folder,) = (tmp_path / "cache" / "models").glob("*-baked")

    merged = load(declare("lora", BASE, ready, adapter="a", merge=True))
    for step in made.steps:
        merged.model = step.apply(merged.model)
    assert found == likelihoods(merged)

    def again(*_: object) -> None:
        raise AssertionError("baked a second time")

    monkeypatch.setattr(adapter_loading, "load", again)
    assert likelihoods(load(made)) == found
    monkeypatch.undo()
    load(quantize(declare("lora", BASE, ready, adapter="b")))
    assert len(list(folder.parent.glob("*-baked"))) == 2


def test_a_student_is_healed_by_an_adapter(
    ready: Path, load: Load, model_folder: Path, tmp_path: Path
) -> None:
    student = load(declare("distilled", BASE, ready, layers=[1]))
    folder = tmp_path / "student"
    student.model.save_pretrained(folder)
    write_adapter(tmp_path / "heals", folder)
    healed = load(declare("distilled", BASE, tmp_path, layers=[1], adapter="heals"))
    merged = load(declare("distilled", BASE, tmp_path, layers=[1], adapter="heals", merge=True))
    assert likelihoods(healed) == pytest.approx(likelihoods(merged), abs=1e-4)
    assert likelihoods(healed) != pytest.approx(likelihoods(student), abs=0.1)


# --- refused when loaded --------------------------------------------------------------------------


def test_another_width(load: Load, tmp_path: Path) -> None:
    wide = testing.write_random_model(tmp_path / "wide", hidden_size=64)
    folder = write_adapter(tmp_path / "a", wide)
    assert fails(load, declare("lora", BASE, tmp_path, adapter="a")) == (
        f"the adapter {folder} was trained on another model: at "
        "'model.layers.0.mlp.down_proj' it has in_features 128, this base 64"
    )


def test_another_depth(ready: Path, load: Load) -> None:
    made = declare("distilled", BASE, ready, layers=[0], adapter="a")
    assert fails(load, made) == (
        f"the adapter {ready / 'a'} changes 'model.layers.1.mlp.down_proj', which this base does "
        "not have and 5 more: it was trained on another model"
    )


def test_provenance(own: Path, files: ModelFiles) -> None:
    folder = own / "a"

    def found(made: Plan, **base: Any) -> str:
        (folder / adapter_base.PROVENANCE).write_text(json.dumps({"base": base}))
        with pytest.raises(VariantLoadError) as caught:
            loading.fingerprint(made, files)
        return str(caught.value)

    lora = declare("lora", BASE, own, adapter="a")
    mend = "declare the base that it was trained on, or build it again"
    assert found(lora, weights="f" * 64) == (
        f"the adapter {folder} was trained on a base with weights {'f' * 16}…, but this variant's "
        f"base is {files.source.source!r} with weights {files.weights[:16]}…; {mend}"
    )
    kept = ["layers", {"kept": [0]}]
    assert found(lora, weights=files.weights, steps=[kept]) == (
        f"the adapter {folder} was trained on the model with layers {{'kept': [0]}}, but this "
        f"variant's base is the plain model; {mend}"
    )
    student = declare("distilled", BASE, own, layers=[1], adapter="a")
    assert found(student, weights=files.weights) == (
        f"the adapter {folder} was trained on the plain model, but this variant's base is the "
        f"model with layers {{'kept': [1]}}; {mend}"
    )


def test_fitting_provenance(own: Path, ready: Path, files: ModelFiles) -> None:
    def passes(made: Plan, text: str) -> None:
        (own / "a" / adapter_base.PROVENANCE).write_text(text)
        loading.fingerprint(made, files)

    lora = declare("lora", BASE, own, adapter="a")
    passes(lora, json.dumps({"base": {"weights": files.weights}}))
    student = declare("distilled", BASE, own, layers=[1], adapter="a")
    steps: list[Any] = [["layers", {"kept": [1]}]]
    passes(student, json.dumps({"base": {"weights": files.weights, "steps": steps}}))
    for merge in (False, True):  # the same model either way
        first = declare("lora", BASE, ready, adapter="b", merge=merge)
        settings = {k: v for k, v in first.steps[0].settings.items() if k != "merged"}
        steps = [["adapter", settings]]
        text = json.dumps({"base": {"weights": files.weights, "steps": steps}})
        passes(declare("lora", first, own, adapter="a"), text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "[]: expected an object"),
        ("{}", "base: missing"),
        ('{"base": 3}', "base: 3: expected an object"),
        ('{"base": {}}', "base.weights: missing"),
        ('{"base": {"weights": 3}}', "base.weights: 3: expected a string"),
        ("[" * 9999, "maximum recursion depth"),
    ],
)
def test_provenance_that_cannot_be_read_is_no_word_for_the_base(
    own: Path, files: ModelFiles, text: str, problem: str
) -> None:
    path = own / "a" / adapter_base.PROVENANCE
    path.write_text(text)
    with pytest.raises(VariantLoadError) as caught:
        loading.fingerprint(declare("lora", BASE, own, adapter="a"), files)
    said = str(caught.value)
    assert said.startswith(
        f"{path}: cannot be read, so the base of the adapter is not known: {problem}"
    )
    assert said.endswith("; restore it, or build the adapter again")


def test_merging_must_not_change_the_answers(
    ready: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = declare("lora", BASE, ready, adapter="a", merge=True)
    monkeypatch.setattr(adapters, "PARITY", {"float32": -1.0})
    said = fails(load, made)
    assert said.startswith(f"the adapter {ready / 'a'} cannot be merged: logits change by ")
    assert said.endswith(
        " of the largest, more than -1; run it unmerged (merge = false), or in float32"
    )
    load(dataclasses.replace(made, steps=declare("lora", BASE, ready, adapter="a").steps))


@pytest.mark.parametrize("factor", [1.01, float("nan")])
def test_a_merge_that_goes_wrong(
    ready: Path, load: Load, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    load_adapter = adapter_loading.load

    class Wrong:
        def __init__(self, model: Any) -> None:
            self.model = model

        def __call__(self, **inputs: Any) -> Any:
            return self.model(**inputs)

        def get_base_model(self) -> Any:
            return self.model.get_base_model()

        def merge_and_unload(self) -> Any:
            merged = self.model.merge_and_unload()
            with torch.no_grad():
                merged.lm_head.weight.mul_(factor)
            return merged

    monkeypatch.setattr(adapter_loading, "load", lambda *args: Wrong(load_adapter(*args)))
    said = fails(load, declare("lora", BASE, ready, adapter="a", merge=True))
    wanted = "nan" if factor != factor else "0.01"
    assert f"logits change by {wanted} of the largest, more than 0.001; " in said


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_adapter(own: Path, load: Load, share: float, merge: bool) -> None:
    weights = own / "a" / adapter_loading.WEIGHTS
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(share * len(whole))])
    said = fails(load, declare("lora", BASE, own, adapter="a", merge=merge))
    assert said.startswith(f"the adapter {own / 'a'} cannot be loaded: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda tensors: {k: v for k, v in tensors.items() if "layers.1" not in k},
            "cannot be loaded: adapter_model.safetensors lacks "
            "'model.layers.1.self_attn.q_proj.lora_A.weight' and 5 more, which adapter_config.json "
            "asks for: the file is damaged, or it was trained on another model",
        ),
        (
            lambda _: {},
            "cannot be loaded: adapter_model.safetensors lacks "
            "'model.layers.0.self_attn.q_proj.lora_A.weight' and 11 more, which "
            "adapter_config.json asks for: the file is damaged, or it was trained on another model",
        ),
        (
            lambda tensors: {k.removeprefix("base_model.model."): v for k, v in tensors.items()},
            "changes 'model.layers.0.mlp.down_proj', which this base does not have and 11 more: "
            "PEFT's names begin with 'base_model.model.': save it with PEFT's save_pretrained",
        ),
        (
            lambda tensors: {**tensors, next(iter(tensors)): torch.zeros(0)},
            "cannot be loaded: 'model.layers.0.mlp.down_proj.lora_A.weight' is empty in "
            "adapter_model.safetensors, as where DeepSpeed or FSDP saves a part of what it has "
            "spread; gather it, and save it again",
        ),
        (
            lambda tensors: {**tensors, "base_model.model.score.weight": torch.zeros(1, 32)},
            "holds 'score.weight', which this base does not have: it was trained on another model, "
            "or with a head that no variant answers with",
        ),
    ],
    ids=["a layer is missing", "nothing", "other names", "empty", "a head"],
)
def test_what_an_adapter_holds_is_taken_up_or_it_is_refused(
    own: Path, load: Load, change: Callable[[dict[str, Any]], dict[str, Any]], said: str
) -> None:
    """PEFT would leave what it does not find as it was initialized, and drop what is left over."""
    edit(own / "a", change)
    assert fails(load, declare("lora", BASE, own, adapter="a")) == (
        f"the adapter {own / 'a'} {said}"
    )


def test_an_adapter_of_other_rank(own: Path, load: Load) -> None:
    config = own / "a" / adapter_loading.CONFIG
    config.write_text(config.read_text().replace('"r": 4', '"r": 8'))
    assert fails(load, declare("lora", BASE, own, adapter="a")) == (
        f"the adapter {own / 'a'} cannot be loaded: 'model.layers.0.mlp.down_proj.lora_A.weight' "
        "is of shape [4, 64] in adapter_model.safetensors, and of [8, 64] by adapter_config.json "
        "and this base: they do not belong together"
    )


# --- other methods of PEFT ------------------------------------------------------------------------


def _methods() -> dict[str, Any]:
    linear = {"target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}
    return {
        "ADALORA": peft.AdaLoraConfig(init_r=4, target_r=2, total_step=10, **linear),
        "LORA": peft.LoraConfig(r=4, use_dora=True, **linear),
        "IA3": peft.IA3Config(feedforward_modules=[], init_ia3_weights=False, **linear),
        "LOHA": peft.LoHaConfig(r=4, init_weights=False, **linear),
    }


@pytest.mark.parametrize("method", ["ADALORA", "LORA", "IA3", "LOHA"])
def test_method(method: str, load: Load, model_folder: Path, tmp_path: Path) -> None:
    write_adapter(tmp_path / "a", model_folder, config=_methods()[method])
    plans = [declare("lora", BASE, tmp_path, adapter="a", merge=merge) for merge in (False, True)]
    assert plans[0].steps[0].settings["method"] == method
    apart, merged = (likelihoods(load(made)) for made in plans)
    assert apart == pytest.approx(merged, abs=1e-4)
    assert apart != likelihoods(load(BASE))


@pytest.mark.parametrize("merge", [False, True])
def test_a_learned_prompt_is_no_change_to_the_model(
    load: Load, model_folder: Path, tmp_path: Path, merge: bool
) -> None:
    config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    folder = write_adapter(tmp_path / "a", model_folder, config=config)
    assert fails(load, declare("lora", BASE, tmp_path, adapter="a", merge=merge)) == (
        f"the adapter {folder} is of PEFT's method PROMPT_TUNING, which adds tokens to the "
        "prompt; only adapters that change the model's layers are run"
    )


def test_a_method_that_cannot_be_merged(load: Load, model_folder: Path, tmp_path: Path) -> None:
    config = peft.AdaptionPromptConfig(adapter_len=2, adapter_layers=1, task_type="CAUSAL_LM")
    folder = write_adapter(tmp_path / "a", model_folder, config=config)
    said = fails(load, declare("lora", BASE, tmp_path, adapter="a", merge=True))
    assert said.startswith(f"the adapter {folder} cannot be merged: ")
    assert said.endswith("; run it unmerged (merge = false)")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("target_modules", "(.|..)+x", "target_modules: '(.|..)+x' repeats a group"),
        ("target_modules", r".*a.*b.*c.*d.*e", "is too long, or repeats more than 4 parts"),
        ("exclude_modules", r"(?:a{1,9}){9}", "repeats a group, and may take for ever"),
        ("modules_to_save", ["(a|aa)+$"], "modules_to_save: '(a|aa)+$' repeats a group"),
        ("rank_pattern", {"(a|aa)+$": 4}, "rank_pattern: '(a|aa)+$' repeats a group"),
        ("alpha_pattern", {"(a|aa)*": 4}, "alpha_pattern: '(a|aa)*' repeats a group"),
        ("r", 10**9, "r: 1000000000 is larger than any matrix in the adapter's file"),
        ("rank_pattern", {"q_proj": 10**9}, "rank_pattern: 1000000000 is larger than any matrix"),
    ],
)
def test_a_configuration_that_would_take_for_ever(
    own: Path, load: Load, key: str, value: Any, told: str
) -> None:
    file = own / "a" / adapter_loading.CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))
    said = fails(load, declare("lora", BASE, own, adapter="a"))
    assert f"{file}: " in said
    assert told in said


@pytest.mark.parametrize(
    "text",
    [
        r".*\.(q_proj|k_proj)$",
        r"^(?!.*visual).*(?:q|k)_proj.*$",
        r"layers\.[0-9]+\.x",
        "",
        r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|k_proj).*?)"  # as Unsloth writes
        r"|(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\.(?:(?:q_proj|k_proj)))",
    ],
)
def test_usual_expressions_of_an_adapter(text: str) -> None:
    assert adapter_config.problem({"target_modules": text, "r": 256}, 0) is None


@pytest.mark.parametrize("quantized", [False, True], ids=["loaded", "baked"])
def test_an_adapter_of_other_prompts_is_refused_before_it_answers(
    own: Path, load: Load, quantized: bool
) -> None:
    (own / "a" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    made = declare("lora", BASE, own, adapter="a")
    if quantized:
        spec = Spec("q", "quantized", "quantization", base="v", options={"method": "rtn"})
        kind = variants.KINDS["quantized"]
        made = variants.make_plan(kind, spec, made, MODEL, own / "modellab.toml")
    assert fails(load, made).startswith(
        f"the adapter {own / 'a'} was trained with another chat template than its base's: "
    )
