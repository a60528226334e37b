"""Accepted runs as they are at a commit, in place of the working tree's."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.errors import BaselineInvalid, ModellabError
from pytest_modellab.store import git
from pytest_modellab.visible import visible


@dataclasses.dataclass(frozen=True)
class Committed:
    """The accepted runs of a commit.

    Attributes:
        top: the top folder of the repository.
        ref: what was asked for, as it was written.
        commit: the full hash.
    """

    top: Path
    ref: str
    commit: str

    def __str__(self) -> str:
        short, ref = self.commit[:7], visible(self.ref)
        return short if self.commit.startswith(self.ref) else f"{ref} ({short})"

    def name(self, path: Path) -> str:
        """Return a file's path from the top of the repository, whether it is there or not.

        Raises:
            BaselineInvalid: it lies in another folder.
        """
        place = Path(os.path.realpath(path.parent)) / path.name
        if not place.is_relative_to(self.top):
            raise BaselineInvalid(
                f"{path}: lies outside of the repository {self.top}, so it is not at {self}; leave "
                "out --modellab-compare-to"
            )
        return place.relative_to(self.top).as_posix()

    def read(self, path: Path) -> Baseline | None:
        """Read an accepted run.

        Args:
            path: where it lies in the working tree, or would.

        Returns:
            The baseline, or None where the commit has no such file.

        Raises:
            BaselineInvalid: the file is damaged there, or cannot be read.
        """
        name = self.name(path)
        where = f"{self}: {name}"
        mend = "compare with a commit that has it whole, or leave out --modellab-compare-to"
        try:
            found = git.files(self.top, self.commit, name).get(name)
            if found is None:
                return None
            if not found.regular:
                raise BaselineInvalid(f"{where}: is no file, but a link or a submodule; {mend}")
            # with filters, as a checkout has it: what Git LFS keeps is a pointer without
            content = git.ask(self.top, "cat-file", "--filters", f"{self.commit}:{name}")
        except git.GitError as error:
            raise BaselineInvalid(f"{where}: git cannot read it: {error}; {mend}") from error
        return file.parse(content, path, mend, where)


def at(folder: Path, ref: str, known: Mapping[str, str] = MappingProxyType({})) -> Committed:
    """Find the commit whose accepted runs are compared with.

    Args:
        folder: of the accepted runs.
        ref: a branch, a tag or a commit.
        known: the top folder of a repository → the commit that the name stands for there.

    Raises:
        ModellabError: the folder lies in no repository, or the name stands for no commit.
    """
    try:
        top = git.root(folder)
    except git.GitError as error:
        raise ModellabError(
            f"{visible(ref)!r}: the accepted runs in {folder} cannot be read from git: {error}"
        ) from error
    commit = git.commit(top, known.get(str(top), ref))
    if commit is None:
        mend = "name a branch, a tag or a commit that git log shows; one of a remote after git "
        mend += "fetch, as origin/main"
        if git.shallow(top):
            mend = git.DEEPEN
        raise ModellabError(f"{visible(ref)!r} is no commit of {top}; {mend}")
    return Committed(top, ref, commit)
