"""What the running test tells Allure: labels, the tables as its description, flipped samples."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.reports import media
from pytest_modellab.reports.allure_report.markdown import adapted
from pytest_modellab.reports.session import subject
from pytest_modellab.reports.text.flipped import (
    clip,
    column_names,
    flip_count,
    flip_scores,
    scored_by,
)
from pytest_modellab.reports.text.table import render_markdown
from pytest_modellab.visible import CELL, cell, shortened, visible

if TYPE_CHECKING:
    import pytest

_OUTPUT = 400


_FLIPS = 10


def label_test(
    nodeid: str, *, variant: str, kind: str, task_set: str, capability: str | None = None
) -> None:
    """Label the running test with what it is about to judge, so that its errors are grouped too.

    Args:
        nodeid: the test's node id; the session's report is matched by it.
        variant: the variant under test.
        kind: its kind.
        task_set: the task set's name.
        capability: the capability under test, None for all samples or buckets.
    """
    import allure

    for name, value in (
        ("nodeid", nodeid),
        ("variant", variant),
        ("kind", kind),
        ("task_set", task_set),
        ("capability", capability),
    ):
        if value is not None:
            allure.dynamic.label(name, value if name == "nodeid" else visible(value))
    allure.dynamic.feature(visible(variant))
    if capability is not None:
        allure.dynamic.story(visible(capability))


def label(comparison: Comparison) -> None:
    """Label the running test with what it judged and the verdict.

    Labels that a test gets twice, for example from :func:`label_test` or from two comparisons, are
    made one when the session ends.

    Args:
        comparison: what the test judged.
    """
    import allure

    label_test(
        comparison.test,
        variant=comparison.candidate,
        kind=comparison.kind,
        task_set=comparison.task_set,
        capability=comparison.capability,
    )
    if comparison.capability is None:
        allure.dynamic.story(visible(subject(comparison)))
    allure.dynamic.label("verdict", comparison.outcome)
    broad = comparison.capability is None
    allure.dynamic.severity(
        allure.severity_level.CRITICAL if broad else allure.severity_level.NORMAL
    )


def describe(item: pytest.Function, comparisons: Iterable[Comparison]) -> None:
    """Put the tables of all that the running test judged into its description.

    Not into attachments: two a test are thousands of files in a large suite, and a description is
    read without a click. Where the verdict is open, the first flipped samples stand below the
    table; where the gate blocks, the error shows them and :func:`attach` has all.

    Args:
        item: the running test; its docstring, or allure's description marker, comes last.
        comparisons: what it judged, in that order.
    """
    import allure

    marker = item.get_closest_marker("allure_description")
    own = str(marker.args[0]) if marker else inspect.getdoc(item.function) or ""
    parts = [
        adapted(render_markdown(c, _FLIPS if c.verdict == "inconclusive" else 0))
        for c in comparisons
    ]
    allure.dynamic.description("\n".join([*parts, own]).strip())


def attach(comparison: Comparison) -> None:
    """Attach all flipped samples of a blocked comparison to the running test, as CSV.

    Where they show something, a page with pictures and players beside the replies, too.

    Both Allures show CSV as a table; the preview of an HTML or Markdown attachment is a few lines
    high in a report that is opened from disk. Only where the gate blocks, since every attachment is
    a file; of what is undecided the description shows the first ones.

    Args:
        comparison: what the test judged.
    """
    import allure

    if comparison.verdict == "block" and comparison.flips:
        against = visible(f"{subject(comparison)} against {comparison.against}")
        allure.attach(
            flips_csv(comparison),
            name=f"{flip_count(comparison, len(comparison.flips))}: {against}",
            attachment_type=allure.attachment_type.CSV,
        )
        if media.any_shown(comparison.flips):
            from pytest_modellab.reports.page import flipped

            allure.attach(
                flipped.render(comparison),
                name=f"What the flipped samples show: {against}",
                attachment_type=allure.attachment_type.HTML,
            )


def flips_csv(comparison: Comparison) -> str:
    """The flipped samples with both outputs side by side, long outputs cut.

    Every one; under a graded metric, which moves in every sample, those that moved most.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    told = media.any_shown(comparison.flips)
    shows = [media.COLUMN] if told else []
    writer.writerow(
        ["sample", "bucket", scored_by(comparison), *shows, *map(_cell, column_names(comparison))]
    )
    for flip in comparison.flips:
        writer.writerow(
            [
                _cell(flip.id),
                _cell(flip.bucket.removeprefix(f"{comparison.capability}/")),
                flip_scores(comparison, flip),
                *([_cell(media.told(flip.media, flip.id))] if told else []),
                _output(flip.before_output),
                _output(flip.after_output),
            ]
        )
    return file.getvalue()


def _output(text: str) -> str:
    lines = "\n".join(visible(line) for line in text.splitlines())
    return cell(clip(lines, _OUTPUT)) if lines.strip() else "(empty)"


def _cell(text: str) -> str:
    return cell(visible(shortened(text, CELL)))
