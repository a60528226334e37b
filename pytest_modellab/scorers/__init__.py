"""Scorers: output → score in [0, 1], one file each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_modellab.errors import near_misses
from pytest_modellab.records import counts
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers import ranking
from pytest_modellab.scorers.anls import Anls
from pytest_modellab.scorers.answer import Answer
from pytest_modellab.scorers.choice import MultipleChoice
from pytest_modellab.scorers.errors import ErrorRate
from pytest_modellab.scorers.exact import Exact
from pytest_modellab.scorers.interface import Scorer, SetScorer
from pytest_modellab.scorers.json_schema import JsonSchema
from pytest_modellab.scorers.number import Number
from pytest_modellab.scorers.perplexity import Perplexity
from pytest_modellab.scorers.refusal import Refusal
from pytest_modellab.scorers.regex import Regex
from pytest_modellab.scorers.similarity import Similarity

_BUILT_IN: tuple[Scorer | SetScorer, ...] = (
    Anls(),
    Answer(),
    ErrorRate(counts.CER),
    MultipleChoice(),
    Exact(),
    JsonSchema(),
    Number(),
    Perplexity(),
    Refusal(),
    Regex(),
    Similarity(),
    ErrorRate(counts.WER),
)


SCORERS: Mapping[str, Scorer | SetScorer] = MappingProxyType(
    {scorer.name: scorer for scorer in _BUILT_IN}
)
"""All but the metrics of rankings, which there are as many of as there are cut-offs."""


def find(name: str, known: Mapping[str, Scorer | SetScorer] = SCORERS) -> Scorer | SetScorer | None:
    """Return the scorer of a name, a metric of rankings such as ``ndcg@10`` included, or None.

    Args:
        name: as a task file says it.
        known: the scorers that there are, by name.
    """
    return known.get(name) or ranking.parse(name)


def check(sample: Sample, known: Mapping[str, Scorer | SetScorer] = SCORERS) -> str | None:
    """Say what is wrong with a sample in its scorer's eyes, or None.

    Args:
        sample: as read from a task file.
        known: the scorers that there are, by name, beside the metrics of rankings.

    Returns:
        A sentence that names the key, for example ``scorer: unknown 'exakt'; did you mean …``.
    """
    scorer = find(sample.scorer, known)
    if scorer is None:
        names = [*known, *ranking.known()]
        return f"scorer: unknown {sample.scorer!r}; {near_misses(sample.scorer, names)}"
    if isinstance(scorer, SetScorer) and scorer.ranking:
        if sample.choices:
            return f"choices: the scorer {scorer.name!r} ranks the corpus and takes none"
        if sample.max_tokens:
            return f"max_tokens: the scorer {scorer.name!r} generates nothing; leave it out"
    elif not scorer.likelihood:
        if sample.choices:
            return f"choices: the scorer {scorer.name!r} generates a reply and takes none"
        if sample.max_tokens < 1:
            return f"max_tokens: the scorer {scorer.name!r} needs at least 1"
    return scorer.check(sample)
