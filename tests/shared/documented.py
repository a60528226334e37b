"""The commands that stand in README and docs, where they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
PROGRAMS = ("modellab", "pytest", "python", "python3.11", "pip", "tox", "npm", "npx", "git")
OTHERS = ("lm_eval", "inspect", "promptfoo", "deepeval", "pre-commit")
"""Programs of other projects, whose options are theirs to check."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


class Command(NamedTuple):
    """One command of a page, below a heading."""

    page: str
    heading: str
    line: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The command as one line."""
        return shlex.join(self.words)

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text}"


def commands() -> tuple[Command, ...]:
    """Read all pages."""
    return tuple(command for page in PAGES for command in _of_page(page))


def table(page: str, name: str) -> str:
    """Return the lines of ``[name]`` from the first TOML block of a page that has it."""
    for block in _FENCE.finditer((ROOT / page).read_text(encoding="utf-8")):
        found = re.search(
            rf"^\[{re.escape(name)}\].*?(?=^\[|\Z)", block[2], re.DOTALL | re.MULTILINE
        )
        if block[1] == "toml" and found:
            return found[0]
    raise AssertionError(f"{page} shows no [{name}]")


def _of_page(page: Path) -> Iterator[Command]:
    text = page.read_text(encoding="utf-8")
    blocks = list(_FENCE.finditer(text))
    prose = _FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)  # '#' in code
    headings = list(_HEADING.finditer(prose))
    for block in blocks:
        if block[1] not in ("", "sh", "console", "bash"):
            continue
        heading = [one[1] for one in headings if one.start() < block.start()][-1]
        first = text.count("\n", 0, block.start(2)) + 1
        for number, line in enumerate(block[2].splitlines(), first):
            for part in line.removeprefix("$ ").split(" && "):
                if words := _words(part):
                    yield Command(page.relative_to(ROOT).as_posix(), heading, number, words)


def _words(part: str) -> tuple[str, ...]:
    try:
        words = shlex.split(part, comments=True)
    except ValueError:  # an apostrophe in what a command printed
        return ()
    if len(words) < 2 or words[1] == "0.1.0:":  # the header of a session
        return ()
    name = Path(words[0]).name
    if name not in (*PROGRAMS, *OTHERS) or words[0] not in (name, f".venv/bin/{name}"):
        return ()
    return (name, *words[1 : words.index(">") if ">" in words else None])
