"""Where a server is and how it may be asked; the key is read when a request is made."""

from __future__ import annotations

import dataclasses
import os
import urllib.parse
from typing import Any, NoReturn

from pytest_modellab.errors import ConfigError
from pytest_modellab.visible import line

VERSION_PATH = "/v1"
"""What an OpenAI-compatible base URL ends with; a server's own routes lie beside it."""

_SHOWN = 200
"""Characters of a URL that a message shows."""


HIDDEN = "(key)"
"""What stands for the key where a server says it."""

LONG_KEY = 12
"""Characters from which on a key is taken out of replies, too: a shorter one may be a word."""


class Key:
    """What a server lets in: it is no record, no text and no local of a traceback.

    Args:
        text: as the environment has it; empty where none is needed.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({HIDDEN if self._text else ''})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled: it is read from the environment where it is used")

    def sign(self, request: Any) -> Any:
        """Return an HTTP request with the key in its head."""
        if self._text:
            request.headers["Authorization"] = f"Bearer {self._text}"
        return request

    def taken_out(self, value: Any, *, shown: bool) -> Any:
        """Return what a server said without the key.

        Args:
            value: bytes, a text, or parsed JSON.
            shown: whether it is shown; of what is a reply only a long key is taken out.
        """
        if not self._text or not (shown or len(self._text) >= LONG_KEY):
            return value
        if isinstance(value, bytes):
            return value.replace(self._text.encode(), HIDDEN.encode())
        if isinstance(value, str):
            return value.replace(self._text, HIDDEN)
        if isinstance(value, dict):
            return {
                self.taken_out(name, shown=shown): self.taken_out(one, shown=shown)
                for name, one in value.items()
            }
        return (
            [self.taken_out(one, shown=shown) for one in value]
            if isinstance(value, list)
            else value
        )


@dataclasses.dataclass(frozen=True)
class Address:
    """An OpenAI-compatible server, and how it may be asked.

    Attributes:
        url: its base URL, as ``https://host/v1``, without a slash at its end.
        model: the name that requests ask for.
        key_env: the environment variable that holds the key; empty where none is needed.
        timeout_s: most seconds that a reply may take, from the request to its last byte.
        connect_timeout_s: most seconds until the server takes the connection.
        concurrency: most requests at once.
        requests_per_minute: most requests in a minute; 0 for any number.
        retries: how often a request is repeated that may succeed when it is asked again.
        certificate: a file of certificates that the server's is checked by; empty for the system's.
    """

    url: str
    model: str
    key_env: str = ""
    timeout_s: float = 300.0
    connect_timeout_s: float = 10.0
    concurrency: int = 4
    requests_per_minute: float = 0.0
    retries: int = 6
    certificate: str = ""

    @property
    def host(self) -> str:
        """The server's name and port, as messages name it."""
        return line(urllib.parse.urlsplit(self.url).netloc, _SHOWN)

    @property
    def root(self) -> str:
        """The URL that a server's own routes are beside ``/v1`` of."""
        return self.url.removesuffix(VERSION_PATH)

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, so that no proxy is asked for it."""
        name = urllib.parse.urlsplit(self.url).hostname or ""
        return name == "localhost" or name.startswith("127.") or name == "::1"

    def key(self) -> Key:
        """Return the key, read from the environment now; an empty one where none is declared.

        Raises:
            ConfigError: the variable is not set, or holds what no header can.
        """
        if not self.key_env:
            return Key("")
        key = os.environ.get(self.key_env, "").strip()
        if not key:
            raise ConfigError(
                f"key_env: the environment variable {self.key_env} is not set; set it to the key of"
                f" {self.host}, for example as a secret of the CI job"
            )
        if not all(0x20 < ord(c) < 0x7F for c in key):
            raise ConfigError(
                f"key_env: the environment variable {self.key_env} holds a blank, a line end or a "
                "character that is not ASCII, which no key has; set it to the key alone"
            )
        return Key(key)


def base_url(text: str) -> str:
    """Return a declared base URL, without a slash at its end.

    Args:
        text: as declared.

    Raises:
        ConfigError: it is none, or holds what belongs elsewhere; the message begins with ``url``
            and shows no password.
    """
    told = "url: give the base URL of the server, for example http://127.0.0.1:8000/v1"
    try:
        parts = urllib.parse.urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{told}; the declared one is none: {error}") from None
    if "@" in parts.netloc:
        raise ConfigError(
            "url: it holds a user's name or a password, which would be printed and stored; name the"
            " environment variable that holds the key: key_env"
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            "url: it holds a query (?…) or a fragment (#…), which may be a secret; give the base "
            "URL alone, and the key by key_env"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigError(f"{told}; {line(text, _SHOWN)!r} is none")
    if not text.isascii() or not text.strip().isprintable() or " " in text.strip():
        raise ConfigError(f"{told}; {line(text, _SHOWN)!r} holds a character that no URL has")
    path = parts.path.rstrip("/")
    for route in ("/chat/completions", "/completions", "/embeddings", "/rerank", "/models"):
        if path.endswith(route):
            raise ConfigError(
                f"url: it ends with {route}, which is one route; give the base URL before it: "
                f"{parts.scheme}://{parts.netloc}{path.removesuffix(route)}"
            )
    return f"{parts.scheme}://{parts.netloc}{path}"
