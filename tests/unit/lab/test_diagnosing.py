"""What an examination may take, and what it refuses before anything is loaded."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path

import pytest

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.lab import diagnosing, folders
from pytest_modellab.lab.diagnosing import Asked, Diagnosing, Limits, Pair
from pytest_modellab.lab.registry import BUILT_IN
from pytest_modellab.variants.loading import Loadable


def test_no_pass_begins_when_the_time_is_up() -> None:
    torch = pytest.importorskip("torch")
    module, row = torch.nn.Linear(2, 2), torch.zeros(1, 2)
    said = "the time was up; modellab diagnose takes"
    with diagnosing._until(time.monotonic() - 1, module), pytest.raises(DiagnosisError, match=said):
        module(row)
    module(row)
    with diagnosing._until(math.inf, module):
        module(row)


def test_the_estimate_goes_by_the_slower_of_both(model_folder: Path) -> None:
    one = folders.resolve(str(model_folder))
    pair, asked = Pair(one, one), Asked(tokens=100)
    assert diagnosing.seconds(pair, asked, [50.0, 200.0, 0.0]) == diagnosing.FORWARDS * 2
    assert 0 < diagnosing.seconds(pair, asked, []) < 1


def test_another_engine_is_refused(model_folder: Path, tmp_path: Path) -> None:
    one = folders.resolve(str(model_folder))
    plan = dataclasses.replace(one.plan, engine="onnxruntime-1", open=lambda *_: None)  # type: ignore[arg-type]
    other = dataclasses.replace(one, source=Loadable(plan, one.files))
    with pytest.raises(DiagnosisError, match="is run by onnxruntime-1, whose modules are out of"):
        Diagnosing(tmp_path, BUILT_IN).examine(Pair(one, other), Asked(), Limits())


def test_who_has_no_time_does_not_wait_for_another_process(
    model_folder: Path, tmp_path: Path
) -> None:
    one = folders.resolve(str(model_folder))
    pair, asked = Pair(one, one), Asked()
    examining = Diagnosing(tmp_path, BUILT_IN)
    said = "another process is at the same diagnosis"
    with examining._entry(pair, asked).lock(), pytest.raises(DiagnosisError, match=said):
        examining.examine(pair, asked, Limits(seconds=0))
