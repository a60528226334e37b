"""What the vectors of a served model should be: by the model that it should have, or a file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_modellab.engines.encoders.served import ServedEncoder
from pytest_modellab.engines.encoders.texts import POOLINGS
from pytest_modellab.engines.packages import required
from pytest_modellab.engines.search.retriever import Retriever
from pytest_modellab.engines.search.settings import Embedding
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError
from pytest_modellab.models import convert, opened
from pytest_modellab.models.files import NO_FILES, named
from pytest_modellab.records import reading
from pytest_modellab.records.hashing import digest
from pytest_modellab.runs.canary import embedding as asked
from pytest_modellab.runs.canary.vectors import WORDS, Declared
from pytest_modellab.store import files as sealed
from pytest_modellab.store import said
from pytest_modellab.store.place import entry
from pytest_modellab.variants.kinds import embedding as kind
from pytest_modellab.variants.loading import Loadable

if TYPE_CHECKING:
    from pytest_modellab.engines.interface import Encoder

VERSION = 1
"""Raised when a reference is made otherwise."""

TEXT = "The bank lends money, and the river that runs past it has two banks of its own."

_FEW, _SEEN = 10, 400
"""Words that any model sees, and those of a text whose end should count, where it sees so many."""

_LEFT = 24
"""Tokens that are left for what a model puts around a text."""

LARGEST = 16 << 20
"""Bytes of a reference file."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A text with its vector.

    Attributes:
        text: a document.
        vector: of it, made by the model that the server should have.
        words: of a text that the model sees to its end.
    """

    text: str
    vector: tuple[float, ...]
    words: int = WORDS


def declared(source: Loadable, engine: object, cache: Path) -> Declared:
    """Return what the vectors of a served model should be, as far as it is declared.

    Args:
        source: the variant.
        engine: opened from it.
        cache: the store's root, where the reference is kept that a model makes.

    Raises:
        ConfigError: the reference file cannot be read.
        ModelError: the model that the server should have cannot be read.
    """
    assert isinstance(engine, Retriever)
    assert isinstance(engine.encoder, ServedEncoder)  # every plan of a served model opens it
    assert source.plan.search is not None
    encoder, embedding = engine.encoder, source.plan.search.embedding
    assert embedding is not None
    found = Declared(
        prompt=encoder.prompts["passage"], prefix=encoder.prompts["query"], fields=encoder.fields
    )
    served = source.plan.served
    if served is not None and served.reference is not None:
        own = read(served.reference)
        return dataclasses.replace(found, text=own.text, vector=own.vector, words=own.words)
    if source.files == NO_FILES:
        return found
    try:
        own = _kept(source, embedding, cache)
    except VariantLoadError as error:  # what asks servers alone need not be able to
        return dataclasses.replace(found, unsaid=f"the model cannot be run here: {error}")
    return dataclasses.replace(
        found,
        text=own.text,
        vector=own.vector,
        words=own.words,
        otherwise=functools.partial(_otherwise, source, embedding, cache),
    )


def read(file: Path) -> Reference:
    """Read a reference file: ``{"text": "…", "vector": [0.1, …]}``.

    Raises:
        ConfigError: it is missing, too large, or something else.
    """
    told = "a reference is a JSON object with text, a document, and vector, its numbers"
    try:
        if file.stat().st_size > LARGEST:
            raise ConfigError(f"reference: {file} is larger than {LARGEST >> 20} MB; {told}")
        data = json.loads(file.read_bytes())
        found = reading.build(Reference, data)
    except OSError as error:
        raise ConfigError(f"reference: {file} cannot be read: {error}") from error
    except (ValueError, RecursionError, reading.Unfit) as error:
        raise ConfigError(f"reference: {file}: {error}; {told}") from error
    if not found.vector or not found.text:
        raise ConfigError(f"reference: {file}: its text or its vector is empty; {told}")
    return found


def _kept(source: Loadable, embedding: Embedding, cache: Path) -> Reference:
    """Take the reference that the declared model makes from the store, or make it."""
    files, own = source.files, dataclasses.replace(embedding, query_prompt=None)
    versions = {name: required(name) for name in kind.runtime(source.plan.model)}
    of = digest([VERSION, TEXT, files.weights, files.tokenizer, own.identity(), versions])
    place = entry(cache, "references", [of]) / "reference.json"
    found = sealed.read(place, lambda data: reading.build(Reference, data), of=of)
    if found is None:
        said.say(f"{named(files.source)} is run once, to know what its server should answer …")
        with contextlib.closing(_loaded(source, embedding, cache)) as encoder:
            (vector,) = encoder.encode([TEXT], "passage").tolist()
            few, seen = encoder.count_tokens([*map(asked.long_text, (_FEW, _SEEN))], "passage")
        words = int((seen - _LEFT) / max(1.0, few / _FEW))
        found = Reference(TEXT, tuple(vector), max(1, words))
        sealed.write(place, dataclasses.asdict(found), of=of)
    return found


def _otherwise(
    source: Loadable, embedding: Embedding, cache: Path
) -> Mapping[str, tuple[float, ...]]:
    """Return the text's vectors by the other poolings, as far as the model can be pooled so."""
    found = {}
    for pooling in POOLINGS:
        other = dataclasses.replace(embedding, pooling=pooling)
        with (
            contextlib.suppress(ModelError),
            contextlib.closing(_loaded(source, other, cache)) as encoder,
        ):
            found[pooling] = tuple(encoder.encode([TEXT], "passage")[0].tolist())
    return found


def _loaded(source: Loadable, embedding: Embedding, cache: Path) -> Encoder:
    """Load the model that a server should have."""
    folder = convert.folder(source.files, cache)
    plan = dataclasses.replace(source.plan, dtype="float32", device="cpu")
    with opened.checked(source.files):
        return kind.in_process(embedding, plan, folder)
