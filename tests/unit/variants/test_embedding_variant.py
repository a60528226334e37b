"""Kinds `embedding`, `lexical` and `rag`: plans and refusals; nothing here is loaded."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import variants
from pytest_modellab.engines.encoders.texts import CONFIG
from pytest_modellab.engines.packages import EXTRAS
from pytest_modellab.engines.search.forms import Form
from pytest_modellab.engines.search.retriever import VERSION
from pytest_modellab.engines.search.settings import Approximate, Embedding, Search
from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.variants.plan import Grounding, Plan
from pytest_modellab.variants.prompt import Prompt

MODEL = ModelSource("tiny", "./tiny")
GRAPH = ModelSource("graph", "./tiny/model.onnx", tokenizer="./tiny")
WORDS = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))


def declare(
    kind: str, root: Path, base: Plan | None = None, model: ModelSource = MODEL, **options: Any
) -> Plan:
    named = model is not NO_MODEL and (base is None or model is not MODEL)
    own = model.name if named else None
    spec = VariantSpec(
        "v", kind, "any", base=None if base is None else "plain", model=own, options=options
    )
    return variants.make_plan(variants.KINDS[kind], spec, base, model, root / "modellab.toml")


def refusal(kind: str, root: Path, base: Plan | None = None, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        declare(kind, root, base, **settings)
    prefix = f"{root / 'modellab.toml'}: variants.v."
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_a_model_as_it_is(tmp_path: Path) -> None:
    plan = declare("embedding", tmp_path)
    assert plan.search == Search(Embedding())
    assert plan.prompt.messages("as it is")[-1]["content"] == "as it is"
    assert "onnxruntime" not in plan.packages
    assert "bm25s" not in plan.packages
    assert "faiss-cpu" not in plan.packages


def test_what_is_declared_and_what_it_needs(tmp_path: Path) -> None:
    plan = declare(
        "embedding",
        tmp_path,
        query_prompt="query: ",
        pooling="cls",
        dimensions=8,
        index={"kind": "hnsw", "M": 16},
        fusion={},
        rerank={"model": "./cross", "top": 7},
    )
    assert plan.search is not None
    assert plan.search.embedding == Embedding(query_prompt="query: ", pooling="cls")
    assert plan.search.form == Form(dimensions=8)
    assert plan.search.index == Approximate("hnsw", {"M": 16})
    assert plan.search.fusion == 60
    assert plan.search.lexical
    assert plan.search.rerank is not None
    assert (plan.search.rerank.model.source, plan.search.rerank.top) == ("./cross", 7)
    assert {"bm25s", "faiss-cpu"} <= set(plan.packages)


def test_what_a_base_hands_on(tmp_path: Path) -> None:
    base = declare("embedding", tmp_path, query_prompt="q: ", dimensions=8, device="cuda")
    same_model = declare("embedding", tmp_path, base, vectors="binary", rescore=4)
    assert same_model.search == Search(
        Embedding(query_prompt="q: "), Form(dimensions=8, precision="binary"), rescore=4
    )
    assert same_model.device == "cuda"
    # another model's prompts would be wrong, how vectors are kept would not
    other_model = declare("embedding", tmp_path, base, model=GRAPH, pooling="mean")
    assert other_model.search == Search(Embedding(pooling="mean"), Form(dimensions=8))
    assert "onnxruntime" in other_model.packages
    assert other_model.device == "cpu"  # where a graph runs
    exact = declare(
        "embedding", tmp_path, declare("embedding", tmp_path, index={}), index={"kind": "exact"}
    )
    assert exact.search == Search(Embedding())


def test_words_alone_need_no_model(tmp_path: Path) -> None:
    plan = declare("lexical", tmp_path, model=NO_MODEL)
    assert plan.search == Search(None)
    assert plan.search.lexical
    assert refusal("lexical", tmp_path, k1=1.2).startswith("k1: unknown key")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dimension": 8}, "dimension: unknown key; did you mean 'dimensions'?"),
        ({"dimensions": "8"}, "dimensions: '8' is str, expected int"),
        ({"dimensions": 0}, "dimensions: 0 must be at least 1"),
        ({"max_tokens": 0}, "max_tokens: 0 must be at least 1"),
        ({"rescore": 0}, "rescore: 0 must be at least 1"),
        ({"rescore": 2}, 'rescore: 2 needs quantized vectors: vectors = "int8"'),
        ({"pooling": "avg"}, "pooling: unknown 'avg'; Known: cls, lasttoken, max, mean"),
        (
            {"vectors": "int4"},
            "vectors: unknown 'int4'; did you mean 'int8' or 'uint8'? "
            "Known: binary, float32, int8, ubinary, uint8",
        ),
        ({"similarity": "l2"}, "similarity: unknown 'l2'; Known: cosine, dot"),
        ({"dtype": "half"}, "dtype: unknown 'half'; Known: bfloat16, float16, float32"),
        ({"index": {"kind": "hsnw"}}, "index: unknown kind 'hsnw'; did you mean 'hnsw'?"),
        ({"index": {"M": 0}}, "index: M = 0, expected a whole number of at least 2"),
        ({"index": {"M": 2.5}}, "index: M = 2.5, expected a whole number of at least 2"),
        (
            {"index": {"nprobe": 2}},
            "index: hnsw has no setting 'nprobe'; Known: M, efConstruction, efSearch",
        ),
        (
            {"index": {}, "vectors": "int8"},
            "index: hnsw is built of float32 vectors, but they are kept as int8; "
            'set vectors = "float32", or leave the index out for exact search',
        ),
        ({"fusion": {"c": 1}}, "fusion.c: unknown key; Known: k"),
        ({"fusion": {"k": 0.5}}, "fusion.k: 0.5 is no whole number of at least 1"),
        (
            {"rerank": {}},
            "rerank.model: name a cross-encoder: a folder, package, hub id; or give the address of "
            "a server that has one, url; one of the two",
        ),
        ({"rerank": {"model": "x", "topp": 3}}, "rerank.topp: unknown key; did you mean 'top'?"),
        ({"rerank": {"model": "x", "top": 0}}, "rerank.top: 0 is no whole number of at least 1"),
    ],
)
def test_refusals(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    assert refusal("embedding", tmp_path, **options).startswith(said)


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (MODEL, {"output": "461"}, "output: belongs to an .onnx file"),
        (
            GRAPH,
            {"device": "cuda"},
            "device: an .onnx file runs on the CPU in the numbers that it holds",
        ),
        (
            GRAPH,
            {"dtype": "bfloat16"},
            "dtype: an .onnx file runs on the CPU in the numbers that it holds",
        ),
    ],
)
def test_graphs_and_folders(
    tmp_path: Path, model: ModelSource, options: dict[str, Any], said: str
) -> None:
    assert refusal("embedding", tmp_path, model=model, **options) == said


def test_bases_that_cannot_be(tmp_path: Path) -> None:
    assert refusal("embedding", tmp_path, WORDS) == (
        "base: 'plain' answers in words; name an embedding variant"
    )
    lexical = declare("lexical", tmp_path, model=NO_MODEL)
    assert refusal("embedding", tmp_path, lexical, model=NO_MODEL) == (
        "model: missing; name the embedding model, declared in [models], or give the address of a "
        "server that has one: url"
    )
    beside = declare("embedding", tmp_path, lexical, model=GRAPH)
    assert beside.search == Search(Embedding())


def test_all_that_a_ranking_depends_on_is_in_its_identity(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"query_prompt": "q: "},
        {"passage_prompt": "p: "},
        {"pooling": "cls"},
        {"max_tokens": 9},
        {"dimensions": 8},
        {"vectors": "int8"},
        {"vectors": "int8", "rescore": 2},
        {"similarity": "dot"},
        {"similarity": "euclidean"},
        {"similarity": "manhattan"},
        {"index": {}},
        {"index": {"efSearch": 9}},
        {"index": {"kind": "ivf"}},
        {"fusion": {}},
        {"fusion": {"k": 9}},
    ]
    found = []
    for options in changes:
        search = declare("embedding", tmp_path, **options).search
        assert search is not None
        found.append(search.identity(ModelFiles(MODEL, tmp_path, "", "")))
    assert all(one != other for i, one in enumerate(found) for other in found[:i])


@pytest.mark.parametrize("kind", ["prompted", "quantized", "lora", "finetuned", "distilled"])
def test_what_adapts_no_search(tmp_path: Path, kind: str) -> None:
    search = declare("embedding", tmp_path)
    assert refusal(kind, tmp_path, search) == (
        f"base: 'plain' is a search, which {kind!r} does not adapt; name a variant that answers in "
        'words, or declare kind = "embedding"'
    )


def test_an_inherited_index_that_the_form_forbids(tmp_path: Path) -> None:
    base = declare("embedding", tmp_path, index={})
    assert refusal("embedding", tmp_path, base, vectors="int8").startswith(
        "index: hnsw is built of float32 vectors, but they are kept as int8"
    )


@pytest.mark.parametrize("kind", [5, ["hnsw"]])
def test_an_index_of_no_kind(tmp_path: Path, kind: object) -> None:
    said = refusal("embedding", tmp_path, index={"kind": kind})
    assert said.startswith(f"index: unknown kind {kind!r}; ")


def test_versions_of_all_that_ranks_are_in_the_engine(tmp_path: Path) -> None:
    folder, graph = declare("embedding", tmp_path), declare("embedding", tmp_path, model=GRAPH)
    assert folder.engine.startswith(f"retriever-{VERSION}-")
    assert graph.engine.startswith(f"retriever-{VERSION}-")
    assert len(VERSION.split("-")) == 5


# --- a model behind a server ---------------------------------------------------------------------

SERVER: dict[str, Any] = {"url": "http://h:1/v1/", "served_model": "m", "key_env": "KEY"}


def served(root: Path, base: Plan | None = None, **options: Any) -> Plan:
    return declare("embedding", root, base, model=NO_MODEL, **options)


def test_a_server_takes_the_place_of_a_model(tmp_path: Path) -> None:
    plan = served(tmp_path, **SERVER, query_prompt="q: ", texts_per_request=8, concurrency=2)
    assert plan.served is not None
    address = plan.served.address
    assert (address.url, address.model, address.key_env) == ("http://h:1/v1", "m", "KEY")
    assert (plan.served.api, plan.served.together, address.concurrency) == ("embeddings", 8, 2)
    assert plan.search == Search(Embedding(query_prompt="q: "))
    assert (plan.model, plan.packages, plan.servers) == (NO_MODEL, ("httpx2",), (plan.served,))
    assert plan.engine == f"retriever-{VERSION}-served-1"
    quantized = served(tmp_path, **SERVER, vectors="int8", fusion={}, index={"kind": "exact"})
    assert quantized.packages == ("httpx2", "sentence-transformers", "bm25s")


def test_what_a_base_in_process_hands_on_to_a_server(tmp_path: Path) -> None:
    base = declare(
        "embedding", tmp_path, query_prompt="q: ", pooling="cls", max_tokens=9, dimensions=8
    )
    plan = declare("embedding", tmp_path, base, **SERVER)
    assert plan.search == Search(Embedding(query_prompt="q: "), Form(dimensions=8))
    assert plan.model == NO_MODEL  # which model the server has, nobody has said
    spec = VariantSpec("v", "embedding", "any", base="plain", model=MODEL.name, options=SERVER)
    known = variants.make_plan(variants.KINDS["embedding"], spec, base, MODEL, tmp_path / "m.toml")
    assert known.model == MODEL
    assert known.search == Search(Embedding(query_prompt="q: ", pooling="cls"), Form(dimensions=8))
    named = declare("embedding", tmp_path, base, model=GRAPH, **SERVER, pooling="mean")
    assert named.search == Search(Embedding(pooling="mean"), Form(dimensions=8))
    assert named.model == GRAPH
    assert named.packages == ("httpx2",)


def test_what_a_served_base_hands_on(tmp_path: Path) -> None:
    (tmp_path / "r.json").touch()
    base = served(tmp_path, **SERVER, query_input_type="query", reference="r.json")
    assert base.served is not None
    assert base.served.reference == tmp_path / "r.json"
    cut = served(tmp_path, base, dimensions=8)
    assert cut.served == base.served
    assert cut.search == Search(Embedding(query_input_type="query"), Form(dimensions=8))
    own = served(tmp_path, base, query_prompt="q: ").search
    assert own == Search(Embedding(query_prompt="q: ")), "in place of the base's type"
    slow = served(tmp_path, base, concurrency=1, canary=False)
    assert slow.served == dataclasses.replace(
        base.served,
        address=dataclasses.replace(base.served.address, concurrency=1),
        canary=False,
    )
    beside = served(tmp_path, base, served_model="n")
    assert beside.served is not None
    assert (beside.served.address.model, beside.served.address.key_env) == ("n", "KEY")
    assert beside.served.reference is None  # it is of another model
    there = served(tmp_path, base, url="http://other/v1", served_model="m")
    assert there.served is not None
    assert there.served.address.key_env == ""  # a key goes to no host that it is not declared for
    here = declare("embedding", tmp_path, base, model=GRAPH)
    assert (here.served, here.model) == (None, GRAPH)
    assert here.search == Search(Embedding())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url_env": "U"}, "url: give the server's base URL, which often ends with /v1, or the en"),
        ({"served_model": None}, "served_model: missing; give the name that requests ask for"),
        ({"url": None}, "served_model: is of a server; give its address, too: url"),
        ({"url": "http://h/v1/embeddings"}, "url: it ends with /embeddings, which is one route"),
        ({"max_tokens": 9}, "max_tokens: a server cuts texts off by itself; set its own limit, an"),
        ({"pooling": "cls"}, "pooling: the server decides it; with model, which names what the s"),
        ({"output": "x"}, "output: the server decides it; "),
        ({"dtype": "float16"}, "dtype: the server decides it; leave this out"),
        ({"device": "cuda"}, "device: the server decides it; leave this out"),
        ({"query_input_type": " "}, "query_input_type: ' ' is no name"),
        (
            {"query_input_type": "query", "query_prompt": "query: "},
            "query_input_type: query_prompt is given, too, and texts would get two prefixes: ",
        ),
        ({"reference": "r.json"}, "reference: no such file: "),
        ({"api": "chat"}, "api: unknown key"),
        ({"texts_per_request": 0}, "texts_per_request: 0 must be at least 1"),
    ],
)
def test_what_a_served_variant_cannot_be(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    given = {name: one for name, one in {**SERVER, **options}.items() if one is not None}
    assert refusal("embedding", tmp_path, model=NO_MODEL, **given).startswith(said)


def test_only_servers_take_types_of_input(tmp_path: Path) -> None:
    assert refusal("embedding", tmp_path, query_input_type="query") == (
        "query_input_type: is sent to a server; give its address: url"
    )
    assert refusal("embedding", tmp_path, reference="r.json") == (
        "reference: is of a server; give its address, too: url"
    )


def test_a_server_reranks(tmp_path: Path) -> None:
    plan = declare("embedding", tmp_path, rerank={**SERVER, "top": 7, "texts_per_request": 5})
    assert plan.search is not None
    rerank = plan.search.rerank
    assert rerank is not None
    assert rerank.served is not None
    assert (rerank.top, rerank.served.api, rerank.served.together) == (7, "rerank", 5)
    assert plan.servers == (rerank.served,)
    assert "httpx2" in plan.packages
    # a cross-encoder in this process needs numbers and a device, whoever embeds
    both = served(tmp_path, **SERVER, rerank={"model": "x"}, dtype="bfloat16")
    assert (both.dtype, both.packages) == ("bfloat16", ("httpx2", "torch", "transformers"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({**SERVER, "model": "x"}, "rerank.model: name a cross-encoder: a folder, package, hub id"),
        ({"model": "x", "key_env": "K"}, "rerank.key_env: is of a server; leave it out, or give i"),
        ({"url": "http://h"}, "rerank.served_model: missing; give the name that requests ask for"),
        ({"url": "http://h/v1/rerank", "served_model": "m"}, "rerank.url: it ends with /rerank"),
    ],
)
def test_what_a_served_reranker_cannot_be(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    assert refusal("embedding", tmp_path, rerank=options).startswith(said)


# --- rag -----------------------------------------------------------------------------------------


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    text = "{% block user %}{% for p in passages %}[{{ p }}]{% endfor %} {{ input }}{% endblock %}"
    (tmp_path / "rag.jinja").write_text(text)
    (tmp_path / "blind.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    return tmp_path


def test_rag(prompts: Path) -> None:
    plan = declare("rag", prompts, WORDS, retriever="minilm", passages=2, prompt="rag.jinja")
    assert plan.grounding == Grounding("minilm", 2)
    assert plan.prompt.messages("why?", ("one", "two"))[-1]["content"] == "[one][two] why?"
    other = declare("rag", prompts, plan, retriever="bm25")
    assert other == dataclasses.replace(plan, grounding=Grounding("bm25", 2))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "retriever: missing; name a variant of kind embedding or lexical"),
        ({"retriever": "m"}, "prompt: missing; name a Jinja file that shows passages and input"),
        (
            {"retriever": "m", "prompt": "blind.jinja"},
            "prompt: shows no passages: {% for passage in passages %}{{ passage }}{% endfor %}",
        ),
        (
            {"retriever": "m", "prompt": "rag.jinja", "passages": 0},
            "passages: 0 must be at least 1",
        ),
    ],
)
def test_rag_refusals(prompts: Path, options: dict[str, Any], said: str) -> None:
    assert refusal("rag", prompts, WORDS, **options) == said


def test_what_is_built_on_rag(prompts: Path) -> None:
    rag = declare("rag", prompts, WORDS, retriever="minilm", prompt="rag.jinja")
    tuned = declare("finetuned", prompts, rag, model=GRAPH)
    assert tuned.grounding == rag.grounding
    assert declare("quantized", prompts, rag, method="rtn").grounding == rag.grounding
    assert refusal("prompted", prompts, rag, prompt="blind.jinja") == (
        "base: 'plain' answers from passages; its prompt is changed by kind = \"rag\""
    )


def test_rag_bases(prompts: Path) -> None:
    assert refusal("rag", prompts) == "base: missing; name the variant that answers"
    search = declare("embedding", prompts)
    assert refusal("rag", prompts, search, retriever="m", prompt="rag.jinja") == (
        "base: 'plain' is a search, which 'rag' does not adapt; name a variant that answers in "
        'words, or declare kind = "embedding"'
    )


def test_every_distribution_has_its_extra() -> None:
    for name in ("sentence-transformers", "bm25s", "faiss-cpu"):
        assert EXTRAS[name] == "embedding"


# --- what the model says of its search --------------------------------------------------------


def own(folder: Path, **said: Any) -> ModelFiles:
    """A model whose ``config_sentence_transformers.json`` says something."""
    (folder / CONFIG).write_text(json.dumps(said))
    return ModelFiles(MODEL, folder, "", "")


def form(plan: Plan, files: ModelFiles) -> dict[str, Any]:
    assert plan.search is not None
    found: dict[str, Any] = plan.search.identity(files)["form"]
    return found


COSINE = {"dimensions": None, "normalize": True, "precision": "float32"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, COSINE),
        ({"similarity_fn_name": None}, COSINE),
        ({"similarity_fn_name": "cosine"}, COSINE),
        ({"similarity_fn_name": "dot"}, {**COSINE, "normalize": False}),
        (
            {"similarity_fn_name": "euclidean"},
            {**COSINE, "normalize": False, "similarity": "euclidean"},
        ),
        ({"truncate_dim": 4}, {**COSINE, "dimensions": 4}),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_model_says_how_its_vectors_are_compared(
    tmp_path: Path, said: dict[str, Any], expected: dict[str, Any], zipped: bool
) -> None:
    files = own(tmp_path, **said)
    if zipped:
        packed = tmp_path / "model.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(tmp_path / CONFIG, CONFIG)
        (tmp_path / CONFIG).unlink()
        files = ModelFiles(MODEL, packed, "", "")
    assert form(declare("embedding", tmp_path), files) == expected
    graph = ModelFiles(GRAPH, tmp_path / "model.onnx", "", "", tokenizer_files=files)
    assert form(declare("embedding", tmp_path, model=GRAPH), graph) == expected


def test_what_is_declared_goes_before_what_the_model_says(tmp_path: Path) -> None:
    files = own(tmp_path, similarity_fn_name="dot", truncate_dim=4)
    base = declare("embedding", tmp_path, similarity="cosine", dimensions=8)
    for plan in (base, declare("embedding", tmp_path, base, model=GRAPH)):
        assert form(plan, files) == {**COSINE, "dimensions": 8}


@pytest.mark.parametrize(
    ("options", "said", "problem"),
    [
        (
            {"vectors": "int8"},
            {"similarity_fn_name": "euclidean"},
            f"{CONFIG} says similarity_fn_name = 'euclidean': int8 vectors can be searched by "
            'inner products only; choose similarity = "cosine" or "dot", or exact search over '
            "float32 vectors",
        ),
        (
            {"index": {}},
            {"similarity_fn_name": "manhattan"},
            f"{CONFIG} says similarity_fn_name = 'manhattan': an approximate index can be searched "
            'by inner products only; choose similarity = "cosine" or "dot", or exact search over '
            "float32 vectors",
        ),
        (
            {},
            {"similarity_fn_name": "maxsim"},
            f"{CONFIG}: similarity_fn_name = 'maxsim' is none of cosine, dot, euclidean, "
            "manhattan; correct it",
        ),
        (
            {},
            {"model_type": "SparseEncoder", "similarity_fn_name": "dot"},
            f"{CONFIG}: the model was saved as a SparseEncoder, but an embedding model gives one "
            "vector a text; name one that was saved as a SentenceTransformer",
        ),
        (
            {},
            {"truncate_dim": "4"},
            f"{CONFIG}: truncate_dim: '4': expected a whole number; copy or download the folder "
            "again",
        ),
    ],
)
def test_what_a_model_asks_for_and_cannot_have(
    tmp_path: Path, options: dict[str, Any], said: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ModelError) as caught:
        form(declare("embedding", tmp_path, **options), own(tmp_path, **said))
    assert str(caught.value).replace(f"{tmp_path}/", "").replace(f"{tmp_path}: ", "") == problem
    if "index" in options or "vectors" in options:
        similarity = said["similarity_fn_name"]
        assert refusal("embedding", tmp_path, similarity=similarity, **options) == (
            f"similarity: {problem.partition(' = ')[2]}"
        )
