"""Chain of thought and self-consistency: an engine that thinks before it answers."""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

from pytest_modellab.engines import environment, interface, state
from pytest_modellab.engines.batching import due
from pytest_modellab.engines.budget import budget_of
from pytest_modellab.engines.interface import (
    Ability,
    Done,
    Engine,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
)
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.media import MediaKind
from pytest_modellab.records.runs import Output

ROWS = 32
"""Requests that are thought about together; their chains fill the batches of the inner engine."""


@dataclasses.dataclass(frozen=True)
class Thinking:
    """How a variant reasons before it answers.

    Attributes:
        tokens: most tokens of one chain of thought.
        chains: how many are drawn for each sample; 1 is plain chain of thought.
        temperature: of the draws; 0 is greedy.
        cue: what is put between a chain and its answer.
    """

    tokens: int
    chains: int = 1
    temperature: float = 0.0
    cue: str = "\nAnswer: "


class Reasoning:
    """Lets an engine write chains of thought, and answers after each of them.

    The answer is asked for in a second step, after a cue (Kojima et al. 2022, "Large Language
    Models are Zero-Shot Reasoners"). With several chains (Wang et al. 2022, "Self-Consistency
    Improves Chain of Thought Reasoning") a generated answer is decided by majority, the first among
    equals, and an option's likelihood is its mean over the chains.

    Args:
        engine: what writes and answers.
        thinking: how.
    """

    def __init__(self, engine: Engine, thinking: Thinking) -> None:
        self._engine = engine
        self._thinking = thinking

    @property
    def engine(self) -> Engine:
        """The engine that writes and answers."""
        return self._engine

    @property
    def abilities(self) -> frozenset[Ability]:
        """What the engine that writes may be asked for."""
        return interface.abilities(self._engine)

    @property
    def media(self) -> frozenset[MediaKind]:
        """What the engine that writes takes beside text."""
        return interface.media(self._engine)

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Put chat messages into the model's template, ready for its reply."""
        return self._engine.render(messages)

    def seed(self, seed: int) -> None:
        """Seed the engine that writes."""
        environment.seed(self._engine, seed)

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and threads."""
        return environment.of(self._engine)

    def state(self) -> state.State:
        """What the model that writes is."""
        return state.of(self._engine)

    def token_budget(self) -> int:
        """Most tokens in a batch of the engine that writes."""
        return budget_of(self._engine)

    def overlong(self, requests: Sequence[ScoringRequest | GenerationRequest]) -> Mapping[int, str]:
        """Say of each request that is more than the model can see, with a chain, what is wrong."""
        # a chain's tokens and the cue's come between the prompt and the answer
        room = self._thinking.tokens + len(self._thinking.cue.encode())
        asked = [
            GenerationRequest(request.context, room + _answered(request), media=request.media)
            for request in requests
        ]
        return interface.overlong(self._engine, asked)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        return self._engine.parameter_bytes()

    def close(self) -> None:
        """Give the memory back at once."""
        self._engine.close()

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every option after each chain; its likelihood is the mean over the chains."""
        for batch in self._batches(len(requests), skip):
            chains = self._think([requests[i] for i in batch], budget)
            asked = [
                ScoringRequest(chain.text, requests[i].options, media=requests[i].media)
                for i, row in zip(batch, chains, strict=True)
                for chain in row
            ]
            scored: dict[int, Output] = {}
            self._engine.score_options(asked, budget=budget, skip=set(), done=scored.update)
            done(
                {
                    i: _with_chains(
                        Output(text="", option_logprobs=_mean(answers)), answers, chains[number]
                    )
                    for number, i in enumerate(batch)
                    for answers in [self._of(number, scored)]
                }
            )

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer after each chain; the most frequent answer counts."""
        for batch in self._batches(len(requests), skip):
            chains = self._think([requests[i] for i in batch], budget)
            asked = [
                GenerationRequest(chain.text, requests[i].max_tokens, media=requests[i].media)
                for i, row in zip(batch, chains, strict=True)
                for chain in row
            ]
            replies: dict[int, Output] = {}
            self._engine.generate(asked, budget=budget, skip=set(), done=replies.update)
            done(
                {
                    i: _with_chains(_majority(answers), answers, chains[number])
                    for number, i in enumerate(batch)
                    for answers in [self._of(number, replies)]
                }
            )

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Read every document; there is nothing to think about."""
        interface.reading(self._engine).read_documents(
            requests, budget=budget, skip=skip, done=done
        )

    def _batches(self, count: int, skip: Set[int]) -> list[range]:
        batches = [range(start, min(start + ROWS, count)) for start in range(0, count, ROWS)]
        return due(batches, skip)

    def _of(self, number: int, outputs: Mapping[int, Output]) -> list[Output]:
        chains = self._thinking.chains
        return [outputs[k] for k in range(number * chains, (number + 1) * chains)]

    def _think(
        self, requests: Sequence[ScoringRequest | GenerationRequest], budget: int
    ) -> list[list[Output]]:
        """Return each context's chains; an output's text is context, chain and cue together."""
        thinking = self._thinking
        asked = [
            GenerationRequest(
                request.context,
                thinking.tokens,
                temperature=thinking.temperature,
                seed=int(digest([request.context, chain])[:8], 16),
                media=request.media,
            )
            for request in requests
            for chain in range(thinking.chains)
        ]
        written: dict[int, Output] = {}
        self._engine.generate(asked, budget=budget, skip=set(), done=written.update)
        whole = {
            k: dataclasses.replace(
                output, text=asked[k].context + output.text.strip() + thinking.cue
            )
            for k, output in written.items()
        }
        return [self._of(number, whole) for number in range(len(requests))]


def _answered(request: ScoringRequest | GenerationRequest) -> int:
    """Tokens of an answer at most."""
    if isinstance(request, GenerationRequest):
        return request.max_tokens
    return max((len(option.encode()) for option in request.options), default=0)


def _mean(answers: Sequence[Output]) -> tuple[float, ...]:
    """Log of each option's mean likelihood over the chains."""
    options = zip(*(answer.option_logprobs for answer in answers), strict=True)
    return tuple(_log_mean(values) for values in options)


def _log_mean(values: Sequence[float]) -> float:
    top = max(values)
    if not math.isfinite(top):
        return sum(values)  # infinite or NaN, as the runner will say
    return top + math.log(math.fsum(math.exp(value - top) for value in values) / len(values))


def _majority(answers: Sequence[Output]) -> Output:
    """Return the first of the most frequent answers, compared without case and outer space."""
    votes = collections.Counter(answer.text.strip().casefold() for answer in answers)
    winner = votes.most_common(1)[0][0]
    return next(answer for answer in answers if answer.text.strip().casefold() == winner)


def _with_chains(answer: Output, answers: Sequence[Output], chains: Sequence[Output]) -> Output:
    """Charge an answer with all that was computed for it."""
    every = (*answers, *chains)
    return dataclasses.replace(
        answer,
        tokens_in=chains[0].tokens_in,
        tokens_out=sum(output.tokens_out for output in every),
        seconds=math.fsum(output.seconds for output in every),
        failed=next((output.failed for output in every if output.failed), ""),
    )
