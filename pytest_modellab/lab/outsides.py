"""A candidate whose modules are out of reach is compared by what it answers."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.lab import searches
from pytest_modellab.records.diagnosis import Diagnosis, Side
from pytest_modellab.variants.loading import Loadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_modellab.lab.resolved import Resolved


def is_outside(variant: Resolved) -> bool:
    """Whether a variant is run by what shows no modules: a graph, or an engine of a plugin."""
    plan = variant.plan
    if plan.search is not None:
        return plan.model.source.endswith(".onnx")
    return plan.open is not None and (plan.weights is None or plan.weights.suffix != ".gguf")


def check(base: Resolved) -> None:
    """Refuse a base that answers in words and shows no modules.

    Raises:
        DiagnosisError: it is one.
    """
    if is_outside(base):
        raise DiagnosisError(
            f"{base.name} is run by {base.plan.engine}, whose modules are out of reach: examine "
            "the model that its weights were made from"
        )


def filled(base: Resolved, candidate: Resolved, cache: Path) -> Resolved | str:
    """Put the weights of a candidate's graph into the base, so that modules can be looked into.

    Args:
        base: what is right.
        candidate: the graph.
        cache: the store's root.

    Returns:
        That as the candidate; or why it cannot be done.
    """
    from pytest_modellab.observatory import graph_weights

    if is_outside(base):
        return f"those of {base.name} are out of reach"
    asked: Any = candidate.source.open(cache)
    path = getattr(getattr(asked, "encoder", asked), "path", None)
    asked.close()
    if path is None:
        return f"those of {candidate.name} are out of reach"
    loaded: Any = base.source.open(cache)
    model = getattr(getattr(loaded, "encoder", loaded), "model", None)
    tensors = graph_weights.read(path)
    missing = [] if model is None else graph_weights.fill(model, tensors)
    missing = [name for name in missing if ".pooler." not in f".{name}"]
    if model is None or missing:
        loaded.close()
        return (
            f"{candidate.name}'s graph does not hold {len(missing)} of the base's parameters "
            f"in a form that is known, the first is {missing[0] if missing else 'all of them'}"
        )
    source = _Filled(candidate.plan, candidate.files, loaded)
    return dataclasses.replace(candidate, source=source)


@dataclasses.dataclass(frozen=True)
class _Filled(Loadable):
    """The base with a graph's weights, loaded."""

    engine: Any

    def open(self, _cache: Path) -> Any:
        """Return it; it is opened once."""
        return self.engine


def examined(
    base: Resolved,
    candidate: Resolved,
    texts: Sequence[str],
    cache: Path,
    why: str,
    sizes: tuple[int, int],
) -> Diagnosis:
    """Ask both by what comes out.

    Args:
        base: what is right.
        candidate: what is examined.
        texts: what both are asked beside built-in texts.
        cache: the store's root.
        why: why no modules are looked into.
        sizes: tokens in all probes, and in the longest, of language models.

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
            windows = probes.of_texts(read, mine.tokenizer, tokens=sizes[0], long=sizes[1])
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
    taken = round(time.monotonic() - start, 3)
    said = outside.diagnosis(right, other, found, why, {"answers": taken})
    return dataclasses.replace(said, notes=(*said.notes, *searches.notes(base, candidate)))


def _pieces(texts: Sequence[str]) -> list[str]:
    """Texts, and what each begins with, so that short ones are asked, too."""
    return [piece for text in texts for piece in (text[:60], text[:200], text)]
