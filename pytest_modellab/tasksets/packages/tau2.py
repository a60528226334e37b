"""The banking domain of τ²-bench (Barres et al. 2025), from the package ``inspect_evals``.

A bank's internal documents are the corpus; a query is what a customer's part in one task is told,
and relevant are the documents that the task cannot be solved without.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab.records.tasks import Document
from pytest_modellab.tasksets import beir
from pytest_modellab.tasksets.quality.lint import shingles

_FOLDER = "inspect_evals/tau2/data/domains/banking_knowledge"


FILES = (f"{_FOLDER}/documents.json.gz", f"{_FOLDER}/tasks.json")


FAMILIES = ("credit_cards", "checking_accounts", "savings_accounts", "bank_accounts")
"""Capabilities: what most documents of a query are about, the earlier among equals. A product for
businesses counts as its kind, and ``bank_accounts`` (procedures for all accounts) takes the rest:
none of the others would have ten queries."""


ALIKE = 0.5
"""Jaccard similarity of two queries' word trigrams from which they tell one story: the tasks of a
story differ in a few turns of it, so a model that finds its documents for one mostly does for all.
"""


def write(files: Sequence[Path], folder: Path) -> None:
    """Write documents, queries and judgements in BEIR's layout.

    Args:
        files: :data:`FILES` as they are installed.
        folder: destination.
    """
    documents, tasks = files
    with gzip.open(documents, "rt", encoding="utf-8") as file:
        entries = json.load(file)
    queries = json.loads(tasks.read_text(encoding="utf-8"))
    beir.write(
        folder,
        [Document(e["id"], e["content"], e["title"]) for e in entries],
        [_query(task, cluster) for task, cluster in zip(queries, _clusters(queries), strict=True)],
        [(task["id"], document, 1) for task in queries for document in task["required_documents"]],
    )


def family(documents: Iterable[str]) -> str:
    """Return the one of :data:`FAMILIES` that most of these documents belong to."""
    counts = Counter(
        next((name for name in FAMILIES if f"_{name}_" in id), FAMILIES[-1]) for id in documents
    )
    return max(FAMILIES, key=counts.__getitem__)


def _clusters(tasks: Sequence[dict[str, Any]]) -> list[str]:
    """For each task the first task of its story."""
    wordings = [shingles(task["user_scenario"]["instructions"]) for task in tasks]
    found: list[str] = []
    for i, (task, own) in enumerate(zip(tasks, wordings, strict=True)):
        alike = (found[j] for j in range(i) if _jaccard(own, wordings[j]) >= ALIKE)
        found.append(next(alike, task["id"]))
    return found


def _jaccard(a: Set[Any], b: Set[Any]) -> float:
    return len(a & b) / len(a | b)


def _query(task: dict[str, Any], cluster: str) -> dict[str, Any]:
    documents = task["required_documents"]
    return {
        "_id": task["id"],
        "text": task["user_scenario"]["instructions"],
        "metadata": {
            "capability": family(documents),
            "cluster": cluster,
            "required": len(documents),  # no measure of difficulty: BM25 and MiniLM disagree
        },
    }
