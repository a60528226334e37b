"""What a canary found decides what an engine may be asked for."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import EndpointError
from pytest_modellab.lab import proved
from pytest_modellab.records.canary import Canary, Finding, Noise, Unchecked
from pytest_modellab.store import canaries

LIES = Finding("shifted log-probabilities", "a\n-1.0", "-2.0", "update it", "score")

FOUND = Canary(
    server="0123456789abcdef",
    when="2026-11-30T09:00:00+00:00",
    checked=("prompts",),
    findings=(LIES,),
    unchecked=(Unchecked("tokenizer", "none is declared"),),
    ways=("logit_bias",),
    noise=Noise(10, 2, 1, 0.25),
)


class Stub:
    abilities = frozenset({"score", "compare", "generate"})
    lacks = ""


def test_a_fault_of_likelihoods_takes_that_ability() -> None:
    engine: Any = Stub()
    proved.believe(engine, FOUND)
    assert engine.abilities == {"generate"}
    assert engine.lacks == ("shifted log-probabilities: a\n-1.0; expected -2.0; update it")
    assert Stub.abilities == {"score", "compare", "generate"}


def test_of_another_fault_nothing_is_believed() -> None:
    worse = dataclasses.replace(LIES, name="doubled BOS", takes="")
    with pytest.raises(EndpointError) as caught:
        proved.believe(Stub(), dataclasses.replace(FOUND, findings=(LIES, worse)))
    assert str(caught.value).startswith("the server does not do what it says: doubled BOS: a")


def test_a_stop_text_that_is_kept_is_said_and_takes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine: Any = Stub()
    kept = dataclasses.replace(LIES, name="stop text kept", takes="stop")
    proved.believe(engine, dataclasses.replace(FOUND, findings=(kept,)))
    assert (engine.abilities, engine.lacks) == (Stub.abilities, "")
    assert "the server does not do all that it says: stop text kept: " in caplog.text


def test_nothing_found_changes_nothing() -> None:
    engine: Any = Stub()
    proved.believe(engine, dataclasses.replace(FOUND, findings=()))
    assert engine.abilities == Stub.abilities


def test_what_was_found_is_kept_under_the_servers_name(tmp_path: Path) -> None:
    assert canaries.read(tmp_path, FOUND.server) is None
    canaries.write(tmp_path, FOUND)
    assert canaries.read(tmp_path, FOUND.server) == FOUND
    later = dataclasses.replace(FOUND, when="2026-11-30T10:00:00+00:00", findings=())
    canaries.write(tmp_path, later)
    assert canaries.read(tmp_path, FOUND.server) == later
    file = canaries.path(tmp_path, FOUND.server)
    file.write_text(file.read_text().replace("prompts", "nothing"))
    assert canaries.read(tmp_path, FOUND.server) is None
