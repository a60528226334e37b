"""What an engine is: scores options, generates replies, ranks documents."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from pytest_modellab.records.media import Media, MediaKind
from pytest_modellab.records.runs import Audited, Output
from pytest_modellab.records.tasks import Corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Ability = Literal["score", "compare", "generate", "rank", "read"]
"""What an engine may be asked for.

``score``: how likely each option is as a reply. ``compare``: how near each option is to the
context, where only the order of samples counts. ``generate``: a reply. ``rank``: documents of a
corpus. ``read``: how likely a document is, token after token.
"""


WORDS: frozenset[Ability] = frozenset({"score", "compare", "generate"})
"""The abilities of a language model; an engine that does not say what it can is taken for one."""


LITERATE: frozenset[Ability] = WORDS | {"read"}
"""The abilities of a language model that reads documents, too."""


Done = Callable[[Mapping[int, Output]], None]
"""Takes a finished batch as ``{index of the request: output}``."""


@dataclasses.dataclass(frozen=True)
class ScoringRequest:
    """Score ``options`` as replies to ``context``.

    Attributes:
        context: text, already in the chat template.
        options: texts.
        media: what the context shows, in the order of its :data:`~pytest_modellab.records.media`
            places.
    """

    context: str
    options: tuple[str, ...]
    media: tuple[Media, ...] = ()


@dataclasses.dataclass(frozen=True)
class GenerationRequest:
    """Generate at most ``max_tokens`` tokens after ``context``.

    Attributes:
        context: text, already in the chat template.
        max_tokens: the limit.
        temperature: 0 for greedy decoding; above it tokens are drawn from the model's distribution
            at that temperature.
        seed: of the draws; the same request gives the same reply in any batch.
        media: as of :class:`ScoringRequest`.
    """

    context: str
    max_tokens: int
    temperature: float = 0.0
    seed: int = 0
    media: tuple[Media, ...] = ()


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts as tokens, of each of which the last ones are to be predicted.

    Attributes:
        ids: the tokens of each.
        places: how many of its last tokens are predicted; at least one stands before them.
        prefix: how many leading tokens all of them share, none of them before a predicted one.
    """

    ids: tuple[tuple[int, ...], ...]
    places: tuple[int, ...]
    prefix: int

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many tokens a model is given of each, behind the shared ones."""
        return tuple(len(text) - 1 - self.prefix for text in self.ids)


@dataclasses.dataclass(frozen=True)
class ReadingRequest:
    """Tell how likely a document is, each of its tokens given those before it.

    Attributes:
        text: the document, plain text in no chat template.
        window: most tokens that the model is given at once; None for as many as it sees.
        context: least tokens before a predicted one in all windows but the first.
    """

    text: str
    window: int | None = None
    context: int = 1


class Engine(Protocol):
    """A model that is loaded and can answer: score options of a context, or generate.

    Both methods work through a batch plan that depends on the requests and the budget alone, so
    that two runs compute the same sums. A batch whose requests are all in ``skip`` is left out.
    """

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it may be asked for; left out, it is taken for :data:`WORDS`."""

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Put chat messages into the model's template, ready for its reply."""

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Score every request; call ``done`` after each batch of about ``budget`` tokens.

        Raises:
            OutOfMemory: a batch did not fit; ask again with a smaller budget.
        """

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every request; call ``done`` after each batch of about ``budget`` tokens.

        Raises:
            OutOfMemory: a batch did not fit; ask again with a smaller budget.
        """

    def seed(self, seed: int) -> None:
        """Take the seed of whatever is drawn beside the requests' own draws; may be left out."""

    def environment(self) -> Mapping[str, Any]:
        """Tell what decides about the numbers beside the model, for the run record.

        Versions of libraries by name, and ``threads``; stored answers of another number of threads
        are not taken up. May be left out: then the record has the threads of this process.
        """

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""


class Source(Protocol):
    """What an engine is opened from; it pickles, so that another process can open it."""

    def open(self, cache: Path) -> Engine:
        """Load the engine.

        Args:
            cache: the store's root, where what is made of a model is kept.

        Raises:
            ModelError: its files cannot be read.
            VariantLoadError: a library is missing, or it refuses the model.
        """


Turn = Callable[[Iterable[Source]], AbstractContextManager[None]]
"""Holds the devices of sources, while they are open, against other workers of a session."""


Role = Literal["query", "passage"]
"""What a text is embedded as; many models want another prefix for each."""


class Encoder(Protocol):
    """An embedding model that is loaded: texts in, one vector each out."""

    @property
    def key(self) -> str:
        """16 hex digits, of all that a document's vector depends on.

        Weights, tokenizer, the passage's prompt, pooling, dtype, device, versions.
        """

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    def encode(self, texts: Sequence[str], role: Role) -> NDArray[np.float32]:
        """Embed texts.

        Args:
            texts: any number; batched inside by a plan that depends on the texts alone.
            role: decides the prompt.

        Returns:
            Float32 of shape (texts, dimension), C-contiguous, in the order of the texts.

        Raises:
            OutOfMemory: a batch of one did not fit.
            ModelError: a vector holds NaN or infinity; the message names the text.
        """

    def count_tokens(self, texts: Sequence[str], role: Role) -> Sequence[int]:
        """Tokens of each text as it is encoded: with the prompt, cut off at the model's limit."""

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""


class Predicting(Protocol):
    """An :class:`Engine` that tells the whole distribution of every token of a text."""

    tokenizer: Any

    @property
    def context_length(self) -> tuple[int, bool]:
        """How many tokens the model sees at once, and whether it can see no more than that.

        May be left out: then it is lm-evaluation-harness' default, which can be exceeded.
        """

    def predict(
        self, texts: Texts, *, budget: int, skip: Set[int]
    ) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
        """Yield, the longest text first, its index and the log-probabilities of what comes next.

        Args:
            texts: what is read.
            budget: tokens in a batch.
            skip: indices that are left out.

        Yields:
            An index, and a row for each of the text's last :attr:`Texts.places` tokens, of the
            place before it, a column a token; NaN where the model gives none.

        Raises:
            OutOfMemory: a batch did not fit; ask again with a smaller budget.
            ScoringError: this model's distributions cannot be told.
        """


class Budgeting(Protocol):
    """An :class:`Engine` that knows how many tokens its device computes best together.

    One that does not say gets :data:`~pytest_modellab.engines.budget.DEFAULT_BUDGET`.
    """

    def token_budget(self) -> int:
        """Return the most tokens in a batch that fit the device beside the model, and gain.

        Asked once the model is loaded; what an accelerator's engine says first is kept in the
        store, so that every run of the variant there has the same batches. Memory that runs out
        all the same halves it.
        """


class Bounded(Protocol):
    """An :class:`Engine` that knows how many tokens its model can see at once.

    One that does not say is asked whatever the samples hold.
    """

    def overlong(self, requests: Sequence[ScoringRequest | GenerationRequest]) -> Mapping[int, str]:
        """Say of each request that is more than the model can see what is wrong with it.

        Args:
            requests: all that are going to be asked.

        Returns:
            By the request's index, how long prompt and answer are and how much the model sees; a
            part of a sentence that begins with the request's name.
        """


class Searching(Protocol):
    """An :class:`Engine` that can ``rank``: a context is answered once it has opened a corpus."""

    def open_corpus(
        self, corpus: Corpus, depth: int, cache: Path, progress: Callable[[int, int], None]
    ) -> None:
        """Index a corpus, or take the index from the store.

        Args:
            corpus: what is searched.
            depth: documents in a ranking.
            cache: the store's root.
            progress: called with documents indexed and documents in all.

        Raises:
            ModelError: a document cannot be encoded.
            OutOfMemory: as :meth:`Encoder.encode`.
        """

    def audit(self, queries: Sequence[str]) -> Sequence[Audited]:
        """Ask exact search over the same vectors, where the index is approximate.

        Args:
            queries: any number; those just answered are not embedded again.

        Returns:
            One a query, or nothing where the search is exact already.
        """

    def measurements(self, queries: Sequence[str]) -> Mapping[str, float]:
        """Return what was measured of index and search, as probes of a run record.

        Args:
            queries: some of which are asked one at a time, to time them.
        """


class Reading(Protocol):
    """An :class:`Engine` that can ``read``."""

    def read_documents(
        self, requests: Sequence[ReadingRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Read every document; call ``done`` after each batch of about ``budget`` tokens.

        An output's only ``option_logprobs`` is the natural-log likelihood of the whole document,
        and its ``tokens_out`` are the tokens predicted: each of the document's, once.

        Raises:
            OutOfMemory: a batch did not fit; ask again with a smaller budget.
            ScoringError: the model cannot see a window that is asked for.
        """


def abilities(engine: Engine) -> frozenset[Ability]:
    """Return what an engine may be asked for; one of somebody else's plugin may not say it."""
    found: frozenset[Ability] = getattr(engine, "abilities", WORDS)
    return found


def media(engine: Engine) -> frozenset[MediaKind]:
    """Return what an engine takes beside text; one that does not say takes nothing."""
    found: frozenset[MediaKind] = getattr(engine, "media", frozenset())
    return found


def needs(engine: Engine) -> MediaKind | None:
    """Return what every sample must hold for an engine; one that does not say answers text."""
    found: MediaKind | None = getattr(engine, "needs", None)
    return found


def searching(engine: Engine) -> Searching | None:
    """Return an engine as one that ranks a corpus, or None where it does not."""
    return cast("Searching", engine) if "rank" in abilities(engine) else None


def predicting(engine: Engine) -> Predicting | None:
    """Return an engine as one that tells whole distributions, or None where it does not."""
    return cast("Predicting", engine) if hasattr(engine, "predict") else None


def probes(engine: Engine) -> Mapping[str, float]:
    """Return what an engine has measured of its own work since it was last asked; most nothing."""
    told = getattr(engine, "probes", None)
    return told() if callable(told) else {}


def overlong(
    engine: Any, requests: Sequence[ScoringRequest | GenerationRequest]
) -> Mapping[int, str]:
    """Ask an engine which requests are more than its model can see; none where it cannot say.

    Args:
        engine: any; one of somebody else's plugin may not know.
        requests: all that are going to be asked.
    """
    if not hasattr(engine, "overlong"):
        return {}
    return cast("Bounded", engine).overlong(requests)


def reading(engine: Engine) -> Reading:
    """Return an engine that can ``read`` as one that does."""
    return cast("Reading", engine)
