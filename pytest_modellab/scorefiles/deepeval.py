"""Test runs of DeepEval, as it saves them or as ``evaluate(…).model_dump_json()`` does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError
from pytest_modellab.reports.words import plural
from pytest_modellab.scorefiles.labels import digest, first_line, labels
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns

_BY_PLACE = re.compile(r"(?:\w+_)?test_case_\d+")
"""Names that DeepEval gives by the order of the test cases alone."""


_METRICS = frozenset({"metricsData", "metrics_data", "metricsMetadata", "metrics_metadata"})
"""Where a test case has its metrics, in files and in results of evaluate(), now and before."""


def table(path: Path, content: Mapping[str, Any] | Sequence[Any]) -> ScoreTable | None:
    """Read a test run, or return None where another tool wrote it.

    Args:
        path: for messages.
        content: what the file holds: a run, or results of test cases.

    Returns:
        One record a test case, with each metric's score under the metric's name.

    Raises:
        ScoreFileError: it is DeepEval's cache, or no metric of any test case has a score.
    """
    if "test_cases_lookup_map" in content:
        raise ScoreFileError(
            f"{path}: DeepEval's cache, which does not say what the last run was; hand in "
            ".deepeval/.latest_test_run.json, or a file of DEEPEVAL_RESULTS_FOLDER"
        )
    cases = _cases(content)
    if cases is None:
        return None
    if not cases:
        raise ScoreFileError(f"{path}: a test run of DeepEval without a test case; run it again")
    contents = [_content(case) for case in cases]
    named = zip(cases, contents, strict=True)
    ids = labels([(_name(case), str(content[0]), content) for case, content in named])
    scores = [_scores(case) for case in cases]
    errors = [str(one["error"]) for case in cases for one in _metrics(case) if one.get("error")]
    if all(score is None for found in scores for score in found.values()):
        raise ScoreFileError(
            f"{path}: no metric of {plural(len(cases), 'test case')} has a score; the first "
            f"error: {first_line(errors[0] if errors else None)}; mend that, and run it again"
        )
    records = [
        (
            f"test case {number}",
            {
                **found,
                "id": id_,
                "content_hash": digest(content),
                "name": case.get("name"),
                "success": case.get("success"),
                "metadata": _first(case, "additionalMetadata", "additional_metadata", "metadata"),
            },
        )
        for number, (case, id_, content, found) in enumerate(
            zip(cases, ids, contents, scores, strict=True), start=1
        )
    ]
    return ScoreTable(
        kind="test run of DeepEval",
        columns=nested_columns(records),
        records=records,
        scores=tuple(dict.fromkeys(name for found in scores for name in found)),
        lower=_directions(cases),
        notes=(f"{plural(len(errors), 'metric')} failed, without a score",) if errors else (),
    )


def _cases(content: Mapping[str, Any] | Sequence[Any]) -> list[Mapping[str, Any]] | None:
    if not isinstance(content, Mapping):
        bare: list[Mapping[str, Any]] = [
            one for one in content if isinstance(one, dict) and not _METRICS.isdisjoint(one)
        ]
        return bare if bare and len(bare) == len(content) else None
    run = content.get("testRunData", content)
    if not isinstance(run, dict):
        return None
    found = [run.get(key) for key in ("testCases", "conversationalTestCases", "test_results")]
    lists = [cases for cases in found if isinstance(cases, list)]
    if not lists or ("test_results" not in run and "metricsScores" not in run):
        return None
    return [case for cases in lists for case in cases if isinstance(case, dict)]


def _first(values: Mapping[str, Any], *names: str) -> Any:
    """Return the first value that is there: files have camelCase, results of evaluate() do not."""
    return next((values[name] for name in names if values.get(name) is not None), None)


def _name(case: Mapping[str, Any]) -> str | None:
    name = case.get("name")
    return name if isinstance(name, str) and not _BY_PLACE.fullmatch(name) else None


def _content(case: Mapping[str, Any]) -> list[Any]:
    """Return what was asked and expected; of a conversation its scenario, or the user's turns."""
    turns = case.get("turns")
    users = [
        turn.get("content")
        for turn in (turns if isinstance(turns, list) else ())
        if isinstance(turn, dict) and turn.get("role") == "user"
    ]
    asked = _first(case, "input", "scenario") or users
    expected = _first(
        case, "expectedOutput", "expected_output", "expectedOutcome", "expected_outcome"
    )
    return [asked, expected]


def _metrics(case: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = _first(case, *sorted(_METRICS))
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _title(metric: Mapping[str, Any]) -> str:
    return str(_first(metric, "name", "metric"))


def _scores(case: Mapping[str, Any]) -> dict[str, Any]:
    """Return each metric's score; of two metrics of one name, the second is numbered."""
    found: dict[str, Any] = {}
    more: Counter[str] = Counter()
    for metric in _metrics(case):
        name = title = _title(metric)
        while name in found:
            more[title] += 1
            name = f"{title} ({1 + more[title]})"
        found[name] = None if metric.get("error") else metric.get("score")
    return found


def _directions(cases: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """Tell of which metrics a low score succeeds, as of bias until DeepEval turned it round."""
    seen: dict[str, set[bool]] = {}
    for metric in (metric for case in cases for metric in _metrics(case)):
        score, limit, success = (metric.get(key) for key in ("score", "threshold", "success"))
        if not isinstance(score, int | float) or not isinstance(limit, int | float):
            continue
        if score != limit and isinstance(success, bool):
            seen.setdefault(_title(metric), set()).add(success != (score > limit))
    return {name: found.pop() for name, found in seen.items() if len(found) == 1}
