"""Pictures of a diagnosis: one file a picture, each a function of what all of them look at."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_modellab.observatory.pictures import (
    activations,
    answer,
    attention,
    gradients,
    lens,
    put_back,
    what_changed,
    where_it_enters,
)
from pytest_modellab.observatory.pictures.view import LeftOut, View
from pytest_modellab.records.diagnosis import Picture
from pytest_modellab.visible import shortened, visible

MESSAGE = 300
"""Characters of a note on an error, at most about."""

PICTURES: dict[str, Callable[[View], Picture]] = {
    "where_it_enters": where_it_enters.picture,
    "what_changed": what_changed.picture,
    "lens": lens.picture,
    "put_back": put_back.picture,
    "answer": answer.picture,
    "attention": attention.picture,
    "activations": activations.picture,
    "gradients": gradients.picture,
}


def drawn(
    view: View, seconds: float | None = None
) -> tuple[tuple[Picture, ...], tuple[str, ...], dict[str, float]]:
    """Draw all pictures; one that cannot be drawn is a note, and the others are drawn.

    Args:
        view: what they look at.
        seconds: those that have not been begun by then are left out; None for all.

    Returns:
        The pictures in order, the notes, and what each took in seconds.
    """
    pictures: list[Picture] = []
    notes: list[str] = []
    took: dict[str, float] = {}
    begun = time.perf_counter()
    for name, draw in PICTURES.items():
        start = time.perf_counter()
        if seconds is not None and start - begun > seconds:
            notes.append(f"the picture {name} is left out: {seconds:.0f} seconds were spent")
            continue
        try:
            pictures.append(draw(view))
        except LeftOut as error:
            notes.append(f"the picture {name} is left out: {error}")
        except Exception as error:  # noqa: BLE001 - any model's code runs here
            notes.append(
                f"the picture {name} is left out: {shortened(visible(repr(error)), MESSAGE)}"
            )
        took[f"picture {name}"] = time.perf_counter() - start
    return tuple(pictures), tuple(notes), took
