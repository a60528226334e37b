"""Every report with hostile names, ids, replies and messages: what it shows is inert."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE
from hostile import check_inert as check
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.cli import main
from pytest_modellab.records.media import Media
from pytest_modellab.records.preprocessing import Unlike, differences
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.runs import BucketScore
from pytest_modellab.reports.allure_report import running
from pytest_modellab.reports.page import flipped
from pytest_modellab.reports.session import SessionReport, TestError
from pytest_modellab.reports.text import github, grid, markdown, table, terminal
from pytest_modellab.reports.text.progress import RunProgress
from pytest_modellab.reports.tracking import runs

Make = Callable[..., Any]
hostile = settings(max_examples=60)


@pytest.fixture
def session(report: Make, comparison: Make, figures: Make, flip: Make, run: Make) -> Make:
    """A blocked, an undecided and a failed test whose every text is hostile."""

    def make(a: str, b: str, c: str) -> SessionReport:
        shows = Media("image", c, path=a, format=b, width=9, height=9)
        told = {"media": (shows, shows), "asked": a, "expected": b}
        flips = (flip(id=a, bucket=b, before_output=b, after_output=c, **told),)
        other = (Unlike(a, (b, *differences({a: b, "x": c}, {b: [a]}))),)
        names = {"candidate": a, "capability": b, "task_set": c, "against": b}
        shown = figures(name=a)
        made: SessionReport = report(
            runs=(run(variant=a, task_set=c, buckets=(BucketScore(b, 1, 0.5),), kind=b),),
            comparisons=(
                comparison(
                    "block",
                    flips=flips,
                    notes=(c,),
                    preprocessing=other,
                    figures=(shown, shown),
                    **names,
                ),
                comparison("inconclusive", **names),
            ),
            errors=(TestError("t.py::test", a, c, b), TestError("t.py::other", None, b)),
            notes=(a, c),
        )
        return made

    return make


@hostile
@given(HOSTILE, HOSTILE, HOSTILE)
def test_terminal_markdown_and_messages(session: Make, a: str, b: str, c: str) -> None:
    report = session(a, b, c)
    check("\n".join(text for text, _ in terminal.lines(report)))
    check(markdown.render(report))
    for comparison in report.comparisons:
        check(table.render_text(comparison))
        check(table.render_markdown(comparison))
    check("\n".join(grid.lines(grid.grid([a, b], [[b, c]], right=()))))


@hostile
@given(HOSTILE, HOSTILE, HOSTILE)
def test_annotations_are_our_own(session: Make, a: str, b: str, c: str) -> None:
    for line in github.annotate(session(a, b, c), {}):
        assert line.replace("\t", "").isprintable()
        assert line.startswith(("::error title=modellab%3A ", "::warning title=modellab%3A "))
        assert len(line) < 50_000


@hostile
@given(HOSTILE, HOSTILE, HOSTILE)
def test_the_page_of_flipped_samples_has_no_element_of_theirs(
    session: Make, a: str, b: str, c: str
) -> None:
    text = flipped.render(session(a, b, c).comparisons[0])
    assert text.encode()
    ours = "html head meta title style body header h1 main p br div ul li strong small dl dt dd wbr"
    found = set(re.findall(r"<([^\s/>]+)", text.partition("</style>")[2]))
    assert found <= {*ours.split(), "figure", "figcaption"}
    assert "not shown: " in text


@hostile
@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_cell_of_the_attachment_is_a_formula(session: Make, a: str, b: str, c: str) -> None:
    for comparison in session(a, b, c).comparisons:
        text = running.flips_csv(comparison)
        check(text.replace("::", "").replace("##[", ""))
        for row in csv.reader(io.StringIO(text)):
            assert not [cell for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))]


@hostile
@given(HOSTILE, HOSTILE, HOSTILE)
def test_names_of_a_tracker_are_visible(session: Make, a: str, b: str, c: str) -> None:
    family = runs.of_session(session(a, b, c))
    for run in (family.parent, *family.children):
        for text in (run.name, *run.params.values(), *run.tags.values()):
            assert text.isprintable()
            assert len(text) <= 5000


@hostile
@given(HOSTILE, HOSTILE)
def test_progress(a: str, b: str) -> None:
    file = io.StringIO()
    RunProgress(file)(Advance(Work.RUN, a, b, 0, 10))
    check(file.getvalue())


@hostile
@given(HOSTILE, st.sampled_from(["by", "cluster", "id"]))
def test_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, column: str) -> None:
    name = name.encode("utf-8", "replace").decode()
    for file, right in (("b.csv", 1), ("c.csv", 0)):
        with (tmp_path / file).open("w", encoding="utf-8", newline="") as opened:
            rows = csv.writer(opened)
            rows.writerow(["id", "score", "by", "cluster"])
            for i in range(60):
                value = [str(i), right if i % 2 else 1, "y", str(i)]
                if i % 2:
                    value[["id", "score", "by", "cluster"].index(column)] = f"{name}{i % 4}"
                if column == "id" and i > 3:
                    value[0] = str(i)
                rows.writerow(value)
    out = tmp_path / "gate.md"
    files = [str(tmp_path / "b.csv"), str(tmp_path / "c.csv")]
    capsys.readouterr()
    main(["gate", *files, "--by", "by", "--cluster", "cluster", "--markdown", str(out)])
    shown = capsys.readouterr()
    check(shown.out)
    check(shown.err)
    check(out.read_text(encoding="utf-8"))
