"""Embedding models and rerankers whose tensors are not those that their configuration asks for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import testing
from pytest_modellab.engines.encoders import sentence
from pytest_modellab.engines.encoders.sentence import SentenceEncoder
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.search import rerank
from pytest_modellab.errors import ModelError

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

Tensors = dict[str, Any]
UNFIT = "its weights do not fit the BertModel of its configuration: "
HEADED = "its weights do not fit the BertForSequenceClassification of its configuration: "
KEY = "encoder.layer.1.output.dense.weight"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return testing.write_random_encoder(tmp_path_factory.mktemp("encoder") / "model")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    return shutil.copytree(written, tmp_path / "copy")


def change(folder: Path, made: Callable[[Tensors], Tensors]) -> None:
    """Write the folder's tensors anew."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    save_file(made(load_file(file)), file, metadata={"format": "pt"})


def configure(folder: Path, **values: Any) -> None:
    """Change the folder's config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def write_as(folder: Path, kind: str) -> None:
    """Put another kind of BERT, of the same sizes, in the folder's place."""
    import transformers

    with quiet():
        config = transformers.BertConfig.from_pretrained(folder, num_labels=1)
        getattr(transformers, kind)(config).save_pretrained(folder)


def load(folder: Path, **changes: Any) -> SentenceEncoder:
    values: dict[str, Any] = {"key": "k", "prompts": {}, "max_tokens": None, "pooling": None}
    return sentence.load(folder, **{**values, **changes})


def message(loading: Callable[[Path], object], folder: Path) -> str:
    """Return why the folder is refused, behind its name."""
    with pytest.raises(ModelError) as caught:
        loading(folder)
    return str(caught.value).removeprefix(f"{folder}: ")


@pytest.mark.parametrize("pooling", [None, "cls"])
def test_a_layers_tensor_that_is_missing(folder: Path, pooling: str | None) -> None:
    change(folder, lambda tensors: {k: v for k, v in tensors.items() if k != KEY})
    assert message(lambda f: load(f, pooling=pooling), folder).startswith(
        f"{UNFIT}1 tensor is missing ({KEY}), to be drawn at random. "
    )


def test_names_of_a_compiled_model(folder: Path) -> None:
    change(folder, lambda tensors: {f"_orig_mod.{k}": v for k, v in tensors.items()})
    said = message(load, folder)
    assert said.startswith(f"{UNFIT}39 tensors are missing (embeddings.LayerNorm.bias, ")
    assert said.endswith("Names with '_orig_mod.' come from torch.compile: save model._orig_mod")


def test_code_of_its_own_that_has_not_run(folder: Path) -> None:
    configure(folder, auto_map={"AutoModel": "own.OwnModel"})
    load(folder)  # the same tensors as without
    change(folder, lambda tensors: {k.replace("query", "Wq"): v for k, v in tensors.items()})
    said = message(load, folder)
    assert "4 tensors are missing (encoder.layer.0.attention.self.query.bias, " in said
    assert said.endswith(
        "config.json names code of the model's own, which has not run: if you trust it, set "
        "trust_remote_code = true in its [models.NAME]"
    )


@pytest.mark.parametrize(("layers", "are"), [(1, "left over"), (3, "missing")])
def test_another_number_of_layers(folder: Path, layers: int, are: str) -> None:
    configure(folder, num_hidden_layers=layers)
    said = message(load, folder)
    assert said.startswith(f"{UNFIT}16 tensors are {are} (encoder.layer.")
    assert said.endswith(
        f"The configuration has num_hidden_layers = {layers}, the weights have 2 layers: "
        "put the config.json beside them that they were saved with"
    )


def test_a_tensor_of_another_shape(folder: Path) -> None:
    configure(folder, max_position_embeddings=32)
    name = "embeddings.position_embeddings.weight"
    assert message(load, folder).startswith(
        f"{UNFIT}1 tensor is of another shape ({name}: (64, 32), not (32, 32)), "
        "to be drawn at random. "
    )


def test_a_head_may_be_left_over_and_a_pooler_missing(folder: Path) -> None:
    """As encoders are saved after masked language modelling."""
    from transformers import BertForMaskedLM

    write_as(folder, "BertForMaskedLM")
    with quiet():
        body = BertForMaskedLM.from_pretrained(folder).bert
    encoder = load(folder)
    tokens = encoder.model.tokenizer(["a b"], return_tensors="pt")
    with torch.no_grad():
        expected = body(**tokens).last_hidden_state.mean(1).numpy()
    assert encoder.encode(["a b"], "query") == pytest.approx(expected, abs=1e-5)
    pooler = encoder.model[0].auto_model.pooler.dense.weight
    assert pooler.isnan().all()  # nothing that was drawn is ever part of an answer


def test_a_dense_module_without_its_weight(folder: Path) -> None:
    from safetensors.torch import load_file, save_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    with quiet():
        model = SentenceTransformer(str(folder), device="cpu")
        model.append(Dense(32, 8))
        model.save(str(folder), create_model_card=False)
    file = next(folder.glob("2_Dense/*.safetensors"))
    save_file({"linear.bias": load_file(file)["linear.bias"]}, file)
    said = message(load, folder)
    assert 'Missing key(s) in state_dict: "linear.weight"' in said


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("BertModel", "2 tensors are missing (classifier.bias, classifier.weight)"),
        ("BertForTokenClassification", "2 tensors are missing (bert.pooler.dense.bias, "),
        ("BertForMaskedLM", "4 tensors are missing (bert.pooler.dense.bias, "),
    ],
)
def test_a_reranker_without_its_head(folder: Path, kind: str, missing: str) -> None:
    write_as(folder, kind)
    said = message(rerank.load, folder)
    assert said.startswith(HEADED + missing)
    assert said.endswith(
        f"The configuration names {kind}: it was saved as another kind of model; save it as "
        "BertForSequenceClassification, or declare one that was"
    )


def test_a_reranker_with_a_layer_less(folder: Path) -> None:
    write_as(folder, "BertForSequenceClassification")
    assert rerank.load(folder).rerank("a", ["b"])
    configure(folder, num_hidden_layers=1)
    assert message(rerank.load, folder).startswith(
        f"{HEADED}16 tensors are left over (bert.encoder.layer.1."
    )
