"""The task set sight_v1: frozen pictures that a seed draws, none of them from training."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pytest_modellab import scorers
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets import jsonl
from pytest_modellab.tasksets.quality import lint

pytest.importorskip("PIL", reason="pictures are decoded")
np = pytest.importorskip("numpy")

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "suites" / "tasks" / "sight_v1"
CAPABILITIES = (
    "charts",
    "colours",
    "counting",
    "letters",
    "misleading",
    "numbers",
    "shapes",
    "words",
)


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # the generator imports the one that draws by its name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pictures() -> Any:
    return _loaded(ROOT / "suites" / "sight" / "pictures.py")


@pytest.fixture(scope="module")
def generate(pictures: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])  # which the generator adds to
        return _loaded(FOLDER / "generate.py")


@pytest.fixture(scope="module")
def tasks() -> TaskSet:
    return jsonl.read(FOLDER, scorers.check)


def test_every_bucket_has_twenty_pictures(tasks: TaskSet) -> None:
    assert tasks.capabilities == CAPABILITIES
    assert Counter(sample.capability for sample in tasks.samples) == dict.fromkeys(CAPABILITIES, 20)
    seen = [media for sample in tasks.samples for media in sample.media]
    assert len(seen) == len({one.sha256 for one in seen}) == 160
    assert {(one.format, one.width, one.height) for one in seen} == {("png", 96, 96)}
    assert sum(Path(one.path).stat().st_size for one in seen) < 200_000
    assert lint.check(tasks) == ()


def test_the_seed_still_makes_what_is_frozen(
    generate: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == "up to date\n"


def test_wordings_and_words_are_not_those_of_training(generate: Any, pictures: Any) -> None:
    trained = {wording for wordings in pictures.WORDINGS.values() for wording in wordings}
    assert generate.WORDINGS.keys() <= pictures.WORDINGS.keys()
    assert trained.isdisjoint(w for wordings in generate.WORDINGS.values() for w in wordings)
    assert set(generate.WORDS).isdisjoint(pictures.WORDS)


def test_a_seed_draws_the_same_and_what_it_says_is_there(pictures: Any) -> None:
    answers: dict[str, set[str]] = {}
    for index in range(150):
        pixels, asked, labels = pictures.training(3, index)
        again, *_ = pictures.training(3, index)
        assert np.array_equal(pixels, again)
        assert pixels.shape == (96, 96, 3)
        assert 1 <= len(asked) <= 3
        assert labels.keys() <= pictures.LABELS.keys()
        assert all(0 <= value < pictures.LABELS[name] for name, value in labels.items())
        for question, answer in asked:
            answers.setdefault(question.split()[0], set()).add(answer)
            assert "{" not in question
    assert len(answers) > 10


def test_bars_are_as_tall_as_the_answer_says(pictures: Any) -> None:
    import random

    for seed in range(10):
        found = pictures.chart(random.Random(seed))
        ground = found.pixels[0, 0].astype(int)
        drawn = (abs(found.pixels[:76].astype(int) - ground).sum(axis=2) > 40).sum(axis=0)
        heights = [found.labels[f"height_{bar}"] for bar in range(4)]
        tallest = max(range(4), key=heights.__getitem__)
        assert drawn.max() == 6 * heights[tallest]
        right = next(ask.answer for ask in found.asks if ask.question == "tallest")
        assert right == "ABCD"[tallest]
