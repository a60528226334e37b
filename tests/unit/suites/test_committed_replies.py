"""The replies in the committed baselines score today as when they were accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modellab import scorers
from pytest_modellab.baselines import file
from pytest_modellab.records.runs import Output
from pytest_modellab.runs.scoring import score_sample
from pytest_modellab.tasksets import jsonl

pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[3]

REPLIES = {"assistant_core_v2": 1080, "alignment_probes_v1": 540, "support_triage_v1": 540}


@pytest.mark.parametrize("name", REPLIES)
def test_committed_replies_score_as_accepted(name: str) -> None:
    samples = {s.id: s for s in jsonl.read(ROOT / "suites/tasks" / name, scorers.check).samples}
    scored = 0
    for path in sorted((ROOT / "baselines" / name).glob("*.json")):
        baseline = file.read(path)
        assert baseline is not None
        for result in baseline.run.samples:
            sample = samples[result.id]
            scorer = scorers.find(sample.scorer)
            assert scorer is not None
            if not scorer.likelihood:
                found = score_sample(scorer, sample, Output(result.output), None)
                assert (found.score, found.output) == (result.score, result.output), sample.id
                scored += 1
    assert scored == REPLIES[name]
