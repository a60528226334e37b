"""Metrics of rankings: nDCG, recall, precision, reciprocal rank, average precision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_modellab.errors import ScoringError, near_misses
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored

FAMILIES = ("ndcg", "recall", "precision", "mrr", "map")


SHOWN = 3
"""Documents of a ranking that a reader sees."""


HIGHEST_GRADE = 1000
"""trec_eval counts documents by grade, in an array as long as the highest grade."""


_NAME = re.compile(rf"({'|'.join(FAMILIES)})(?:@([1-9][0-9]*))?")


def known() -> tuple[str, ...]:
    """Return what :func:`parse` takes, K being a number of documents, for messages."""
    return tuple(f"{family}@K" for family in FAMILIES)


def parse(name: str) -> Ranking | None:
    """Return the scorer of a name such as ``ndcg@10`` or ``map``, or None where it is none."""
    return Ranking(name) if _NAME.fullmatch(name) else None


class Ranking:
    """A metric of the ranking that a search returned, as trec_eval computes it.

    With K, the first K documents count; without, the whole ranking. A document is relevant from
    grade 1 on, and one that is not judged is not relevant. Computed by ir_measures (MacAvaney et
    al. 2022), which calls trec_eval through pytrec_eval (Van Gysel and de Rijke 2018):

    - ``ndcg``: gain = grade (linear), discount 1 / log2(rank + 1), over that of the ideal ranking
      (Järvelin and Kekäläinen 2002); the only one that looks at grades;
    - ``recall``: relevant documents found, over all that are relevant;
    - ``precision``: relevant documents found, over K even where fewer came back, or without K over
      those that came back;
    - ``mrr``: 1 / rank of the first relevant document, 0 where there is none;
    - ``map``: precision at the rank of each relevant document found, summed, over all that are
      relevant.

    An empty ranking scores 0. Range [0, 1], higher is better.

    Args:
        name: one that :func:`parse` takes.
    """

    version = 1
    likelihood = False
    ranking = True
    alone = True

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the target: no or wrong grades of relevant documents."""
        relevant = sample.target.get("relevant") if isinstance(sample.target, dict) else None
        if not isinstance(relevant, dict) or not relevant:
            return (
                f"target: the scorer {self.name!r} needs "
                '{"relevant": {document id: grade}} with at least one document'
            )
        for document, grade in relevant.items():
            if type(grade) is not int or not 1 <= grade <= HIGHEST_GRADE:
                return (
                    f"target: relevant: {document!r} has the grade {grade!r}, which is not a whole "
                    f"number from 1 to {HIGHEST_GRADE}; leave out what is not relevant"
                )
        return None

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> list[Scored]:
        """Score rankings; the order of :attr:`Output.ranking` counts, its scores do not.

        Args:
            samples: queries; ``target["relevant"]`` holds grades by document id.
            outputs: one ranking for each query.
            metrics: further names that :func:`parse` takes.

        Returns:
            For each query this metric as its score, this and all further ones as its metrics, and
            the first documents with a star on relevant ones.

        Raises:
            ScoringError: ir_measures is missing, or a metric is unknown.
        """
        try:
            import ir_measures
        except ImportError as error:
            raise ScoringError(
                f"the scorer {self.name!r} needs ir_measures: "
                "pip install 'pytest-modellab[embedding]'"
            ) from error
        measures = {name: _measure(name) for name in (self.name, *metrics)}
        # Queries go by number, and scores fall by one a rank, so that no tie is left to break.
        judged = {str(i): dict(sample.target["relevant"]) for i, sample in enumerate(samples)}
        ranked = {
            str(i): {_encodable(id_): float(-rank) for rank, (id_, _) in enumerate(output.ranking)}
            for i, output in enumerate(outputs)
            if output.ranking
        }
        values = {
            (found.query_id, str(found.measure)): float(found.value)
            for found in ir_measures.iter_calc(list(measures.values()), judged, ranked)
        }
        scored = []
        for i, (sample, output) in enumerate(zip(samples, outputs, strict=True)):
            figures = {name: values[str(i), str(measure)] for name, measure in measures.items()}
            scored.append(Scored(figures[self.name], _shown(sample, output), figures))
        return scored


def _encodable(document: str) -> str:
    """An id that C code can take; an engine of somebody's own may find half a surrogate pair."""
    return document.encode("utf-8", "backslashreplace").decode("utf-8")


def _measure(name: str) -> Any:
    """Return ir_measures' measure of a name.

    Raises:
        ScoringError: there is no such metric.
    """
    from ir_measures import AP, RR, P, R, SetP, SetR, nDCG

    match = _NAME.fullmatch(name)
    if match is None:
        raise ScoringError(f"metrics: unknown {name!r}; {near_misses(name, known())}")
    family, cut = match.groups()
    if cut is None:
        return {"ndcg": nDCG, "recall": SetR, "precision": SetP, "mrr": RR, "map": AP}[family]
    return {"ndcg": nDCG, "recall": R, "precision": P, "mrr": RR, "map": AP}[family] @ int(cut)


def _shown(sample: Sample, output: Output) -> str:
    """Return the first documents, and where the first relevant one comes if not among them."""
    relevant = sample.target["relevant"]
    ids = [document for document, _ in output.ranking]
    if not ids:
        return "(nothing found)"
    first = next((rank for rank, document in enumerate(ids) if document in relevant), None)
    text = ", ".join(
        f"{document}*" if document in relevant else document for document in ids[:SHOWN]
    )
    if first is None:
        return f"{text}; no relevant one in the first {len(ids)}"
    return text if first < SHOWN else f"{text}; first relevant: {ids[first]} at {first + 1}"
