"""Addresses of a store that is shared: what names a place, and what may not stand in one."""

from __future__ import annotations

import re
import urllib.parse
from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.visible import line

SHOWN = 200
"""Characters of somebody else's text that a message shows."""

LOCAL = {"file", "local"}
"""Protocols of folders."""

_NAMED = {"abfs", "abfss", "sftp", "ssh", "hdfs", "smb"}
"""Protocols in whose addresses a name before the @ is no key, but a container or a user."""

_DRIVE = re.compile(r"^/(?=[A-Za-z]:/)")
"""What stands before a drive of Windows in an address: ``file:///C:/FOLDER``."""


_MISTYPED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How what is to be an address begins, and a path of Windows does not."""


def is_address(text: str) -> bool:
    """Whether a text is an address with a protocol, and no path of this machine."""
    return "://" in text


def folder(text: str, named: str) -> Path:
    """Return the path that a text names.

    Args:
        text: as it is declared; ``~`` is somebody's home.
        named: where it is declared, for messages.

    Raises:
        ConfigError: it is a mistyped address, or nobody has such a home.
    """
    shown = line(text, SHOWN)
    if _MISTYPED.match(text):
        raise ConfigError(f"{named}: {shown!r} is no folder; an address has two slashes: s3://…")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{named}: {shown!r}: nobody here has such a home") from error


def protocol(url: str) -> str:
    """Return what stands before ``://``, in small letters; ``file`` for a path."""
    return url.partition("://")[0].lower() if is_address(url) else "file"


def checked(url: str, named: str) -> str:
    """Return an address as it is opened.

    Args:
        url: as it is declared.
        named: where it is declared, for messages.

    Raises:
        ConfigError: it names no place, or holds a password.
    """
    shown = line(url, SHOWN)
    no_place = ConfigError(f"{named}: {shown!r} names no place: s3://BUCKET/FOLDER, /mnt/FOLDER")
    if "\0" in url or not url.strip():
        raise no_place
    scheme = protocol(url)
    if scheme in LOCAL:
        name = url.partition("://")[2] if is_address(url) else url
        try:
            paths = [Path(one).expanduser() for one in (name, _DRIVE.sub("", name))]
        except RuntimeError as error:  # ~NOBODY
            raise no_place from error
        if not any(path.is_absolute() for path in paths):
            raise ConfigError(
                f"{named}: {shown!r} is another folder wherever it is read: name it from the root, "
                "/mnt/FOLDER, or an address, s3://BUCKET/FOLDER"
            )
        if not is_address(url):
            return str(paths[0])
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise no_place from error
    if parts.password or parts.query or (parts.username and scheme not in _NAMED):
        raise ConfigError(
            f"{named}: an address with a key, a password or a query would stand in reports; let "
            "the environment or a profile hold them (AWS_ACCESS_KEY_ID, AWS_PROFILE, …)"
        )
    if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
        raise no_place
    if scheme not in LOCAL and not _is_known(scheme):
        raise ConfigError(f"{named}: fsspec knows no protocol {line(scheme, SHOWN)!r}")
    return url


def _is_known(scheme: str) -> bool:
    """Whether fsspec could open such an address; without it nobody knows."""
    try:
        from fsspec.registry import known_implementations, registry
    except ImportError:
        return True
    return scheme in known_implementations or scheme in registry
