"""Which commit a working tree is compared with."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from pytest_modellab.errors import ReviewUnavailable
from pytest_modellab.store import git

DEFAULTS = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
"""Where the default branch is looked for, in this order."""


TARGETS = (
    "GITHUB_BASE_REF",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME",
    "CHANGE_TARGET",
    "BITBUCKET_PR_DESTINATION_BRANCH",
    "SYSTEM_PULLREQUEST_TARGETBRANCHNAME",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
)
"""Variables of CI services that name the branch which a change is to be merged into."""


BASE = "CI_MERGE_REQUEST_DIFF_BASE_SHA"
"""GitLab names the merge base itself, and fetches no branch but the change's own."""


NAME_ONE = "name what to compare with: modellab review --against REF"


@dataclasses.dataclass(frozen=True)
class Against:
    """What is compared with.

    Attributes:
        commit: the full hash.
        how: in words how it was chosen.
    """

    commit: str
    how: str

    @property
    def short(self) -> str:
        """The hash as people read it."""
        return self.commit[:7]


def choose(top: Path, ref: str | None, *, offline: bool = False) -> Against:
    """Find the commit.

    Args:
        top: the top folder of the repository.
        ref: what was asked for; None takes the merge base with the default branch, or with the
            branch that a CI service says the change is for.
        offline: whether git may not fetch.

    Raises:
        ReviewUnavailable: there is none; the message says what to do.
    """
    if ref is not None:
        found = git.commit(top, ref, offline=offline)
        if found is None:
            other = "name a branch, a tag or a commit that git log shows"
            mend = _mend(top, other, offline=offline)
            raise ReviewUnavailable(f"--against: {ref!r} is no commit of {top}; {mend}")
        return Against(found, ref)
    if git.commit(top, "HEAD", offline=offline) is None:
        raise ReviewUnavailable(f"{top}: nothing is committed yet, so there is nothing to compare")
    if base := os.environ.get(BASE, "").strip():
        found = git.commit(top, base, offline=offline)
        if found is not None:
            return Against(found, f"merge base by {BASE}")
    asked = [name for key in TARGETS if (name := os.environ.get(key, "").strip())]
    names = [place for name in asked for place in (f"origin/{name}", name)] or list(DEFAULTS)
    for name in names:
        tip = git.commit(top, name, offline=offline)
        if tip is not None:
            return _base(top, name, tip, offline=offline)
    mend = _mend(top, NAME_ONE, offline=offline)
    raise ReviewUnavailable(f"{top}: none of {', '.join(names)} is there; {mend}")


def _mend(top: Path, other: str, *, offline: bool) -> str:
    return git.DEEPEN if git.shallow(top, offline=offline) else other


def _base(top: Path, name: str, tip: str, *, offline: bool) -> Against:
    try:
        found = git.ask(top, "merge-base", tip, "HEAD", offline=offline).decode("ascii").strip()
    except git.GitError as error:
        mend = _mend(top, NAME_ONE, offline=offline)
        raise ReviewUnavailable(
            f"{top}: HEAD and {name} have no commit in common; {mend}"
        ) from error
    return Against(found, f"merge base with {name}")
