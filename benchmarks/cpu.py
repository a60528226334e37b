"""Score and write on a CPU, beside lm-evaluation-harness: `python -m benchmarks.cpu`.

The suites' base model on every N-th sample of `assistant_core_v2`, by one loaded model: in packed
batches of several budgets, padded as most harnesses do, and by lm-evaluation-harness' HFLM at
several batch sizes, where it is installed; the same behind a prefix that all prompts share; and
replies. What is compared is processor time, since a machine that others use says little by the
clock; the clock's seconds stand beside it. Methods take turns; medians.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import Row
from benchmarks.runner import lm_eval, padded
from pytest_modellab.config import read
from pytest_modellab.engines import environment
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import Output
from pytest_modellab.store.place import default_folder

BUDGETS = (256, 512, 1024, 2048, 4096)
BATCHES = (1, 8, 16, 32)
PREFIX = 425
"""Tokens that all prompts share, as in the examples of a few-shot prompt."""

Call = Callable[[], object]


PARTS = ("scoring", "prefix", "generation")


def cpu_rows(
    engine: Any,
    scored: Sequence[ScoringRequest],
    written: Sequence[GenerationRequest],
    *,
    rounds: int = 3,
    peers: int = 8,
    parts: Sequence[str] = PARTS,
) -> Iterator[Row]:
    """Measure.

    Args:
        engine: the model, loaded.
        scored: prompts with options.
        written: prompts to be answered.
        rounds: how often each method takes its turn.
        peers: how many of ``scored`` are given to the peer behind the prefix, which takes long.
        parts: which of :data:`PARTS`.
    """
    harness = _harness()
    if "scoring" in parts:
        calls: dict[str, Call] = {
            f"packed, {n:,} tokens": partial(packed, engine, scored, n) for n in BUDGETS
        }
        calls["padded, 16 rows"] = partial(padded, engine, scored)
        for n in BATCHES if harness else ():
            calls[f"lm-evaluation-harness, {n} rows"] = partial(lm_eval, engine, scored, n)
        yield from _rows("scoring", calls, dict.fromkeys(calls, len(scored)), rounds)
    if "prefix" in parts:
        behind = _behind(engine, scored)
        few = behind[:: -(-len(behind) // peers)]
        calls = {f"packed, {n:,} tokens": partial(packed, engine, behind, n) for n in (512, 2048)}
        samples = dict.fromkeys(calls, len(behind))
        for n in (8, 16) if harness else ():
            calls[f"lm-evaluation-harness, {n} rows"] = partial(lm_eval, engine, few, n)
        samples = {name: samples.get(name, len(few)) for name in calls}
        yield from _rows(f"scoring behind {PREFIX} tokens", calls, samples, rounds)
    if "generation" in parts:
        calls = {"replies": partial(replies, engine, written)}
        for n in (8, 16) if harness else ():
            peer = partial(harness_replies, engine, written, n)
            calls[f"lm-evaluation-harness, {n} rows"] = peer
        yield from _rows("generation", calls, dict.fromkeys(calls, len(written)), rounds)


def packed(engine: Any, requests: Sequence[ScoringRequest], budget: int) -> None:
    """Score with the engine under test."""
    answers: dict[int, Output] = {}
    engine.score_options(requests, budget=budget, skip=set(), done=answers.update)
    assert len(answers) == len(requests)


def replies(engine: Any, requests: Sequence[GenerationRequest]) -> list[str]:
    """Write with the engine under test, in batches as a run has them."""
    answers: dict[int, Output] = {}
    engine.generate(requests, budget=8 * 512, skip=set(), done=answers.update)
    return [answers[i].text for i in range(len(requests))]


def harness_replies(engine: Any, requests: Sequence[GenerationRequest], batch: int) -> list[str]:
    """Write with lm-evaluation-harness' HFLM around the same loaded model."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=engine.model, tokenizer=engine.tokenizer, batch_size=batch, device="cpu"
    )
    instances = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(one.context, {"until": [], "max_gen_toks": one.max_tokens}),
            idx=i,
        )
        for i, one in enumerate(requests)
    ]
    return list(harness.generate_until(instances, disable_tqdm=True))


def _rows(
    title: str, calls: Mapping[str, Call], samples: Mapping[str, int], rounds: int
) -> Iterator[Row]:
    """Time calls in turns; figures are for a sample, ratios are of processor time."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    next(iter(calls.values()))()  # what is computed once in a process
    for _ in range(rounds):
        for name, call in calls.items():
            begun = time.perf_counter(), time.process_time()
            call()
            ended = time.perf_counter() - begun[0], time.process_time() - begun[1]
            taken[name].append((ended[0] / samples[name], ended[1] / samples[name]))
    medians = {name: statistics.median(cpu for _, cpu in found) for name, found in taken.items()}
    reference = next(medians[name] for name in ("packed, 512 tokens", "replies") if name in medians)
    for name, found in taken.items():
        clock = statistics.median(seconds for seconds, _ in found)
        low, high = min(cpu for _, cpu in found), max(cpu for _, cpu in found)
        yield Row(
            label=f"{title}, {name}",
            value=medians[name],
            measured=(
                f"{medians[name]:.3f} s of processor time a sample ({low:.3f} to {high:.3f}), "
                f"{clock:.3f} s by the clock, {medians[name] / reference:.2f} x"
            ),
        )


def _behind(engine: Any, requests: Sequence[ScoringRequest]) -> list[ScoringRequest]:
    """Put the same tokens before every prompt."""
    words = "The clerk read one more line of the old book, slowly and aloud. " * PREFIX
    ids = engine.tokenizer(words, add_special_tokens=False).input_ids[:PREFIX]
    prefix = engine.tokenizer.decode(ids)
    return [dataclasses.replace(one, context=prefix + one.context) for one in requests]


def _harness() -> bool:
    try:
        import lm_eval as _installed  # noqa: F401
    except ImportError:
        print("lm-eval is not installed: left out")
        return False
    return True


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=12, help="take one sample in N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", default="prompting")
    parser.add_argument("--threads", type=int, default=environment.threads())
    parser.add_argument("--peers", type=int, default=8, help="samples for the slow ones")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    environment.share()

    import torch

    torch.set_num_threads(options.threads)
    lab = Lab(read.load(Path("suites/modellab.toml")), Settings(cache=default_folder()))
    variant = lab.variant(options.variant)
    engine: Any = lab.engine(variant)
    prompt = variant.plan.prompt
    samples = lab.task_set("assistant_core_v2").samples
    choices = [s for s in samples if s.choices][:: options.every]
    others = [s for s in samples if not s.choices][:: max(1, options.every // 2)]
    scored = [ScoringRequest(engine.render(prompt.messages(s.input)), s.choices) for s in choices]
    written = [GenerationRequest(engine.render(prompt.messages(s.input)), 32) for s in others]
    print(
        f"{options.variant}: {len(scored)} samples with options, {len(written)} replies, "
        f"{options.threads} threads, torch {torch.__version__}, "
        f"{torch.backends.cpu.get_cpu_capability()}, median of {options.rounds}",
        flush=True,
    )
    found = cpu_rows(
        engine,
        scored,
        written,
        rounds=options.rounds,
        peers=options.peers,
        parts=options.parts,
    )
    for row in found:
        print(f"{row.label}: {row.measured}", flush=True)


if __name__ == "__main__":
    main()
