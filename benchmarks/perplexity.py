"""Read documents as the engine does, as lm-evaluation-harness does, and as llama.cpp counts.

    python -m benchmarks.perplexity [--variant NAME] [--window N] [FILE ...]

All three have the same loaded model and the same texts, this repository's own pages where no file
is named. lm-evaluation-harness is its HFLM, where it is installed, with N tokens as its
``max_length``; the largest difference of a document's log-likelihood is printed. llama.cpp's
``llama-perplexity`` is no part of a package, so its count is computed plainly here
(tools/perplexity/perplexity.cpp): the text in chunks of N tokens, the rest dropped, each begun with
BOS in the place of its first token where the tokenizer begins texts with one, and only what stands
behind the middle of a chunk counted.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import ReadingRequest
from pytest_modellab.engines.tokens import encode
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import Output
from pytest_modellab.scorers import perplexity
from pytest_modellab.store.place import default_folder

PAGES = ("card", "tracking", "sequential")
"""Pages of docs/ that are read."""


def engine_reads(
    engine: Any, texts: Sequence[str], window: int | None, context: int = 1
) -> list[Output]:
    """Read with the engine under test."""
    found: dict[int, Output] = {}
    requests = [ReadingRequest(text, window, context) for text in texts]
    engine.read_documents(requests, budget=DEFAULT_BUDGET, skip=set(), done=found.update)
    return [found[i] for i in range(len(texts))]


def harness_reads(engine: Any, texts: Sequence[str], window: int | None) -> list[float]:
    """Read with lm-evaluation-harness' HFLM around the same loaded model."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(
        pretrained=engine.model,
        tokenizer=engine.tokenizer,
        batch_size=1,
        device="cpu",
        max_length=window,
    )
    instances = [
        Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=i)
        for i, text in enumerate(texts)
    ]
    return list(harness.loglikelihood_rolling(instances, disable_tqdm=True))


def second_halves(engine: Any, text: str, size: int) -> tuple[float, int]:
    """Return log-likelihood and tokens of what llama.cpp counts of a text."""
    import torch

    tokenizer = engine.tokenizer
    tokens = encode(tokenizer, text)
    begins = bool(getattr(tokenizer, "add_bos_token", False))
    if begins:
        tokens = [tokenizer.bos_token_id, *tokens]
    first, total, count = size // 2, 0.0, 0
    for start in range(0, len(tokens) - size + 1, size):
        chunk = tokens[start : start + size]
        given = [tokenizer.bos_token_id, *chunk[1:]] if begins else chunk
        with torch.inference_mode():
            logits = engine.model(torch.tensor([given])).logits[0, first : size - 1]
        logprobs = logits.float().log_softmax(-1)
        targets = torch.tensor(chunk[first + 1 :])
        total += float(logprobs.gather(1, targets[:, None]).double().sum())
        count += len(targets)
    return total, count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", default="prompting")
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()

    lab = Lab(read.load(Path("suites/modellab.toml")), Settings(cache=default_folder()))
    engine: Any = lab.engine(lab.variant(options.variant))
    files = options.files or [Path("docs") / f"{name}.md" for name in PAGES]
    texts = [file.read_text(encoding="utf-8") for file in files]

    begun = time.process_time()
    ours = engine_reads(engine, texts, options.window)
    seconds = time.process_time() - begun
    totals = [output.option_logprobs[0] for output in ours]
    read_ = [(t, total, o.tokens_out) for t, total, o in zip(texts, totals, ours, strict=True)]
    tokens = sum(output.tokens_out for output in ours)
    print(f"{len(texts)} documents, {tokens} tokens, windows of {options.window}")
    print(f"engine: {seconds:.1f} s of processor time, {_words(perplexity.corpus(read_))}")

    try:
        import lm_eval as _installed  # noqa: F401
    except ImportError:
        print("lm-eval: not installed")
    else:
        begun = time.process_time()
        theirs = harness_reads(engine, texts, options.window)
        seconds = time.process_time() - begun
        pairs = zip(theirs, texts, ours, strict=True)
        figures = perplexity.corpus((text, total, out.tokens_out) for total, text, out in pairs)
        print(f"lm-eval: {seconds:.1f} s of processor time, {_words(figures)}")
        largest = max(abs(a / b - 1) for a, b in zip(totals, theirs, strict=True))
        print(
            f"lm-eval: log-likelihoods of documents differ by {largest:.1e} of themselves at most"
        )

    text = "\n".join(texts)  # one file, as llama-perplexity takes it
    total, count = second_halves(engine, text, options.window)
    print(f"llama.cpp's count: {count} tokens, {math.exp(-total / count):.4f} a token")
    half = options.window // 2
    for context in (1, options.window - half + 1):
        (one,) = engine_reads(engine, [text], options.window, context)
        value = math.exp(-one.option_logprobs[0] / one.tokens_out)
        print(f"engine, context = {context}: {one.tokens_out} tokens, {value:.4f} a token")


def _words(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in sorted(figures.items()))


if __name__ == "__main__":
    main()
