"""What a sample holds beside its text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pytest_modellab.records.media import PLACE, Media
from pytest_modellab.records.tasks import Sample


def test_media_come_first_where_the_text_names_no_place(sample: Callable[..., Sample]) -> None:
    two = (Media("image", "0" * 64, "a.png"), Media("image", "1" * 64, "b.png"))
    plain = sample(0, input="Which one?")
    assert plain.asked == "Which one?"
    assert dataclasses.replace(plain, media=two).asked == f"{PLACE}{PLACE}Which one?"
    placed = dataclasses.replace(plain, input=f"Not {PLACE} but {PLACE}", media=two)
    assert placed.asked == placed.input


def test_a_samples_hash_has_what_its_media_are_and_not_where(
    sample: Callable[..., Sample],
) -> None:
    plain = sample(0)
    one, moved, other = (
        dataclasses.replace(plain, media=(Media("image", digit * 64, path, width=3),))
        for digit, path in (("0", "a.png"), ("0", "b.png"), ("1", "a.png"))
    )
    assert one.content_hash == moved.content_hash
    assert len({plain.content_hash, one.content_hash, other.content_hash}) == 3
