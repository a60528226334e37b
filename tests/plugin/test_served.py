"""Sessions that ask a server: verdicts, faults of users and of servers, kills, and the key."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from scripted_server import Asked, Handler, Said, scripted
from talking_server import Talker, turned

from pytest_modellab import cli, testing
from pytest_modellab.endpoints import served
from pytest_modellab.endpoints.address import Address
from pytest_modellab.endpoints.served import Served
from pytest_modellab.records.canary import Canary, Noise
from pytest_modellab.store import canaries

# imported here, since pytester forgets what a session in this process was the first to import
pytest.importorskip("httpx2")
pytest.importorskip("httpcore2")

KEY = "sk-PLANTED-0123456789abcdef"

CONFIG = """
[task_sets.turned]
path = "turned"
[variants.served]
kind = "endpoint"
served_model = "talker"
prompt = "prompt.jinja"
concurrency = 2
retries = 1
canary = false  # the talker knows no stop texts, seeds and systems
"""

SUITE = """
import pytest

@pytest.mark.task_set("turned")
@pytest.mark.variants("served")
def test_floor(candidate, gate):
    gate.worst_bucket(candidate, floor=0.5)
"""

SAMPLES = [
    {
        "id": f"s{number:02d}",
        "input": f"text {number:02d}",
        "target": turned(f"text {number:02d}"),
        "scorer": "exact",
        "max_tokens": 8,
        "capability": "turning",
        "difficulty": "easy",
    }
    for number in range(20)
]

Declare = Callable[[str], None]


@pytest.fixture
def declare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Write a project of one served variant, with more options."""
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    testing.write_task_set(pytester.path / "turned", SAMPLES)
    (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (pytester.path / "test_suite.py").write_text(SUITE)

    def write(more: str) -> None:
        (pytester.path / "modellab.toml").write_text(CONFIG + more)

    return write


def test_a_served_model_passes_and_is_not_asked_again(
    pytester: pytest.Pytester, declare: Declare
) -> None:
    talker = Talker()
    with scripted(talker) as url:
        declare(f'url = "{url}"')
        first = pytester.runpytest("-m", "served")
        first.assert_outcomes(passed=1)
        first.stdout.fnmatch_lines(["*served  success=1.00*PASS*"])
        pytester.runpytest("-m", "served").assert_outcomes(passed=1)
        pytester.runpytest("-m", "prompted").assert_outcomes(deselected=1)
    assert talker.asked == {sample["input"]: 1 for sample in SAMPLES}


def choosing(right: bool) -> Callable[[int, Asked], Said | None]:
    """Reply to a question in words with the letter of the right option, or with none."""

    def fault(_: int, asked: Asked) -> Said | None:
        if asked.path != "/v1/chat/completions" or asked.body["max_tokens"] == 1:
            return None  # the latter to know the server
        assert asked.body["max_tokens"] == 16
        lines = asked.body["messages"][-1]["content"].split("\n")
        (letter,) = (line[0] for line in lines if line[1:] == f". {turned(lines[0])}")
        said = f"The answer is {letter}." if right else "I would rather not say."
        choice = {"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        return Talker().reply(choice, 1, 1)

    return fault


@pytest.fixture
def choices(pytester: pytest.Pytester, declare: Declare) -> None:
    """Make multiple choice of the samples, of which the right option stands first."""
    testing.write_task_set(
        pytester.path / "turned",
        [
            {
                **{k: v for k, v in one.items() if k != "max_tokens"},
                "choices": [turned(str(one["input"])), "yes", "no", "perhaps"],
                "target": 0,
                "scorer": "choice",
            }
            for one in SAMPLES
        ],
    )


@pytest.mark.usefixtures("choices")
def test_multiple_choice_by_chat_is_an_error_with_its_reason(
    pytester: pytest.Pytester, declare: Declare
) -> None:
    with scripted(Talker()) as url:
        declare(f'url = "{url}"')
        result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        [
            "*sample 's00' asks for *, which the scorer 'choice' judges, and 'endpoint' variants "
            'give none here: it is asked by chat, *api = "completions" and a model, whose '
            'tokenizer it has; or set scoring = "generated" on it and on what it is compared with, '
            "so that multiple choice is asked in words; or select others: *"
        ]
    )
    assert result.ret == 1


@pytest.mark.usefixtures("choices")
def test_multiple_choice_is_asked_in_words_by_chat(
    pytester: pytest.Pytester, declare: Declare
) -> None:
    talker = Talker(fault=choosing(right=True))
    with scripted(talker) as url:
        declare(f'url = "{url}"\nscoring = "generated"')
        result = pytester.runpytest()
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*served  success=1.00*option_named=1.00*"])
        chats = sum(one.path == "/v1/chat/completions" for one in talker.requests)
        pytester.runpytest().assert_outcomes(passed=1)
    assert chats == 1 + len(SAMPLES)  # one to know the server
    assert sum(one.path == "/v1/chat/completions" for one in talker.requests) == chats + 1


@pytest.mark.usefixtures("choices")
def test_replies_that_name_no_option_are_told_from_wrong_ones(
    pytester: pytest.Pytester, declare: Declare
) -> None:
    with scripted(Talker(fault=choosing(right=False))) as url:
        declare(f'url = "{url}"\nscoring = "generated"')
        result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*turned: 100% of what served replied to multiple choice names no option, or several, "
            "and counts as wrong, so that the score tells of the format: *"
        ]
    )


def swapping(talker: Talker) -> Callable[[int, Asked], Said | None]:
    def fault(_: int, asked: Asked) -> Said | None:
        if talker.asked.total() == 10:
            talker.system = "fp_2"
        return None

    return fault


def wrong(what: str) -> tuple[Talker, str, str]:
    """Return a server, what is declared of it, and what is said."""
    talker = Talker()
    page = Said(b"<html>Sign in</html>", 200, {"Content-Type": "text/html"})
    match what:
        case "name":
            talker.name = "talker-2"
            return talker, "", "it serves no model 'talker'; correct served_model: did you mean"
        case "key":
            talker.key = "another"
            return talker, 'key_env = "THE_KEY"', "variable THE_KEY is not accepted"
        case "no key":
            talker.key = "another"
            return talker, "", "it wants a key: name the environment variable that holds it with"
        case "unset":
            return talker, 'key_env = "NO_KEY"', "the environment variable NO_KEY is not set; set"
        case "page":
            talker.fault = lambda *_: page
            return talker, "", "it replies with an HTML page (<html>Sign in</html>); url must be"
        case "swapped":
            talker.fault = swapping(talker)
            return talker, "", "the server called itself 'fp_1', and now 'fp_2'; answers of two"
        case "broken":
            talker.fault = lambda _, asked: (
                Said({"error": "boom"}, 500) if asked.method == "POST" else None
            )
            return talker, "", "HTTP 500 Internal Server Error: boom (asked 2 times)"
    raise AssertionError(what)


@pytest.mark.parametrize("what", ["name", "key", "no key", "unset", "page", "swapped", "broken"])
def test_what_is_wrong_is_told_with_what_to_do(
    pytester: pytest.Pytester, declare: Declare, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    talker, more, told = wrong(what)
    monkeypatch.setenv("THE_KEY", KEY)
    with scripted(talker) as url:
        declare(f'url = "{url}"\n{more}')
        result = pytester.runpytest()
    assert told in result.stdout.str()
    assert "Traceback" not in result.stdout.str()
    assert KEY not in result.stdout.str()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*ERROR: 1 test* reached no verdict*"])


def test_no_server_is_told(pytester: pytest.Pytester, declare: Declare) -> None:
    with scripted(Talker()) as url:
        declare(f'url = "{url}"')
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["*no server answers there: *; start it, or correct url*"])


@contextlib.contextmanager
def self_signed(folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve a talker by TLS with a certificate that nobody knows."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl, which makes a certificate, is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    kind = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([program, "req", *kind, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    handler = type("Secret", (Handler,), {"answer": staticmethod(Talker())})
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://localhost:{server.server_port}/v1", certificate
        server.shutdown()
        thread.join()


def test_a_certificate_that_nobody_knows_is_refused_until_it_is_named(
    pytester: pytest.Pytester, declare: Declare, tmp_path: Path
) -> None:
    with self_signed(tmp_path) as (url, certificate):
        declare(f'url = "{url}"')
        refused = pytester.runpytest()
        declare(f'url = "{url}"\ncertificate = "{certificate}"')
        named = pytester.runpytest()
        declare(f'url = "{url.replace("localhost", "127.0.0.1")}"\ncertificate = "{certificate}"')
        elsewhere = pytester.runpytest()
    refused.stdout.fnmatch_lines(["*its certificate is not trusted: *; name the file of your own*"])
    named.assert_outcomes(passed=1)
    elsewhere.stdout.fnmatch_lines(["*its certificate is not trusted: *"])


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("told", ["accepted", "refused", "fails"])
def test_the_key_stands_nowhere(
    pytester: pytest.Pytester, declare: Declare, monkeypatch: pytest.MonkeyPatch, told: str
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    talker = Talker(key=KEY if told != "refused" else "another")

    def fault(_: int, asked: Asked) -> Said | None:
        head = " ".join(asked.headers.values())
        if told == "refused":
            return Said({"error": {"message": f"bad key: {head}"}}, 401)
        if asked.method == "GET":
            return (
                Said({"data": [{"id": "talker", "root": head}]}) if "models" in asked.path else None
            )
        if told == "fails":
            return Said(f"<p>{head}</p>".encode(), 500)
        message = {"message": {"content": f"I was given {head}"}, "finish_reason": "stop"}
        return Said({"model": "talker", "system_fingerprint": head, "choices": [message]})

    talker.fault = fault
    with scripted(talker) as url:
        declare(f'url = "{url}"\nkey_env = "THE_KEY"')
        reports = ["--modellab-json=r.json", "--modellab-markdown=r.md", "--junitxml=j.xml"]
        printed = pytester.runpytest_subprocess(
            "-vv", "--showlocals", "--full-trace", "--log-level=DEBUG", "--alluredir=allure",
            *reports,
        )  # fmt: skip
        (pytester.path / "printed").write_text("\n".join([*printed.outlines, *printed.errlines]))
        if told == "accepted":
            main = "from pytest_modellab.cli import main; raise SystemExit(main())"
            accepted = pytester.run(sys.executable, "-c", main, "accept", "served")
            said = "\n".join([*accepted.outlines, *accepted.errlines])
            (pytester.path / "accepting").write_text(said)
    assert any(one.headers.get("Authorization") == f"Bearer {KEY}" for one in talker.requests)
    planted = [
        str(path.relative_to(pytester.path))
        for path in pytester.path.rglob("*")
        if path.is_file() and b"PLANTED" in path.read_bytes()
    ]
    assert planted == []
    assert printed.ret == 1
    said = {"accepted": "served", "refused": "THE_KEY is not accepted", "fails": "(key)"}[told]
    assert said in (pytester.path / "printed").read_text()


def test_a_prompt_that_is_too_long_is_a_missing_score_of_its_sample(
    pytester: pytest.Pytester, declare: Declare
) -> None:
    long = "request (3031 tokens) exceeds the available context size (2048 tokens)"

    def fault(_: int, asked: Asked) -> Said | None:
        refused = asked.method == "POST" and "text 03" in str(asked.body)
        return Said({"error": {"message": long}}, 400) if refused else None

    talker = Talker(fault=fault)
    with scripted(talker) as url:
        declare(f'url = "{url}"')
        result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        ["*1 of 20 scores are missing *'s03' first: (the server refuses its prompt: *HTTP 400*"]
    )
    assert talker.asked.total() == len(SAMPLES) - 1


def test_what_only_replies_tell_of_a_server_is_part_of_what_is_run(
    pytester: pytest.Pytester, declare: Declare
) -> None:
    talker = Talker()
    with scripted(talker) as url:
        declare(f'url = "{url}"')
        for system, times in (("fp_1", 1), ("fp_1", 1), ("fp_2", 2)):
            talker.system = system
            pytester.runpytest().assert_outcomes(passed=1)
            assert set(talker.asked.values()) == {times}
        talker.fault = swapping(talker)
        declare(f'url = "{url}"\nfleet = true')
        pytester.runpytest().assert_outcomes(passed=1)
        assert set(talker.asked.values()) == {3}
        talker.system = "fp_9"
        pytester.runpytest().assert_outcomes(passed=1)
        assert set(talker.asked.values()) == {3}


COMPARING = """
import pytest

@pytest.mark.task_set("turned")
@pytest.mark.variants("served")
def test_drop(candidate, gate):
    gate.no_regression(candidate)
"""


def test_a_noise_floor_is_told_where_replies_flip(
    pytester: pytest.Pytester, declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    talker = Talker()
    (pytester.path / "test_suite.py").write_text(COMPARING)
    with scripted(talker) as url:
        declare(f'url = "{url}"')
        assert cli.main(["accept", "served"]) == 0
        assert (
            "note: served: accepted without the likelihood of its replies, which its server does "
            "not tell\n"
        ) in capsys.readouterr().err
        found = Served(Address(url, "talker")).identity
        quiet = Canary(served.key(found), "2026-11-30T09:00:00+00:00", noise=Noise(10, 0, 0, 0.0))
        noisy = dataclasses.replace(quiet, noise=Noise(10, 2, 1, 0.3))
        canaries.write(pytester.path / "cache", noisy)
        unchanged = pytester.runpytest("--modellab-no-cache")
        talker.fault = lambda number, asked: (
            talker.reply({"message": {"content": "?"}, "finish_reason": "stop"}, 1, 1)
            if asked.method == "POST"
            else None
        )
        blocked = pytester.runpytest("--modellab-no-cache", "--modellab-markdown=r.md")
        capsys.readouterr()
        assert cli.main(["compare", "--no-latency"]) == 0
        compared = capsys.readouterr().out
        canaries.write(pytester.path / "cache", quiet)
        silent = pytester.runpytest("--modellab-no-cache")
    told = (
        "served: 2 of 10 repeated replies differed though nothing changed, when its server was "
        "last asked: flips may be the server's noise, and the verdict counts them all the same"
    )
    assert f"note: {told}" in blocked.stdout.str()
    assert told in (pytester.path / "r.md").read_text()
    assert f"note: {told}" in compared
    assert blocked.ret == silent.ret == 1
    for one in (unchanged, silent):
        assert "repeated replies" not in one.stdout.str()


def test_the_canary_says_no_key(
    pytester: pytest.Pytester,
    declare: Declare,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    talker = Talker(key=KEY)

    def fault(_: int, asked: Asked) -> Said | None:
        if asked.method == "GET" or "chat" not in asked.path:
            return None
        head = asked.headers["Authorization"]
        return talker.reply({"message": {"content": f"I was given {head}"}}, 3, 99)

    talker.fault = fault
    with scripted(talker) as url:
        declare(f'url = "{url}"\nkey_env = "THE_KEY"')
        file = pytester.path / "modellab.toml"
        file.write_text(file.read_text().replace("canary = false", "canary = true"))
        assert cli.main(["canary", "served", "--json", "found.json"]) == 1
        result = pytester.runpytest("-vv", "--showlocals", "--log-level=DEBUG")
    told = capsys.readouterr()
    (pytester.path / "said").write_text(told.out + told.err + result.stdout.str())
    assert all(one.headers.get("Authorization") == f"Bearer {KEY}" for one in talker.requests)
    assert "(key)" in told.out
    result.stdout.fnmatch_lines(["*the server does not do what it says: *"])
    planted = [path for path in pytester.path.rglob("*") if path.is_file()]
    assert [path for path in planted if b"PLANTED" in path.read_bytes()] == []


def test_what_it_costs_is_by_its_own_price(
    pytester: pytest.Pytester, declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = "[prices.cpu]\nusd_per_hour = 1\n[prices.paid]\nusd_per_million_input = 1000\n"
    prices += "usd_per_million_output = 1000\n"
    few = "[performance]\nrequests = 1\nrounds = 2\n"
    with scripted(Talker()) as url:
        declare(f'url = "{url}"\n{prices}{few}')
        assert cli.main(["accept", "served"]) == 0
        assert cli.main(["compare"]) == 0
        unpriced = capsys.readouterr().out
        declare(f'url = "{url}"\nprice = "paid"\n{prices}{few}')
        assert cli.main(["compare"]) == 0
        priced = capsys.readouterr().out
    assert "no cost of served: what a server costs is not this machine's price" in unpriced
    assert "$" not in unpriced.partition("no cost of")[0]
    assert "cost=$10" in priced  # 7 tokens in and 3 out, of 1,000 requests


RUN = """
from pytest_modellab.endpoints import asking
from pytest_modellab.cli import main

asking.CHECKED = 0.0
raise SystemExit(main())
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal")
def test_a_kill_loses_no_answer_that_was_kept(pytester: pytest.Pytester, declare: Declare) -> None:
    talker = Talker()
    running: list[subprocess.Popen[bytes]] = []

    def kill(_: int, asked: Asked) -> Said | None:
        if talker.asked.total() >= 10 and running:
            running.pop().kill()
        if asked.method == "POST" and running:
            time.sleep(0.05)  # as a model that thinks: what has come is kept meanwhile
        return None

    talker.fault = kill
    with scripted(talker) as url:
        declare(f'url = "{url}"')
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", RUN, "accept", "served"]
        process = subprocess.Popen(command, cwd=pytester.path, env=environment)
        running.append(process)
        assert process.wait(60) == -signal.SIGKILL
        before = Counter(talker.asked)
        pytester.runpytest().assert_outcomes(passed=1)
    again = [text for text, times in talker.asked.items() if times > 1]
    assert talker.asked.keys() == {sample["input"] for sample in SAMPLES}
    assert before.total() >= 10
    assert len(again) <= 4  # what was under way, and what came while the server was asked
