"""Spearman's rank correlation between a model's similarities and people's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pytest_modellab.errors import Unscorable
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DECIMALS = 6
"""To which similarities are rounded before they are ranked: two pairs of equal texts differ by some
1e-7, by batch and machine, and their order must not depend on that."""


NAME = "spearman"


CHANCE = 5 / 6
"""The mean score of similarities that have nothing to do with people's: rho is 0."""


class Similarity:
    """Each pair's contribution to Spearman's rho, between similarities by the model and by people.

    Rho is Pearson's correlation of the ranks, ties getting the mean of theirs (Spearman 1904;
    Kendall 1945). With both sides' ranks standardized over the n pairs to mean 0 and variance 1
    (divided by n), as z and w, it is mean(z w); and since mean(z²) = mean(w²) = 1,

        mean(1 - (z - w)² / 2) = 1 - (1 - 2 mean(z w) + 1) / 2 = mean(z w) = rho.

    So c = 1 - (z - w)² / 2 is a pair's contribution, 1 where both rank it equally, and the mean
    over all pairs is rho exactly. Without ties the variance of ranks is (n² - 1) / 12, so with d
    the difference of a pair's ranks c = 1 - 6 d² / (n² - 1), the textbook's formula term by term;
    since |d| < n it lies in (-5, 1].

    The metric ``spearman`` is c. The score is max(0, (c + 5) / 6), in [0, 1], higher is better; its
    mean is (rho + 5) / 6 where no contribution lies under -5, which takes many ties. Where one
    side's values are all equal, or there is one pair, rho is not defined and every contribution
    is 0.
    """

    name = NAME
    version = 1
    likelihood = True
    ranking = False

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong: not one text to compare with, or no number by people."""
        if len(sample.choices) != 1:
            return (
                "choices: the scorer 'spearman' needs exactly one, the text that the input is "
                "compared with"
            )
        value = sample.target.get("similarity") if isinstance(sample.target, dict) else None
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not abs(value) <= sys.float_info.max  # so written, it catches NaN
        ):
            return (
                "target: the scorer 'spearman' needs "
                f'{{"similarity": a finite number}}, not {sample.target!r}'
            )
        return None

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> list[Scored]:
        """Score pairs, all at once.

        Args:
            samples: pairs; ``target["similarity"]`` is what people gave.
            outputs: each holds one similarity.
            metrics: not used.

        Returns:
            For each pair its score, its contribution, and for the reader similarity and rank, 1 for
            the most similar pair.

        Raises:
            Unscorable: a similarity is NaN.
        """
        import numpy as np

        similarities = np.array([output.option_logprobs[0] for output in outputs])
        if np.isnan(similarities).any():
            sample = samples[int(np.isnan(similarities).argmax())]
            raise Unscorable(f"sample {sample.id!r}: the model's similarity is NaN")
        people = [sample.target["similarity"] for sample in samples]
        ranks = _ranks(similarities.round(DECIMALS))
        contributions = _contributions(ranks, _ranks(np.array(people, dtype=float))).tolist()
        count = len(samples)
        return [
            Scored(
                score=max(0.0, (contribution + 5) / 6),
                answer=f"similarity {similarity:.2f} (rank {count + 1 - rank:g} of {count}, "
                f"people: {given:g})",
                metrics={self.name: contribution},
            )
            for contribution, similarity, rank, given in zip(
                contributions, similarities.tolist(), ranks.tolist(), people, strict=True
            )
        ]


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks from 1; equal values share the mean of theirs."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _contributions(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 - (z - w)² / 2 of two sides' ranks, shape (pairs,); 0 where one is constant."""
    import numpy as np

    if left.std() == 0 or right.std() == 0:
        return np.zeros_like(left)
    z = (left - left.mean()) / left.std()
    w = (right - right.mean()) / right.std()
    contributions: NDArray[np.float64] = 1 - (z - w) ** 2 / 2
    return contributions
