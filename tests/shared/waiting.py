"""An engine that waits in place of computing, and jobs for it that pickle."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from pytest_modellab.engines.interface import Ability, Done, GenerationRequest, ScoringRequest
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.extend import Kind, ModelSource, Plan
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Fingerprint, Output
from pytest_modellab.records.tasks import Sample, TaskSet
from pytest_modellab.runs.job import Job
from pytest_modellab.store import said
from pytest_modellab.variants import prompt


class Engine:
    """Says what it was asked, after a while; its tokens are what it was asked together with it.

    Args:
        seconds: that each sample takes.
        batch: samples that are answered together; 0 for all.
        log: a file that gets a line for each batch; empty for none.
    """

    abilities: frozenset[Ability] = frozenset({"generate"})

    def __init__(self, seconds: float, batch: int = 0, log: str = "") -> None:
        self._seconds, self._batch, self._log = seconds, batch, log

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return messages[0]["content"]

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert not requests

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        together, step = len(requests), self._batch or max(1, len(requests))
        for start in range(0, together, step):
            batch = range(start, min(start + step, together))
            if skip >= {*batch}:
                continue
            time.sleep(self._seconds * len(batch))
            if self._log:
                with Path(self._log).open("a", encoding="utf-8") as file:
                    file.write(f"{len(batch)}\n")
            done({k: Output(f"said {requests[k].context}", tokens_in=together) for k in batch})

    def seed(self, seed: int) -> None:
        pass

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 1000

    def close(self) -> None:
        pass


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Where an :class:`Engine` comes from.

    Attributes:
        seconds: that each sample takes.
        broken: why it cannot be opened; empty where it can.
        fault: what opening it does that is no error of this package: ``raise``, or ``exit``.
        note: what the store says when it is opened; empty for nothing.
        batch: as of :class:`Engine`.
        log: likewise.
        held: part of it; may be what cannot be pickled.
    """

    seconds: float = 0.0
    broken: str = ""
    fault: str = ""
    note: str = ""
    batch: int = 0
    log: str = ""
    held: object = None

    def open(self, cache: Path) -> Engine:
        if self.fault == "raise":
            raise ZeroDivisionError("by a\nbug")
        if self.fault == "exit":
            os._exit(1)
        if self.broken:
            raise VariantLoadError(self.broken)
        if self.note:
            said.say(self.note)
        return Engine(self.seconds, self.batch, self.log)


@dataclasses.dataclass(frozen=True)
class Plain:
    """A prompt that is the question."""

    hash: str = "plain"

    def messages(self, input_: str, passages: Sequence[str] = ()) -> list[dict[str, str]]:
        return [{"role": "user", "content": input_}]


def job(name: str, samples: int, source: Waiting, **changes: Any) -> Job:
    """Return the job of a variant on so many samples."""
    asked = tuple(
        Sample(f"s{k}", f"{name} {k}?", "said", "contains", "waiting", "easy", max_tokens=4)
        for k in range(samples)
    )
    return Job(
        spec=VariantSpec(name=name, kind="prompted", strategy="Prompting"),
        fingerprint=Fingerprint("w" * 64, "t" * 64, "plain", {"name": name}),
        source=source,
        prompt=Plain(),
        task_set=TaskSet("waits", "1", asked),
        needs={"contains": "generate"},
        **changes,
    )


def opened(source: Waiting, plan: Plan, folder: Path, cache: Path) -> Engine:
    return source.open(cache)


def planned(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """The plan of kind ``waiting``, whose options are the fields of :class:`Waiting`."""
    source = Waiting(**spec.options)
    return Plan(
        model=model,
        prompt=prompt.read(root / "prompt.jinja"),
        packages=(),
        engine=f"waiting {spec.name}",
        open=functools.partial(opened, source),
    )


def pytest_modellab_kinds() -> list[Kind]:
    """For a project's conftest.py."""
    return [Kind("waiting", "control", "control", planned, needs_model=False)]
