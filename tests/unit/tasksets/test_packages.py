"""Task sets out of installed packages: the real ones, and the text of every error."""

from __future__ import annotations

import importlib.metadata
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import scorers, tasksets
from pytest_modellab.errors import TaskSetError
from pytest_modellab.models.files import hash_files
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets import packages
from pytest_modellab.tasksets.packages import lee, tau2

TASKS = Path(__file__).parents[3] / "suites" / "tasks"


def real(name: str, cache: Path) -> TaskSet:
    """A set of the suites, where its package is installed."""
    declared = tomllib.loads((TASKS / name / "task_set.toml").read_text(encoding="utf-8"))
    try:
        importlib.metadata.distribution(declared["package"]["name"])
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(declared["package"]["install"])
    return tasksets.read(TASKS / name, scorers.check, cache)


def test_tau2_banking(tmp_path: Path) -> None:
    found = real("tau2_banking", tmp_path)
    assert found.corpus is not None
    assert (len(found.corpus), len(found.samples)) == (698, 97)
    assert Counter(g for s in found.samples for g in s.target["relevant"].values()) == {1: 949}
    assert Counter(sample.capability for sample in found.samples) == {
        "credit_cards": 45,
        "bank_accounts": 22,
        "checking_accounts": 17,
        "savings_accounts": 13,
    }
    assert Counter(s.difficulty for s in found.samples) == {"medium": 97}
    assert [s.metadata["required"] for s in found.samples[:2]] == [4, 6]
    first = found.samples[0]
    assert (first.id, first.bucket, first.cluster) == (
        "task_001",
        "credit_cards/medium",
        "task_001",
    )
    assert first.input.startswith("You are playing the role of a customer contacting a customer ")
    assert next(iter(first.target["relevant"])) == "doc_credit_cards_gold_rewards_card_001"
    assert found.corpus[0].content.startswith(
        "Internal: Opening Personal Checking Accounts ## Eligibility Requirements\n"
    )
    stories = Counter(sample.cluster for sample in found.samples)
    assert (len(stories), stories["task_065"]) == (80, 5)
    assert "inspect_evals" not in sys.modules


def test_lee_news(tmp_path: Path) -> None:
    found = real("lee_news", tmp_path)
    assert found.corpus is not None
    assert (len(found.corpus), len(found.samples)) == (50, 48)
    assert found.description.endswith(
        " 2 queries without a relevant document are left out: document 30, document 35."
    )
    grades = Counter(g for s in found.samples for g in s.target["relevant"].values())
    assert grades == {1: 194, 2: 74, 3: 18}
    ids = [document.id for block in found.corpus.blocks(50) for document in block]
    for sample in found.samples:
        document = found.corpus[ids.index(sample.id)]
        assert (document.text, sample.metadata["exclude"]) == (sample.input, [sample.id])
        for other, grade in sample.target["relevant"].items():
            mirrored = next(s for s in found.samples if s.id == other).target["relevant"]
            assert mirrored[sample.id] == grade
    # both about the Australian Democrats' leadership
    assert found.samples[0].target["relevant"]["document 14"] == 3
    assert "Aden Ridgeway" in found.samples[0].input
    assert "Australian Democrats" in found.corpus[13].text
    assert "gensim" not in sys.modules


def test_lee_similarity(tmp_path: Path) -> None:
    found = real("lee_similarity", tmp_path)
    assert len(found.samples) == 1225
    first = found.samples[0]
    assert (first.id, first.target, first.cluster) == ("1-2", {"similarity": 0.3}, "document 1")
    assert Counter(s.cluster for s in found.samples)["document 49"] == 1
    assert any("£" in s.choices[0] for s in found.samples)  # the file is in Latin-1


@pytest.mark.parametrize(
    ("documents", "found"),
    [
        (["doc_credit_cards_ecocard_001"], "credit_cards"),
        (["doc_business_credit_cards_virtual_card_management_001"], "credit_cards"),
        (["doc_customer_support_special_support_codes_001"], "bank_accounts"),
        (["doc_savings_accounts_green_account_(savings)_001"], "savings_accounts"),
        (
            [
                "doc_bank_accounts_bank_accounts_(general)_001",
                "doc_savings_accounts_gold_account_001",
            ],
            "savings_accounts",
        ),
        (
            [
                "doc_bank_accounts_bank_accounts_(general)_001",
                "doc_business_savings_accounts_gold_saver_account_001",
                "doc_business_checking_accounts_beige_001",
                "doc_checking_accounts_blue_account_001",
            ],
            "checking_accounts",
        ),
    ],
)
def test_family(documents: list[str], found: str) -> None:
    assert tau2.family(documents) == found


@pytest.mark.parametrize(
    ("similarity", "grade"),
    [(1, 3), (0.9, 3), (0.89, 2), (0.7, 2), (0.69, 1), (0.5, 1), (0.49, 0), (0.2, 0)],
)
def test_grade(similarity: float, grade: int) -> None:
    assert lee._grade(similarity) == grade


# --- a package that is made here ----------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package ``news`` 1.5 that holds three articles as gensim does."""
    site = tmp_path / "site"
    (site / "news-1.5.dist-info").mkdir(parents=True)
    metadata = "Metadata-Version: 2.1\nName: news\nVersion: 1.5\n"
    (site / "news-1.5.dist-info" / "METADATA").write_text(metadata)
    for file, text in zip(
        lee.FILES, ("one\ntwo\nthree", "1\t0.95\t0.3\n0\t1\t0.5\n0\t0\t1\n"), strict=True
    ):
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def declare(site: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a task set of that package: ``declare(format, key=value)``; None leaves a key out."""

    def write(layout: str = "beir", **changes: Any) -> Path:
        values = {
            "name": "news",
            "version": "1.5",
            "reader": "lee-news",
            "sha256": hash_files([site / file for file in lee.FILES]),
            **changes,
        }
        lines = [f"{k} = {v!r}" for k, v in values.items() if v is not None]
        header = ["name = 'n'", "version = '1'", f"format = {layout!r}", "[package]", *lines]
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / "task_set.toml").write_text("\n".join(header))
        return tmp_path / "set"

    return write


def test_news(declare: Callable[..., Path], tmp_path: Path) -> None:
    folder = declare()
    found = tasksets.read(folder, scorers.check, tmp_path)
    assert {s.id: s.target["relevant"] for s in found.samples} == {
        "document 1": {"document 2": 3},
        "document 2": {"document 1": 3, "document 3": 1},
        "document 3": {"document 2": 1},
    }
    assert found.path == str(folder)


def test_similarity(declare: Callable[..., Path], tmp_path: Path) -> None:
    folder = declare("sts", reader="lee-similarity", sha256=None)
    with pytest.raises(TaskSetError, match=r"package: sha256: missing$"):
        tasksets.read(folder, scorers.check, tmp_path)
    folder = declare("sts", reader="lee-similarity")
    found = tasksets.read(folder, scorers.check, tmp_path)
    assert [(s.input, s.choices, s.target["similarity"]) for s in found.samples] == [
        ("one", ("two",), 0.95),
        ("one", ("three",), 0.3),
        ("two", ("three",), 0.5),
    ]


def test_files_are_made_once_and_again_by_a_new_reader(
    declare: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def write(files: Any, folder: Path) -> None:
        made.append(folder)
        lee.write_news(files, folder)

    for version in (7, 7, 8):
        reader = packages.Reader(version, "beir", lee.FILES, write)
        monkeypatch.setattr(packages, "READERS", {"lee-news": reader})
        tasksets.read(declare(), scorers.check, tmp_path / "cache")
    assert len(made) == 2
    kept = [p.name for p in (tmp_path / "cache" / "tasksets").iterdir() if p.is_dir()]
    assert sorted(name[-3:] for name in kept) == ["-v7", "-v8"]


@pytest.mark.parametrize(
    ("layout", "changes", "said"),
    [
        (
            "beir",
            {"verison": "1"},
            "verison: unknown key; did you mean 'version'? Known: install, ",
        ),
        ("beir", {"version": None}, "version: missing"),
        ("beir", {"version": 1}, "version: 1 is int, expected str"),
        (
            "beir",
            {"reader": "lee-newz"},
            "reader: unknown 'lee-newz'; did you mean 'lee-news'? "
            "Known: lee-news, lee-similarity, tau2-banking",
        ),
        (
            "beir",
            {"reader": "lee-similarity"},
            "reader: 'lee-similarity' writes the format 'sts', but 'beir' is declared; "
            "set format = 'sts'",
        ),
        ("beir", {"name": "olds"}, "'olds' is not installed: pip install --no-deps olds==1.5"),
        ("beir", {"name": ""}, "'' is not installed: "),
        (
            "beir",
            {"name": "olds", "install": "pip install it"},
            "'olds' is not installed: pip install it",
        ),
        (
            "beir",
            {"version": "2.0"},
            "news 1.5 is installed, but 2.0 is declared: pip install --no-deps news==2.0",
        ),
    ],
)
def test_message(
    declare: Callable[..., Path], tmp_path: Path, layout: str, changes: Any, said: str
) -> None:
    folder = declare(layout, **changes)
    with pytest.raises(TaskSetError) as caught:
        tasksets.read(folder, scorers.check, tmp_path)
    assert str(caught.value).startswith(f"{folder / 'task_set.toml'}: package: {said}")


def test_package_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(TaskSetError, match=r"^x: package: must be a table$"):
        packages.folder(Path("x"), "gensim", "beir", tmp_path)


def test_changed_and_missing_files(
    declare: Callable[..., Path], site: Path, tmp_path: Path
) -> None:
    folder = declare()
    before = hash_files([site / file for file in lee.FILES])
    tasksets.read(folder, scorers.check, tmp_path)
    path = site / lee.FILES[1]
    path.write_text("1\t0.9\t0.3\n0\t1\t0.5\n0\t0\t1\n")
    with pytest.raises(TaskSetError) as caught:
        tasksets.read(folder, scorers.check, tmp_path)
    found = hash_files([site / file for file in lee.FILES])
    assert str(caught.value) == (
        f"{folder / 'task_set.toml'}: package: the files of news have sha256 {found}, but {before} "
        "is declared. If they are damaged: pip install --no-deps news==1.5 --force-reinstall. If "
        "they are wanted: declare their hash, and raise the task set's version."
    )
    path.unlink()
    with pytest.raises(TaskSetError) as caught:
        tasksets.read(folder, scorers.check, tmp_path)
    assert str(caught.value) == (
        f"{folder / 'task_set.toml'}: package: {path} is missing from the package; install it "
        "again: pip install --no-deps news==1.5 --force-reinstall"
    )
