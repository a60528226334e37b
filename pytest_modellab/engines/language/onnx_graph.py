"""The ONNX Runtime engine: a model as a graph with int8 weights, on the CPU.

:mod:`.onnx_export` makes the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import graphs, memory
from pytest_modellab.engines.batching import due, plan
from pytest_modellab.engines.interface import (
    Done,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
    Texts,
)
from pytest_modellab.engines.language import rolling
from pytest_modellab.engines.language.base import NAN, ChatEngine, answer_alone, load_tokenizer
from pytest_modellab.engines.language.onnx_export import INPUTS, quiet
from pytest_modellab.engines.language.packing import pack
from pytest_modellab.engines.loading import reading
from pytest_modellab.engines.packages import needed
from pytest_modellab.engines.tokens import encode, encode_requests
from pytest_modellab.errors import ModelError
from pytest_modellab.records.runs import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when scores may change: stored runs of another engine version are run again."""


def load(path: Path, folder: Path, *, trust_remote_code: bool = False) -> OnnxEngine:
    """Load a graph.

    Args:
        path: the graph's file.
        folder: the base model's, for tokenizer and end tokens.
        trust_remote_code: whether the tokenizer's own Python code may run.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: the file or the folder cannot be read.
        OutOfMemory: the graph does not fit.
        VariantLoadError: a library is missing.
    """
    with quiet():
        with needed("running a graph", extra="onnx"):
            import onnx
            import onnxruntime  # noqa: F401 -- asked for now, before any work is done
            import torch
            from transformers import AutoConfig, GenerationConfig
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
        with reading(folder, "transformers cannot load its tokenizer"):
            config = AutoConfig.from_pretrained(folder)
            if (folder / "generation_config.json").is_file():
                ends = GenerationConfig.from_pretrained(folder).eos_token_id
            else:
                ends = config.eos_token_id
    anew = f"; delete {path.parent} and run again, which makes it anew"
    threads = torch.get_num_threads()  # what a run record notes
    session = graphs.open_graph(path, threads=threads, advice=anew)
    inputs = tuple(value.name for value in session.get_inputs())
    if inputs != INPUTS:
        raise ModelError(
            f"{path}: takes {', '.join(inputs)}, but is asked with {', '.join(INPUTS)}{anew}"
        )
    graph = onnx.load(path, load_external_data=False).graph
    return OnnxEngine(
        session,
        tokenizer,
        ends if isinstance(ends, list) else [ends],
        parameter_bytes=graphs.parameter_bytes(graph),
        path=path,
        context_length=rolling.context_length(config, tokenizer),
    )


class OnnxEngine(ChatEngine):
    """Scores options and generates with a graph (see :func:`load`).

    One request is computed at a time: the activations' scale is that of all tokens computed
    together, so that in a batch an answer would depend on its neighbours.
    """

    def __init__(
        self,
        session: Any,
        tokenizer: Any,
        ends: Sequence[int],
        *,
        parameter_bytes: int,
        path: Path = Path(),
        context_length: tuple[int, bool] = (rolling.DEFAULT_WINDOW, False),
    ) -> None:
        super().__init__(tokenizer)
        self.path = path
        self.context_length = context_length
        self._session = session
        self._ends = ends
        self._parameter_bytes = parameter_bytes
        layers, _, _, heads, _, size = session.get_inputs()[-1].shape
        self._empty = (layers, 2, 1, heads, 0, size)

    @property
    def window(self) -> int | None:
        """How many tokens the model can see, or None where its configuration does not say it."""
        length, known = self.context_length
        return length if known else None

    def parameter_bytes(self) -> int:
        """Bytes of the graph's weights and scales."""
        return self._parameter_bytes

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the engine."""
        self._session = None

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        A context and its options lie in one row, under a mask that lets an option see the context
        and itself.

        Args:
            requests: contexts in the chat template with their options.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a request did not fit.
            ScoringError: an option has no token.
        """
        contexts, options = encode_requests(self.tokenizer, requests)
        lengths = [
            len(context) + sum(len(tokens) - 1 for tokens in row)
            for context, row in zip(contexts, options, strict=True)
        ]
        batches = due(plan(lengths, budget, padded=False), skip)
        answer_alone(batches, lambda i: self._scored(contexts[i], options[i]), done)

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request, greedily or with seeded draws (the Gumbel-max trick).

        Args:
            requests: contexts in the chat template with their token limits.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a request did not fit.
        """
        contexts = [encode(self.tokenizer, request.context) for request in requests]
        lengths = [
            len(context) + request.max_tokens
            for context, request in zip(contexts, requests, strict=True)
        ]
        batches = due(plan(lengths, budget, padded=True), skip)
        answer_alone(batches, lambda i: self._reply(contexts[i], requests[i]), done)

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Read every document, as :mod:`.rolling` says.

        Args:
            requests: documents.
            budget: tokens in a batch, after which ``done`` is called; each window is computed
                alone, and whole.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            OutOfMemory: a window did not fit.
            ScoringError: the model cannot see a window that is asked for.
        """
        length, known = self.context_length
        rolling.answer(
            self.tokenizer,
            requests,
            length=length,
            known=known,
            budget=budget,
            skip=skip,
            done=done,
            score=lambda rows: [self._read(row) for row in rows],
        )

    def _read(self, window: rolling.Window) -> float:
        """Return the log-likelihood of a window's targets, a row at a time for their memory."""
        import numpy as np

        logits = self._behind(window.tokens, range(len(window.context) - 1, len(window)))
        with np.errstate(invalid="ignore"):  # a NaN is the runner's to notice
            return math.fsum(
                float(_log_softmax(row)[token])
                for row, token in zip(logits, window.targets, strict=True)
            )

    def predictions(self, ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float64]:
        """Return the log-probabilities of the next token behind some places of a text.

        Args:
            ids: the text.
            places: from 0, in order.

        Returns:
            A row a place, a column a token.
        """
        return _log_softmax(self._behind(ids, places))

    def _behind(self, ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float32]:
        """Return the logits behind some places of a text whose tokens see those before them."""
        import numpy as np

        order = np.arange(len(ids))
        start = np.zeros(self._empty, np.float32)
        return self._run(ids, order, order[:, None] >= order, places, start)[0]

    def predict(
        self, texts: Texts, *, budget: int, skip: Set[int]
    ) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
        """Yield, the longest text first, its index and the log-probabilities of what comes next.

        Args:
            texts: what is read; each is computed alone, its shared beginning with it.
            budget: tokens in a batch.
            skip: indices that are left out.

        Raises:
            OutOfMemory: a text did not fit.
        """
        for batch in plan(texts.lengths, budget, padded=False):
            for i in batch:
                if i not in skip:
                    given = texts.ids[i][:-1]
                    places = range(len(given) - texts.places[i], len(given))
                    yield i, self.predictions(given, places)

    def _scored(self, context: list[int], options: Sequence[list[int]]) -> Output:
        import numpy as np

        row = pack([(context, options)])
        start = np.zeros(self._empty, np.float32)
        positions, sees = row.layout.positions, row.layout.sees()
        logits, _ = self._run(row.ids, positions, sees, row.keep, start)
        with np.errstate(invalid="ignore"):  # a NaN is the runner's to notice
            logprobs = _log_softmax(logits)
        picked: list[list[float]] = [[] for _ in options]
        for place, token, owner in zip(row.predicts, row.targets, row.owner, strict=True):
            picked[owner].append(float(logprobs[place, token]))
        return Output(
            text="",
            option_logprobs=tuple(map(math.fsum, picked)),
            tokens_in=len(context),
            tokens_out=sum(map(len, options)),
        )

    def _reply(self, context: list[int], request: GenerationRequest) -> Output:
        import numpy as np

        past = np.zeros(self._empty, np.float32)
        ids, nan = context, False
        reply: list[int] = []
        while len(reply) < request.max_tokens:
            seen = past.shape[4]
            positions = np.arange(seen, seen + len(ids))
            sees = positions[:, None] >= np.arange(seen + len(ids))
            rows, past = self._run(ids, positions, sees, [len(ids) - 1], past)
            logits = rows[0].astype(np.float64)
            nan = nan or bool(np.isnan(logits).any())
            if request.temperature > 0:
                random = np.random.default_rng(request.seed * 2**20 + len(reply))
                logits = logits / request.temperature + random.gumbel(size=len(logits))
            token = int(logits.argmax())
            if token in self._ends:
                break
            reply.append(token)
            ids = [token]
        return Output(
            text=self.tokenizer.decode(reply, skip_special_tokens=True),
            tokens_in=len(context),
            tokens_out=len(reply),
            failed=NAN if nan else "",
        )

    def _run(
        self,
        ids: Sequence[int] | NDArray[np.int64],
        positions: Sequence[int] | NDArray[np.int64],
        sees: NDArray[np.bool_],
        keep: Sequence[int] | NDArray[np.int64],
        past: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the logits at the places ``keep``, and keys and values of all tokens so far."""
        import numpy as np

        lowest = np.finfo(np.float32).min
        values = (
            np.array([ids], np.int64),
            np.array([positions], np.int64),
            np.where(sees, np.float32(0), lowest)[None, None],
            np.array(keep, np.int64),
            past,
        )
        with memory.graph_running_out():
            logits, present = self._session.run(None, dict(zip(INPUTS, values, strict=True)))
        return logits[0], present


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-probabilities of logits, a column a token."""
    import numpy as np

    logprobs = logits.astype(np.float64)
    logprobs -= logprobs.max(axis=-1, keepdims=True)
    logprobs -= np.log(np.exp(logprobs).sum(axis=-1, keepdims=True))
    return logprobs
