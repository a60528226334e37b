"""Recordings: formats by content, lengths before samples, one way to mono."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from media_files import encoded, tone, wav

from pytest_modellab.errors import MediaError
from pytest_modellab.media import content, sound

av = pytest.importorskip("av")

Put = Callable[[bytes], Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(data: bytes) -> Path:
        (tmp_path / "file").write_bytes(data)
        return tmp_path / "file"

    return write


def said(path: Path) -> str:
    with pytest.raises(MediaError) as caught:
        sound.inspect(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("codec", "kind"),
    [("flac", "flac"), ("libopus", "ogg"), ("mp3", "mp3")],
)
def test_formats(put: Put, codec: str, kind: str) -> None:
    found = sound.inspect(put(encoded(codec, kind)))
    assert (found.kind, found.format, found.channels) == ("audio", kind, 1)
    assert found.sample_rate == 48_000
    assert found.seconds == pytest.approx(0.5, abs=0.06)
    heard = sound.waveform(found, 16_000)
    assert heard.dtype == np.float32
    assert heard.size == pytest.approx(8_000, abs=1_000)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.05)


def test_wav_is_read_exactly(put: Put) -> None:
    found = sound.inspect(put(wav()))
    assert (found.format, found.seconds, found.sample_rate, found.channels) == (
        "wav",
        0.1,
        16_000,
        1,
    )
    values = np.frombuffer(tone(), np.int16).astype(np.float32) / 32768
    assert np.array_equal(sound.waveform(found, 16_000), values)


def test_eight_bits_and_two_channels(put: Put) -> None:
    left, right = 128 + 64, 128
    found = sound.inspect(put(wav(bytes([left, right]) * 2205, rate=22_050, channels=2, bits=8)))
    assert (found.seconds, found.sample_rate, found.channels) == (0.1, 22_050, 2)
    heard = sound.waveform(found, 22_050)
    assert heard.shape == (2205,)
    assert np.allclose(heard, 0.25)
    assert sound.waveform(found, 16_000).shape == (1600,)


@pytest.mark.parametrize("channels", range(1, 9))
def test_the_mean_of_all_channels(put: Put, channels: int) -> None:
    frame = struct.pack(f"<{channels}h", *[8192 * (k % 2) for k in range(channels)])
    heard = sound.waveform(sound.inspect(put(wav(frame * 1600, channels=channels))), 16_000)
    assert np.allclose(heard, 0.25 * (channels // 2) / channels)


@pytest.mark.parametrize(
    ("bits", "codec", "sample"),
    [
        (24, 1, b"\0\0\x40"),
        (32, 1, b"\0\0\0\x40"),
        (32, 3, struct.pack("<f", 0.5)),
        (64, 3, struct.pack("<d", 0.5)),
    ],
)
def test_other_widths(put: Put, bits: int, codec: int, sample: bytes) -> None:
    heard = sound.waveform(sound.inspect(put(wav(sample * 160, bits=bits, codec=codec))), 16_000)
    assert np.allclose(heard, 0.5)


def test_what_is_too_loud_is_cut(put: Put) -> None:
    loud = wav(struct.pack("<f", -1e30) * 160, bits=32, codec=3)
    assert set(sound.waveform(sound.inspect(put(loud)), 16_000).tolist()) == {-1.0}


def test_resampling_keeps_the_tone(put: Put) -> None:
    found = sound.inspect(put(wav(tone(1.0, 44_100), rate=44_100)))
    heard = sound.waveform(found, 16_000)
    assert heard.size == 16_000
    assert np.argmax(np.abs(np.fft.rfft(heard))) == 440
    assert np.array_equal(heard, sound.waveform(found, 16_000))


def test_three_hours_of_silence(put: Put) -> None:
    path = put(wav(bytes([128]) * (3 * 3600 * 4000), rate=4000, bits=8))
    assert said(path) == (
        "180 minutes; a recording of a sample has at most 60: cut it into several"
    )


def test_a_length_that_no_header_tells_is_counted(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(wav(tone(2.0), length=0xFFFFFFFF))
    found = sound.inspect(path)
    assert found.seconds == 2.0
    monkeypatch.setattr(sound, "MOST_SECONDS", 1.0)
    monkeypatch.setattr(sound, "_claimed", lambda *_: None)
    assert said(path).startswith("more than 0 minutes; a recording of a sample has at most 0")
    with pytest.raises(MediaError, match="more than 0 minutes"):
        sound.waveform(found, 16_000)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "an empty file; put the recording there"),
        (wav(b""), "holds no sound, not one sample; put a whole recording there"),
        (
            wav(bytes(2 * 5)),
            "0.31 ms; a recording of a sample has at least 10: put a whole recording there",
        ),
        (
            wav()[:1000],
            "cut short: its header says that 2244 bytes more follow; put a whole file there",
        ),
        (
            wav(length=1_000_000),
            "cut short: its header says that 996800 bytes more follow; put a whole file there",
        ),
        (
            wav(rate=1),
            "1 samples a second; expected 4000 to 192000: write it again at a usual rate",
        ),
        (wav(channels=100), "100 channels; expected 1 to 8"),
        (wav(codec=0x55), "wav with mp3float in it; expected pcm"),
        (
            wav(struct.pack("<f", float("nan")) * 160, bits=32, codec=3),
            "holds values that are no numbers (NaN or infinity); write it again",
        ),
        (
            b"#EXTM3U\nfile:///etc/passwd\n",
            "its content is no recording of a known format; wav, flac, ogg, mp3 are read, whatever "
            "the file's name",
        ),
        (
            b"\x89PNG\r\n\x1a\n",
            "png, a format of images; wav, flac, ogg, mp3 are read, whatever the file's name",
        ),
        (
            b"\0\0\0\x20ftypM4A ",
            "its content is mp4 or m4a; wav, flac, ogg, mp3 are read, whatever the file's name: "
            "convert it to wav",
        ),
    ],
)
def test_what_is_no_recording(put: Put, data: bytes, text: str) -> None:
    assert said(put(data)) == text


@pytest.mark.parametrize(
    "data",
    [
        wav()[:20] + bytes(24) + wav()[44:],
        wav(rate=0),
        b"RIFF" + bytes(4) + b"WAVE" + bytes(100),
        b"fLaC\0\0\0\x22" + bytes(34),
        b"OggS" + bytes(100),
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + bytes(100),
    ],
)
def test_a_corrupt_recording(put: Put, data: bytes) -> None:
    text = said(put(data))
    assert text.startswith("a damaged or truncated recording (")
    assert text.endswith("; put a whole file there")


def test_compressed_recordings_that_are_cut_short(put: Put) -> None:
    flac = encoded("flac", "flac", seconds=2.0)
    text = said(put(flac[: len(flac) // 2]))
    assert text.startswith(
        ("cut short: its header says 2.00 s", "a damaged or truncated recording")
    )
    opus = encoded("libopus", "ogg", seconds=2.0)
    last = opus.rfind(b"OggS")
    assert said(put(opus[:last])) == (
        "cut short: its last page is not marked as the last; put a whole file there"
    )


def test_bytes_are_counted_before_they_are_read(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(content.MOST_BYTES, "audio", 1_000_000)
    assert said(put(bytes(2_000_000))) == "2 MB; recordings of samples have at most 1 MB each"


def test_a_clip_is_small_and_the_first_half_minute(put: Put) -> None:
    long = sound.inspect(put(wav(tone(40.0, 8000), rate=8000)))
    data = sound.clip(long)
    assert sound.clip(long) == data
    assert len(data) < 130_000
    heard = sound.inspect(put(data))
    assert heard.format == "mp3"
    assert heard.seconds == pytest.approx(30.0, abs=0.2)


def test_without_av(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    assert said(put(wav())) == (
        "reading recordings needs PyAV: pip install 'pytest-modellab[speech]'"
    )
