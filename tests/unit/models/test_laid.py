"""Models whose files come in parts, in several folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from ctranslate2_files import model_bin

from pytest_modellab.errors import ModelError
from pytest_modellab.models import convert, locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource

SOURCE = ModelSource("base", "one", more=("./two",))
BEGIN = "model 'base' (source = 'one'): "


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two folders, the second with the second half of the weights."""
    whole = model_bin()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        (tmp_path / "one" / name).write_text("{}")
    (tmp_path / "one" / "model.bin.part1").write_bytes(whole[:500])
    (tmp_path / "two" / "model.bin.part2").write_bytes(whole[500:])
    (tmp_path / "two" / "README.md").write_text("the second part")
    return tmp_path


def find(root: Path) -> ModelFiles:
    return locate.locate(SOURCE, root)


def refused(root: Path) -> str:
    with pytest.raises(ModelError) as caught:
        convert.folder(find(root), root / "cache")
    assert str(caught.value).startswith(BEGIN)
    return str(caught.value).removeprefix(BEGIN)


def test_parts_become_one_file(root: Path) -> None:
    files = find(root)
    folder = convert.folder(files, root / "cache")
    assert (folder / "model.bin").read_bytes() == model_bin()
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "manifest.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.txt",
    ]
    assert folder == convert.folder(find(root), root / "cache")


def test_the_order_of_folders_says_nothing_but_numbers_do(root: Path) -> None:
    there = ModelSource("base", "two", more=("one",))
    found = locate.locate(there, root)
    assert (found.weights, found.tokenizer) == (find(root).weights, find(root).tokenizer)
    assert found.path == root / "two"


def test_each_part_is_in_the_hash(root: Path) -> None:
    before = find(root)
    with (root / "two" / "model.bin.part2").open("ab") as file:
        file.write(b"\0")
    after = find(root)
    assert (before.weights, before.tokenizer) != (after.weights, after.tokenizer)
    (root / "one" / "tokenizer.json").write_text("[]")
    assert find(root).tokenizer != after.tokenizer
    assert find(root).weights == after.weights


def test_a_declared_hash_is_compared(root: Path) -> None:
    wrong = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(ModelError, match=f"{wrong} is declared"):
        locate.locate(ModelSource("base", "one", wrong, more=("two",)), root)
    found = find(root).weights
    assert locate.locate(ModelSource("base", "one", found, more=("two",)), root).weights == found


def test_a_part_is_missing(root: Path) -> None:
    (root / "two" / "model.bin.part2").rename(root / "two" / "model.bin.part3")
    assert refused(root) == (
        f"model.bin.part2 is missing beside {root / 'two' / 'model.bin.part3'}; name the folder "
        'that holds it, too: source = ["…", "…"]'
    )


def test_the_last_part_is_missing(root: Path) -> None:
    (root / "two" / "model.bin.part2").unlink()
    assert refused(root) == (
        "model.bin is not whole: it ends within encoder/conv1/weight: 500 bytes of at least 4,268. "
        f"It is made of {root / 'one' / 'model.bin.part1'}: install the packages again, all of the "
        "same release, and see that no further part is missing"
    )
    assert not list((root / "cache" / "models").glob("*/model.bin"))


def test_parts_of_another_order_make_no_model(root: Path) -> None:
    one, two = root / "one" / "model.bin.part1", root / "two" / "model.bin.part2"
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert refused(root).startswith(
        "model.bin is not whole: it does not begin as CTranslate2 writes a model. It is made of "
    )


def test_a_file_twice(root: Path) -> None:
    (root / "two" / "config.json").write_text("{}")
    assert refused(root) == (
        f"config.json is there twice: {root / 'one' / 'config.json'} and "
        f"{root / 'two' / 'config.json'}; which one counts nobody can say, so name folders that "
        "hold it once"
    )


def test_a_whole_file_beside_its_parts(root: Path) -> None:
    (root / "two" / "model.bin").write_bytes(model_bin())
    assert refused(root) == (
        f"{root / 'two' / 'model.bin'} is whole, and {root / 'one' / 'model.bin.part1'} a part of "
        "it; remove one of them"
    )


def test_what_is_no_model(root: Path) -> None:
    (root / "one" / "tokenizer.json").unlink()
    (root / "one" / "vocabulary.txt").unlink()
    assert refused(root) == ("its folders hold no tokenizer; lay the one that has it with them")
    (root / "one" / "config.json").unlink()
    assert refused(root) == (f"config.json is missing; looked in {root / 'one'}, {root / 'two'}")


def test_folders_have_no_revision(root: Path) -> None:
    with pytest.raises(ModelError) as caught:
        locate.locate(ModelSource("base", "one", revision="main", more=("two",)), root)
    assert str(caught.value) == f"{BEGIN}revision = 'main' is for a hub id; folders have none"


def test_what_is_no_folder(root: Path) -> None:
    def said(name: str) -> str:
        with pytest.raises(ModelError) as caught:
            locate.locate(ModelSource("base", "one", more=(name,)), root)
        return str(caught.value).removeprefix(BEGIN)

    assert said("./none").endswith(f"no such file or folder: {root / 'none'}")
    assert said("some/hub") == (
        "no such folder: some/hub; folders and packages are laid together, a model of a hub is "
        "named alone"
    )
    (root / "file").write_text("a")
    assert said("file") == f"{root / 'file'} is no folder; only folders are laid together"


def test_a_part_that_changes_meanwhile(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = find(root)
    part = root / "two" / "model.bin.part2"
    monkeypatch.setattr("pytest_modellab.models.laid.hashes.sha256", lambda _: "0" * 64)
    with pytest.raises(ModelError) as caught:
        convert.folder(files, root / "cache")
    assert str(caught.value).startswith(f"{BEGIN}{root / 'one'}")
    assert str(caught.value).endswith("has changed while it was read; try again")
    assert part.is_file()
