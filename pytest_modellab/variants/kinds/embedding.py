"""Kind ``embedding``: a model that turns texts into vectors, and how they are searched."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pytest_modellab.engines.encoders import onnx_graph, sentence
from pytest_modellab.engines.encoders.texts import POOLINGS, Similarity
from pytest_modellab.engines.interface import Encoder, Engine, Role
from pytest_modellab.engines.packages import required
from pytest_modellab.engines.search import approximate
from pytest_modellab.engines.search.forms import Form, Precision
from pytest_modellab.engines.search.retriever import VERSION, Retriever
from pytest_modellab.engines.search.settings import Approximate, Embedding, Rerank, Search
from pytest_modellab.errors import ConfigError
from pytest_modellab.models import convert, locate, opened
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.setting import OPTIONAL, Setting, count, resolve
from pytest_modellab.variants.plan import DTYPE, Plan
from pytest_modellab.variants.prompt import Prompt

AS_IT_IS = Prompt("{% block user %}{{ input }}{% endblock %}")
"""A query is asked as it stands in the task set; prompts are the encoder's."""


TEXT = {
    "query_prompt": Setting(str, OPTIONAL),
    "passage_prompt": Setting(str, OPTIONAL),
    "pooling": Setting(str, OPTIONAL, choices=POOLINGS),
    "output": Setting(str, OPTIONAL),
    "max_tokens": count(),
}
"""The options that decide what vector a text becomes."""


FUSION = 60
"""The constant of reciprocal rank fusion that Cormack et al. 2009 found."""


RERANKED = 50
"""Documents that the second stage sees, unless declared."""


def _whole(default: int) -> Setting:
    return Setting(
        object,
        default,
        check=lambda value: type(value) is int and value >= 1,
        wrong="{value!r} is no whole number of at least 1",
    )


OPTIONS = {
    **TEXT,
    "dimensions": count(),
    "vectors": Setting(str, OPTIONAL, choices=get_args(Precision)),
    "similarity": Setting(str, OPTIONAL, choices=get_args(Similarity)),
    "rescore": count(),
    "index": Setting(dict, OPTIONAL),
    "fusion": Setting(dict, OPTIONAL, fields={"k": _whole(FUSION)}),
    "rerank": Setting(
        dict,
        OPTIONAL,
        fields={
            "model": Setting(str, missing="name a cross-encoder: a folder, package, hub id"),
            "top": _whole(RERANKED),
        },
    ),
    "dtype": DTYPE,
    "device": Setting(str, OPTIONAL),
}
"""What is not given is the base's, where there is one."""


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan an embedding variant.

    Args:
        spec: the options of :data:`OPTIONS`. A variant with a base takes over what it does not
            change, but for a model of its own, which brings its own prompts and pooling.
        base: the plan of the variant that it is compared with, or None.
        model: its model.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    options = resolve(OPTIONS, spec.options)
    before = base.search if base is not None else None
    if base is not None and before is None:
        raise ConfigError(f"base: {spec.base!r} answers in words; name an embedding variant")
    if model == NO_MODEL:
        raise ConfigError("model: missing; name the embedding model, declared in [models]")
    inherited = before if before is not None and before.embedding is not None else Search(None)
    text = inherited.embedding if spec.model is None else None
    embedding = dataclasses.replace(
        text or Embedding(), **{k: v for k, v in options.items() if k in TEXT}
    )
    graph = _is_graph(model)
    if embedding.output is not None and not graph:
        raise ConfigError("output: belongs to an .onnx file")
    form = _form(options, inherited.form)
    index = _index(options["index"]) if "index" in options else inherited.index
    if index is not None:
        approximate.check(index.kind, index.settings, form)
    if problem := form.problem(indexed=index is not None):
        raise ConfigError(f"similarity: {problem}")
    rescore = options.get("rescore", inherited.rescore)
    if rescore > 1 and form.precision == "float32":
        raise ConfigError(f'rescore: {rescore} needs quantized vectors: vectors = "int8"')
    search = Search(
        embedding=embedding,
        form=form,
        rescore=rescore,
        index=index,
        fusion=options["fusion"]["k"] if "fusion" in options else inherited.fusion,
        rerank=_rerank(spec, root, options["rerank"]) if "rerank" in options else inherited.rerank,
    )
    runs = None if graph else base  # a graph runs where and as it is
    dtype = options.get("dtype", runs.dtype if runs is not None else "float32")
    packages = [
        *_runtime(model),
        "sentence-transformers",  # quantizes vectors, too
        *(["torch", "transformers"] if search.rerank is not None else []),
        *(["bm25s"] if search.lexical else []),
        *(["faiss-cpu"] if search.index is not None else []),
    ]
    device = options.get("device", runs.device if runs is not None else "cpu")
    if graph and (dtype, device) != ("float32", "cpu"):
        raise ConfigError(
            f"{'dtype' if dtype != 'float32' else 'device'}: an .onnx file runs on the CPU in the "
            "numbers that it holds"
        )
    return Plan(
        model=model,
        prompt=AS_IT_IS,
        dtype=dtype,
        device=device,
        packages=tuple(dict.fromkeys(packages)),
        search=search,
        engine=f"retriever-{VERSION}-{(onnx_graph if graph else sentence).VERSION}",
        open=functools.partial(_open, search),
    )


def _form(options: Mapping[str, Any], inherited: Form) -> Form:
    return Form(
        dimensions=options.get("dimensions", inherited.dimensions),
        precision=options.get("vectors", inherited.precision),
        similarity=options.get("similarity", inherited.similarity),
    )


def _index(options: Mapping[str, Any]) -> Approximate | None:
    """Read ``index = { kind = "hnsw", M = 32 }``; ``kind = "exact"`` for none."""
    kind = options.get("kind", "hnsw")
    if kind == "exact":
        return None
    return Approximate(kind, {k: v for k, v in options.items() if k != "kind"})


def _rerank(spec: VariantSpec, root: Path, options: Mapping[str, Any]) -> Rerank:
    """Read ``rerank = { model = "path/to/cross-encoder", top = 50 }``."""
    return Rerank(ModelSource(f"{spec.name}.rerank", options["model"]), root, options["top"])


def _is_graph(model: ModelSource) -> bool:
    return model.source.endswith(".onnx")


def _runtime(model: ModelSource) -> tuple[str, ...]:
    """The distributions that a vector depends on."""
    if _is_graph(model):
        return ("onnx", "onnxruntime", "tokenizers")
    return ("torch", "transformers", "tokenizers", "sentence-transformers")


def _open(search: Search, plan: Plan, folder: Path, cache: Path) -> Engine:
    """Load encoder and reranker; a corpus is opened later."""
    encoder = None if search.embedding is None else _encoder(search.embedding, plan, folder)
    search = search.of(folder)
    reranker = None
    if search.rerank is not None:
        from pytest_modellab.engines.search import rerank

        folder = convert.folder(search.rerank.files, cache)
        with opened.checked(search.rerank.files):
            reranker = rerank.load(folder, device=plan.device, dtype=plan.dtype)
    return Retriever(search, encoder, reranker)


def _encoder(embedding: Embedding, plan: Plan, folder: Path) -> Encoder:
    graph = _is_graph(plan.model)
    # by what the folder holds, so that a zip and a folder of the same model share their vectors
    files = locate.made(plan.model, folder)
    key = digest(
        [
            files.weights,
            files.tokenizer,
            # no document's vector depends on it
            dataclasses.asdict(dataclasses.replace(embedding, query_prompt=None)),
            plan.dtype,
            plan.device,
            onnx_graph.VERSION if graph else sentence.VERSION,
            {name: required(name) for name in _runtime(plan.model)},
        ]
    )[:16]
    prompts: dict[Role, str | None] = {
        "query": embedding.query_prompt,
        "passage": embedding.passage_prompt,
    }
    if graph:
        return onnx_graph.load(
            folder,
            key=key,
            prompts=prompts,
            max_tokens=embedding.max_tokens,
            pooling=embedding.pooling,
            output=embedding.output,
        )
    return sentence.load(
        folder,
        key=key,
        prompts=prompts,
        max_tokens=embedding.max_tokens,
        pooling=embedding.pooling,
        dtype=plan.dtype,
        device=plan.device,
        trust_remote_code=plan.model.trust_remote_code,
        allow_pickle=plan.model.allow_pickle,
    )
