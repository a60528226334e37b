"""Probes that plugins and conftest files add: each looks at an examination and says what it saw."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_modellab.records import diagnosed
from pytest_modellab.records.diagnosis import Finding, Picture
from pytest_modellab.visible import raised

if TYPE_CHECKING:
    from pytest_modellab.observatory.examination import Examination


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a probe saw.

    Attributes:
        findings: places that differ; they are listed, and never named as the culprit.
        pictures: of them.
        notes: what could not be said, and why.
    """

    findings: tuple[Finding, ...] = ()
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Probe:
    """A kind of examination of its own.

    Attributes:
        name: short and fixed; errors and notes say it.
        examine: looks at the two models, which are still loaded, and leaves them as they are.
        version: raised when it sees something else: stored diagnoses are made anew.
    """

    name: str
    examine: Callable[[Examination], Seen]
    version: int = 1


def look(examination: Examination, probes: Sequence[Probe]) -> Seen:
    """Ask probes in the order of their names; an error of one is a note.

    Args:
        examination: what is known.
        probes: added ones.
    """
    findings: list[Finding] = []
    pictures: list[Picture] = []
    notes: list[str] = []
    for probe in sorted(probes, key=lambda one: one.name):
        try:
            seen = probe.examine(examination)
            if not isinstance(seen, Seen):
                raise TypeError(f"returned a {type(seen).__name__}, expected Seen(findings, …)")
            seen = Seen(*diagnosed.as_read(seen.findings, seen.pictures, seen.notes))
        except Exception as error:  # noqa: BLE001 - any code of other people runs here
            notes.append(f"the probe {probe.name!r} failed: {raised(error)}")
            continue
        findings += seen.findings
        pictures += seen.pictures
        notes += seen.notes
    return Seen(tuple(findings), tuple(pictures), tuple(notes))
