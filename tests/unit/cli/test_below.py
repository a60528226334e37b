"""A command that finds no configuration names those that lie below."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_modellab.cli.common import required_config
from pytest_modellab.errors import ConfigError


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        ([], "--config PATH"),
        (["b", "a/suites"], "--config a/suites/modellab.toml or --config b/modellab.toml"),
        (["my models"], "--config 'my models/modellab.toml'"),
        (["a/b/c"], "--config PATH"),
        (
            list("fedcba"),
            " or ".join(f"--config {name}/modellab.toml" for name in "abcde") + " …",
        ),
    ],
)
def test_those_below_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folders: list[str], named: str
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "modellab.toml").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as raised:
        required_config(None)
    assert str(raised.value) == f"no modellab.toml here or in suites/; name one: {named}"
