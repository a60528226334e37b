"""How it sounds: eSpeak NG speaks, and a seeded world lies before the microphone."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import wave
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal

Wave = NDArray[np.float64]

RATE = 16_000
"""Of all recordings, in Hz."""

BITS = 24_000
"""Of Opus, a second."""


@dataclasses.dataclass(frozen=True)
class Voice:
    """Who speaks.

    Attributes:
        name: eSpeak NG's voice, with a variant.
        speed: words a minute.
        pitch: 0 to 99.
    """

    name: str
    speed: int
    pitch: int


def speak(text: str, voice: Voice) -> Wave:
    """Return a text as eSpeak NG speaks it, at :data:`RATE`."""
    command = ["espeak-ng", "-v", voice.name, "-s", str(voice.speed), "-p", str(voice.pitch)]
    made = subprocess.run([*command, "--stdout", text], check=True, capture_output=True).stdout
    with wave.open(io.BytesIO(made)) as file:
        rate = file.getframerate()
        spoken = np.frombuffer(file.readframes(1 << 30), dtype="<i2") / 32768
    quiet = np.zeros(rate // 4)
    heard = signal.resample_poly(np.concatenate([quiet, spoken, quiet]), RATE, rate)
    return loud(heard)


def loud(sound: Wave, peak: float = 0.5) -> Wave:
    """Return a sound at a common peak."""
    highest = float(np.abs(sound).max())
    return sound * (peak / highest) if highest else sound


def mixed(sound: Wave, noise: Wave, decibels: float) -> Wave:
    """Return a sound with noise at a ratio of signal to noise."""
    ratio = np.sqrt(np.mean(sound**2) / np.mean(noise**2)) / 10 ** (decibels / 20)
    return loud(sound + ratio * noise)


def hum(length: int, random: np.random.Generator) -> Wave:
    """Return noise as of a street: louder the lower (pink), with slow swells."""
    spectrum = np.fft.rfft(random.standard_normal(length))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 8))
    swell = 1 + 0.4 * np.sin(2 * np.pi * (np.arange(length) / RATE * 0.6 + random.random()))
    return np.asarray(np.fft.irfft(spectrum, length) * swell)


def babble(length: int, voices: list[Wave], random: np.random.Generator) -> Wave:
    """Return several speakers at once, run backwards, so that they say nothing."""
    found = np.zeros(length)
    for voice in voices:
        found += np.resize(np.roll(voice[::-1], int(random.integers(len(voice)))), length)
    return found


def room(sound: Wave, seconds: float, direct: float, random: np.random.Generator) -> Wave:
    """Return a sound as it arrives at the other end of a room.

    Args:
        sound: near the mouth.
        seconds: until an echo is 60 dB lower.
        direct: how loud what comes straight is, beside all echoes.
        random: of the room.
    """
    length = int(seconds * RATE)
    time = np.arange(length) / RATE
    echoes = random.standard_normal(length) * 10 ** (-3 * time / seconds)
    echoes[: int(0.004 * RATE)] = 0
    echoes /= np.sqrt(np.sum(echoes**2))
    echoes[0] = direct
    walls = signal.butter(2, 5000, fs=RATE, output="sos")  # walls swallow what is high
    heard = signal.sosfilt(walls, signal.fftconvolve(sound, echoes))[: len(sound) + length // 2]
    return loud(np.asarray(heard))


def opus(sound: Wave) -> bytes:
    """Return a sound as an Ogg Opus file."""
    written = io.BytesIO()
    with av.open(written, "w", format="ogg") as container:
        # one place decides about the numbers of pages, which FFmpeg else draws
        container.flags |= av.container.Flags.bitexact.value
        stream: Any = container.add_stream("libopus", rate=48_000, layout="mono")
        stream.bit_rate = BITS
        whole = np.rint(signal.resample_poly(sound, 3, 1).clip(-1, 1) * 32767).astype("<i2")
        frame = av.AudioFrame.from_ndarray(whole[None, :], format="s16", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return written.getvalue()
