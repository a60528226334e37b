"""Stored measurements: what is taken back, and what is not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.records.declared import PerformanceConfig
from pytest_modellab.records.runs import Fingerprint
from pytest_modellab.records.timings import Performance, Timings
from pytest_modellab.runs import performance
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.store import files

SETTINGS = PerformanceConfig()
TIMES = Timings(
    first_token=((0.1, 0.2),) * 5,
    end_to_end=((0.3, 0.4),) * 5,
    tokens_in=(10, 20),
    tokens_out=(4, 4),
    loaded=((0.5,),) * 5,
    groups=(2,),
)


def job(weights: str, *, reuse: bool = True) -> Any:
    return SimpleNamespace(
        fingerprint=Fingerprint(weights, "t", "p", {"device": "cpu"}),
        source=None,
        spec=SimpleNamespace(name=weights),
        task_set=SimpleNamespace(name="words", hash="h"),
        reuse=reuse,
    )


def measured(workers: int = 0) -> Performance:
    return Performance(
        TIMES, TIMES, {"peak_host_bytes": 1.0}, {"device": "cpu", "workers": workers}
    )


@pytest.fixture
def obtain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask for a measurement; a fresh one is `measured(workers)` and is counted."""
    calls: list[int] = []

    def run(workers: int = 0, *, reuse: bool = True) -> tuple[Performance, int]:
        def measure(*_: Any, **__: Any) -> Performance:
            calls.append(workers)
            return measured(workers)

        monkeypatch.setattr(performance, "measure", measure)
        found = performance.obtain(
            job("a", reuse=reuse), job("b"), SETTINGS, InProcess(tmp_path, Loaded(tmp_path).engine)
        )
        return found, len(calls)

    return run


def stored(folder: Path) -> Path:
    (place,) = (folder / "performance").glob("*.json")
    return place


def test_the_second_time_it_is_read(obtain: Any) -> None:
    first, calls = obtain()
    again, after = obtain()
    assert (again, after) == (first, calls)
    assert obtain(reuse=False)[1] == calls + 1


def test_what_was_measured_beside_other_workers_is_not_kept(obtain: Any, tmp_path: Path) -> None:
    obtain(workers=2)
    assert not (tmp_path / "performance").exists()
    quiet, _ = obtain()
    obtain(workers=2, reuse=False)
    assert obtain()[0] == quiet


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": []},
        {"candidate": None},
        {"end_to_end": [[0.3, 0.4], [0.3]]},
        {"end_to_end": [[0.0, 0.4]] * 5},
        {"end_to_end": None},
        {"groups": []},
        {"tokens_out": [4]},
        {"loaded": [[0.5, 0.5]] * 5},
    ],
)
def test_a_damaged_file_is_measured_anew(
    obtain: Any, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Even where its digest is right."""
    _, calls = obtain()
    place = stored(tmp_path)
    data = files.unseal(place.read_bytes(), place.stem)
    if "candidate" in change:
        data.update(change)
    else:
        data["candidate"].update(change)
    files.write(place, data, of=place.stem)
    assert obtain()[1] == calls + 1


def test_measurements_without_their_digest_are_made_anew(
    obtain: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, calls = obtain()
    place = stored(tmp_path)
    place.write_bytes(place.read_bytes().replace(b"0.3", b"0.1"))
    assert obtain()[1] == calls + 1
    assert caplog.messages == [
        f"the stored latency of a on words is not used: {'/'.join(place.parts[-3:])} is damaged: "
        "its digest does not match what it holds"
    ]
    assert obtain()[1] == calls + 1
    assert len(caplog.messages) == 1
