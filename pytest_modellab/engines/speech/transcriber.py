"""The engine behind every transcript: recordings in, what is said in them out."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Protocol

from pytest_modellab.engines import state
from pytest_modellab.engines.interface import Ability, Done, GenerationRequest, ScoringRequest
from pytest_modellab.errors import ScoringError
from pytest_modellab.media import sound
from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.records.runs import Output

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = 1
"""Raised when the same model writes down something else of the same recording."""


@dataclasses.dataclass(frozen=True)
class Heard:
    """What is said in a recording.

    Attributes:
        text: without space at its ends.
        tokens: how many were generated for it.
    """

    text: str
    tokens: int


class Listening(Protocol):
    """A speech model that is loaded."""

    def hear(self, waveform: NDArray[np.float32], most: int) -> Heard:
        """Write down what is said.

        Args:
            waveform: mono, in [-1, 1], at :attr:`sample_rate`.
            most: tokens of a window of 30 seconds.
        """

    @property
    def sample_rate(self) -> int:
        """What recordings are resampled to, in Hz."""

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and ``threads``."""

    def parameter_bytes(self) -> int:
        """Bytes of the weights as they are held in memory."""

    def close(self) -> None:
        """Give the memory back."""


class Transcriber:
    """An :class:`~pytest_modellab.engines.interface.Engine` that answers with what it hears.

    Recordings are heard one at a time, so that no budget changes a word. What a sample says in
    text is not heard.

    Args:
        model: the speech model.
    """

    abilities: frozenset[Ability] = frozenset({"generate"})
    media: frozenset[MediaKind] = frozenset({"audio"})
    needs: MediaKind = "audio"

    def __init__(self, model: Listening) -> None:
        self._model = model

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return what the sample says in text, for the record."""
        return messages[-1]["content"] if messages else ""

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Refuse to weigh options.

        Raises:
            ScoringError: there are any.
        """
        if requests:
            raise ScoringError(
                "a transcriber writes down what it hears and weighs no options; choose a scorer of "
                'replies: scorer = "wer"'
            )

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Hear every request's recordings, one request a batch.

        Raises:
            ScoringError: a request has no recording.
        """
        for request in requests:
            if not request.media:
                raise ScoringError(
                    f"a sample ({_begin(request.context)}) holds no recording, and a transcriber "
                    'hears nothing else; give each sample an "audio"'
                )
        for index, request in enumerate(requests):
            if index not in skip:
                done({index: self._answer(request.media, request.max_tokens)})

    def _answer(self, recordings: Sequence[Media], most: int) -> Output:
        """Hear recordings in order; their texts are lines."""
        started = time.perf_counter()
        heard = [self._hear(one, most) for one in recordings]
        return Output(
            text="\n".join(one.text for one in heard),
            tokens_out=sum(one.tokens for one in heard),
            seconds=time.perf_counter() - started,
        )

    def _hear(self, recording: Media, most: int) -> Heard:
        waveform = sound.waveform(recording, self._model.sample_rate)
        return self._model.hear(waveform, most) if len(waveform) else Heard("", 0)

    def seed(self, seed: int) -> None:
        """Nothing is drawn."""

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and threads."""
        return self._model.environment()

    def state(self) -> state.State:
        """Return the hash of each tensor; none of a file that is hashed as a whole."""
        return state.of(self._model)

    def parameter_bytes(self) -> int:
        """Bytes of the weights as they are held in memory."""
        return self._model.parameter_bytes()

    def close(self) -> None:
        """Give the memory back at once."""
        self._model.close()


def _begin(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
