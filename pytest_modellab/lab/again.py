"""Flipped samples are asked again, with the culprit exchanged: the proof that a user believes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import OutOfTime
from pytest_modellab.lab.jobs import job_of, scorers_of
from pytest_modellab.records.diagnosis import Answers
from pytest_modellab.visible import raised

if TYPE_CHECKING:
    from pytest_modellab.engines.interface import Engine
    from pytest_modellab.lab.flipped import Flip
    from pytest_modellab.lab.registry import Extensions
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.observatory.examination import Examination
    from pytest_modellab.records.tasks import TaskSet
    from pytest_modellab.runs.passages import Grounded


class Again:
    """Asks a candidate; what goes wrong is a note.

    Args:
        candidate: the variant.
        engine: it, loaded.
        task_set: whose samples flipped.
        flips: those for the worse.
        prompt: the variant's, with what its search found.
        extensions: the scorers that there are.
        end: of the time, by :func:`time.monotonic`.
    """

    def __init__(
        self,
        candidate: Resolved,
        engine: Engine,
        task_set: TaskSet,
        flips: tuple[Flip, ...],
        prompt: Grounded,
        extensions: Extensions,
        end: float,
    ) -> None:
        self.answers: Answers | None = None
        self.notes: list[str] = []
        self._candidate = candidate
        self._engine = engine
        self._task_set = task_set
        self._flips = flips
        self._prompt = prompt
        self._extensions = extensions
        self._end = end

    def with_part(self, examination: Examination) -> None:
        """Ask with the base's part in the place of the culprit."""
        if examination.culprit is None or not self._flips:
            return

        def ask() -> int:
            with examination.exchanged() as model, _asking(self._engine, model):
                return self._right()

        if (right := self._counted(ask)) is not None:
            self.answers = Answers(len(self._flips), right)

    def with_text(self, base: Any) -> None:
        """Ask with the tokenizer and the chat template of the base's engine."""
        inner: Any = getattr(self._engine, "engine", self._engine)
        own = inner.tokenizer

        def ask() -> int:
            inner.tokenizer = getattr(base, "engine", base).tokenizer
            try:
                return self._right()
            finally:
                inner.tokenizer = own

        if self._flips and (right := self._counted(ask)) is not None:
            self.answers = Answers(len(self._flips), right)

    def by_transformers(self, runner: str) -> None:
        """Ask as it is, where transformers runs the weights in place of the variant's engine."""
        if self._flips and (right := self._counted(self._right)) is not None:
            self.notes.append(
                f"with the same weights, transformers gets {right} of {len(self._flips)} flipped "
                f"samples right, which is what {runner} adds to the damage"
            )

    def _counted(self, ask: Callable[[], int]) -> int | None:
        try:
            if time.monotonic() >= self._end:
                raise OutOfTime("the time was up")
            return ask()
        except Exception as error:  # noqa: BLE001 - scorers of other people run here
            self.notes.append(f"the flipped samples were not asked again: {raised(error)}")
            return None

    def _right(self) -> int:
        """How many are right now."""
        from pytest_modellab.runs import again

        samples = tuple(flip.sample for flip in self._flips)
        task_set = dataclasses.replace(self._task_set, samples=samples)
        job = job_of(self._candidate, task_set, self._extensions, reuse=True)
        scorers = scorers_of(self._candidate, task_set, self._extensions)
        scores = again.scores(job, scorers, self._engine, self._prompt)
        pairs = zip(self._flips, scores, strict=True)
        return sum(flip.right_again(score) for flip, score in pairs)


@contextlib.contextmanager
def _asking(engine: Any, model: Any) -> Iterator[None]:
    """Let an engine ask another model while the block lasts, where that is not its own."""
    from pytest_modellab.observatory.subject import plain

    inner = getattr(engine, "engine", engine)  # of one that thinks before it answers
    own = inner.model
    if plain(own) is not model:
        inner.model = model
    try:
        yield
    finally:
        inner.model = own
