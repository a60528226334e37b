"""A server on this machine that replies as a test says, faults of the network included."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


@dataclasses.dataclass(frozen=True)
class Said:
    """What is replied.

    Attributes:
        body: JSON, or bytes as they are.
        status: of HTTP.
        headers: beside the usual ones.
        reset: whether the connection is reset in place of a reply.
        half: whether the connection ends after half of the body.
        stall: seconds before anything is said.
        drip: seconds between the bytes of the body.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    reset: bool = False
    half: bool = False
    stall: float = 0.0
    drip: float = 0.0


@dataclasses.dataclass
class Guarded:
    """What these servers share: they keep requests, fail as they are told, and ask for a key.

    Attributes:
        name: of the model.
        told: beside the model's name in ``/v1/models``.
        key: what requests must name; empty for none.
        fault: takes the number of the request, and returns what is said in place of the answer.
        requests: all that were asked.
    """

    name: str = "model"
    told: dict[str, Any] = dataclasses.field(default_factory=dict)
    key: str = ""
    fault: Callable[[int, Asked], Said | None] = lambda _number, _asked: None
    requests: list[Asked] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, asked: Asked) -> Said:
        with self.lock:
            self.requests.append(asked)
            number = len(self.requests)
        if (said := self.fault(number, asked)) is not None:
            return said
        headers = {name.lower(): value for name, value in asked.headers.items()}
        given = headers.get("authorization")
        if self.key and given != f"Bearer {self.key}":
            return self.refused(given)
        return self.answer(asked)

    def refused(self, given: str | None) -> Said:
        """Say that the key is wrong."""
        return Said({"error": {"message": "Invalid API Key"}}, 401)

    def answer(self, asked: Asked) -> Said:
        """Answer a request with the right key."""
        raise NotImplementedError


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True  # else what follows a packet waits for its receipt
    answer: Callable[[Asked], Said]

    def handle_one_request(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle_one_request()

    def do_GET(self) -> None:
        self._reply()

    def do_POST(self) -> None:
        self._reply()

    def _reply(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self.command, self.path, dict(self.headers), json.loads(raw) if raw else None)
        said = type(self).answer(asked)
        time.sleep(said.stall)
        if said.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status)
        for name, value in {"Content-Type": "application/json", **said.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if said.half:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif said.drip:
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(said.drip)
        else:
            self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Say nothing: clients that give up are part of the tests."""


@contextlib.contextmanager
def scripted(answer: Callable[[Asked], Said]) -> Iterator[str]:
    """Serve on a free local port, and yield the base URL.

    Args:
        answer: called in a thread of its own for each request.
    """
    kind = type("Scripted", (Handler,), {"answer": staticmethod(answer)})
    server = Quiet(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
