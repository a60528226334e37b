"""The engine behind every search: first stage, fusion, second stage, and what they cost."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import environment, servers, state
from pytest_modellab.engines.interface import (
    Ability,
    Done,
    Encoder,
    GenerationRequest,
    ScoringRequest,
)
from pytest_modellab.engines.search import approximate, exact, forms, fusion, lexical, vectors
from pytest_modellab.engines.search.hits import Hits
from pytest_modellab.engines.search.lexical import Lexical
from pytest_modellab.engines.search.settings import Search
from pytest_modellab.errors import ModelError
from pytest_modellab.records.runs import INDEX_CUTOFF, Audited, Output, Ranking
from pytest_modellab.records.tasks import Corpus

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_modellab.engines.search.rerank import Reranking

VERSION = "2-" + "-".join(
    str(version) for version in (vectors.LAYOUT, forms.LAYOUT, approximate.LAYOUT, lexical.VERSION)
)
"""Its first part is raised when the same vectors give another ranking."""


TOGETHER = 256
"""Queries that are answered as one batch."""


RERANKED = 32
"""Queries whose documents are reranked together, for which a server is asked several at once."""


EMBEDDED_SHARE = 16
"""One query is embedded for so many tokens of the runner's budget: 32 at once by default."""


TIMED = 50
"""Queries that are asked one at a time, to time them."""


TIMED_SECONDS = 5.0
"""After so long no further query is timed, once there are :data:`TIMED_LEAST`."""


TIMED_LEAST = 5


class Retriever:
    """An :class:`Engine` whose answer to a context is a ranking of the corpus that it opened.

    As an engine it scores options, too: by their vectors' similarity to the context's.

    Args:
        search: how it ranks.
        encoder: the embedding model, or None for BM25 alone.
        reranker: the second stage's model, or None.
    """

    abilities: frozenset[Ability] = frozenset({"rank", "compare"})

    def __init__(self, search: Search, encoder: Encoder | None, reranker: Reranking | None) -> None:
        self._search = search
        self._encoder = encoder
        self._reranker = reranker
        self._corpus: Corpus | None = None
        self._depth = 0
        self._index: forms.IndexVectors | None = None
        self._approximate: approximate.ApproximateIndex | None = None
        self._lexical: Lexical | None = None
        self._seconds = 0.0
        self._tokens = 0
        self._ids: dict[int, str] = {}
        self._answered: tuple[tuple[str, ...], NDArray[np.float32] | None] = ((), None)

    @property
    def encoder(self) -> Encoder | None:
        """The embedding model, or None for BM25 alone."""
        return self._encoder

    def open_corpus(
        self, corpus: Corpus, depth: int, cache: Path, progress: Callable[[int, int], None]
    ) -> None:
        """Encode and index a corpus, or take both from the store."""
        if self._corpus is not corpus:
            self._ids = {}
        self._corpus, self._depth, self._seconds = corpus, depth, 0.0
        search = self._search
        if self._encoder is not None:
            found = vectors.obtain(self._encoder, corpus, cache, progress)
            self._seconds += found.seconds
            self._tokens = found.tokens
            self._index = forms.index(found, search.form, cache)
            if search.index is not None:
                self._approximate = approximate.build(
                    self._index, search.index.kind, search.index.settings, cache
                )
                self._seconds += self._approximate.seconds
        if search.lexical:
            self._lexical = Lexical.obtain(corpus, cache, progress)
            self._seconds += self._lexical.seconds

    def audit(self, queries: Sequence[str]) -> Sequence[Audited]:
        """Ask exact search over the same vectors; nothing where the search is exact already.

        Apart from :meth:`generate`, so that its time is no part of a query's.
        """
        if self._approximate is None or self._index is None:
            return ()
        texts, known = self._answered
        embedded = known if texts == tuple(queries) else self._embed(queries, len(queries))
        assert embedded is not None  # an index has an encoder
        best = exact.search(self._index, embedded, INDEX_CUTOFF)
        # as deep as it is asked for: a graph's search widens with that
        found = self._approximate.search(embedded, max(self._depth, INDEX_CUTOFF))
        recalls = [
            len({*right.rows} & {*got.rows[:INDEX_CUTOFF]}) / len(right.rows)
            for right, got in zip(best, found, strict=True)
        ]
        ranked = self._rank(queries, embedded, exactly=True)
        return [
            Audited(self._named(hits), recall) for hits, recall in zip(ranked, recalls, strict=True)
        ]

    def measurements(self, queries: Sequence[str]) -> Mapping[str, float]:
        """Return size and speed of the index, and how long single queries take."""
        assert self._corpus is not None  # asked after generate() only
        documents = len(self._corpus)
        found = {
            "documents": float(documents),
            "index_bytes_per_document": round(self._bytes() / documents, 2),
        }
        if self._seconds:
            found["documents_per_second"] = round(documents / self._seconds, 2)
        if self._tokens and servers.behind(self._encoder):  # which is paid by them
            found["tokens_per_document"] = round(self._tokens / documents, 2)
        if self._index is not None:
            found["vector_dimensions"] = float(self._index.dimensions)
        taken = self._time(queries)
        for name, share in (("p50", 0.50), ("p95", 0.95)):
            found[f"query_seconds_{name}"] = round(taken[math.ceil(share * len(taken)) - 1], 6)
        return found

    def _bytes(self) -> float:
        assert self._corpus is not None
        total = 0.0
        if self._approximate is not None:
            total += self._approximate.bytes
        elif self._index is not None:
            total += self._index.bytes_per_document * len(self._corpus)
        return total + (self._lexical.bytes() if self._lexical is not None else 0)

    def _time(self, queries: Sequence[str]) -> list[float]:
        """Seconds of single queries, sorted: evenly spread ones, the first one twice."""
        count = min(TIMED, len(queries))
        chosen = [queries[i * len(queries) // count] for i in range(count)]
        self._rank(chosen[:1], self._embed(chosen[:1], 1))
        taken: list[float] = []
        for text in chosen:
            start = time.perf_counter()
            self._named(self._rank([text], self._embed([text], 1))[0])
            taken.append(time.perf_counter() - start)
            if len(taken) >= TIMED_LEAST and math.fsum(taken) > TIMED_SECONDS:
                break
        return sorted(taken)

    # --- the engine ------------------------------------------------------------------------------

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the query: what the last message says."""
        return messages[-1]["content"]

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Answer every context with a ranking.

        A smaller ``budget`` embeds fewer queries at once, which gives other last digits; how much
        fits into memory is the encoder's affair.
        """
        if requests and self._corpus is None:
            raise ModelError("a search needs a corpus, and the task set has none")
        for start in range(0, len(requests), TOGETHER):
            chosen = range(start, min(start + TOGETHER, len(requests)))
            if skip >= set(chosen):
                continue
            texts = [requests[i].context for i in chosen]
            begun = time.perf_counter()
            embedded = self._embed(texts, max(1, budget // EMBEDDED_SHARE))
            ranked = self._rank(texts, embedded)
            seconds = (time.perf_counter() - begun) / len(texts)
            self._answered = tuple(texts), embedded
            tokens = self._encoder.count_tokens(texts, "query") if self._encoder else None
            done(
                {
                    i: Output(
                        text="",
                        tokens_in=0 if tokens is None else tokens[k],
                        seconds=seconds,
                        ranking=self._named(ranked[k]),
                    )
                    for k, i in enumerate(chosen)
                }
            )

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        """Give every option its vector's similarity to the context's; all are queries."""
        if skip >= set(range(len(requests))):
            return
        if self._encoder is None:
            raise ModelError("BM25 knows no similarity of two texts; name an embedding model")
        texts = [text for r in requests for text in (r.context, *r.options)]
        begun = time.perf_counter()
        kept = forms.compared(self._encoder.encode(texts, "query"), self._search.form)
        seconds = (time.perf_counter() - begun) / len(requests)
        tokens = self._encoder.count_tokens(texts, "query")
        answers, place = {}, 0
        for i, request in enumerate(requests):
            size = 1 + len(request.options)
            rows, counts = kept[place : place + size], tokens[place : place + size]
            place += size
            alike = forms.likeness(rows[0], rows[1:], self._search.form)
            answers[i] = Output(
                text="",
                option_logprobs=tuple(map(float, alike)),
                tokens_in=counts[0],
                tokens_out=sum(counts[1:]),
                seconds=seconds,
            )
        done(answers)

    def seed(self, seed: int) -> None:
        """Nothing is drawn."""

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and threads; of what servers compute they decide nothing."""
        parts = [part for part in (self._encoder, self._reranker) if part is not None]
        if parts and all(map(servers.behind, parts)):
            return {"threads": 0}
        return environment.libraries()

    def state(self) -> state.State:
        """What the models are: a hash of each of their tensors."""
        parts = {"": self._encoder, "reranker.": self._reranker}
        told = {name: state.of(part) for name, part in parts.items() if part is not None}
        return {f"{name}{key}": one for name, part in told.items() for key, one in part.items()}

    def parameter_bytes(self) -> int:
        """Bytes of the models' parameters; the index is measured apart."""
        parts = (self._encoder, self._reranker)
        return sum(part.parameter_bytes() for part in parts if part is not None)

    def close(self) -> None:
        """Give the models' memory back."""
        for part in (self._encoder, self._reranker):
            if part is not None:
                part.close()
        self._index = self._approximate = self._lexical = self._corpus = None

    # --- the stages ------------------------------------------------------------------------------

    def _embed(self, texts: Sequence[str], together: int) -> NDArray[np.float32] | None:
        """Return the queries' vectors, so many embedded at once; None for BM25 alone."""
        import numpy as np

        if self._encoder is None:
            return None
        parts = [texts[i : i + together] for i in range(0, len(texts), together)]
        return np.concatenate([self._encoder.encode(part, "query") for part in parts])

    def _rank(
        self,
        texts: Sequence[str],
        embedded: NDArray[np.float32] | None,
        *,
        exactly: bool = False,
    ) -> list[Hits]:
        search = self._search
        depth = max(self._depth, search.rerank.top if search.rerank is not None else 0)
        found: list[list[Hits]] = []
        if embedded is not None and self._index is not None:
            if self._approximate is not None and not exactly:
                found.append(self._approximate.search(embedded, depth))
            else:
                found.append(exact.search(self._index, embedded, depth, rescore=search.rescore))
        if self._lexical is not None:
            found.append(self._lexical.search(texts, depth))
        ranked = found[0]
        if search.fusion is not None:
            ranked = [
                fusion.reciprocal_rank(h, k=search.fusion, depth=depth)
                for h in zip(*found, strict=True)
            ]
        if self._reranker is not None and search.rerank is not None:
            ranked = self._reranked(texts, ranked, search.rerank.top, self._reranker)
        return [Hits(h.rows[: self._depth], h.scores[: self._depth]) for h in ranked]

    def _reranked(
        self, texts: Sequence[str], found: Sequence[Hits], top: int, reranker: Reranking
    ) -> list[Hits]:
        """Order the first documents by the second stage; the others follow, as they stood."""
        corpus = self._corpus
        assert corpus is not None
        scores: list[list[float]] = []
        for start in range(0, len(texts), RERANKED):  # documents of more are not held at once
            part = slice(start, start + RERANKED)
            asked = [
                (text, [corpus[row].content for row in hits.rows[:top]])
                for text, hits in zip(texts[part], found[part], strict=True)
            ]
            scores += reranker.rerank_each(asked)
        return [
            _ordered(hits, one, top) if one else hits
            for hits, one in zip(found, scores, strict=True)
        ]

    def _named(self, hits: Hits) -> Ranking:
        assert self._corpus is not None
        for row in hits.rows:
            if row not in self._ids:
                self._ids[row] = self._corpus[row].id
        return tuple((self._ids[row], s) for row, s in zip(hits.rows, hits.scores, strict=True))


def _ordered(hits: Hits, scores: Sequence[float], top: int) -> Hits:
    """Order the first documents by their scores, and let the others follow."""
    rows, rest, least = hits.rows[:top], hits.rows[top:], min(scores)
    order = sorted(range(len(rows)), key=lambda i: (-scores[i], rows[i]))
    return Hits(
        rows=(*(rows[i] for i in order), *rest),
        scores=(*(scores[i] for i in order), *(least - 1 - k for k in range(len(rest)))),
    )
