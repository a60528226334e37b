"""``modellab report``: Allure's report of a run, as one file that opens anywhere."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_modellab.cli.common import EXIT_OK, Subparsers, save, say
from pytest_modellab.errors import ConfigError, ModellabError
from pytest_modellab.store import atomic

MAJOR = 3
"""The Allure that is wanted; the other one, in Java, has a command of the same name."""


_INSTALL = "install it: npm install -g allure (it needs Node 20 or newer, no Java)"


_RUN = "pytest suites --alluredir {0} --clean-alluredir"


_SECONDS = 120


# The app asks for its data while the page is still being read, and takes a page without this for
# one whose data lies on a server.
_READY = "<script>window.allureReportData = {}; window.allureReportDataReady = false;</script>"


# From disk the app cannot measure an attached page, and shows six lines of it.
_TALL = "<style>iframe[title='HTML attachment'] { height: 75vh; }</style>"


# Allure's ring of passed tests, green for the most part beside a block, makes room for the verdict.
_PLACE = ":has(> [data-testid='report-header']) + div"
_RING = f"{_PLACE} > article"
_WORD = """<style>
      {ring} > * {{ display: none; }}
      {place}, {ring} {{ width: max-content; height: auto; }}
      {ring}::after {{ content: "{word}"; font: 700 24px/1.2 sans-serif; color: {color}; }}
    </style>"""
_COLORS = {
    "block": "var(--color-status-failed-chart-fill, #d33)",
    "error": "var(--color-status-broken-chart-fill, #b60)",
    "inconclusive": "var(--color-status-unknown-chart-fill, #75c)",
    "accepted": "var(--color-status-broken-chart-fill, #b60)",
    "pass": "var(--color-status-passed-chart-fill, #282)",
}


_ANALYTICS = re.compile(
    r"[ \t]*<script\b[^>]*\bsrc=[\"']?https?://[^>]*></script>\s*"  # loads it
    r"|[ \t]*<script>(?:(?!</script>).)*?\bgtag\((?:(?!</script>).)*</script>\s*",  # calls it
    re.DOTALL,
)


def add(commands: Subparsers) -> None:
    """Declare the command."""
    report = commands.add_parser(
        "report",
        help="Allure's report of a run, as one file",
        description="Has Allure 3 make the report of a results folder, as one HTML file that opens "
        "from disk and asks no other host for anything, and keeps the history beside the folder.",
    )
    report.add_argument(
        "results",
        nargs="?",
        type=Path,
        default=Path("allure-results"),
        metavar="RESULTS",
        help="what --alluredir named (default: allure-results)",
    )
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("allure-report.html"),
        metavar="FILE",
        help="the file (default: allure-report.html)",
    )
    report.add_argument("--open", action="store_true", help="show it in the browser")
    report.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns its exit code.

    Raises:
        ConfigError: the folder is none of a run's.
        ModellabError: Allure is missing or failed, or the file cannot be written.
    """
    from pytest_modellab.reports.allure_report import history_path

    config = _config(options.results)
    command = _allure()
    history = history_path(options.results)
    with (
        _without(history, options.results),
        tempfile.TemporaryDirectory(prefix="modellab-report-") as folder,
    ):
        page = _generate(command, options.results, config, Path(folder))
    if unwritten := save({options.output: mend(page, _verdict(options.results))}):
        raise ModellabError(*unwritten)
    size = options.output.stat().st_size / 1e6
    kept = f"; history: {os.path.relpath(history)}" if history.exists() else ""
    say(f"wrote {options.output} ({size:.1f} MB){kept}")
    if options.open:
        webbrowser.open(options.output.resolve().as_uri())
    return EXIT_OK


def mend(page: str, verdict: str = "") -> str:
    """Make Allure's single file open reliably, in full, and ask no other host for anything.

    Args:
        page: as Allure 3 wrote it.
        verdict: stands in place of the share of passed tests; empty leaves that.

    Returns:
        The page with its data declared before anything else runs, without the analytics.
    """
    page = _ANALYTICS.sub("", page)
    if _READY in page:
        return page
    ahead = f"\n    {_READY}\n    {_TALL}"
    if color := _COLORS.get(verdict):
        ahead += (
            f"\n    {_WORD.format(place=_PLACE, ring=_RING, word=verdict.upper(), color=color)}"
        )
    return re.sub(r"<head\b[^>]*>", lambda found: found[0] + ahead, page, count=1)


def _verdict(results: Path) -> str:
    """The verdict that the last session wrote into a results folder; empty where none is found."""
    try:
        text = (results / "environment.properties").read_text(encoding="utf-8")
    except (OSError, ValueError):  # the report is made without it
        return ""
    found = re.search(r"^verdict = (\w+)$", text, re.MULTILINE)
    return found[1] if found else ""


def _config(results: Path) -> Path:
    """Allure's configuration in a results folder, checked to be that of a run."""
    from pytest_modellab.reports.allure_report import CONFIG_NAME

    again = _RUN.format(results)
    if not results.is_dir():
        raise ConfigError(f"{results}: no such folder; a run writes one: {again}")
    if next(results.glob("*-result.json"), None) is None:
        raise ConfigError(f"{results}: no test results in it; a run writes them: {again}")
    config = results / CONFIG_NAME
    if not config.is_file():
        raise ConfigError(
            f"{results}: {CONFIG_NAME} is missing, which a run of the gate writes at its end; no "
            f"test was judged, or the run was killed; run again: {again}"
        )
    return config.resolve()


def _allure() -> list[str]:
    """The command that runs Allure 3: the installed one, or this project's by way of npx."""
    others = []
    for name, *rest in (["allure"], ["npx", "--no-install", "allure"]):
        program = shutil.which(name)
        if program is None:
            continue
        command = [program, *rest]
        done = _run([*command, "--version"])
        version = re.search(r"^\s*v?((\d+)\.\d+\S*)\s*$", done.stdout, re.MULTILINE)
        if done.returncode == 0 and version is not None:
            if int(version[2]) >= MAJOR:
                return command
            others.append(f"{program} is Allure {version[1]}")
        elif name == "allure":
            others.append(f"{program} --version fails: {_last_line(done)}")
    found = f" ({'; '.join(others)})" if others else ""
    raise ModellabError(f"Allure {MAJOR} is not installed{found}; {_INSTALL}")


def _generate(command: Sequence[str], results: Path, config: Path, folder: Path) -> str:
    """Run Allure into an empty folder; returns its page."""
    wanted = ["--config", str(config), "--output", str(folder / "report")]
    done = _run([*command, "generate", str(results.resolve()), *wanted])
    page = folder / "report" / "index.html"
    if done.returncode != 0 or not page.is_file():
        raise ModellabError(f"Allure made no report of {results}: {_last_line(done)}")
    return page.read_text(encoding="utf-8")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "FORCE_COLOR"} | {"NO_COLOR": "1"}
    try:
        return subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=None if "generate" in command else _SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", f"{done.stdout}\n{done.stderr}")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {done.returncode}, no output"


@contextlib.contextmanager
def _without(history: Path, results: Path) -> Iterator[None]:
    """Take these results out of the history, lest a second report counts them twice.

    Put back where no report is made.
    """
    text = history.read_text(encoding="utf-8") if history.is_file() else ""
    *before, last = text.splitlines(keepends=True) or [""]
    newest = max(_start(path.read_text("utf-8")) for path in results.glob("*-result.json"))
    again = newest != 0 and newest == _start(last)
    if again:
        atomic.write_text(history, "".join(before))
    try:
        yield
    except BaseException:
        if again:
            atomic.write_text(history, text)
        raise


def _start(text: str) -> int:
    """When the test of a result, or the last one of a history's entry, began; 0 if unknown."""
    try:
        data = json.loads(text)
        return max(int(one["start"]) for one in data.get("testResults", {"": data}).values())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return 0  # half a file of a killed process; Allure says what is wrong with a history
