"""Recipe ``vision``: new parts for a small language model, and what they become with it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny

from pytest_modellab.config import read as configuration
from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models import convert, joined
from pytest_modellab.recipes import gallery, provenance
from pytest_modellab.recipes.provenance import Provenance

PROMPT = "{% block system %}Look.{% endblock %}{% block user %}{{ input }}{% endblock %}"
PICTURES = """
import numpy as np

LABELS = {"bright": 2, "never": 3}


def training(seed, index):
    bright = (seed + index) % 2
    pixels = np.full((8, 8, 3), 40 + 170 * bright, np.uint8)
    return pixels, [("Bright?", "yes" if bright else "no"), ("And?", "12")], {"bright": bright}
"""
RECIPE = {
    "method": "vision",
    "base": "plain",
    "pictures": "pictures.py",
    "count": 6,
    "seed": 1,
    "lessons": 2,
    "lesson_size": 4,
    "steps": 2,
    "batch_size": 2,
    "encoder": {"hidden": 8, "layers": 1, "heads": 2, "image": 8, "patch": 2, "shuffle": 2},
    "lora": {"r": 2},
}


class Studio:
    """A folder with a language model, a file that draws, and a variant that is to see."""

    def __init__(self, root: Path) -> None:
        pytest.importorskip("peft")
        pytest.importorskip("transformers")
        self.root, self.cache = root, root / "cache"
        tokenizer = tiny.tokenizer()
        more = [*gallery.NAMES.values()]
        tokenizer.add_special_tokens({"additional_special_tokens": more})
        model = tiny.llama(vocab_size=len(tokenizer), pad_token_id=1, tie_word_embeddings=True)
        model.save_pretrained(root / "llama")
        tokenizer.save_pretrained(root / "llama")
        (root / "prompt.jinja").write_text(PROMPT, encoding="utf-8")
        (root / "pictures.py").write_text(PICTURES, encoding="utf-8")

    def lab(self, **changes: Any) -> Lab:
        """Write the configuration; ``changes`` are settings of the recipe."""
        recipe = {**RECIPE, **changes}
        lines = [
            '[models.llama]\nsource = "llama"',
            '[models.seeing]\nsource = "made"\nlanguage = "llama"',
            '[variants.plain]\nkind = "prompted"\nmodel = "llama"\nprompt = "prompt.jinja"',
            '[variants.sight]\nkind = "multimodal"\nmodel = "seeing"\nprompt = "prompt.jinja"',
            "[variants.sight.recipe]",
            *(f"{key} = {_toml(value)}" for key, value in recipe.items() if value is not None),
        ]
        (self.root / "modellab.toml").write_text("\n".join(lines), encoding="utf-8")
        config = configuration.load(self.root / "modellab.toml")
        return Lab(config, Settings(self.cache))

    def build(self, out: str = "made", **changes: Any) -> Provenance:
        """Make ``root / out``."""
        from pytest_modellab.recipes import build

        lab = self.lab(**changes)
        job = build.check(lab.config, lab.spec("sight"), self.root / out)
        base = lab.variant(job.base)
        return build.build(job, base.plan, base.files, self.cache)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A studio in which the parts have been made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        made = Studio(tmp_path_factory.mktemp("studio"))
        made.build()
    return made


def _tensors(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(path))


# --- what is made -------------------------------------------------------------------------------


def test_new_parts_and_their_provenance(studio: Studio) -> None:
    folder = studio.root / "made"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*joined.FILES, provenance.FILE_NAME]
    )
    told = provenance.read(folder)
    assert told is not None
    assert told.method == "vision"
    assert told.base["variant"] == "plain"
    assert told.data["name"] == "pictures.py"
    assert told.data["rows"] == 6
    assert told.notes[0] == "6 pictures, and 12 questions about them, were drawn"
    assert re.fullmatch(r"the encoder's own lessons, 2 steps: loss [\d.]+, then .*", told.notes[1])
    new = _tensors(folder / joined.NEW)
    assert {name.split(".")[1] for name in new} == {"vision_model", "connector"}
    assert {str(tensor.dtype) for tensor in new.values()} == {"torch.bfloat16"}
    language = json.loads((folder / joined.LANGUAGE).read_text())
    assert language["weights"] == told.base["weights"]


def test_the_same_seed_makes_the_same_parts(studio: Studio, monkeypatch: Any) -> None:
    import torch

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    studio.build("again")
    studio.build("other", seed=2)
    one, two, other = (
        _tensors(studio.root / name / joined.NEW) for name in ("made", "again", "other")
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_parts_can_be_trained_further(studio: Studio, monkeypatch: Any) -> None:
    import torch

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    told = studio.build("further", begin="made", lessons=0, steps=1, learning_rate=1e-9)
    assert told.notes[1].startswith("began with parts of ")
    assert "6 pictures of sha256" in told.notes[1]
    assert len(told.notes) == 2
    one, two = (_tensors(studio.root / name / joined.NEW) for name in ("made", "further"))
    assert all(torch.allclose(one[name].float(), two[name].float(), atol=1e-6) for name in one)
    with pytest.raises(ConfigError, match=r"recipe.begin: .*nothing holds no parts that modellab"):
        studio.build("never", begin="nothing")


def test_the_whole_model_is_the_language_model_with_the_adapter_added(studio: Studio) -> None:
    import torch

    files = studio.lab().variant("sight").files
    folder = convert.folder(files, studio.cache)
    whole, old = (
        _tensors(folder / "model.safetensors"),
        _tensors(studio.root / "llama/model.safetensors"),
    )
    adapter = _tensors(studio.root / "made/adapter_model.safetensors")
    name = "model.layers.1.self_attn.q_proj"
    down, up = (adapter[f"base_model.model.{name}.lora_{one}.weight"].float() for one in "AB")
    changed = whole[f"model.text_model.{name.removeprefix('model.')}.weight"]
    scale = 16.0 / 2
    assert torch.allclose(changed, old[f"{name}.weight"] + scale * up @ down, atol=1e-6)
    assert not torch.equal(changed, old[f"{name}.weight"])
    assert torch.equal(
        whole["model.text_model.embed_tokens.weight"], old["model.embed_tokens.weight"]
    )
    assert {str(tensor.dtype) for tensor in whole.values()} == {"torch.float32"}
    assert convert.folder(files, studio.cache) == folder  # made once


def test_the_whole_model_looks_at_a_picture(studio: Studio, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    from PIL import Image

    from pytest_modellab.engines.interface import ScoringRequest
    from pytest_modellab.engines.vision import image_text
    from pytest_modellab.media import images
    from pytest_modellab.records.media import PLACE

    folder = convert.folder(studio.lab().variant("sight").files, studio.cache)
    engine = image_text.load(folder)
    said = engine.render([{"role": "user", "content": f"{PLACE}Bright?"}])
    assert said.count("<image>") == 1
    found: dict[int, Any] = {}
    for shade in (20, 220):
        path = tmp_path / f"{shade}.png"
        Image.new("RGB", (8, 8), (shade, shade, shade)).save(path)
        request = ScoringRequest(said, ("yes", "no"), media=(images.inspect(path),))

        def done(outputs: Mapping[int, Any], shade: int = shade) -> None:
            found[shade] = outputs[0]

        engine.score_options([request], budget=1000, skip=set(), done=done)
    assert found[20].option_logprobs != found[220].option_logprobs
    # a place of the picture is one of the language model's tokens, and none was added
    old = json.loads((studio.root / "llama/tokenizer.json").read_text())
    new = json.loads((folder / "tokenizer.json").read_text())
    ids = {one["content"]: one["id"] for one in new["added_tokens"]}
    assert len(new["added_tokens"]) == len(old["added_tokens"])
    assert ids["<image>"] == next(
        one["id"] for one in old["added_tokens"] if one["content"] == gallery.NAMES["<image>"]
    )


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": {"patch": 5}}, "recipe.encoder: a picture of 96 pixels is no whole number of"),
        ({"encoder": {"heads": 5}}, "recipe.encoder: hidden = 192 cannot be shared by 5 heads"),
        ({"lora": None}, "recipe.lora: missing; the language model learns to read the new tokens"),
        ({"base": "plane"}, "recipe.base: unknown variant 'plane'; did you mean 'plain'"),
        ({"base": None}, "base: missing; a recipe adapts the variant named there"),
        ({"data": "rows.jsonl"}, "recipe.data: stands beside count; give one of them"),
        ({"pictures": None}, "recipe.pictures: missing"),
    ],
)
def test_a_wrong_recipe_is_named(studio: Studio, changes: dict[str, Any], message: str) -> None:
    from pytest_modellab.recipes import build

    lab = studio.lab(**changes)
    with pytest.raises(ConfigError, match=re.escape(message)):
        build.check(lab.config, lab.spec("sight"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such Python file"),
        ("LABELS = {}", "has no training; it must define training(seed, index), which returns"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_cannot_draw_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "pictures.py").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        gallery.load(tmp_path / "pictures.py")
    assert str(raised.value).startswith("recipe.pictures: ")


def test_another_language_model_is_refused(studio: Studio, tmp_path: Path) -> None:
    other = Studio(tmp_path)
    for path in (tmp_path / "llama").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    (studio.root / "made").rename(tmp_path / "made")
    try:
        with pytest.raises(ModelError) as raised:
            _ = other.lab().variant("sight").files
    finally:
        (tmp_path / "made").rename(studio.root / "made")
    said = str(raised.value)
    assert "its parts were made for a language model with weights " in said
    assert "name the one that they were made for as language in [models.seeing]" in said


def test_parts_that_are_not_whole_or_not_plain_are_refused(studio: Studio, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import save_file

    place = tmp_path / "studio"
    shutil.copytree(studio.root, place, ignore=shutil.ignore_patterns("cache"))
    broken = Studio.__new__(Studio)
    broken.root, broken.cache = place, place / "cache"
    config = place / "made/adapter_config.json"
    plain = config.read_text()
    config.write_text(plain.replace('"use_dora": false', '"use_dora": true'))
    with pytest.raises(ModelError, match=r"use_dora = True; only a plain adapter \(LoRA\) can be"):
        convert.folder(broken.lab().variant("sight").files, broken.cache)
    config.write_text(json.dumps({**json.loads(plain), "r": 0}))
    with pytest.raises(ModelError, match=r"cannot be joined: ZeroDivisionError: .*; copy the fol"):
        convert.folder(broken.lab().variant("sight").files, broken.cache)
    config.write_text(plain)
    matrices = place / "made/adapter_model.safetensors"
    held = _tensors(matrices)
    name = min(held)
    save_file({**held, "base_model.model.lm_head.weight": held[name].clone()}, matrices)
    with pytest.raises(ModelError, match=r"its adapter holds base_model.model.lm_head.weight, and"):
        convert.folder(broken.lab().variant("sight").files, broken.cache)
    save_file(held, matrices)
    names = place / "made/language.json"
    names.write_text(names.read_text().replace("<jupyter_text>", "<jupiter>"))
    with pytest.raises(ModelError, match=r"names '<jupiter>', which is no special token of the"):
        convert.folder(broken.lab().variant("sight").files, broken.cache)
    assert not list((place / "cache/models").glob("*-vj1/*"))  # nothing half made is left
    (place / "made" / joined.NEW).unlink()
    with pytest.raises(ModelError, match=r"new_parts.safetensors is missing; with 'language', the"):
        _ = broken.lab().variant("sight").files
    shutil.rmtree(place / "made")
    with pytest.raises(ModelError, match=r"made does not exist; build it: modellab build sight"):
        _ = broken.lab().variant("sight").files


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ('[models.a]\nsource = "a"\nlanguage = "b"', "models.a.language: unknown model 'b'"),
        (
            '[models.a]\nsource = "a"\nlanguage = "b"\n[models.b]\nsource = "b"\nlanguage = "c"\n'
            '[models.c]\nsource = "c"',
            "models.a.language: 'b' has a 'language' itself; name a whole language model",
        ),
        (
            '[models.a]\nsource = ["a", "c"]\nlanguage = "b"\n[models.b]\nsource = "b"',
            "models.a.language: goes with one folder as source, not with several",
        ),
    ],
)
def test_a_wrong_language_is_named(tmp_path: Path, models: str, message: str) -> None:
    (tmp_path / "modellab.toml").write_text(models, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        configuration.load(tmp_path / "modellab.toml")
