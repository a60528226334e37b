"""One loaded model for several variants: what is put on it for one is taken off for the next.

Variants share a model where nothing differs but how it is asked (prompt, paraphrases, chains of
thought, what is searched before, how images are prepared) and the last of its changes, as far as
those can be taken off again without a trace (:attr:`Step.attach`): adapters that are not merged.
All else, quantization included, makes a model of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.engines import modules
from pytest_modellab.engines.interface import Engine, Source
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.engines.language.vllm_engine import VllmEngine
from pytest_modellab.engines.loading import quiet
from pytest_modellab.engines.vision.image_text import ImageTextEngine
from pytest_modellab.variants import images, loading, runner
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt

_UNASKED = Prompt("")

_NO_WAY_BACK = (AttributeError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What PEFT raises where a method has no ``unload``, or it fails."""


def bare(source: Loadable) -> Loadable | None:
    """Return what is loaded for a variant before anything is put on it that can be taken off.

    None where the kind's own engine, other than transformers, holds the model, or a part of it is
    lent: nothing is shared there.
    """
    plan = source.plan
    if (plan.open is not None and not plan.chosen) or plan.borrowed:
        return None
    return dataclasses.replace(
        source,
        plan=dataclasses.replace(
            plan,
            prompt=_UNASKED,
            paraphrases=(),
            processor={},
            thinking=None,
            grounding=None,
            scoring="likelihood",
            steps=plan.steps[: len(plan.steps) - len(_worn(plan))],
        ),
    )


def _worn(plan: Plan) -> tuple[Step, ...]:
    """The last steps of a plan, those that can be taken off."""
    start = len(plan.steps)
    while start and plan.steps[start - 1].attach is not None:
        start -= 1
    return plan.steps[start:]


def alike(one: Loadable, other: Loadable) -> bool:
    """Whether two bare sources load the same; the day and the libraries are a variant's own."""
    ours, theirs = (dataclasses.replace(each.plan, day="", packages=()) for each in (one, other))
    return one.files == other.files and ours == theirs


class Shared:
    """A loaded model that is dressed for one variant after the other.

    Args:
        source: what is loaded, as :func:`bare` says.
        cache: the store's root.

    Raises:
        ModelError: its files cannot be read.
        VariantLoadError: a library is missing, or it refuses the model.
    """

    def __init__(self, source: Loadable, cache: Path) -> None:
        self._source, self._engine = source, source.open(cache)
        self._handed: TransformersEngine | VllmEngine | None = None
        self._take_off: list[Callable[[], None]] = []
        self._written = False
        self._model: Any = getattr(self._engine, "model", None)
        self._parts = modules.parts(self._model) if self._model is not None else None
        self._tensors = modules.tensors(self._model) if self._model is not None else []

    def fits(self, source: Source) -> bool:
        """Whether a variant can be run on this model, which may have answered for others."""
        if not isinstance(source, Loadable):
            return False
        wanted = bare(source)
        if wanted is None or not alike(self._source, wanted):
            return False
        reads = any(step.reads for step in _worn(source.plan))
        return not (reads and modules.is_packed(self._tensors))

    def dress(self, source: Loadable) -> Engine:
        """Put on what a variant has of its own, and return its engine.

        Raises:
            ModelError: as :func:`.loading.load`; the model is to be closed then.
            VariantLoadError: likewise.
        """
        loading.check_packages(source.plan, source.files)
        if isinstance(self._engine, VllmEngine):
            self._handed = runner.dressed(self._engine, source.plan)
            return loading.asked_as(source.plan, source.files, self._handed)
        if not isinstance(self._engine, TransformersEngine):  # somebody else loads in their own way
            return loading.asked_as(source.plan, source.files, self._engine)
        engine = self._engine.beside()
        if source.plan.processor and isinstance(engine, ImageTextEngine):
            engine.prepare_by(images.changes(source.plan))
        worn = _worn(source.plan)
        with quiet(), self._unwritten() if worn else contextlib.nullcontext():
            for step in worn:
                assert step.attach is not None
                step.asked(engine.tokenizer, engine.model)
                model, take_off = step.attach(engine.model)
                engine.model = model.eval()
                self._take_off.append(take_off)
        self._handed = engine
        return loading.asked_as(source.plan, source.files, engine)

    def undress(self) -> bool:
        """Take off what the last variant had; its engine answers no more.

        Returns:
            Whether the model is as it was: the same modules with the same tensors, none of them
            written to. Where it is not, it is to be closed.
        """
        if self._handed is None:
            return False
        self._handed.let_go()
        self._handed = None
        try:
            if self._take_off:
                with warnings.catch_warnings(action="ignore"), self._unwritten():
                    while self._take_off:
                        self._take_off.pop()()
        except _NO_WAY_BACK:
            return False
        if self._model is None:  # vLLM's, which takes an adapter off by itself
            return True
        return not self._written and bool(modules.parts(self._model) == self._parts)

    def close(self) -> None:
        """Give the memory back at once, whoever else still refers to the model."""
        if self._handed is not None:
            self._handed.let_go()
        self._take_off.clear()
        self._tensors.clear()
        self._engine.close()

    @contextlib.contextmanager
    def _unwritten(self) -> Iterator[None]:
        """Notice where one of the model's own tensors is written to."""
        before = modules.writes(self._tensors)
        yield
        self._written = self._written or modules.writes(self._tensors) != before
