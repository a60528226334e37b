"""Kind ``multimodal``: declared, described from files, quantized by parts, parts put back."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sight

from pytest_modellab import testing, variants
from pytest_modellab.engines import memory
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.vision.image_text import ImageTextEngine
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.media import PLACE, Media
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import images, loading, sharing
from pytest_modellab.variants.kinds import quantized
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Lent, Plan

MODEL = ModelSource("sight", "./sight")
PROMPT = "{% block user %}{{ input }}{% endblock %}"


@pytest.fixture(autouse=True)
def _little_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models here are small, and collecting what they leave takes longer than loading them."""
    monkeypatch.setattr(memory, "give_back", lambda *_: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for library in ("torch", "transformers", "PIL"):
        pytest.importorskip(library, reason="small models look at small pictures")
    root = tmp_path_factory.mktemp("root")
    sight.write(root / "sight")
    sight.write(root / "other", seed=1)
    (root / "p.jinja").write_text(PROMPT)
    return root


@pytest.fixture(scope="module")
def files(root: Path) -> ModelFiles:
    return locate.locate(MODEL, root)


def planned(root: Path, kind: str, base: Plan | None = None, **options: Any) -> Plan:
    name = "sight" if base is not None else None
    spec = VariantSpec("v", kind, "any", base=name, options=options)
    return variants.make_plan(variants.KINDS[kind], spec, base, MODEL, root / "modellab.toml")


@pytest.fixture(scope="module")
def base(root: Path) -> Plan:
    return planned(root, "multimodal", prompt="p.jinja")


def refusal(root: Path, kind: str, base: Plan | None = None, **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(root, kind, base, **options)
    return str(caught.value).removeprefix(f"{root / 'modellab.toml'}: variants.v.")


def told(plan: Plan, files: ModelFiles, cache: Path, seen: Sequence[Media]) -> Any:
    engine = loading.load(plan, files, cache)
    try:
        return scored(engine, seen)
    finally:
        engine.close()


def scored(engine: Any, seen: Sequence[Media]) -> Any:
    assert isinstance(engine, ImageTextEngine)
    context = engine.render([{"role": "user", "content": f"{PLACE}the cat"}])
    found: dict[int, Output] = {}
    asked = [ScoringRequest(context, ("the", "an a", "cat"), media=(one,)) for one in seen]
    engine.score_options(asked, budget=512, skip=set(), done=found.update)
    return [found[i].option_logprobs for i in range(len(seen))]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> list[Media]:
    return [sight.picture(tmp_path_factory.mktemp("seen"), seed) for seed in range(2)]


@pytest.fixture(scope="module")
def expected(base: Plan, files: ModelFiles, root: Path, seen: Sequence[Media]) -> Any:
    return told(base, files, root / "cache", seen)


# --- declared -------------------------------------------------------------------------------------


def test_it_takes_images(base: Plan) -> None:
    assert base.media == {"image"}
    assert base.parts == ("preprocessing", "vision", "connector", "language")
    assert base.engine == "transformers-1-images-1"
    assert base.on("cuda").engine == "transformers-2-images-1"
    assert "pillow" in base.packages


def test_the_processor_may_be_set_otherwise(root: Path, base: Plan) -> None:
    changed = planned(root, "multimodal", base, processor={"image_mean": [0, 0, 0.5]})
    assert changed == dataclasses.replace(base, processor={"image_mean": [0, 0, 0.5]})
    again = planned(root, "multimodal", changed, processor={"resample": "nearest"})
    assert again.processor == {"image_mean": [0, 0, 0.5], "resample": "nearest"}
    assert images.changes(again) == {"image_mean": [0, 0, 0.5], "resample": 0}
    asked = planned(root, "multimodal", changed, prompt="p.jinja", dtype="bfloat16")
    assert asked == dataclasses.replace(changed, dtype="bfloat16")


@pytest.mark.parametrize(
    ("processor", "said"),
    [
        ({"mean": [0.5]}, "processor.mean: unknown key; "),
        ({"image_mean": 0.5}, "processor.image_mean: 0.5 is float, expected list"),
        (
            {"image_std": []},
            "processor.image_std: []: expected a number above 0 for each channel, such as "
            "[0.5, 0.5, 0.5]",
        ),
        (
            {"image_std": [0.5, 0, 0.5]},
            "processor.image_std: [0.5, 0, 0.5]: expected a number abov",
        ),
        ({"rescale_factor": math.inf}, "processor.rescale_factor: inf is not above 0"),
        (
            {"image_mean": [math.nan, 0.5, 0.5]},
            "processor.image_mean: [nan, 0.5, 0.5]: expected a number for each channel, such as "
            "[0.5, 0.5, 0.5]",
        ),
        (
            {"size": 0},
            "processor.size: 0: expected pixels, or a table of them such as "
            "{ height = 224, width = 224 }",
        ),
        (
            {"crop_size": {"height": "32"}},
            "processor.crop_size: {'height': '32'}: expected pixels, or a table of them such as "
            "{ height = 224, width = 224 }",
        ),
        (
            {"resample": "cubic"},
            "processor.resample: unknown 'cubic'; did you mean 'bicubic'? Known: bicubic, "
            "bilinear, box, hamming, lanczos, nearest",
        ),
        ({"rescale_factor": 0.0}, "processor.rescale_factor: 0.0 is not above 0"),
        ({"min_pixels": 0}, "processor.min_pixels: 0 is not at least 1"),
    ],
)
def test_a_wrong_field(root: Path, base: Plan, processor: Mapping[str, Any], said: str) -> None:
    assert refusal(root, "multimodal", base, processor=processor).startswith(said)


def test_a_base_that_takes_no_images(root: Path, base: Plan) -> None:
    plain = planned(root, "prompted", prompt="p.jinja")
    assert refusal(root, "multimodal", plain, prompt="p.jinja") == (
        "base: 'sight' cannot be one of this kind: it reads text alone; name a variant of kind "
        '"multimodal", or a model'
    )
    other = dataclasses.replace(base, open=lambda *_: None, engine="rapidocr-1")  # type: ignore[arg-type]
    assert refusal(root, "multimodal", other).startswith(
        "base: 'sight' cannot be one of this kind: rapidocr-1 runs it; "
    )
    assert refusal(root, "multimodal", base, dtype="bfloat16") == (
        "prompt: missing; 'dtype' goes with a prompt: name the base's Jinja file, or another"
    )
    assert refusal(root, "multimodal") == (
        "prompt: missing; name a Jinja file with {% block user %}"
    )


def test_variants_on_it_take_images(root: Path, base: Plan) -> None:
    changed = planned(root, "multimodal", base, processor={"do_resize": False})
    inherited = planned(root, "prompted", changed, prompt="p.jinja")
    assert inherited == changed
    spec = VariantSpec("v", "finetuned", "any", base="sight", model="own")
    own = ModelSource("own", "./other")
    kind = variants.KINDS["finetuned"]
    made = variants.make_plan(kind, spec, changed, own, root / "modellab.toml")
    for field in ("media", "processor", "preprocessing", "parts", "consists", "engine"):
        assert getattr(made, field) == getattr(changed, field)
    assert made.model == own
    assert "pillow" in made.packages


@pytest.mark.parametrize(
    ("options", "how"), [({"processor": {}}, "asked"), ({"dtype": "bfloat16"}, "")]
)
def test_what_it_shares(options: Mapping[str, Any], how: str) -> None:
    spec = VariantSpec("v", "multimodal", "any", base="sight", options=options)
    assert variants.KINDS["multimodal"].shares(spec) == how


# --- told from files ------------------------------------------------------------------------------


def test_how_images_are_prepared_is_told(base: Plan, files: ModelFiles) -> None:
    square = {"longest_edge": 32}
    expected = {
        "do_convert_rgb": True,
        "do_image_splitting": False,
        "do_normalize": True,
        "do_pad": True,
        "do_rescale": True,
        "do_resize": True,
        "image processor": "Idefics3ImageProcessor",
        "image_mean": [0.5, 0.5, 0.5],
        "image_seq_len": 4,
        "image_std": [0.5, 0.5, 0.5],
        "max_image_size": square,
        "processor": "Idefics3Processor",
        "resample": "lanczos",
        "rescale_factor": pytest.approx(1 / 255),
        "size": square,
    }
    assert images.preprocessing(base, files) == expected
    changed = dataclasses.replace(base, processor={"image_mean": [0.0], "resample": "nearest"})
    assert images.preprocessing(changed, files) == {
        **expected,
        "image_mean": [0.0],
        "resample": "nearest",
    }


def test_it_is_told_of_older_folders_and_of_zips_too(
    base: Plan, files: ModelFiles, tmp_path: Path
) -> None:
    plain = images.preprocessing(base, files)
    old = tmp_path / "old"
    old.mkdir()
    whole = json.loads((files.path / "processor_config.json").read_text())
    inner = whole.pop("image_processor")
    (old / "preprocessor_config.json").write_text(json.dumps(inner))
    (old / "processor_config.json").write_text(json.dumps(whole))
    assert images.preprocessing(base, dataclasses.replace(files, path=old)) == plain
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as packed:
        for file in old.iterdir():
            packed.write(file, f"inside/{file.name}")
    zipped = dataclasses.replace(files, path=tmp_path / "model.zip")
    assert images.preprocessing(base, zipped) == plain
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as packed:
        packed.writestr("processor_config.json", " " * images.MOST + "{}")
    assert images.preprocessing(base, zipped) == {}
    for broken in ("{", "[1]", '{"image_processor": 3}'):
        (old / "processor_config.json").write_text(broken)
        (old / "preprocessor_config.json").unlink(missing_ok=True)
        assert images.preprocessing(base, dataclasses.replace(files, path=old)) == {}


def test_another_processor_is_another_fingerprint(
    root: Path, base: Plan, files: ModelFiles, tmp_path: Path
) -> None:
    plain = loading.fingerprint(base, files)
    assert plain.settings["preprocessing"]["image_mean"] == [0.5, 0.5, 0.5]
    changed = planned(root, "multimodal", base, processor={"image_mean": [0.0, 0.0, 0.0]})
    assert loading.fingerprint(changed, files).key != plain.key
    shutil.copytree(files.path, tmp_path / "sight")
    told = (files.path / "processor_config.json").read_text().replace("0.5", "0.25")
    (tmp_path / "sight" / "processor_config.json").write_text(told)
    copied = locate.locate(MODEL, tmp_path)
    assert (copied.weights, copied.tokenizer) != (files.weights, files.tokenizer)
    assert loading.fingerprint(base, copied).settings["preprocessing"]["image_std"] == [0.25] * 3


def test_what_each_part_consists_of(root: Path, base: Plan, files: ModelFiles) -> None:
    plain = images.consists(base, files)
    assert list(plain) == list(base.parts)
    changed = planned(root, "multimodal", base, processor={"image_mean": [0.0]})
    assert differing(plain, images.consists(changed, files)) == ["preprocessing"]
    for method in ("rtn", "bitsandbytes-nf4"):
        rounded = planned(root, "quantized", base, method=method, parts=["vision"])
        assert differing(plain, images.consists(rounded, files)) == ["vision"]
    other = locate.locate(ModelSource("other", "./other"), root)
    assert differing(plain, images.consists(base, other)) == ["vision", "connector", "language"]


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [part for part in one if one[part] != other[part]]


# --- quantized by parts ---------------------------------------------------------------------------


def test_all_parts_unless_said_otherwise(root: Path, base: Plan) -> None:
    every = planned(root, "quantized", base, method="bitsandbytes-nf4")
    assert every.quantization == {
        "method": "bitsandbytes-nf4",
        "parts": ["vision", "connector", "language"],
    }
    some = planned(root, "quantized", base, method="rtn", parts=["language", "vision"])
    assert some.quantization["parts"] == ["vision", "language"]
    assert some.media == base.media


def test_parts_that_nothing_can_be_made_of(root: Path, base: Plan) -> None:
    plain = planned(root, "prompted", prompt="p.jinja")
    assert refusal(root, "quantized", plain, method="rtn", parts=["vision"]) == (
        "parts: 'sight' is no language model with images; leave it out, and name modules by "
        "'skip_modules'"
    )
    for parts in ([], ["encoder"]):
        assert refusal(root, "quantized", base, method="rtn", parts=parts) == (
            f"parts: {parts!r}: expected one or more of 'vision', 'connector', 'language'"
        )
    for method in ("kv-cache", "onnxruntime-int8", "gguf"):
        assert refusal(root, "quantized", base, method=method) == (
            f"method: {method!r} does not take a base that looks at images, as 'sight' does; take "
            f"one of {', '.join((*quantized.METHODS, 'rtn'))}"
        )


@pytest.mark.parametrize(
    "method",
    [
        "bitsandbytes-int8",
        "bitsandbytes-nf4",
        "quanto-int8",
        "rtn",
        "torchao-int4-weight-only",
        "torchao-int8-weight-only",
    ],
)
def test_only_the_named_parts_are_rounded(
    root: Path, base: Plan, files: ModelFiles, method: str, tmp_path: Path, seen: Sequence[Media]
) -> None:
    library = {"bits": "bitsandbytes", "quan": "optimum.quanto", "torc": "torchao"}
    if method != "rtn":
        pytest.importorskip(library[method[:4]])
    plain: Any = loading.load(base, files, tmp_path)
    state = plain.state()
    for named in (["vision"], ["connector", "language"]):
        made = planned(root, "quantized", base, method=method, parts=named)
        engine: Any = loading.load(made, files, tmp_path)
        found = engine.state().items()
        changed = {name.split(".")[1] for name, value in found if state.get(name) != value}
        assert changed == {MODULES[part] for part in named}
        assert len(scored(engine, seen)) == len(seen)
        engine.close()
    plain.close()


MODULES = {"vision": "vision_model", "connector": "connector", "language": "text_model"}


def test_a_module_can_be_left_out_beside_the_parts(
    root: Path, base: Plan, files: ModelFiles, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    made = planned(
        root,
        "quantized",
        base,
        method="bitsandbytes-nf4",
        parts=["language"],
        skip_modules=["text_model.layers.0.mlp.down_proj"],
    )
    engine: Any = loading.load(made, files, tmp_path)
    layers = engine.model.model.text_model.layers
    assert [type(one.mlp.down_proj).__name__ for one in layers] == ["Linear", "Linear4bit"]
    engine.close()


# --- parts that another variant lends -------------------------------------------------------------


def test_parts_are_put_back(
    root: Path,
    base: Plan,
    files: ModelFiles,
    tmp_path: Path,
    seen: Sequence[Media],
    expected: Any,
) -> None:
    rounded = planned(root, "quantized", base, method="rtn", bits=2, parts=["vision"])
    damaged = planned(root, "multimodal", rounded, processor={"image_mean": [0.0, 0.0, 0.0]})
    lent = Lent(base, files)
    every = dataclasses.replace(damaged, borrowed=dict.fromkeys(base.parts, lent))
    assert told(every, files, tmp_path, seen) == expected
    both = dataclasses.replace(damaged, borrowed=dict.fromkeys(("preprocessing", "vision"), lent))
    assert told(both, files, tmp_path, seen) == expected
    found = {"": told(damaged, files, tmp_path, seen)}
    for part in base.parts:
        one = dataclasses.replace(damaged, borrowed={part: lent})
        found[part] = told(one, files, tmp_path, seen)
    assert found["connector"] == found["language"] == found[""]
    assert len({str(found[part]) for part in ("", "preprocessing", "vision")}) == 3
    assert sharing.bare(Loadable(one, files)) is None
    assert sharing.bare(Loadable(damaged, files)) is not None


def test_a_quantized_part_is_lent(
    root: Path,
    base: Plan,
    files: ModelFiles,
    tmp_path: Path,
    seen: Sequence[Media],
    expected: Any,
) -> None:
    pytest.importorskip("bitsandbytes")
    rounded = planned(root, "quantized", base, method="bitsandbytes-nf4")
    every = dict.fromkeys(("vision", "connector", "language"), Lent(rounded, files))
    lossy = told(rounded, files, tmp_path, seen)
    found = told(dataclasses.replace(base, borrowed=every), files, tmp_path, seen)
    assert [*map(pytest.approx, found)] == lossy != expected
    back = dict.fromkeys(("vision", "connector", "language"), Lent(base, files))
    found = told(dataclasses.replace(rounded, borrowed=back), files, tmp_path, seen)
    assert [*map(pytest.approx, found)] == expected


def test_what_cannot_be_lent(root: Path, base: Plan, files: ModelFiles, tmp_path: Path) -> None:
    def said(plan: Plan, theirs: ModelFiles) -> str:
        with pytest.raises(VariantLoadError) as caught:
            loading.load(
                dataclasses.replace(base, borrowed={"vision": Lent(plan, theirs)}), files, tmp_path
            )
        return str(caught.value)

    assert said(dataclasses.replace(base, dtype="bfloat16"), files) == (
        "vision: held in bfloat16 on 'cpu' by the other, and in float32 on 'cpu' here"
    )
    source = ModelSource("plain", str(testing.write_random_model(tmp_path / "plain")))
    plain = dataclasses.replace(planned(root, "prompted", prompt="p.jinja"), model=source)
    assert said(plain, locate.locate(source, tmp_path)) == (
        "vision: the other is no language model with images"
    )
    llava = ModelSource("llava", str(sight.write(tmp_path / "llava", "llava")))
    assert said(dataclasses.replace(base, model=llava), locate.locate(llava, tmp_path)) == (
        "vision: of a LlavaForConditionalGeneration, which does not fit into a "
        "Idefics3ForConditionalGeneration"
    )


def test_another_processor_is_run_on_the_same_model(
    root: Path,
    base: Plan,
    files: ModelFiles,
    tmp_path: Path,
    seen: Sequence[Media],
    expected: Any,
) -> None:
    damaged = planned(root, "multimodal", base, processor={"image_mean": [0.0, 0.0, 0.0]})
    shared = sharing.Shared(bare(base, files), tmp_path)
    assert shared.fits(Loadable(damaged, files))
    found = scored(shared.dress(Loadable(damaged, files)), seen)
    assert found == told(damaged, files, tmp_path, seen) != expected
    assert shared.undress()
    assert scored(shared.dress(Loadable(base, files)), seen) == expected
    shared.close()


def bare(plan: Plan, files: ModelFiles) -> Loadable:
    found = sharing.bare(Loadable(plan, files))
    assert found is not None
    return found


# --- adapters -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by PEFT
@pytest.mark.parametrize("part", ["text_model", "vision_model"])
def test_an_adapter_on_either_part(
    root: Path,
    base: Plan,
    files: ModelFiles,
    tmp_path: Path,
    seen: Sequence[Media],
    expected: Any,
    part: str,
) -> None:
    peft = pytest.importorskip("peft")
    import torch
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(files.path)
    config = peft.LoraConfig(r=2, target_modules=rf".*{part}.*q_proj", init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        peft.get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    apart = planned(root, "lora", base, adapter=str(tmp_path / "adapter"))
    merged = planned(root, "lora", base, adapter=str(tmp_path / "adapter"), merge=True)
    found = told(apart, files, tmp_path, seen)
    assert found != expected
    for one, other in zip(found, told(merged, files, tmp_path, seen), strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    rounded = planned(root, "quantized", apart, method="rtn", bits=8, parts=["connector"])
    assert len(told(rounded, files, tmp_path, seen)) == len(seen)
    shared = sharing.Shared(bare(base, files), tmp_path)
    assert shared.fits(Loadable(apart, files))
    assert scored(shared.dress(Loadable(apart, files)), seen) == found
    assert shared.undress()
    assert scored(shared.dress(Loadable(base, files)), seen) == expected
    shared.close()
