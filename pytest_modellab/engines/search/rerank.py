"""Reranking: a cross-encoder reads query and document together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pytest_modellab.engines import memory, state
from pytest_modellab.engines.loading import loading, quiet
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ModelError, OutOfMemory
from pytest_modellab.models import weights

DECIMALS = 6
"""To which scores are rounded; in float32 further digits are noise."""


BATCH = 32
"""Documents that are read at once, less where memory runs out."""


SHOWN = 60
"""Characters of a document that a message shows."""


def load(
    folder: Path,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    max_tokens: int | None = None,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Reranker:
    """Load a cross-encoder with sentence-transformers.

    Args:
        folder: what ``save_pretrained`` wrote.
        device: ``cpu``, ``cuda`` …
        dtype: name of a torch dtype.
        max_tokens: to which query and document together are cut; None for the model's own limit.
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Raises:
        ModelError: the folder cannot be read, its weights are not all there, or the model does not
            give one score.
        VariantLoadError: sentence-transformers is missing.
    """
    with quiet():
        with needed("reranking", extra="embedding"):
            import torch
            from sentence_transformers import CrossEncoder
        problem = "sentence-transformers cannot load it as a cross-encoder"
        with loading(folder, problem, device=device, code=trust_remote_code) as fits:
            weights.check_files(folder)
            model = CrossEncoder(
                str(folder),
                device=device,
                max_length=max_tokens,
                trust_remote_code=trust_remote_code,
                local_files_only=True,
                model_kwargs={
                    "dtype": getattr(torch, dtype),
                    "use_safetensors": None if allow_pickle else True,
                },
                # the bare logit: a sigmoid has the same order until it rounds to 0 or 1
                activation_fn=torch.nn.Identity(),
            )
    for fit in fits:
        weights.check_body(folder, fit)
    if model.num_labels != 1:
        raise ModelError(
            f"{folder}: a reranker gives one score, but this model gives {model.num_labels}; "
            "choose a cross-encoder with num_labels = 1"
        )
    reranker = Reranker(model.eval())
    weights.unused(folder, fits, lambda: reranker.rerank("a", ["a"]))
    return reranker


class Reranking(Protocol):
    """A second stage that is loaded, or behind a server."""

    def rerank_each(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Score documents.

        Args:
            asked: queries, each with any number of documents.

        Returns:
            For each query one score a document in the same order, higher for more relevant,
            unbounded.

        Raises:
            ModelError: a score is NaN or infinite; the message names the document.
            OutOfMemory: a batch of one did not fit.
        """

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""


class Reranker:
    """Scores documents for a query with a cross-encoder (see :func:`load`).

    Args:
        model: of sentence-transformers, with one score and no activation.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.device: str = model.device.type

    def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Score documents.

        Args:
            query: what is asked.
            documents: any number.

        Returns:
            One score a document in the same order, higher for more relevant, unbounded.

        Raises:
            ModelError: a score is NaN or infinite; the message names the document.
            OutOfMemory: a batch of one did not fit.
        """
        pairs = [(query, document) for document in documents]
        scores = [round(score, DECIMALS) for score in self._predict(pairs, BATCH)]
        for number, (score, document) in enumerate(zip(scores, documents, strict=True), start=1):
            if not math.isfinite(score):
                raise ModelError(
                    f"the reranker's score is {score} for document {number} of {len(documents)}: "
                    f"{document[:SHOWN]!r}; load it in float32, or choose another reranker"
                )
        return scores

    def rerank_each(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Score the documents of each query, one query after the other."""
        return [self.rerank(*one) if one[1] else [] for one in asked]

    def _predict(self, pairs: Sequence[tuple[str, str]], batch: int) -> list[float]:
        try:
            with memory.running_out():
                return list(
                    self.model.predict(pairs, batch_size=batch, show_progress_bar=False).tolist()
                )
        except OutOfMemory:
            if batch == 1:
                raise
        return self._predict(pairs, batch // 2)  # out here, where the error holds no memory

    def state(self) -> state.State:
        """What the model is: a hash of each of its tensors."""
        return state.hashes(self.model)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        return memory.parameter_bytes(self.model)

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""
        memory.empty(self.model, self.device)
