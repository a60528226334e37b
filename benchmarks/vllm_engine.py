"""What vLLM costs on a CPU beside the engine of transformers: `python -m benchmarks.vllm_engine`.

Multiple-choice samples of a task set, scored by both engines with the same weights in float32, and
replies of 16 tokens to some of them. Both are loaded once and take turns; what counts is the median
of a turn's processor time, so that other work on the machine counts little. It also prints how far
the likelihoods are apart, and exits with 1 where a reply differs.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model, vllm_engine
from pytest_modellab.engines.tokens import encode
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models import convert
from pytest_modellab.records.runs import Output
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites"


def main() -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="prompting")
    parser.add_argument("--task-set", default="assistant_core_v2")
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cache = default_folder()
    lab = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=cache))
    variant: Any = lab.variant(options.variant)
    folder = convert.folder(variant.files, cache)
    every = [one for one in lab.task_set(options.task_set).samples if one.choices]
    samples = every[:: max(1, len(every) // options.samples)][: options.samples]
    with (
        contextlib.closing(vllm_engine.load(folder)) as theirs,
        contextlib.closing(torch_model.load(folder)) as ours,
    ):
        engines: dict[str, Any] = {"transformers": ours, "vLLM": theirs}
        contexts = [ours.render(variant.plan.prompt.messages(one.input)) for one in samples]
        pairs = zip(contexts, samples, strict=True)
        scored = [ScoringRequest(context, sample.choices) for context, sample in pairs]
        written = [GenerationRequest(context, 16) for context in contexts[::4]]
        spent: dict[tuple[str, str], list[float]] = {}
        said: dict[tuple[str, str], dict[int, Output]] = {}
        reused = 0.0
        for turn in range(options.rounds + 1):
            for name, engine in [*engines.items()][:: 1 if turn % 2 else -1]:
                for what, ask, requests in (
                    ("options", engine.score_options, scored),
                    ("replies", engine.generate, written),
                ):
                    found: dict[int, Output] = {}
                    theirs._running._llm.reset_prefix_cache()  # as a run finds it
                    theirs.probes()
                    start = time.process_time()
                    ask(requests, budget=512, skip=set(), done=found.update)
                    if turn:  # the first warms up
                        spent.setdefault((name, what), []).append(time.process_time() - start)
                    said[name, what] = found
                    if (name, what) == ("vLLM", "options"):
                        reused = theirs.probes()["prefix_reused"]
        apart = [
            (abs(a - b), abs(a - b) / len(encode(ours.tokenizer, option)))
            for i, request in enumerate(scored)
            for option, a, b in zip(
                request.options,
                said["transformers", "options"][i].option_logprobs,
                said["vLLM", "options"][i].option_logprobs,
                strict=True,
            )
        ]
    print("| | transformers, s | vLLM, s | ratio |\n|---|---|---|---|")
    for what, requests in (("options", scored), ("replies", written)):
        a, b = (statistics.median(spent[name, what]) for name in engines)
        print(f"| {what} of {len(requests)} samples | {a:.2f} | {b:.2f} | {b / a:.2f} |")
    most, each = (max(column) for column in zip(*apart, strict=True))
    print(f"\n{len(apart)} likelihoods: at most {most:.2g} apart, {each:.2g} a token")
    print(f"prefix cache: {reused:.0%} of prompts' tokens were there already")
    replies = [said[name, "replies"] for name in engines]
    texts = [[one[i].text for i in sorted(one)] for one in replies]
    different = sum(a != b for a, b in zip(*texts, strict=True))
    print(f"{different} of {len(written)} replies differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
