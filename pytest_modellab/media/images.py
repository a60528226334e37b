"""Images: looked at before they are believed, and opened in one way as RGB.

The way to RGB: the orientation that EXIF names is applied; 16 bits a channel become 8; what is
transparent shows white; palettes, grey and CMYK are converted as Pillow does. Colour profiles are
not applied.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.errors import MediaError
from pytest_modellab.media import content, headers
from pytest_modellab.media.content import Content
from pytest_modellab.records.media import Media

MOST_PIXELS = 50_000_000
"""Of one image, as its header says: a page of A3 at 600 dpi has no more."""

MOST_ASIDE = 32_768
"""Pixels of a side."""

THUMBNAIL_TYPE = "image/jpeg"

_THUMBNAIL = 320

_ORIENTATION = 0x0112
"""EXIF's number of it; 1 is upright."""


def inspect(path: Path | str) -> Media:
    """Look at an image: its format, its size, and whether all of it is there.

    Args:
        path: of the file; the content counts, not the name.

    Raises:
        MediaError: it is missing, damaged, too large, animated, or no image of a known format.
    """
    path = Path(path)
    return look(path, content.read(path, "image"))


def look(path: Path, found: Content) -> Media:
    """Look at an image that is read, see :func:`inspect`."""
    image = _decoded(path, found)
    return Media(
        "image",
        found.sha256,
        str(path.absolute()),
        format=found.format,
        width=image.width,
        height=image.height,
    )


def opened(media: Media) -> Any:
    """Return an image of a sample as a ``PIL.Image`` in mode RGB, see the module for the way.

    Raises:
        MediaError: its file is missing, damaged, or has changed since :func:`inspect`.
    """
    return _decoded(Path(media.path), content.again(media))


def thumbnail(media: Media, side: int = _THUMBNAIL) -> bytes:
    """Return a small picture for reports, a JPEG file.

    Args:
        media: an image.
        side: pixels of its longer side, at most.

    Raises:
        MediaError: as :func:`opened`.
    """
    image = opened(media)
    image.thumbnail((side, side))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=80)
    return written.getvalue()


def _decoded(path: Path, found: Content) -> Any:
    with content.library("image"):
        from PIL import Image

    with content.decoding(path, "image"):
        width, height = headers.size(found.data, found.format)
        headers.check_end(found.data, found.format)
    if width * height > MOST_PIXELS or max(width, height) > MOST_ASIDE:
        raise MediaError(
            f"{path}: {width} × {height} pixels; an image of a sample has at most "
            f"{MOST_PIXELS / 1e6:.0f} million, and {MOST_ASIDE} a side; scale it down"
        )
    with (
        _strict(),
        content.decoding(path, "image"),
        Image.open(io.BytesIO(found.data), formats=[found.format.upper()]) as image,
    ):
        frames = getattr(image, "n_frames", 1)
        if found.format != "jpeg" and frames > 1:  # a JPEG of several has the picture first
            raise MediaError(
                f"{path}: an animation of {frames} frames; save the picture that is meant as PNG"
            )
        if image.size != (width, height):
            raise MediaError(
                f"{path}: damaged: its header says {width} × {height} pixels, its content "
                f"{image.width} × {image.height}; put a whole file there"
            )
        image.load()
        return _rgb(image)


def _rgb(image: Any) -> Any:
    """Return a decoded image in mode RGB."""
    from PIL import Image, ImageOps

    if image.getexif().get(_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        import numpy as np

        deep = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.rint(deep.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        seen = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", seen.size, "white")
        ground.paste(seen, mask=seen.getchannel("A"))
        return ground
    rgb = image.convert("RGB")
    rgb.info = {}
    return rgb


@contextlib.contextmanager
def _strict() -> Iterator[None]:
    """Have Pillow refuse what is not whole, and keep its remarks on what is read to itself."""
    from PIL import ImageFile

    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
