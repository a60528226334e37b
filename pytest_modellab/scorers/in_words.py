"""Multiple choice asked in words: lettered options, of which a model writes the letter.

For models whose likelihoods nobody tells, as those behind most servers, and for whoever wants to
judge what a user sees.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.graded import NAMED
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.runs import Output, SampleResult
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.choice import MultipleChoice
from pytest_modellab.scorers.letters import read

ASK = "Reply with the letter of the right answer alone.\nAnswer:"
"""Stands below the options; without the cue small models write the options down once more."""

TEMPLATE = f"{{question}}\n\n{{options}}\n\n{ASK}"
"""Question, options and what is asked for, as MMLU and its kin show them (``A. …``)."""

OPTION = "{letter}. {text}"

LETTERS = string.ascii_uppercase

TOKENS = 16
"""Most tokens of a reply where a sample does not say: a letter, and some words around it."""

ONE_LETTER = "one_letter"
"""The metric of a run that tells which share of its replies names the most frequent letter."""

_FEW = 20
"""Replies of which fewer may name one letter by chance."""

_LAST = "the above"
"""An option that speaks of those above it."""


class ChoiceInWords:
    """1 where the reply names the right option and no other.

    The reply is read by :func:`.letters.read`; one that names none, or several, is wrong. The order
    of the options is drawn by :func:`order`. Range [0, 1], higher is better.
    """

    name = "choice_in_words"
    version = 1
    likelihood = False

    def check(self, sample: Sample) -> str | None:
        return MultipleChoice().check(sample)

    def score(self, sample: Sample, output: Output) -> tuple[float, str]:
        """Score one sample.

        Args:
            sample: multiple choice; ``target`` is the right option's index.
            output: the reply to :func:`question`.

        Returns:
            1.0 or 0.0, and the option that is named with its letter, or why none is.
        """
        shown = _shown(sample)
        place, why = read(output.text, shown)
        if place is None:
            return 0.0, f"({why}) {output.text}"
        answer = OPTION.format(letter=LETTERS[place], text=shown[place])
        return float(order(sample)[place] == sample.target), answer

    def figures(self, sample: Sample, output: Output) -> dict[str, float]:
        """Tell whether a reply names an option."""
        place, _ = read(output.text, _shown(sample))
        return {NAMED: float(place is not None)}


IDENTITY = digest([ChoiceInWords.version, TEMPLATE, OPTION, TOKENS])[:16]
"""Changes with what is asked: stored replies to something else are not taken up."""


def question(sample: Sample) -> str:
    """Return what a sample is asked in words, with the places of its media.

    Raises:
        ScoringError: it has more options than there are letters.
    """
    if len(sample.choices) > len(LETTERS):
        raise ScoringError(
            f"sample {sample.id}: it has {len(sample.choices)} options, and in words "
            f'(scoring = "generated") at most {len(LETTERS)} can be asked, a letter each: show '
            'fewer, or set scoring = "likelihood"'
        )
    return _written(sample.asked, _shown(sample))


def example(asked: str, options: Sequence[str], right: str) -> tuple[str, str]:
    """Return a worked example: what is asked in words, and the letter that is replied.

    Args:
        asked: the question.
        options: at most 26.
        right: one of them.
    """
    shown = [options[index] for index in _drawn([asked, *options], options)]
    return _written(asked, shown), LETTERS[shown.index(right)]


def _written(asked: str, options: Sequence[str]) -> str:
    lines = [
        OPTION.format(letter=letter, text=text)
        for letter, text in zip(LETTERS, options, strict=False)
    ]
    return TEMPLATE.format(question=asked, options="\n".join(lines))


def order(sample: Sample) -> tuple[int, ...]:
    """Return the indices of a sample's options in the order that they are shown.

    Drawn by hashes of what is asked, so that it is the same on any machine, in a part of the task
    set, and after the target was corrected: in many task sets the right option stands first, and a
    model that always says "A" would get them right. Options of which one speaks of "the above" stay
    as they are.
    """
    asked = [sample.id, sample.input, sample.choices, sample.shown]
    return _drawn(asked, sample.choices)


def _shown(sample: Sample) -> list[str]:
    return [sample.choices[index] for index in order(sample)]


def _drawn(asked: Sequence[object], options: Sequence[str]) -> tuple[int, ...]:
    places = range(len(options))
    if any(_LAST in option.casefold() for option in options):
        return tuple(places)
    return tuple(sorted(places, key=lambda place: digest([*asked, place])))


def one_letter(results: Iterable[SampleResult]) -> float | None:
    """Return the share of the replies that name the most frequent letter, of those that name one.

    Args:
        results: of a run.

    Returns:
        None where too few name one. The right options are spread evenly over the letters, so that a
        share near 1 is of a model that goes by the letter.
    """
    found = Counter(one.output[0] for one in results if one.metrics.get(NAMED) == 1.0)
    if found.total() < _FEW:
        return None
    return max(found.values()) / found.total()


def tokens(sample: Sample) -> int:
    """Return the most tokens of a reply; of a choice without a limit of its own :data:`TOKENS`."""
    return sample.max_tokens or (TOKENS if sample.choices else 0)
