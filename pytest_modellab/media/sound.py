"""Recordings: looked at before they are believed, and opened in one way as mono float32.

The way: samples of any width become float32 in [-1, 1], are resampled by FFmpeg's resampler where
the rate differs, and the mean of all channels is taken.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import MediaError
from pytest_modellab.media import content
from pytest_modellab.media.content import Content
from pytest_modellab.records.media import Media

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_SECONDS = 3600.0
"""Of one recording."""

LEAST_SECONDS = 0.01
"""Of less, resampling may leave not one sample."""

MOST_CHANNELS = 8

RATES = (4_000, 192_000)
"""Sample rates in Hz, the lowest and the highest."""

CLIP_TYPE = "audio/mpeg"

CLIP_SECONDS = 30.0
"""Of a recording that reports play, from its beginning."""

_CLIP_RATE = 16_000
_CLIP_BITS = 32_000

_CODECS = {
    "wav": ("pcm_",),
    "flac": ("flac",),
    "ogg": ("opus", "libopus", "vorbis", "libvorbis", "flac"),
    "mp3": ("mp3",),
}
"""How the names of the codecs begin that a format may hold."""

_UNTOLD = 0x7FFFF000
"""A length in a WAV's header from here on says that its writer did not know it: it wrote to a
pipe."""


def inspect(path: Path | str) -> Media:
    """Look at a recording: its format, rate, channels and length, and whether all of it is there.

    Args:
        path: of the file; the content counts, not the name.

    Raises:
        MediaError: it is missing, damaged, too long, silent by being empty, or no recording of a
            known format.
    """
    path = Path(path)
    return look(path, content.read(path, "audio"))


def look(path: Path, found: Content) -> Media:
    """Look at a recording that is read, see :func:`inspect`."""
    import numpy as np

    with _streams(path, found) as (container, stream):
        rate, channels = _checked(path, stream)
        claimed = _claimed(path, found, container, stream)
        samples = 0
        for piece in _mono(container, stream, rate):
            samples += piece.size
            if samples > MOST_SECONDS * rate:
                raise _too_long(path, samples / rate, "more than ")
            if not np.isfinite(piece).all():
                raise MediaError(
                    f"{path}: holds values that are no numbers (NaN or infinity); write it again"
                )
    if not samples:
        raise MediaError(f"{path}: holds no sound, not one sample; put a whole recording there")
    seconds = samples / rate
    if seconds < LEAST_SECONDS:
        raise MediaError(
            f"{path}: {seconds * 1000:.2g} ms; a recording of a sample has at least "
            f"{LEAST_SECONDS * 1000:.0f}: put a whole recording there"
        )
    if claimed is not None and seconds < claimed - max(0.1, claimed / 100):
        raise _cut(path, f"its header says {claimed:.2f} s, it holds {seconds:.2f} s")
    return Media(
        "audio",
        found.sha256,
        str(path.absolute()),
        format=found.format,
        seconds=seconds,
        sample_rate=rate,
        channels=channels,
    )


def waveform(media: Media, rate: int) -> NDArray[np.float32]:
    """Return a recording of a sample as mono, see the module for the way.

    Args:
        media: a recording.
        rate: samples a second that are wanted.

    Returns:
        One dimension, in [-1, 1].

    Raises:
        MediaError: its file is missing, damaged, or has changed since :func:`inspect`.
    """
    return _waveform(Path(media.path), content.again(media), rate, MOST_SECONDS)


def clip(media: Media) -> bytes:
    """Return a small recording for reports, an MP3 file: the first half minute, in mono.

    Raises:
        MediaError: as :func:`waveform`.
    """
    import numpy as np

    path = Path(media.path)
    found = content.again(media)
    heard = _waveform(path, found, _CLIP_RATE, CLIP_SECONDS, stop=True)
    import av

    written = io.BytesIO()
    with av.open(written, "w", format="mp3") as container:
        stream: Any = container.add_stream("mp3", rate=_CLIP_RATE, layout="mono")
        stream.bit_rate = _CLIP_BITS
        whole = np.rint(heard * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(whole[None, :], format="s16p", layout="mono")
        frame.sample_rate = _CLIP_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return written.getvalue()


def _waveform(
    path: Path, found: Content, rate: int, most: float, *, stop: bool = False
) -> NDArray[np.float32]:
    """Decode a recording up to ``most`` seconds; what is longer is refused, or left out."""
    import numpy as np

    pieces: list[NDArray[np.float32]] = []
    with _streams(path, found) as (container, stream):
        _checked(path, stream)
        left = round(most * rate)
        for piece in _mono(container, stream, rate):
            if piece.size > left and not stop:
                raise _too_long(path, most, "more than ")
            pieces.append(piece[:left])
            left -= pieces[-1].size
            if stop and not left:
                break
    if not pieces:
        raise MediaError(f"{path}: holds no sound, not one sample; put a whole recording there")
    return np.concatenate(pieces).clip(-1.0, 1.0)


def _mono(container: Any, stream: Any, rate: int) -> Iterator[NDArray[np.float32]]:
    """Decode a stream bit by bit: float32, resampled, the mean of its channels."""
    import av
    import numpy as np

    # interleaved: of eight channels apart, PyAV's to_ndarray reads past the last
    resampler = av.AudioResampler(format="flt", rate=rate)
    for frame in _frames(container, stream):
        for piece in resampler.resample(frame):
            values = piece.to_ndarray().reshape(-1, piece.layout.nb_channels)
            yield values.mean(axis=1, dtype=np.float32)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the frames of a stream, then None: what a resampler holds back comes out."""
    yield from container.decode(stream)
    yield None


@contextlib.contextmanager
def _streams(path: Path, found: Content) -> Iterator[tuple[Any, Any]]:
    """Open a recording by the demuxer of its format: none is asked that opens other files."""
    with content.library("audio"):
        import av

    with (
        content.decoding(path, "audio"),
        av.open(io.BytesIO(found.data), format=found.format, metadata_errors="replace") as opened,
    ):
        streams = opened.streams.audio
        if len(streams) != 1:
            raise MediaError(f"{path}: holds {len(streams)} recordings, expected one")
        codec = streams[0].codec_context.name
        if not codec.startswith(_CODECS[found.format]):
            expected = [name.strip("_") for name in _CODECS[found.format] if "lib" not in name]
            raise MediaError(
                f"{path}: {found.format} with {codec} in it; expected {' or '.join(expected)}"
            )
        yield opened, streams[0]


def _checked(path: Path, stream: Any) -> tuple[int, int]:
    """Return rate and channels of a stream.

    Raises:
        MediaError: they are none of a recording.
    """
    rate, channels = int(stream.sample_rate or 0), int(stream.channels or 0)
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(
            f"{path}: {rate} samples a second; expected {RATES[0]} to {RATES[1]}: write it again "
            "at a usual rate"
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise MediaError(f"{path}: {channels} channels; expected 1 to {MOST_CHANNELS}")
    return rate, channels


def _claimed(path: Path, found: Content, container: Any, stream: Any) -> float | None:
    """Return how long a recording says it is, where that can be relied on.

    Raises:
        MediaError: it says that it is too long, or that it goes on.
    """
    said = stream.duration and float(stream.duration * stream.time_base)
    if said is None and container.duration:
        said = container.duration / 1e6
    if found.format == "wav":
        rest = _missing(found.data)
        if rest:
            raise _cut(path, f"its header says that {rest} bytes more follow")
    if said and said > MOST_SECONDS:
        raise _too_long(path, said)
    if found.format == "ogg":
        last = found.data.rfind(b"OggS")
        if not found.data[last + 5 : last + 6] or not found.data[last + 5] & 4:
            raise _cut(path, "its last page is not marked as the last")
    return said if found.format == "flac" else None


def _missing(data: bytes) -> int:
    """Return how many bytes of a WAV's samples are not there."""
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"data":
            untold = length >= _UNTOLD
            return 0 if untold else max(0, at + 8 + length - len(data))
        at += 8 + length + length % 2
    return 0


def _cut(path: Path, why: str) -> MediaError:
    return MediaError(f"{path}: cut short: {why}; put a whole file there")


def _too_long(path: Path, seconds: float, more: str = "") -> MediaError:
    return MediaError(
        f"{path}: {more}{seconds / 60:.0f} minutes; a recording of a sample has at most "
        f"{MOST_SECONDS / 60:.0f}: cut it into several"
    )
