"""The engine for embedding graphs: vectors of a lookup table, which a test can compute itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines import environment
from pytest_modellab.engines.encoders import onnx_graph, texts
from pytest_modellab.engines.encoders.onnx_graph import OnnxEncoder
from pytest_modellab.engines.interface import Encoder
from pytest_modellab.errors import ModelError, OutOfMemory

np = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tokenizers")

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "man", "ran", "home", "query", ":", "a", "cat")
SIZE = 8
TABLE = np.random.default_rng(5).normal(size=(len(WORDS), SIZE)).astype(np.float32)
TABLE[0] = 1e6  # padding, which no vector may hold
TEXTS = ("the man ran home", "", "a cat", "the man ran home", "the man " * 30, "cat cat cat")


def write_folder(
    folder: Path,
    *,
    inputs: Sequence[str] = ("input_ids", "attention_mask", "token_type_ids"),
    batch: int | str = "batch",
    kind: int = onnx.TensorProto.INT64,
    files: dict[str, Any] | None = None,
) -> Path:
    """Write a graph that looks tokens up in :data:`TABLE`, and a tokenizer of :data:`WORDS`.

    Outputs, in this order: ``ids`` as they are, ``tokens`` (a vector each) and ``sums`` over the
    tokens, padding included.
    """
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    shape = [batch, "tokens"]
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["input_ids"], ["ids"]),
            helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
            helper.make_node("ReduceSum", ["tokens", "axis"], ["sums"], keepdims=0),
        ],
        "lookup",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [
            helper.make_tensor_value_info("ids", kind, shape),
            helper.make_tensor_value_info("tokens", TensorProto.FLOAT, [*shape, SIZE]),
            helper.make_tensor_value_info("sums", TensorProto.FLOAT, [batch, SIZE]),
        ],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    save(graph, folder / "model.onnx")
    tokenizer = Tokenizer(models.WordLevel({w: k for k, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=30, pad_token="[PAD]")  # as downloaded ones often have
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def save(graph: Any, path: Path) -> None:
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


def load(folder: Path, **changes: Any) -> OnnxEncoder:
    values: dict[str, Any] = {"key": "k", "prompts": {}, "max_tokens": None, "pooling": "mean"}
    return onnx_graph.load(folder, **{**values, **changes})


def message(folder: Path, **changes: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder, **changes)
    return str(caught.value)


def rows(text: str, limit: int = 512) -> Any:
    """The vectors of a text's tokens."""
    words = text.replace(":", " : ").split()
    ids = [2, *(WORDS.index(word) for word in words)][: limit - 1]
    return TABLE[[*ids, 3]]


def pooled(text: str, pooling: str, limit: int = 512) -> Any:
    tokens = rows(text, limit)
    made: dict[str, Any] = {
        "mean": tokens.mean(axis=0),
        "cls": tokens[0],
        "max": tokens.max(axis=0),
        "lasttoken": tokens[-1],
    }
    return made[pooling]


# --- vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", texts.POOLINGS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_pooling_order_and_duplicates(tmp_path: Path, pooling: str, side: str) -> None:
    config = {"pad_token": "[PAD]", "padding_side": side}
    folder = write_folder(tmp_path / "model", files={"tokenizer_config.json": config})
    encoder: Encoder = load(folder, pooling=pooling)
    vectors = encoder.encode(TEXTS, "query")
    assert np.abs(vectors - [pooled(text, pooling) for text in TEXTS]).max() < 1e-5
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), SIZE), np.float32)
    assert vectors.flags.c_contiguous
    assert (encoder.encode(TEXTS[::-1], "query")[::-1] == vectors).all()
    assert (encoder.key, encoder.dimension) == ("k", SIZE)
    assert encoder.encode([], "query").shape == (0, SIZE)


def test_a_vector_for_a_text_is_taken_as_it_is(folder: Path) -> None:
    encoder = load(folder, pooling=None, output="sums")
    encoder.budget = 1  # this graph sums padding, too
    sums = [rows(text).sum(axis=0) for text in TEXTS]
    assert np.abs(encoder.encode(TEXTS, "query") - sums).max() < 1e-4


def test_sentence_embedding_goes_first(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    model.graph.node[2].output[0] = model.graph.output[2].name = "sentence_embedding"
    onnx.save(model, folder / "model.onnx")
    vectors = load(folder, pooling=None).encode(["a cat"], "query")
    assert vectors[0] == pytest.approx(rows("a cat").sum(axis=0), abs=1e-5)


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT32, onnx.TensorProto.INT64])
def test_only_the_graphs_inputs_are_fed(tmp_path: Path, kind: int) -> None:
    folder = write_folder(tmp_path / "model", inputs=["input_ids"], kind=kind)
    vectors = load(folder).encode(TEXTS, "query")
    assert np.abs(vectors - [pooled(text, "mean") for text in TEXTS]).max() < 1e-5


def test_one_text_at_a_time_where_the_graph_takes_one(tmp_path: Path) -> None:
    vectors = load(write_folder(tmp_path / "model", batch=1)).encode(TEXTS, "query")
    assert np.abs(vectors - [pooled(text, "mean") for text in TEXTS]).max() < 1e-5


def test_folders_pooling(tmp_path: Path) -> None:
    stored = {"pooling_mode": ["cls", "max"]}
    folder = write_folder(tmp_path / "model", files={"1_Pooling/config.json": stored})
    encoder = load(folder, pooling=None)
    both = [[*pooled(text, "cls"), *pooled(text, "max")] for text in TEXTS]
    assert encoder.dimension == 2 * SIZE
    assert np.abs(encoder.encode(TEXTS, "query") - both).max() < 1e-5


@pytest.mark.parametrize("declared", [None, "mean"])
def test_listed_modules(tmp_path: Path, declared: str | None) -> None:
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "pool"},
        {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"},
    ]
    stored = {"pooling_mode": "mean"}
    files = {"modules.json": modules, "pool/config.json": stored}
    folder = write_folder(tmp_path / "model", files=files)
    expected = np.stack([pooled(text, "mean") for text in TEXTS])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = load(folder, pooling=declared).encode(TEXTS, "query")
    assert np.abs(vectors - expected).max() < 1e-5


def test_prompts(tmp_path: Path) -> None:
    own = {"prompts": {"query": "query: "}}
    folder = write_folder(tmp_path / "m", files={"config_sentence_transformers.json": own})
    encoder = load(folder, prompts={"passage": "a "})
    assert encoder.encode(["cat"], "query")[0] == pytest.approx(pooled("query: cat", "mean"))
    assert encoder.encode(["cat"], "passage")[0] == pytest.approx(pooled("a cat", "mean"))
    assert encoder.count_tokens(["cat", ""], "query") == [5, 4]
    assert encoder.count_tokens(["cat", ""], "passage") == [4, 3]


@pytest.mark.parametrize("side", ["right", "left"])
def test_prompt_left_out_of_pooling(tmp_path: Path, side: str) -> None:
    files = {
        "1_Pooling/config.json": {"pooling_mode": "mean", "include_prompt": False},
        "tokenizer_config.json": {"pad_token": "[PAD]", "padding_side": side},
    }
    folder = write_folder(tmp_path / "model", files=files)
    vectors = load(folder, pooling=None, prompts={"query": "query: "}).encode(TEXTS, "query")
    expected = [rows(f"query: {text}")[3:].mean(axis=0) for text in TEXTS]
    assert np.abs(vectors - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("files", "declared", "limit"),
    [
        ({}, 9, 9),
        ({"sentence_bert_config.json": {"max_seq_length": 7}}, 9, 9),
        (
            {
                "sentence_bert_config.json": {"max_seq_length": 7},
                "tokenizer_config.json": {"model_max_length": 11},
            },
            None,
            7,
        ),
        ({"tokenizer_config.json": {"model_max_length": 11}}, None, 11),
        ({"tokenizer_config.json": {"model_max_length": int(1e30)}}, None, 62),
    ],
)
def test_cut_off(tmp_path: Path, files: Any, declared: int | None, limit: int) -> None:
    encoder = load(write_folder(tmp_path / "model", files=files), max_tokens=declared)
    assert encoder.count_tokens(["the man " * 30], "query") == [limit]
    expected = pooled("the man " * 30, "mean", limit)
    assert encoder.encode(["the man " * 30], "query")[0] == pytest.approx(expected, abs=1e-6)


def test_capitals_are_small_letters_where_the_folder_says_so(tmp_path: Path) -> None:
    files = {"sentence_bert_config.json": {"max_seq_length": 9, "do_lower_case": True}}
    lowered = load(write_folder(tmp_path / "lowered", files=files))
    as_it_is = load(write_folder(tmp_path / "as it is"))
    assert np.array_equal(*lowered.encode(["The CAT", "the cat"], "query"))
    assert not np.array_equal(*as_it_is.encode(["The CAT", "the cat"], "query"))


def test_cut_off_at_the_tokenizers_limit(folder: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(13)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert load(folder).count_tokens(["the man " * 30], "query") == [13]


def test_a_vector_does_not_depend_on_its_neighbours(tmp_path: Path) -> None:
    """Where activations are quantized, a batch has one scale."""
    from onnx import TensorProto, helper, numpy_helper
    from onnxruntime.quantization import quantize_dynamic

    folder = write_folder(tmp_path / "model", inputs=["input_ids"])
    model = onnx.load(folder / "model.onnx")
    weights = np.random.default_rng(1).normal(size=(SIZE, SIZE)).astype(np.float32)
    table = TABLE * np.arange(1, len(TABLE) + 1, dtype=np.float32)[:, None]  # of unlike ranges
    table[0] = 0
    graph = helper.make_graph(
        [*model.graph.node[1:2], helper.make_node("MatMul", ["tokens", "weights"], ["made"])],
        "product",
        model.graph.input,
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, ["batch", "tokens", SIZE])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(weights, "weights")],
    )
    save(graph, tmp_path / "float.onnx")
    products = ["MatMul"]
    quantize_dynamic(tmp_path / "float.onnx", folder / "model.onnx", op_types_to_quantize=products)
    encoder = load(folder)
    together = encoder.encode(TEXTS, "query")
    alone = np.concatenate([encoder.encode([text], "query") for text in TEXTS])
    assert (together == alone).all()
    encoder.budget = onnx_graph.BUDGET
    assert np.abs(encoder.encode(TEXTS, "query") - alone).max() > 1e-2


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment.threads() == 5
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert environment.threads() == 3


# --- what goes wrong ------------------------------------------------------------------------------


def test_number_of_graphs(folder: Path) -> None:
    (folder / "other.onnx").write_bytes(b"")
    assert message(folder) == (
        f"{folder} must hold exactly one .onnx file, but it has model.onnx, other.onnx; keep the "
        "one to run in a folder of its own, with tokenizer.json"
    )
    (folder / "other.onnx").unlink()
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert load(folder).dimension == SIZE
    (folder / "onnx" / "model.onnx").unlink()
    assert "exactly one .onnx file, but it has none; keep" in message(folder)


def test_no_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.unlink()
    assert message(folder) == f"{path} is missing; copy it from the model's source"


def test_damaged_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text("{}")
    assert message(folder).startswith(f"{path}: tokenizers cannot load it: ")


def test_a_tokenizer_with_conflict_markers(folder: Path) -> None:
    path = folder / "tokenizer.json"
    path.write_text("{\n<<<<<<< HEAD\n}")
    assert message(folder) == f"{path}: conflict markers at line 2; resolve the merge"


def test_damaged_graph(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(b"no graph")
    assert message(folder).startswith(f"{path}: ONNX Runtime cannot load it: ")


def test_unknown_output(folder: Path) -> None:
    path = folder / "model.onnx"
    assert message(folder, output="token") == (
        f"{path}: the graph has no output 'token' of floats; "
        "did you mean 'tokens'? Known: sums, tokens"
    )
    assert message(folder, output="ids") == (
        f"{path}: the graph has no output 'ids' of floats; Known: sums, tokens"
    )


def test_unknown_input(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", inputs=["input_ids", "pixels"])
    assert message(folder) == (
        f"{folder / 'model.onnx'} wants pixels, but a text is given as input_ids, attention_mask, "
        "token_type_ids only; export the model without"
    )


def test_missing_pooling(folder: Path) -> None:
    path = folder / "1_Pooling" / "config.json"
    assert message(folder, pooling=None) == (
        f"{path} is missing, so that nothing says how token vectors become one. Set what the model "
        'was trained with, for example pooling = "mean" (there are: mean, cls, max, lasttoken)'
    )


def test_pooling_that_graphs_do_not_have(tmp_path: Path) -> None:
    stored = {"pooling_mode": "weightedmean"}
    folder = write_folder(tmp_path / "model", files={"1_Pooling/config.json": stored})
    path = folder / "1_Pooling" / "config.json"
    assert message(folder, pooling=None).startswith(
        f"{path} names 'weightedmean', which graphs are not pooled by, so that nothing says"
    )


def test_pooling_of_what_is_pooled(folder: Path) -> None:
    assert message(folder, output="sums") == (
        f"{folder}: pooling = 'mean', but the output 'sums' is one vector a text already; "
        "leave out pooling, or name another output"
    )


def test_modules_that_the_graph_lacks(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]
    folder = write_folder(tmp_path / "model", files={"modules.json": modules})
    assert message(folder) == (
        f"{folder / 'modules.json'} lists Dense, which the graph's output 'tokens' has not gone "
        "through; export the model with it"
    )


def test_output_of_other_rank(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    model.graph.node[2].input[1] = ""  # over all axes
    del model.graph.output[2].type.tensor_type.shape.dim[:]
    onnx.save(model, folder / "model.onnx")
    assert message(folder, output="sums") == (
        f"{folder}: the output 'sums' has 0 axes, but the vectors of texts have 2 and those of "
        "tokens 3; name another output"
    )


def test_graph_of_fixed_length(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    for value in model.graph.input:
        value.type.tensor_type.shape.dim[1].dim_value = 7
    onnx.save(model, folder / "model.onnx")
    assert message(folder).startswith(
        f"{folder / 'model.onnx'}: the graph does not take texts of any number and length: "
    )


def test_nan_is_noticed(folder: Path) -> None:
    encoder = load(folder)
    run = encoder._session.run

    class Broken:
        def run(self, *arguments: Any) -> Any:
            return [run(*arguments)[0] * math.nan]

    encoder._session = Broken()
    with pytest.raises(ModelError) as caught:
        encoder.encode(["the man " * 30], "query")
    assert str(caught.value) == (
        f"{folder / 'model.onnx'}: the model gives NaN for the text {('the man ' * 30)[:60]!r}; "
        "its weights are damaged, or its dtype cannot hold the numbers"
    )


@pytest.mark.parametrize("text", ["Failed to allocate memory for requested buffer", "other"])
def test_out_of_memory(folder: Path, text: str) -> None:
    from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

    encoder = load(folder)

    class Full:
        def run(self, *_: Any) -> Any:
            raise RuntimeException(text)

    encoder._session = Full()
    with pytest.raises(OutOfMemory if "memory" in text else RuntimeException, match=text):
        encoder.encode(TEXTS, "query")


def test_close_frees(folder: Path) -> None:
    encoder = load(folder)
    assert encoder.parameter_bytes() == TABLE.nbytes + 8
    encoder.close()
    assert encoder.parameter_bytes() == 0
    assert encoder._session is None
