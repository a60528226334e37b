"""A server is asked again where that may help, and its words are shown without the key."""

import contextlib
import dataclasses
import email.utils
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scripted_server import Asked, Said, scripted

from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.client import MOST_BYTES, Client
from pytest_modellab.endpoints.waiting import LONGEST, Clock, Turns, asked, backoff
from pytest_modellab.errors import EndpointError

KEY = "sk-live-0123456789abcdef"


class Slept:
    """A clock that notes what was slept and goes on at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.passed = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.passed += seconds

    def clock(self) -> Clock:
        return Clock(now=lambda: time.monotonic() + self.passed, sleep=self.sleep)


@pytest.fixture
def slept() -> Slept:
    return Slept()


Start = Callable[..., tuple[Client, list[Asked]]]


@pytest.fixture
def start(slept: Slept) -> Iterator[Start]:
    """Serve what a list says, one reply after another; the last one stays."""
    ends: list[Any] = []

    def started(*replies: Said, **options: Any) -> tuple[Client, list[Asked]]:
        requests: list[Asked] = []
        left = list(replies)
        lock = threading.Lock()

        def answer(request: Asked) -> Said:
            with lock:
                requests.append(request)
                return left.pop(0) if len(left) > 1 else left[0]

        context = scripted(answer)
        url = context.__enter__()
        client = Client(Address(url, "m", **options), clock=slept.clock())
        ends.extend([client.close, lambda: context.__exit__(None, None, None)])
        return client, requests

    yield started
    for end in ends:
        end()


OK = Said({"ok": 1})


def test_a_request_has_the_key_and_the_body(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", KEY)
    client, requests = start(OK, key_env="K")
    assert client.post("/completions", {"prompt": "é"}) == {"ok": 1}
    assert client.get("/props", beside=True) == {"ok": 1}
    assert [(one.method, one.path) for one in requests] == [
        ("POST", "/v1/completions"),
        ("GET", "/props"),
    ]
    assert requests[0].body == {"prompt": "é"}
    headers = {name.lower(): value for name, value in requests[0].headers.items()}
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept-encoding"] == "identity"


FAULTS = {
    "500": Said({"error": {"message": "boom"}}, 500),
    "503, no JSON": Said(b"<html>busy</html>", 503, {"Content-Type": "text/html"}),
    "429": Said({"error": "slow"}, 429),
    "reset": Said(reset=True),
    "half": Said({"ok": 1}, half=True),
    "wrong JSON": Said(b'{"ok": ', 200),
    "HTML": Said(b"<html>login</html>", 200, {"Content-Type": "text/html"}),
    "stall": Said({"ok": 1}, stall=1.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_may_pass_is_asked_again(name: str, start: Start, slept: Slept) -> None:
    client, requests = start(OK, FAULTS[name], FAULTS[name], OK, timeout_s=0.3)
    client.get("/models")
    assert client.post("/completions", {}) == {"ok": 1}
    assert len(requests) == 4
    assert len(slept.seconds) == 2
    assert all(0 <= one <= 1.0 for one in slept.seconds)


def test_what_stays_is_told_with_how_often_it_was_asked(start: Start) -> None:
    client, requests = start(FAULTS["500"], retries=2)
    with pytest.raises(
        EndpointError,
        match=r"^127.0.0.1:\d+/completions: HTTP 500 Internal .*: boom \(asked 3 times\)$",
    ):
        client.post("/completions", {})
    assert len(requests) == 3


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            Said({"error": {"message": "no model x"}}, 404),
            "404 Not Found: no model x; is the route",
        ),
        (Said({"error": "Unauthorized"}, 401), "401 Unauthorized: Unauthorized; it wants a key"),
        (Said({"detail": [{"msg": "bad field"}]}, 422), "HTTP 422 .*: bad field$"),
        (Said({"detail": "Not Found"}, 404), "Not Found: Not Found;"),
        (Said(b"", 400), "HTTP 400 Bad Request: an empty reply"),
        (Said({"error": {"message": "in a 200"}}), "HTTP 200 OK: in a 200"),
        (Said("text"), "HTTP 200 OK: text"),
        (FAULTS["HTML"], "it replies with an HTML page .<html>login</html>.; url must be the base"),
        (Said(b'{"a": NaN'), "it replies with no JSON"),
        (Said(b"[" * 100_000), "it replies with no JSON"),
        (
            Said({}, 302, {"Location": "https://evil.example/v1?token=1"}),
            "it sends requests on to https://evil.example, where the key does not go",
        ),
        (Said({}, 200, {"Content-Encoding": "gzip"}), "its reply is compressed"),
    ],
)
def test_what_another_request_cannot_mend_is_told_at_once(
    said: Said, told: str, start: Start
) -> None:
    client, requests = start(said, OK)
    if said.status == 200 and isinstance(said.body, bytes):
        client._answered = False
    with pytest.raises(EndpointError, match=told) as caught:
        client.post("/completions", {})
    assert caught.value.status == said.status
    assert len(requests) == 1


def test_a_key_that_is_refused_is_named_by_its_variable(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K", KEY)
    long = "x" * 220 + KEY + "y" * 400
    for body in (
        {"error": {"message": f"bad key {KEY}"}},
        {"error": {"message": long}},
        f"<p>{KEY}</p>".encode(),
        b'{"error": "' + KEY.replace("s", "\\u0073").encode() + b'"}',
    ):
        client, _ = start(Said(body, 401), key_env="K")
        with pytest.raises(EndpointError, match="environment variable K is not accepted") as caught:
            client.post("/completions", {})
        assert not any(KEY[k : k + 6] in str(caught.value) for k in range(len(KEY) - 6))


def test_a_key_in_a_reply_is_taken_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K", KEY)
    client, _ = start(Said({"text": [f"it is {KEY}"]}), key_env="K")
    assert client.post("/completions", {}) == {"text": ["it is (key)"]}


def test_a_servers_words_are_bounded_and_visible(start: Start) -> None:
    client, _ = start(Said({"error": {"message": "\x1b[2J::error::" + "z" * 5000}}, 400))
    with pytest.raises(EndpointError) as caught:
        client.post("/completions", {})
    assert "\\x1b[2J" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_where_it_is_sent_on_to_is_told_without_a_password(start: Start) -> None:
    to = "https://me:hunter2@elsewhere.example/v1?key=hunter3"
    client, _ = start(Said(b"", 302, {"Location": to}))
    with pytest.raises(EndpointError, match=r"on to https://elsewhere\.example, wh") as caught:
        client.get("/models")
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("half", [b"\\ud800", "\ud800".encode("utf-8", "surrogatepass")])
def test_half_a_character_is_a_question_mark(start: Start, half: bytes) -> None:
    client, _ = start(Said(b'{"a": ["' + half + '", "\\ud83d\\ude00é"]}'.encode()))
    assert client.get("/models") == {"a": ["?", "😀é"]}


def test_a_reply_that_is_too_deep_is_no_json(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    for deep in (600, 100_000):
        body = b'{"a":' * deep + b"1" + b"}" * deep
        client, _ = start(Said(body), key_env="THE_KEY", retries=0)
        with pytest.raises(EndpointError, match="it replies with no JSON"):
            client.get("/models")


NO_MAX_TOKENS = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
    "'max_completion_tokens' instead."
)


def test_a_limit_goes_by_the_name_that_the_server_takes(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    client, requests = start(Said({"error": {"message": NO_MAX_TOKENS}}, 400), Said({"a": 1}))
    for _ in range(2):
        assert client.post("/chat/completions", {"model": "m", "max_tokens": 5}) == {"a": 1}
    assert [one.body for one in requests] == [
        {"model": "m", "max_tokens": 5},
        *[{"model": "m", "max_completion_tokens": 5}] * 2,
    ]
    assert caplog.text.count("it refuses max_tokens, and is sent max_completion_tokens") == 1


def test_a_limit_by_either_name_is_asked_for_twice_at_the_most(start: Start) -> None:
    client, requests = start(Said({"error": {"message": NO_MAX_TOKENS}}, 400))
    with pytest.raises(EndpointError, match="Use 'max_completion_tokens' instead"):
        client.post("/chat/completions", {"max_tokens": 5})
    assert len(requests) == 2


def test_a_model_that_cannot_be_asked_greedily_is_said_to_be_one(start: Start) -> None:
    told = "Unsupported value: 'temperature' does not support 0 with this model."
    client, _ = start(Said({"error": {"message": told}}, 400))
    with pytest.raises(EndpointError, match="temperature 0, which this model does not do: what"):
        client.post("/chat/completions", {"temperature": 0})


def test_no_server_is_told_at_once(slept: Slept) -> None:
    with scripted(lambda _: OK) as url:
        pass
    client = Client(Address(url, "m"), clock=slept.clock())
    with (
        contextlib.closing(client),
        pytest.raises(EndpointError, match=r"no server answers there: .*; start it, or correct"),
    ):
        client.get("/models")
    assert not slept.seconds


def test_a_server_that_goes_is_waited_for(slept: Slept) -> None:
    with scripted(lambda _: Said({}, headers={"Connection": "close"})) as url:
        client = Client(Address(url, "m", retries=3), clock=slept.clock())
        client.get("/models")
    with (
        contextlib.closing(client),
        pytest.raises(EndpointError, match=r"no server answers there.*\(asked 4 times\)"),
    ):
        client.get("/models")
    assert len(slept.seconds) == 3


def test_a_reply_that_drips_ends_at_the_time_out(start: Start) -> None:
    client, _ = start(Said({"ok": "x" * 400}, drip=0.01), timeout_s=0.2, retries=0)
    begun = time.monotonic()
    with pytest.raises(EndpointError, match=r"no whole reply within 0.2 s; .* timeout_s"):
        client.get("/models")
    assert time.monotonic() - begun < 2


def test_a_reply_has_a_most_size(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_BYTES == 64 << 20
    monkeypatch.setattr("pytest_modellab.endpoints.client.MOST_BYTES", 1 << 20)
    client, requests = start(Said(b"x" * (1 << 20) + b"y"))
    with pytest.raises(EndpointError, match="its reply is larger than 1 MB"):
        client.get("/models")
    assert len(requests) == 1


def test_a_certificate_file_that_is_none_is_told(tmp_path: Any) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    client = Client(Address("https://127.0.0.1:1/v1", "m", certificate=str(file)))
    with pytest.raises(EndpointError, match=r"certificate: .*ca.pem holds no certificates that"):
        client.get("/models")


def test_retry_after_is_waited_for_by_all(start: Start, slept: Slept) -> None:
    client, _ = start(Said({}, 429, {"Retry-After": "17"}), OK)
    client.get("/models")
    assert sum(slept.seconds) == pytest.approx(17, abs=0.5)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0.5", 0.5),
        ("-4", 0.0),
        ("1e9", 120.0),
        ("inf", 120.0),
        ("nan", None),
        ("soon", None),
        ("9" * 200, None),
        (email.utils.formatdate(1030, usegmt=True), 30.0),
        (email.utils.formatdate(900, usegmt=True), 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert asked(header, Clock(date=lambda: 1000.0)) == seconds


def test_back_off_doubles_up_to_a_limit_with_full_jitter() -> None:
    highest = dataclasses.replace(Clock(), chance=lambda: 1.0)
    assert [backoff(k, highest) for k in (0, 1, 2, 3)] == [0.5, 1.0, 2.0, 4.0]
    assert backoff(10_000, highest) == LONGEST
    assert backoff(3, dataclasses.replace(Clock(), chance=lambda: 0.0)) == 0.0


def test_requests_have_turns() -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    turns = Turns(30, Clock(now=lambda: now[0], sleep=sleep))
    at = []
    for _ in range(4):
        turns.wait()
        at.append(now[0])
    assert at == [100.0, 102.0, 104.0, 106.0]
    turns.pause(50)
    turns.wait()
    assert now[0] == 156.0


def test_each_asks_as_many_at_once_as_it_may() -> None:
    under_way, most, lock = [0], [0], threading.Lock()

    def ask(item: int) -> int:
        with lock:
            under_way[0] += 1
            most[0] = max(most[0], under_way[0])
        time.sleep(0.005)
        with lock:
            under_way[0] -= 1
        return -item

    client = Client(Address("http://h/v1", "m", concurrency=3))
    assert dict(client.each(range(40), ask)) == {k: -k for k in range(40)}
    assert most[0] == 3
    assert list(client.each([], ask)) == []


def test_each_hands_over_what_was_under_way_before_it_fails() -> None:
    gate = threading.Event()

    def ask(item: int) -> int:
        if item == 1:
            gate.set()
            raise EndpointError("broken")
        gate.wait(5)
        time.sleep(0.01)
        return item

    client = Client(Address("http://h/v1", "m", concurrency=2))
    answers = client.each(range(50), ask)
    assert next(answers) == (0, 0)
    with pytest.raises(EndpointError, match="broken"):
        next(answers)


def test_a_route_that_a_server_lacks_is_none(start: Start) -> None:
    client, _ = start(Said({"detail": "Not Found"}, 404), Said({}, 501), Said([1]), Said({}, 401))
    assert client.optional("/tokenize", {}, beside=True) is None
    assert client.optional("/props", beside=True) is None
    assert client.optional("/lora-adapters", beside=True) == {"data": [1]}
    with pytest.raises(EndpointError, match="401"):
        client.optional("/props")
