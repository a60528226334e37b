"""Files as they lie in a repository: what git and editors leave of a file that is to be read.

A byte order mark is dropped and Windows line ends become plain ones, so that a file means the same
in every checkout. What stands in the place of a file (a Git LFS pointer), or beside its text
(conflict markers), is told with the mend that fits.
"""

from __future__ import annotations

import codecs
import re
import shlex
from pathlib import Path

from pytest_modellab.store import regular

BYTE_ORDER_MARK = "\ufeff"


HEAD = 64
"""Bytes at the start of a file that tell what stands in its place."""


_POINTERS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)
"""How Git LFS begins what it checks out where a file was not fetched; hawser is its old name."""


_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How a text begins that PowerShell or Notepad saved as "Unicode"; UTF-32 begins so, too."""


_TEXTS = (".json", ".jinja", ".txt")
"""Files of a model that are text."""


_CONFLICT = re.compile(
    rb"^(?:<{7} (?!SEARCH\b|ORIGINAL\b)|>{7} (?!REPLACE\b|UPDATED\b))", re.MULTILINE
)
"""A line that git leaves, but for the words in which language models are asked to edit code."""


LARGEST = 1 << 26
"""Bytes of a model's text that is looked through when a library cannot read it."""


class Unready(ValueError):
    """A file is not, or not yet, what its name says; the message is a clause with the mend."""


def read(path: Path) -> str:
    """Return the text of a file.

    Args:
        path: UTF-8, with a byte order mark or without, and with any line ends.

    Returns:
        The text without the mark, its lines ending as on Unix. A mark at the start of a further
        line, which files leave that were put together, is dropped, too.

    Raises:
        OSError: it cannot be read, or is no regular file.
        Unready: as :func:`text`.
    """
    return text(regular.read_bytes(path), path)


def text(content: bytes, path: Path) -> str:
    """Return a file's content as text, see :func:`read`.

    Args:
        content: of the file.
        path: where it lies, for the mend.

    Raises:
        Unready: a Git LFS pointer, conflict markers, or another encoding than UTF-8.
    """
    if said := standing_in(content[:HEAD], path) or conflict(content):
        raise Unready(said)
    return unmarked(decoded(content).replace("\r\n", "\n").replace("\r", "\n"))


def unmarked(text: str) -> str:
    """Drop byte order marks at the start of further lines, which files have that were joined."""
    return text.replace(f"\n{BYTE_ORDER_MARK}", "\n")


def decoded(content: bytes, first: int = 1) -> str:
    """Return UTF-8 as text, without a byte order mark and with its line ends as they are.

    Args:
        content: of a file, or of one of its lines.
        first: the number of its first line.

    Raises:
        Unready: it is another encoding.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        if said := wide(content):
            raise Unready(said) from error
        line = content.count(b"\n", 0, error.start) + first
        raise Unready(f"line {line}: not UTF-8 ({error.reason}); save it as UTF-8") from error


def wide(content: bytes) -> str | None:
    """Say that a text is UTF-16, or None."""
    return "saved as UTF-16; save it as UTF-8" if content.startswith(_WIDE) else None


def standing_in(head: bytes, path: Path) -> str | None:
    """Say what stands in the place of a file, or None where it is the file itself.

    Args:
        head: its first :data:`HEAD` bytes, or more.
        path: where it lies.
    """
    if not head.startswith(_POINTERS):
        return None
    return (
        "a Git LFS pointer, not the file itself; fetch it: "
        f"git lfs pull --include {_in_repository(path)}"
    )


def absent(path: Path) -> str | None:
    """Say what stands in the place of a file that a library will read, see :func:`standing_in`.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return standing_in(file.read(HEAD), path)


def conflict(content: bytes, first: int = 1) -> str | None:
    """Say where a merge that was not resolved has left its markers, or None.

    Args:
        content: of a file, or of one of its lines.
        first: the number of its first line.
    """
    if b"<<<<<<< " not in content and b">>>>>>> " not in content:
        return None
    found = _CONFLICT.search(content)
    if found is None:
        return None
    line = content.count(b"\n", 0, found.start()) + first
    return f"conflict markers at line {line}; resolve the merge"


def unready(path: Path) -> str | None:
    """Name a file that a library cannot read as it lies there, and why; or None.

    Args:
        path: a model's file, or its folder, where each file is looked at.
    """
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        said = _unready(file) if file.is_file() else None
        if said is not None:
            return f"{file}: {said}"
    return None


def _unready(file: Path) -> str | None:
    if file.suffix not in _TEXTS or file.stat().st_size > LARGEST:
        return absent(file)
    content = file.read_bytes()
    try:
        text(content, file)
    except Unready as error:
        return str(error)
    if content.startswith(codecs.BOM_UTF8):
        return "starts with a byte order mark; save it without"
    return None


def _in_repository(path: Path) -> str:
    """Return a path as ``git lfs`` wants it: from the root of the repository, else the name."""
    path = path.absolute()
    for folder in path.parents:
        if (folder / ".git").exists():
            return shlex.quote(path.relative_to(folder).as_posix())
    return shlex.quote(path.name)
