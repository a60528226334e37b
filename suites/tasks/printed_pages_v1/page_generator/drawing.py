"""Faces, lines and the ways in which a page is damaged."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = Path("/usr/share/fonts/truetype")
"""Where Debian's packages fonts-dejavu and fonts-liberation put them."""

SANS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansCondensed", "LiberationSans-Regular")
SERIF = ("DejaVuSerif", "DejaVuSerif-Italic", "LiberationSerif-Regular", "LiberationSerif-Italic")
MONO = ("DejaVuSansMono", "LiberationMono-Regular", "LiberationMono-Bold")
WIDE = ("DejaVuSans", "DejaVuSerif", "LiberationSans-Regular", "LiberationSerif-Regular")
"""Faces that have every letter of all languages."""


def face(name: str, size: int) -> ImageFont.FreeTypeFont:
    """Open a face at a size in pixels."""
    family = "dejavu" if name.startswith("DejaVu") else "liberation"
    return ImageFont.truetype(
        str(FONTS / family / f"{name}.ttf"), size, layout_engine=ImageFont.Layout.BASIC
    )


class Page:
    """White paper that lines are written on from the top.

    Args:
        width: in pixels.
        font: of all lines.
        ink: 0 for black.
    """

    def __init__(self, width: int, font: ImageFont.FreeTypeFont, *, ink: int = 0) -> None:
        self.image = Image.new("L", (width, 800), 255)
        self.draw = ImageDraw.Draw(self.image)
        self.font, self.ink = font, ink
        self.pitch = round(1.55 * float(font.size))  # from one line to the next
        self.top = 14
        self.rows: list[str] = []

    def line(self, cells: Sequence[tuple[int, str]], *, end: int | None = None) -> None:
        """Write texts at their left edges; the last ends at ``end``, if that is given."""
        for i, (left, text) in enumerate(cells):
            anchor, x = ("ra", end) if end is not None and i == len(cells) - 1 else ("la", left)
            self.draw.text((x, self.top), text, self.ink, self.font, anchor=anchor)
        self.rows.append(" ".join(text for _, text in cells))
        self.top += self.pitch

    def rule(self, left: int, right: int) -> None:
        """Draw a thin line across, and go on below it."""
        self.draw.line((left, self.top + 2, right, self.top + 2), self.ink, 1)
        self.top += 8

    @property
    def text(self) -> str:
        """All that has been written."""
        return "\n".join(self.rows)

    def cut(self) -> Image.Image:
        """Return the paper down to a margin below the last line."""
        return self.image.crop((0, 0, self.image.width, self.top + 12))


def askew(image: Image.Image, degrees: float) -> Image.Image:
    """Turn a page, on a larger white sheet."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255)


def unfocused(image: Image.Image, radius: float) -> Image.Image:
    """Blur a page."""
    return image.filter(ImageFilter.GaussianBlur(radius))


def faint(image: Image.Image, paper: int, ink: int, noise: float, seed: int) -> Image.Image:
    """Press a page's greys between two, on noisy paper."""
    grey = ink + (paper - ink) * np.asarray(image, np.float64) / 255
    grey += np.random.default_rng(seed).normal(0, noise, grey.shape)
    return Image.fromarray(np.rint(grey.clip(0, 255)).astype(np.uint8))


def scanned(image: Image.Image, radius: float, ink: int, quality: int) -> Image.Image:
    """Leave a page as an old scan has it: worn ink, a little out of focus, kept as a JPEG."""
    held = io.BytesIO()
    worn = faint(unfocused(image, radius), 250, ink, 0.0, 0)
    worn.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("L")


def faded(image: Image.Image, draw: random.Random) -> Image.Image:
    """Let print fade in bands, as a worn head of a till's printer leaves it."""
    dark = 255 - np.asarray(image, np.float64)
    height = dark.shape[0]
    strength = np.full(height, draw.uniform(0.25, 0.7))
    for _ in range(draw.randint(1, 3)):
        at, far = draw.randrange(height), draw.randint(4, 10)
        strength[max(0, at - far) : at + far] *= draw.uniform(0.3, 0.6)
    return Image.fromarray(np.rint(255 - dark * strength[:, None]).astype(np.uint8))
