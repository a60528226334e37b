"""The engines of served models: an OpenAI-compatible server is asked over HTTP."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab.endpoints import replies, served
from pytest_modellab.endpoints.asking import Asking
from pytest_modellab.endpoints.replies import Reply
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines import servers
from pytest_modellab.engines.interface import (
    WORDS,
    Ability,
    Done,
    GenerationRequest,
    ScoringRequest,
)
from pytest_modellab.engines.language import likelihoods
from pytest_modellab.engines.language.base import NAN, ChatEngine, load_tokenizer
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.tokens import encode, encode_requests
from pytest_modellab.errors import EndpointError, ScoringError
from pytest_modellab.records.runs import Output

VERSION = 1
"""Raised when scores may change: stored runs of another engine version are run again."""

TOKENIZING = ("transformers", "tokenizers")
"""Distributions that completions need beside them."""

TOO_LONG = re.compile(
    r"context[ _](?:length|size|window)|too many tokens|(?:prompt|input) (?:is|was) too long",
    re.IGNORECASE,
)
"""What servers say of a prompt that is longer than their context."""

UNTOLD = (
    "it is asked by chat, whose messages the server turns into tokens: how likely an option is can "
    'be asked with api = "completions" and a model, whose tokenizer it has'
)

UNKNOWN = (
    "how this server tells the likelihood of given tokens is not known: llama.cpp's and vLLM's are"
)


def load(found: Served, folder: Path | None, *, trust_remote_code: bool = False) -> Any:
    """Open the engine of a served model.

    Args:
        found: where it is, and what it says of itself.
        folder: of the model whose tokenizer and template the server has; None where none is
            declared, and only chats can be asked.
        trust_remote_code: whether the tokenizer's own Python code may run.

    Raises:
        EndpointError: the server does not answer, or has no such model.
        VariantLoadError: a library is missing.
    """
    asking = servers.opened(found)
    if found.api == "chat":
        return ChatsEngine(asking)
    assert folder is not None  # the kind asks for a model
    with quiet():
        tokenizer = load_tokenizer(folder, trust_remote_code=trust_remote_code)
    return CompletionsEngine(asking, tokenizer)


class _Served:
    """What the engines of a server share: each request is one reply of it."""

    _asking: Asking

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request.

        Args:
            requests: contexts of ``render`` with their token limits.
            budget: not used: the server makes its own batches.
            skip: indices that need no answer.
            done: called with what has arrived.

        Raises:
            EndpointError: the server fails, or has changed.
        """
        self._asking.answer(len(requests), skip, lambda index: self._answer(requests[index]), done)

    def _answer(self, request: GenerationRequest) -> Output:
        try:
            return self._reply(request)
        except EndpointError as error:
            if error.status in (400, 413, 422) and TOO_LONG.search(str(error)):
                return Output(text="", failed=f"the server refuses its prompt: {error}")
            raise

    def environment(self) -> Mapping[str, Any]:
        """A server runs it, which does not say on what; no threads of this process decide."""
        return {"threads": 0, "device": "server"}

    def parameter_bytes(self) -> int:
        """Bytes of the model's parameters, as far as the server tells them."""
        return self._asking.parameter_bytes()

    def close(self) -> None:
        """End the connections."""
        self._asking.client.close()

    def _reply(self, request: GenerationRequest) -> Output:
        raise NotImplementedError


class ChatsEngine(_Served):
    """Generates by chat completions; the server has template and tokenizer.

    Args:
        asking: the server.
    """

    abilities: frozenset[Ability] = frozenset({"generate"})
    lacks = UNTOLD
    """Why it scores no options."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Keep chat messages as JSON: the server puts them into its template."""
        return json.dumps(list(map(dict, messages)), ensure_ascii=False)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score nothing.

        Raises:
            ScoringError: an option is to be scored.
        """
        if requests:
            raise ScoringError(f"options cannot be scored: {self.lacks}")

    def seed(self, seed: int) -> None:
        """Nothing is drawn but by a request's own seed."""

    def _reply(self, request: GenerationRequest) -> Output:
        body = {"messages": json.loads(request.context), **_settings(self._asking, request)}
        return _output(replies.chat(self._asking.post("/chat/completions", body)), request)


class CompletionsEngine(_Served, ChatEngine):
    """Generates by completions of token numbers, and scores options where the server tells how.

    Args:
        asking: the server.
        tokenizer: of the declared model; the server's vocabulary is taken to be the same.
    """

    def __init__(self, asking: Asking, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        self._asking = asking
        self._likelihood = likelihoods.way(asking.software)
        self.abilities = WORDS if self._likelihood is not None else frozenset({"generate"})
        self.lacks = UNKNOWN
        """Why it scores no options, where it does not."""

    @property
    def window(self) -> int | None:
        """How many tokens the server takes at once, as far as it tells."""
        return served.context_length(self._asking.identity)

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option of every request by likelihood, as :mod:`.likelihoods` says.

        Args:
            requests: contexts in the chat template with their options.
            budget: not used: the server makes its own batches.
            skip: indices that need no answer.
            done: called with what has arrived.

        Raises:
            EndpointError: the server fails, or has changed.
            ScoringError: an option has no token, or the server tells no likelihoods.
        """
        if not requests:
            return
        likelihood = self._likelihood
        if likelihood is None:
            raise ScoringError(f"options cannot be scored: {self.lacks}")
        contexts, options = encode_requests(self.tokenizer, requests)

        def ask(index: int) -> Output:
            context, row = contexts[index], options[index]
            scored = [likelihood(self._complete, context, option) for option in row]
            return Output(
                text="",
                option_logprobs=tuple(scored),
                tokens_in=len(context),
                tokens_out=sum(map(len, row)),
            )

        self._asking.answer(len(requests), skip, ask, done)

    def _reply(self, request: GenerationRequest) -> Output:
        context = encode(self.tokenizer, request.context)
        raw = self._complete({"prompt": context, **_settings(self._asking, request)})
        output = _output(replies.completion(raw), request)
        return dataclasses.replace(output, tokens_in=output.tokens_in or len(context))

    def _complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._asking.post("/completions", body)


def _settings(asking: Asking, request: GenerationRequest) -> dict[str, Any]:
    """Return the fields of a request that say how its reply is decoded."""
    return {
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
        "seed": request.seed % (2**31 - 1),  # the largest that all servers take
        "top_p": 1.0,
        **served.plain(asking.software),
    }


def _output(reply: Reply, request: GenerationRequest) -> Output:
    usage = reply.usage
    tokens_out = usage.tokens_out if usage is not None else 0
    failed = ""
    if reply.tokens is not None and any(math.isnan(one.logprob) for one in reply.tokens):
        failed = NAN
    elif reply.cut and usage is not None and usage.tokens_out < request.max_tokens:
        failed = (
            f"the server cut the reply off after {usage.tokens_out} of {request.max_tokens} tokens;"
            " is its context too short for the prompt?"
        )
    elif reply.finish == "content_filter":
        failed = "the server withheld the reply (content_filter)"
    return Output(
        text=reply.text,
        tokens_in=usage.tokens_in if usage is not None else 0,
        tokens_out=tokens_out,
        failed=failed,
    )
