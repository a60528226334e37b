"""What is printed, or cannot be, changes no verdict and no file."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from streams import broken

from pytest_modellab.cli import gate, main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores of two cities beside the command."""
    monkeypatch.chdir(tmp_path)
    for name, score in (("good", 1), ("bad", 0)):
        rows = [f"s-{i},{score},{'Köln' if i % 2 else 'Łódź'}\n" for i in range(40)]
        Path(f"{name}.csv").write_text("id,score,city\n" + "".join(rows), encoding="utf-8")


def judged(candidate: str, *more: str) -> int:
    margins = ["--margin", "0.2", "--bucket-margin", "0.2", "--by", "city"]
    return main(["gate", "good.csv", f"{candidate}.csv", *margins, *more])


def verdict(path: str = "r.json") -> str:
    return str(json.loads(Path(path).read_text(encoding="utf-8"))["verdict"])


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_without_a_letter(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding))
    assert judged("good", "--json", "r.json") == 0
    assert verdict() == "pass"
    assert "\\u0141" in shown.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("what", "candidate", "code"),
    [("gone", "good", 0), ("gone", "bad", 1), ("full", "good", 2), ("full", "bad", 1)],
)
def test_an_output_that_takes_no_more(
    what: str,
    candidate: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with broken(what) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert judged(candidate, "--json", "r.json", "--markdown", "r.md") == code
    assert verdict() == ("pass" if candidate == "good" else "block")
    assert Path("r.md").exists()
    full = "modellab: the standard output cannot be written: No space left on device\n"
    assert capsys.readouterr().err == (full if what == "full" else "")


@pytest.mark.parametrize("candidate", ["good", "bad"])
def test_a_file_that_cannot_be_written(candidate: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(candidate, "--json", "good.csv/r.json", "--markdown", "r.md") == 2
    out, err = capsys.readouterr()
    assert out.startswith("PASS: " if candidate == "good" else "BLOCK: ")
    assert err == "modellab: good.csv/r.json: cannot be written: File exists\n"
    assert Path("r.md").exists()


def test_an_error_of_its_own_is_no_block(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> int:
        raise ZeroDivisionError("somewhere")

    monkeypatch.setattr(gate, "run", fails)
    assert judged("good") == 2
    err = capsys.readouterr().err
    assert "ZeroDivisionError: somewhere\n" in err
    assert err.endswith("modellab: stopped by an error of its own, see above; no verdict\n")
