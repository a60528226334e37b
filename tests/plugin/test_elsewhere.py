"""What a node with a GPU has answered is judged on a machine that has none."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_modellab import cli
from pytest_modellab.config import read
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings


def test_runs_of_a_gpu_are_judged_where_there_is_none(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.path)
    config, cache = project.path / "modellab.toml", project.path / "cache"
    assert cli.main(["accept", "plain", "rounded", "--task-set", "words"]) == 0
    here = Lab(read.load(config), Settings(cache=cache))
    config.write_text(
        config.read_text().replace('model = "tiny"', 'model = "tiny"\ndevice = "cuda"')
    )
    there = Lab(read.load(config), Settings(cache=cache))
    for name in ("plain", "rounded"):
        (made,) = here.jobs(*here.asked(name, "words"))
        (asked,) = there.jobs(*there.asked(name, "words"))
        versions = {**asked.fingerprint.settings["versions"], "torch": "2.13.0+cu130"}
        assert asked.fingerprint.settings["device"] == "cuda"
        node = dataclasses.replace(
            asked.fingerprint, settings={**asked.fingerprint.settings, "versions": versions}
        )
        stored = here.here.recall(made)
        assert stored is not None
        there.here.keep(dataclasses.replace(asked, fingerprint=node), stored)
    project.runpytest_inprocess().assert_outcomes(passed=8)
