"""Asks a server: with its key, within limits of time and size, and again where that may help.

A request is repeated where the connection broke, nothing came in time, the reply is no JSON, or the
server says that it is busy or broken. A server that has never replied is not waited for: its
address is more likely wrong. Redirects are not followed: the key goes to the declared host alone.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import queue
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_modellab.endpoints import waiting
from pytest_modellab.endpoints.address import Address, Key
from pytest_modellab.endpoints.waiting import Clock, Turns
from pytest_modellab.errors import EndpointError
from pytest_modellab.store import said
from pytest_modellab.visible import line

if TYPE_CHECKING:
    import httpx2

REPEATED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses of which the same request may succeed when it is asked again."""

_LACKING = frozenset({400, 404, 405, 422, 501})
"""Statuses by which a server says that it has no such route."""

_LACKING_BESIDE = _LACKING | {200, 301, 302, 307, 308, 401, 403}
"""Those beside ``/v1``, where there may be another site: its page, its way on, its refusal."""

MOST_BYTES = 64 << 20
"""Bytes of a reply; the likelihoods of a whole vocabulary are some megabytes."""

TOLD = 300
"""Characters of a server's own words in a message."""

OLDER, NEWER = "max_tokens", "max_completion_tokens"
"""The limit of a reply as all servers but OpenAI's newest models call it, and as those do."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class _Failure:
    """A request that was not answered.

    Attributes:
        what: what was seen, and what to do.
        again: whether asking again may help.
        status: of HTTP; 0 where there is none.
        after: seconds that the server asks to wait, or None.
    """

    what: str
    again: bool
    status: int = 0
    after: float | None = None


class Client:
    """Asks one server, from any number of threads.

    Args:
        address: where it is, and how it may be asked.
        clock: time and chance.
    """

    def __init__(self, address: Address, *, clock: Clock | None = None) -> None:
        self.address = address
        self._clock = clock if clock is not None else Clock()
        self._turns = Turns(address.requests_per_minute, self._clock)
        self._lock = threading.Lock()
        self._answered = False
        self._renamed = False

    def post(self, path: str, body: Mapping[str, Any], *, beside: bool = False) -> dict[str, Any]:
        """Return a server's reply.

        Args:
            path: from the base URL, as ``/chat/completions``.
            body: sent as JSON.
            beside: whether the route lies beside ``/v1``, as ``/tokenize`` does.

        Raises:
            EndpointError: there is none, in the server's own words, and what to do.
            ConfigError: the key is missing.
        """
        body = _renamed(body) if self._renamed else body
        try:
            return self._ask("POST", path, json.dumps(body).encode(), beside)
        except EndpointError as error:
            refused = error.status in (400, 422) and NEWER in str(error)
            if not refused or OLDER not in body:
                raise
        with self._lock:
            first, self._renamed = not self._renamed, True
        if first:
            said.say(f"{self.address.host}: it refuses {OLDER}, and is sent {NEWER} in its place")
        return self._ask("POST", path, json.dumps(_renamed(body)).encode(), beside)

    def get(self, path: str, *, beside: bool = False) -> dict[str, Any]:
        """Return a server's reply, as :meth:`post`."""
        return self._ask("GET", path, None, beside)

    def optional(
        self, path: str, body: Mapping[str, Any] | None = None, *, beside: bool = False
    ) -> dict[str, Any] | None:
        """Return a server's reply, or None where it has no such route.

        Args:
            path: as of :meth:`post`.
            body: sent as JSON; None asks with GET.
            beside: as of :meth:`post`.
        """
        lacking = _LACKING_BESIDE if beside else _LACKING
        try:
            if body is None:
                return self.get(path, beside=beside)
            return self.post(path, body, beside=beside)
        except EndpointError as error:
            if error.status in lacking:
                return None
            raise

    def each(
        self, items: Sequence[Item], ask: Callable[[Item], Answer]
    ) -> Iterator[tuple[int, Answer]]:
        """Yield the place of each item and what it was answered, as answers arrive.

        As many are asked at once as the address allows. Where one fails, the others that are under
        way are waited for and yielded before the error is raised, so that none is asked twice.

        Args:
            items: what is asked.
            ask: asks one; called in threads.
        """
        todo, turn, stop = iter(enumerate(items)), threading.Lock(), threading.Event()
        arrived: queue.SimpleQueue[tuple[int, Answer] | BaseException | None] = queue.SimpleQueue()

        def work() -> None:
            while not stop.is_set():
                with turn:
                    one = next(todo, None)
                if one is None:
                    break
                try:
                    arrived.put((one[0], ask(one[1])))
                except BaseException as error:  # noqa: BLE001 -- raised where it is waited for
                    stop.set()
                    arrived.put(error)
            arrived.put(None)

        # daemons, so that nobody who interrupts waits for a server
        working = min(self.address.concurrency, len(items))
        for _ in range(working):
            threading.Thread(target=work, name="modellab-endpoint", daemon=True).start()
        failed: BaseException | None = None
        try:
            while working:
                match arrived.get():
                    case None:
                        working -= 1
                    case BaseException() as error:
                        failed = failed or error
                    case found:
                        yield found
        finally:
            stop.set()
        if failed is not None:
            raise failed

    def close(self) -> None:
        """End the connections; the next request opens one again."""
        with self._lock:
            if "_http" in self.__dict__:
                self.__dict__.pop("_http").close()

    @functools.cached_property
    def _http(self) -> httpx2.Client:
        import ssl

        import httpx2

        address = self.address
        try:
            trusted = (
                ssl.create_default_context(cafile=address.certificate or None)
                if address.url.startswith("https:")
                else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and costs no time
            )
        except (OSError, ssl.SSLError) as error:
            raise EndpointError(
                f"certificate: {line(address.certificate)} holds no certificates that can be read "
                f"({error}); name a file in PEM form"
            ) from error
        return httpx2.Client(
            timeout=httpx2.Timeout(address.timeout_s, connect=address.connect_timeout_s),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
            verify=trusted,
            trust_env=not address.local,  # a proxy does not know this machine's own servers
            follow_redirects=False,
        )

    def _ask(self, method: str, path: str, body: bytes | None, beside: bool) -> dict[str, Any]:
        key = self.address.key()
        url = (self.address.root if beside else self.address.url) + path
        failures = 0
        while True:
            self._turns.wait()
            found = self._once(method, url, body, key)
            if not isinstance(found, _Failure):
                return found
            if not found.again or failures >= self.address.retries:
                times = f" (asked {failures + 1} times)" if failures else ""
                raise EndpointError(
                    f"{self.address.host}{path}: {found.what}{times}",
                    status=found.status,
                )
            if found.after is not None:
                self._turns.pause(found.after)
            self._clock.sleep(waiting.backoff(failures, self._clock))
            failures += 1

    def _once(
        self, method: str, url: str, body: bytes | None, key: Key
    ) -> dict[str, Any] | _Failure:
        import httpx2

        with self._lock:
            http = self._http
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        address, begun = self.address, self._clock.now()
        try:
            with http.stream(method, url, content=body, headers=headers, auth=key.sign) as response:
                raw = bytearray()
                for part in response.iter_raw():
                    raw += part
                    if len(raw) > MOST_BYTES:
                        return _Failure(
                            f"its reply is larger than {MOST_BYTES >> 20} MB, which is read of "
                            "none; ask for fewer tokens or log-probabilities",
                            again=False,
                            status=response.status_code,
                        )
                    if self._clock.now() - begun > address.timeout_s:
                        return self._late()
        except httpx2.ConnectTimeout:
            return _Failure(
                f"no connection within {address.connect_timeout_s:g} s; is the address right, and "
                "the server reachable from here?",
                again=self._answered,
            )
        except httpx2.TimeoutException:
            return self._late()
        except httpx2.ConnectError as error:
            return self._unconnected(error)
        except httpx2.ProxyError as error:
            return _Failure(f"the proxy refuses: {line(str(error), TOLD)}", again=self._answered)
        except httpx2.TransportError as error:
            return _Failure(
                f"the connection broke before the reply was whole ({type(error).__name__}); the "
                "server's log says why",
                again=True,
            )
        return self._read(response, bytes(raw), key)

    def _late(self) -> _Failure:
        return _Failure(
            f"no whole reply within {self.address.timeout_s:g} s; a slower server needs a larger "
            "timeout_s, or fewer requests at once: concurrency",
            again=True,
        )

    def _unconnected(self, error: Exception) -> _Failure:
        told = line(str(error), TOLD)
        if "CERTIFICATE" in told.upper() or "SSL" in told.upper():
            return _Failure(
                f"its certificate is not trusted: {told}; name the file of your own authority's "
                "certificates with certificate, or give the name that the certificate is for",
                again=False,
            )
        return _Failure(
            f"no server answers there: {told}; start it, or correct url", again=self._answered
        )

    def _read(self, response: httpx2.Response, raw: bytes, key: Key) -> dict[str, Any] | _Failure:
        status = response.status_code
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.is_redirect:
            target = urllib.parse.urlsplit(response.headers.get("location", ""))
            host = target.netloc.rpartition("@")[2]  # a name and a password may stand before it
            named = f"{target.scheme}://{host}" if host else "there"
            there = line(key.taken_out(named, shown=True), TOLD)
            return _Failure(
                f"it sends requests on to {there}, where the key does not go by itself; declare "
                "the address that answers as url",
                again=False,
                status=status,
            )
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            return _Failure(
                "its reply is compressed, which it was asked not to do; turn that off",
                again=False,
                status=status,
            )
        parsed = _json(raw, functools.partial(key.taken_out, shown=False))
        if status == 200 and isinstance(parsed, dict) and set(parsed) != {"error"}:
            self._answered = True
            return parsed
        raw = key.taken_out(raw, shown=True)
        parsed = _json(raw, functools.partial(key.taken_out, shown=True))
        if status == 200 and parsed is None:
            page = "an HTML page" if "html" in kind or raw.lstrip()[:1] == b"<" else "no JSON"
            return _Failure(
                f"it replies with {page} ({_shown(raw)}); url must be the base URL of an "
                "OpenAI-compatible server, which often ends with /v1",
                again=self._answered,
                status=status,
            )
        return _Failure(
            f"{_status(status)}: {_told(parsed, raw)}{self._mend(status, _told(parsed, raw))}",
            again=status in REPEATED,
            status=status,
            after=waiting.asked(response.headers.get("retry-after"), self._clock),
        )

    def _mend(self, status: int, told: str) -> str:
        address = self.address
        if status in (401, 403):
            if address.key_env:
                return f"; the key in the environment variable {address.key_env} is not accepted"
            return "; it wants a key: name the environment variable that holds it with key_env"
        if status == 404:
            return "; is the route missing, or the model's name? see its /v1/models"
        if status == 429:
            return "; fewer requests a minute may pass: requests_per_minute"
        if status in (400, 422) and re.search(r"temperature\W.*\bsupport", told):
            return (
                "; samples are decoded greedily, at temperature 0, which this model does not do: "
                "what it replies cannot be judged here"
            )
        return ""


def _json(raw: bytes, clean: Callable[[Any], Any]) -> Any:
    """Return what a reply says, or None where it is no JSON, or too deep."""
    try:
        parsed = json.loads(raw)
        if b"\\u" in raw or b"\xed" in raw:
            parsed = _paired(parsed)
        found = clean(parsed)
    except (ValueError, RecursionError):
        return None
    return {"data": found} if isinstance(found, list) else found  # as OpenAI's own lists come


def _paired(value: Any) -> Any:
    """Return JSON with a sign in the place of each half of a character, which no file can hold."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_paired(name): _paired(one) for name, one in value.items()}
    return [_paired(one) for one in value] if isinstance(value, list) else value


def _renamed(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return {(NEWER if name == OLDER else name): value for name, value in body.items()}


def _status(status: int) -> str:
    import http

    try:
        return f"HTTP {status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _told(parsed: Any, raw: bytes) -> str:
    """Return a server's own words of what is wrong, however it says them."""
    said = parsed
    for name in ("error", "detail", "message", "msg"):
        if isinstance(said, list) and said:
            said = said[0]
        if isinstance(said, dict) and name in said:
            said = said[name]
    return line(said, TOLD) if isinstance(said, str) and said.strip() else _shown(raw)


def _shown(raw: bytes) -> str:
    """Return the beginning of a reply on one line."""
    text = " ".join(raw[: 4 * TOLD].decode("utf-8", errors="replace").split())
    return line(text, TOLD) if text else "an empty reply"
