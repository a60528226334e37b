"""Pictures of a diagnosis: one file a picture, each a function of what all of them look at."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

from pytest_modellab.observatory import outcome
from pytest_modellab.observatory.examination import Examination
from pytest_modellab.observatory.pictures import (
    activations,
    answer,
    attention,
    gradients,
    lens,
    put_back,
    view,
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


OF_ENCODERS = ("where_it_enters", "what_changed")
"""The others show what a language model predicts."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        pictures: in order.
        notes: what is left out, and why.
        seconds: picture → what it took.
    """

    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)


def draw(examination: Examination, seconds: float | None = None) -> Drawn:
    """Draw the pictures of an examination; models are left as they were.

    Args:
        examination: whose.
        seconds: pictures that are not begun by then are left out; None for all.
    """
    words = outcome.of(examination.base.model).measure == "nats"
    return drawn(view.of(examination), seconds, tuple(PICTURES) if words else OF_ENCODERS)


def drawn(
    seen: View, seconds: float | None = None, names: tuple[str, ...] = tuple(PICTURES)
) -> Drawn:
    """Draw pictures; where one cannot be drawn a note says why, and the others are drawn."""
    pictures: list[Picture] = []
    left: dict[str, list[str]] = {}
    took: dict[str, float] = {}
    begun = time.perf_counter()
    for name in names:
        picture = PICTURES[name]
        start = time.perf_counter()
        if seconds is not None and start - begun > seconds:
            left.setdefault(f"{seconds:.0f} seconds were spent", []).append(name)
            continue
        try:
            pictures.append(picture(seen))
        except LeftOut as error:
            left.setdefault(str(error), []).append(name)
        except Exception as error:  # noqa: BLE001 - any model's code runs here
            left.setdefault(shortened(visible(repr(error)), MESSAGE), []).append(name)
        took[name] = time.perf_counter() - start
    notes = tuple(
        f"{'picture' if len(names) == 1 else 'pictures'} left out ({', '.join(names)}): {reason}"
        for reason, names in left.items()
    )
    return Drawn(tuple(pictures), notes, took)
