"""One store for a team: finished work at an address of fsspec's, beside this machine's own store.

What lies there is sealed as every file of the store (:mod:`.files`), and believed only where its
digest, and what it answers for, are right when it is read. Whoever stores something first is right:
a second writer takes over what is there. A place that cannot be reached is said once, and done
without.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ConfigError, StoreError
from pytest_modellab.store import atomic, files, said
from pytest_modellab.store.census import Kept
from pytest_modellab.visible import line

LAYOUT = "v1"
"""The first part of every name; another layout of names has another one."""

KIND = "runs"
"""What of a store is shared."""

MOST = 1 << 30
"""Bytes of one file that is shared."""

_TOO_LARGE = "is larger than 1 GiB"

_SHOWN = 200
"""Characters of somebody else's error that a message shows."""

_ATOMIC = {"s3", "s3a", "gs", "gcs", "abfs", "az"}
"""Protocols whose objects appear whole, and can be refused where one is there."""

_S3 = {"connect_timeout": 5, "read_timeout": 10, "retries": {"total_max_attempts": 2}}

_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": _S3},
    "s3a": {"config_kwargs": _S3},
}
"""What bounds the time that a request may take: s3fs itself begins one five times."""

_LOCAL = {"file", "local"}
"""Protocols of folders."""

_NAMED = {"abfs", "abfss", "sftp", "ssh", "hdfs", "smb"}
"""Protocols in whose addresses a name before the @ is no key, but a container or a user."""

_OWN = re.compile(r"\.{0,2}[0-9a-f]{16}\.json(?:\.[0-9a-f]{8}\.tmp){0,2}")
"""What is written here: entries, and what a writer that was killed left of them."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system without hard links says."""

Make = Callable[[dict[str, Any]], object | None]
"""Reads the content of a file; None, or an error, where it is not what this version writes."""


class Remote:
    """A place that several machines share.

    Args:
        url: of a folder, as fsspec reads it: ``s3://bucket/folder``, ``gs://…``, ``/mnt/team``.
        named: where it is declared, for messages.

    Raises:
        ConfigError: it names no place, or holds a password.
    """

    def __init__(self, url: str, named: str = "store.url") -> None:
        self.url = _checked(url, named)
        self._place: tuple[Any, str] | None = None
        self._lost = self._closed = False
        self._damaged: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def fetch(self, name: str, target: Path, *, of: str, make: Make = dict) -> bool:
        """Bring a file into this machine's store.

        Args:
            name: where it lies, below the place.
            target: where it is put, once it is believed.
            of: what it must answer for.
            make: reads its content.

        Returns:
            Whether it is there now. Where the file is damaged or of another version, or the place
            cannot be reached, that is said, and it is as if nothing were there.
        """
        content = None if name in self._damaged else self._read(name)
        if content is None:
            return False
        doubt, damaged = _doubt(content, of, make)
        if doubt:
            if damaged:
                self._damaged.add(name)
            said.say(f"{self._shown(name)} {doubt}: it is made again")
            return False
        atomic.write_bytes(target, content)
        return True

    def send(self, name: str, source: Path, *, of: str, make: Make = dict) -> bool:
        """Share a file of this machine's store.

        Args:
            name: where it is to lie, below the place.
            source: the file.
            of: what it answers for.
            make: reads its content.

        Returns:
            False where another machine has stored something else for the same, which has taken the
            place of ``source``.
        """
        if self._lost or self._closed:
            return True
        content = source.read_bytes()
        if len(content) > MOST:
            said.say(f"{self._shown(name)} {_TOO_LARGE}: it stays on this machine")
            return True
        with self._written():
            if name not in self._damaged and not self._created(name, content):
                theirs = self._read(name)
                if theirs == content:
                    return True
                doubt, damaged = ("", True) if theirs is None else _doubt(theirs, of, make)
                if theirs is not None and not doubt:
                    atomic.write_bytes(source, theirs)
                    said.say(
                        f"{self._shown(name)} was stored by another machine meanwhile, with other "
                        "answers: those are taken, and this machine's are dropped"
                    )
                    return False
                if not damaged:  # two versions would replace each other's without end
                    said.say(f"{self._shown(name)} {doubt}: this machine's stays on this machine")
                    return True
                self._damaged.add(name)
            if name in self._damaged:
                self._replaced(name, content)
                self._damaged.discard(name)
        return True

    def entries(self) -> Iterator[Kept]:
        """Yield what is stored, and nothing that others have put beside it.

        Raises:
            StoreError: the place cannot be reached.
        """
        with self._asked():
            fs, folder = self._open(KIND)
            try:
                found = fs.ls(folder, detail=True)
            except FileNotFoundError:
                found = []
        for facts in sorted(found, key=lambda one: str(one["name"])):
            name = str(facts["name"]).rpartition("/")[2]
            if facts.get("type") == "file" and _OWN.fullmatch(name):
                yield Kept(KIND, name, int(facts.get("size") or 0), _seconds(facts))

    def fault(self, entry: Kept) -> str | None:
        """Tell what is wrong with an entry, reading it; None where nothing is.

        Raises:
            StoreError: the place cannot be reached.
        """
        key, _, suffix = entry.name.partition(".")
        if suffix != "json":
            return None  # what a writer that was killed has left: nobody reads it
        try:
            with self._asked():
                content = self._content(f"{entry.kind}/{entry.name}")
        except FileNotFoundError:
            return None  # it has been pruned meanwhile
        return _TOO_LARGE if content is None else _doubt(content, key, dict)[0] or None

    def remove(self, entry: Kept) -> None:
        """Remove an entry.

        Raises:
            StoreError: the place cannot be written.
        """
        with self._asked():
            fs, path = self._open(f"{entry.kind}/{entry.name}")
            with contextlib.suppress(FileNotFoundError):
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
            FileNotFoundError: as it is.
        """
        try:
            yield
        except FileNotFoundError:
            raise
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
            elif protocol in _LOCAL:
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
        if _protocol(self.url) in _LOCAL:
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
            content = self._content(name)
        except FileNotFoundError:
            return None
        except Exception as error:  # noqa: BLE001 -- each protocol has its own
            self._lost = True
            self._say(error, "cannot be reached", "this machine's store alone is used")
            return None
        if content is None:
            said.say(f"{self._shown(name)} {_TOO_LARGE}: it is made again")
        return content

    def _content(self, name: str) -> bytes | None:
        """Return a file's bytes; None where there are more than it should have."""
        fs, path = self._open(name)
        with fs.open(path, "rb") as file:
            content: bytes = file.read(MOST + 1)
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
    try:
        if isinstance(found, str):
            found = dt.datetime.fromisoformat(found)
        return found.timestamp() if isinstance(found, dt.datetime) else float(found)
    except (OverflowError, TypeError, ValueError):
        return 0.0


def _linked(path: Path, content: bytes) -> None:
    """Put a whole file where none is.

    Raises:
        FileExistsError: there is one.
    """
    part = atomic.beside(path)
    atomic.write_bytes(part, content)
    try:
        os.link(part, path)  # unlike a rename it takes nobody's place
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(path) from error
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def of(declared: str | None) -> Remote | None:
    """Return the place that is shared, or None where nothing is.

    Args:
        declared: the configuration's; ``MODELLAB_CACHE`` goes before it where that is an address.

    Raises:
        ConfigError: as :class:`Remote`, or no other process would find it.
    """
    named = os.environ.get("MODELLAB_CACHE", "")
    url, where = (named, "MODELLAB_CACHE") if is_address(named) else (declared, "store.url")
    if url and _protocol(url) == "memory":
        raise ConfigError(f"{where}: what lies in memory:// ends with this process: name a folder")
    return Remote(url, where) if url else None


def is_address(text: str) -> bool:
    """Whether a text is an address with a protocol, and no path of this machine."""
    return "://" in text


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower() if is_address(url) else "file"


def _checked(url: str, named: str) -> str:
    shown = line(url, _SHOWN)
    no_place = ConfigError(f"{named}: {shown!r} names no place: s3://BUCKET/FOLDER, /mnt/FOLDER")
    if "\0" in url or not url.strip():
        raise no_place
    if not is_address(url):
        try:
            path = Path(url).expanduser()
        except RuntimeError as error:  # ~NOBODY
            raise no_place from error
        if not path.is_absolute():
            raise ConfigError(
                f"{named}: {shown!r} is another folder wherever it is read: name it from the root, "
                "/mnt/FOLDER, or an address, s3://BUCKET/FOLDER"
            )
        return str(path)
    protocol = _protocol(url)
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise no_place from error
    if parts.password or parts.query or (parts.username and protocol not in _NAMED):
        raise ConfigError(
            f"{named}: an address with a key, a password or a query would stand in reports; let "
            "the environment or a profile hold them (AWS_ACCESS_KEY_ID, AWS_PROFILE, …)"
        )
    if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
        raise no_place
    if protocol not in _LOCAL and not _is_known(protocol):
        raise ConfigError(f"{named}: {shown!r}: fsspec knows no protocol {protocol!r}")
    return url


def _is_known(protocol: str) -> bool:
    """Whether fsspec could open such an address; without it nobody knows."""
    try:
        from fsspec.registry import known_implementations, registry
    except ImportError:
        return True
    return protocol in known_implementations or protocol in registry


def _doubt(content: bytes, of: str, make: Make) -> tuple[str, bool]:
    """Say why a file is not believed, empty where it is; and whether it is damaged."""
    try:
        if make(files.unseal(content, of)) is not None:
            return "", False
    except files.Damaged as error:
        return files.reason(error), True
    except files.UNREADABLE as error:
        return files.reason(error), False
    return files.reason(), False
