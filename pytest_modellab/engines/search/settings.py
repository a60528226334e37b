"""How a variant ranks a corpus: what ``modellab.toml`` declares, before anything is loaded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.encoders.texts import CONFIG, read_own
from pytest_modellab.engines.search.forms import Form
from pytest_modellab.errors import ModelError
from pytest_modellab.models import locate
from pytest_modellab.models.files import NO_FILES, ModelFiles
from pytest_modellab.records.declared import ModelSource


@dataclasses.dataclass(frozen=True)
class Embedding:
    """How texts become vectors.

    Attributes:
        query_prompt: put before a query; None takes the model's own.
        passage_prompt: put before a document; None takes the model's own.
        pooling: how token vectors become one, where the model's folder does not say it.
        output: of an ONNX graph the output that is taken, or None for the usual one.
        max_tokens: tokens after which a text is cut off; None takes the model's own.
        query_input_type: what a request to a server says that its texts are, where they are
            queries; None for nothing.
        passage_input_type: the same of documents.
    """

    query_prompt: str | None = None
    passage_prompt: str | None = None
    pooling: str | None = None
    output: str | None = None
    max_tokens: int | None = None
    query_input_type: str | None = None
    passage_input_type: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return all that a vector depends on; what only servers have stands there if given."""
        found = dataclasses.asdict(self)
        for name in ("query_input_type", "passage_input_type"):
            if found[name] is None:
                del found[name]
        return found


@dataclasses.dataclass(frozen=True)
class Approximate:
    """An approximate index: ``hnsw`` or ``ivf``, and its library's settings."""

    kind: str
    settings: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Rerank:
    """A cross-encoder that orders the best documents anew.

    Attributes:
        model: where it is; none where a server has it.
        root: the folder that a relative path starts from.
        top: how many documents of the first search it sees.
        served: the server that has it, or None.
    """

    model: ModelSource
    root: Path
    top: int
    served: Served | None = None

    @functools.cached_property
    def files(self) -> ModelFiles:
        """Its files, found and hashed once.

        Raises:
            ModelError: they are missing or damaged.
        """
        return locate.locate(self.model, self.root)

    def identity(self) -> Sequence[Any]:
        """Return all that its scores depend on.

        Raises:
            ModelError: its files are missing or damaged.
            EndpointError: its server does not answer, or has no such model.
        """
        if self.served is not None:
            return [dict(self.served.identity)]
        return [self.files.weights, self.files.tokenizer]


@dataclasses.dataclass(frozen=True)
class Search:
    """How a corpus is ranked.

    Attributes:
        embedding: how texts become vectors; None for BM25 alone.
        form: how vectors are kept in the index.
        rescore: how many times as many documents a quantized index proposes as are asked for, to
            be ordered by the query's full vector; 1 for no rescoring.
        index: an approximate index, or None for exact search.
        fusion: the constant of reciprocal rank fusion with BM25, or None for one ranking alone.
        rerank: a second stage, or None.
    """

    embedding: Embedding | None
    form: Form = dataclasses.field(default_factory=Form)
    rescore: int = 1
    index: Approximate | None = None
    fusion: int | None = None
    rerank: Rerank | None = None

    @property
    def lexical(self) -> bool:
        """Whether BM25 takes part."""
        return self.embedding is None or self.fusion is not None

    def of(self, model: Path | None) -> Search:
        """Return the search with what the embedding model says of it where nothing is declared.

        Args:
            model: the folder or zip that holds its ``config_sentence_transformers.json``; None
                where no model is declared.

        Raises:
            ModelError: that file is damaged, or asks for what cannot be done.
        """
        if self.embedding is None or model is None:
            return self
        own = read_own(model)
        form = dataclasses.replace(
            self.form,
            similarity=self.form.similarity or own.similarity,
            dimensions=self.form.dimensions or own.dimensions,
        )
        if problem := form.problem(indexed=self.index is not None):
            raise ModelError(f"{model}: {CONFIG} says similarity_fn_name = {problem}")
        return dataclasses.replace(self, form=form)

    def identity(self, files: ModelFiles) -> dict[str, Any]:
        """Return all that a ranking depends on, beside the embedding model's files.

        Args:
            files: those, for what they say of the search.

        Raises:
            ModelError: as :meth:`of`, or the reranker's files are missing or damaged.
        """
        model = None if files == NO_FILES else (files.tokenizer_files or files).path
        form = self.of(model).form
        found: dict[str, Any] = {
            "embedding": self.embedding.identity() if self.embedding else None,
            "form": form.identity(),
            "rescore": self.rescore,
            "index": dataclasses.asdict(self.index) if self.index else None,
            "fusion": self.fusion,
        }
        if self.rerank is not None:
            found["rerank"] = [*self.rerank.identity(), self.rerank.top]
        return found
