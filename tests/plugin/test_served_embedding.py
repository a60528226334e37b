"""Sessions whose vectors and second stage are a server's: verdicts, faults, prices, and the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from embedding_server import Counter
from scripted_server import Asked, Said, scripted

from pytest_modellab import cli
from pytest_modellab.config import read
from pytest_modellab.errors import EndpointError
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.lab.settings import Settings

# imported here, since pytester forgets what a session in this process was the first to import
pytest.importorskip("httpx2")
pytest.importorskip("httpcore2")
pytest.importorskip("ir_measures")

KEY = "sk-PLANTED-0123456789abcdef"

HEADER = 'name = "shelves"\nversion = "1"\nformat = "beir"\nmetrics = ["recall@1", "mrr@10"]\n'

CONFIG = """
[task_sets.shelves]
path = "shelves"
margin = 0.3
[prices.cpu]
usd_per_hour = 1
[prices.paid]
usd_per_million_input = 1000
usd_per_million_output = 0

[variants.there]
kind = "embedding"
served_model = "counter"
texts_per_request = 8
retries = 0
passage_prompt = "shelf "
query_prompt = "who "
"""

CUT = """
[variants.cut]
kind = "embedding"
base = "there"
dimensions = 12
"""

SUITE = """
import pytest

@pytest.mark.task_set("shelves")
@pytest.mark.variants("cut")
def test_overall(candidate, gate):
    gate.no_regression(candidate, against="base")
"""

THINGS = "lamp chair kettle ladder mirror pillow bucket candle hammer basket ribbon anchor".split()

Declare = Callable[[str], None]


@pytest.fixture
def declare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Write a project that searches by a server's vectors, with more options."""
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    for name in ("CI", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    folder = pytester.path / "shelves"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": one, "title": "", "text": f"{one} of {one}s"} for one in THINGS]
    queries = [{"_id": f"q {one}", "text": f"has a {one}"} for one in THINGS]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    judged = "".join(f"q {one}\t{one}\t1\n" for one in THINGS)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    (folder / "task_set.toml").write_text(HEADER)
    (pytester.path / "test_suite.py").write_text(SUITE)

    def write(more: str) -> None:
        (pytester.path / "modellab.toml").write_text(CONFIG + more)

    return write


def embedded(counter: Counter, word: str) -> int:
    return sum(f"{word} of {word}s" in text for text in counter.texts)


def test_served_vectors_are_judged_and_asked_for_once(
    pytester: pytest.Pytester, declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    counter = Counter()
    with scripted(counter) as url:
        declare(f'url = "{url}"\n{CUT}')
        assert cli.main(["accept", "there"]) == 0
        assert [embedded(counter, one) for one in THINGS] == [1] * len(THINGS)
        assert f"shelf {THINGS[0]} of {THINGS[0]}s" in counter.texts
        result = pytester.runpytest()
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["*cut  success=*PASS*", "*search: index=48 B/doc*"])
        assert [embedded(counter, one) for one in THINGS] == [1] * len(THINGS)
    assert "asking the server what it can" in capsys.readouterr().err


def test_a_server_reranks_what_was_found(pytester: pytest.Pytester, declare: Declare) -> None:
    counter = Counter()
    with scripted(counter) as url:
        reranked = f'rerank = {{ url = "{url}", served_model = "counter", top = 5 }}'
        declare(f'url = "{url}"\n{CUT}{reranked}')
        assert cli.main(["accept", "there"]) == 0
        pytester.runpytest().assert_outcomes(passed=1)
        asked = [one.body for one in counter.requests if one.path == "/v1/rerank"]
        assert {len(one["documents"]) for one in asked if one["query"].startswith("has")} == {5}
        counter.spoil = lambda reply, one: backwards(reply) if "rerank" in one.path else reply
        (pytester.path / "cache").rename(pytester.path / "other")
        result = pytester.runpytest()
        result.assert_outcomes(failed=1)
        result.stdout.fnmatch_lines(["*the server does not do what it says: no reranker: *"])


def backwards(reply: Any) -> Any:
    for one in reply["results"]:
        one["relevance_score"] *= -1
    return reply


def test_nothing_of_a_server_is_ranked_that_gives_vectors_of_other_texts(
    declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(reply: Any, _asked: Asked) -> Any:
        for one in reply["data"]:
            one["index"] = len(reply["data"]) - 1 - one["index"]
        return reply

    with scripted(Counter(spoil=spoil)) as url:
        declare(f'url = "{url}"')
        assert cli.main(["accept", "there"]) != 0
    assert "vectors of a batch exchanged: a text's vectors alone and in a batch" in (
        capsys.readouterr().err
    )


def test_the_key_stands_nowhere(
    pytester: pytest.Pytester, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_KEY", KEY)
    counter = Counter(key=KEY)

    def fault(number: int, asked: Asked) -> Said | None:
        head = " ".join(asked.headers.values())
        if asked.path == "/v1/models":
            return Said({"data": [{"id": "counter", "root": head}]})
        return Said({"error": {"message": f"busy: {head}"}}, 503) if number > 60 else None

    counter.fault = fault
    with scripted(counter) as url:
        declare(f'url = "{url}"\nkey_env = "THE_KEY"\n{CUT}')
        code = cli.main(["accept", "there"])
        printed = pytester.runpytest(
            "-vv", "--showlocals", "--full-trace", "--modellab-json=r.json"
        )
    (pytester.path / "printed").write_text("\n".join([*printed.outlines, *printed.errlines]))
    assert any(one.headers.get("Authorization") == f"Bearer {KEY}" for one in counter.requests)
    planted = [
        str(path.relative_to(pytester.path))
        for path in pytester.path.rglob("*")
        if path.is_file() and b"PLANTED" in path.read_bytes()
    ]
    assert planted == []
    assert code != 0 or printed.ret != 0


def test_what_it_costs_is_by_the_servers_own_price(
    declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(Counter()) as url:
        declare(f'url = "{url}"')
        assert cli.main(["accept", "there"]) == 0
        assert cli.main(["compare", "--no-latency"]) == 0
        assert "$" not in capsys.readouterr().out
        declare(f'url = "{url}"\nprice = "paid"')
        assert cli.main(["compare", "--no-latency"]) == 0
        assert "$4000 per million documents" in capsys.readouterr().out  # of 4 tokens each


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('served_model = "other"', "it serves no model 'other'; correct served_model: "),
        ('reference = "r.json"', "reference: no such file: "),
        ("max_tokens = 9", "max_tokens: a server cuts texts off by itself"),
        ('pooling = "cls"', "pooling: the server decides it"),
    ],
)
def test_what_is_wrong_is_told(
    declare: Declare, capsys: pytest.CaptureFixture[str], options: str, told: str
) -> None:
    with scripted(Counter()) as url:
        declare(f'url = "{url}"\n{CUT.replace("dimensions = 12", options)}')
        assert cli.main(["canary", "cut"]) == 2
    assert told in capsys.readouterr().err


def test_a_canary_is_of_all_servers(
    pytester: pytest.Pytester, declare: Declare, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted(Counter()) as url, scripted(Counter(name="second")) as other:
        declare(f'url = "{url}"\n{CUT}rerank = {{ url = "{other}", served_model = "second" }}')
        file = pytester.path / "c.json"
        assert cli.main(["canary", "cut", "--json", str(file)]) == 0
    told = capsys.readouterr().out
    assert told.count(": nothing is wrong") == 2
    assert "checked: order, relevance, same model to the end, repeatability" in told
    first, second = json.loads(file.read_text())
    assert first["server"] != second["server"]


def test_a_search_before_answers_is_proved_too(pytester: pytest.Pytester, declare: Declare) -> None:
    def spoil(reply: Any, _asked: Asked) -> Any:
        for one in reply["data"]:
            one["embedding"][0] = None
        return reply

    with scripted(Counter(spoil=spoil)) as url:
        declare(f'url = "{url}"')
        cache = pytester.path / "cache"
        lab = Lab(read.load(pytester.path / "modellab.toml"), Settings(cache=cache))
        source = lab.variant("there").source
        with pytest.raises(EndpointError, match="not do what it says: no vectors"):
            Loaded(cache).beside(source)  # as `rag` opens what it searches with
