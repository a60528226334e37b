"""The task set of a suite to start from."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab.starter.model import quoted

BRIEF = "You are a helpful assistant. Give a short, direct answer."


@dataclasses.dataclass(frozen=True)
class Tasks:
    """A task set that is yet to be written.

    Attributes:
        name: of the task set and its folder.
        files: name in that folder → text.
        capabilities: of every sample.
        system: what the model is told first.
    """

    name: str
    files: Mapping[str, str]
    capabilities: Sequence[str]
    system: str = BRIEF

    @property
    def n(self) -> int:
        """How many samples there are."""
        return len(self.capabilities)

    @property
    def smallest(self) -> int:
        """How many samples the smallest capability has."""
        return min(Counter(self.capabilities).values())


def questions(
    name: str, description: str, samples: Sequence[Mapping[str, Any]], system: str = BRIEF
) -> Tasks:
    """Return samples as a folder of ``task_set.toml`` and ``samples.jsonl``."""
    files = {"task_set.toml": header(name, description), "samples.jsonl": lines(samples)}
    return Tasks(name, files, [str(sample["capability"]) for sample in samples], system)


def header(name: str, description: str) -> str:
    """Return the first lines of a ``task_set.toml``."""
    return f"""\
name = "{name}"
version = "1"  # a new one where samples change; then accept again
description = {quoted(description)}
"""


def lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
