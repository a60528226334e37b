"""What the engine costs beside faster-whisper alone: `python -m benchmarks.speech`.

Recordings of a task set, heard by the engine as a run hears them, and by a `WhisperModel` of
faster-whisper with the same options, which decodes the files itself. Both are loaded once and take
turns, recording by recording; the ratio is of the sums of processor time, so that other work on the
machine counts little. It exits with 1 where the two write down different words.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from faster_whisper import WhisperModel, decode_audio

from pytest_modellab.config import read
from pytest_modellab.engines import environment
from pytest_modellab.engines.interface import GenerationRequest
from pytest_modellab.engines.speech import whisper
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models import convert
from pytest_modellab.records.runs import Output
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites"


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="whisper_tiny")
    parser.add_argument("--task-set", default="spoken_requests_v1")
    parser.add_argument("--samples", type=int, default=20)
    options = parser.parse_args()
    cache = default_folder()
    lab = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=cache))
    variant: Any = lab.variant(options.variant)
    settings = variant.plan.open.settings
    ours: Any = lab.engine(variant)
    theirs = WhisperModel(
        str(convert.folder(variant.files, cache)),
        device="cpu",
        compute_type=settings.compute_type,
        cpu_threads=environment.threads(),
    )
    every = lab.task_set(options.task_set).samples
    samples = every[:: max(1, len(every) // options.samples)][: options.samples]
    spent = {"engine": 0.0, "faster-whisper": 0.0}
    different = 0
    for number, sample in enumerate(samples):
        request = GenerationRequest(sample.input, sample.max_tokens, media=sample.media)

        def engine(request: GenerationRequest = request) -> str:
            found: dict[int, Output] = {}
            ours.generate([request], budget=1, skip=set(), done=found.update)
            return found[0].text

        def alone(request: GenerationRequest = request) -> str:
            segments, _ = theirs.transcribe(
                decode_audio(request.media[0].path),
                language=settings.language,
                beam_size=settings.beam_size,
                temperature=0.0,
                compression_ratio_threshold=None,
                condition_on_previous_text=False,
                max_new_tokens=request.max_tokens,
                **whisper.SILENCE,
            )
            return "".join(segment.text for segment in segments).strip()

        heard = {}
        turns = [("engine", engine), ("faster-whisper", alone)]
        for name, call in turns if number % 2 else turns[::-1]:
            start = time.process_time()
            heard[name] = call()
            spent[name] += time.process_time() - start
        different += heard["engine"] != heard["faster-whisper"]
    audio = sum(sample.media[0].seconds for sample in samples)
    for name, seconds in spent.items():
        print(
            f"{name:15} {seconds:7.2f} s of processor time, {seconds / audio:.3f} per second heard"
        )
    print(f"engine / faster-whisper {spent['engine'] / spent['faster-whisper']:.3f}")
    print(f"{len(samples)} recordings, {different} written down otherwise")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
