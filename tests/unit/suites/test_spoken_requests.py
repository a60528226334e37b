"""The task set spoken_requests_v1: frozen recordings of its texts, which can be heard."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from pytest_modellab import scorers
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import lint

pytest.importorskip("av", reason="recordings are decoded")

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "suites" / "tasks" / "spoken_requests_v1"
CAPABILITIES = ("clear", "far", "names", "noise", "numbers")


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return jsonl.read(FOLDER, scorers.check)


def test_every_bucket_has_twenty_recordings(tasks: TaskSet) -> None:
    assert tasks.capabilities == CAPABILITIES
    assert Counter(sample.capability for sample in tasks.samples) == dict.fromkeys(CAPABILITIES, 20)
    assert len({sample.bucket for sample in tasks.samples}) == len(CAPABILITIES)
    assert lint.check(tasks) == ()


def test_recordings_are_short_and_no_two_are_the_same(tasks: TaskSet) -> None:
    heard = [media for sample in tasks.samples for media in sample.media]
    assert len(heard) == len({one.sha256 for one in heard}) == 100
    assert {(one.format, one.channels) for one in heard} == {("ogg", 1)}
    assert all(2 < one.seconds < 12 for one in heard)
    assert sum(Path(one.path).stat().st_size for one in heard) < 2_000_000
    assert {path.name for path in (FOLDER / "audio").iterdir()} == {
        Path(one.path).name for one in heard
    }


def test_texts_are_spoken_words(tasks: TaskSet) -> None:
    texts = [sample.target["text"] for sample in tasks.samples]
    assert len(set(texts)) == len(texts)
    assert not any(letter.isdigit() for text in texts for letter in text)
    assert all(6 <= len(text.split()) <= 15 for text in texts)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="speaking needs eSpeak NG")
def test_samples_are_what_the_generator_makes(
    tasks: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of each capability; bytes of sound are those of one version of eSpeak NG."""
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(str(ROOT))
    from suites.tasks.spoken_requests_v1.generator import samples

    for capability in CAPABILITIES:
        made, recording = next(samples.samples(capability, 20261130))
        frozen = next(one for one in tasks.samples if one.id == made["id"])
        assert made["target"] == frozen.target
        assert made["metadata"] == frozen.metadata
        assert recording.startswith(b"OggS")
