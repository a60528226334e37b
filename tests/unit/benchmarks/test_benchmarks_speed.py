"""What is behind docs/performance.md: it asks what it says that it asks, and can count."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import growth
from benchmarks.speed import agreement, material
from benchmarks.speed.material import PREFIX, REPLY, Workload
from benchmarks.speed.peers import Logprobs
from pytest_modellab.config import read
from pytest_modellab.engines.interface import ScoringRequest
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings

REQUESTS = [ScoringRequest("a", (" bb", " dddd")), ScoringRequest("e", (" f", " g"))]


def test_a_project_holds_what_is_measured(tmp_path: Path) -> None:
    workloads = [
        Workload("plain", 20),
        Workload("prefixed", 20, prefix=PREFIX),
        Workload("replies", 4, replies=True),
    ]
    toml = material.write_project(tmp_path, workloads, "cpu", "bfloat16", "liger")
    lab = Lab(read.load(toml), Settings(cache=tmp_path / "store"))
    plain, prefixed, replies = (lab.task_set(one.name).samples for one in workloads)
    assert [len(one.choices) for one in (*plain, *prefixed)] == [4] * 40
    assert [one.max_tokens for one in replies] == [REPLY] * 4
    assert not {one.input for one in plain} & {one.input for one in prefixed}
    assert all(56 <= len(one.input.split()) <= 152 for one in plain)
    assert lab.spec("prefixed").options == {
        "prompt": "prefixed.jinja",
        "device": "cpu",
        "dtype": "bfloat16",
        "kernels": "liger",
    }
    template = (tmp_path / "prefixed.jinja").read_text()
    assert len(template.split("{% block system %}")[1].split("{% endblock")[0].split()) == PREFIX
    assert "system" not in (tmp_path / "plain.jinja").read_text()


def test_predictions_are_compared_by_the_byte() -> None:
    ours: Logprobs = [(-3.0, -4.0), (-1.0, -2.0)]
    theirs: Logprobs = [(-3.0, -6.0), (-1.0, -2.5)]
    # a byte: -1 and -0.8 here, -1 and -1.2 there
    assert agreement.beside(REQUESTS, ours, theirs) == {
        "n": 2,
        "equal": 1,
        "largest": 2.0,
        "mean": pytest.approx(2.5 / 4),
        "gaps": [pytest.approx(0.2)],
    }
    assert agreement.beside(REQUESTS, ours, ours)["equal"] == 2


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_an_exponent_is_the_slope_of_the_logarithms(power: float) -> None:
    sizes = [10, 100, 1000]
    found = growth.exponent(sizes, [3 * size**power for size in sizes])
    assert found == pytest.approx(power)
