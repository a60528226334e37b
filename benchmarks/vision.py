"""What an image costs a sample, and what is saved on its options: `python -m benchmarks.vision`.

Samples with images of a suite, one at a time by one loaded model: preparing pixels and tokens,
reading image and prompt alone, all options behind that, and each option with image and prompt read
again, as transformers' forward pass does by itself. Processor time of one thread, in turns; medians
of all samples. It exits with 1 where the two ways differ by more than rounding.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_modellab.config import read
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.engines.tokens import encode_options
from pytest_modellab.engines.vision import reading_options
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites"

ROUNDING = 1e-3
"""How far two log-likelihoods may be apart, in nats."""


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=SUITES / "modellab.toml")
    parser.add_argument("--variant", default="sight")
    parser.add_argument("--task-set", default="sight_v1")
    parser.add_argument("--samples", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lab = Lab(read.load(options.config), Settings(cache=default_folder()))
    variant = lab.variant(options.variant)
    engine: Any = lab.engine(variant)
    every = [one for one in lab.task_set(options.task_set).samples if one.media and one.choices]
    requests = [
        ScoringRequest(
            engine.render(variant.plan.prompt.messages(one.asked)), one.choices, media=one.media
        )
        for one in every[:: max(1, len(every) // options.samples)][: options.samples]
    ]
    seconds, lengths, apart = _measured(engine, requests)
    print(f"{len(requests)} samples, {statistics.median(lengths):.0f} tokens with the image")
    whole = statistics.median(seconds["all options"])
    for what, values in seconds.items():
        told = statistics.median(values)
        print(f"{what:28} {1000 * told:8.1f} ms   {told / whole:5.2f}")
    print(f"largest difference           {apart:8.1e} nats")
    return int(apart > ROUNDING)


def _measured(
    engine: Any, requests: Sequence[ScoringRequest]
) -> tuple[dict[str, list[float]], list[int], float]:
    """Return seconds by what was done, tokens of each prompt, and the largest difference."""
    seconds: dict[str, list[float]] = {
        "pixels and tokens": [],
        "image and prompt": [],
        "all options": [],
        "each option by itself": [],
    }
    lengths, apart = [], 0.0

    def timed(what: str, call: Callable[[], Any]) -> Any:
        start = time.process_time()
        found = call()
        seconds[what].append(time.process_time() - start)
        return found

    with engine._guarded():
        behind = reading_options.behind_beginnings(engine.model)
        for request, tokens in zip(
            requests, encode_options(engine.tokenizer, requests), strict=True
        ):
            inputs = timed("pixels and tokens", lambda one=request: engine._inputs(one))
            lengths.append(inputs["input_ids"].shape[1])
            timed(
                "image and prompt",
                lambda given=inputs: engine.model(**given, use_cache=True, logits_to_keep=1),
            )
            both = [
                timed(what, lambda way=way, given=inputs, row=tokens: way(given, row))
                for what, way in (
                    (
                        "all options",
                        functools.partial(reading_options.together, engine.model, behind),
                    ),
                    (
                        "each option by itself",
                        functools.partial(reading_options.each, engine.model),
                    ),
                )
            ]
            apart = max(apart, *(abs(a - b) for a, b in zip(*both, strict=True)))
    return seconds, lengths, apart


if __name__ == "__main__":
    sys.exit(main())
