"""What do the checks of a model's files cost? `python -m benchmarks.loading`.

The suites' base model is loaded in three ways, in turns: by transformers alone, by the engine, and
by a lab from nothing (configuration read, files found and hashed, engine opened), each with its
tokenizer. Printed are medians of processor time, which a busy machine changes little, and the
median of the rounds' own ratios to the first, with their range. The same file run with another
checkout of the package on PYTHONPATH measures that one:
`PYTHONPATH=../before python benchmarks/loading.py`.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_modellab.config import read
from pytest_modellab.engines.language import torch_model
from pytest_modellab.engines.loading import quiet
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models import convert
from pytest_modellab.store.place import default_folder

SUITES = Path(__file__).parents[1] / "suites" / "modellab.toml"


def plain(folder: Path) -> Any:
    """Load with transformers alone, as the engine asks for it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            device_map="cpu",
            attn_implementation="sdpa",
            use_safetensors=True,
        )
    return tokenizer, model.eval()


def session(variant: str) -> Any:
    """Load as a session does."""
    made = Lab(read.load(SUITES), Settings(cache=default_folder()))
    engine = made.engine(made.variant(variant))
    made.release()
    return engine


def seconds(load: Callable[[], Any]) -> float:
    """Return the processor time of one loading; what was loaded goes before the next."""
    gc.collect()
    start = time.process_time()
    load()
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--variant", default="prompting")
    options = parser.parse_args()
    made = Lab(read.load(SUITES), Settings(cache=default_folder()))
    folder = convert.folder(made.variant(options.variant).files, default_folder())
    ways: dict[str, Callable[[], Any]] = {
        "transformers": lambda: plain(folder),
        "engine": lambda: torch_model.load(folder),
        "session": lambda: session(options.variant),
    }
    for load in ways.values():
        load()  # imports, and the files into the page cache
    rounds = [{way: seconds(load) for way, load in ways.items()} for _ in range(options.rounds)]
    for way in ways:
        ratios = [times[way] / times["transformers"] for times in rounds]
        print(
            f"{way}: {statistics.median(times[way] for times in rounds):.3f} s, "
            f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )


if __name__ == "__main__":
    main()
