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


def named(media: Media) -> str:
    """``chart.png, 96×96 png``; ``hello.wav, 3.2 s wav``."""
    name = shortened(visible(PurePath(media.path).name or media.sha256[:12]), _NAME)
    known = []
    if media.width and media.height:
        known.append(f"{media.width}×{media.height}")
    if media.seconds:
        known.append(f"{number(media.seconds)} s")
    known.append(visible(media.format) or media.kind)
    return f"{name}, {' '.join(known)}"


def told(media: Sequence[Media]) -> str:
    """All of a sample, of many the first ones; empty where it shows nothing."""
    shown = [named(one) for one in media[:_NAMED]]
    if len(media) > _NAMED:
        shown.append(f"and {len(media) - _NAMED} more")
    return "; ".join(shown)


def any_shown(flips: Sequence[Flip]) -> bool:
    """Whether a table of flipped samples needs :data:`COLUMN`."""
    return any(flip.media for flip in flips)
