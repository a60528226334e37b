"""Draws the pages and writes samples.jsonl, from page_generator/ and the seed in task_set.toml.

    python suites/tasks/printed_pages_v1/generate.py           # draw and write
    python suites/tasks/printed_pages_v1/generate.py --check   # exit 1 when something differs

The pages are frozen: they need no fonts to be read, and another version of Pillow or of FreeType
may draw another grey. So what is compared are the samples, and of a page that its size is what is
drawn and that no grey is further off than :data:`NEAR` in the mean.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pytest_modellab.store import atomic

if TYPE_CHECKING:  # a script finds its neighbour by the short name, mypy by the long one
    from suites.tasks.printed_pages_v1.page_generator import pages
else:
    from page_generator import pages

FOLDER = Path(__file__).resolve().parent
SAMPLES = FOLDER / "samples.jsonl"
NEAR = 2.0
CALIBRATION = 2
"""Pages of a kind that are asked by nobody: by them a quantization finds its scales."""

INPUT = "Write out the text of this page."


def drawn() -> list[tuple[dict[str, Any], Image.Image]]:
    """Every sample with its page."""
    seed = int(tomllib.loads((FOLDER / "task_set.toml").read_text(encoding="utf-8"))["seed"])
    made = []
    for capability, draw_page in pages.PAGES.items():
        for number in range(pages.EACH):
            draw = random.Random(f"{seed}:{capability}:{number}")
            image, text, chosen = draw_page(draw, number)
            difficulty = pages.DIFFICULTY[capability]
            name = f"{capability}-{difficulty}-{number + 1:03d}"
            sample = {
                "id": name,
                "capability": capability,
                "difficulty": difficulty,
                "input": INPUT,
                "image": f"pages/{name}.png",
                "target": {"text": text, "normalize": "written-1"},
                "scorer": "cer",
                "max_tokens": 256,
                "metadata": chosen,
            }
            made.append((sample, image))
    return made


def others() -> dict[Path, Image.Image]:
    """The pages for calibration, by where they lie."""
    seed = int(tomllib.loads((FOLDER / "task_set.toml").read_text(encoding="utf-8"))["seed"])
    return {
        FOLDER / "calibration" / f"{capability}-{number + 1}.png": draw_page(
            random.Random(f"{seed}:calibration:{capability}:{number}"), 5 * number
        )[0]
        for capability, draw_page in pages.PAGES.items()
        for number in range(CALIBRATION)
    }


def write(made: list[tuple[dict[str, Any], Image.Image]]) -> None:
    """Write pages and samples."""
    found = {FOLDER / sample["image"]: image for sample, image in made} | others()
    for old in drawn_before():
        old.unlink()
    for path, image in found.items():
        path.parent.mkdir(exist_ok=True)
        image.save(path, optimize=True)
    atomic.write_text(SAMPLES, render(made))
    size = sum(page.stat().st_size for page in found)
    print(f"{len(found)} pages written, {size / 1e6:.2f} MB")


def drawn_before() -> list[Path]:
    """All pages on disk."""
    return sorted([*(FOLDER / "pages").glob("*"), *(FOLDER / "calibration").glob("*")])


def render(made: list[tuple[dict[str, Any], Image.Image]]) -> str:
    """The samples as text."""
    return "".join(
        json.dumps(sample, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
        for sample, _ in made
    )


def differing(made: list[tuple[dict[str, Any], Image.Image]]) -> list[str]:
    """What on disk is not what is drawn."""
    found = []
    if not SAMPLES.exists() or SAMPLES.read_bytes().decode("utf-8") != render(made):
        found.append(SAMPLES.name)
    wanted = {FOLDER / sample["image"]: image for sample, image in made} | others()
    for path in sorted({*wanted, *drawn_before()}):
        if path not in wanted or not path.exists():
            found.append(path.name)
            continue
        with Image.open(path) as image:
            old, new = np.asarray(image, np.float64), np.asarray(wanted[path], np.float64)
        if old.shape != new.shape or np.abs(old - new).mean() > NEAR:
            found.append(path.name)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Write or check; the exit status."""
    parser = argparse.ArgumentParser(description="Generate printed_pages_v1.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args(arguments)
    made = drawn()
    if not options.check:
        write(made)
        return 0
    if found := differing(made):
        print(f"not what is drawn: {', '.join(found)}; run generate.py", file=sys.stderr)
        return 1
    print(f"{len(drawn_before())} pages: up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
