"""CTranslate2's files are told by what they begin with, and measured by their own table."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

import pytest
from ctranslate2_files import TENSORS, model_bin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_modellab.errors import ModelError
from pytest_modellab.models import ctranslate2, locate
from pytest_modellab.records.declared import ModelSource


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.bin"
    path.write_bytes(model_bin())
    return path


def damage(file: Path) -> str:
    with pytest.raises(ctranslate2.Damaged) as caught:
        ctranslate2.head(file)
    return str(caught.value)


def test_what_a_file_holds(file: Path) -> None:
    found = ctranslate2.head(file)
    assert found.architecture == "WhisperSpec"
    assert {name: (t.shape, t.type) for name, t in found.tensors.items()} == dict(TENSORS)
    assert (
        found.shape("decoder/projection/weight") == (8,) == found.shape("encoder/layer_norm/gamma")
    )
    assert found.shape("none") == ()
    assert found.tensors["encoder/conv1/weight"].count == 8 * 80 * 3
    assert ctranslate2.is_in(file.parent)


def test_its_first_part_tells_a_folder(file: Path) -> None:
    file.rename(file.with_name("model.bin.part1"))
    assert ctranslate2.is_in(file.parent)
    assert not ctranslate2.is_in(file.parent.parent / "none")


@pytest.mark.parametrize("content", [b"", b"\x06\x00", pickle.dumps({"a": 1}), b"PK\x03\x04" * 9])
def test_other_files(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert not ctranslate2.is_model(file)
    with pytest.raises(ctranslate2.Damaged):
        ctranslate2.head(file)


def test_a_file_that_is_cut_off(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    assert damage(file) == "it ends within encoder/conv1/weight: 500 bytes of at least 4,268"
    file.write_bytes(whole[:30])
    assert damage(file) == "it ends at 30 bytes, in the middle of its table"


def test_a_file_that_goes_on(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")
    assert damage(file) == "4 bytes follow its end"


def test_a_table_that_contradicts_itself(file: Path) -> None:
    whole = model_bin({"a": ((2, 3), 0)})
    place = whole.index(b"a\0") + 2
    file.write_bytes(whole[: place + 1] + b"\x07" + whole[place + 2 :])
    assert damage(file) == "a has 24 bytes, which its shape (7, 3) has not"
    file.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
    assert damage(file) == f"it says 255 axes at {place + 1} bytes, and 8 are read"


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_damage_is_seen_or_leaves_a_whole_file(tmp_path: Path, data: st.DataObject) -> None:
    whole = model_bin()
    path = tmp_path / "model.bin"
    cut = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:cut])
    with pytest.raises(ctranslate2.Damaged):
        ctranslate2.head(path)
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
    with contextlib.suppress(ctranslate2.Damaged):
        found = ctranslate2.head(path)
        assert sum(t.count * ctranslate2.SIZES[t.type] for t in found.tensors.values()) < len(whole)


def test_a_folder_is_a_model_without_any_trust(file: Path) -> None:
    source = ModelSource("tiny", str(file.parent))
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        file.with_name(name).write_text("{}")
    found = locate.locate(source, file.parent)
    assert file in found.hashed
    file.write_bytes(model_bin({"encoder/other": ((1,), 0)}))
    assert locate.locate(source, file.parent).weights != found.weights
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ModelError, match="holds pickled weights"):
        locate.locate(source, file.parent)
