"""The task set support_triage_v1: what is frozen is what the seed makes, and the right replies win.

The generator is loaded from its folder, as its script does.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.scorers.interface import Scorer
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import leakage, lint

FOLDER = Path(__file__).parents[3] / "suites" / "tasks" / "support_triage_v1"
QUEUES = ("delivery", "returns", "billing", "account", "technical")
PRIORITIES = ("urgent", "high", "normal", "low")


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return jsonl.read(FOLDER, scorers.check)


@pytest.fixture(scope="module")
def training() -> list[dict[str, str]]:
    text = (FOLDER / "train.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def generator() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("triage_generator")


@pytest.fixture(scope="module")
def ideal(generator: Any) -> dict[str, str]:
    """The ideal reply to each sample, by id."""
    header = tomllib.loads((FOLDER / "task_set.toml").read_text(encoding="utf-8"))
    return {one.sample["id"]: one.reply for one in generator.solved(header["seed"])}


def score(sample: Sample, reply: str) -> float:
    """The score of a reply; of a model that prefers it, where options are compared."""
    logprobs = tuple(0.0 if choice == reply else -100.0 for choice in sample.choices)
    scorer = scorers.SCORERS[sample.scorer]
    assert isinstance(scorer, Scorer)
    value, _ = scorer.score(sample, Output(reply, logprobs))
    return value


def mean(samples: list[Sample], reply: str) -> float:
    return sum(score(sample, reply) for sample in samples) / len(samples)


def test_the_files_are_what_the_generator_makes() -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == "samples.jsonl: up to date\ntrain.jsonl: up to date\n", done.stderr
    assert done.returncode == 0


def test_every_bucket_has_twenty_samples(tasks: TaskSet) -> None:
    assert tasks.capabilities == ("entities", "intent", "priority", "reply")
    assert set(Counter(sample.bucket for sample in tasks.samples).values()) == {20}
    assert len(tasks.samples) == 240
    assert all(sample.metadata["template"] for sample in tasks.samples)
    assert lint.check(tasks) == ()


def test_queues_and_priorities_are_equally_frequent(ideal: dict[str, str]) -> None:
    intents = Counter(reply for id, reply in ideal.items() if id.startswith("intent"))
    assert intents == dict.fromkeys(QUEUES, 12)
    priorities = Counter(reply for id, reply in ideal.items() if id.startswith("priority"))
    assert priorities == dict.fromkeys(PRIORITIES, 15)


def test_ideal_replies_score_one(tasks: TaskSet, ideal: dict[str, str]) -> None:
    assert sorted(ideal) == sorted(sample.id for sample in tasks.samples)
    assert [s.id for s in tasks.samples if score(s, ideal[s.id]) != 1.0] == []


def test_another_samples_reply_scores_low(tasks: TaskSet, ideal: dict[str, str]) -> None:
    for capability, samples in lint.by_capability(tasks.samples).items():
        best = max(mean(samples, ideal[sample.id]) for sample in samples)
        limit = {"intent": 12 / 60, "priority": 15 / 60}.get(capability, 1 / 60)
        assert best <= limit, capability


@pytest.mark.parametrize("reply", ["", "{}", "null", "TICKET", "I do not know.", "yes"])
def test_constant_replies_score_nothing(tasks: TaskSet, reply: str) -> None:
    assert mean([sample for sample in tasks.samples if not sample.choices], reply) == 0.0


def test_a_reply_that_goes_on_is_wrong(tasks: TaskSet, ideal: dict[str, str]) -> None:
    sample = next(s for s in tasks.samples if s.capability == "reply")
    assert score(sample, ideal[sample.id] + "\n") == 1.0
    assert score(sample, ideal[sample.id] + "\nTICKET") == 0.0
    assert score(sample, "Sure! " + ideal[sample.id]) == 0.0


def test_nothing_leaks(tasks: TaskSet) -> None:
    texts = leakage.read(FOLDER / "train.jsonl")
    assert leakage.leaks(tasks, texts, source="train.jsonl") == ()
    assert leakage.leaks(tasks, texts, n=7, source="train.jsonl") == ()


def test_training_and_test_share_instructions_only(
    tasks: TaskSet, training: list[dict[str, str]]
) -> None:
    asked = {(line["capability"], line["input"].split("Message: ")[0]) for line in training}
    tested = {(s.capability, s.input.split("Message: ")[0]) for s in tasks.samples}
    assert asked == tested
    assert len(asked) == 4


def test_customers_products_and_orders_are_disjoint(generator: Any) -> None:
    train, test = generator.common.TRAIN, generator.common.TEST
    for one, other in zip(train, test, strict=True):
        assert not set(one) & set(other)
        assert len(set(one)) == len(one)
        assert len(set(other)) == len(other)


def test_training_lines(training: list[dict[str, str]]) -> None:
    assert {tuple(sorted(line)) for line in training} == {("capability", "id", "input", "reply")}
    assert len({line["id"] for line in training}) == len(training) == 1926
    assert len({line["input"] for line in training}) == len(training)
    labels: dict[str, set[str]] = {"intent": set(), "priority": set()}
    for line in training:
        labels.get(line["capability"], set()).add(line["reply"])
        if line["capability"] == "entities":
            assert list(json.loads(line["reply"])) == ["order", "product", "amount"]
    assert labels == {"intent": set(QUEUES), "priority": set(PRIORITIES)}
