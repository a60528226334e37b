"""Scorers: output → score in [0, 1], one file each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_modellab.errors import near_misses
from pytest_modellab.records import Sample, Scorer
from pytest_modellab.scorers.choice import Choice
from pytest_modellab.scorers.exact import Exact
from pytest_modellab.scorers.json_schema import JsonSchema
from pytest_modellab.scorers.number import Number
from pytest_modellab.scorers.refusal import Refusal
from pytest_modellab.scorers.regex import Regex

SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {
        scorer.name: scorer
        for scorer in (Choice(), Exact(), JsonSchema(), Number(), Refusal(), Regex())
    }
)


def check(sample: Sample, known: Mapping[str, Scorer] = SCORERS) -> str | None:
    """Say what is wrong with a sample in its scorer's eyes, or None.

    Args:
        sample: as read from a task file.
        known: the scorers that there are, by name.

    Returns:
        A sentence that names the key, for example ``scorer: unknown 'exakt'; did you mean …``.
    """
    scorer = known.get(sample.scorer)
    if scorer is None:
        return f"scorer: unknown {sample.scorer!r}; {near_misses(sample.scorer, known)}"
    if not scorer.likelihood:
        if sample.choices:
            return f"choices: the scorer {scorer.name!r} generates a reply and takes none"
        if sample.max_tokens < 1:
            return f"max_tokens: the scorer {scorer.name!r} needs at least 1"
    return scorer.check(sample)
