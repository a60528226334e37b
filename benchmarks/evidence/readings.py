"""What a model said of every sample of a task set, and how far it lies from its base."""

from __future__ import annotations

import dataclasses
import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_modellab.engines.interface import Engine
from pytest_modellab.records.runs import Output

DIGITS = 6
"""Digits behind the point that are kept of a log-likelihood."""


@dataclasses.dataclass(frozen=True)
class Said:
    """What a model said of one sample.

    Attributes:
        options: log-likelihood of each option; empty where it replied.
        text: its reply, or empty.
        read: log-likelihood that it gives to the base's reply; None where there is none.
        nats: sum of KL(base‖it) over the sample's own tokens; None where it was not measured.
        tokens: how many.
        same: of how many of them both models have the same first choice.
        failed: why there is no answer, else empty.
    """

    options: tuple[float, ...] = ()
    text: str = ""
    read: float | None = None
    nats: float | None = None
    tokens: int = 0
    same: int = 0
    failed: str = ""

    def output(self) -> Output:
        """As the scorers take it."""
        return Output(text=self.text, option_logprobs=self.options, failed=self.failed)


@dataclasses.dataclass(frozen=True)
class Reading:
    """One run of one variant.

    Attributes:
        variant: its name.
        setting: how it was computed.
        task_set: what it was asked.
        device: where.
        beside: the variant that its divergences are measured from; itself where it is run again.
        said: by the sample's id.
    """

    variant: str
    setting: str
    task_set: str
    device: str
    beside: str
    said: dict[str, Said]


def write(path: Path, readings: Iterable[Reading]) -> None:
    """Write readings as they come, one a line."""
    with lzma.open(path, "wt", encoding="utf-8") as file:
        for reading in readings:
            file.write(json.dumps(_plain(reading)) + "\n")


def read(path: Path) -> Iterator[Reading]:
    """Read what :func:`write` wrote."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            said = {id_: _said(one) for id_, one in data.pop("said").items()}
            yield Reading(**data, said=said)


def _said(data: dict[str, Any]) -> Said:
    return Said(**{**data, "options": tuple(data.get("options", ()))})


def _plain(reading: Reading) -> dict[str, Any]:
    blank = Said()
    said = {
        id_: {
            field.name: _rounded(value)
            for field in dataclasses.fields(one)
            if (value := getattr(one, field.name)) != getattr(blank, field.name)
        }
        for id_, one in reading.said.items()
    }
    names = ("variant", "setting", "task_set", "device", "beside")
    return {**{name: getattr(reading, name) for name in names}, "said": said}


def _rounded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [round(one, DIGITS) for one in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def heated(engine: Any, temperature: float) -> Engine:
    """Divide a loaded model's logits: it orders words as before, and is less sure of them."""
    head = engine.model.get_output_embeddings()
    head.register_forward_hook(lambda _module, _inputs, logits: logits / temperature)
    loaded: Engine = engine
    return loaded
