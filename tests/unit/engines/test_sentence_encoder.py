"""The engine for embedding models gives what sentence-transformers gives, and refuses to guess."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.engines.encoders import sentence
from pytest_modellab.engines.encoders import texts as encoders_texts
from pytest_modellab.engines.encoders.sentence import SentenceEncoder
from pytest_modellab.engines.interface import Encoder, GenerationRequest, Role
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.search.retriever import Retriever
from pytest_modellab.engines.search.settings import Embedding, Search
from pytest_modellab.errors import ModelError, OutOfMemory, VariantLoadError
from pytest_modellab.tasksets import corpus

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("sentence_transformers")

WORDS = ("the", "other", "man", "ran", "home", "query", "passage", ":", "a", "is", "cat")
TEXTS = (
    "the man ran home",
    "",
    "a cat",
    "the man ran home",
    "the other man is home " * 30,
    "cat cat cat",
)
LIMIT = 24
MEND = (
    "so that nothing says how token vectors become one. Set what the model was trained with, for "
    'example pooling = "mean" (there are: mean, cls, max, lasttoken)'
)


def write_bare(folder: Path, **changes: Any) -> Path:
    """Write a two-layer BERT with random weights and a tokenizer of a few words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=LIMIT,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **changes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = BertModel(
            BertConfig(
                vocab_size=len(words),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=32,
                initializer_range=0.5,
            )
        )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def write_model(
    folder: Path,
    bare: Path,
    *,
    prompts: Mapping[str, str] | None = None,
    extra: Sequence[Any] = (),
    **pooling: Any,
) -> Path:
    """Make a sentence-transformers folder of a bare one."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    modules = [Transformer(str(bare)), Pooling(16, **pooling), *extra]
    with quiet():
        SentenceTransformer(modules=modules, device="cpu", prompts=dict(prompts or {})).save(
            str(folder), create_model_card=False
        )
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bare(tmp_path_factory.mktemp("bare") / "model")


@pytest.fixture(scope="module")
def folder(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with mean pooling and the prompts ``query: `` and ``passage: ``."""
    prompts = {"query": "query: ", "passage": "passage: "}
    return write_model(tmp_path_factory.mktemp("st") / "model", bare, prompts=prompts)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The model's folder, to be damaged."""
    return shutil.copytree(folder, tmp_path / "copy")


def load(folder: Path, **changes: Any) -> SentenceEncoder:
    values: dict[str, Any] = {"key": "k", "prompts": {}, "max_tokens": None, "pooling": None}
    return sentence.load(folder, **{**values, **changes})


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Iterator[SentenceEncoder]:
    loaded = load(folder)
    yield loaded
    loaded.close()


def theirs(encoder: SentenceEncoder, texts: Sequence[str], prompt: str = "") -> Any:
    """What the library gives, text by text."""
    return np.stack(
        [encoder.model.encode(t, prompt=prompt, show_progress_bar=False) for t in texts]
    )


def message(folder: Path, **changes: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder, **changes)
    return str(caught.value)


# --- vectors --------------------------------------------------------------------------------------


def test_is_an_encoder(encoder: SentenceEncoder) -> None:
    typed: Encoder = encoder
    assert (typed.key, typed.dimension) == ("k", 16)
    vectors = typed.encode(TEXTS, "query")
    assert vectors.shape == (len(TEXTS), 16)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert typed.encode([], "query").shape == (0, 16)
    assert typed.count_tokens([], "query") == []


def test_model_is_read_by_its_own_tokens(encoder: SentenceEncoder) -> None:
    """Else the comparison below would compare the library with itself."""
    kinds = {type(inputs).__name__ for inputs in encoder._inputs.values()}
    assert kinds == {"Tokens"}


def test_order_and_duplicates(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(TEXTS, "query")
    assert np.abs(vectors - theirs(encoder, TEXTS, "query: ")).max() < 1e-5
    assert (vectors[0] == vectors[3]).all()


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_batches_change_nothing(encoder: SentenceEncoder, budget: int) -> None:
    expected = encoder.encode(TEXTS, "query")
    encoder.budget, before = budget, encoder.budget
    try:
        assert np.abs(encoder.encode(TEXTS, "query") - expected).max() < 1e-5
    finally:
        encoder.budget = before


def test_equal_bits_again_and_in_any_order(encoder: SentenceEncoder) -> None:
    texts = [f"{'the cat ' * (k % 9)}{WORDS[k % 11]}" for k in range(60)]
    first = encoder.encode(texts, "query")
    assert (encoder.encode(texts, "query") == first).all()
    assert (encoder.encode(texts[::-1], "query")[::-1] == first).all()


@pytest.mark.parametrize("pooling", encoders_texts.POOLINGS)
def test_pooling(bare: Path, tmp_path: Path, pooling: str) -> None:
    """The declared pooling of a bare model is what the same pooling in a folder gives."""
    declared = load(bare, pooling=pooling)
    stored = load(write_model(tmp_path / "st", bare, pooling_mode=pooling))
    vectors = declared.encode(TEXTS, "passage")
    assert np.abs(vectors - theirs(stored, TEXTS)).max() < 1e-5
    assert (vectors == stored.encode(TEXTS, "passage")).all()


def test_poolings_differ(bare: Path) -> None:
    given = [
        load(bare, pooling=mode).encode(TEXTS[:1], "query")[0] for mode in encoders_texts.POOLINGS
    ]
    assert len({tuple(vector.tolist()) for vector in given}) == len(encoders_texts.POOLINGS)


def test_declared_pooling_replaces_the_folders(bare: Path, tmp_path: Path) -> None:
    """What else the folder lists stays."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    torch.manual_seed(0)
    extra = [Dense(16, 8), Normalize()]
    folder = write_model(tmp_path / "st", bare, extra=extra, pooling_mode="mean")
    expected = write_model(tmp_path / "expected", bare, extra=extra, pooling_mode="cls")
    vectors = load(folder, pooling="cls").encode(TEXTS, "query")
    assert vectors.shape == (len(TEXTS), 8)
    assert np.abs(vectors - load(expected).encode(TEXTS, "query")).max() < 1e-6
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)


def test_left_padding(tmp_path: Path) -> None:
    bare = write_bare(tmp_path / "left", padding_side="left")
    encoder = load(bare, pooling="lasttoken")
    assert {type(inputs).__name__ for inputs in encoder._inputs.values()} == {"Tokens"}
    together = encoder.model.encode(list(TEXTS), show_progress_bar=False)
    assert np.abs(encoder.encode(TEXTS, "query") - together).max() < 1e-5


def test_own_prompts(encoder: SentenceEncoder) -> None:
    own: dict[Role, str] = {"query": "query: ", "passage": "passage: "}
    for role, prompt in own.items():
        vectors = encoder.encode(TEXTS, role)
        assert np.abs(vectors - theirs(encoder, TEXTS, prompt)).max() < 1e-5


def test_declared_prompts(folder: Path, encoder: SentenceEncoder) -> None:
    declared = load(folder, prompts={"query": "a cat is ", "passage": ""})
    assert (
        np.abs(declared.encode(TEXTS, "query") - theirs(encoder, TEXTS, "a cat is ")).max() < 1e-5
    )
    assert np.abs(declared.encode(TEXTS, "passage") - theirs(encoder, TEXTS)).max() < 1e-5


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"query": "q", "document": "d", "passage": "p"}, {"query": "q", "passage": "d"}),
        ({"query": "q", "document": "", "passage": "p"}, {"query": "q", "passage": "p"}),
        ({"corpus": "c", "other": "o"}, {"query": "", "passage": "c"}),
        (None, {"query": "", "passage": ""}),
    ],
)
def test_names_of_own_prompts(tmp_path: Path, stored: object, expected: object) -> None:
    path = tmp_path / "config_sentence_transformers.json"
    path.write_text(json.dumps({"prompts": stored}))
    assert encoders_texts.read_prompts(tmp_path, {"query": None}) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("null", "None: expected an object"),
        ("[]", "[]: expected an object"),
        ('{"prompts": [1]}', "prompts: [1]: expected an object"),
        ('{"prompts": {"query": 5}}', "prompts.query: 5: expected a string"),
    ],
)
def test_damaged_prompts(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config_sentence_transformers.json"
    path.write_text(text)
    with pytest.raises(ModelError) as caught:
        encoders_texts.read_prompts(tmp_path, {})
    assert str(caught.value) == f"{path}: {why}; copy or download the folder again"


def test_prompt_left_out_of_pooling(bare: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "st", bare, include_prompt=False)
    encoder = load(folder, prompts={"query": "query : ", "passage": "query : "})
    vectors = encoder.encode(TEXTS, "query")
    assert np.abs(vectors - theirs(encoder, TEXTS, "query : ")).max() < 1e-5
    included = load(bare, pooling="mean", prompts={"query": "query : "}).encode(TEXTS, "query")
    assert np.abs(vectors - included).max() > 1e-3


def test_cut_off(folder: Path, encoder: SentenceEncoder) -> None:
    assert encoder.count_tokens(TEXTS, "query") == [8, 4, 6, 8, LIMIT, 7]
    short = load(folder, max_tokens=7)
    assert short.count_tokens(TEXTS, "query") == [7, 4, 6, 7, 7, 7]
    vectors = short.encode(TEXTS, "query")
    assert np.abs(vectors - theirs(short, TEXTS, "query: ")).max() < 1e-5
    assert np.abs(vectors[0] - encoder.encode(TEXTS, "query")[0]).max() > 1e-3


def test_static_embeddings(bare: Path, tmp_path: Path) -> None:
    """A model without a transformer goes through the library's own preparation."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bare / "tokenizer.json"))
    static = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_dim=6)], device="cpu"
    )
    static.save(str(tmp_path / "static"), create_model_card=False)
    encoder = load(tmp_path / "static", prompts={"query": "query : "})
    assert {type(inputs).__name__ for inputs in encoder._inputs.values()} == {"Library"}
    vectors = encoder.encode(TEXTS, "query")
    assert np.abs(vectors - theirs(encoder, TEXTS, "query : ")).max() < 1e-6
    assert encoder.count_tokens(TEXTS[:3], "query") == [6, 2, 4]
    assert message(tmp_path / "static", max_tokens=9) == (
        f"{tmp_path / 'static'}: max_tokens = 9, but the model has no limit to set; leave it out"
    )


@pytest.mark.parametrize("similarity", ["dot", "euclidean"])
def test_a_corpus_is_ranked_by_the_similarity_that_the_model_names(
    bare: Path, tmp_path: Path, similarity: str
) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bare / "tokenizer.json"))
    torch.manual_seed(0)
    lengths = torch.arange(1.0, tokenizer.get_vocab_size() + 1)[:, None] ** 2
    static = StaticEmbedding(tokenizer, torch.randn(len(lengths), 6) * lengths)
    model = SentenceTransformer(
        modules=[static], device="cpu", similarity_fn_name=similarity, truncate_dim=5
    )
    model.save(str(tmp_path / "static"), create_model_card=False)
    documents = [f"{a} {b}" for a in WORDS for b in WORDS if a < b]
    path = tmp_path / "corpus.jsonl"
    path.write_text(
        "".join(json.dumps({"_id": d, "text": d}) + "\n" for d in documents), encoding="utf-8"
    )
    search = Search(Embedding()).of(tmp_path / "static")
    retriever = Retriever(search, load(tmp_path / "static"), None)
    retriever.open_corpus(corpus.read(path, tmp_path), 10, tmp_path, lambda *_: None)
    found: dict[int, Any] = {}
    asked = [GenerationRequest(word, 0) for word in WORDS]
    retriever.generate(asked, budget=64, skip=set(), done=found.update)
    theirs = model.similarity(model.encode_query(WORDS), model.encode_document(documents))
    for i, order in enumerate(theirs.argsort(descending=True)[:, :10].tolist()):
        assert [id for id, _ in found[i].ranking] == [documents[row] for row in order]


def test_half_precision_comes_back_as_float32(folder: Path, encoder: SentenceEncoder) -> None:
    half = load(folder, dtype="bfloat16")
    vectors = half.encode(TEXTS, "query")
    assert vectors.dtype == np.float32
    assert np.abs(vectors - encoder.encode(TEXTS, "query")).max() < 0.1
    assert half.parameter_bytes() < 0.6 * encoder.parameter_bytes()


# --- what goes wrong ------------------------------------------------------------------------------


def test_missing_modules(bare: Path) -> None:
    assert message(bare) == f"{bare / 'modules.json'} is missing, {MEND}"


def test_missing_pooling(copy: Path) -> None:
    path = copy / "1_Pooling" / "config.json"
    path.unlink()
    assert message(copy) == f"{path} is missing, {MEND}"


def test_declared_pooling_mends(copy: Path, encoder: SentenceEncoder) -> None:
    (copy / "1_Pooling" / "config.json").unlink()
    mended = load(copy, pooling="mean").encode(TEXTS, "query")
    assert np.abs(mended - encoder.encode(TEXTS, "query")).max() < 1e-6


@pytest.mark.parametrize(
    ("stored", "problem"),
    [
        ("[]", "holds no settings"),
        ("{}", "names no pooling mode"),
        ('{"pooling_mode_mean_tokens": false}', "names no pooling mode"),
        ('{"pooling_mode": "middle"}', "names the pooling mode 'middle', which is unknown"),
    ],
)
def test_broken_pooling(copy: Path, stored: str, problem: str) -> None:
    path = copy / "1_Pooling" / "config.json"
    path.write_text(stored)
    assert message(copy) == f"{path} {problem}, {MEND}"


def test_old_pooling_configuration(copy: Path, encoder: SentenceEncoder) -> None:
    path = copy / "1_Pooling" / "config.json"
    old = {
        "word_embedding_dimension": 16,
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": True,
    }
    path.write_text(json.dumps(old))
    assert encoders_texts.read_pooling(path) == encoders_texts.Pooling(("cls", "mean"))
    vectors = load(copy).encode(TEXTS, "query")
    assert np.abs(vectors[:, 16:] - encoder.encode(TEXTS, "query")).max() < 1e-6


def test_no_pooling_listed(copy: Path) -> None:
    path = copy / "modules.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:1]))
    assert message(copy) == f"{path} lists no pooling, {MEND}"


def test_broken_modules(copy: Path) -> None:
    path = copy / "modules.json"
    path.write_text("[1]")
    assert message(copy) == (
        f"{path} is not a list of modules with type and path; copy or download the folder again"
    )
    for text in ("[", "[" * 100_000):
        path.write_text(text)
        assert message(copy).startswith(f"{path} is not JSON (")


def test_module_of_its_own_code(copy: Path) -> None:
    path = copy / "modules.json"
    modules = json.loads(path.read_text())
    modules[0]["type"] = "own_code.Special"
    path.write_text(json.dumps(modules))
    assert message(copy, pooling="cls") == (
        f"{path} lists Special, which is the model's own code: its pooling cannot be replaced; "
        "leave out pooling"
    )


def test_unknown_pooling(folder: Path) -> None:
    assert message(folder, pooling="middle") == (
        "pooling = 'middle' is not one of mean, cls, max, lasttoken"
    )


def test_too_long(folder: Path) -> None:
    assert message(folder, max_tokens=33) == (
        f"{folder}: max_tokens = 33, but the model has 32 positions; set at most 32"
    )


def test_pickled_weights(copy: Path, encoder: SentenceEncoder) -> None:
    from safetensors.torch import load_file

    weights = copy / "model.safetensors"
    torch.save(load_file(weights), copy / "pytorch_model.bin")
    weights.unlink()
    assert message(copy) == (
        f"{copy / 'pytorch_model.bin'} holds pickled weights, which can run any code when they are "
        "read. Convert them to safetensors, or trust this model: allow_pickle = true in its "
        "[models.NAME]"
    )
    trusted = load(copy, allow_pickle=True).encode(TEXTS, "query")
    assert (trusted == encoder.encode(TEXTS, "query")).all()


def test_damaged_weights(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(b"no weights")
    assert message(copy).startswith(f"{copy}: sentence-transformers cannot load it: ")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_device(folder: Path) -> None:
    with pytest.raises(VariantLoadError, match=r"^device = 'cuda': "):
        load(folder, device="cuda")


@pytest.mark.parametrize(("value", "kind"), [(math.nan, "NaN"), (math.inf, "infinity")])
def test_not_finite(folder: Path, value: float, kind: str) -> None:
    encoder = load(folder, prompts={"query": ""})
    pool = encoder.model[1].forward

    def broken(features: Any) -> Any:
        vectors = pool(features)["sentence_embedding"]
        vectors[features["attention_mask"].sum(dim=1) == LIMIT] = value
        return features

    encoder.model[1].forward = broken
    with pytest.raises(ModelError) as caught:
        encoder.encode(TEXTS, "query")
    assert str(caught.value) == (
        f"{folder}: the model gives {kind} for the text {TEXTS[4][:60]!r}; its weights are "
        "damaged, or its dtype cannot hold the numbers"
    )


def test_nan_weights(folder: Path) -> None:
    encoder = load(folder)
    with torch.no_grad():
        next(encoder.model.parameters()).fill_(math.nan)
    with pytest.raises(ModelError) as caught:
        encoder.encode(["a cat"], "query")
    assert "the model gives NaN for the text 'a cat'; its weights are damaged" in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [MemoryError("all of it"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_out_of_memory(folder: Path, error: Exception) -> None:
    """The budget is halved until a batch fits; what is said is the same."""
    encoder = load(folder)
    expected = encoder.encode(TEXTS, "query")
    forward, sizes = encoder.model.forward, []

    def small_only(features: Any, **options: Any) -> Any:
        sizes.append(len(features["input_ids"]))
        if sizes[-1] > 2:
            raise error
        return forward(features, **options)

    encoder.model.forward = small_only
    assert np.abs(encoder.encode(TEXTS, "query") - expected).max() < 1e-5
    assert sizes[0] == 5
    encoder.model.forward = lambda *_, **__: (_ for _ in ()).throw(error)
    with pytest.raises(OutOfMemory, match=str(error)):
        encoder.encode(TEXTS, "query")


def test_other_errors_stay(folder: Path) -> None:
    encoder = load(folder)

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("something else")

    encoder.model.forward = fail
    with pytest.raises(RuntimeError, match="something else"):
        encoder.encode(TEXTS, "query")


def test_loading_is_quiet(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load(folder).encode(TEXTS, "query")
    assert capfd.readouterr() == ("", "")


def test_close_frees(folder: Path) -> None:
    encoder = load(folder)
    kept = list(encoder.model.parameters())  # as a traceback would
    assert encoder.parameter_bytes() >= sum(p.numel() * 4 for p in kept) > 0
    encoder.close()
    assert encoder.parameter_bytes() == 0
    assert [p.numel() for p in kept] == [0] * len(kept)


# --- batches --------------------------------------------------------------------------------------


def embed(texts: Sequence[str], budget: int, fits: int = 10**6) -> tuple[Any, list[list[str]]]:
    """Embed a text as its length and first character; return what was computed together, too."""
    batches: list[list[str]] = []

    def run(rows: Sequence[str]) -> Any:
        if len(rows) * max(map(len, rows)) > fits and len(rows) > 1:
            raise OutOfMemory("too much")
        batches.append(list(rows))
        return np.array([[len(row), ord((row or " ")[0])] for row in rows], np.float32)

    vectors = encoders_texts.embed(
        texts,
        name="model",
        budget=budget,
        prepare=lambda chunk: (list(chunk), [len(text) for text in chunk]),
        run=run,
        join=np.concatenate,
    )
    return vectors, batches


@given(
    st.lists(st.text(alphabet="abc", max_size=8), min_size=1, max_size=30),
    st.integers(1, 40),
    st.integers(1, 40),
    st.randoms(use_true_random=False),
)
def test_every_text_gets_its_own_vector(
    texts: list[str], budget: int, fits: int, random: Any
) -> None:
    vectors, batches = embed(texts, budget, fits)
    assert vectors.tolist() == [[len(text), ord((text or " ")[0])] for text in texts]
    assert all(len(b) == 1 or len(b) * max(map(len, b)) <= min(budget, fits) for b in batches)
    shuffled = random.sample(texts, len(texts))
    assert embed(shuffled, budget, fits)[1] == batches


def test_many_texts_are_prepared_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders_texts, "_CHUNK", 3)
    texts = ["a" * k for k in (5, 1, 7, 2, 2, 9, 3, 4)]
    vectors, batches = embed(texts, 100)
    assert vectors[:, 0].tolist() == [5, 1, 7, 2, 2, 9, 3, 4]
    assert [list(map(len, batch)) for batch in batches] == [[9, 7, 5], [4, 3, 2], [1]]
