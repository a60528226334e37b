"""Writers killed with -9 at random moments: what is made afterwards is what an undisturbed one
makes, and no half file stays."""

from __future__ import annotations

import dataclasses
import random
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from campaign import world
from campaign.forks import Ended, Forks, Trial

pytestmark = pytest.mark.campaign

AGAIN = 0.3
"""Share of the trials that are killed twice."""


@dataclasses.dataclass(frozen=True)
class Writer:
    """A command that writes.

    Attributes:
        work: a function of ``campaign.world``.
        what: it writes, for the table.
        kills: in the long form.
        short: kills in the short form.
        needs: modules without which it is skipped.
        replaces: True where an older result is there, to be replaced.
    """

    work: str
    what: str
    kills: int
    short: int = 1
    needs: tuple[str, ...] = ()
    replaces: bool = False


WRITERS = (
    Writer("accept", "conversion, runs, baselines", 60, 2),
    Writer("accept", "baselines replaced", 30, replaces=True),
    Writer("session", "pytest --modellab-update", 30),
    Writer("search", "corpus, vectors, indexes", 60, needs=("faiss", "bm25s")),
    Writer("build", "adapters", 20, needs=("peft", "trl", "datasets")),
)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.what)
def test_kills(
    writer: Writer,
    forks: Forks,
    needs: Callable[..., None],
    project: Path,
    tmp_path: Path,
    part: Callable[[str], AbstractContextManager[Any]],
    seed: int,
    long: bool,
) -> None:
    needs(*writer.needs)
    drawn = random.Random(f"{seed} {writer.what}")
    begin = shutil.copytree(project, tmp_path / "begin")
    if writer.replaces:
        run(forks, writer, begin)
        (begin / "prompt.jinja").write_text(f"Say it. {world.PROMPT}", encoding="utf-8")
    right = run(forks, writer, shutil.copytree(begin, tmp_path / "right"))
    assert right.how == "returned", right.text
    with part(f"kills: {writer.what}") as counted:
        for number in range(writer.kills if long else writer.short):
            folder = shutil.copytree(begin, tmp_path / f"{number}")
            kills = []
            for _ in range(1 + (drawn.random() < AGAIN)):
                if drawn.random() < 0.5:
                    kill = {"kill_after": drawn.uniform(0, right.seconds)}
                else:
                    kill = {"kill_at": drawn.randint(1, right.changes)}
                kills.append(kill)
                killed = run(forks, writer, folder, **kill)
            problem = None if killed.how in ("killed", "returned") else killed.text
            counted.count(problem or wrong(run(forks, writer, folder), right, folder, kills))
            shutil.rmtree(folder)


def run(forks: Forks, writer: Writer, folder: Path, **kill: Any) -> Ended:
    work = f"campaign.world:{writer.work}"
    return forks.run(Trial(work, (folder,), watched=folder, seconds=20, **kill))


def wrong(found: Ended, right: Ended, folder: Path, kills: list[Any]) -> str | None:
    """Say what is wrong after a kill, or None."""
    if found.how != "returned":
        return f"{kills}: {found.how}: {found.text}"
    if found.value != right.value:
        return f"{kills}: another result: {found.value} instead of {right.value}"
    left = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
    return f"{kills}: left behind: {left}" if left else None
