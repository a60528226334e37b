"""``transformers serve`` tells no log-probabilities: what it can is judged, the rest is said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_servers import transformers_serving

from pytest_modellab import testing
from pytest_modellab.cli.main import main
from pytest_modellab.lab.lab import Lab
from pytest_modellab.models import convert

for needed in ("fastapi", "httpx2", "openai", "uvicorn"):
    pytest.importorskip(needed, reason="pip install --group test, for transformers serve")

CONFIG = """
[models.smollm2]
source = "{folder}"
[task_sets.asked]
path = "asked"
[task_sets.chosen]
path = "chosen"
[variants.there]
kind = "endpoint"
url = "{url}"
served_model = "{folder}"
prompt = "prompt.jinja"
retries = 0
[variants.tokens]
kind = "endpoint"
model = "smollm2"
url = "{url}"
served_model = "{folder}"
prompt = "prompt.jinja"
api = "completions"
retries = 0
"""

SUITE = """
import pytest

@pytest.mark.task_set("asked")
@pytest.mark.variants("there")
def test_floor(candidate, gate):
    gate.worst_bucket(candidate, floor=0.01)

@pytest.mark.task_set("chosen")
@pytest.mark.variants("there")
def test_chosen(candidate, gate):
    gate.worst_bucket(candidate, floor=0.5)
"""

ASKED = [
    {
        "id": f"s{number}",
        "input": f"What is the capital of {country}?",
        "target": capital,
        "scorer": "regex",
        "max_tokens": 12,
        "capability": "capitals",
        "difficulty": "easy",
    }
    for number, (country, capital) in enumerate(
        [("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo")]
    )
]

CHOSEN = [
    {k: v for k, v in one.items() if k != "max_tokens"}
    | {"scorer": "choice", "choices": ["Oslo", one["target"]], "target": 1}
    for one in ASKED
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_serving(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
def suite(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    make_lab: Callable[[], Lab],
    cache: Path,
    url: str,
) -> pytest.Pytester:
    """Write a project of what is served."""
    folder = convert.folder(make_lab().variant("prompting").files, cache)
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    testing.write_task_set(pytester.path / "asked", ASKED)
    testing.write_task_set(pytester.path / "chosen", CHOSEN)
    (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (pytester.path / "test_suite.py").write_text(SUITE)
    (pytester.path / "modellab.toml").write_text(CONFIG.format(folder=folder, url=url))
    return pytester


def test_replies_are_judged_and_what_it_cannot_is_said(suite: pytest.Pytester) -> None:
    result = suite.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*sample 's0' asks for *, which the scorer 'choice' judges*it is asked by chat*",
            "*there  success=*",
            "*the server does not do all that it says: stop text kept: with stop *",
        ]
    )
    (kept,) = (suite.path / "cache" / "canaries").glob("*/canary.json")
    found = json.loads(kept.read_text())
    assert [one["name"] for one in found["findings"]] == ["stop text kept"]
    unchecked = {one["name"]: one["why"] for one in found["unchecked"]}
    assert unchecked["draws"] == "the server tells no log-probabilities of a reply"
    assert found["noise"]["flips"] == 0


def test_token_numbers_are_refused_with_what_to_do(
    suite: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["canary", "tokens"]) == 2
    err = capsys.readouterr().err
    assert "HTTP 400 Bad Request: prompt must be a string.; does this server take no token " in err
    assert 'Then set api = "chat"' in err
