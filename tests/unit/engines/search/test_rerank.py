"""Reranking with a tiny cross-encoder of random weights."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.search import rerank
from pytest_modellab.errors import ModelError, OutOfMemory, VariantLoadError

torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
QUERY = "oak elm"
DOCUMENTS = ["oak", "elm ash fir oak elm", "", "ash ash", "oak"]

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Write a two-layer BERT with a classifier: ``write(pickled=…, num_labels=…)``."""
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    def make(*, pickled: bool = False, **config: Any) -> Path:
        folder = tmp_path_factory.mktemp("reranker")
        names = [*SPECIAL, "oak", "elm", "ash", "fir"]
        tokenizer = Tokenizer(WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
        ).save_pretrained(folder)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = BertForSequenceClassification(
                BertConfig(
                    vocab_size=len(names),
                    hidden_size=32,
                    intermediate_size=64,
                    num_hidden_layers=2,
                    num_attention_heads=4,
                    max_position_embeddings=32,
                    initializer_range=0.5,
                    **{"num_labels": 1, **config},
                )
            )
        model.save_pretrained(folder)
        if pickled:
            (folder / "model.safetensors").unlink()
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        return folder

    return make


@pytest.fixture(scope="module")
def folder(write: Write) -> Path:
    return write()


@pytest.fixture
def reranker(folder: Path) -> rerank.Reranker:
    return rerank.load(folder)


def test_scores_are_the_models_logits(folder: Path, reranker: rerank.Reranker) -> None:
    from transformers import AutoTokenizer, BertForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    scores = reranker.rerank(QUERY, DOCUMENTS)
    for document, score in zip(DOCUMENTS, scores, strict=True):
        with torch.no_grad():
            logit = model(**tokenizer([QUERY], [document], return_tensors="pt")).logits.item()
        assert score == pytest.approx(logit, abs=1e-4)
        assert type(score) is float
        assert score == round(score, 6)
    assert scores[0] == scores[4]
    assert len(set(scores)) == 4


def test_no_documents(reranker: rerank.Reranker) -> None:
    assert reranker.rerank(QUERY, []) == []


def test_documents_are_cut_off(folder: Path) -> None:
    long = "oak " * 100
    whole = rerank.load(folder)  # its 32 positions
    assert whole.rerank(QUERY, [long]) == whole.rerank(QUERY, ["oak " * 27])
    # [CLS], oak, elm, [SEP], three words, [SEP]
    short = rerank.load(folder, max_tokens=8)
    assert short.rerank(QUERY, [long]) == whole.rerank(QUERY, ["oak oak oak"])


def test_dtype(folder: Path) -> None:
    full, half = rerank.load(folder), rerank.load(folder, dtype="bfloat16")
    weights = sum(p.numel() for p in full.model.parameters())
    assert full.parameter_bytes() - half.parameter_bytes() == 2 * weights
    assert half.rerank(QUERY, DOCUMENTS) == pytest.approx(full.rerank(QUERY, DOCUMENTS), abs=0.5)


def test_nan_names_the_document(reranker: rerank.Reranker) -> None:
    with torch.no_grad():  # of the word "fir"
        reranker.model.get_parameter(
            next(n for n, _ in reranker.model.named_parameters() if "word_embeddings" in n)
        )[8] = math.nan
    documents = ["oak", "elm " * 20 + "fir", "ash"]
    with pytest.raises(ModelError) as caught:
        reranker.rerank(QUERY, documents)
    assert str(caught.value) == (
        f"the reranker's score is nan for document 2 of 3: {documents[1][:60]!r}; "
        "load it in float32, or choose another reranker"
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("too much"),
        MemoryError("too much"),
        RuntimeError("DefaultCPUAllocator: not enough memory: too much"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: too much"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved(
    reranker: rerank.Reranker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    predict, asked = reranker.model.predict, []

    def limited(pairs: Any, *, batch_size: int, **options: Any) -> Any:
        asked.append(batch_size)
        if batch_size > fits:
            raise error
        return predict(pairs, batch_size=batch_size, **options)

    whole = reranker.rerank(QUERY, DOCUMENTS)
    monkeypatch.setattr(reranker.model, "predict", limited)
    fits = 4
    assert reranker.rerank(QUERY, DOCUMENTS) == pytest.approx(whole, abs=1e-4)
    assert asked == [32, 16, 8, 4]
    fits = 0
    with pytest.raises(OutOfMemory, match="too much"):
        reranker.rerank(QUERY, DOCUMENTS)
    assert asked[4:] == [32, 16, 8, 4, 2, 1]


def test_another_error_is_not_taken_for_it(
    reranker: rerank.Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(reranker.model, "predict", broken)
    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        reranker.rerank(QUERY, DOCUMENTS)


def test_close_frees_the_parameters(reranker: rerank.Reranker) -> None:
    held = [*reranker.model.parameters(), *reranker.model.buffers()]
    assert reranker.parameter_bytes() > 10_000
    reranker.close()
    assert reranker.parameter_bytes() == 0
    assert sum(tensor.untyped_storage().nbytes() for tensor in held) == 0


# --- what cannot be loaded -----------------------------------------------------------------------


def test_pickled_weights_must_be_allowed(write: Write, folder: Path) -> None:
    pickled = write(pickled=True)
    with pytest.raises(ModelError) as caught:
        rerank.load(pickled)
    assert str(caught.value).startswith(
        f"{pickled}: sentence-transformers cannot load it as a cross-encoder: "
    )
    assert "model.safetensors" in str(caught.value)
    allowed = rerank.load(pickled, allow_pickle=True)
    assert allowed.rerank(QUERY, DOCUMENTS) == rerank.load(folder).rerank(QUERY, DOCUMENTS)


def test_several_scores(write: Write) -> None:
    folder = write(num_labels=3)
    with pytest.raises(ModelError) as caught:
        rerank.load(folder)
    assert str(caught.value) == (
        f"{folder}: a reranker gives one score, but this model gives 3; "
        "choose a cross-encoder with num_labels = 1"
    )


def test_an_embedding_model_is_no_reranker(write: Write) -> None:
    from transformers import BertModel

    folder = write()
    BertModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(ModelError) as caught:
        rerank.load(folder)
    assert str(caught.value) == (
        f"{folder}: its weights do not fit the BertForSequenceClassification of its configuration: "
        "2 tensors are missing (classifier.bias, classifier.weight), to be drawn at random. The "
        "configuration names BertModel: it was saved as another kind of model; save it as "
        "BertForSequenceClassification, or declare one that was"
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        rerank.load(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: sentence-transformers cannot load it as a cross-encoder: "
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
def test_a_device_that_is_not_there(folder: Path) -> None:
    with pytest.raises(VariantLoadError, match=r"^device = 'cuda': "):
        rerank.load(folder, device="cuda")


def test_without_sentence_transformers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(VariantLoadError) as caught:
        rerank.load(folder)
    assert str(caught.value) == (
        "reranking needs sentence_transformers: pip install 'pytest-modellab[embedding]'"
    )


def test_nothing_is_drawn_on_the_terminal(folder: Path, capfd: Any) -> None:
    rerank.load(folder).rerank(QUERY, DOCUMENTS)
    assert tuple(capfd.readouterr()) == ("", "")
