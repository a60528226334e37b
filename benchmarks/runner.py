"""Time the engine against its peers on the suites' own samples, in one run, as ratios.

    python -m benchmarks.runner [--every N] [--rounds N] [--variant NAME]

The peers score the same options of the same prompts with the same loaded model: a plain loop that
pads one batch of context + option each (what most harnesses do), and lm-evaluation-harness' HFLM
where it is installed. Rounds are interleaved; medians are printed, with the largest difference in
log-likelihood. Also timed: loading the converted model.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import Output
from pytest_modellab.store.place import default_folder

Logprobs = list[tuple[float, ...]]
Scoring = Callable[[Any, Sequence[ScoringRequest]], Logprobs]

BATCH = 16


def packed(engine: Any, requests: Sequence[ScoringRequest]) -> Logprobs:
    """Score with the engine under test."""
    answers: dict[int, Output] = {}
    engine.score_options(requests, budget=DEFAULT_BUDGET, skip=set(), done=answers.update)
    return [answers[i].option_logprobs for i in range(len(requests))]


def padded(engine: Any, requests: Sequence[ScoringRequest]) -> Logprobs:
    """Score every option as a sequence of its own, in padded batches sorted by length."""
    import torch

    model, tokenizer = engine.model, engine.tokenizer
    rows = []
    for number, request in enumerate(requests):
        context = tokenizer(request.context, add_special_tokens=False).input_ids
        for place, option in enumerate(request.options):
            tokens = tokenizer(option, add_special_tokens=False).input_ids
            rows.append((number, place, context, tokens))
    rows.sort(key=lambda row: -len(row[2]) - len(row[3]))
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        width = max(len(context) + len(tokens) for _, _, context, tokens in batch)
        ids = torch.full((len(batch), width), model.generation_config.eos_token_id)
        seen = torch.zeros_like(ids)
        for line, (_, _, context, tokens) in enumerate(batch):
            ids[line, : len(context) + len(tokens)] = torch.tensor(context + tokens)
            seen[line, : len(context) + len(tokens)] = 1
        with torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=seen).logits
        for line, (number, place, context, tokens) in enumerate(batch):
            own = logits[line, len(context) - 1 : len(context) + len(tokens) - 1].float()
            picked = own.log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])
            found[number, place] = float(picked.sum())
    return [
        tuple(found[number, place] for place in range(len(request.options)))
        for number, request in enumerate(requests)
    ]


def lm_eval(engine: Any, requests: Sequence[ScoringRequest], batch: int = BATCH) -> Logprobs:
    """Score with lm-evaluation-harness' HFLM around the same loaded model."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=engine.model, tokenizer=engine.tokenizer, batch_size=batch, device="cpu"
    )
    pairs = [(request.context, option) for request in requests for option in request.options]
    instances = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i)
        for i, pair in enumerate(pairs)
    ]
    values = iter(harness.loglikelihood(instances, disable_tqdm=True))
    return [tuple(next(values)[0] for _ in request.options) for request in requests]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=6, help="take one sample in N")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--variant", default="prompting")
    options = parser.parse_args()

    import torch
    import transformers

    lab = Lab(read.load(Path("suites/modellab.toml")), Settings(cache=default_folder()))
    loads = []
    for _ in range(options.rounds + 1):
        lab.release()
        begun = time.perf_counter()
        engine = lab.engine(lab.variant(options.variant))
        loads.append(time.perf_counter() - begun)
    prompt = lab.variant(options.variant).plan.prompt
    chosen = [s for s in lab.task_set("assistant_core_v2").samples if s.choices]
    requests = [
        ScoringRequest(engine.render(prompt.messages(s.input)), s.choices)
        for s in chosen[:: options.every]
    ]

    methods: dict[str, Scoring] = {"packed": packed, "padded": padded}
    try:
        import lm_eval as _installed  # noqa: F401

        methods["lm-eval"] = lm_eval
    except ImportError:
        print("lm-eval is not installed: left out")
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    results: dict[str, Logprobs] = {}
    for turn in range(options.rounds + 1):  # the first round warms up
        for name, method in methods.items():
            begun = time.perf_counter()
            results[name] = method(engine, requests)
            if turn:
                seconds[name].append(time.perf_counter() - begun)

    print(
        f"{options.variant}: {len(requests)} samples, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}, transformers {transformers.__version__}, "
        f"median of {options.rounds} rounds"
    )
    print(f"load the converted model: {statistics.median(loads[1:]):.2f} s")
    reference = statistics.median(seconds["packed"])
    for name, taken in seconds.items():
        worst = max(
            abs(a - b)
            for ours, theirs in zip(results["packed"], results[name], strict=True)
            for a, b in zip(ours, theirs, strict=True)
        )
        median = statistics.median(taken)
        print(
            f"{name:8} {median:7.2f} s  {median / reference:5.2f} x packed  "
            f"largest difference in log-likelihood {worst:.1e}"
        )


if __name__ == "__main__":
    main()
