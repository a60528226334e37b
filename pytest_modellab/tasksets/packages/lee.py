"""The news articles of Lee, Pincombe and Welsh (2005), from the package ``gensim``.

50 short articles and how similar people found each two of them: the mean of 8 to 12 ratings
from 1 ("highly unrelated") to 5 ("highly related"), divided by 5.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from pytest_modellab.records.tasks import Document
from pytest_modellab.tasksets import beir, sts

FILES = ("gensim/test/test_data/lee.cor", "gensim/test/test_data/similarities0-1.txt")


GRADES = ((0.9, 3), (0.7, 2), (0.5, 1))
"""Least similarity of a grade: the mean rating, rounded, less 2; below, not relevant."""


def write_news(files: Sequence[Path], folder: Path) -> None:
    """Write a retrieval set in BEIR's layout: each article asks for those that are like it.

    The corpus holds all articles, so each query excludes itself. All pairs are judged.

    Args:
        files: :data:`FILES` as they are installed.
        folder: destination.
    """
    texts, similarities = _read(files)
    names = [_name(i) for i in range(len(texts))]
    judgements = {
        (a, b): _grade(similarity)
        for (i, j), similarity in similarities.items()
        for a, b in ((i, j), (j, i))
    }
    beir.write(
        folder,
        [Document(name, text) for name, text in zip(names, texts, strict=True)],
        [
            {"_id": name, "text": text, "metadata": {"exclude": [name]}}
            for name, text in zip(names, texts, strict=True)
        ],
        [(names[a], names[b], grade) for (a, b), grade in sorted(judgements.items())],
    )


def write_similarity(files: Sequence[Path], folder: Path) -> None:
    """Write a similarity set of all pairs; a cluster are those of one first article.

    Args:
        files: :data:`FILES` as they are installed.
        folder: destination.
    """
    texts, similarities = _read(files)
    sts.write(
        folder,
        [
            {
                "id": f"{i + 1}-{j + 1}",
                "a": texts[i],
                "b": texts[j],
                "similarity": similarity,
                "cluster": _name(i),
            }
            for (i, j), similarity in similarities.items()
        ],
    )


def _name(index: int) -> str:
    return f"document {index + 1}"


def _grade(similarity: float) -> int:
    return next((grade for least, grade in GRADES if similarity >= least), 0)


def _read(files: Sequence[Path]) -> tuple[list[str], dict[tuple[int, int], float]]:
    """Articles, and the similarity of each two by their indices, the smaller one first."""
    articles, matrix = files
    texts = articles.read_text(encoding="latin-1").splitlines()
    rows = [
        [float(value) for value in line.split("\t")]
        for line in matrix.read_text(encoding="ascii").splitlines()
    ]
    pairs = itertools.combinations(range(len(texts)), 2)
    return texts, {(i, j): rows[i][j] for i, j in pairs}
