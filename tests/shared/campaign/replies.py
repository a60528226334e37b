"""Hostile replies and names on their way through every scorer into what is shown of them."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hostile import HOSTILE, HOSTILE_REPLIES, check_inert
from hypothesis import strategies as st

from campaign import fuzz, world
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.records.tasks import Sample, TaskSet

SCHEMA = {"type": "object", "properties": {"a": {"multipleOf": 0.1, "maximum": 5}}}

ASKED: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "exact": ("right", ()),
    "regex": ("^(a+)+$", ()),
    "number": ("42", ()),
    "json_schema": (SCHEMA, ()),
    "refusal": ("refuse", ()),
    "choice": (0, ("one", "two")),
    "answer_f1": ({"answers": ["right"]}, ()),
    "anls": ("right", ()),
    "cer": ({"text": "right", "normalize": "written-1"}, ()),
    "wer": ({"text": "twenty one", "normalize": "english-1"}, ()),
    "ndcg@10": ({"relevant": {"d1": 1}}, ()),
    "spearman": ({"similarity": 1.0}, ("b",)),
    "perplexity": (None, ()),
}
"""A target and choices for each scorer."""


def replied(name: str, folder: Path, examples: int, seeded: int) -> int:
    """Give a scorer many replies, and show what becomes of them; return how many."""
    given = st.tuples(HOSTILE_REPLIES, HOSTILE_REPLIES, HOSTILE)
    return fuzz.drive(lambda drawn: _shown(name, folder, *drawn), given, folder, examples, seeded)


def _shown(name: str, folder: Path, before: str, after: str, bucket: str) -> None:
    from pytest_modellab.baselines import file
    from pytest_modellab.baselines.accepted import Baseline
    from pytest_modellab.judging.drop import no_regression
    from pytest_modellab.judging.question import Question
    from pytest_modellab.records.asked import Budget
    from pytest_modellab.records.declared import VariantSpec
    from pytest_modellab.reports.allure_report import running
    from pytest_modellab.reports.text import table

    target, choices = ASKED[name]
    metadata = {"documents": ["d1"]} if name == "answer_f1" else {}
    bucket = bucket.encode("utf-8", "replace").decode()  # readers of task files refuse the others
    samples = tuple(
        Sample(f"s{k}", "?", target, name, bucket, "easy", choices, metadata=metadata)
        for k in range(4)
    )
    tasks = TaskSet("t", "1", samples)
    reference, candidate = (_record(tasks, reply) for reply in (before, after))
    try:
        file.write(folder / "t" / "v.json", Baseline(reference))
    except UnicodeEncodeError:  # half a surrogate pair is in no model's reply
        return
    read = file.read(folder / "t" / "v.json")
    assert read is not None
    assert [s.score for s in read.run.samples] == [s.score for s in reference.samples]
    question = Question(
        assertion="no_regression",
        test="campaign",
        spec=VariantSpec(name="v", kind="prompted", strategy="prompting", model="m"),
        task_set=tasks,
        against="own baseline",
        budget=Budget.shared(0.05, 1),
        candidate=candidate,
        reference=read.run,
    )
    compared = no_regression(question, margin=0.1)
    check_inert(table.render_text(compared))
    check_inert(table.render_markdown(compared))
    for row in csv.reader(io.StringIO(running.flips_csv(compared))):
        assert not [cell for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))]


def _record(tasks: TaskSet, reply: str) -> RunRecord:
    from pytest_modellab.lab.registry import BUILT_IN
    from pytest_modellab.runs import scoring

    output = Output(
        reply, option_logprobs=(-1.0, -2.0)[: len(tasks.samples[0].choices)], passages=(reply,)
    )
    if tasks.samples[0].scorer == "perplexity":
        output = dataclasses.replace(output, option_logprobs=(-float(len(reply)),))
    found = reply.encode("utf-8", "replace").decode()  # as ids of documents are
    output = dataclasses.replace(output, ranking=((found, 1.0), ("d1", 0.5)))
    name = tasks.samples[0].scorer
    scorers, outputs = {name: BUILT_IN.scorer(name)}, [output] * len(tasks.samples)
    together = scoring.score_sets(tasks, scorers, outputs)
    results = tuple(
        scoring.score_sample(scorers[name], s, o, together.get(k))
        for k, (s, o) in enumerate(zip(tasks.samples, outputs, strict=True))
    )
    return RunRecord(
        task_set={"name": "t", "version": "1", "hash": tasks.hash},
        variant={"name": "v", "kind": "prompted", "strategy": "prompting", "base": None},
        fingerprint=world.FINGERPRINT,
        scorers={name: scorers[name].version},
        samples=results,
        probes={"seconds": 1.0},
        environment={"device": "cpu", "threads": 1, "token_budget": 64},
    )
