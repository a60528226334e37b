"""Which layers of the base a student can do without: `python -m benchmarks.layers --keep 15`.

Backward elimination: the layer whose removal moves the base's own predictions least (KL divergence
in nats a token, on rows that the base wrote) goes first, then the next, and so on. The first layer
always stays. Gromov et al. 2024 and Men et al. 2024 (ShortGPT) rank layers once; the order matters.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_modellab.config import read
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites"


def main() -> int:
    """Eliminate, and print each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=int, default=15)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=75)
    options = parser.parse_args()
    lab = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=default_folder()))
    engine: Any = lab.engine(lab.variant("prompting"))
    lines = (SUITES / "data" / "self_written.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:: len(lines) // options.rows][: options.rows]]
    prompt = lab.variant("prompting").plan.prompt
    texts = [engine.render(prompt.messages(row["input"])) + row["reply"] for row in rows]
    measure = _Divergence(engine, texts, options.tokens)
    keep = list(range(len(measure.layers)))
    while len(keep) > options.keep:
        divergence, layer = min((measure([k for k in keep if k != one]), one) for one in keep[1:])
        keep.remove(layer)
        print(f"{len(keep)} layers: without {layer}, {divergence:.2f} nats a token", flush=True)
    print(keep)
    return 0


class _Divergence:
    """KL divergence of the base with some layers from the whole base."""

    def __init__(self, engine: Any, texts: Sequence[str], tokens: int) -> None:
        self._decoder, self._model = engine.model.get_decoder(), engine.model
        self.layers = list(self._decoder.layers)
        self._batch = engine.tokenizer(
            list(texts),
            return_tensors="pt",
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=tokens,
            add_special_tokens=False,
        )
        self._base = self._logprobs(range(len(self.layers)))

    def __call__(self, keep: Sequence[int]) -> float:
        return float((self._base.exp() * (self._base - self._logprobs(keep))).sum(-1).mean())

    def _logprobs(self, keep: Sequence[int]) -> torch.Tensor:
        self._decoder.layers = torch.nn.ModuleList(self.layers[number] for number in keep)
        self._model.config.num_hidden_layers = len(keep)
        with torch.inference_mode():
            logits = self._model(**self._batch, use_cache=False).logits
        return logits[self._batch.attention_mask.bool()].log_softmax(-1)


if __name__ == "__main__":
    sys.exit(main())
