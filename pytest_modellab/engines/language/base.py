"""What the engines of language models share: tokenizer, chat template, and batch after batch."""

from __future__ import annotations

import collections
import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pytest_modellab.engines import environment
from pytest_modellab.engines.interface import LITERATE, Done, GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import chat
from pytest_modellab.engines.language.overlong import overlong
from pytest_modellab.engines.loading import quiet, reading
from pytest_modellab.errors import ModelError
from pytest_modellab.records.runs import Output

NAN = "the model's logits are NaN"
"""Why a reply failed."""


Answer = TypeVar("Answer")


class ChatEngine:
    """Renders by the tokenizer's chat template, and draws nothing but by a request's own seed.

    Args:
        tokenizer: of transformers, with a chat template.
    """

    abilities = LITERATE
    day = ""
    """What a chat template is told that asks for the date; empty for today."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Put chat messages into the model's template, ready for its reply.

        Raises:
            ModelError: there is no template, or it fails. A model that only reads needs none.
        """
        if not self.tokenizer.chat_template:
            raise ModelError(
                f"{self.tokenizer.name_or_path}: the tokenizer has no chat template; add "
                "chat_template.jinja"
            )
        return chat.render(self.tokenizer, messages, day=self.day)

    @property
    def window(self) -> int | None:
        """How many tokens the model can see, or None where nothing sets a limit."""
        return None

    def overlong(self, requests: Sequence[ScoringRequest | GenerationRequest]) -> Mapping[int, str]:
        """Say of each request that is more than the model can see what is wrong with it."""
        with quiet():  # transformers warns of such texts in its own way
            return overlong(self.tokenizer, self.window, requests)

    def seed(self, seed: int) -> None:
        """Nothing is drawn but by a request's own seed."""

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and threads."""
        return environment.libraries()


def load_tokenizer(
    folder: Path,
    *,
    trust_remote_code: bool,
    problem: str = "transformers cannot load its tokenizer",
) -> Any:
    """Load a model's tokenizer.

    Args:
        folder: what ``save_pretrained`` wrote.
        trust_remote_code: whether the tokenizer's own Python code may run.
        problem: how the message begins where it cannot be read.

    Raises:
        ModelError: transformers cannot read it, or its chat template is wrong.
    """
    from transformers import AutoTokenizer

    with reading(folder, problem):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    if tokenizer.chat_template and chat.rendered(tokenizer):
        chat.compiled(tokenizer)
    return tokenizer


def answer_together(
    batches: Iterable[Sequence[int]],
    lengths: Sequence[int],
    launch: Callable[[Sequence[int]], Callable[[], Sequence[Answer]]],
    output: Callable[[int, Answer], Output],
    done: Done,
    *,
    ahead: int = 0,
) -> None:
    """Answer batch by batch; the seconds of a batch are shared out by tokens.

    A batch's seconds begin where those of the one before it end, or where it is launched.

    Args:
        batches: indices of requests.
        lengths: tokens of each request.
        launch: takes a batch, and returns what waits for an answer to each of its requests.
        output: makes an answer a record.
        done: called after each batch.
        ahead: batches that may be launched before the answers to an earlier one are waited for, so
            that a device always has work.
    """
    launched: collections.deque[tuple[Sequence[int], Callable[[], Sequence[Answer]], float]]
    launched = collections.deque()
    told = -math.inf

    def collect() -> None:
        nonlocal told
        batch, wait, start = launched.popleft()
        answers, begin = wait(), max(start, told)
        told = time.perf_counter()
        seconds, total = told - begin, sum(lengths[i] for i in batch)
        done(
            {
                i: dataclasses.replace(output(i, answer), seconds=seconds * lengths[i] / total)
                for i, answer in zip(batch, answers, strict=True)
            }
        )

    for batch in batches:
        start = time.perf_counter()
        launched.append((batch, launch(batch), start))
        if len(launched) > ahead:
            collect()
    while launched:
        collect()


def at_once(
    compute: Callable[[Sequence[int]], Sequence[Answer]],
) -> Callable[[Sequence[int]], Callable[[], Sequence[Answer]]]:
    """Make of what returns a batch's answers what :func:`answer_together` launches."""
    return lambda batch: functools.partial(compute, batch)


def answer_alone(
    batches: Iterable[Sequence[int]], compute: Callable[[int], Output], done: Done
) -> None:
    """Answer one request at a time, and hand over a batch of them.

    Args:
        batches: indices of requests.
        compute: answers a request; this is timed.
        done: called after each batch.
    """
    for batch in batches:
        done({i: _timed(compute, i) for i in batch})


def _timed(compute: Callable[[int], Output], index: int) -> Output:
    start = time.perf_counter()
    output = compute(index)
    return dataclasses.replace(output, seconds=time.perf_counter() - start)
