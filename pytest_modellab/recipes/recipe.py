"""What a recipe is: frozen records that a third party's recipe fills in as well."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.recipes.data import Data
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.variants.plan import Plan

REQUIRED: Any = object()
"""The default of a setting that has none."""


class StepProgress(Protocol):
    """Is told how far a build is."""

    def __call__(
        self, done: int, total: int, loss: float | None = None, *, what: str = "step"
    ) -> None:
        """Take what is done, of how much of ``what``, and the last loss where there is one."""


def no_progress(done: int, total: int, loss: float | None = None, *, what: str = "step") -> None:
    """Show nothing."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One key of ``[variants.NAME.recipe]``.

    Attributes:
        type: ``str``, ``int``, ``float`` (takes an int as well), ``bool``, ``list`` (of strings)
            or ``dict`` (a table, see ``fields``).
        default: what an absent key means; ``REQUIRED`` where it must be given.
        rule: in words what a value must be, for messages: ``at least 1``.
        check: whether a value of the right type keeps the rule.
        choices: the only values, or empty.
        fields: a table's own settings.
    """

    type: type
    default: Any = REQUIRED
    rule: str = ""
    check: Callable[[Any], bool] = lambda _: True
    choices: tuple[str, ...] = ()
    fields: Mapping[str, Setting] = dataclasses.field(default_factory=dict)


def at_least(type_: type, least: float, default: Any = REQUIRED) -> Setting:
    """Return a number's setting with a least value."""
    return Setting(type_, default, f"at least {least}", lambda value: value >= least)


def positive(type_: type, default: Any = REQUIRED) -> Setting:
    """Return the setting of a number above zero."""
    return Setting(type_, default, "above 0", lambda value: value > 0)


def share(default: Any = REQUIRED) -> Setting:
    """Return the setting of a number in [0, 1]."""
    return Setting(float, default, "in [0, 1]", lambda value: 0 <= value <= 1)


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


def resolve(
    known: Mapping[str, Setting], given: Mapping[str, Any], where: str = ""
) -> dict[str, Any]:
    """Check settings and fill in the defaults.

    Args:
        known: key → setting.
        given: key → value as read.
        where: what stands before a key in messages, for example ``lora.``.

    Returns:
        A value for every known key; a table that is absent and has no default is None.

    Raises:
        ConfigError: an unknown or missing key, or a wrong value; the message begins with the key.
    """
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}{key}: unknown key; {near_misses(key, known)}")
    found = {}
    for key, setting in known.items():
        if key in given:
            found[key] = _checked(setting, given[key], f"{where}{key}")
        elif setting.default is REQUIRED:
            rule = f"; a value is {setting.rule}" if setting.rule else ""
            raise ConfigError(f"{where}{key}: missing{rule}")
        else:
            found[key] = setting.default
    return found


def _checked(setting: Setting, value: Any, where: str) -> Any:
    if setting.type is float and type(value) is int:
        value = float(value)
    found = type(value)
    if found is not setting.type:
        raise ConfigError(
            f"{where}: {value!r} is {found.__name__}, expected {setting.type.__name__}"
        )
    if setting.type is dict:
        return resolve(setting.fields, value, f"{where}.")
    if setting.type is list and not all(isinstance(part, str) for part in value):
        raise ConfigError(f"{where}: {value!r}: expected a list of strings")
    if setting.choices and value not in setting.choices:
        raise ConfigError(f"{where}: unknown {value!r}; {near_misses(value, setting.choices)}")
    if not setting.check(value):
        raise ConfigError(f"{where}: {value!r} is not {setting.rule}")
    return value
