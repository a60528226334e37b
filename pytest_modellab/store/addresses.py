"""Addresses of a store that is shared: what names a place, and what may not stand in one."""

from __future__ import annotations

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


def is_address(text: str) -> bool:
    """Whether a text is an address with a protocol, and no path of this machine."""
    return "://" in text


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
    scheme = protocol(url)
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
        raise ConfigError(f"{named}: {shown!r}: fsspec knows no protocol {scheme!r}")
    return url


def _is_known(scheme: str) -> bool:
    """Whether fsspec could open such an address; without it nobody knows."""
    try:
        from fsspec.registry import known_implementations, registry
    except ImportError:
        return True
    return scheme in known_implementations or scheme in registry
