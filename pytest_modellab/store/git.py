"""Git, asked so that nothing of a repository is run: no hook, pager, diff or monitor of its own.

Only read: commits, the names of their files and the files' content. Output and time are bounded.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

TIMEOUT = 120.0
"""Seconds that one call of git may take."""


PASSING = 5.0
"""Seconds that one may take which is asked in passing."""


_STILL = (
    *("--no-pager", "--literal-pathspecs"),
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
    *("-c", "diff.relative=false", "-c", "log.showSignature=false", "-c", "core.quotePath=false"),
)


_OF_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_EXTERNAL_DIFF")
"""Set in hooks, relative to another folder, or programs that git would run."""


_SECRET = re.compile(r"://[^/@\s]+@")
"""A user and a password in the address of a repository."""


class GitError(Exception):
    """Git is missing, cannot be started, or says that it cannot; the message is a clause."""


class GitMissing(GitError):
    """Git is not installed."""


DEEPEN = (
    "fetch the history: git fetch --unshallow (GitHub: actions/checkout with fetch-depth: 0; "
    'GitLab: GIT_DEPTH: "0")'
)
"""What to do about a clone that is shallow."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file of a commit.

    Attributes:
        path: from the root of the repository, with ``/``.
        mode: as git has it: ``100644``, ``120000`` for a link, ``160000`` for a submodule.
        blob: the hash of its content.
        size: in bytes; 0 of a submodule.
    """

    path: str
    mode: str
    blob: str
    size: int

    @property
    def regular(self) -> bool:
        """Whether it is a file, and no link or submodule."""
        return self.mode.startswith("100")


def ask(
    folder: Path,
    *arguments: str,
    given: bytes | None = None,
    offline: bool = False,
) -> bytes:
    """Run git and return what it prints.

    Args:
        folder: where it is run; the nearest one above where there is none.
        arguments: of git.
        given: its standard input, or None for none.
        offline: for what is asked in passing: a partial clone fetches nothing, and it takes
            seconds at most.

    Raises:
        GitError: git is not installed, takes too long or fails.
    """
    while not folder.is_dir():
        folder = folder.parent
    environment = {key: value for key, value in os.environ.items() if key not in _OF_OTHERS}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    timeout = PASSING if offline else TIMEOUT
    if offline:
        environment |= {"GIT_NO_LAZY_FETCH": "1", "GIT_LFS_SKIP_SMUDGE": "1"}
    try:
        done = subprocess.run(
            ["git", *_STILL, *arguments],  # noqa: S607
            cwd=folder,
            env=environment,
            capture_output=True,
            check=True,
            timeout=timeout,
            input=given if given is not None else b"",
        )
    except FileNotFoundError as error:
        raise GitMissing("git is not installed") from error
    except OSError as error:
        raise GitError(f"git cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise GitError(f"git {arguments[0]} took longer than {timeout:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", "replace").strip()
        raise GitError(_SECRET.sub("://…@", said) or "git failed") from None
    return done.stdout


def root(folder: Path, *, offline: bool = False) -> Path:
    """Return the top folder of the repository that a folder lies in.

    Raises:
        GitError: it lies in none.
    """
    found = ask(folder, "rev-parse", "--show-toplevel", offline=offline)
    return Path(os.path.realpath(os.fsdecode(found.removesuffix(b"\n"))))


def default_branch(folder: Path, *, offline: bool = False) -> str | None:
    """Return the branch that changes are merged into, as far as a clone knows; None without one.

    What ``origin`` has for it, else ``main`` or ``master``, else the branch that HEAD is on.
    """

    def said(*arguments: str) -> str | None:
        try:
            return os.fsdecode(ask(folder, *arguments, offline=offline)).strip()
        except GitError:
            return None

    if there := said("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"):
        return there.removeprefix("origin/")
    for name in ("main", "master"):
        if said("rev-parse", "--verify", "--quiet", f"refs/heads/{name}"):
            return name
    return said("symbolic-ref", "--quiet", "--short", "HEAD")


def commit(folder: Path, ref: str, *, offline: bool = False) -> str | None:
    """Return the full hash of the commit that a name stands for, or None."""
    try:
        name = f"{ref}^{{commit}}"
        found = ask(
            folder, "rev-parse", "--verify", "--quiet", "--end-of-options", name, offline=offline
        )
    except GitError:
        return None
    return found.decode("ascii", "replace").strip() or None


def files(folder: Path, commit: str, *paths: str, offline: bool = False) -> Mapping[str, Entry]:
    """Return the files of a commit by path.

    Args:
        folder: in the repository.
        commit: its full hash.
        paths: from the root of the repository; none for all files.
        offline: see :func:`ask`.

    Raises:
        GitError: it cannot be read.
    """
    asked = ("-r", "-l", "-z", "--full-tree", commit, "--", *paths)
    listed = ask(folder, "ls-tree", *asked, offline=offline)
    found = {}
    for one in listed.split(b"\0"):
        if one:
            about, _, name = one.partition(b"\t")
            mode, _, blob, size = about.decode("ascii").split()
            path = os.fsdecode(name)
            found[path] = Entry(path, mode, blob, 0 if size == "-" else int(size))
    return found


def contents(
    folder: Path, blobs: Sequence[str], *, offline: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Read files by their hashes; whoever asks bounds their sizes, which the entries have.

    Args:
        folder: in the repository.
        blobs: the hashes.
        offline: see :func:`ask`.

    Yields:
        Each hash with the content.

    Raises:
        GitError: one is not there.
    """
    if not blobs:
        return
    asked = "".join(f"{blob}\n" for blob in blobs).encode("ascii")
    out = ask(folder, "cat-file", "--batch", given=asked, offline=offline)
    start = 0
    for blob in blobs:
        end = out.find(b"\n", start)
        head = out[start:end].split()
        if len(head) != 3 or head[1] != b"blob":
            raise GitError(f"the content of {blob[:10]} is not there")
        size = int(head[2])
        yield blob, out[end + 1 : end + 1 + size]
        start = end + 2 + size


def shallow(folder: Path, *, offline: bool = False) -> bool:
    """Whether the repository was cloned without its whole history."""
    try:
        return ask(folder, "rev-parse", "--is-shallow-repository", offline=offline) == b"true\n"
    except GitError:
        return False


def differing(
    folder: Path, commit: str, paths: Iterable[str], *, offline: bool = False
) -> frozenset[str]:
    """Return the files of the working tree that are not as in a commit; removed and new ones, too.

    Args:
        folder: the top of the repository.
        commit: its full hash.
        paths: files and folders from there; only what lies in them.
        offline: see :func:`ask`.

    Raises:
        GitError: it cannot be told.
    """
    among = ("--", *paths)
    plain = ("--no-ext-diff", "--no-textconv", "--no-renames", "--ignore-submodules=all")
    tracked = ask(folder, "diff", "--name-only", "-z", *plain, commit, *among, offline=offline)
    others = ("ls-files", "--others", "--exclude-standard", "-z")
    untracked = ask(folder, *others, *among, offline=offline)
    found = (tracked + untracked).split(b"\0")
    return frozenset(os.fsdecode(name) for name in found if name and not name.endswith(b".pyc"))
