"""The engine that a candidate is run by is asked itself, beside transformers with its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_modellab.errors import ModellabError

if TYPE_CHECKING:
    from pytest_modellab.lab.resolved import Resolved
    from pytest_modellab.observatory.examination import Examination
    from pytest_modellab.observatory.runtime import Predicting, Runtime
    from pytest_modellab.records.diagnosis import Diagnosis


def asked(variant: Resolved, examination: Examination, cache: Path) -> Runtime | str:
    """Open an engine, ask it, and close it again.

    Args:
        variant: as it is run.
        examination: of its weights.
        cache: the store's root.

    Returns:
        What it said, or why it could not be asked.
    """
    from pytest_modellab.observatory import runtime

    try:
        engine = variant.source.open(cache)
    except ModellabError as error:
        return str(error).partition("\n")[0]
    try:
        encoder = getattr(engine, "encoder", None)
        if hasattr(encoder, "vectors_of"):
            models = examination.base.model, examination.candidate.model
            return runtime.measure_vectors(*models, encoder, examination.probes)
        if not hasattr(engine, "predictions"):
            return f"{type(engine).__name__} does not tell what follows token ids"
        base, candidate = examination.base.model, examination.candidate.model
        asked_of = cast("Predicting", engine)
        return runtime.measure(base, candidate, asked_of, examination.probes)
    except ModellabError as error:
        return str(error).partition("\n")[0]
    finally:
        engine.close()


def told(diagnosis: Diagnosis, heard: Sequence[Runtime | str], runner: str) -> Diagnosis:
    """Say whether it is the weights or what runs them, where another engine does.

    Args:
        diagnosis: of the weights, run by transformers.
        heard: of :func:`asked`; nothing where there was no time.
        runner: the engine's name; empty where it is transformers.
    """
    from pytest_modellab.observatory import runtime

    if not runner:
        return diagnosis
    found = heard[0] if heard else "the time was up"
    if not isinstance(found, str):
        return runtime.concluded(diagnosis, found, runner)
    note = (
        f"the weights were examined, run by transformers; {runner}, which runs them otherwise, was "
        f"not asked: {found}"
    )
    return dataclasses.replace(diagnosis, level="weights", notes=(*diagnosis.notes, note))
