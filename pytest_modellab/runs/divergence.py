"""How far a candidate has moved from its base on the samples' own tokens: measured, and stored.

The base is read first, and its distributions are kept in the store, reduced; the candidate then
needs no base beside it. Never more than a batch of whole distributions is held.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines.interface import Predicting, ScoringRequest, Texts, predicting
from pytest_modellab.engines.tokens import encode_texts
from pytest_modellab.errors import ComparisonRefused, OutOfMemory, ScoringError
from pytest_modellab.records import reading
from pytest_modellab.records.divergence import Divergence, Moved
from pytest_modellab.records.graded import is_choice
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.reading import Count
from pytest_modellab.records.tasks import Sample
from pytest_modellab.records.windows import is_document
from pytest_modellab.runs.answering import importing
from pytest_modellab.runs.distributions import Compared, divergences, reduced, rest
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store import arrays, budgets, files
from pytest_modellab.store.place import entry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LAYOUT = 2

KEPT = 256
"""Of each of the base's distributions so many probabilities are kept one by one."""

_BLOCK = 1024
"""Rows that are written at a time, at least."""


@dataclasses.dataclass(frozen=True)
class _Read:
    """What a model's texts were, beside its distributions.

    Attributes:
        texts: digest of all token ids.
        vocabulary: digest of the tokenizer's tokens and their ids.
        places: rows of each sample.
    """

    texts: str
    vocabulary: str
    places: tuple[Count, ...]

    @property
    def order(self) -> list[int]:
        """The samples in the order of their rows: the longest first, whatever the budget is."""
        return sorted(range(len(self.places)), key=lambda i: (-self.places[i], i))


def obtain(job: Job, base: Job, executor: InProcess) -> Divergence:
    """Return what the store has, or measure and keep it.

    Args:
        job: the candidate; without ``reuse`` both are read anew.
        base: what it is compared with, on the same task set.
        executor: loads one of them at a time.

    Raises:
        ComparisonRefused: the two do not read the same tokens, or the samples are documents.
        ScoringError: an engine does not tell whole distributions.
        ModellabError: a model cannot be loaded.
        OSError: the store cannot be written.
    """
    if any(map(is_document, job.task_set.samples)):
        raise ComparisonRefused(
            f"{job.task_set.name!r} is made of documents, and fidelity reads chats: compare how "
            "likely the documents are: gate.no_regression"
        )
    folder = _folder(executor.cache, base)
    place = entry(executor.cache, "divergences", [LAYOUT, folder.name, job.fingerprint.key])
    path = place.with_suffix(".json")
    lost = f"the stored divergence of {job.spec.name} on {job.task_set.name} is not used"
    found = files.read(path, lambda data: _found(data, job), of=place.name, lost=lost)
    if found is not None and job.reuse:
        return found
    with importing():
        read, kept = _distributions(base, executor, folder)
        found = _compared(job, base, executor, read, kept)
    files.write(path, dataclasses.asdict(found), of=place.name)
    return found


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
        [[sample.input, _right(sample)] for sample in base.task_set.samples],
        None if corpus is None else corpus.hash,
    ]
    return entry(cache, "distributions", made_of)


def _right(sample: Sample) -> tuple[str, ...]:
    """The reply that a sample itself has: the right option of a multiple choice."""
    return (sample.choices[sample.target],) if is_choice(sample) else ()


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
    order, places = read.order, read.places

    def make(done: int, known: arrays.Known) -> Iterator[tuple[NDArray[Any], arrays.Known]]:
        import numpy as np

        engine, texts, now = _opened(base, executor)
        if now != read:
            raise ScoringError(
                f"{base.spec.name!r} reads other tokens than it did when its distributions were "
                f"begun; delete {folder} and run again"
            )
        skip: set[int] = set()
        for i in order:  # rows of the samples that are there already
            if done <= 0:
                break
            skip.add(i)
            done -= places[i]
        waiting: list[NDArray[np.float32]] = []
        for _, rows in _predictions(base, engine, texts, skip, executor):
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

    engine, texts, now = _opened(job, executor)
    _same_tokens(job, base, now, read)
    start, starts = 0, {}
    for i in read.order:
        starts[i] = start
        start += read.places[i]
    moved: dict[int, Moved] = {}
    tokens: list[NDArray[np.float32]] = []
    mass = fewer = 0.0
    for i, rows in _predictions(job, engine, texts, set(), executor):
        own = np.asarray(kept[starts[i] : starts[i] + read.places[i]])
        if (own[:, KEPT : 2 * KEPT] >= rows.shape[1]).any():
            raise ComparisonRefused(_another_vocabulary(job, base))
        found = divergences(own, rows)
        moved[i] = _moved(own, found)
        if not moved[i].failed:
            tokens.append(found.nats.astype(np.float32))
            mass += float(rest(own).sum())
            fewer += float(found.fewer.sum())
    every = np.concatenate(tokens) if tokens else np.zeros(1, np.float32)
    return Divergence(
        samples=tuple(moved[i] for i in range(len(read.places))),
        median=float(np.quantile(every, 0.5)),
        percentile_99=float(np.quantile(every, 0.99)),
        kept=KEPT,
        rest=min(mass / every.size, 1.0),
        fewer=fewer / every.size,
    )


def _moved(own: NDArray[np.float32], found: Compared) -> Moved:
    import numpy as np

    total, count = math.fsum(found.nats.tolist()), len(found.nats)
    if math.isfinite(total):
        return Moved(count, total, int(found.same.sum()), float(found.nats.max(initial=0.0)))
    whose = "base's" if np.isnan(own).any() else "candidate's"
    what = "NaN" if math.isnan(total) else "0 where the base's are not"
    return Moved(count, 0.0, 0, 0.0, failed=f"the {whose} probabilities are {what}")


def _opened(job: Job, executor: InProcess) -> tuple[Predicting, Texts, _Read]:
    """Load a job's variant, and cut what the task set's samples say to it into tokens."""
    prompt = executor.grounded(job)
    engine = executor.load(job.source)
    able = predicting(engine)
    if able is None:
        raise ScoringError(
            f"{job.spec.name!r} runs on {type(engine).__name__}, which does not tell the whole "
            "distribution of every token of a text, so that fidelity cannot be measured"
        )
    texts = encode_texts(
        able.tokenizer,
        [
            ScoringRequest(engine.render(prompt.messages(sample.input)), _right(sample))
            for sample in job.task_set.samples
        ],
    )
    vocabulary = sorted(able.tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    return able, texts, _Read(digest(texts.ids), digest(vocabulary), texts.places)


def _same_tokens(job: Job, base: Job, now: _Read, read: _Read) -> None:
    """Refuse two models that do not predict the same tokens of the same texts.

    Raises:
        ComparisonRefused: they do not.
    """
    if now.vocabulary != read.vocabulary:
        raise ComparisonRefused(_another_vocabulary(job, base))
    if now.texts != read.texts:
        raise ComparisonRefused(
            f"{job.spec.name!r} and {base.spec.name!r} do not read the same tokens of "
            f"{job.task_set.name!r}: prompt, chat template or tokenizer differ, so that their "
            "distributions cannot be compared; compare their answers: gate.no_regression"
        )


def _another_vocabulary(job: Job, base: Job) -> str:
    return (
        f"{job.spec.name!r} has another vocabulary than {base.spec.name!r}, so that their "
        "distributions cannot be compared; compare their answers: gate.no_regression"
    )


def _predictions(
    job: Job, engine: Predicting, texts: Texts, skip: set[int], executor: InProcess
) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    """Yield the distributions of every text that is not in ``skip``, in smaller batches if need be.

    Raises:
        OutOfMemory: a single text does not fit.
    """
    budget = budgets.recall_budget(executor.cache, job.fingerprint, job.budget)
    total = len(texts.ids)
    done = set(skip)
    while True:
        try:
            for i, rows in engine.predict(texts, budget=budget, skip=frozenset(done)):
                done.add(i)
                yield i, rows
                executor.watch(
                    Advance(Work.FIDELITY, job.spec.name, job.task_set.name, len(done), total)
                )
            return
        except OutOfMemory as error:
            if budget == 1:
                raise OutOfMemory(
                    f"variant {job.spec.name!r}: memory runs out even with one sample a batch: "
                    f"{error}"
                ) from error
            budget //= 2
