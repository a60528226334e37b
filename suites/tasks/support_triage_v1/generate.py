"""Writes samples.jsonl (the test) and train.jsonl from triage_generator/ and the task set's seed.

    python suites/tasks/support_triage_v1/generate.py           # write
    python suites/tasks/support_triage_v1/generate.py --check   # exit 1 when a file differs

Capabilities come in alphabetical order; the samples of each are easy, medium, hard.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.store import atomic

if TYPE_CHECKING:  # a script finds its neighbour by the short name, mypy by the long one
    from suites.tasks.support_triage_v1 import triage_generator
else:
    import triage_generator

FOLDER = Path(__file__).resolve().parent


def lines(records: Iterable[Mapping[str, Any]]) -> str:
    """JSON lines."""
    return "".join(
        json.dumps(record, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
        for record in records
    )


def render() -> dict[Path, str]:
    """Both files as text."""
    with (FOLDER / "task_set.toml").open("rb") as file:
        seed = int(tomllib.load(file)["seed"])
    return {
        FOLDER / "samples.jsonl": lines(s.sample for s in triage_generator.solved(seed)),
        FOLDER / "train.jsonl": lines(triage_generator.examples(seed)),
    }


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate the files of support_triage_v1.")
    parser.add_argument("--check", action="store_true", help="compare the files, write nothing")
    options = parser.parse_args(arguments)
    status = 0
    for path, text in render().items():
        if not options.check:
            atomic.write_text(path, text)
            print(f"{path.name}: {text.count(chr(10))} lines written")
        elif path.exists() and path.read_bytes() == text.encode():
            print(f"{path.name}: up to date")
        else:
            print(
                f"{path.name} differs from what the generator makes; run generate.py to rewrite it",
                file=sys.stderr,
            )
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
