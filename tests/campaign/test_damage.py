"""Every kind of file that is read back, damaged in every way: the same verdict, or an error of the
project that names the file; never another verdict."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from campaign.damage import damages, restored
from campaign.forks import Ended, Forks, Trial

pytestmark = pytest.mark.campaign


SHORT, LONG = 2, 36
"""Trials of a kind, at most; a file has about forty."""


DIFFER = ("has hash", "samples do not match", "cannot be compared with")
"""What is said of a file that a person may have changed."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        what: it is, for the table.
        files: a pattern; each of them is damaged.
        work: the function of ``campaign.world`` that reads it.
        arguments: of it, after the folder.
        kept: whether the package wrote it for itself: damage is noticed and made good. Else a
            person may have changed it, and a verdict may be another if it answers for something
            else.
        needs: modules without which it is skipped.
        lost: what the function may return as well.
    """

    what: str
    files: str
    work: str = "judge"
    arguments: tuple[str, ...] = ()
    kept: bool = True
    needs: tuple[str, ...] = ()
    lost: tuple[Any, ...] = ()


INDEXED = ("faiss", "bm25s")
TRAINED = ("peft", "trl", "datasets")

KINDS = (
    Kind("run.json", "cache/runs/*/run.json", "whole"),
    Kind("answers.jsonl", "cut/cache/runs/*/answers.jsonl", "cut"),
    Kind("baseline", "baselines/words/rounded.json"),
    Kind("converted model", "cache/models/*/*", "whole"),
    Kind("vectors", "cache/vectors/*/*.*", "search", needs=INDEXED),
    Kind("forms", "cache/forms/*/*.*", "search", needs=INDEXED),
    Kind("index of vectors", "cache/approximate/*/*", "search", needs=INDEXED),
    Kind("index of words", "cache/lexical/*/*", "search", needs=INDEXED),
    Kind("index of a corpus", "cache/corpora/*/*", "search", needs=INDEXED),
    Kind("budget", "cache/budgets/*", "budget", lost=(64,)),
    Kind("adapter", "adapters/tuned/*", "tuned", kept=False, needs=TRAINED),
    Kind("model.zip", "model.zip", kept=False),
    Kind("modellab.toml", "modellab.toml", kept=False),
    Kind("prompt", "prompt.jinja", kept=False),
    Kind("task set", "words/*", kept=False),
    Kind("BEIR", "beir/**/*.*", "sets", kept=False),
    Kind("pairs", "sts/*", "sets", kept=False),
    Kind("documents", "prose/**/*.*", "sets", kept=False),
    Kind("scores, CSV", "new.csv", "scores", ("new.csv",), kept=False),
    Kind("scores, JSON lines", "new.jsonl", "scores", ("new.jsonl",), kept=False),
    Kind("scores, gzip", "new.csv.gz", "scores", ("new.csv.gz",)),
    Kind("scores, Parquet", "new.parquet", "scores", ("new.parquet",), kept=False),
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_damage(
    kind: Kind,
    forks: Forks,
    made: Path,
    needs: Callable[..., None],
    tmp_path: Path,
    part: Callable[[str], AbstractContextManager[Any]],
    seed: int,
    long: bool,
) -> None:
    needs(*kind.needs)
    drawn = random.Random(f"{seed} {kind.what}")
    folder = tmp_path / "damaged"
    restored(folder, made)
    right = run(forks, kind, folder)
    assert right.how == "returned", right.text
    paths = sorted(path for path in made.glob(kind.files) if path.is_file())
    assert paths, kind.files
    plain = made / "baselines/words/plain.json"
    trials = [
        (path.relative_to(made), *trial)
        for path in paths
        for trial in damages(path, [next((p for p in paths if p != path), plain)], drawn)
    ]
    with part(f"damage: {kind.what}") as counted:
        for name, words, damage in drawn.sample(trials, min(len(trials), LONG if long else SHORT)):
            restored(folder, made)
            damage(folder / name)
            problem = wrong(kind, run(forks, kind, folder), right, folder / name, words)
            counted.count(f"{name}: {words}: {problem}" if problem else None)


def run(forks: Forks, kind: Kind, folder: Path) -> Ended:
    return forks.run(Trial(f"campaign.world:{kind.work}", (folder, *kind.arguments)))


def wrong(kind: Kind, found: Ended, right: Ended, path: Path, words: str) -> str | None:
    """Say what is wrong with an answer, or None."""
    if not found.survived:
        return f"{found.how}: {found.text}"
    if found.how == "refused":
        said = (
            (path.name, path.parent.name) if kind.kept else (path.name, path.parent.name, *DIFFER)
        )
        named = any(part in found.text for part in said)
        return None if named else f"the error does not name the file: {found.text}"
    if found.value == right.value or found.value in kind.lost:
        return None
    if not kind.kept and (asked(found) != asked(right) or "bit" in words):
        return None
    return f"another result: {found.value} instead of {right.value}"


def asked(ended: Ended) -> list[Any]:
    """What an answer answers for."""
    return [one.get("asked") for one in ended.value.values() if isinstance(one, dict)]
