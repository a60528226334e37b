"""Word and character error rate of a transcription."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_modellab.errors import ScoringError, Unscorable, near_misses
from pytest_modellab.records import counts
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored
from pytest_modellab.scorers.normalization import NORMALIZATIONS

LONGEST = 100_000
"""Characters of a reference."""


WORK = 10**10
"""Cells of an alignment's table, the reference's size times the reply's: a second at most."""


class ErrorRate:
    """How much of a text was heard or read wrongly: ``wer`` by words, ``cer`` by characters.

    The reply is aligned with the reference by the fewest substitutions S, deletions D and
    insertions I (Levenshtein; jiwer counts them). The score is 1 - min(1, (S + D + I) / N) with N
    the reference's words or characters: in [0, 1], higher is better, and 0 where there are as many
    errors as words. Of an empty reference (silence) it is 1 where the reply is empty and else 0.

    The counts are the sample's metrics (``word_hits``, ``word_substitutions``, ``word_deletions``,
    ``word_insertions``, ``words`` = hits + substitutions + deletions; ``character_…``), so that
    the rate of the corpus, all errors / all words, is exact: it is no mean of the samples' rates,
    and insertions are counted in full.

    The target is the text, or ``{"text": …, "normalize": name}`` with one of
    :data:`~.normalization.NORMALIZATIONS`, which reply and reference both go through; of a text
    alone it is ``none``. Words are what stands between white space; characters are code points, and
    white space between words is one.
    """

    version = 1
    likelihood = False
    ranking = False
    alone = True

    def __init__(self, name: str) -> None:
        self.name = name

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the target: no text, an unknown normalization, nothing left."""
        target = sample.target
        given = target if isinstance(target, dict) else {"text": target}
        if not isinstance(given.get("text"), str) or not given.keys() <= {"text", "normalize"}:
            return (
                f"target: the scorer {self.name!r} needs the text, or "
                f'{{"text": text, "normalize": name}}, not {sample.target!r}'
            )
        if problem := unknown(given):
            return problem
        text = given["text"]
        if len(text) > LONGEST:
            return f"target: a text of {len(text)} characters; {LONGEST} is the most"
        if text.strip() and not self.units(sample, text):
            return (
                f"target: {text!r} has no {counts.UNITS[self.name]} left after "
                f"{given.get('normalize', 'none')!r}; of silence the text is empty"
            )
        return None

    def units(self, sample: Sample, text: str) -> list[str]:
        """Return a text's words or characters after the sample's normalization."""
        normalized = normalization(sample.target)(text)
        return normalized.split() if self.name == counts.WER else list(normalized)

    def reference(self, sample: Sample) -> list[str]:
        """Return the words or characters that should have been said."""
        target = sample.target
        return self.units(sample, target["text"] if isinstance(target, dict) else target)

    def lost(self, sample: Sample) -> dict[str, float]:
        """Return the counts of a sample without a reply: all of it is deleted."""
        return self._figures(0, 0, len(self.reference(sample)), 0)

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> list[Scored]:
        """Score replies.

        Args:
            samples: what was asked.
            outputs: one for each sample.
            metrics: not used.

        Returns:
            For each sample its score, its counts, and the reply as it was given.

        Raises:
            ScoringError: jiwer is missing.
            Unscorable: reply and reference together are too long to be aligned.
        """
        return [self._scored(s, output.text) for s, output in zip(samples, outputs, strict=True)]

    def _scored(self, sample: Sample, reply: str) -> Scored:
        wanted, said = self.reference(sample), self.units(sample, reply)
        if len(wanted) * len(said) > WORK:
            unit = counts.size(self.name)
            raise Unscorable(
                f"the reply has {len(said)} {unit}, the reference {len(wanted)}: more than "
                f"{WORK:.0e} pairs are not aligned"
            )
        jiwer = needed(self.name)
        # already split: the transformation hands its input through
        found = jiwer.process_words([""], [""], lambda _: [wanted], lambda _: [said])
        errors = found.substitutions + found.deletions + found.insertions
        return Scored(
            score=1 - min(1.0, errors / max(1, len(wanted))),
            answer=reply,
            metrics=self._figures(
                found.hits, found.substitutions, found.deletions, found.insertions
            ),
        )

    def _figures(self, *values: int) -> dict[str, float]:
        named = dict(zip(counts.KINDS, map(float, values), strict=True))
        size = sum(values[:3])
        return {
            **{counts.name(self.name, kind): value for kind, value in named.items()},
            counts.size(self.name): float(size),
        }


def unknown(target: dict[str, Any]) -> str | None:
    """Say that a target's normalization is unknown, or None."""
    name = target.get("normalize", "none")
    if isinstance(name, str) and name in NORMALIZATIONS:
        return None
    return f"target: normalize: unknown {name!r}; {near_misses(str(name), [*NORMALIZATIONS])}"


def normalization(target: Any, default: str = "none") -> Any:
    """Return the function that a target's texts go through."""
    name = target.get("normalize", default) if isinstance(target, dict) else default
    return NORMALIZATIONS[name]


def needed(scorer: str) -> Any:
    """Import jiwer.

    Raises:
        ScoringError: it is missing.
    """
    try:
        import jiwer
    except ImportError as error:
        raise ScoringError(
            f"the scorer {scorer!r} needs jiwer: pip install 'pytest-modellab[speech]'"
        ) from error
    return jiwer
