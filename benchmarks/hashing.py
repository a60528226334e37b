"""What does finding a large model cost in every session? `python -m benchmarks.hashing --gb 2`.

A folder as `save_pretrained` writes it, with random bytes for weights, is found and hashed as a
session does: read, and with its hash remembered. The files lie in the system's page cache, so a
disk comes on top where they do not. Medians, with the range.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource
from pytest_modellab.store import hashes

PIECE = 1 << 24


def _write(folder: Path, size: int) -> None:
    piece = os.urandom(PIECE)
    with (folder / "model.safetensors").open("wb") as file:
        for _ in range(-(-size // PIECE)):
            file.write(piece)
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    time.sleep(hashes.RACY + 0.5)  # what was just written is not remembered


def _seconds(work: Callable[[], object], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return found


def main() -> None:
    """Print what each way takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place) / "model", Path(place) / "cache"
        folder.mkdir()
        _write(folder, int(options.gb * 1e9))
        source = ModelSource("random", str(folder))

        def session(*, anew: bool = False) -> None:
            with hashes.Memory(cache, anew=anew).used():
                locate.locate(source, folder)

        ways = {
            "read": lambda: session(anew=True),
            "remembered": session,
        }
        for name, work in ways.items():
            times = _seconds(work, options.rounds)
            print(
                f"{name:12} {options.gb:g} GB: {statistics.median(times):.4f} s "
                f"({min(times):.4f} to {max(times):.4f}, n = {options.rounds})"
            )


if __name__ == "__main__":
    main()
