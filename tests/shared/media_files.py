"""Images and recordings written byte by byte: whole ones, and what nobody should believe."""

from __future__ import annotations

import io
import math
import struct
import zlib
from typing import Any


def png_chunk(name: bytes, data: bytes) -> bytes:
    """A chunk with its checksum."""
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(
    width: int = 16,
    height: int = 12,
    *,
    colour: tuple[int, int, int] = (255, 0, 0),
    size: tuple[int, int] | None = None,
    extra: bytes = b"",
) -> bytes:
    """A picture of one colour.

    Args:
        width: of what is drawn.
        height: of what is drawn.
        colour: of every pixel.
        size: what the header says; the true one where it is None.
        extra: chunks before the pixels.
    """
    says = size or (width, height)
    row = b"\0" + bytes(colour) * width
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *says, 8, 2, 0, 0, 0))
        + extra
        + png_chunk(b"IDAT", zlib.compress(row * height))
        + png_chunk(b"IEND", b"")
    )


def tone(seconds: float = 0.1, rate: int = 16_000, amplitude: float = 0.5) -> bytes:
    """440 Hz, 16 bits, little end first."""
    values = [
        round(32767 * amplitude * math.sin(2 * math.pi * 440 * k / rate))
        for k in range(round(seconds * rate))
    ]
    return struct.pack(f"<{len(values)}h", *values)


def wav(
    data: bytes | None = None,
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    codec: int = 1,
    length: int | None = None,
) -> bytes:
    """A recording.

    Args:
        data: its samples, a tenth of a second of a tone where it is None.
        rate: samples a second.
        channels: of each.
        bits: of each.
        codec: 1 for whole numbers, 3 for floats.
        length: what the header says of the data, the true one where it is None.
    """
    data = tone() if data is None else data
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", codec, channels, rate, rate * frame & 0xFFFFFFFF, frame, bits)
    said = len(data) if length is None else length
    body = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", said) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def encoded(codec: str, kind: str, rate: int = 48_000, seconds: float = 0.5) -> bytes:
    """A tone as FFmpeg's encoder writes it; needs PyAV.

    Args:
        codec: the encoder's name.
        kind: of the file.
        rate: samples a second.
        seconds: its length.
    """
    import av
    import numpy as np

    written = io.BytesIO()
    with av.open(written, "w", format=kind) as container:
        stream: Any = container.add_stream(codec, rate=rate, layout="mono")
        values = np.frombuffer(tone(seconds, rate), np.int16)
        frame = av.AudioFrame.from_ndarray(values[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        size = stream.codec_context.frame_size or 1024
        while fifo.samples:
            container.mux(stream.encode(fifo.read(min(size, fifo.samples))))
        container.mux(stream.encode(None))
    return written.getvalue()
