"""An image or a recording that belongs to a sample."""

from __future__ import annotations

import dataclasses
from typing import Literal

MediaKind = Literal["image", "audio"]

PLACE = "\ufffc"
"""Where in a text a medium stands: Unicode's object replacement character."""


@dataclasses.dataclass(frozen=True)
class Media:
    """One image or recording of a sample.

    Attributes:
        kind: ``image`` or ``audio``.
        sha256: of the file's bytes, 64 hex digits; with the kind, all that a sample's hash has.
        path: the file.
        format: what its content says it is: ``png``, ``jpeg``, ``wav`` …
        width: of an image, pixels.
        height: of an image, pixels.
        seconds: of a recording.
        sample_rate: of a recording, in Hz.
        channels: of a recording.
        generator: what made it, with its version and seed; empty for a file of the task set.
        pinned: whether its sample names its sha256.
    """

    kind: MediaKind
    sha256: str
    path: str = dataclasses.field(compare=False)
    format: str = dataclasses.field(default="", compare=False)
    width: int = dataclasses.field(default=0, compare=False)
    height: int = dataclasses.field(default=0, compare=False)
    seconds: float = dataclasses.field(default=0.0, compare=False)
    sample_rate: int = dataclasses.field(default=0, compare=False)
    channels: int = dataclasses.field(default=0, compare=False)
    generator: str = dataclasses.field(default="", compare=False)
    pinned: bool = dataclasses.field(default=False, compare=False)
