"""`modellab report` with a script in place of Allure, and with the real one where it is."""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli
from pytest_modellab.cli import report
from pytest_modellab.reports.allure_report import settings

HTML = """<!DOCTYPE html>
<html dir="ltr" lang="en">
<head>
    <meta charset="utf-8">
</head>
<body>
    <script async src="https://www.googletagmanager.com/gtag/js?id=G-1"></script>
    <script>
        window.dataLayer = window.dataLayer || [];
        function gtag(){dataLayer.push(arguments);}
        gtag('js', new Date());
    </script>
    <script src="data:text/javascript;base64,YXBw"></script>
    <script async>window.allureReportData = window.allureReportData || {};</script>
    <script defer>d("widgets/x.json","e30=")</script>
</body>
</html>
"""

FAKE = f"""#!{sys.executable}
import json, os, pathlib, sys
log = pathlib.Path(os.environ["FAKE_LOG"])
arguments = sys.argv[1:]
with log.open("a") as file:
    print(json.dumps([pathlib.Path(sys.argv[0]).name, *arguments]), file=file)
if pathlib.Path(sys.argv[0]).name == "npx":
    assert arguments[:2] == ["--no-install", "allure"]
    arguments = arguments[2:]
if arguments == ["--version"]:
    print(os.environ.get("FAKE_VERSION", "3.18.0"))
    sys.exit(int(os.environ.get("FAKE_EXIT", "0")))
if "FAKE_FAILS" in os.environ:
    print("The report cannot\\x1b[31m be made\\x1b[0m", file=sys.stderr)
    sys.exit(1)
output = pathlib.Path(arguments[arguments.index("--output") + 1])
output.mkdir()
(output / "index.html").write_text({HTML!r})
"""


@pytest.fixture(autouse=True)
def bare_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever Allure there is on this machine is out of sight."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put scripts in Allure's place; returns the file of their calls, a line each."""

    def make(*names: str, **environment: str) -> Path:
        for name in names:
            path = tmp_path / "bin" / name
            path.write_text(FAKE)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        log = tmp_path / "calls"
        monkeypatch.setenv("FAKE_LOG", str(log))
        for name, value in environment.items():
            monkeypatch.setenv(f"FAKE_{name.upper()}", value)
        return log

    return make


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "allure-results"
    folder.mkdir()
    write_result(folder, "a", 1000)
    (folder / settings.CONFIG_NAME).write_text(settings.config(["nf4"], "pass"))
    return folder


def write_result(folder: Path, name: str, start: int) -> None:
    result: dict[str, Any] = {
        "uuid": name,
        "name": f"test_{name}",
        "fullName": f"t#test_{name}",
        "historyId": name,
        "testCaseId": name,
        "status": "passed",
        "start": start,
        "stop": start + 5,
        "labels": [{"name": "variant", "value": "nf4"}, {"name": "task_set", "value": "t_v1"}],
    }
    (folder / f"{name}-result.json").write_text(json.dumps(result))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["report", *arguments]) == 2
    assert list(Path().glob("*.html")) == []
    return capsys.readouterr().err.strip()


def test_the_file_is_mended(
    install: Callable[..., Path], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = install("allure")
    assert cli.main(["report"]) == 0
    assert capsys.readouterr().out == "wrote allure-report.html (0.0 MB)\n"
    page = Path("allure-report.html").read_text()
    assert "google" not in page
    assert "gtag" not in page
    head, _, rest = page.partition("</head>")
    assert "window.allureReportData = {}; window.allureReportDataReady = false;" in head
    assert head.index("<head>") < head.index("allureReportData") < head.index("<meta")
    assert "iframe[title='HTML attachment'] { height: 75vh; }" in head
    assert '<script src="data:text/javascript;base64,YXBw"></script>' in rest
    assert 'd("widgets/x.json","e30=")' in rest
    version, generate = (json.loads(line) for line in log.read_text().splitlines())
    assert version == ["allure", "--version"]
    assert generate[:5] == [
        "allure",
        "generate",
        str(results.resolve()),
        "--config",
        str((results / "allurerc.mjs").resolve()),
    ]
    assert not Path(generate[6]).exists()  # what Allure wrote is cleared away
    assert report.mend(page) == page
    assert "::after" not in page, "no session has told its verdict"


@pytest.mark.parametrize(
    ("told", "word"),
    [("block", "BLOCK"), ("inconclusive", "INCONCLUSIVE"), ('x"; } * { display', None)],
)
def test_the_ring_of_passed_tests_makes_room_for_the_verdict(
    install: Callable[..., Path], results: Path, told: str, word: str | None
) -> None:
    install("allure")
    (results / "environment.properties").write_text(f"alpha = 0.05\nverdict = {told}\n")
    assert cli.main(["report"]) == 0
    page = Path("allure-report.html").read_text()
    assert ("::after" in page) is (word is not None)
    assert word is None or f'article::after {{ content: "{word}";' in page
    assert report.mend(page, told) == page


def test_where_and_opened(
    install: Callable[..., Path],
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install("allure")
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    results = results.rename("elsewhere")
    assert cli.main(["report", "elsewhere", "-o", "new/page.html", "--open"]) == 0
    assert "wrote new/page.html" in capsys.readouterr().out
    assert opened == [Path("new/page.html").resolve().as_uri()]


def test_a_project_s_own_allure_is_asked_for_by_npx(
    install: Callable[..., Path], results: Path
) -> None:
    log = install("npx")
    assert cli.main(["report"]) == 0
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    assert [call[:4] for call in calls] == [
        ["npx", "--no-install", "allure", "--version"],
        ["npx", "--no-install", "allure", "generate"],
    ]


INSTALL = "install it: npm install -g allure (it needs Node 20 or newer, no Java)"


def test_without_allure(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys) == f"modellab: Allure 3 is not installed; {INSTALL}"


def test_another_allure(
    install: Callable[..., Path], results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    install("allure", version="2.46.1")
    assert refused(capsys) == (
        f"modellab: Allure 3 is not installed ({tmp_path}/bin/allure is Allure 2.46.1); {INSTALL}"
    )


def test_an_allure_that_does_not_start(
    install: Callable[..., Path], results: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    install("allure", version="env: node: No such file", exit="127")
    assert refused(capsys) == (
        f"modellab: Allure 3 is not installed ({tmp_path}/bin/allure --version fails: env: node: "
        f"No such file); {INSTALL}"
    )


def test_allure_fails(
    install: Callable[..., Path], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("allure", fails="1")
    history = results.with_name("allure-results-history.jsonl")
    before = entry(500) + entry(1000)
    history.write_text(before)
    assert refused(capsys) == (
        "modellab: Allure made no report of allure-results: The report cannot be made"
    )
    assert history.read_text() == before


AGAIN = "pytest suites --alluredir {} --clean-alluredir"


def test_folders_that_are_no_run_s(
    install: Callable[..., Path], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("allure")
    assert refused(capsys, "nowhere") == (
        f"modellab: nowhere: no such folder; a run writes one: {AGAIN.format('nowhere')}"
    )
    Path("empty").mkdir()
    assert refused(capsys, "empty") == (
        f"modellab: empty: no test results in it; a run writes them: {AGAIN.format('empty')}"
    )
    (results / "allurerc.mjs").unlink()
    assert refused(capsys) == (
        "modellab: allure-results: allurerc.mjs is missing, which a run of the gate writes at its "
        "end; no test was judged, or the run was killed; run again: "
        f"{AGAIN.format('allure-results')}"
    )


def test_where_nothing_can_be_written(
    install: Callable[..., Path], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("allure")
    Path("file").touch()
    assert refused(capsys, "-o", "file/page.html") == (
        "modellab: file/page.html: cannot be written: File exists"
    )


def entry(start: int) -> str:
    return json.dumps({"uuid": str(start), "testResults": {"a": {"start": start}}}) + "\n"


@pytest.mark.parametrize(
    ("last", "kept"),
    [
        (entry(1000), ""),  # of these results: Allure writes it again
        (entry(900), entry(900)),
        ("half an en", "half an en"),
    ],
)
def test_a_second_report_of_a_run_is_not_a_second_run(
    install: Callable[..., Path], results: Path, last: str, kept: str
) -> None:
    install("allure")
    history = results.with_name("allure-results-history.jsonl")
    history.write_text(entry(500) + last)
    assert cli.main(["report"]) == 0
    assert history.read_text() == entry(500) + kept


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["report", "--help"])
    assert "asks no other host for anything" in " ".join(capsys.readouterr().out.split())


REAL = shutil.which("allure"), os.environ["PATH"]


def test_with_the_real_allure(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program, path = REAL
    if program is None:
        pytest.skip("Allure is not on the PATH: npm install -g allure")
    monkeypatch.setenv("PATH", path)
    history = results.with_name("allure-results-history.jsonl")
    for start, entries in ((1000, 1), (1000, 1), (9000, 2)):  # reported twice, then run again
        write_result(results, "a", start)
        assert cli.main(["report"]) == 0
        assert len(history.read_text().splitlines()) == entries
    assert "history: allure-results-history.jsonl" in capsys.readouterr().out
    page = Path("allure-report.html").read_text(encoding="utf-8")
    assert "Model gate: PASS" in page
    assert "googletagmanager" not in page
    assert page.index("allureReportDataReady") < page.index("allureReportOptions")


def test_a_result_of_brackets_has_no_start() -> None:
    assert report._start("[" * 100_000) == 0
    assert report._start('{"start": 5}') == 5
