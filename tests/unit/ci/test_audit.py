"""``tox run -e audit``: what is known, what is accepted for how long, what was not asked."""

from __future__ import annotations

import datetime as dt
import importlib.util
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

CI = Path(__file__).parents[3] / ".ci"
TODAY = dt.date(2026, 11, 29)


@pytest.fixture(scope="module")
def audit() -> Any:
    spec = importlib.util.spec_from_file_location("audit", CI / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*vulns: str, fixed: tuple[str, ...] = ("1.1",)) -> dict[str, Any]:
    found = [{"id": name, "fix_versions": list(fixed)} for name in vulns]
    return {"dependencies": [{"name": "a", "version": "1.0", "vulns": found}]}


def entry(**changes: Any) -> dict[str, Any]:
    return {"id": "G-1", "package": "a", "since": TODAY, "reason": "not called", **changes}


def test_nothing_known(audit: Any) -> None:
    assert audit.problems(report(), [], TODAY) == []


@pytest.mark.parametrize(("fixed", "said"), [(("1.1", "2.0"), "1.1, 2.0"), ((), "no version yet")])
def test_an_advisory(audit: Any, fixed: tuple[str, ...], said: str) -> None:
    assert audit.problems(report("G-1", fixed=fixed), [], TODAY) == [
        f"a: G-1: fixed in {said}; move on in constraints.txt, or accept it in .ci/accepted.toml "
        "with a date and a reason"
    ]


def test_an_accepted_one_holds_for_some_time(audit: Any) -> None:
    for days, lines in ((0, 0), (audit.DAYS, 0), (audit.DAYS + 1, 1)):
        accepted = [entry(since=TODAY - dt.timedelta(days))]
        assert len(audit.problems(report("G-1"), accepted, TODAY)) == lines


def test_an_accepted_one_without_a_reason(audit: Any) -> None:
    (line,) = audit.problems(report("G-1"), [entry(reason=" ")], TODAY)
    assert line.startswith("a: G-1: accepted since 2026-11-29; look at it again")


def test_an_accepted_one_of_another_package_or_gone(audit: Any) -> None:
    assert audit.problems(report(), [entry()], TODAY) == [
        "a: G-1: accepted, but no longer reported; remove the entry"
    ]
    assert len(audit.problems(report("G-1"), [entry(package="b")], TODAY)) == 2


@pytest.mark.parametrize(
    ("stdout", "code", "said"),
    [
        ("", 3, "not audited: no connection"),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', 3, "example a: is the"),
        ('{"dependencies": [{"name": "a", "vulns": []}]}', 0, "1 pinned versions, nothing"),
        (
            '{"dependencies": [{"name": "a", "vulns": [{"id": "X", "fix_versions": []}]}]}',
            1,
            "a: X: fixed in no version yet",
        ),
    ],
)
def test_exit_codes(
    audit: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stdout: str,
    code: int,
    said: str,
) -> None:
    """Above all: what was not asked is never told as clean, even where pip-audit does."""

    def run(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, stdout, "Traceback\nno connection\n")

    monkeypatch.setattr(audit.subprocess, "run", run)
    assert audit.main() == code
    assert said in capsys.readouterr().out


def test_every_accepted_advisory_has_a_date_and_a_reason() -> None:
    for found in tomllib.loads((CI / "accepted.toml").read_text(encoding="utf-8"))["accepted"]:
        assert set(found) == {"id", "package", "since", "reason"}
        assert isinstance(found["since"], dt.date)
        assert found["reason"].strip()
