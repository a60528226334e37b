"""One store for a team: finished work at an address of fsspec's, beside this machine's own store.

What lies there is sealed as every file of the store (:mod:`.files`), and believed only where its
digest, and what it answers for, are right when it is read. Whoever stores something first is right:
a second writer takes over what is there. A place that cannot be reached is said once, and done
without.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import errno
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pytest_modellab.errors import ConfigError, StoreError
from pytest_modellab.store import atomic, files, said
from pytest_modellab.store.addresses import LOCAL, SHOWN, checked, is_address, protocol
from pytest_modellab.store.census import Kept
from pytest_modellab.store.results import Result
from pytest_modellab.visible import line

LAYOUT = "v1"
"""The first part of every name; another layout of names has another one."""

KINDS = ("runs", "diagnoses", "divergences")
"""What of a store is shared: what takes a model to make, and is one small file."""

MOST = 1 << 30
"""Bytes of one file that is shared."""

_TOO_LARGE = "is larger than 1 GiB"

_BUCKETS = {"s3", "s3a", "gs", "gcs"}
_ATOMIC = _BUCKETS | {"abfs", "abfss", "az"}
"""Protocols whose objects appear whole, and can be refused where one is there."""

_S3 = {"connect_timeout": 5, "read_timeout": 10, "retries": {"total_max_attempts": 2}}

_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {"config_kwargs": _S3},
    "s3a": {"config_kwargs": _S3},
}
"""What bounds the time that a request may take: s3fs itself begins one five times."""

_LOUD = {"gs": "gcsfs", "gcs": "gcsfs"}
"""Loggers that print a traceback where no handler listens, of an error that they raise as well."""

_OWN = re.compile(r"\.{0,2}[0-9a-f]{16}\.json(?:\.[0-9a-f]{8}\.tmp){0,2}")
"""What is written here: entries, and what a writer that was killed left of them."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system without hard links says."""


T = TypeVar("T")


class Remote:
    """A place that several machines share.

    Args:
        url: of a folder, as fsspec reads it: ``s3://bucket/folder``, ``gs://…``, ``/mnt/team``.
        named: where it is declared, for messages.

    Raises:
        ConfigError: it names no place, or holds a password.
    """

    def __init__(self, url: str, named: str = "store.url") -> None:
        self.url = checked(url, named)
        self._place: tuple[Any, str] | None = None
        self._lost = self._closed = self._unkept = False
        self._doubted: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def fetch(self, result: Result[T]) -> T | None:
        """Bring a file into this machine's store, once it is believed.

        Where that store cannot be written, it is used all the same.

        Args:
            result: where it lies here and there, what it answers for, and who reads it.

        Returns:
            What it holds; None where there is none. Where the file is damaged or of another
            version, or the place cannot be reached, that is said, and it is as if none were there.
        """
        content = None if result.name in self._doubted else self._read(result.name)
        if content is None:
            return None
        found = _believed(content, result)
        if isinstance(found, _Doubt):
            self._doubted.add(result.name)
            said.say(f"{self._shown(result.name)} {found.why}: it is made again")
            return None
        try:
            atomic.write_bytes(result.file, content)
        except OSError as error:
            if not self._unkept:
                self._unkept = True
                said.say(
                    f"what is fetched from {self.url} is used and not kept: this machine's store "
                    f"cannot be written ({error.strerror}: {result.file.parent})"
                )
        return found

    def send(self, result: Result[T], *, anew: bool = False) -> T | None:
        """Share a file of this machine's store.

        Args:
            result: as :meth:`fetch`.
            anew: whether this machine's is to stay whatever is stored.

        Returns:
            What another machine has stored before, which has taken this machine's place; else None.
        """
        if self._lost or self._closed:
            return None
        content, name = result.file.read_bytes(), result.name
        if len(content) > MOST:
            said.say(f"{self._shown(name)} {_TOO_LARGE}: it stays on this machine")
            return None
        with self._written():
            self._doubted.discard(name)  # another machine may have mended it meanwhile
            if self._created(name, content):
                return None
            theirs = self._read(name)
            if theirs == content or self._lost:  # what is there may be right
                return None
            if theirs is not None:
                found = _believed(theirs, result)
                if not isinstance(found, _Doubt):
                    return self._first(result, content, theirs, found, anew=anew)
                if not found.damaged:  # two versions would replace each other's without end
                    said.say(
                        f"{self._shown(name)} {found.why}: this machine's stays on this machine"
                    )
                    return None
            self._replaced(name, content)
        return None

    def _first(
        self, result: Result[T], content: bytes, theirs: bytes, found: T, *, anew: bool
    ) -> T | None:
        """Choose between what another machine has stored before, and this machine's."""
        ours = _believed(content, result)
        agree = not isinstance(ours, _Doubt) and result.agree(ours, found)
        name = self._shown(result.name)
        if anew:
            if not agree:
                said.say(f"{name} holds something else: what was made anew stays on this machine")
            return None
        atomic.write_bytes(result.file, theirs)
        if not agree:
            said.say(
                f"{name} was stored by another machine before, and holds something else: that is "
                "taken, and what this machine made is dropped"
            )
        return found

    def entries(self) -> Iterator[Kept]:
        """Yield what is stored, and nothing that others have put beside it.

        Raises:
            StoreError: the place cannot be reached, or its bucket is missing.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        with self._asked():
            for kind in KINDS:
                fs, folder = self._open(kind)
                fs.invalidate_cache()  # of what was listed before, which others may have changed
                with contextlib.suppress(FileNotFoundError):
                    found[kind] = fs.ls(folder, detail=True)
            if not found:
                self._check_container()
        for kind, listed in found.items():
            for facts in sorted(listed, key=lambda one: str(one["name"])):
                name = str(facts["name"]).rpartition("/")[2]
                if facts.get("type") == "file" and _OWN.fullmatch(name):
                    yield Kept(kind, name, int(facts.get("size") or 0), _seconds(facts))

    def _check_container(self) -> None:
        """Refuse a bucket that is missing, which lists as one that is empty.

        Raises:
            StoreError: there is none of that name.
        """
        fs, path = self._open("")
        bucket = path.partition("/")[0]
        if protocol(self.url) in _ATOMIC and not fs.exists(bucket):
            what = "bucket" if protocol(self.url) in _BUCKETS else "container"
            raise StoreError(
                f"{self.url}: there is no {what} {bucket!r}: make it, or mend the address"
            )

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
        if content is None:
            return _TOO_LARGE
        found = _believed(content, Result(Path(), entry.kind, key, dict))
        return found.why if isinstance(found, _Doubt) else None

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
        except (FileNotFoundError, StoreError):
            raise
        except Exception as error:
            raise StoreError(
                f"the shared store {self.url} cannot be used: {_why(error)}"
            ) from error

    def _created(self, name: str, content: bytes) -> bool:
        """Write a file where none is; False where there is one."""
        fs, path = self._open(name)
        try:
            scheme = protocol(self.url)
            if scheme in _ATOMIC:
                fs.pipe_file(path, content, mode="create")
            elif scheme in LOCAL:
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
        if protocol(self.url) in _ATOMIC:
            fs.pipe_file(path, content)
        else:
            self._moved(fs, path, content)

    def _moved(self, fs: Any, path: str, content: bytes) -> None:
        """Write under another name first, so that nobody meets half a file."""
        if protocol(self.url) in LOCAL:
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
            self._doubted.add(name)
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
        said.say(f"the shared store {self.url} {what} ({_why(error)}): {then}", at_once=True)

    def _open(self, name: str) -> tuple[Any, str]:
        if self._place is None:
            scheme = protocol(self.url)
            if scheme in _LOUD:
                logging.getLogger(_LOUD[scheme]).addHandler(logging.NullHandler())
            try:
                from fsspec.core import url_to_fs

                self._place = url_to_fs(self.url, **_OPTIONS.get(scheme, {}))
            except ImportError as error:
                extra = "s3" if scheme in _OPTIONS else "store"
                raise ImportError(f"{error}: pip install 'pytest-modellab[{extra}]'") from error
        fs, root = self._place
        return fs, f"{root.rstrip('/')}/{LAYOUT}/{name}"

    def _shown(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{LAYOUT}/{name}"


def _why(error: Exception) -> str:
    """What a library raised: its first line, since others tell of requests and help pages."""
    return line(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}", SHOWN)


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
    if url and protocol(url) == "memory":
        raise ConfigError(f"{where}: what lies in memory:// ends with this process: name a folder")
    return Remote(url, where) if url else None


@dataclasses.dataclass(frozen=True)
class _Doubt:
    """Why a file is not believed.

    Attributes:
        why: in words.
        damaged: whether nobody can believe it, so that it may be replaced.
    """

    why: str
    damaged: bool = False


def _believed(content: bytes, result: Result[T]) -> T | _Doubt:
    """Return what a file holds, or why that is not believed."""
    try:
        made = result.make(files.unseal(content, result.key))
    except files.Damaged as error:
        return _Doubt(files.reason(error), damaged=True)
    except files.UNREADABLE as error:
        return _Doubt(files.reason(error))
    return _Doubt(files.reason()) if made is None else made
