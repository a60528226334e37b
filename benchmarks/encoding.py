"""How fast are texts embedded? `python -m benchmarks.encoding --model FOLDER`.

The sentence-transformers engine beside `SentenceTransformer.encode` at its own batch size, plain
and as MTEB's retrieval evaluator drives it (dataset, loader and wrapper as in
mteb/models/search_wrappers.py), on the same texts with the same loaded model. Rounds alternate; the
ratio of medians is printed with the range of the rounds' own ratios. Then: how far similarities
differ between ways of splitting the same texts into batches.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pytest_modellab.engines.encoders import sentence
from pytest_modellab.engines.encoders.sentence import SentenceEncoder

BATCH_SIZE = 32
"""The default of `SentenceTransformer.encode` and of `mteb.evaluate`."""

COMPARED = 300
"""Texts whose similarities are compared between batch plans."""

Encode = Callable[[], Any]


def random_texts(tokenizer: Any, number: int, seed: int) -> list[str]:
    """Make texts of the vocabulary's words, mostly 30 to 200, some beyond a model's limit."""
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha())
    draw = random.Random(seed)
    lengths = [3 + int(draw.lognormvariate(4.3, 0.8)) for _ in range(number)]
    return [" ".join(draw.choices(words, k=length)) for length in lengths]


def read_texts(path: Path, number: int) -> list[str]:
    """Read a corpus in BEIR's format: title and text, joined as MTEB does."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(number), strict=False)]
    return [f"{row.get('title') or ''} {row['text']}".strip() for row in rows]


def ours(encoder: SentenceEncoder, texts: Sequence[str], budget: int) -> Any:
    """Embed with the engine under test."""
    encoder.budget = budget
    return encoder.encode(texts, "passage")


def plain(encoder: SentenceEncoder, texts: Sequence[str]) -> Any:
    """Embed with sentence-transformers."""
    return encoder.model.encode(list(texts), batch_size=BATCH_SIZE, show_progress_bar=False)


def mteb(encoder: SentenceEncoder, texts: Sequence[str]) -> Encode | None:
    """Return what embeds as MTEB's retrieval evaluator does, or None where it is not installed."""
    try:
        import datasets
        from mteb import get_task
        from mteb._create_dataloaders import create_dataloader
        from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
        from mteb.types import PromptType
    except ImportError as error:
        print(f"mteb cannot be imported ({error}): left out")
        return None
    datasets.disable_progress_bars()
    corpus = datasets.Dataset.from_dict({"id": [str(k) for k in range(len(texts))], "text": texts})
    metadata = get_task("SciFact").metadata  # any text retrieval task: no data is loaded
    wrapper = SentenceTransformerEncoderWrapper(encoder.model)

    def encode() -> Any:
        loader = create_dataloader(
            corpus,
            task_metadata=metadata,
            prompt_type=PromptType.document,
            batch_size=BATCH_SIZE,
        )
        return wrapper.encode(
            loader,
            task_metadata=metadata,
            hf_split="test",
            hf_subset="default",
            prompt_type=PromptType.document,
            batch_size=BATCH_SIZE,
            show_progress_bar=False,
        )

    return encode


def similarities(vectors: Any) -> Any:
    """Return the cosine of every pair."""
    vectors = np.asarray(vectors, np.float64)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a sentence-transformers folder")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--texts", type=Path, help="JSON lines with text and perhaps title")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--budgets", type=int, nargs="*", help="tokens in a batch")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    import sentence_transformers
    import torch

    encoder = sentence.load(
        options.model,
        key="benchmark",
        prompts={"query": "", "passage": ""},
        max_tokens=None,
        pooling=None,
        dtype=options.dtype,
        device=options.device,
    )
    texts = (
        read_texts(options.texts, options.documents)
        if options.texts
        else random_texts(encoder.model.tokenizer, options.documents, options.seed)
    )
    tokens = sum(encoder.count_tokens(texts, "passage"))
    budgets = options.budgets or [encoder.budget]
    methods: dict[str, Encode] = {
        f"ours, {budget} tokens": functools.partial(ours, encoder, texts, budget)
        for budget in budgets
    }
    reference = next(iter(methods))
    methods["SentenceTransformer"] = functools.partial(plain, encoder, texts)
    if driven := mteb(encoder, texts):
        methods["MTEB"] = driven

    seconds: dict[str, list[float]] = {name: [] for name in methods}
    results: dict[str, Any] = {}
    for turn in range(options.rounds + 1):  # the first round warms up
        for name, method in methods.items():
            begun = time.perf_counter()
            results[name] = method()
            if turn:
                seconds[name].append(time.perf_counter() - begun)

    device = torch.cuda.get_device_name() if encoder.device == "cuda" else "cpu"
    print(
        f"{options.model.name}: {len(texts)} texts, {tokens} tokens, {device}, {options.dtype}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"sentence-transformers {sentence_transformers.__version__}, "
        f"median of {options.rounds} rounds"
    )
    for name, taken in seconds.items():
        median = statistics.median(taken)
        ratios = [theirs / own for theirs, own in zip(taken, seconds[reference], strict=True)]
        own = statistics.median(seconds[reference])
        difference = np.abs(np.asarray(results[name]) - results[reference]).max()
        print(
            f"{name:20} {median:8.3f} s {len(texts) / median:9.0f} docs/s "
            f"{tokens / median:10.0f} tokens/s  {median / own:6.3f} x the time of ours "
            f"({min(ratios):.3f} to {max(ratios):.3f})  vectors differ by {difference:.1e}"
        )

    few = texts[:COMPARED]
    alone = similarities(ours(encoder, few, 1))
    for budget in budgets:
        batched = similarities(ours(encoder, few, budget))
        print(
            f"cosines of {len(few)} texts, one by one and {budget} tokens at once: "
            f"differ by at most {np.abs(batched - alone).max():.1e}"
        )


if __name__ == "__main__":
    main()
