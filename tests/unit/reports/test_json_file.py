from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.reports import json_file
from pytest_modellab.reports.session import SessionReport, TestError

Make = Callable[..., Any]


@pytest.fixture
def full(report: Make, run: Make, comparison: Make, flip: Make) -> Callable[..., SessionReport]:
    def make(seed: int | None = None, **changes: Any) -> SessionReport:
        parts: dict[str, list[Any]] = {
            "runs": [run(**changes), run(variant="int8", **changes), run(variant="fp4", **changes)],
            "comparisons": [
                comparison(verdict, candidate=candidate, capability=capability, flips=(flip(),))
                for verdict, capability in (("block", "code"), ("pass", None))
                for candidate in ("int8", "nf4", "fp4")
            ],
            "errors": [TestError("t::a", "nf4", "m"), TestError("t::b", None, "m", "OSError")],
            "notes": ["one", "two"],
        }
        if seed is not None:
            for part in parts.values():
                random.Random(seed).shuffle(part)
        return report(**{k: tuple(v) for k, v in parts.items()})  # type: ignore[no-any-return]

    return make


def test_round_trip(full: Callable[..., SessionReport], tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    json_file.write([full()], path)
    assert json_file.read(path) == (full(),)
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]


def test_order_does_not_change_a_byte(full: Callable[..., SessionReport]) -> None:
    assert len({json_file.dumps(full(seed)) for seed in range(10)}) == 1


def test_only_measured_differs_between_two_runs(full: Callable[..., SessionReport]) -> None:
    one = json_file.to_dict(full())
    other = json_file.to_dict(
        full(
            cached=True,
            probes={"parameter_bytes": 112e6, "seconds": 99.0, "latency_ms_p95": 3.0},
            environment={
                "python": "3.11.2",
                "torch": "2.13.0",
                "device": "cpu",
                "threads": 1,
                "recorded": "2026-01-01",
            },
        )
    )
    assert one["measured"] != other["measured"]
    del one["measured"], other["measured"]
    assert one == other


def test_a_note_on_the_thread_count_is_measured(
    report: Make, comparison: Make, tmp_path: Path
) -> None:
    notes = ("threads: 1 here, 2 in the reference", "torch: 2.13.0 here, 2.12.0 in the reference")
    parallel = report(comparisons=(comparison("pass", notes=notes),))
    serial = report(comparisons=(comparison("pass", notes=notes[1:]),))
    assert json_file.to_dict(parallel)["comparisons"] == json_file.to_dict(serial)["comparisons"]
    json_file.write([parallel], tmp_path / "r.json")
    assert json_file.read(tmp_path / "r.json") == (parallel,)


def test_the_file_says_what_matters_first_hand(report: Make, comparison: Make) -> None:
    data = json.loads(json_file.dumps(report(comparisons=(comparison("block"),))))
    assert data["schema"] == 1
    assert data["verdict"] == "block"
    assert data["headline"] == "BLOCK: 1 of 1 comparison: nf4 (arithmetic)."
    assert data["comparisons"][0]["figures"][0]["p_adjusted"] == 0.002


def test_an_empty_report(report: Make, tmp_path: Path) -> None:
    json_file.write([report()], tmp_path / "r.json")
    assert json_file.read(tmp_path / "r.json") == (report(),)


@pytest.mark.parametrize(("text", "schema"), [('{"schema": 99}', "99"), ("[]", "None")])
def test_another_schema_is_refused(text: str, schema: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"schema is {schema}, this version .* reads 1"):
        json_file.read(path)


def test_an_old_file_survives_a_failed_write(
    report: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        json_file.write([report()], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_metrics_and_the_index_are_fixed_speeds_and_dollars_are_measured(
    report: Make, search: Make, tmp_path: Path
) -> None:
    run = search()
    slower = {"documents_per_second": 9.0, "query_seconds_p50": 9.0, "query_seconds_p95": 9.0}
    probes = {**run.probes, **slower, "usd_per_million_documents": 9.0, "seconds": 9.0}
    one = json_file.to_dict(report(runs=(run,)))
    other = json_file.to_dict(report(runs=(search(probes=probes),)))
    (fixed,), (measured,) = one["runs"], one["measured"]["runs"]
    assert fixed["metrics"] == dict(run.metrics)
    assert sorted(fixed["probes"]) == [
        "documents",
        "index_bytes_per_document",
        "parameter_bytes",
        "tokens",
        "vector_dimensions",
    ]
    assert sorted(measured["probes"]) == [
        "documents_per_second",
        "query_seconds_p50",
        "query_seconds_p95",
        "seconds",
        "usd_per_million_documents",
    ]
    assert one["measured"] != other["measured"]
    del one["measured"], other["measured"]
    assert one == other
    json_file.write([report(runs=(run,))], tmp_path / "r.json")
    assert json_file.read(tmp_path / "r.json") == (report(runs=(run,)),)


def test_a_report_from_before_there_were_metrics_is_read(
    report: Make, run: Make, tmp_path: Path
) -> None:
    data = json_file.to_dict(report(runs=(run(),)))
    del data["runs"][0]["metrics"]
    (tmp_path / "r.json").write_text(json.dumps(data))
    assert json_file.read(tmp_path / "r.json") == (report(runs=(run(),)),)
