"""Whether the answers are the same ones: as others', as one text at a time, twice, in any batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.speed.ours import Project
from benchmarks.speed.peers import Logprobs, Peers
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.gate import decide
from pytest_modellab.records.runs import Output, RunRecord


def per_byte(requests: Sequence[ScoringRequest], values: Logprobs) -> list[list[float]]:
    """Log-likelihoods a byte, by which an option is chosen."""
    return [
        [value / len(option.encode()) for value, option in zip(row, one.options, strict=True)]
        for one, row in zip(requests, values, strict=True)
    ]


def logprobs(outputs: Sequence[Output]) -> Logprobs:
    """The log-likelihoods of an engine's answers."""
    return [one.option_logprobs for one in outputs]


def beside(requests: Sequence[ScoringRequest], ours: Logprobs, theirs: Logprobs) -> dict[str, Any]:
    """Compare predictions and log-likelihoods.

    Returns:
        ``n``, how many predictions are ``equal``, the ``largest`` difference of a log-likelihood,
        and of the predictions that differ how near the two best options are for the other, in nats
        a byte.
    """
    mine, other = per_byte(requests, ours), per_byte(requests, theirs)
    chosen = [(int(np.argmax(a)), int(np.argmax(b))) for a, b in zip(mine, other, strict=True)]
    gaps = []
    for row, (a, b) in zip(other, chosen, strict=True):
        if a != b:
            gaps.append(row[b] - row[a])
    differences = np.abs(np.array(ours) - np.array(theirs))
    return {
        "n": len(requests),
        "equal": len(requests) - len(gaps),
        "largest": float(differences.max()),
        "mean": float(differences.mean()),
        "gaps": sorted(gaps, reverse=True)[:20],
    }


def replies(
    peers: Peers, contexts: Sequence[str], ours: Sequence[str], theirs: Sequence[list[int]]
) -> dict[str, Any]:
    """Compare replies with `generate`'s.

    Returns:
        ``n``, how many are ``equal``, and of the others the gap in nats between `generate`'s first
        and second choice where the replies part.
    """
    decode = peers.tokenizer.decode
    gaps = []
    for context, mine, tokens in zip(contexts, ours, theirs, strict=True):
        if decode(tokens, skip_special_tokens=True) == mine:
            continue
        margins = peers.margins(context, tokens)
        parts = next(
            (
                k
                for k in range(len(tokens))
                if not mine.startswith(decode(tokens[: k + 1], skip_special_tokens=True))
            ),
            len(tokens),
        )
        gaps.append(margins[parts])
    return {"n": len(ours), "equal": len(ours) - len(gaps), "gaps": sorted(gaps, reverse=True)[:20]}


def same(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records say the same bit for bit, but for time."""
    return [(s.id, s.score, s.output, s.confidence, dict(s.metrics)) for s in one.samples] == [
        (s.id, s.score, s.output, s.confidence, dict(s.metrics)) for s in other.samples
    ]


def unchanged(project: Project, name: str, first: RunRecord, runs: int) -> dict[str, Any]:
    """Judge a variant against itself in other batches and orders: each must pass.

    Returns:
        ``n`` and how many verdicts of each kind, how many scores flipped at most, and the budgets.
    """
    budget = int(first.environment["token_budget"])
    share = np.geomspace(1 / 8, 2, 10)
    budgets = [max(256, int(budget * share[number % 10])) for number in range(runs)]
    before = {sample.id: sample.score or 0.0 for sample in first.samples}
    verdicts: dict[str, int] = {}
    most = 0
    for record in project.again(name, budgets):
        after = {sample.id: sample.score or 0.0 for sample in record.samples}
        scores = np.array([before[key] for key in before]), np.array([after[key] for key in before])
        verdict = decide(*scores, margin=0.02)
        verdicts[verdict] = verdicts.get(verdict, 0) + 1
        most = max(most, int(np.sum(scores[0] != scores[1])))
    return {"n": runs, "verdicts": verdicts, "flipped": most, "budgets": sorted(set(budgets))}
