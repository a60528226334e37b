"""The passages that a search puts before a prompt."""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import ScoringError
from pytest_modellab.runs.job import DEFAULT_BUDGET, Job
from pytest_modellab.runs.runner import _obtain
from pytest_modellab.runs.scoring import searched

BLOCK = 1024
"""Documents that are read at once."""


def best_passages(job: Job, cache: Path, count: int, *, reuse: bool) -> dict[str, tuple[str, ...]]:
    """Search the corpus of a task set for each of its samples.

    Args:
        job: a variant that searches, on samples that are scored as rankings.
        cache: the store's root.
        count: how many documents a sample gets.
        reuse: False to search anew whatever the store has.

    Returns:
        The texts of the best documents by the sample's input, the best first.

    Raises:
        ModellabError: as :func:`run`.
    """
    stored, _ = _obtain(job, cache, DEFAULT_BUDGET, reuse, lambda _done, _total: None)
    samples, corpus = job.task_set.samples, job.task_set.corpus
    assert corpus is not None  # open_corpus() has refused what ranks nothing
    found: dict[str, list[str]] = {}
    for sample, output in zip(samples, stored.outputs, strict=True):
        ids = [id_ for id_, _ in searched(sample, output, job.task_set).ranking[:count]]
        if found.setdefault(sample.input, ids) != ids:
            raise ScoringError(
                f"sample {sample.id!r} asks what another one asks and excludes other documents, "
                "so that nothing says which passages to show; give it another wording"
            )
    wanted = {id_ for ids in found.values() for id_ in ids}
    texts = {
        document.id: document.content
        for block in corpus.blocks(BLOCK)
        for document in block
        if document.id in wanted
    }
    return {input_: tuple(texts[id_] for id_ in ids) for input_, ids in found.items()}
