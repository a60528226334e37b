"""What crosses from one stage to the next: frozen records, built-in types only.

They travel between processes, into JSON and back, so no field ever holds a numpy or torch value.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pytest_modellab.records.hashing import digest
from pytest_modellab.records.media import PLACE, Media

DIFFICULTIES = ("easy", "medium", "hard")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One task of a task set.

    Attributes:
        id: unique in its task set.
        input: what the user says to the model; each :data:`~.media.PLACE` in it stands for the next
            medium, and where there is none, all media come before it.
        target: what the scorer compares with: an option's index for ``choice``, a string, a JSON
            schema, ``{"relevant": {document id: grade}}`` for a ranking, ``{"similarity": number}``
            for a pair, ``{"answers": [text]}`` for a question about the corpus.
        scorer: name of the scorer, for example ``choice``.
        capability: the category that scores are reported by.
        difficulty: ``easy``, ``medium`` or ``hard``.
        choices: the options of a multiple-choice sample, else empty.
        cluster: what the sample shares with others (a passage, a template), or None.
        max_tokens: most tokens generated for an answer; 0 where nothing is generated.
        metadata: anything else, reported and usable as a slice.
        media: its images and recordings, in order.
    """

    id: str
    input: str
    target: Any
    scorer: str
    capability: str
    difficulty: str
    choices: tuple[str, ...] = ()
    cluster: str | None = None
    max_tokens: int = 0
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    media: tuple[Media, ...] = ()

    @property
    def asked(self) -> str:
        """The input with a place for each medium, as a prompt is given it."""
        return self.input if PLACE in self.input else PLACE * len(self.media) + self.input

    @functools.cached_property
    def content_hash(self) -> str:
        """sha256 of all that defines the sample, 16 hex digits."""
        content = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        content |= {"metadata": dict(self.metadata)}
        del content["media"]
        return digest({**content, **({"media": self.shown} if self.shown else {})})[:16]

    @property
    def shown(self) -> list[list[str]]:
        """Kind and sha256 of each of its media: all of them that an answer depends on."""
        return [[one.kind, one.sha256] for one in self.media]

    @property
    def bucket(self) -> str:
        """``capability/difficulty``."""
        return f"{self.capability}/{self.difficulty}"


@dataclasses.dataclass(frozen=True)
class Document:
    """One document of a corpus.

    Attributes:
        id: unique in its corpus.
        text: what it says.
        title: what it is called, or empty.
    """

    id: str
    text: str
    title: str = ""

    @property
    def content(self) -> str:
        """Title and text as one, as BEIR joins them (Thakur et al. 2021)."""
        return f"{self.title} {self.text}".strip()


class Corpus(Protocol):
    """The documents that are searched, never all of them in memory.

    ``hash`` is the sha256 over every document in order, 16 hex digits; a document's *row* is its
    place in that order, from 0.
    """

    @property
    def hash(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Document:
        """Return the document of a row."""

    def blocks(self, size: int, start: int = 0) -> Iterator[Sequence[Document]]:
        """Return all documents from row ``start`` on, ``size`` at a time, the last block less."""


@dataclasses.dataclass(frozen=True)
class TaskSet:
    """A versioned, hashed, ordered set of samples.

    Attributes:
        name: as declared in the configuration.
        version: as declared by the task set.
        samples: in file order.
        description: one line.
        path: where it was read from, for messages.
        corpus: the documents that its queries search, or None.
        metrics: what is computed of a ranking beside each sample's scorer, for example
            ``recall@10``.
        note: what a reader of a verdict must know of it, for example what was left out.
        whole: of how many samples a limit has left these, or None.
    """

    name: str
    version: str
    samples: tuple[Sample, ...]
    description: str = ""
    path: str = ""
    corpus: Corpus | None = None
    metrics: tuple[str, ...] = ()
    note: str = ""
    whole: int | None = None

    @property
    def identity(self) -> dict[str, str]:
        """What the record of a run has of it: name, version, hash, and of a part ``limited``."""
        found = {"name": self.name, "version": self.version, "hash": self.hash}
        if self.whole is None:
            return found
        return {**found, "limited": f"{len(self.samples)} of {self.whole}"}

    @functools.cached_property
    def hash(self) -> str:
        """sha256 over every sample's content in order and the corpus, 16 hex digits."""
        samples = [[s.id, s.content_hash] for s in self.samples]
        return digest(samples if self.corpus is None else [samples, self.corpus.hash])[:16]

    @functools.cached_property
    def capabilities(self) -> tuple[str, ...]:
        """Capability names, sorted."""
        return tuple(sorted({s.capability for s in self.samples}))


EXCLUDE = "exclude"
"""The key of a sample's metadata that lists documents which are left out of its ranking."""
