"""What was seen of a file is remembered by its content."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_files import png, wav

from pytest_modellab.errors import MediaError
from pytest_modellab.media import images, known, sound

pytest.importorskip("PIL")
pytest.importorskip("av")


def test_a_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "a.png").write_bytes(png())
    (tmp_path / "a.wav").write_bytes(wav())
    first = [
        known.look(tmp_path / "a.png", "image", cache),
        known.look(tmp_path / "a.wav", "audio", cache),
    ]
    assert first == [images.inspect(tmp_path / "a.png"), sound.inspect(tmp_path / "a.wav")]
    monkeypatch.setitem(known._LOOK, "image", None)
    monkeypatch.setitem(known._LOOK, "audio", None)
    (tmp_path / "b.png").write_bytes(png())
    again = [
        known.look(tmp_path / "b.png", "image", cache),
        known.look(tmp_path / "a.wav", "audio", cache),
    ]
    assert again == first
    assert (again[0].path, again[0].format, again[0].width, again[0].height) == (
        str(tmp_path / "b.png"),
        "png",
        16,
        12,
    )
    assert (again[1].seconds, again[1].sample_rate, again[1].channels) == (0.1, 16_000, 1)
    with pytest.raises(MediaError, match="no such file"):
        known.look(tmp_path / "c.png", "image", cache)


def test_what_is_damaged_is_looked_at_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "a.png").write_bytes(png())
    found = known.look(tmp_path / "a.png", "image", cache)
    (entry,) = (cache / "media").iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(whole.replace(b'"width":16', b'"width":99'))
    assert known.look(tmp_path / "a.png", "image", cache).width == found.width == 16
    assert entry.read_bytes() == whole


def test_what_cannot_be_used_is_not_remembered(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "a.png").write_bytes(png()[:-20])
    for _ in range(2):
        with pytest.raises(MediaError, match="a damaged or truncated image"):
            known.look(tmp_path / "a.png", "image", cache)
    assert not cache.exists()


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    (tmp_path / "a.png").write_bytes(png())
    assert known.look(tmp_path / "a.png", "image", tmp_path / "cache").width == 16
