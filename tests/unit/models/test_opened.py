"""What loading opens is what was hashed: by the kernel's word, and by Python's in the product."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opening import opened

from pytest_modellab.engines.encoders import sentence
from pytest_modellab.engines.language import torch_model
from pytest_modellab.engines.search import rerank
from pytest_modellab.errors import ModelError
from pytest_modellab.models import locate
from pytest_modellab.models import opened as opening
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt
from pytest_modellab.variants.steps import adapter

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("sentence_transformers")

WIDTH = 8
SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "vocab_size": 4,
    "max_position_embeddings": 16,
}


def located(folder: Path, **options: Any) -> ModelFiles:
    return locate.locate(ModelSource("tiny", str(folder), **options), folder)


def tokenizer() -> Any:
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3}, "[UNK]"))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]"
    )


def bert(folder: Path, **config: Any) -> Path:
    """A BERT, with a classifier where labels are named."""
    kind = transformers.BertForSequenceClassification if config else transformers.BertModel
    kind(transformers.BertConfig(**SMALL, **config)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def sentence_model(folder: Path, *modules: Any) -> Path:
    from sentence_transformers import SentenceTransformer

    SentenceTransformer(modules=list(modules), device="cpu").save_pretrained(str(folder))
    return folder


def encode(folder: Path, **options: Any) -> None:
    settings = {"key": "k", "prompts": {}, "max_tokens": None, "pooling": None, **options}
    sentence.load(folder, **settings)


# --- models, each in files of its own -------------------------------------------------------------


def shards(folder: Path, model_folder: Path) -> Callable[[], object]:
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    model.save_pretrained(folder, max_shard_size="20KB")
    transformers.AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    inner = folder / "additional_chat_templates"
    inner.mkdir()
    (inner / "tools.jinja").write_text("{{ messages }}")
    (folder / "special_tokens_map.json").write_text("{}")
    return lambda: torch_model.load(folder)


def pickles(folder: Path, model_folder: Path) -> Callable[[], object]:
    shutil.copytree(model_folder, folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return lambda: torch_model.load(folder, allow_pickle=True)


def named_weights(folder: Path, model_folder: Path) -> Callable[[], object]:
    """Configurations may name a file in a folder; what has the usual name is left aside."""
    shutil.copytree(model_folder, folder)
    (folder / "half").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "half" / "a.safetensors")
    config = json.loads((folder / "config.json").read_text())
    config["transformers_weights"] = "half/a.safetensors"
    (folder / "config.json").write_text(json.dumps(config))
    return lambda: torch_model.load(folder)


def transformer_and_dense(folder: Path, _: Path) -> Callable[[], object]:
    from sentence_transformers.sentence_transformer import modules as kinds

    transformer = kinds.Transformer(str(bert(folder.with_name("bert"))))
    sentence_model(folder, transformer, kinds.Pooling(WIDTH), kinds.Dense(WIDTH, 4))
    (folder / "2_Dense").rename(folder / "projection")
    text = (folder / "modules.json").read_text()
    (folder / "modules.json").write_text(text.replace("2_Dense", "projection"))
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).write_text("{}")
    return lambda: encode(folder)


def router(folder: Path, _: Path) -> Callable[[], object]:
    """A Router inside a Router, in the model's own folder, with static embeddings."""
    from sentence_transformers.sentence_transformer import modules as kinds

    parts = {
        route: [kinds.StaticEmbedding(tokenizer(), embedding_dim=WIDTH), kinds.Dense(WIDTH, 4)]
        for route in ("query", "document")
    }
    sentence_model(folder, kinds.Router(parts, default_route="document"))
    return lambda: encode(folder)


def router_after(folder: Path, _: Path) -> Callable[[], object]:
    from sentence_transformers.sentence_transformer import modules as kinds

    static = kinds.StaticEmbedding(tokenizer(), embedding_dim=WIDTH)
    heads = {route: [kinds.Dense(WIDTH, 4)] for route in ("query", "document")}
    sentence_model(folder, static, kinds.Router(heads, default_route="document"))
    return lambda: encode(folder)


def words(folder: Path, _: Path) -> Callable[[], object]:
    """Modules of the time before transformers."""
    from sentence_transformers.sentence_transformer import modules as kinds
    from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer

    embeddings = kinds.WordEmbeddings(WhitespaceTokenizer(["a", "b"]), torch.ones(2, WIDTH))
    sentence_model(folder, embeddings, kinds.Pooling(WIDTH))
    return lambda: encode(folder)


def reranker(folder: Path, _: Path) -> Callable[[], object]:
    bert(folder, num_labels=1)
    return lambda: rerank.load(folder)


MODELS: dict[str, tuple[Callable[[Path, Path], Callable[[], object]], set[str]]] = {
    "shards": (shards, set()),
    "pickles": (pickles, set()),
    "named weights": (named_weights, {"model.safetensors"}),
    "transformer and dense": (transformer_and_dense, set()),
    "router": (router, set()),
    "router after": (router_after, set()),
    "words": (words, set()),
    "reranker": (reranker, set()),
}
"""How each is written and loaded, and what is hashed though it is not opened."""


@pytest.mark.parametrize("kind", MODELS)
def test_what_is_opened_is_hashed(kind: str, model_folder: Path, tmp_path: Path) -> None:
    write, spare = MODELS[kind]
    folder = tmp_path / "model"
    load = write(folder, model_folder)
    options = {"allow_pickle": kind == "pickles"}
    before = located(folder, **options)
    with opened(folder) as read, opening.checked(before):
        load()
    read.discard("README.md")
    hashed = {path.relative_to(folder).as_posix() for path in before.hashed}
    assert hashed - read == spare
    assert read - hashed == set()
    for name in sorted(hashed):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content.replace(b"a", b"b") + b" ")
        try:
            after = located(folder, **options)
        except ModelError:  # the file that names others now names none that there are
            assert name in ("modules.json", "router_config.json", "model.safetensors.index.json")
        else:
            assert (after.weights, after.tokenizer) != (before.weights, before.tokenizer), name
        (folder / name).write_bytes(content)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # by PEFT
def test_what_an_adapter_opens_is_hashed(model_folder: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    folder = tmp_path / "adapter"
    model = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    config = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["lm_head"], use_dora=True)
    peft.get_peft_model(model, config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    spec = VariantSpec("a", "lora", "lora", model="tiny")

    def settings() -> dict[str, Any]:
        return dict(adapter.step(folder, spec, merge=False).settings)

    made = adapter.step(folder, spec, merge=False)
    plain = transformers.AutoModelForCausalLM.from_pretrained(model_folder)
    with opened(folder) as read:
        made.check(located(model_folder))
        made.apply(plain)
    read.discard("README.md")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= read
    before = settings()
    for name in sorted(read):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        assert settings() != before, name
        (folder / name).write_bytes(content)


def test_what_is_opened_but_not_hashed(model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    files = located(folder)
    extra = folder / "tables" / "extra.dat"
    extra.parent.mkdir()
    extra.write_text("")
    said = (
        f"model 'tiny' (source = {str(folder)!r}): {extra} is opened when the model loads, but is "
        "in no hash of it: a change of it would go unseen. If the model is the same without it, "
        "move it elsewhere; else save all that the model needs in its folder, zip that, and name "
        "the .zip, whose hash is over all that it holds"
    )
    with pytest.raises(ModelError) as caught, opening.checked(files):
        extra.read_text()
    assert str(caught.value) == said
    for name in ("README.md", ".cache/a.json", "venv/site-packages/a.json", "inner/module.py"):
        other = folder / name
        other.parent.mkdir(parents=True, exist_ok=True)
        with opening.checked(files):
            other.write_text("")
            other.read_text()
    with opening.checked(files):
        extra.write_text("written, not read")
        (folder / "config.json").read_text()
        assert not (folder / "nothing.json").exists()
    extra.read_text()  # nobody loads


@pytest.mark.parametrize("own", [False, True])
def test_loading_a_variant_is_checked(
    own: bool, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    (folder / "tables.dat").write_text("")

    def load(*_: object, **__: object) -> Any:
        return (folder / "tables.dat").read_text()

    monkeypatch.setattr(torch_model, "load", load)
    files = located(folder)
    prompt = Prompt("{% block user %}{{ input }}{% endblock %}")
    plan = Plan(model=files.source, prompt=prompt, packages=(), open=load if own else None)
    with pytest.raises(ModelError, match=r"tables\.dat is opened when the model loads, but is in"):
        loading.load(plan, files, tmp_path / "cache")
    packed = Path(shutil.make_archive(str(tmp_path / "model"), "zip", folder))
    anything: Any = loading.load(dataclasses.replace(plan, open=load), located(packed), tmp_path)
    assert anything == ""


def test_what_is_opened_of_another_model(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    other = tmp_path / "models--a--b" / "snapshots" / "1" / "modeling.py"
    other.parent.mkdir(parents=True)
    other.write_text("")
    with pytest.raises(ModelError) as caught, opening.checked(located(model_folder)):
        other.read_text()
    assert f"{other} is opened when the model loads, but is in no hash of it" in str(caught.value)


def test_an_error_of_loading_comes_first(model_folder: Path) -> None:
    with pytest.raises(OSError, match="damaged"), opening.checked(located(model_folder)):
        raise OSError("damaged")
    assert not opening._recordings


def test_one_within_another_sees_what_is_opened_after_it(tmp_path: Path) -> None:
    folder = bert(tmp_path / "model")
    files = located(folder)
    (folder / "more.txt").write_text("not hashed")

    def load() -> None:
        with opening.checked(files):
            with opening.checked(files):
                pass
            (folder / "more.txt").read_text()

    with pytest.raises(ModelError, match=r"more\.txt is opened when the model loads"):
        load()
