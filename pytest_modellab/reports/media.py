"""What a sample shows, in words: the name of the file, its size or how long it plays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from pytest_modellab.judging.comparison import Flip
from pytest_modellab.records.media import Media
from pytest_modellab.reports.words import number
from pytest_modellab.visible import shortened, visible

COLUMN = "shows"
"""What the column with them is headed with."""


_NAMED = 3  # of one sample


_NAME = 40  # characters of a file's name


def named(media: Media, sample: str = "") -> str:
    """``chart.png, 96×96 png``; ``hello.wav, 3.2 s wav``.

    Args:
        media: any.
        sample: the id of its sample; a file of that name is not named again, nor is one whose
            name is its hash, as of those that a generator made.
    """
    place = PurePath(media.path)
    name = shortened(visible(place.name or media.sha256[:12]), _NAME)
    known = []
    if media.width and media.height:
        known.append(f"{media.width}×{media.height}")
    if media.seconds:
        known.append(f"{number(media.seconds)} s")
    known.append(visible(media.format) or media.kind)
    told = " ".join(known)
    unnamed = media.sha256 and place.name.startswith(media.sha256)
    return told if unnamed or (sample and place.stem == sample) else f"{name}, {told}"


def told(media: Sequence[Media], sample: str = "") -> str:
    """All of a sample, of many the first ones; empty where it shows nothing."""
    shown = [named(one, sample) for one in media[:_NAMED]]
    if len(media) > _NAMED:
        shown.append(f"and {len(media) - _NAMED} more")
    return "; ".join(shown)


def any_shown(flips: Sequence[Flip]) -> bool:
    """Whether a table of flipped samples needs :data:`COLUMN`."""
    return any(flip.media for flip in flips)
