"""One store for a team: finished work at an address of fsspec's, beside this machine's own store.

What lies there is sealed as every file of the store (:mod:`.files`), and believed only where its
digest, and what it answers for, are right when it is read. Whoever stores something first is right:
a second writer takes over what is there. A place that cannot be reached is said once, and done
without.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError, StoreError
from pytest_modellab.store import atomic, files, said
from pytest_modellab.store.census import Kept
from pytest_modellab.visible import line

LAYOUT = "v1"
"""The first part of every name; another layout of names has another one."""

MOST = 1 << 30
"""Bytes of one file; what is larger is not this project's."""

_SHOWN = 200
"""Characters of somebody else's error that a message shows."""

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "az"}
"""Protocols whose objects appear whole, and can be refused where one is there."""

_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 60,
            "retries": {"total_max_attempts": 3},
        }
    },
}
"""What bounds the time that a request may take, where the protocol's own bound is minutes."""


class Remote:
    """A place that several machines share.

    Args:
        url: of a folder, as fsspec reads it: ``s3://bucket/folder``, ``gs://…``, ``/mnt/team``.

    Raises:
        ConfigError: it names no place, or holds a password.
    """

    def __init__(self, url: str) -> None:
        self.url = _checked(url)
        self._place: tuple[Any, str] | None = None
        self._lost = self._closed = False
        self._damaged: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def fetch(self, name: str, target: Path, *, of: str) -> bool:
        """Bring a file into this machine's store.

        Args:
            name: where it lies, below the place.
            target: where it is put, once it is believed.
            of: what it must answer for.

        Returns:
            Whether it is there now. Where the file is damaged, or the place cannot be reached, that
            is said, and it is as if nothing were there.
        """
        content = self._read(name)
        if content is None:
            return False
        try:
            files.unseal(content, of)
        except ValueError as error:
            self._damaged.add(name)
            said.say(f"{self._shown(name)} {files.reason(error)}: it is made again")
            return False
        atomic.write_bytes(target, content)
        return True

    def send(self, name: str, source: Path, *, of: str) -> bool:
        """Share a file of this machine's store.

        Args:
            name: where it is to lie, below the place.
            source: the file.
            of: what it answers for.

        Returns:
            False where another machine has stored something else for the same, which has taken the
            place of ``source``.
        """
        if self._lost or self._closed:
            return True
        content = source.read_bytes()
        with self._written():
            if name not in self._damaged and not self._created(name, content):
                theirs = self._read(name)
                if theirs == content:
                    return True
                if theirs is not None and _is_whole(theirs, of):
                    atomic.write_bytes(source, theirs)
                    said.say(
                        f"{self._shown(name)} was stored by another machine meanwhile, with other "
                        "answers: those are taken, and this machine's are dropped"
                    )
                    return False
                self._damaged.add(name)
            if name in self._damaged:
                self._replaced(name, content)
                self._damaged.discard(name)
        return True

    def entries(self) -> Iterator[Kept]:
        """Yield what is stored.

        Raises:
            StoreError: the place cannot be reached.
        """
        with self._asked():
            fs, root = self._open("")
            found = fs.find(root, detail=True) if fs.exists(root) else {}
        for path, facts in sorted(found.items()):
            kind, _, name = path.rpartition(f"/{LAYOUT}/")[2].partition("/")
            yield Kept(kind, name, int(facts.get("size") or 0), _seconds(facts))

    def fault(self, entry: Kept) -> str | None:
        """Tell what is wrong with an entry, reading it; None where nothing is.

        Raises:
            StoreError: the place cannot be reached.
        """
        with self._asked():
            fs, path = self._open(f"{entry.kind}/{entry.name}")
            content: bytes = fs.cat_file(path)
        try:
            files.unseal(content, entry.name.partition(".")[0])
        except ValueError as error:
            return files.reason(error)
        return None

    def remove(self, entry: Kept) -> None:
        """Remove an entry.

        Raises:
            StoreError: the place cannot be written.
        """
        with self._asked():
            fs, path = self._open(f"{entry.kind}/{entry.name}")
            fs.rm_file(path)

    def now(self) -> float:
        """Return the time by the place's own clock, which may be another than this machine's.

        Raises:
            StoreError: the place cannot be written.
        """
        with self._asked():
            fs, path = self._open(f"now/{os.urandom(4).hex()}")
            fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            fs.pipe_file(path, b"")
            try:
                return _seconds(fs.info(path))
            finally:
                fs.rm_file(path)

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn what a protocol raises into one exception.

        Raises:
            StoreError: in place of theirs.
        """
        try:
            yield
        except Exception as error:
            why = line(f"{type(error).__name__}: {error}", _SHOWN)
            raise StoreError(f"the shared store {self.url} cannot be used: {why}") from error

    def _created(self, name: str, content: bytes) -> bool:
        """Write a file where none is; False where there is one."""
        fs, path = self._open(name)
        try:
            protocol = _protocol(self.url)
            if protocol in _ATOMIC:
                fs.pipe_file(path, content, mode="create")
            elif protocol == "file":
                _linked(Path(path), content)
            elif fs.exists(path):
                return False
            else:
                self._moved(fs, path, content)
        except FileExistsError:
            return False
        return True

    def _replaced(self, name: str, content: bytes) -> None:
        fs, path = self._open(name)
        if _protocol(self.url) in _ATOMIC:
            fs.pipe_file(path, content)
        else:
            self._moved(fs, path, content)

    def _moved(self, fs: Any, path: str, content: bytes) -> None:
        """Write under another name first, so that nobody meets half a file."""
        if _protocol(self.url) == "file":
            atomic.write_bytes(Path(path), content)
            return
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        part = f"{path}.{os.urandom(4).hex()}.tmp"
        fs.pipe_file(part, content)
        fs.mv(part, path)

    def _read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None."""
        if self._lost:
            return None
        try:
            fs, path = self._open(name)
            with fs.open(path, "rb") as file:
                content: bytes = file.read(MOST + 1)
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 -- each protocol has its own
            self._lost = True
            self._say(error, "cannot be reached", "this machine's store alone is used")
            return None
        return content if len(content) <= MOST else None

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """Say once that nothing can be shared, and go on without."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 -- each protocol has its own
            self._closed = True
            self._say(error, "cannot be written", "what is made now stays on this machine")

    def _say(self, error: Exception, what: str, then: str) -> None:
        why = line(f"{type(error).__name__}: {error}", _SHOWN)
        said.say(f"the shared store {self.url} {what} ({why}): {then}", at_once=True)

    def _open(self, name: str) -> tuple[Any, str]:
        if self._place is None:
            protocol = _protocol(self.url)
            try:
                from fsspec.core import url_to_fs
            except ImportError as error:
                raise ImportError(
                    "a shared store needs fsspec: pip install 'pytest-modellab[store]'"
                ) from error
            self._place = url_to_fs(self.url, **_OPTIONS.get(protocol, {}))
        fs, root = self._place
        return fs, f"{root.rstrip('/')}/{LAYOUT}/{name}"

    def _shown(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{LAYOUT}/{name}"


def _seconds(facts: Mapping[str, Any]) -> float:
    """When a file was last written, in seconds since 1970; the epoch where that is not told."""
    found = next(
        (
            facts[k]
            for k in ("LastModified", "last_modified", "mtime", "created", "updated")
            if facts.get(k)
        ),
        0.0,
    )
    if isinstance(found, str):
        found = dt.datetime.fromisoformat(found)
    return found.timestamp() if isinstance(found, dt.datetime) else float(found)


def _linked(path: Path, content: bytes) -> None:
    """Put a whole file where none is.

    Raises:
        FileExistsError: there is one.
    """
    part = atomic.beside(path)
    atomic.write_bytes(part, content)
    try:
        os.link(part, path)  # unlike a rename it takes nobody's place
    finally:
        part.unlink()


def of(declared: str | None) -> Remote | None:
    """Return the place that is shared, or None where nothing is.

    Args:
        declared: the configuration's; ``MODELLAB_CACHE`` goes before it where that is an address.

    Raises:
        ConfigError: as :class:`Remote`.
    """
    named = os.environ.get("MODELLAB_CACHE", "")
    url = named if is_address(named) else declared
    return Remote(url) if url else None


def is_address(text: str) -> bool:
    """Whether a text is an address with a protocol, and no path of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) is not None


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower() if is_address(url) else "file"


def _checked(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise ConfigError(
            "store.url: an address with a user, a password or a query would stand in reports; let "
            "the environment or a profile hold them (AWS_ACCESS_KEY_ID, AWS_PROFILE, …)"
        )
    if (
        "\0" in url
        or not url.strip()
        or (is_address(url) and not (parts.netloc or parts.path.strip("/")))
    ):
        raise ConfigError(f"store.url: {line(url, _SHOWN)!r} names no place: s3://BUCKET/FOLDER")
    return url if is_address(url) else str(Path(url).expanduser().absolute())


def _is_whole(content: bytes, of: str) -> bool:
    try:
        files.unseal(content, of)
    except ValueError:
        return False
    return True
