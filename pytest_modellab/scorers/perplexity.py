"""Perplexity of running text: how likely each byte of a document is."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from pytest_modellab.records import windows
from pytest_modellab.records.graded import LIKELIHOOD
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.records.windows import BITS, TOTAL
from pytest_modellab.scorers.interface import Scored

Read: TypeAlias = tuple[str, float, int]
"""A document, its natural-log likelihood, and the tokens that it has."""


_SPACE = re.compile(r"\s+")


class Perplexity:
    """The geometric mean of the probabilities of a document's bytes.

    With L the natural-log likelihood of the document (each token given those before it, see
    ``engines/language/rolling.py``) and B its bytes in UTF-8, the score is exp(L / B), which is
    1 / byte perplexity. Divided by bytes and not by tokens it does not depend on the tokenizer
    (Gao et al. 2020, The Pile, section 3.1), so that models with different ones can be compared.
    Range [0, 1], higher is better.

    Metrics of a document:

    - ``likelihood``: the score;
    - ``bits_per_byte``: -L / (B ln 2), at least 0, lower is better;
    - ``log_likelihood``: L in nats, at most 0, of which the figures of all documents are made
      (:func:`corpus`).
    """

    name = windows.SCORER
    version = 1
    likelihood = True
    ranking = False
    alone = True
    reads = True

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with a document: no text, choices, a reply, or wrong windows."""
        if not sample.input.strip():
            return "input: empty; the scorer 'perplexity' needs a text"
        if sample.choices:
            return "choices: the scorer 'perplexity' reads the input and takes none"
        if sample.max_tokens:
            return "max_tokens: the scorer 'perplexity' generates nothing; leave it out"
        if sample.target is not None and not isinstance(sample.target, dict):
            return (
                "target: the scorer 'perplexity' compares with nothing; it takes {} or "
                f'{{"window": tokens, "context": tokens}}, not {sample.target!r}'
            )
        problem = windows.problem(sample.target or {})
        return f"target: {problem}" if problem else None

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> list[Scored]:
        """Score documents.

        Args:
            samples: documents.
            outputs: each holds its document's natural-log likelihood.
            metrics: not used.

        Returns:
            For each document its score, its metrics, and for the reader bits, bytes and tokens.
        """
        return [_scored(s.input, output) for s, output in zip(samples, outputs, strict=True)]


def _scored(text: str, output: Output) -> Scored:
    total, size = output.option_logprobs[0], len(text.encode())
    score = min(1.0, math.exp(total / size))
    bits = max(0.0, -total / size / math.log(2))
    return Scored(
        score=score,
        answer=f"{bits:.3f} bits per byte ({size} bytes, {output.tokens_out} tokens)",
        metrics={LIKELIHOOD: score, BITS: bits, TOTAL: total},
    )


def words(text: str) -> int:
    """Count words as lm-evaluation-harness does: the parts between white space.

    White space at an end has an empty part beside it, which counts
    (``lm_eval/tasks/wikitext/preprocess_wikitext.py``).
    """
    return len(_SPACE.split(text))


def corpus(documents: Iterable[Read]) -> dict[str, float]:
    """Return the figures of all documents together, each weighted by its length.

    As lm-evaluation-harness has them (``weighted_perplexity`` and ``bits_per_byte`` of
    ``lm_eval/api/metrics.py``): sums over all documents are divided, no ratios are averaged.

    - ``word_perplexity`` = exp(-sum L / sum words), ``byte_perplexity`` = exp(-sum L / sum bytes),
      both at least 1; ``bits_per_byte`` = -sum L / (sum bytes ln 2), at least 0;
    - ``token_perplexity`` = exp(-sum L / sum tokens), at least 1, which depends on the tokenizer
      and is what most papers and llama.cpp call perplexity.

    Lower is better. One that is too large for a number is left out, as is every figure where there
    is no document.
    """
    read = list(documents)
    total = math.fsum(likelihood for _, likelihood, _ in read)
    size = sum(len(text.encode()) for text, _, _ in read)
    sums = {
        "byte_perplexity": size,
        "token_perplexity": sum(tokens for _, _, tokens in read),
        "word_perplexity": sum(words(text) for text, _, _ in read),
    }
    found = {BITS: max(0.0, -total / size / math.log(2))} if size else {}
    for name, weight in sums.items():
        if weight and -total / weight < _LARGEST:
            found[name] = max(1.0, math.exp(-total / weight))
    return found


_LARGEST = 700.0
"""The largest exponent of a number that floats have, about."""
