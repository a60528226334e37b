"""Task sets whose samples are not what they were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from pytest_modellab import tasksets
from pytest_modellab.errors import ReviewUnavailable, TaskSetError
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.review.changes import Change
from pytest_modellab.review.side import Side
from pytest_modellab.review.tree import OldTree
from pytest_modellab.store.place import default_folder
from pytest_modellab.tasksets import header

HEADER = header.NAME


SHOWN = 5
"""How many ids a line names."""


def read(side: Side, name: str) -> TaskSet:
    """Read a task set of a side, whatever its scorers say of its samples.

    Raises:
        ReviewUnavailable: it cannot be read.
    """
    path = side.config.task_sets[name].path
    try:
        return tasksets.read(path, lambda _: None, default_folder(), None)
    except TaskSetError as error:
        raise ReviewUnavailable(side.said(error)) from error


def compare(name: str, old: TaskSet, new: TaskSet, where: str) -> list[Change]:
    """Compare the samples of a task set.

    Under one version nothing may leave, change or be doubled; a new version says that the set is
    another one, and what left it is named.

    Args:
        name: of the task set.
        old: as it was.
        new: as it is.
        where: its header.
    """
    was = {sample.id: sample for sample in old.samples}
    now = {sample.id: sample for sample in new.samples}
    contents = Counter(map(_content, new.samples))
    before = Counter(map(_content, old.samples))
    moved = {_content(sample) for id_, sample in now.items() if id_ not in was}
    removed = [id_ for id_, one in was.items() if id_ not in now and _content(one) not in moved]
    changed = [
        id_ for id_, one in was.items() if id_ in now and one.content_hash != now[id_].content_hash
    ]
    doubled = [
        sample.id
        for sample in new.samples
        if contents[_content(sample)] > max(before[_content(sample)], 1) and sample.id not in was
    ]
    added = [id_ for id_ in now if id_ not in was and id_ not in doubled]
    what = f"task_sets.{name}.samples"
    raised = old.version != new.version
    found = []
    if raised:
        left = f"{len(removed)} left{_some(removed)}, {len(changed)} changed{_some(changed)}"
        note = f"{left}, {len(doubled)} doubled, {len(added)} added"
        found.append(
            Change("changed", f"task_sets.{name}.version", old.version, new.version, where, note)
        )
    else:
        version = f"under version {new.version}"
        for ids, word, note in (
            (removed, "removed", f"removed {version}"),
            (changed, "changed", f"changed {version}; a changed sample needs a new version"),
            (doubled, "doubled", f"the same content again, under another id, {version}"),
        ):
            if ids:
                said = f"{len(now)}, {len(ids)} {word}{_some(ids)}, {_digest(ids, now)}"
                found.append(Change("weaker", what, str(len(was)), said, where, note))
        if added:
            said = f"{len(now)}, {len(added)} added{_some(added)}"
            found.append(Change("stronger", what, str(len(was)), said, where))
    if old.corpus is not None and new.corpus is not None and old.corpus.hash != new.corpus.hash:
        found.append(
            Change(
                "changed" if raised else "unweighed",
                f"task_sets.{name}.corpus",
                old.corpus.hash,
                new.corpus.hash,
                where,
                "other documents are searched",
            )
        )
    return found


def capabilities(*task_sets: TaskSet) -> Mapping[str, str]:
    """Return sample content hash → capability."""
    return {one.content_hash: one.capability for tasks in task_sets for one in tasks.samples}


def put(tree: OldTree, old: Side, name: str) -> None:
    """Put the files of an old task set where its reader finds them."""
    place = folder(old, name)
    tree.put(tree.below(place))
    path = old.config.task_sets[name].path
    try:
        layout = str(header.read(path / HEADER).get("layout", "."))
    except TaskSetError:
        return  # whoever reads the set says so
    if old.inside(path / layout):
        tree.put(tree.below(old.shown(path / layout)))


def folder(side: Side, name: str) -> str:
    """Return the folder of a task set from the top."""
    return side.shown(Path(side.config.task_sets[name].path))


def _content(sample: Sample) -> str:
    """What is asked and what is right, whatever the sample is called."""
    shown = [sample.shown] if sample.media else []
    return digest([sample.input, sample.target, list(sample.choices), sample.scorer, *shown])


def _some(ids: Collection[str]) -> str:
    if not ids:
        return ""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return f" ({', '.join(sorted(ids)[:SHOWN])}{more})"


def _digest(ids: Collection[str], now: Mapping[str, Sample]) -> str:
    """Tell two sets of samples apart in what acknowledges them."""
    return digest([[id_, now[id_].content_hash if id_ in now else ""] for id_ in sorted(ids)])[:8]
