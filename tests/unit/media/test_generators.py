"""Files that a generator makes are kept whole, and are what the sample says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from media_files import png

from pytest_modellab.errors import MediaError
from pytest_modellab.media import content, generators
from pytest_modellab.media.generators import Generator
from pytest_modellab.store import said as store


def draw(seed: int, options: Mapping[str, Any]) -> bytes:
    return png(16, int(options.get("height", 12)), colour=(seed % 256, 0, 0))


DRAWN = Generator("plain", 1, "image", draw)


def failing(make: Any, tmp_path: Path, **given: Any) -> str:
    options = given.pop("options", {})
    with pytest.raises(MediaError) as caught:
        generators.made(Generator("plain", 3, "image", make), 7, options, "", tmp_path)
    return str(caught.value)


def test_made_once(tmp_path: Path) -> None:
    calls: list[int] = []

    def counting(seed: int, options: Mapping[str, Any]) -> bytes:
        calls.append(seed)
        return draw(seed, options)

    one = Generator("plain", 1, "image", counting)
    path = generators.made(one, 7, {"height": 3}, "", tmp_path)
    assert path.read_bytes() == draw(7, {"height": 3})
    assert path.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png"
    assert generators.made(one, 7, {"height": 3}, "", tmp_path) == path
    assert generators.made(one, 7, {"height": 3}, path.stem, tmp_path) == path
    assert calls == [7]
    others = [
        generators.made(one, 8, {"height": 3}, "", tmp_path),
        generators.made(one, 7, {}, "", tmp_path),
        generators.made(Generator("plain", 2, "image", counting), 7, {}, "", tmp_path),
        generators.made(Generator("other", 1, "image", counting), 7, {}, "", tmp_path),
    ]
    assert len({path, *others}) == 5
    assert calls == [7, 8, 7, 7, 7]


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path = generators.made(DRAWN, 7, {}, "", tmp_path)
    path.write_bytes(b"half of it")
    told: list[str] = []
    with store.listening(told.append):
        assert generators.made(DRAWN, 7, {}, "", tmp_path).read_bytes() == draw(7, {})
    assert told == [f"generated/{path.parent.name}/{path.name} is damaged; it is made anew"]


def test_a_generator_that_draws_other_bytes(tmp_path: Path) -> None:
    path = generators.made(DRAWN, 7, {}, "", tmp_path)
    now = hashlib.sha256(draw(7, {})).hexdigest()
    with pytest.raises(MediaError) as caught:
        generators.made(DRAWN, 7, {}, "0" * 64, tmp_path)
    assert str(caught.value) == (
        f"generator 'plain' version 1, seed 7: made a file with sha256 {now}, the sample says "
        f"{'0' * 64}: the generator has changed, or a library or a font in another version draws "
        "other bytes; install the versions that the task set was made with, or give it a new "
        "version with the new sha256"
    )
    assert path.exists()


def test_one_that_was_mended_is_asked_again(tmp_path: Path) -> None:
    old = Generator("plain", 1, "image", lambda seed, options: png(9, 9))
    first = generators.made(old, 7, {}, "", tmp_path)
    right = hashlib.sha256(draw(7, {})).hexdigest()
    path = generators.made(DRAWN, 7, {}, right, tmp_path)
    assert path.stem == right
    assert not first.exists()


def test_what_a_generator_may_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(seed: int, options: Mapping[str, Any]) -> bytes:
        raise KeyError("font\nx")

    assert failing(fails, tmp_path, options={"size": 3}) == (
        "generator 'plain' version 3, seed 7, options {'size': 3}: KeyError: 'font\\nx'; mend "
        "the generator, or the sample"
    )
    assert failing(lambda seed, options: "text", tmp_path) == (
        "generator 'plain' version 3, seed 7: made 'text', expected the bytes of a file"
    )
    assert failing(lambda seed, options: b"GIF89a", tmp_path) == (
        "generator 'plain' version 3, seed 7: made gif; expected one of png, jpeg, webp, bmp"
    )
    monkeypatch.setitem(content.MOST_BYTES, "image", 1_000_000)
    assert failing(lambda seed, options: bytes(3_000_000), tmp_path) == (
        "generator 'plain' version 3, seed 7: made 3 MB, expected at most 1"
    )
    assert not any(tmp_path.iterdir())


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "generated").write_text("a file")
    with pytest.raises(MediaError, match=r"choose another folder: MODELLAB_CACHE=/some/folder$"):
        generators.made(DRAWN, 7, {}, "", tmp_path)
