"""What was measured of a run beside its score, in the same words in every report.

Metrics are named as their scorer names them (``recall@10``), some in words (``bits per byte``); of
multiple choice stands how sure the model is of the right option (``probability``). Two kinds tell
of an approximate index and not of the model: what it found of exact search (``index_recall@10``),
and what exact search over the same vectors would score (``exact:ndcg@10``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Literal, Protocol

from pytest_modellab.records.counts import CER, UNITS, WER
from pytest_modellab.records.graded import DECISION_MARGIN, LIKELIHOOD, NAMED, PROBABILITY
from pytest_modellab.records.runs import EXACT
from pytest_modellab.scorers.in_words import ONE_LETTER

INDEX = "index_"
"""Begins the name of a metric that tells what an approximate index found of exact search."""


OF_THE_INDEX = "the index's, not the model's"
"""Stands beside such a metric wherever it is in one table with the model's."""


MISSING = "–"
"""Stands in a table for what was not measured."""


MOST = 3
"""Metrics in a line; tables have all."""


_STEMS = ("ndcg", "recall", "precision", "mrr", "map")


_LARGE = 1e6


# of a ranking, the two that say least beside success, recall and mrr; of documents, the one that
# depends on the tokenizer
_IN_TABLES = frozenset({"precision", "map", "token_perplexity"})


_LABELS = {
    DECISION_MARGIN: "decision margin (nats a byte)",
    "bits_per_byte": "bits per byte",
    "byte_perplexity": "byte perplexity",
    "token_perplexity": "token perplexity",
    "word_perplexity": "word perplexity",
    WER: "word error rate",
    CER: "character error rate",
    NAMED: "replies that name an option",
    ONE_LETTER: "replies that name the most frequent letter",
}
"""What metrics are called beside others that are called by their names."""


_MEANINGS = {
    PROBABILITY: "Probability: what the model gives to the right option, of all that it gives to "
    "the options.",
    LIKELIHOOD: "Likelihood: what it gives to a byte of the right option, of the document, or of a "
    "reply (in an accepted run its own); style moves it, too.",
    DECISION_MARGIN: "Decision margin: how far the right option is ahead of the best wrong one, "
    "per byte; below 0 the answer is wrong.",
    "bits_per_byte": "Bits per byte and perplexities are of running text: less is better.",
    WER: "Word error rate: errors of all samples, divided by the words of all; less is better.",
    CER: "Character error rate: errors of all samples, divided by the characters of all; less is "
    "better.",
    NAMED: "Replies that name an option: of those to multiple choice that was asked in words; the "
    "others are wrong.",
    ONE_LETTER: "Replies that name the most frequent letter: of those that name one; near 1 the "
    "model goes by the letter and not by the option.",
}


_LOWER = frozenset(
    {"bits_per_byte", "byte_perplexity", "token_perplexity", "word_perplexity", WER, CER}
)


GRADED_METRICS = (PROBABILITY, LIKELIHOOD, DECISION_MARGIN)
"""How sure a model is of what is right; tables have it, lines do not."""


class Measured(Protocol):
    """A run's summary, or a variant's profile."""

    @property
    def metrics(self) -> Mapping[str, float]: ...

    @property
    def probes(self) -> Mapping[str, float]: ...


@dataclasses.dataclass(frozen=True)
class Figure:
    """One of the figures of a search: a probe, and how a reader sees it.

    Attributes:
        probe: its name among a run's probes.
        label: what it is called in a table.
        unit: behind the number, or ``$`` in front of it.
        better: which direction is, ``lower`` or ``higher``.
        factor: a probe's value times this is in the unit.
    """

    probe: str
    label: str
    unit: str
    better: str
    factor: float = 1.0

    @property
    def name(self) -> str:
        """The probe's name where its value is in the unit: ``query_ms_p50``."""
        return self.probe.replace("seconds", self.unit)

    def words(self, value: float) -> str:
        """A probe's value with its unit: ``1536 B/doc``, ``9.0 ms``, ``$0.65``."""
        number = short(self.factor * value)
        return f"${number}" if self.unit == "$" else f"{number} {self.unit}".rstrip()

    @property
    def title(self) -> str:
        """Its label where it stands alone, as above a column: ``cost per million documents``."""
        return f"cost {self.label}" if self.unit == "$" else self.label


_DOCUMENTS = "documents"


COUNTS = {_DOCUMENTS: "documents", "vector_dimensions": "dimensions"}
"""Probes that count, and what they are called in a table."""


_BYTES = Figure("index_bytes_per_document", "index", "B/doc", "lower")


_ENCODING = Figure("documents_per_second", "encoding", "docs/s", "higher")


_P50 = Figure("query_seconds_p50", "query p50", "ms", "lower", 1000.0)


_P95 = Figure("query_seconds_p95", "query p95", "ms", "lower", 1000.0)


_USD = Figure("usd_per_million_documents", "per million documents", "$", "lower")


FIGURES = (_BYTES, _ENCODING, _P50, _P95, _USD)
"""What a search takes and costs, as far as it was measured."""


MEDIA_COUNTS = {"audio_seconds": "seconds of audio", "images": "images"}
"""Probes that count recordings and images, and what they are called in a table."""


MEDIA_FIGURES = (
    Figure("real_time_factor", "real-time factor", "", "lower"),
    Figure("usd_per_minute_audio", "per minute of audio", "$", "lower"),
    Figure("seconds_per_image", "seconds per image", "s", "lower"),
    Figure("usd_per_image", "per image", "$", "lower"),
)
"""What recordings and images take and cost; the real-time factor is the seconds of computing for a
second of audio."""


def short(value: float) -> str:
    """Two significant digits, or all before the point: ``1536``, ``9.0``, ``0.65``, ``0.0028``."""
    if value == 0 or abs(value) >= 10:
        return f"{value:.0f}"
    # rounded first: 9.96 has no digit after the point
    rounded = float(f"{value:.1e}")
    return f"{rounded:.{max(0, 1 - math.floor(math.log10(abs(rounded))))}f}"


def memory_words(weights: float) -> str:
    """What a model's weights hold, for a line: ``memory=0.54GB``; BM25 has ``no weights``."""
    return f"memory={gigabytes(weights)}" if weights else gigabytes(weights)


def gigabytes(weights: float) -> str:
    """Bytes of a model's weights: ``0.54GB``, ``0.022GB``, ``no weights``."""
    if not weights:
        return "no weights"
    value = weights / 1e9
    return f"{value:.{2 if value >= 0.1 else 3}f}GB"


def ordered(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics in reading order: the model's, those of the index, those of exact search."""
    return dict(sorted(metrics.items(), key=lambda pair: _place(pair[0])))


def of_model(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that tell of the model."""
    return {k: v for k, v in ordered(metrics).items() if not k.startswith((INDEX, EXACT))}


def of_index(metrics: Mapping[str, float]) -> dict[str, float]:
    """What an approximate index found of exact search, without the prefix: ``recall@10``."""
    return {k.removeprefix(INDEX): v for k, v in ordered(metrics).items() if k.startswith(INDEX)}


def of_exact(metrics: Mapping[str, float]) -> dict[str, float]:
    """What exact search over the same vectors would score, without the prefix: ``ndcg@10``."""
    return {k.removeprefix(EXACT): v for k, v in ordered(metrics).items() if k.startswith(EXACT)}


def better(metric: str) -> Literal["lower", "higher"]:
    """Which direction of a metric is better."""
    return "lower" if metric in _LOWER else "higher"


def label(metric: str) -> str:
    """A metric's name for a reader, which says where it is not the model's."""
    if metric in _LABELS:
        return _LABELS[metric]
    if metric.startswith(INDEX):
        return f"index {metric.removeprefix(INDEX)} ({OF_THE_INDEX})"
    if metric.startswith(EXACT):
        return f"{metric.removeprefix(EXACT)} of exact search"
    return metric


def meanings(metrics: Iterable[str]) -> list[str]:
    """What graded metrics and those of documents are, a sentence each, for who meets them first."""
    found = set(metrics)
    return [words for name, words in _MEANINGS.items() if name in found]


def searched(run: Measured) -> bool:
    """Whether the answers were rankings, so that a query's time is the time of an answer."""
    return _P50.probe in run.probes and ranks(run)


def ranks(run: Measured) -> bool:
    """Whether the answers were rankings.

    Of a variant that reads what it found, the metrics are those of its replies.
    """
    return any(_kind(name) in _STEMS for name in run.metrics)


def known(run: Measured, among: Iterable[Figure] = FIGURES) -> dict[Figure, float]:
    """The figures, of a search unless others are named, that were measured; 0 was not."""
    return {f: run.probes[f.probe] for f in among if run.probes.get(f.probe)}


def media_words(run: Measured) -> str | None:
    """What media took and cost, as one line; None of a run without any.

    ``media: 120 s of audio  real-time factor 0.083  $0.00014 per minute of audio``.
    """
    heard, seen = (run.probes.get(name) for name in MEDIA_COUNTS)
    parts = [
        *([f"{heard:,.0f} s of audio"] if heard else []),
        *([f"{seen:,.0f} {'image' if seen == 1 else 'images'}"] if seen else []),
    ]
    for figure, value in known(run, MEDIA_FIGURES).items():
        words = figure.words(value)
        parts.append(
            f"{words} {figure.label.removeprefix('seconds ')}"
            if figure.unit
            else f"{figure.label} {words}"
        )
    return f"media: {'  '.join(parts)}" if parts else None


def in_line(run: Measured, success: float) -> list[str]:
    """The metrics that a line shows: ``recall@10=0.31``, ``mrr@10=0.50``.

    Args:
        run: what was measured.
        success: the run's mean score; the metric that it is the mean of is left out, as is how sure
            the model is.

    Returns:
        At most :data:`MOST`, each kind at its smallest cutoff.
    """
    found = of_model(run.metrics)
    same = scored_by(run, success)
    kinds: dict[str, str] = {}
    for name in found:
        if name not in {same, ONE_LETTER, *GRADED_METRICS}:
            kinds.setdefault(_kind(name), name)
    shown = [name for kind, name in kinds.items() if kind not in _IN_TABLES] or kinds.values()
    return [f"{n}={_number(found[n], 3 if n in UNITS else 2)}" for n in list(shown)[:MOST]]


def _number(value: float, digits: int) -> str:
    """With so many digits behind the point; a broken model's perplexity as a power of ten."""
    return f"{value:.{digits}f}" if abs(value) < _LARGE else f"{value:.1e}"


def scored_by(run: Measured, success: float) -> str | None:
    """The metric that a run's mean score is the mean of: ``ndcg@10``; None where it is none.

    Others may equal it by chance; the first is what a ranking is scored by.
    """
    found = {
        k: v for k, v in of_model(run.metrics).items() if k not in {*_LOWER, NAMED, ONE_LETTER}
    }
    return next((k for k, v in found.items() if math.isclose(v, success, abs_tol=1e-9)), None)


def success_words(run: Measured, mean: float, stderr: float, by: str | None = None) -> str:
    """``success=0.62 ±0.03``, of a ranking with what it is scored by: ``(ndcg@10)``.

    Args:
        run: what was measured.
        mean: its mean score.
        stderr: the mean's standard error.
        by: the metric that stands in for the score; the words begin with it then.
    """
    if by is not None:
        return f"{by}={mean:.2f} ±{stderr:.2f}"
    metric = scored_by(run, mean)
    return f"success={mean:.2f} ±{stderr:.2f}{f' ({metric})' if metric else ''}"


def success_title(runs: Iterable[tuple[Measured, float]], by: str | None = None) -> str:
    """What a column of mean scores is called: ``success``, of rankings ``success (ndcg@10)``.

    Args:
        runs: each with its mean score; their metric is named where all have the same.
        by: the metric that stands in for the score.
    """
    if by is not None:
        return by
    metrics = {scored_by(run, mean) for run, mean in runs}
    (metric,) = metrics if len(metrics) == 1 else (None,)
    return f"success ({metric})" if metric else "success"


def until(runs: Iterable[Measured], *, generates: bool) -> str:
    """What a latency is the time of: ``to the last token``, ``of a query``, ``of a whole text``.

    Args:
        runs: what was measured.
        generates: whether any of them answers token after token.
    """
    if generates:
        return "to the last token"
    return "of a query" if any(map(ranks, runs)) else "of a whole text"


def search_words(run: Measured, note: str = "") -> str | None:
    """:func:`figures` as one line; None of a run that searched nothing."""
    parts = figures(run, note)
    return f"search: {'  '.join(parts)}" if parts else None


def figures(run: Measured, note: str = "") -> list[str]:
    """What a search takes, for a line: ``index=1536 B/doc``, ``43 docs/s``, ``query p50 9.0 ms``.

    Args:
        run: what was measured.
        note: what is said behind the time of a query.
    """
    found = {figure: figure.words(value) for figure, value in known(run).items()}
    parts = []
    if _BYTES in found:
        parts.append(f"index={found[_BYTES]}")
    if _ENCODING in found:
        parts.append(found[_ENCODING])
    times = (("p50", _P50), ("p95", _P95))
    query = [f"{name} {found[figure]}" for name, figure in times if figure in found]
    if query:
        parts.append(f"query {' '.join(query)}{note}")
    if _USD in found:
        parts.append(f"{found[_USD]} {_USD.label}")
    return parts


def index_words(run: Measured) -> str | None:
    """What an approximate index costs in quality; None of a run without one.

    ``recall@10 0.97 of exact search; exact search over the same vectors would score 0.29``.
    """
    parts = [f"{name} {value:.2f} of exact search" for name, value in of_index(run.metrics).items()]
    best = next(iter(of_exact(run.metrics).values()), None)
    if best is not None:
        parts.append(f"exact search over the same vectors would score {best:.2f}")
    return "; ".join(parts) or None


def index_loss(run: Measured) -> float:
    """How much more exact search over the same vectors would score; 0 of a run without an index."""
    name, best = next(iter(of_exact(run.metrics).items()), ("", 0.0))
    return max(0.0, best - run.metrics.get(name, best))


def index_bytes(run: Measured) -> float | None:
    """Bytes of the whole index, which are held beside the model's; None where there is none."""
    documents = run.probes.get(_DOCUMENTS)
    each = run.probes.get(_BYTES.probe)
    return None if documents is None or each is None else documents * each


def facts(run: Measured) -> dict[str, str]:
    """Every metric and figure by what it is called: ``{"recall@10": "0.310", "index": …}``."""
    probes = run.probes
    return {
        **{label(name): _number(value, 3) for name, value in ordered(run.metrics).items()},
        **{name: f"{probes[k]:,.0f}" for k, name in COUNTS.items() if k in probes},
        **{figure.title: figure.words(value) for figure, value in known(run).items()},
        **{name: f"{probes[k]:,.0f}" for k, name in MEDIA_COUNTS.items() if k in probes},
        **{figure.title: figure.words(v) for figure, v in known(run, MEDIA_FIGURES).items()},
    }


Table = tuple[list[str], list[list[str]]]
"""Column names, and one row a variant, as unescaped text."""


def tables(runs: Iterable[tuple[str, Measured]]) -> tuple[Table, Table, Table]:
    """Every metric and figure of several variants side by side.

    Args:
        runs: each with its variant's name.

    Returns:
        The model's metrics; what the search takes and costs, an approximate index' quality with it;
        and what media take and cost. Variants without any have no row.
    """
    given = [(variant, run.metrics, facts(run)) for variant, run in runs]
    metrics = ordered({name: value for _, own, _ in given for name, value in own.items()})
    model = of_model(metrics)
    rest = [*(figure.title for figure in FIGURES), *COUNTS.values()]
    rest += [label(name) for name in metrics if name not in model]
    found = [(variant, known) for variant, _, known in given]
    media = [*(figure.title for figure in MEDIA_FIGURES), *MEDIA_COUNTS.values()]
    return _table(found, map(label, model)), _table(found, rest), _table(found, media)


def _table(found: Iterable[tuple[str, Mapping[str, str]]], names: Iterable[str]) -> Table:
    given = list(found)
    columns = [name for name in names if any(name in known for _, known in given)]
    return ["variant", *columns], [
        [variant, *(known.get(name, MISSING) for name in columns)]
        for variant, known in given
        if any(name in known for name in columns)
    ]


def _place(metric: str) -> tuple[int, int, str, int]:
    """Where a metric stands: whose it is, its kind, its cutoff."""
    whose = 1 if metric.startswith(INDEX) else 2 if metric.startswith(EXACT) else 0
    name = metric.removeprefix(INDEX).removeprefix(EXACT)
    kind, cutoff = _kind(name), name.partition("@")[2]
    known = (*_STEMS, *GRADED_METRICS)
    rank = known.index(kind) if kind in known else len(known)
    return whose, rank, kind, int(cutoff) if cutoff.isdecimal() else 0


def _kind(metric: str) -> str:
    """A metric without its cutoff."""
    return metric.partition("@")[0]
