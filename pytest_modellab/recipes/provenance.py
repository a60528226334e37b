"""``provenance.json``: how an artefact was made, in the artefact's own folder."""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records import reading
from pytest_modellab.store import atomic, checkout

FILE_NAME = "provenance.json"


SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Provenance:
    """How an artefact was made.

    Attributes:
        schema: version of this record.
        method: the recipe's name.
        settings: all of them, defaults included.
        seed: the seed.
        data: ``{"name", "sha256", "rows"}``.
        base: ``{"variant", "weights", "fingerprint", "quantization", "steps"}``.
        versions: of the libraries that took part, and of Python.
        device: ``cpu``, or the GPU's name.
        steps: optimizer steps.
        seconds: wall time of the training.
        loss: ``[step, loss]``, at most about a hundred.
        notes: what a reader should know.
        date: the day it was made, UTC.
    """

    schema: int
    method: str
    settings: Mapping[str, Any]
    seed: int
    data: Mapping[str, Any]
    base: Mapping[str, Any]
    versions: Mapping[str, str]
    device: str
    steps: int
    seconds: float
    loss: tuple[tuple[int, float], ...]
    notes: tuple[str, ...]
    date: str


def of(recipe: Recipe, order: Order, outcome: Outcome) -> Provenance:
    """Put together the provenance of what a recipe has made.

    A loss that is no finite number cannot stand in JSON: a note says where the first one was.
    """
    diverged = [step for step, loss in outcome.losses if not math.isfinite(loss)]
    notes = (f"the loss is no finite number from step {diverged[0]} on",) if diverged else ()
    return Provenance(
        schema=SCHEMA,
        method=recipe.name,
        settings=dict(order.settings),
        seed=order.settings["seed"],
        data={
            "name": outcome.data.name,
            "sha256": outcome.data.sha256,
            "rows": len(outcome.data.rows),
        },
        base=dict(order.origin),
        versions={
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in recipe.packages},
        },
        device=_device(order.device),
        steps=outcome.steps,
        seconds=round(outcome.seconds, 1),
        loss=tuple(point for point in outcome.losses if point[0] not in diverged),
        notes=(*outcome.notes, *notes),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )


def _device(name: str) -> str:
    if name == "cpu":
        return name
    import torch

    return str(torch.cuda.get_device_name(name))


def write(folder: Path, provenance: Provenance) -> None:
    """Write ``provenance.json``: keys sorted, the loss curve on one line, for a readable diff."""
    values = {**dataclasses.asdict(provenance), "loss": "@"}
    text = json.dumps(values, indent=1, sort_keys=True, ensure_ascii=False)
    curve = json.dumps(provenance.loss)
    atomic.write_text(folder / FILE_NAME, text.replace('"loss": "@"', f'"loss": {curve}') + "\n")


def read(folder: Path) -> Provenance | None:
    """Read what :func:`write` wrote.

    Args:
        folder: the artefact's.

    Returns:
        The provenance, or None where the folder has none.

    Raises:
        ConfigError: the file is damaged, or of another schema.
    """
    path = folder / FILE_NAME
    try:
        values = json.loads(checkout.read(path))
    except FileNotFoundError:
        return None
    except checkout.Unready as error:
        raise ConfigError(f"{path}: {error}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}; build the artefact again") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        found = values.get("schema") if isinstance(values, dict) else None
        raise ConfigError(f"{path}: schema {found!r}, expected {SCHEMA}; build the artefact again")
    try:
        return reading.build(Provenance, values)
    except reading.Unfit as error:
        raise ConfigError(f"{path}: {error}; build the artefact again") from error
