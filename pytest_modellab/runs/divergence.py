"""How far a candidate has moved from its base on the samples' own tokens: measured, and stored.

The base is read first, and its distributions are kept in the store, reduced; the candidate then
needs no base beside it. Never more than a batch of whole distributions is held.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.batching import common_prefix
from pytest_modellab.engines.interface import (
    Predicting,
    ReadingRequest,
    ScoringRequest,
    Texts,
    predicting,
)
from pytest_modellab.engines.language import rolling
from pytest_modellab.engines.tokens import encode_texts
from pytest_modellab.errors import ComparisonRefused, OutOfMemory, ScoringError
from pytest_modellab.records import reading, windows
from pytest_modellab.records.divergence import Divergence, Moved
from pytest_modellab.records.graded import is_choice
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.reading import Count
from pytest_modellab.records.tasks import Sample
from pytest_modellab.runs.answering import importing
from pytest_modellab.runs.batches import check_seen, halved, token_budget
from pytest_modellab.runs.distributions import Compared, divergences, reduced, rest
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store import arrays, files
from pytest_modellab.store.place import entry
from pytest_modellab.store.results import Result

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYOUT = 2

KEPT = 256
"""Of each of the base's distributions so many probabilities are kept one by one."""

PLACES = 1024
"""Of a document's window so many tokens are predicted at once, so that memory is bounded: what
stands before them in the window is given again with each such piece."""

_BLOCK = 1024
"""Rows that are written at a time, at least."""


@dataclasses.dataclass(frozen=True)
class _Said:
    """What is said to a model.

    Attributes:
        texts: of every chat one, of every document its windows' pieces, in the samples' order.
        owners: the sample that each text is of.
    """

    texts: Texts
    owners: tuple[int, ...]

    @property
    def order(self) -> list[int]:
        """The texts in the order in which they are read: the longest first."""
        lengths = self.texts.lengths
        return sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a model's texts were, beside its distributions.

    Attributes:
        texts: digest of all token ids.
        vocabulary: digest of the tokenizer's tokens and their ids.
        places: rows of each text.
    """

    texts: str
    vocabulary: str
    places: tuple[Count, ...]


def obtain(job: Job, base: Job, executor: InProcess) -> Divergence:
    """Return what the store has, or measure and keep it.

    Args:
        job: the candidate; without ``reuse`` both are read anew.
        base: what it is compared with, on the same task set.
        executor: loads one of them at a time.

    Raises:
        ComparisonRefused: the two do not read the same tokens.
        ScoringError: an engine does not tell whole distributions.
        ModellabError: a model cannot be loaded.
        OSError: the store cannot be written.
    """
    folder = _folder(executor.cache, base)
    place = entry(executor.cache, "divergences", [LAYOUT, folder.name, job.fingerprint.key])
    path = place.with_suffix(".json")
    result = Result(
        path, "divergences", place.name, lambda data: _found(data, job), executor.remote
    )
    lost = f"the stored divergence of {job.spec.name} on {job.task_set.name} is not used"
    if job.reuse and (found := result.read(lost=lost)) is not None:
        return found
    with importing(), executor.turn([base.source, job.source]):
        read, kept = _distributions(base, executor, folder)
        made = _compared(job, base, executor, read, kept)
    theirs = result.write(dataclasses.asdict(made), anew=not job.reuse)
    return made if theirs is None else theirs


def _found(data: object, job: Job) -> Divergence:
    read = reading.build(Divergence, data)
    if len(read.samples) != len(job.task_set.samples):
        raise reading.Unfit("samples: not the task set's")
    return read


def _folder(cache: Path, base: Job) -> Path:
    """The place of a base's distributions, named by what they depend on."""
    corpus = base.task_set.corpus
    made_of = [
        LAYOUT,
        KEPT,
        base.fingerprint.key,
        [[sample.input, _right(sample), *_cut(sample)] for sample in base.task_set.samples],
        None if corpus is None else corpus.hash,
    ]
    return entry(cache, "distributions", made_of)


def _right(sample: Sample) -> tuple[str, ...]:
    """The reply that a sample itself has: the right option of a multiple choice."""
    return (sample.choices[sample.target],) if is_choice(sample) else ()


def _cut(sample: Sample) -> list[Any]:
    """What a document's pieces depend on, beside the text and the model."""
    document = windows.is_document(sample)
    return [windows.VERSION, PLACES, windows.of(sample)] if document else []


def _distributions(
    base: Job, executor: InProcess, folder: Path
) -> tuple[_Read, NDArray[np.float32]]:
    """Return the base's distributions, reduced, reading the texts where they are not stored."""
    path = folder / "texts.json"
    if not base.reuse:
        files.remove(path)
        files.remove(folder / "meta.json")
    read = files.read(path, lambda data: reading.build(_Read, data), of=folder.name)
    if read is None:
        read = _opened(base, executor)[2]
        files.write(path, dataclasses.asdict(read), of=folder.name)
    places = read.places

    def make(done: int, known: arrays.Known) -> Iterator[tuple[NDArray[Any], arrays.Known]]:
        import numpy as np

        engine, said, now = _opened(base, executor)
        if now != read:
            raise ScoringError(
                f"{base.spec.name!r} reads other tokens than it did when its distributions were "
                f"begun; delete {folder} and run again"
            )
        skip: set[int] = set()
        for i in said.order:  # rows of the texts that are there already
            if done <= 0:
                break
            skip.add(i)
            done -= places[i]
        waiting: list[NDArray[np.float32]] = []
        for _, rows in _predictions(base, engine, said, skip, executor):
            waiting.append(reduced(rows, KEPT))
            if sum(map(len, waiting)) >= _BLOCK:
                yield np.concatenate(waiting), known
                waiting = []
        if waiting:
            yield np.concatenate(waiting), known

    shape = (sum(places), 2 * KEPT + 1)
    kept, _ = arrays.keep(folder, shape, "float32", make, block=_BLOCK)
    return read, kept


def _compared(
    job: Job, base: Job, executor: InProcess, read: _Read, kept: NDArray[np.float32]
) -> Divergence:
    import numpy as np

    engine, said, now = _opened(job, executor)
    _same_tokens(job, base, now, read)
    start, starts = 0, {}
    for i in said.order:
        starts[i] = start
        start += read.places[i]
    parts: list[list[_Part]] = [[] for _ in job.task_set.samples]
    for i, rows in _predictions(job, engine, said, set(), executor):
        own = np.asarray(kept[starts[i] : starts[i] + read.places[i]])
        if (own[:, KEPT : 2 * KEPT] >= rows.shape[1]).any():
            raise ComparisonRefused(_another_vocabulary(job, base))
        part = _Part(divergences(own, rows), float(rest(own).sum()), bool(np.isnan(own).any()))
        parts[said.owners[i]].append(part)
    moved = tuple(map(_moved, parts))
    sound = [part for one, row in zip(moved, parts, strict=True) if not one.failed for part in row]
    tokens = [part.found.nats.astype(np.float32) for part in sound]
    every = np.concatenate(tokens) if tokens else np.zeros(1, np.float32)
    return Divergence(
        samples=moved,
        median=float(np.quantile(every, 0.5)),
        percentile_99=float(np.quantile(every, 0.99)),
        kept=KEPT,
        rest=min(math.fsum(part.rest for part in sound) / every.size, 1.0),
        fewer=math.fsum(float(part.found.fewer.sum()) for part in sound) / every.size,
    )


@dataclasses.dataclass(frozen=True)
class _Part:
    """What a text shows.

    Attributes:
        found: its places, compared.
        rest: sum of the base's mass that is one cell.
        nan: whether the base says nothing of a place.
    """

    found: Compared
    rest: float
    nan: bool


def _moved(parts: Sequence[_Part]) -> Moved:
    """Return what the texts of a sample show together."""
    if not parts:
        return Moved(0, 0.0, 0, 0.0, failed=rolling.NO_TOKEN)
    found = [part.found for part in parts]
    total = math.fsum(x for one in found for x in one.nats.tolist())
    count = sum(len(one.nats) for one in found)
    if math.isfinite(total):
        same = sum(int(one.same.sum()) for one in found)
        return Moved(count, total, same, max(float(one.nats.max(initial=0.0)) for one in found))
    whose = "base's" if any(part.nan for part in parts) else "candidate's"
    what = "NaN" if math.isnan(total) else "0 where the base's are not"
    return Moved(count, 0.0, 0, 0.0, failed=f"the {whose} probabilities are {what}")


def _opened(job: Job, executor: InProcess) -> tuple[Predicting, _Said, _Read]:
    """Load a job's variant, and cut what the task set's samples say to it into tokens."""
    prompt = executor.grounded(job)
    engine = executor.load(job.source)
    able = predicting(engine)
    if able is None:
        raise ScoringError(
            f"{job.spec.name!r} runs on {type(engine).__name__}, which does not tell the whole "
            "distribution of every token of a text, so that fidelity cannot be measured"
        )
    samples = job.task_set.samples
    if shown := [sample.id for sample in samples if sample.media]:
        raise ScoringError(
            f"sample {shown[0]}: it holds an image or a recording, and fidelity compares what "
            "models make of texts; compare their answers: gate.no_regression"
        )
    chats = [i for i, sample in enumerate(samples) if not windows.is_document(sample)]
    asked = [
        ScoringRequest(engine.render(prompt.messages(samples[i].input)), _right(samples[i]))
        for i in chats
    ]
    check_seen(engine, [samples[i] for i in chats], asked)
    said = _together(chats, encode_texts(able.tokenizer, asked), _documents(able, samples))
    vocabulary = sorted(able.tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    read = _Read(digest(said.texts.ids), digest(vocabulary), said.texts.places)
    return able, said, read


def _documents(engine: Predicting, samples: Sequence[Sample]) -> dict[int, list[rolling.Window]]:
    """Return the pieces of each document's windows: those that its perplexity is made of."""
    length, known = getattr(engine, "context_length", (rolling.DEFAULT_WINDOW, False))
    found = [i for i, sample in enumerate(samples) if windows.is_document(sample)]
    requests = [ReadingRequest(samples[i].input, **windows.of(samples[i])) for i in found]
    rows = rolling.cut(engine.tokenizer, requests, length, known)
    return {
        i: [piece for window in row for piece in rolling.pieces(window, PLACES)]
        for i, row in zip(found, rows, strict=True)
    }


def _together(
    chats: Sequence[int], texts: Texts, documents: dict[int, list[rolling.Window]]
) -> _Said:
    """Put the texts of chats and the pieces of documents in the order of their samples."""
    rows = list(zip(chats, texts.ids, texts.places, strict=True))
    rows += [
        (i, (*piece.context, *piece.targets), len(piece.targets))
        for i, row in documents.items()
        for piece in row
    ]
    rows.sort(key=lambda row: row[0])
    ids = tuple(text for _, text, _ in rows)
    places = tuple(count for _, _, count in rows)
    before = [len(text) - 1 - count for text, count in zip(ids, places, strict=True)]
    prefix = min([common_prefix(ids), *before])
    return _Said(Texts(ids, places, prefix), tuple(i for i, _, _ in rows))


def _same_tokens(job: Job, base: Job, now: _Read, read: _Read) -> None:
    """Refuse two models that do not predict the same tokens of the same texts.

    Raises:
        ComparisonRefused: they do not.
    """
    if now.vocabulary != read.vocabulary:
        raise ComparisonRefused(_another_vocabulary(job, base))
    if now != read:
        what = "prompt, chat template or tokenizer"
        if any(map(windows.is_document, job.task_set.samples)):
            what = "prompt, chat template, tokenizer or window (task_set.toml can set one)"
        raise ComparisonRefused(
            f"{job.spec.name!r} and {base.spec.name!r} do not read the same tokens of "
            f"{job.task_set.name!r}: {what} differ, so that their distributions cannot be "
            "compared; compare their answers: gate.no_regression"
        )


def _another_vocabulary(job: Job, base: Job) -> str:
    return (
        f"{job.spec.name!r} has another vocabulary than {base.spec.name!r}, so that their "
        "distributions cannot be compared; compare their answers: gate.no_regression"
    )


def _predictions(
    job: Job, engine: Predicting, said: _Said, skip: set[int], executor: InProcess
) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    """Yield the distributions of every text that is not in ``skip``, in smaller batches if need be.

    Raises:
        OutOfMemory: a single text does not fit.
    """
    budget = token_budget(job, engine, executor.cache)
    total = len(job.task_set.samples)
    done = set(skip)
    waiting = Counter(owner for i, owner in enumerate(said.owners) if i not in done)
    while True:
        try:
            for i, rows in engine.predict(said.texts, budget=budget, skip=frozenset(done)):
                done.add(i)
                yield i, rows
                waiting -= Counter([said.owners[i]])
                ready = total - len(waiting)
                executor.watch(
                    Advance(Work.FIDELITY, job.spec.name, job.task_set.name, ready, total)
                )
            return
        except OutOfMemory as error:
            budget = halved(job, budget, error)
