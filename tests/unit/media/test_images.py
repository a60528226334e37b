"""Images: formats by content, sizes before pixels, one way to RGB."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import png, png_chunk

from pytest_modellab.errors import MediaError
from pytest_modellab.media import content, headers, images
from pytest_modellab.records.media import Media

Image = pytest.importorskip("PIL.Image")

Put = Callable[[bytes], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(data: bytes, name: str = "file") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write


def said(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        images.inspect(path)
    return str(caught.value).removeprefix(f"{path}: ")


def saved(image: Any, kind: str, **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a"])
def test_a_format_is_told_by_content(tmp_path: Path, kind: str, name: str) -> None:
    data = saved(Image.new("RGB", (31, 7), "blue"), kind)
    (tmp_path / name).write_bytes(data)
    found = images.inspect(tmp_path / name)
    assert found == Media("image", hashlib.sha256(data).hexdigest(), "")
    assert (found.format, found.width, found.height) == (kind.lower(), 31, 7)
    assert found.path == str(tmp_path / name)


def test_other_webps_and_bmps_tell_their_size(put: Put) -> None:
    for data in (
        saved(Image.new("RGB", (31, 7)), "WEBP", lossless=True),
        saved(Image.new("RGBA", (31, 7)), "WEBP", exif=b"Exif\0\0"),
        b"BM" + bytes(12) + struct.pack("<IHH", 12, 31, 7),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 31, -7),
    ):
        kind = "bmp" if data.startswith(b"BM") else "webp"
        assert headers.size(data, kind) == (31, 7)


@given(
    width=st.integers(1, 400),
    height=st.integers(1, 400),
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]),
    mode=st.sampled_from(["L", "RGB"]),
    options=st.sampled_from([{}, {"lossless": True}, {"progressive": True}, {"quality": 3}]),
)
@settings(max_examples=60, deadline=None)
def test_a_size_that_is_read_is_the_librarys(
    width: int, height: int, kind: str, mode: str, options: dict[str, Any]
) -> None:
    data = saved(Image.new(mode, (width, height)), kind, **options)
    assert headers.size(data, kind.lower()) == (width, height)


@given(data=st.binary(max_size=64), kind=st.sampled_from(["png", "jpeg", "webp", "bmp"]))
def test_any_bytes_have_a_size_or_none(data: bytes, kind: str) -> None:
    with contextlib.suppress(ValueError, struct.error):
        assert min(headers.size(data, kind)) >= 1


def test_a_picture_is_opened_as_it_is(put: Put) -> None:
    media = images.inspect(put(png(colour=(1, 2, 3))))
    opened = images.opened(media)
    assert (opened.mode, opened.size, opened.getpixel((0, 0))) == ("RGB", (16, 12), (1, 2, 3))


def test_orientation_is_applied(put: Put) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn right
    image = Image.new("RGB", (30, 20), "white")
    image.paste("black", (0, 0, 30, 4))
    media = images.inspect(put(saved(image, "JPEG", exif=exif)))
    assert (media.width, media.height) == (20, 30)
    opened = images.opened(media)
    assert opened.size == (20, 30)
    assert max(opened.getpixel((18, 15))) < 50  # what was above is right now
    assert min(opened.getpixel((2, 15))) > 200


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (4, 4), (0, 0, 0, 51)), (204, 204, 204)),
        (Image.new("LA", (4, 4), (7, 255)), (7, 7, 7)),
        (Image.new("L", (4, 4), 7), (7, 7, 7)),
        (Image.new("1", (4, 4), 1), (255, 255, 255)),
        (Image.new("RGB", (4, 4), (9, 8, 7)).quantize(4), (9, 8, 7)),
        (Image.new("I;16", (4, 4), 65535), (255, 255, 255)),
        (Image.new("I;16", (4, 4), 0x8080), (128, 128, 128)),
    ],
)
def test_the_way_to_rgb(put: Put, image: Any, pixel: tuple[int, int, int]) -> None:
    opened = images.opened(images.inspect(put(saved(image, "PNG"))))
    assert (opened.mode, opened.getpixel((1, 1))) == ("RGB", pixel)


def test_cmyk_and_a_transparent_colour(put: Put) -> None:
    cmyk = saved(Image.new("CMYK", (8, 8), (0, 0, 0, 255)), "JPEG")
    assert max(images.opened(images.inspect(put(cmyk))).getpixel((1, 1))) < 5
    clear = saved(Image.new("P", (4, 4), 0), "PNG", transparency=0)
    assert images.opened(images.inspect(put(clear))).getpixel((1, 1)) == (255, 255, 255)


def test_a_size_is_read_before_anything_is_decoded(put: Put) -> None:
    assert said(put(png(size=(40_000, 40_000)))) == (
        "40000 × 40000 pixels; an image of a sample has at most 50 million, and 32768 a side; "
        "scale it down"
    )
    assert said(put(png(size=(40_000, 2)))).startswith("40000 × 2 pixels; an image")
    jpeg = saved(Image.new("RGB", (100, 50)), "JPEG")
    huge = jpeg.replace(struct.pack(">HH", 50, 100), struct.pack(">HH", 60_000, 65_000), 1)
    assert said(put(huge)).startswith("65000 × 60000 pixels; an image of a sample has at most")


def test_bytes_are_counted_before_they_are_read(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(content.MOST_BYTES, "image", 1_000_000)
    assert said(put(bytes(2_000_000))) == "2 MB; images of samples have at most 1 MB each"


@pytest.mark.parametrize("left", [-1, -14, -40, 60, 33, 20, 9])
def test_a_truncated_png_is_found(put: Put, left: int) -> None:
    whole = png(60, 40)
    text = said(put(whole[:left]))
    assert text.startswith("a damaged or truncated image (")
    assert text.endswith("; put a whole file there")


def test_damage_is_found_whatever_another_library_has_set(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import ImageFile

    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    noise = bytes(zlib.crc32(bytes([k % 256, k // 256])) % 256 for k in range(60 * 60 * 3))
    jpeg = saved(Image.frombytes("RGB", (60, 60), noise), "JPEG")
    assert "image file is truncated" in said(put(jpeg[: len(jpeg) // 2]))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_pixels_that_are_not_those_of_the_header(put: Put) -> None:
    assert said(put(png(4, 4, size=(400, 400)))).startswith("a damaged or truncated image (")


def test_a_damaged_picture_is_told_in_the_same_words_each_time(put: Put) -> None:
    data = png()
    text = said(put(data[:29] + bytes([data[29] ^ 1]) + data[30:]))  # of IHDR's checksum
    assert text.startswith("a damaged or truncated image (UnidentifiedImageError: cannot identify")
    assert "0x" not in text


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_a_chunk_is_not_unpacked(put: Put, name: bytes) -> None:
    packed = zlib.compress(bytes(20_000_000), 9)
    between = b"k\0\1\0\0\0" if name == b"iTXt" else b"k\0\0"
    text = said(put(png(extra=png_chunk(name, between + packed))))
    assert "Decompressed data too large" in text


def test_a_bomb_of_scans_is_not_decoded(put: Put) -> None:
    jpeg = saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    at = jpeg.find(b"\xff\xda")
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x05\x00\xff\x00"
    assert said(put(jpeg[:at] + scan * 200 + jpeg[at:])) == (
        "a damaged or truncated image (ValueError: more than 100 scans of the same picture); put a "
        "whole file there"
    )


def test_animations_are_refused(put: Put) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for kind in ("PNG", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert said(put(data)) == (
            "an animation of 3 frames; save the picture that is meant as PNG"
        )
    assert said(put(saved(frames[0], "GIF"))) == (
        "its content is gif; png, jpeg, webp, bmp are read, whatever the file's name: save the "
        "picture that is meant as PNG"
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "an empty file; put the image there"),
        (
            b"RIFF\0\0\0\0WAVEfmt ",
            "wav, a format of recordings; png, jpeg, webp, bmp are read, whatever the file's name",
        ),
        (
            b"hello",
            "its content is no image of a known format; png, jpeg, webp, bmp are read, whatever "
            "the file's name",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "a Git LFS pointer, not the file itself; fetch it: git lfs pull --include file",
        ),
        (
            b"%PDF-1.7",
            "its content is pdf; png, jpeg, webp, bmp are read, whatever the file's name: save the "
            "page that is meant as PNG",
        ),
        (
            b"\0\0\0\x20ftypheic",
            "its content is heif or avif; png, jpeg, webp, bmp are read, whatever the file's name: "
            "convert it to png",
        ),
    ],
)
def test_what_is_no_image(put: Put, data: bytes, text: str) -> None:
    assert said(put(data)) == text


def test_what_is_not_there(tmp_path: Path) -> None:
    assert said(tmp_path / "none") == "no such file; put it there, or correct the path"
    assert said(tmp_path).startswith("cannot be read: ")


def test_a_changed_file_is_not_shown(put: Put) -> None:
    path = put(png())
    media = images.inspect(path)
    put(png(colour=(0, 0, 255)))
    with pytest.raises(MediaError) as caught:
        images.opened(media)
    assert str(caught.value).startswith(
        f"{path}: it has changed since its task set was read: the sha256 was {media.sha256[:16]}…"
    )
    assert str(caught.value).endswith("leave it alone during a run, and run again")


def test_a_thumbnail_is_small(put: Put) -> None:
    media = images.inspect(put(png(1000, 400)))
    data = images.thumbnail(media)
    small = Image.open(io.BytesIO(data))
    assert (small.format, small.size) == ("JPEG", (320, 128))
    assert images.thumbnail(media) == data
    assert len(data) < 20_000


def test_without_pillow(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MediaError) as caught:
        images.inspect(put(png()))
    assert str(caught.value) == (
        "reading images needs Pillow: pip install 'pytest-modellab[vision]'"
    )
