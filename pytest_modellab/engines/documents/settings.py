"""How a page is prepared for a reader's networks, and what of their answers is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a reader does before and after its networks; the defaults are RapidOCR's.

    Attributes:
        limit_side_len: pixels; a page whose shorter side has fewer is enlarged to them before
            anything is detected.
        mean: subtracted from each channel of a pixel, in [0, 1]: blue, green, red.
        std: what is left is divided by, likewise.
        text_score: the least mean confidence of a line that is kept.
    """

    limit_side_len: int = 736
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    text_score: float = 0.5

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Settings:
        """Return the settings that :meth:`told` told."""
        found = {field.name: told[field.name] for field in dataclasses.fields(cls)}
        channels = {key: tuple(map(float, told[key])) for key in ("mean", "std")}
        return cls(**{**found, **channels})

    def told(self) -> dict[str, Any]:
        """Return them as a fingerprint has them, with what is always so."""
        return {
            "channels": "BGR",
            "enlarged": "shorter side",
            **{key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()},
        }
