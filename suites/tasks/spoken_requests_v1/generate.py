"""Writes samples.jsonl and audio/ from generator/ and the seed in task_set.toml.

    python suites/tasks/spoken_requests_v1/generate.py           # write
    python suites/tasks/spoken_requests_v1/generate.py --check   # exit 1 when a file differs

It needs eSpeak NG. The recordings are frozen: another version of it, or of libopus, makes other
bytes, which --check shows. Capabilities come in alphabetical order, each numbered from 001.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path

# from the root, as other task sets have a module `generate`, too, and one name must be one file
sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from pytest_modellab.store import atomic
from suites.tasks.spoken_requests_v1.generator.samples import DIFFICULTIES, samples

FOLDER = Path(__file__).resolve().parent


def render() -> dict[Path, bytes]:
    """All files and what is in them."""
    with (FOLDER / "task_set.toml").open("rb") as file:
        seed = int(tomllib.load(file)["seed"])
    files: dict[Path, bytes] = {}
    lines = []
    for capability in sorted(DIFFICULTIES):
        for sample, recording in samples(capability, seed):
            files[FOLDER / str(sample["audio"])] = recording
            row = json.dumps(sample, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            lines.append(f"{row}\n")
    return {FOLDER / "samples.jsonl": "".join(lines).encode(), **files}


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate the files of spoken_requests_v1.")
    parser.add_argument("--check", action="store_true", help="compare the files, write nothing")
    options = parser.parse_args(arguments)
    files = render()
    if not options.check:
        (FOLDER / "audio").mkdir(exist_ok=True)
        for path, content in files.items():
            atomic.write_bytes(path, content)
        print(f"{len(files)} files written, {sum(map(len, files.values())):,} bytes")
        return 0
    differing = [
        path for path, content in files.items() if not path.exists() or path.read_bytes() != content
    ]
    for path in differing:
        print(
            f"{path.relative_to(FOLDER)} differs from what the generator makes; run generate.py "
            "to rewrite it",
            file=sys.stderr,
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
