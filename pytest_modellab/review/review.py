"""A review: both sides are read, what decides is compared, and what was agreed to is left out."""

from __future__ import annotations

import dataclasses
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from pytest_modellab.config import read as configuration
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.config.lab_config import LabConfig
from pytest_modellab.errors import ConfigError, ModellabError, ReviewUnavailable
from pytest_modellab.review import accepted, commands, gating, hooks, ini, samples, settings
from pytest_modellab.review.against import Against, choose
from pytest_modellab.review.asked import asks
from pytest_modellab.review.asked.modules import Modules
from pytest_modellab.review.asked.suite import Suite
from pytest_modellab.review.changes import Change
from pytest_modellab.review.files import Files, above, joined
from pytest_modellab.review.side import HERE, Side
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
        new = Side(top, HERE, config)
        differing = git.differing(top, against.commit, ["."], offline=offline)
        places = _places(new)
        if not any(path.endswith(".py") or _within(path, places) for path in differing):
            return _judged(against, (), config.acknowledged)
        with tempfile.TemporaryDirectory(prefix="modellab-review-") as folder:
            tree = OldTree(top, against.commit, Path(folder), offline=offline)
            return _compared(new, against, tree, differing)
    except git.GitError as error:
        raise ReviewUnavailable(
            f"{against.short}: git cannot read it: {error}; in a partial clone, fetch the rest: "
            "git fetch --refetch"
        ) from error


def in_passing(config: LabConfig) -> Review | None:
    """Review beside another task: nothing is fetched, and None where it cannot be told.

    That is without git, in a shallow clone, in a repository too large to be read in passing;
    ``modellab review`` says why.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return review(config, offline=True)
    except (ModellabError, OSError, ValueError, RecursionError):
        return None


def _compared(new: Side, against: Against, tree: OldTree, differing: frozenset[str]) -> Review:
    config, top = new.config, new.root
    path = _old_config(new, tree)
    if path is None:
        note = f"{against.short} has no modellab.toml: nothing could be weakened"
        return Review(against, stale=tuple(config.acknowledged), notes=(note,))
    tree.put([path])
    offline = tree.offline
    try:
        old = Side(tree.folder, against.short, configuration.load(tree.folder / path))
    except ConfigError as error:
        said = str(error).replace(f"{tree.folder}/", "")
        raise ReviewUnavailable(
            f"{against.short}: {said}; name a ref whose modellab.toml this version reads: --against"
        ) from error
    places = _places(old, new)
    files = (
        _files(new, top, offline=offline),
        Files(tree.folder, tree.entries, lambda path: tree.put([path])),
    )
    tree.put(path for path in sorted(differing) if _within(path, places))
    of_samples, capabilities, notes = _of_samples(old, new, differing, tree)
    changes = [
        *settings.compare(old, new),
        *of_samples,
        *accepted.compare(old, new, differing, capabilities),
        *_of_tests(old, new, files[1], files[0]),
    ]
    return dataclasses.replace(_judged(against, changes, config.acknowledged), notes=notes)


def _of_samples(
    old: Side, new: Side, differing: frozenset[str], tree: OldTree
) -> tuple[list[Change], dict[str, Mapping[str, str]], tuple[str, ...]]:
    """Compare the task sets; what is not in the repository is noted.

    Returns:
        The changes, the capability of each sample of the task sets that were looked at or whose
        accepted runs were recorded anew, and the notes.
    """
    changes: list[Change] = []
    capabilities: dict[str, Mapping[str, str]] = {}
    notes = []
    if not new.inside(new.config.baselines):
        notes.append("baselines: they lie outside the repository: not compared")
    recorded = {path.split("/")[-2] for path in differing if path.count("/")}
    for name in [one for one in old.config.task_sets if one in new.config.task_sets]:
        places = [samples.folder(side, name) for side in (old, new)]
        if not all(side.inside(side.config.task_sets[name].path) for side in (old, new)):
            notes.append(f"task_sets.{name}: lies outside the repository: not compared")
        elif places[0] != places[1] or any(_within(path, places) for path in differing):
            samples.put(tree, old, name)
            was, now = (samples.read(side, name) for side in (old, new))
            where = f"{places[1]}/{samples.HEADER}"
            changes += samples.compare(name, was, now, where)
            capabilities[name] = samples.capabilities(was, now)
        elif name in recorded:
            capabilities[name] = samples.capabilities(samples.read(new, name))
    return changes, capabilities, tuple(notes)


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(folder in (path, ".") or path.startswith(f"{folder}/") for folder in folders)


def _of_tests(old: Side, new: Side, was: Files, now: Files) -> list[Change]:
    """Compare what the tests ask, and what the ini files and conftest.py decide of them."""
    asked, inis, hooked, called = [], [], [], []
    for side, files in ((old, was), (new, now)):
        folder = side.shown(side.config.root)
        folder = "" if folder == "." else folder
        set_ = ini.read(files, folder)
        suite = Suite(Modules(files), folder, set_.patterns)
        if not any(suite.asking()):  # tests from elsewhere: --modellab-config
            suite = Suite(suite.modules, "", set_.patterns)
        try:
            found = asks.read(suite, with_strategies(side.config), set_.deselected)
            hooked.append(hooks.read(suite))
        except RecursionError as error:
            raise ReviewUnavailable(
                f"{side.name}: {folder or '.'}: a test is nested too deeply to be read; write it "
                "flatter"
            ) from error
        if suite.modules.broken:
            raise ReviewUnavailable(
                f"{side.name}: {', '.join(suite.modules.broken)}: no Python that can be read; mend "
                "it, or name a ref where it was right: --against"
            )
        asked.append(gating.Asked(side, found, set_.margin))
        inis.append(set_)
        called.append(commands.read(files, folder))
    return [
        *ini.compare(inis[0], inis[1], old.config, new.config),
        *commands.compare(called[0], called[1], old.config, new.config),
        *hooks.compare(hooked[0], hooked[1]),
        *gating.compare(asked[0], asked[1]),
    ]


def with_strategies(config: LabConfig) -> LabConfig:
    """Return a configuration whose variants have the strategy of their kind, where it is known."""
    from pytest_modellab.variants import KINDS

    found = {
        name: spec
        if spec.strategy or spec.kind not in KINDS
        else dataclasses.replace(spec, strategy=KINDS[spec.kind].strategy)
        for name, spec in config.variants.items()
    }
    return dataclasses.replace(config, variants=MappingProxyType(found))


def _files(side: Side, top: Path, *, offline: bool) -> Files:
    listed = git.ask(
        top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", offline=offline
    )
    return Files(side.root, [os.fsdecode(name) for name in listed.split(b"\0") if name])


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
    """Where the configuration lay: in the same place, else where the only one did that is gone."""
    here = new.shown(new.config.path)
    if here in tree.entries and tree.entries[here].regular:
        return here
    name = FILE_NAME
    named = [path for path in tree.entries if path.rpartition("/")[2] == name]
    others = [path for path in named if not (new.root / path).exists()]
    return others[0] if len(others) == 1 else None


def _places(*sides: Side) -> list[str]:
    """The folders and files that decide, from the top: what calls the gate and sets its options."""
    found: set[str] = set()
    names = (*ini.NAMES, "setup.cfg", "conftest.py")
    found.update(place.split("*")[0].rstrip("/") for place in commands.PLACES)
    for side in sides:
        root = side.shown(side.config.root)
        folders = [side.config.root, side.config.baselines]
        folders += [one.path for one in side.config.task_sets.values()]
        found |= {side.shown(folder) for folder in folders if side.inside(folder)}
        found |= {joined(one, name) for one in above("" if root == "." else root) for name in names}
    return sorted(found)
