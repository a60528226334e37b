"""Kind ``embedding``: a model that turns texts into vectors, and how they are searched.

The model is loaded in this process, or a server has it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines import servers
from pytest_modellab.engines.encoders import onnx_graph, sentence
from pytest_modellab.engines.encoders import served as served_encoder
from pytest_modellab.engines.encoders.texts import POOLINGS, Similarity, read_prompts
from pytest_modellab.engines.interface import Encoder, Engine, Role
from pytest_modellab.engines.packages import required
from pytest_modellab.engines.search import approximate
from pytest_modellab.engines.search.forms import Form, Precision
from pytest_modellab.engines.search.rerank import Reranking
from pytest_modellab.engines.search.retriever import VERSION, Retriever
from pytest_modellab.engines.search.settings import Approximate, Embedding, Rerank, Search
from pytest_modellab.errors import ConfigError
from pytest_modellab.models import convert, locate, opened
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.setting import OPTIONAL, Setting, count, resolve
from pytest_modellab.variants import addresses
from pytest_modellab.variants.plan import DTYPE, Plan
from pytest_modellab.variants.prompt import Prompt

AS_IT_IS = Prompt("{% block user %}{{ input }}{% endblock %}")
"""A query is asked as it stands in the task set; prompts are the encoder's."""


_NAME = Setting(str, OPTIONAL, check=lambda name: bool(name.strip()), wrong="{value!r} is no name")


TEXT = {
    "query_prompt": Setting(str, OPTIONAL),
    "passage_prompt": Setting(str, OPTIONAL),
    "pooling": Setting(str, OPTIONAL, choices=POOLINGS),
    "output": Setting(str, OPTIONAL),
    "max_tokens": count(),
    "query_input_type": _NAME,
    "passage_input_type": _NAME,
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
    **addresses.MAYBE,
    "reference": Setting(str, OPTIONAL, path=True),
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
            "model": Setting(str, OPTIONAL),
            **addresses.MAYBE,
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
    source = _source(spec, options, base, model, root)
    inherited = before if before is not None and before.embedding is not None else Search(None)
    # behind a server the base's model is named to be compared with: it is no other one
    same = source.served is not None and base is not None and base.model == model
    text = inherited.embedding if spec.model is None or same else None
    embedding = dataclasses.replace(
        text or Embedding(), **{k: v for k, v in options.items() if k in TEXT}
    )
    if source.served is None:
        embedding = _in_process(embedding, options, source)
    else:
        embedding = _behind(embedding, options, source)
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
    dtype, device = _computed(options, source, base, search)
    return Plan(
        model=source.model,
        prompt=AS_IT_IS,
        dtype=dtype,
        device=device,
        packages=tuple(dict.fromkeys(_packages(search, source))),
        search=search,
        engine=f"retriever-{VERSION}-{source.version}",
        open=functools.partial(_open, search),
        served=source.served,
    )


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where vectors come from.

    Attributes:
        model: what computes them; of a server, what it should have, where that is declared.
        served: the server, or None for a model in this process.
    """

    model: ModelSource
    served: Served | None

    @property
    def graph(self) -> bool:
        """Whether the model is an .onnx file."""
        return _is_graph(self.model)

    @property
    def version(self) -> str:
        """Which engine makes them."""
        if self.served is not None:
            return f"served-{served_encoder.VERSION}"
        return str((onnx_graph if self.graph else sentence).VERSION)


def _source(
    spec: VariantSpec, options: Mapping[str, Any], base: Plan | None, model: ModelSource, root: Path
) -> _Source:
    """Find where vectors come from: a declared server, the base's, or a model in this process."""
    own = {k: v for k, v in options.items() if k in addresses.MAYBE or k == "reference"}
    before = base.served if base is not None else None
    if "url" in own or "url_env" in own:
        server = _referring(addresses.served(own, root, "embeddings"), own, root)
        return _Source(model if spec.model is not None else NO_MODEL, server)
    if before is None or (spec.model is not None and not own):
        if own:
            raise ConfigError(f"{next(iter(own))}: is of a server; give its address, too: url")
        if model == NO_MODEL:
            raise ConfigError(
                "model: missing; name the embedding model, declared in [models], or give the "
                "address of a server that has one: url"
            )
        return _Source(model, None)
    assert base is not None
    server = addresses.changed(before, own, root)
    if server.address.model != before.address.model:  # another model has other vectors
        server = dataclasses.replace(server, reference=None)
        return _Source(model if spec.model is not None else NO_MODEL, _referring(server, own, root))
    server = _referring(server, own, root)
    return _Source(base.model if spec.model is None else model, server)


def _referring(server: Served, own: Mapping[str, Any], root: Path) -> Served:
    """Return a server with the declared file of a text's vector, if there is one."""
    if "reference" not in own:
        return server
    file = root / Path(own["reference"]).expanduser()
    if not file.is_file():
        raise ConfigError(f"reference: no such file: {file}")
    return dataclasses.replace(server, reference=file)


def _in_process(embedding: Embedding, options: Mapping[str, Any], source: _Source) -> Embedding:
    """Check what is declared of a model in this process."""
    for name in ("query_input_type", "passage_input_type"):
        if name in options:
            raise ConfigError(f"{name}: is sent to a server; give its address: url")
    if embedding.output is not None and not source.graph:
        raise ConfigError("output: belongs to an .onnx file")
    return dataclasses.replace(embedding, query_input_type=None, passage_input_type=None)


def _behind(embedding: Embedding, options: Mapping[str, Any], source: _Source) -> Embedding:
    """Check what is declared of a model behind a server, and leave out what only processes have."""
    if "max_tokens" in options:
        raise ConfigError(
            "max_tokens: a server cuts texts off by itself; set its own limit, and leave this out"
        )
    for role in ("query", "passage"):
        prompt, kind = f"{role}_prompt", f"{role}_input_type"
        if prompt in options and kind in options:
            raise ConfigError(
                f"{kind}: {prompt} is given, too, and texts would get two prefixes: keep this one "
                "where the server puts them itself, else that one"
            )
        if prompt in options or kind in options:  # in place of the base's
            embedding = dataclasses.replace(
                embedding, **{kind if prompt in options else prompt: None}
            )
    if source.model != NO_MODEL:
        return dataclasses.replace(embedding, max_tokens=None)
    for name in ("pooling", "output"):
        if name in options:
            raise ConfigError(
                f"{name}: the server decides it; with model, which names what the server should "
                "have, it says how that is asked in this process, to be compared with"
            )
    return dataclasses.replace(embedding, max_tokens=None, pooling=None, output=None)


def _computed(
    options: Mapping[str, Any], source: _Source, base: Plan | None, search: Search
) -> tuple[str, str]:
    """Return in what numbers, and on which device, this process computes."""
    graph, served = source.graph, source.served is not None
    runs = None if graph or served else base  # a graph runs where and as it is
    dtype = options.get("dtype", runs.dtype if runs is not None and runs.dtype else "float32")
    device = options.get("device", runs.device if runs is not None else "cpu")
    reranks = search.rerank is not None and search.rerank.served is None
    for name in ("dtype", "device"):
        if served and not reranks and name in options:
            raise ConfigError(f"{name}: the server decides it; leave this out")
    if graph and not served and (dtype, device) != ("float32", "cpu"):
        raise ConfigError(
            f"{'dtype' if dtype != 'float32' else 'device'}: an .onnx file runs on the CPU in the "
            "numbers that it holds"
        )
    return dtype, device


def _packages(search: Search, source: _Source) -> Iterator[str]:
    """Yield the distributions that a ranking depends on."""
    if source.served is None:
        yield from (*runtime(source.model), "sentence-transformers")  # quantizes vectors, too
    else:
        yield from servers.PACKAGES
        if search.form.quantized:
            yield "sentence-transformers"
    if search.rerank is not None:
        yield from ("torch", "transformers") if search.rerank.served is None else servers.PACKAGES
    if search.lexical:
        yield "bm25s"
    if search.index is not None:
        yield "faiss-cpu"


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
    """Read ``rerank = { model = "path/to/cross-encoder", top = 50 }``, or that of a server."""
    own = {name: value for name, value in options.items() if name in addresses.MAYBE}
    local = options.get("model")
    try:
        if (local is None) == ("url" not in own and "url_env" not in own):
            raise ConfigError(
                "model: name a cross-encoder: a folder, package, hub id; or give the address of a "
                "server that has one, url; one of the two"
            )
        if local is not None:
            for name in own:
                raise ConfigError(f"{name}: is of a server; leave it out, or give its address: url")
            return Rerank(ModelSource(f"{spec.name}.rerank", local), root, options["top"])
        server = addresses.served(own, root, "rerank")
    except ConfigError as error:
        raise ConfigError(f"rerank.{error}") from error
    return Rerank(NO_MODEL, root, options["top"], server)


def _is_graph(model: ModelSource) -> bool:
    return model.source.endswith(".onnx")


def runtime(model: ModelSource) -> tuple[str, ...]:
    """The distributions that a vector depends on."""
    if _is_graph(model):
        return ("onnx", "onnxruntime", "tokenizers")
    return ("torch", "transformers", "tokenizers", "sentence-transformers")


def _open(search: Search, plan: Plan, folder: Path, cache: Path) -> Engine:
    """Load encoder and reranker; a corpus is opened later."""
    declared = None if plan.model is NO_MODEL else folder
    with contextlib.ExitStack() as opened_first:
        encoder: Encoder | None = None
        if search.embedding is not None and plan.served is not None:
            encoder = _behind_server(search.embedding, plan.served, declared)
        elif search.embedding is not None:
            encoder = in_process(search.embedding, plan, folder)
        if encoder is not None:
            opened_first.callback(encoder.close)
        reranker = None if search.rerank is None else _reranker(search.rerank, plan, cache)
        opened_first.pop_all()
    return Retriever(search.of(declared), encoder, reranker)


def _reranker(found: Rerank, plan: Plan, cache: Path) -> Reranking:
    from pytest_modellab.engines.search import rerank, served_rerank

    if found.served is not None:
        return served_rerank.ServedReranker(servers.opened(found.served), found.served.together)
    folder = convert.folder(found.files, cache)
    with opened.checked(found.files):
        return rerank.load(folder, device=plan.device, dtype=plan.dtype)


def _behind_server(embedding: Embedding, found: Served, folder: Path | None) -> Encoder:
    declared: dict[Role, str | None] = {
        "query": embedding.query_prompt,
        "passage": embedding.passage_prompt,
    }
    prompts: dict[Role, str] = {role: one or "" for role, one in declared.items()}
    if folder is not None:
        prompts = read_prompts(folder, declared)
    types: dict[Role, str | None] = {
        "query": embedding.query_input_type,
        "passage": embedding.passage_input_type,
    }
    prompts |= {role: "" for role in prompts if types[role] is not None}  # the server puts its own
    key = digest(
        [
            dict(found.identity),
            prompts["passage"],
            embedding.passage_input_type,
            served_encoder.VERSION,
        ]
    )
    return served_encoder.ServedEncoder(
        servers.opened(found),
        key=key[:16],
        prompts=prompts,
        input_types={role: one for role, one in types.items() if one is not None},
        together=found.together,
    )


def in_process(embedding: Embedding, plan: Plan, folder: Path) -> Encoder:
    """Load an embedding model.

    Args:
        embedding: how texts become vectors.
        plan: whose model it is, in what numbers, and on which device.
        folder: the model's.

    Raises:
        ModelError: its files cannot be read, or nothing says how it pools.
        VariantLoadError: a library is missing.
    """
    graph = _is_graph(plan.model)
    # by what the folder holds, so that a zip and a folder of the same model share their vectors
    files = locate.made(plan.model, folder)
    key = digest(
        [
            files.weights,
            files.tokenizer,
            # no document's vector depends on it
            dataclasses.replace(embedding, query_prompt=None).identity(),
            plan.dtype,
            plan.device,
            onnx_graph.VERSION if graph else sentence.VERSION,
            {name: required(name) for name in runtime(plan.model)},
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
