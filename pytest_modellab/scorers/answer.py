"""Token F1 of a generated answer, and whether what was shown supports it."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scored

_PUNCTUATION = str.maketrans("", "", string.punctuation)


_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def words(text: str) -> list[str]:
    """Split a text as SQuAD's evaluation does: lower case, no punctuation, no articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Return the harmonic mean of precision and recall of words, each counted as often as said."""
    common = (Counter(said) & Counter(wanted)).total()
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


class Answer:
    """The best word F1 of the reply's first line over the target's answers.

    As SQuAD's evaluation (Rajpurkar et al. 2016): words in lower case without punctuation and
    articles. Only the first line counts, since small models go on. Range [0, 1], higher is better.

    Metrics beside the score, which is ``f1``:

    - ``exact``: 1 where the words are those of an answer, in order;
    - ``supported``: the largest share of the reply's words that stand in one of the passages that
      were shown (the K-precision of Adlakha et al. 2024, "Evaluating Correctness and Faithfulness
      of Instruction-Following Models for Question Answering", of the best passage). 0 for an empty
      reply, and where nothing was shown. It says whether the words were there to be read, not
      whether they are right.
    """

    name = "answer_f1"
    version = 1
    likelihood = False
    ranking = False
    alone = True

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with the target: no answers, or one without a word."""
        answers = sample.target.get("answers") if isinstance(sample.target, dict) else None
        if not isinstance(answers, list) or not answers:
            return (
                "target: the scorer 'answer_f1' needs {\"answers\": [text, …]} "
                "with at least one answer"
            )
        for answer in answers:
            if not isinstance(answer, str) or not words(answer):
                return (
                    f"target: answers: {answer!r} is not a text with a word other than an article"
                )
        return None

    def score_all(
        self, samples: Sequence[Sample], outputs: Sequence[Output], metrics: Sequence[str]
    ) -> list[Scored]:
        """Score replies.

        Args:
            samples: questions; ``target["answers"]`` holds what is right.
            outputs: one reply for each, with the passages that were shown.
            metrics: not used.

        Returns:
            For each question its score, its metrics and the reply's first line.
        """
        return [
            _scored(sample.target["answers"], output)
            for sample, output in zip(samples, outputs, strict=True)
        ]


def _scored(answers: Sequence[str], output: Output) -> Scored:
    line = next(iter(output.text.strip().splitlines()), "").strip()
    said = words(line)
    wanted = [words(answer) for answer in answers]
    best = max(f1(said, answer) for answer in wanted)
    return Scored(
        score=best,
        answer=line,
        metrics={
            "f1": best,
            "exact": float(said in wanted),
            "supported": _supported(said, output.passages),
        },
    )


def _supported(said: Sequence[str], passages: Sequence[str]) -> float:
    if not said:
        return 0.0
    shown = [set(words(passage)) for passage in passages]
    return max((sum(word in known for word in said) for known in shown), default=0) / len(said)
