"""Reasons written into a modellab.toml: added to what stands there, or not at all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_modellab.errors import ConfigError
from pytest_modellab.review import reasons
from pytest_modellab.review.changes import Change
from pytest_modellab.visible import visible

LOWER = Change("weaker", "baselines.words.nf4.mean", "0.9", "0.8")
LINE = '"baselines.words.nf4.mean 0.9 -> 0.8" = "agreed"'


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("a = 1", f"a = 1\n\n[acknowledged]\n{LINE}\n"),
        (
            "[acknowledged]  # why\nx = 'y'\n\n[b]\nc = 1\n",
            f"[acknowledged]  # why\n{LINE}\nx = 'y'\n\n[b]\nc = 1\n",
        ),
        ("[acknowledged]", f"[acknowledged]\n{LINE}\n"),
    ],
)
def test_a_reason_is_added(text: str, becomes: str, tmp_path: Path) -> None:
    path = tmp_path / "modellab.toml"
    path.write_text(text)
    assert reasons.write(path, [LOWER], "agreed") == [LINE]
    assert path.read_text() == becomes


def test_what_no_line_can_be_added_to_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "modellab.toml"
    path.write_text("acknowledged = { x = 'y' }\n")
    said = f"{path}: acknowledged: no reason could be added; add it yourself: {LINE}"
    with pytest.raises(ConfigError, match=re.escape(said)):
        reasons.write(path, [LOWER], "agreed")
    assert path.read_text() == "acknowledged = { x = 'y' }\n"


@given(why=st.text(min_size=1))
def test_any_reason_is_read_back(why: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("reasons") / "modellab.toml"
    path.write_text("[acknowledged]\n")
    reasons.write(path, [LOWER], why)
    assert tomllib.loads(path.read_text())["acknowledged"] == {LOWER.key: visible(why)}
