"""The task set printed_pages_v1: frozen pages are what the seed draws, and can be read."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pytest_modellab import scorers
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.scorers.interface import SetScorer
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import lint

pytest.importorskip("PIL", reason="pages are images")

FOLDER = Path(__file__).parents[3] / "suites" / "tasks" / "printed_pages_v1"
FONTS = Path("/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf")
CAPABILITIES = (
    *("blur", "invoice", "low_contrast", "receipt"),
    *("rotation", "scripts", "small_type", "table"),
)


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return jsonl.read(FOLDER, scorers.check)


@pytest.mark.skipif(not FONTS.exists(), reason="drawing needs fonts-dejavu and fonts-liberation")
def test_the_pages_are_what_the_generator_draws() -> None:
    command = [sys.executable, str(FOLDER / "generate.py"), "--check"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stdout == "176 pages: up to date\n", done.stderr
    assert done.returncode == 0


def test_every_bucket_has_twenty_pages(tasks: TaskSet) -> None:
    assert tasks.capabilities == CAPABILITIES
    assert Counter(sample.capability for sample in tasks.samples) == dict.fromkeys(CAPABILITIES, 20)
    assert len({sample.bucket for sample in tasks.samples}) == len(CAPABILITIES)
    assert lint.check(tasks) == ()


def test_pages_are_small_and_no_two_are_the_same(tasks: TaskSet) -> None:
    pages = [media for sample in tasks.samples for media in sample.media]
    assert len(pages) == len({page.sha256 for page in pages}) == 160
    assert {page.format for page in pages} == {"png"}
    assert max(max(page.width, page.height) for page in pages) <= 640
    assert sum(Path(page.path).stat().st_size for page in pages) < 2_000_000
    assert {path.name for path in (FOLDER / "pages").iterdir()} == {
        Path(page.path).name for page in pages
    }


def test_the_text_of_a_page_scores_one_and_another_pages_little(tasks: TaskSet) -> None:
    pytest.importorskip("jiwer", reason="the scorer counts by it")
    scorer = scorers.SCORERS["cer"]
    assert isinstance(scorer, SetScorer)
    texts = [str(sample.target["text"]) for sample in tasks.samples]
    right = scorer.score_all(tasks.samples, [Output(text) for text in texts], ())
    assert {scored.score for scored in right} == {1.0}
    other = scorer.score_all(tasks.samples, [Output(text) for text in texts[::-1]], ())
    assert sum(scored.score or 0 for scored in other) / len(other) < 0.4
    empty = scorer.score_all(tasks.samples, [Output("")] * len(texts), ())
    assert {scored.score for scored in empty} == {0.0}


def test_nearly_all_letters_are_known_to_the_readers_model(tasks: TaskSet) -> None:
    for library in ("onnx", "rapidocr"):
        pytest.importorskip(library, reason="the model is a part of the package")
    import onnx
    import rapidocr

    path = Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx"
    told = {prop.key: prop.value for prop in onnx.load(path).metadata_props}
    known = {*told["character"].splitlines(), " ", "\n"}
    written = {letter for sample in tasks.samples for letter in sample.target["text"]}
    # of Greek the model knows no letter with an accent but one, and no final sigma
    assert "".join(sorted(written - known)) == "έήίςόύ"
