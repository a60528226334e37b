"""Every way in which a file is damaged."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

Damage = Callable[[Path], None]

CLASSES = {
    "a structural byte": b"{}[]\",:=<>/'#",
    "a digit": b"0123456789",
    "a letter": bytes([*range(65, 91), *range(97, 123)]),
    "a blank": b" \t",
    "a line end": b"\r\n",
    "any byte": bytes(range(256)),
}


def damages(path: Path, others: list[Path], drawn: random.Random) -> Iterator[tuple[str, Damage]]:
    """Every damage of a file, with its name.

    Args:
        path: the file, whole.
        others: files whose content takes its place.
        drawn: chooses bytes and bits.
    """
    content = path.read_bytes()
    size = len(content)
    lengths = {"nothing": 0, "a byte": 1, "half": size // 2, "all but a byte": max(0, size - 1)}
    for words, length in lengths.items():
        yield f"cut to {words}", _content(content[:length])
    for words, members in CLASSES.items():
        places = [k for k, byte in enumerate(content) if byte in members]
        for at in drawn.sample(places, min(3, len(places))):
            bit = 1 << drawn.randrange(8)
            flipped = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
            yield f"bit {bit} of byte {at} flipped ({words})", _content(flipped)
    at = drawn.randrange(size)
    text = content.decode("latin-1")
    for words, other in {
        "doubled": content * 2,
        "NULs after it": content + b"\0" * 64,
        "NULs in it": content[:at] + b"\0" * 16 + content[at + 16 :],
        "NULs only": b"\0" * size,
        "a byte order mark": b"\xef\xbb\xbf" + content,
        "UTF-16": text.encode("utf-16"),
        "no UTF-8": content[:at] + b"\xff\xfe" + content[at:],
        "Windows' line ends": content.replace(b"\n", b"\r\n"),
        "deep brackets": b"[" * 100_000,
        "a long number": b'{"a": 1' + b"0" * 10_000 + b"}",
    }.items():
        yield words, _content(other)
    for other_path in others:
        yield f"the content of {other_path.name}", _content(other_path.read_bytes())
    yield "removed", Path.unlink
    yield "a folder", _folder
    yield "a link to itself", _loop
    if os.geteuid():  # root reads everything
        yield "not to be read", lambda path: path.chmod(0)


def _content(content: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(content)

    return damage


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def restored(folder: Path, right: Path) -> None:
    """Make a folder what another one is."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(right, folder, symlinks=True)
