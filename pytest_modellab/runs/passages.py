"""The passages that a search puts before a prompt."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pytest_modellab.errors import ScoringError
from pytest_modellab.records.media import PLACE
from pytest_modellab.records.tasks import Corpus, Sample
from pytest_modellab.runs.corpus import searched
from pytest_modellab.runs.job import Job, Prompting
from pytest_modellab.scorers.choice import MultipleChoice
from pytest_modellab.scorers.in_words import question
from pytest_modellab.store.runs import StoredRun

BLOCK = 1024
"""Documents that are read at once."""


@dataclasses.dataclass(frozen=True)
class Grounded:
    """A prompt with what a search found, which it shows beside each input.

    Attributes:
        prompt: turns an input and its passages into chat messages.
        found: the passages by the sample's input, the best first; empty without a search.
        in_words: whether multiple choice is asked in words.
    """

    prompt: Prompting
    found: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    in_words: bool = False

    def passages(self, input_: str) -> tuple[str, ...]:
        """Return what is shown beside an input."""
        return self.found[input_] if self.found else ()

    def messages(self, input_: str) -> Sequence[Mapping[str, str]]:
        """Return the chat for one input, ready for the model's reply."""
        return self.prompt.messages(input_, self.passages(input_))

    def chat(self, sample: Sample) -> Sequence[Mapping[str, str]]:
        """Return the chat for one sample, each of its media in its place.

        Raises:
            ScoringError: a medium would be shown twice, or not at all; or a choice has more options
                than can be asked in words.
        """
        prompt, asked = self.prompt, sample.asked
        if self.in_words and sample.scorer == MultipleChoice.name:
            # of a prompt of somebody else that knows no such examples, as it is
            prompt, asked = getattr(prompt, "in_words", prompt), question(sample)
        chat = prompt.messages(asked, self.passages(sample.input))
        places = sum(message["content"].count(PLACE) for message in chat)
        if sample.media and places != len(sample.media):
            raise ScoringError(
                f"sample {sample.id}: its prompt has {places} places (U+FFFC) for "
                f"{len(sample.media)} images and recordings; let the template write "
                "{{ input }} once and unchanged, and no example and no passage hold the character"
            )
        return chat


def best_passages(
    job: Job, stored: StoredRun, corpus: Corpus, count: int
) -> dict[str, tuple[str, ...]]:
    """Take the best documents of a finished search.

    Args:
        job: the search.
        stored: what it found.
        corpus: what was searched.
        count: how many documents a sample gets.

    Returns:
        The texts of the best documents by the sample's input, the best first.

    Raises:
        ScoringError: equal inputs would get different documents.
    """
    found: dict[str, list[str]] = {}
    for sample, output in zip(job.task_set.samples, stored.outputs, strict=True):
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
