"""Every class of faults in a model has a cause and something to do."""

from __future__ import annotations

import pytest

from pytest_modellab.observatory import verdict
from pytest_modellab.observatory.likely import CAUSES, explained
from pytest_modellab.records.diagnosis import Finding

OF_ITS_OWN = {"kv_cache", "tokenizer", "template", "generation_config", "adapter", "runtime"}


def test_every_class_has_a_cause() -> None:
    assert set(CAUSES) == set(verdict._WORDS) - OF_ITS_OWN


@pytest.mark.parametrize("name", sorted(CAUSES))
def test_it_says_what_to_do_on_one_short_line(name: str) -> None:
    said = explained(Finding("layer.1.mlp", f"{name}(2)", "seen")).likely
    assert said == f"likely {CAUSES[name]}"
    assert len(said) < 200
    assert said.isprintable()


def test_what_is_known_better_stays() -> None:
    known = Finding("layer.1.mlp", "zeroed", "seen", likely="a shard is empty")
    assert explained(known) is known
    unknown = Finding("layer.1.mlp", "unexplained", "seen")
    assert explained(unknown) is unknown
