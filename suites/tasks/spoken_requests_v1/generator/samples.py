"""Sentences, voices and surroundings become samples and recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from suites.tasks.spoken_requests_v1.generator import sound
from suites.tasks.spoken_requests_v1.generator.sentences import SENTENCES
from suites.tasks.spoken_requests_v1.generator.sound import Voice, Wave

VOICES = (
    "en-gb",
    "en-us",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-us+f2",
    "en-gb+f3",
    "en-us+m3",
    "en-gb-x-rp+m7",
)
"""eSpeak NG's accents, with a variant where the voice is another one's."""

DIFFICULTIES = {
    "clear": "easy",
    "far": "hard",
    "names": "medium",
    "noise": "hard",
    "numbers": "medium",
}

Told = dict[str, Any]
"""What is told of a recording, beside its voice."""


def samples(capability: str, seed: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield a capability's samples, each with its recording.

    Args:
        capability: of :data:`DIFFICULTIES`.
        seed: of the task set.
    """
    for number, text in enumerate(SENTENCES[capability], 1):
        name = f"{capability}-{DIFFICULTIES[capability]}-{number:03d}"
        random = np.random.default_rng(
            int(hashlib.sha256(f"{seed}:{name}".encode()).hexdigest(), 16)
        )
        voice = Voice(
            name=VOICES[(number - 1) % len(VOICES)],
            speed=int(random.integers(125, 166)),
            pitch=int(random.integers(35, 66)),
        )
        heard, told = _SURROUNDINGS[capability](sound.speak(text, voice), random)
        sample = {
            "id": name,
            "capability": capability,
            "difficulty": DIFFICULTIES[capability],
            "input": "Write down what is said.",
            "audio": f"audio/{name}.ogg",
            "target": {"text": text, "normalize": "english-1"},
            "scorer": "wer",
            "max_tokens": 48,
            "metadata": {"voice": voice.name, "speed": voice.speed, **told},
        }
        yield sample, sound.opus(heard)


def _near(spoken: Wave, _random: np.random.Generator) -> tuple[Wave, Told]:
    return spoken, {}


def _noisy(spoken: Wave, random: np.random.Generator) -> tuple[Wave, Told]:
    decibels = int(random.integers(8, 25))
    kind = str(random.choice(["street", "voices"]))
    if kind == "street":
        noise = sound.hum(len(spoken), random)
    else:
        others = [
            sound.speak(SENTENCES["clear"][int(random.integers(20))], Voice(name, 160, 50))
            for name in ("en-us+m3", "en-gb+f3", "en-us+f2")
        ]
        noise = sound.babble(len(spoken), others, random)
    return sound.mixed(spoken, noise, decibels), {"noise": kind, "decibels": decibels}


def _far(spoken: Wave, random: np.random.Generator) -> tuple[Wave, Told]:
    echo = round(float(random.uniform(0.25, 0.6)), 2)
    heard = sound.room(spoken, echo, 1.0, random)
    return sound.mixed(heard, sound.hum(len(heard), random), 25), {"echo_seconds": echo}


_SURROUNDINGS: dict[str, Callable[[Wave, np.random.Generator], tuple[Wave, Told]]] = {
    "clear": _near,
    "far": _far,
    "names": _near,
    "noise": _noisy,
    "numbers": _near,
}
