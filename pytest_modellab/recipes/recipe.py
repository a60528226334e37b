"""What a recipe is: frozen records that a third party's recipe fills in as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pytest_modellab.recipes.data import Data
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import Setting
from pytest_modellab.variants.plan import Plan


class StepProgress(Protocol):
    """Is told how far a build is."""

    def __call__(
        self, done: int, total: int, loss: float | None = None, *, what: str = "step"
    ) -> None:
        """Take what is done, of how much of ``what``, and the last loss where there is one."""


def no_progress(done: int, total: int, loss: float | None = None, *, what: str = "step") -> None:
    """Show nothing."""


@dataclasses.dataclass(frozen=True)
class Order:
    """One artefact to be made.

    Attributes:
        spec: the variant as declared.
        base: the plan of the variant that it adapts; its prompt is what the data is put into.
        origin: the base's ``variant``, ``weights``, ``fingerprint`` and ``quantization``.
        source: the base model's declared source, for the adapter's configuration.
        model: the base, a transformers causal language model on ``device``; changed in place.
        tokenizer: its tokenizer.
        settings: complete and checked.
        data: what it learns from; None where the recipe makes its own.
        root: the folder that relative paths in the settings start from.
        output: an empty folder; what is in it at the end is the artefact.
        work: a folder for checkpoints that outlives a killed build.
        device: ``cpu`` or ``cuda``.
        max_steps: optimizer steps at most, or None.
        progress: called after each step.
    """

    spec: VariantSpec
    base: Plan
    origin: Mapping[str, Any]
    source: str
    model: Any
    tokenizer: Any
    settings: Mapping[str, Any]
    data: Data | None
    root: Path
    output: Path
    work: Path
    device: str = "cpu"
    max_steps: int | None = None
    progress: StepProgress = no_progress


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a recipe did, for the provenance.

    Attributes:
        data: what was learned from: the order's, or what the recipe made.
        steps: optimizer steps, or batches where nothing is optimized.
        seconds: wall time of them, in this process.
        losses: ``(step, loss)``, at most about a hundred.
        notes: what a reader should know, a sentence each: rows cut, pairs dropped.
    """

    data: Data
    steps: int
    seconds: float
    losses: tuple[tuple[int, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A way to make a variant's artefact; one file a recipe, listed in ``RECIPES``.

    Attributes:
        name: ``method`` in the recipe's table.
        packages: distributions that it needs.
        settings: its keys besides ``method`` and ``data``.
        keys: what a row of its data holds; all are texts.
        steps: settings and number of rows → steps in all, for estimates and progress.
        train: makes the artefact in ``order.output``.
        artefact: ``adapter`` (a PEFT folder), ``model`` (a checkpoint) or ``either``: as ``lora``
            is given or not.
        generates: the setting that makes ``data`` unnecessary, or empty.
        check: looks at the settings as a whole before anything is loaded; raises ConfigError whose
            message begins with the key.
    """

    name: str
    packages: tuple[str, ...]
    settings: Mapping[str, Setting]
    keys: tuple[str, ...]
    steps: Callable[[Mapping[str, Any], int], int]
    train: Callable[[Order], Outcome]
    artefact: str = "either"
    generates: str = ""
    check: Callable[[Mapping[str, Any], VariantSpec], None] = lambda *_: None
