"""What samples show, on a page that refers to nothing outside of it: pictures and players.

Every one is made anew by :mod:`pytest_modellab.media`, from a file whose sha256 is still the
sample's, so that nothing of a file's own reaches the page; number and size are bounded.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import PurePath

from pytest_modellab.errors import MediaError
from pytest_modellab.records.media import Media
from pytest_modellab.reports.media import named
from pytest_modellab.reports.page.markup import Content, Html, el
from pytest_modellab.reports.words import number
from pytest_modellab.visible import raised

MOST = 60
"""Pictures and players of one page."""


BYTES = 1_500_000
"""What they take together, at most."""


_OF_ONE = 6  # of one sample


@dataclasses.dataclass(frozen=True)
class Made:
    """A small copy of a medium: its bytes and their MIME type, or why there is none."""

    data: bytes = b""
    type: str = ""
    why: str = ""


def made(media: Media) -> Made:
    """Make a thumbnail or a clip of a sample's medium, of today's file if it is still the same."""
    from pytest_modellab.media import images, sound

    try:
        if media.kind == "image":
            return Made(images.thumbnail(media), images.THUMBNAIL_TYPE)
        return Made(sound.clip(media), sound.CLIP_TYPE)
    except MediaError as error:  # its message says where the file lies, once or twice
        place = PurePath(media.path)
        why = str(error).removeprefix(f"{media.path}: ")
        return Made(why=why.replace(f"{place.parent}/", "") if place.is_absolute() else why)
    except ValueError as error:  # a path that is none
        return Made(why=raised(error))


class Gallery:
    """The media of one page, as long as there is room.

    Args:
        make: makes the small copies.
        most: pictures and players.
        size: bytes that they take together.
    """

    def __init__(
        self, make: Callable[[Media], Made] = made, most: int = MOST, size: int = BYTES
    ) -> None:
        self._make = make
        self._left, self._room = most, size
        self._known: dict[Media, Made] = {}
        self._limits = most, size
        self.left_out = 0

    def show(self, sample: str, media: Sequence[Media]) -> Html:
        """Return what a sample shows: each a picture or a player, its name below it.

        Args:
            sample: its id.
            media: in order; of more than six the first.
        """
        rest = len(media) - _OF_ONE
        more = el("p", f"and {rest} more", class_="not-shown") if rest > 0 else None
        return el("div", [self._one(sample, one) for one in media[:_OF_ONE]], more, class_="shows")

    def note(self) -> Html | None:
        """Return what is said where the page had no room for all of them."""
        if not self.left_out:
            return None
        most, size = self._limits
        return el(
            "p",
            f"Not shown for want of room: {self.left_out} more pictures or recordings; a page "
            f"holds {most}, of {number(size / 1e6)} MB together.",
            class_="aside",
        )

    def _one(self, sample: str, media: Media) -> Html:
        name = named(media, sample)
        return el("figure", self._body(sample, media, name), el("figcaption", name, _cut(media)))

    def _body(self, sample: str, media: Media, name: str) -> Content:
        if not self._left:
            return self._full()
        if media not in self._known:
            self._known[media] = self._make(media)
        found = self._known[media]
        if found.why:
            return el("p", f"not shown: {found.why}", class_="not-shown")
        source = f"data:{found.type};base64,{base64.b64encode(found.data).decode('ascii')}"
        if len(source) > self._room:
            return self._full()
        self._left -= 1
        self._room -= len(source)
        if media.kind == "image":
            return el("img", src=source, alt=f"what {sample} shows: {name}")
        return el(
            "audio", src=source, controls=True, preload="none", aria_label=f"{sample}: {name}"
        )

    def _full(self) -> Html:
        self.left_out += 1
        return el("p", "not shown: the page is full", class_="not-shown")


def _cut(media: Media) -> str | None:
    from pytest_modellab.media import sound

    if media.seconds <= sound.CLIP_SECONDS:
        return None
    return f" (the first {number(sound.CLIP_SECONDS)} s)"
