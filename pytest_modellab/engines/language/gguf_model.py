"""The llama.cpp engine: a GGUF file as it is, through the package xllamacpp.

Prompts are rendered and cut into tokens by the base's tokenizer, and token ids are sent, so that
file and base answer the very same prompts.
"""

from __future__ import annotations

import http.client
import json
import math
import secrets
import urllib.parse
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.batching import common_prefix, due, plan
from pytest_modellab.engines.interface import (
    Done,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
)
from pytest_modellab.engines.language import gguf_tokenizer, rolling
from pytest_modellab.engines.language.base import NAN, ChatEngine, answer_alone, load_tokenizer
from pytest_modellab.engines.language.llamacpp_server import start
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.packages import needed
from pytest_modellab.engines.tokens import encode, encode_requests
from pytest_modellab.errors import ScoringError
from pytest_modellab.records.runs import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when scores may change: stored runs of another engine version are run again."""


ROOM = 512
"""Tokens of context are reserved in multiples of this."""


BIAS = 1e6
"""Added to the logit of the token that is to be generated."""


LOOKED_UP = 2000
"""Tokens among which one is looked up before all are."""


LEAST = math.log(2.0**-149)
"""llama.cpp computes a probability as a float32; this is the logarithm of the least above 0."""


def load(path: Path, folder: Path, *, trust_remote_code: bool = False) -> LlamaCppEngine:
    """Load a GGUF file.

    Args:
        path: the file.
        folder: the base model's, for its tokenizer.
        trust_remote_code: whether the tokenizer's own Python code may run.

    Returns:
        The engine, ready to answer.

    Raises:
        ModelError: the file or the folder cannot be read.
        VariantLoadError: a library is missing, or the file's tokenizer is not the base's.
    """
    with quiet():
        with needed("running a GGUF file", extra="llamacpp"):
            import transformers  # noqa: F401 -- asked for now, before any work is done
            import xllamacpp  # noqa: F401
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    header = gguf_tokenizer.read(path)
    gguf_tokenizer.check(header, tokenizer)
    engine = LlamaCppEngine(header, tokenizer)
    gguf_tokenizer.check_probes(header, tokenizer, engine.tokenize)
    return engine


class LlamaCppEngine(ChatEngine):
    """Scores options and generates with a GGUF file (see :func:`load`).

    llama.cpp computes the same token with other rounding alone and among others, and keeps what it
    has computed of the last prompt. So one request is computed at a time, and each begins with
    exactly the shared prefix in that memory: an answer does not depend on what was asked before.
    """

    def __init__(self, header: gguf_tokenizer.Header, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._header = header
        self._key = secrets.token_hex()  # the server also listens on a local port
        self._letter = next(
            k for k, t in enumerate(header.vocabulary.tokens) if t and t.isascii() and t.isalpha()
        )
        self._room = 0
        self._server: Any = None
        self._reserve(1)

    @property
    def window(self) -> int:
        """How many tokens the file was trained for."""
        return self._header.context_length

    def parameter_bytes(self) -> int:
        """Bytes of the file's tensors; llama.cpp holds them as they are."""
        return self._header.parameter_bytes

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the engine."""
        self._server, self._room = None, 0

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood.

        llama.cpp tells the likelihood of the tokens that it generates, not of those in a prompt.
        So each token of an option is made the one that is generated, by a bias; the likelihoods
        are those of the model's own distribution, before the bias and sampling
        (``post_sampling_probs`` is off). A grammar that allows one token alone would do it in one
        request, but llama.cpp aborts the process where that token is part of a character.

        Args:
            requests: contexts in the chat template with their options.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            ScoringError: an option has no token, or a prompt is too long for the file.
        """
        contexts, options = encode_requests(self.tokenizer, requests)
        prefix = common_prefix(contexts)
        lengths = [
            len(context) - prefix + sum(len(tokens) for tokens in row)
            for context, row in zip(contexts, options, strict=True)
        ]
        self._begin(contexts, prefix, [max(map(len, row), default=0) for row in options])
        answer_alone(
            due(plan(lengths, budget, padded=False), skip),
            lambda i: self._scored(contexts[i], options[i], prefix),
            done,
        )

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request, greedily or with seeded draws from the model's distribution.

        Args:
            requests: contexts in the chat template with their token limits.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            ScoringError: a prompt is too long for the file.
        """
        contexts = [encode(self.tokenizer, request.context) for request in requests]
        prefix = common_prefix(contexts)
        limits = [request.max_tokens for request in requests]
        lengths = [len(c) - prefix + limit for c, limit in zip(contexts, limits, strict=True)]
        self._begin(contexts, prefix, limits)
        answer_alone(
            due(plan(lengths, budget, padded=True), skip),
            lambda i: self._reply(contexts[i], requests[i], prefix),
            done,
        )

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Read every document, as :mod:`.rolling` says; each token is a request of its own.

        Args:
            requests: documents.
            budget: tokens in a batch, after which ``done`` is called; each is computed alone.
            skip: indices that need no answer.
            done: called after each batch.

        Raises:
            ScoringError: the file cannot see a window that is asked for.
        """
        rolling.answer(
            self.tokenizer,
            requests,
            length=self._header.context_length,
            known=True,
            budget=budget,
            skip=skip,
            done=done,
            score=lambda rows: [self._read(row) for row in rows],
        )

    def _read(self, window: rolling.Window) -> float:
        """Return the log-likelihood of a window's targets."""
        self._reserve(len(window))
        return self._scored(window.context, [window.targets], 0).option_logprobs[0]

    def predictions(self, ids: Sequence[int], places: Sequence[int]) -> NDArray[np.float64]:
        """Return the log-probabilities of the next token behind some places of a text.

        Args:
            ids: the text.
            places: from 0, in order.

        Returns:
            A row a place, a column a token.

        Raises:
            ScoringError: the text is too long for the file.
        """
        import numpy as np

        count = len(self._header.vocabulary.tokens)
        self._reserve(len(ids) + 1)
        rows = np.full((len(places), count), LEAST)
        for row, place in zip(rows, places, strict=True):
            forced = [[self._letter, BIAS]]
            answer = self._ask(ids[: place + 1], 1, cached=False, logit_bias=forced, n_probs=count)
            for generated in _generated(answer):
                for told in (generated, *generated["top_logprobs"]):
                    row[told["id"]] = _logprob(told)
        return rows

    def tokenize(self, text: str) -> list[int]:
        """Cut a text into tokens as llama.cpp does; xllamacpp has this on its local port only."""
        address = urllib.parse.urlsplit(self._server.listening_address)
        connection = http.client.HTTPConnection(str(address.hostname), address.port)
        try:
            connection.request(
                "POST",
                "/tokenize",
                json.dumps({"content": text, "add_special": False, "parse_special": True}),
                {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            )
            return list(json.loads(connection.getresponse().read())["tokens"])
        finally:
            connection.close()

    def _scored(
        self, context: Sequence[int], options: Sequence[Sequence[int]], prefix: int
    ) -> Output:
        self._rewind(context, prefix)
        if len(context) - 1 > prefix:
            self._ask(context[:-1], cached=prefix > 0)
        return Output(
            text="",
            option_logprobs=tuple(self._likelihood(context, option) for option in options),
            tokens_in=len(context),
            tokens_out=sum(map(len, options)),
        )

    def _reply(self, context: Sequence[int], request: GenerationRequest, prefix: int) -> Output:
        self._rewind(context, prefix)
        answer = self._ask(
            context,
            request.max_tokens,
            cached=prefix > 0,
            temperature=request.temperature,
            seed=request.seed % (2**32 - 1),  # the largest stands for a random one
        )
        ended = answer["choices"][0]["finish_reason"] == "stop"
        nan = any(math.isnan(_logprob(told)) for told in _generated(answer))
        return Output(
            text=answer["choices"][0]["text"],
            tokens_in=len(context),
            tokens_out=answer["usage"]["completion_tokens"] - ended,  # its end is no part of it
            failed=NAN if nan else "",
        )

    def _likelihood(self, context: Sequence[int], option: Sequence[int]) -> float:
        """Return an option's log-likelihood; each token is computed alone, so is the last one."""
        return math.fsum(
            self._of_token([*context, *option[:place]], token) for place, token in enumerate(option)
        )

    def _of_token(self, prompt: Sequence[int], token: int) -> float:
        """Return how likely a token is to follow a prompt.

        It is made the one that is generated. llama.cpp tells nothing of a generated token that is
        part of a character; such a one is looked up among the likeliest, then among all (which
        takes 20 times as long), while a letter is generated.
        """
        for forced, count in (
            (token, 1),
            (self._letter, LOOKED_UP),
            (self._letter, len(self._header.vocabulary.tokens)),
        ):
            answer = self._ask(prompt, 1, logit_bias=[[forced, BIAS]], n_probs=count)
            for generated in _generated(answer):
                for told in (generated, *generated["top_logprobs"]):
                    if told["id"] == token:
                        return _logprob(told)
        raise ScoringError(f"llama.cpp knows no token {token}")

    def _begin(self, contexts: Sequence[Sequence[int]], prefix: int, limits: Sequence[int]) -> None:
        """Make room for the longest request, and compute what all share but its last token."""
        if contexts:
            self._reserve(max(len(c) + limit for c, limit in zip(contexts, limits, strict=True)))
        if prefix > 1:
            self._ask(contexts[0][: prefix - 1], cached=False)

    def _rewind(self, context: Sequence[int], prefix: int) -> None:
        """Forget all but the shared prefix; its last token is computed again, always alone."""
        if prefix:
            self._ask(context[:prefix])

    def _ask(
        self, prompt: Sequence[int], limit: int = 0, *, cached: bool = True, **settings: Any
    ) -> Mapping[str, Any]:
        """Return llama.cpp's answer: what follows a prompt.

        Args:
            prompt: token ids.
            limit: most tokens; at 0 the prompt is only computed.
            cached: whether what is known of the last prompt is used.
            **settings: of the request, beside greedy decoding.
        """
        answer: Mapping[str, Any] = self._server.handle_completions(
            {
                "prompt": list(prompt),
                "n_predict": limit,
                "n_probs": 1,
                "cache_prompt": cached,
                "samplers": ["temperature"],  # no top-k, top-p or min-p
                "temperature": 0.0,
                **settings,
            }
        )
        if "error" in answer:
            raise ScoringError(f"llama.cpp refused a request: {answer['error'].get('message')}")
        return answer

    def _reserve(self, tokens: int) -> None:
        """Make room for a context; llama.cpp takes it once, when the file is loaded."""
        if tokens > self._header.context_length:
            raise ScoringError(
                f"a prompt and its answer have {tokens} tokens, more than the "
                f"{self._header.context_length} that {self._header.path} was trained for"
            )
        if tokens >= self._room:
            import torch  # a run record notes its number of threads

            self._server = None  # its memory first
            self._room = (tokens // ROOM + 1) * ROOM
            self._server = start(self._header.path, self._room, self._key, torch.get_num_threads())


def _generated(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tokens that llama.cpp tells of; none where none was a whole character."""
    return list((answer["choices"][0]["logprobs"] or {"content": ()})["content"])


def _logprob(told: Mapping[str, Any]) -> float:
    value = told["logprob"]  # JSON has no NaN
    return math.nan if value is None else max(value, LEAST)
