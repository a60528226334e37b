"""A candidate whose modules are out of reach is compared by what it answers."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.lab import searches
from pytest_modellab.records.diagnosis import Diagnosis, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_modellab.lab.resolved import Resolved


def is_outside(variant: Resolved) -> bool:
    """Whether a variant is run by what shows no modules: a graph, or an engine of a plugin."""
    plan = variant.plan
    if plan.search is not None:
        return plan.model.source.endswith(".onnx")
    return plan.open is not None and (plan.weights is None or plan.weights.suffix != ".gguf")


def examined(
    base: Resolved, candidate: Resolved, texts: Sequence[str], cache: Path, tokens: int, long: int
) -> Diagnosis:
    """Ask both, one after the other where vectors are asked.

    Args:
        base: what is right.
        candidate: what is examined.
        texts: what both are asked beside built-in texts.
        cache: the store's root.
        tokens: in all probes, of language models.
        long: of the longest, of language models.

    Raises:
        DiagnosisError: one of the two answers nothing that can be compared.
    """
    from pytest_modellab.observatory import outside, probes
    from pytest_modellab.observatory.probes import TEXTS

    start = time.monotonic()
    engines: list[Any] = []
    try:
        engines.extend(one.source.open(cache) for one in (base, candidate))
        mine, theirs = engines
        encoders: list[Any] = [getattr(one, "encoder", None) for one in engines]
        if None not in encoders:
            asked = tuple(dict.fromkeys((*texts, *_pieces(TEXTS))))
            ours, its = encoders
            found = outside.vectors(
                lambda rows: ours.encode(rows, "query"),
                lambda rows: its.encode(rows, "query"),
                asked,
                [one.count_tokens(asked, "query") for one in encoders],
            )
        elif hasattr(mine, "model") and hasattr(theirs, "predictions"):
            read = tuple(texts) or TEXTS
            windows = probes.of_texts(read, mine.tokenizer, tokens=tokens, long=long)
            found = outside.predictions(mine.model, theirs, windows)
        else:
            raise DiagnosisError(
                f"{candidate.name} is run by {candidate.plan.engine}, which tells neither vectors "
                "nor what follows token ids: examine the model that its weights were made from"
            )
    finally:
        for engine in engines:
            engine.close()
    right, other = (Side(one.name, one.fingerprint.key) for one in (base, candidate))
    hidden = " and ".join(one.name for one in (base, candidate) if is_outside(one))
    why = f"those of {hidden} are out of reach"
    taken = round(time.monotonic() - start, 3)
    said = outside.diagnosis(right, other, found, why, {"answers": taken})
    return dataclasses.replace(said, notes=(*said.notes, *searches.notes(base, candidate)))


def _pieces(texts: Sequence[str]) -> list[str]:
    """Texts, and what each begins with, so that short ones are asked, too."""
    return [piece for text in texts for piece in (text[:60], text[:200], text)]
