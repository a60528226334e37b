"""A network that fails at random: no sample lost, none doubled, and the same scores."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from scripted_server import scripted
from talking_server import Talker, faulty, turned

from pytest_modellab import testing
from pytest_modellab.config import read
from pytest_modellab.endpoints import waiting
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.runs import RunRecord

pytest.importorskip("httpx2")
pytestmark = pytest.mark.campaign

LONG, SHORT = 200, 10
"""Runs."""

SAMPLES = [
    {
        "id": f"s{number:02d}",
        "input": f"text {number:02d}",
        "target": turned(f"text {number:02d}") if number % 3 else "something else",
        "scorer": "exact",
        "max_tokens": 8,
        "capability": "turning",
        "difficulty": "easy",
    }
    for number in range(20)
]


def run(folder: Path, url: str, cache: Path) -> RunRecord:
    """Run the variant at an address, with an empty store."""
    (folder / "modellab.toml").write_text(
        '[task_sets.turned]\npath = "turned"\n'
        f'[variants.served]\nkind = "endpoint"\nurl = "{url}"\nserved_model = "talker"\n'
        'prompt = "prompt.jinja"\nretries = 20\ntimeout_s = 0.15\ncanary = false\n'
    )
    lab = Lab(read.load(folder / "modellab.toml"), Settings(cache=cache))
    try:
        return lab.record(lab.variant("served"), lab.task_set("turned"))
    finally:
        lab.release()


def test_servers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: Callable[[str], AbstractContextManager[Any]],
    seed: int,
    long: bool,
) -> None:
    monkeypatch.setattr(waiting, "FIRST", 0.0)  # waits change no answer
    monkeypatch.setattr(waiting, "MOST_ASKED", 0.001)
    testing.write_task_set(tmp_path / "turned", SAMPLES)
    (tmp_path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    with scripted(Talker()) as url:
        right = run(tmp_path, url, tmp_path / "right").samples
    assert {sample.score for sample in right} == {0.0, 1.0}
    expected = [(sample.id, sample.score, sample.output) for sample in right]
    drawn = random.Random(seed)
    with part("servers: faults of the network") as counted:
        for number in range(LONG if long else SHORT):
            of = drawn.randrange(2**32)
            talker = Talker(fault=faulty(of, drawn.uniform(0.05, 0.5)))
            with scripted(talker) as url:
                samples = run(tmp_path, url, tmp_path / f"{number}").samples
            found = [(sample.id, sample.score, sample.output) for sample in samples]
            twice = Counter(talker.asked) - Counter(dict.fromkeys(talker.asked, 1))
            wrong = found != expected or twice
            counted.count(f"run {number}, seed {of}: {found} {twice}" if wrong else None)
