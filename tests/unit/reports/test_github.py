from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_modellab.reports.session import TestError
from pytest_modellab.reports.text import github
from pytest_modellab.reports.text.github import Place

Make = Callable[..., Any]

TEST = "suites/test_quantized.py::test_capability[nf4-arithmetic]"
AT = {TEST: Place("suites/test_quantized.py", 12)}


def test_a_block_marks_its_test(report: Make, comparison: Make) -> None:
    assert github.annotate(report(comparisons=(comparison("block"),)), AT) == [
        "::error file=suites/test_quantized.py,line=12,title=modellab%3A nf4 against own "
        "baseline%2C assistant_core_v2%2C arithmetic%3A BLOCK::blocked: arithmetic fell from 0.62 "
        "to 0.41 (n = 66); a drop this large happens by chance in 1 of 1000 runs; the allowed risk "
        "here is 1 in 200"
    ]


def test_an_error_keeps_its_lines_and_no_command_of_its_own(report: Make) -> None:
    broken = TestError("t.py::test[a,b]", "int8", "100 % broken\r\n::error::oops\n", "OSError")
    assert github.annotate(report(errors=(broken,)), {}) == [
        "::error title=modellab%3A int8%3A no verdict::100 %25 broken%0A\\x3a:error::oops"
    ]


def test_a_long_error_is_cut(report: Make) -> None:
    (line,) = github.annotate(report(errors=(TestError("t.py::test", "int8", "x" * 9999),)), {})
    assert line.endswith("x… (9999 characters) …" + 500 * "x")
    assert len(line) < 2100


@pytest.mark.parametrize(
    ("setting", "begin"), [("warn", "::warning file="), ("fail", "::error file="), ("pass", None)]
)
def test_inconclusive_is_what_the_setting_makes_of_it(
    report: Make, comparison: Make, setting: str, begin: str | None
) -> None:
    found = github.annotate(
        report(comparisons=(comparison("inconclusive"),), on_inconclusive=setting), AT
    )
    assert [line.startswith(begin) for line in found if begin] == [True] * (begin is not None)


def test_one_annotation_a_test_and_none_for_what_passed(report: Make, comparison: Make) -> None:
    found = github.annotate(
        report(
            comparisons=(comparison("block"), comparison("pass", test="t.py::passed")),
            errors=(TestError(TEST, "nf4", "after its verdict: oops"),),
        ),
        AT,
    )
    assert len(found) == 1
    assert "BLOCK::blocked: " in found[0]


def test_what_github_would_not_show_is_counted(report: Make, comparison: Make) -> None:
    found = github.annotate(
        report(
            comparisons=(
                *(comparison("block", test=f"t.py::b{i}") for i in range(13)),
                *(comparison("inconclusive", test=f"t.py::u{i}") for i in range(11)),
            )
        ),
        {},
    )
    errors = [line for line in found if line.startswith("::error ")]
    warnings = [line for line in found if line.startswith("::warning ")]
    assert len(errors) == len(warnings) == 10
    assert errors[-1] == (
        "::error title=modellab%3A 4 more::4 more tests did not pass, which GitHub would not show; "
        "the step's summary has them all"
    )
    assert "2 more tests could not be settled" in warnings[-1]


@pytest.mark.parametrize(
    ("workspace", "file"),
    [
        ("/repo", "sub/suites/test_a.py"),
        ("/repo/sub", "suites/test_a.py"),
        ("/elsewhere", "suites/test_a.py"),
        (None, "suites/test_a.py"),
    ],
)
def test_a_file_is_named_as_github_knows_it(workspace: str | None, file: str) -> None:
    found = github.place("suites/test_a.py", 4, root="/repo/sub", workspace=workspace)
    assert found == Place(file, 5)
    assert github.place("suites/test_a.py", None, root="/repo", workspace=None).line == 1
