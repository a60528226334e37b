"""A review: both sides are read, what decides is compared, and what was agreed to is left out."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pytest_modellab.config import read as configuration
from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ConfigError, ReviewUnavailable
from pytest_modellab.review import accepted, settings
from pytest_modellab.review.against import Against, choose
from pytest_modellab.review.changes import Change
from pytest_modellab.review.side import Side
from pytest_modellab.review.tree import OldTree
from pytest_modellab.store import git


@dataclasses.dataclass(frozen=True)
class Review:
    """What a review found.

    Attributes:
        against: what was compared with.
        changes: all, weaker ones first.
        acknowledged: the reasons that stand for changes, by the change's key.
        stale: acknowledgements that fit no change.
        notes: what a reader must know beside them.
    """

    against: Against
    changes: tuple[Change, ...] = ()
    acknowledged: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def weaker(self) -> tuple[Change, ...]:
        """What became weaker, or may have, and that nobody has acknowledged."""
        return tuple(c for c in self.changes if c.weakens and c.key not in self.acknowledged)


def review(config: LabConfig, ref: str | None = None, *, offline: bool = False) -> Review:
    """Compare what decides in the working tree with a git ref.

    Args:
        config: the working tree's.
        ref: what to compare with, see :func:`choose`.
        offline: whether git may not fetch what a partial clone lacks.

    Raises:
        ReviewUnavailable: it cannot be told; the message says why and what to do.
    """
    try:
        top = git.root(config.root, offline=offline)
    except git.GitMissing as error:
        raise ReviewUnavailable(
            "git is not installed, and what was before is kept in git"
        ) from error
    except git.GitError as error:
        raise ReviewUnavailable(
            f"{config.root}: git cannot read what was before: {error}"
        ) from error
    against = choose(top, ref, offline=offline)
    try:
        with tempfile.TemporaryDirectory(prefix="modellab-review-") as folder:
            tree = OldTree(top, against.commit, Path(folder), offline=offline)
            return _compared(config, top, against, tree)
    except git.GitError as error:
        raise ReviewUnavailable(
            f"{against.short}: git cannot read it: {error}; in a partial clone, fetch the rest: "
            "git fetch --refetch"
        ) from error


def _compared(config: LabConfig, top: Path, against: Against, tree: OldTree) -> Review:
    new = Side(top, "the working tree", config)
    path = _old_config(new, tree)
    if path is None:
        note = f"{against.short} has no modellab.toml: nothing could be weakened"
        return Review(against, stale=tuple(config.acknowledged), notes=(note,))
    tree.put([path])
    try:
        old = Side(tree.folder, against.short, configuration.load(tree.folder / path))
    except ConfigError as error:
        said = str(error).replace(f"{tree.folder}/", "")
        raise ReviewUnavailable(
            f"{against.short}: {said}; name a ref whose modellab.toml this version reads: --against"
        ) from error
    differing = git.differing(top, against.commit, _places(old, new))
    tree.put(differing)
    changes = [*settings.compare(old, new), *accepted.compare(old, new, differing, {})]
    return _judged(against, changes, config.acknowledged)


def _judged(against: Against, changes: Iterable[Change], acknowledged: Mapping[str, str]) -> Review:
    order = ("weaker", "unweighed", "changed", "stronger")
    ordered = sorted(changes, key=lambda change: order.index(change.kind))
    keys = {change.key for change in ordered if change.weakens}
    return Review(
        against,
        tuple(ordered),
        {key: reason for key, reason in acknowledged.items() if key in keys},
        tuple(key for key in acknowledged if key not in keys),
    )


def _old_config(new: Side, tree: OldTree) -> str | None:
    """Where the configuration lay: in the same place, else wherever the only one did."""
    here = new.shown(new.config.path)
    if here in tree.entries and tree.entries[here].regular:
        return here
    name = configuration.FILE_NAME
    others = [path for path in tree.entries if path.rpartition("/")[2] == name]
    return others[0] if len(others) == 1 else None


def _places(old: Side, new: Side) -> list[str]:
    """The folders and files of both sides that decide, from the top."""
    found = set()
    for side in (old, new):
        folders = [side.config.root, side.config.baselines]
        folders += [Path(os.path.normpath(one.path)) for one in side.config.task_sets.values()]
        found |= {side.shown(folder) for folder in folders if side.inside(folder)}
    return sorted(found)
