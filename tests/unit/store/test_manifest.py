"""Folders of the store hold what was made, or are made anew, and that is said."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.store import folders, manifest


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder as the store makes it."""
    return made_in(tmp_path)


def made_in(root: Path, name: str = "key") -> Path:
    return folders.folder(root / "models" / name, write, what="model 'm'")


def write(folder: Path) -> None:
    (folder / "weights").write_bytes(b"0123")
    (folder / "inner").mkdir()
    (folder / "inner" / "template").write_text("{{ x }}")


def edit(path: Path, content: bytes) -> None:
    """Change a file and leave it its time of change, as ``touch -r`` does."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def other_name(folder: Path) -> None:
    shutil.copytree(made_in(folder.parent.parent, "other"), folder, dirs_exist_ok=True)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "edited": (
        lambda f: edit(f / "weights", b"0124"),
        "is damaged: weights was changed, its digest does not match",
    ),
    "edited deep": (
        lambda f: edit(f / "inner" / "template", b"{{ y }}"),
        "is damaged: inner/template was changed, its digest does not match",
    ),
    "truncated": (
        lambda f: edit(f / "weights", b"01"),
        "is damaged: weights has 2 bytes and should have 4",
    ),
    "emptied": (
        lambda f: edit(f / "weights", b""),
        "is damaged: weights has 0 bytes and should have 4",
    ),
    "missing": (lambda f: (f / "weights").unlink(), "is damaged: weights is missing"),
    "missing folder": (
        lambda f: shutil.rmtree(f / "inner"),
        "is damaged: inner/template is missing",
    ),
    "added": (lambda f: (f / "more").touch(), "is damaged: more was added"),
    "linked folder": (lambda f: (f / "more").symlink_to("/"), "is damaged: more was added"),
    "dead link": (lambda f: (f / "more").symlink_to("none"), "is damaged: more was added"),
    "no manifest": (
        lambda f: (f / "manifest.json").unlink(),
        "has no manifest.json of digests, as an older version made it",
    ),
    "empty manifest": (
        lambda f: (f / "manifest.json").write_bytes(b""),
        "has a damaged manifest.json",
    ),
    "another's manifest": (other_name, "has a damaged manifest.json"),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_wrong_is_said_and_made_anew(
    made: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], object], said: str
) -> None:
    assert manifest.fault(made) is None
    damage(made)
    assert manifest.fault(made) == said
    assert made_in(made.parent.parent) == made
    assert caplog.messages == [f"model 'm' is made anew: models/key {said}"]
    assert manifest.fault(made) is None
    assert (made / "weights").read_bytes() == b"0123"
    assert (made / "inner" / "template").read_text() == "{{ x }}"
    assert not (made / "more").is_symlink()
    assert not (made / "more").exists()


def test_a_dead_link_in_place_of_a_file(made: Path) -> None:
    (made / "weights").unlink()
    (made / "weights").symlink_to("none")
    assert manifest.fault(made) == "cannot be read (No such file or directory)"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert manifest.fault(tmp_path / "none") == "is missing"


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gather the names of files whose digest is computed."""
    manifest._sha256.cache_clear()
    names: list[str] = []
    once = manifest._sha256.__wrapped__

    def counted(path: Path, stamp: tuple[int, ...]) -> str:
        names.append(path.name)
        return once(path, stamp)

    monkeypatch.setattr(manifest, "_sha256", counted)
    return names


def test_nothing_is_read_where_no_time_changed(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = reads(monkeypatch)
    assert [manifest.fault(made) for _ in range(2)] == [None, None]
    assert names == []


def test_a_copy_is_read_once(made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A restored cache has other times: the manifest takes them where the content is right."""
    copied = Path(shutil.copytree(made.parent, tmp_path / "restored")) / made.name
    names = reads(monkeypatch)
    assert [manifest.fault(copied) for _ in range(3)] == [None] * 3
    assert sorted(names) == ["template", "weights"]
    edit(copied / "weights", b"0124")
    assert manifest.fault(copied) == "is damaged: weights was changed, its digest does not match"


def test_a_manifest_that_is_just_renewed_is_no_damage(made: Path) -> None:
    (made / ".manifest.json.0123abcd.tmp").touch()
    assert manifest.fault(made) is None


@settings(max_examples=200)
@given(
    st.sampled_from(["manifest.json", "weights", "inner/template"]),
    st.integers(0),
    st.integers(1, 255),
)
def test_no_changed_byte_is_believed(tmp_path: Path, name: str, place: int, change: int) -> None:
    folder = made_in(tmp_path)
    content = bytearray((folder / name).read_bytes())
    content[place % len(content)] ^= change
    edit(folder / name, bytes(content))
    assert manifest.fault(folder) is not None
