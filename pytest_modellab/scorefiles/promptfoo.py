"""Results of promptfoo: ``promptfoo eval -o out.json``, ``.jsonl`` or ``.csv``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import ScoreFileError, near_misses
from pytest_modellab.reports.words import plural
from pytest_modellab.scorefiles.labels import digest, first_line, labels
from pytest_modellab.scorefiles.table import ScoreTable, nested_columns
from pytest_modellab.tables.sheets import Sheet

KIND = "results of promptfoo"


_ERROR = 2
"""What ``failureReason`` is where a test could not be run; 1 is an assertion that failed."""


_OUTPUT = re.compile(r"\[.*\] ")


_GRADE = re.compile(r"\[(?:PASS|FAIL)\] \(")


_KEYS = {"success", "score", "vars", "prompt", "provider"}
"""What each result has, in every version."""


_SCORES = ("score", "success")


_AFTER_OUTPUT = ["Status", "Score", "Named Scores"]
"""The columns of a CSV file that follow on the outputs'."""


def results(document: Mapping[str, Any]) -> Sequence[Any]:
    """Return the results in a JSON file of any version; none where another tool wrote it."""
    outer = document.get("results")
    inner = outer.get("results") if isinstance(outer, dict) else None
    return inner if isinstance(inner, list) else ()


def table(path: Path, found: Sequence[Any], provider: str | None) -> ScoreTable | None:
    """Read results, or return None where another tool wrote them.

    Args:
        path: for messages.
        found: one a test, prompt and provider.
        provider: the provider to take; needed where there are several.

    Returns:
        One record a test, and prompt where there are several.

    Raises:
        ScoreFileError: there are several providers and none, or an unknown one, was named; or no
            test could be run.
    """
    if not found or not all(isinstance(one, dict) and one.keys() >= _KEYS for one in found):
        return None
    found = _one_provider(path, found, provider)
    if all(_ungraded(one) for one in found):
        raise ScoreFileError(
            f"{path}: none of {plural(len(found), 'test')} has an assertion, so nothing was "
            "scored; give them assertions, and run them again"
        )
    failed = [one for one in found if _failed(one)]
    if len(failed) == len(found):
        raise ScoreFileError(
            f"{path}: all {plural(len(found), 'test')} failed, none has a score; the first: "
            f"{first_line(failed[0].get('error'))}; mend that, and run it again"
        )
    prompts = [_prompt(one) for one in found]
    asked = _asked(found, prompts)
    named = zip(found, asked, strict=True)
    ids = labels([(None, _text(one), content) for one, content in named])
    records = [
        (f"result {number}", _record(one, id_, content, prompt))
        for number, (one, id_, content, prompt) in enumerate(
            zip(found, ids, asked, prompts, strict=True), start=1
        )
    ]
    columns = nested_columns(records)
    chosen = _provider(found[0]) if found[0]["provider"] else None  # a sheet does not say it
    return ScoreTable(
        kind=KIND,
        columns=columns,
        records=records,
        scores=tuple(c for c in columns if c in _SCORES or c.startswith("namedScores.")),
        notes=(
            *(
                f"{plural(count, 'test')} {words}, without a score"
                for count, words in (
                    (len(failed), "failed"),
                    (sum(map(_ungraded, found)), "had no assertion"),
                )
                if count
            ),
            *([f"provider {chosen!r}"] if chosen else []),
        ),
    )


def sheet_table(path: Path, sheet: Sheet) -> ScoreTable | None:
    """Read a CSV file, or return None where another tool wrote it.

    Args:
        path: for messages.
        sheet: the file's cells: variables, then a column of outputs with its status and score.

    Raises:
        ScoreFileError: it has several columns of outputs, whose names do not tell them apart.
    """
    header = list(sheet.header)
    if _OUTPUT.match(header[-1]) and all(_GRADE.match(cells[-1]) for _, cells in sheet.lines):
        raise ScoreFileError(
            f"{path}: results of an older promptfoo, which writes scores into the outputs' text; "
            "hand in JSON: promptfoo eval -o out.json"
        )
    outputs = [n for n in range(len(header)) if header[n + 1 : n + 4] == _AFTER_OUTPUT]
    if not outputs:
        return None
    if len(outputs) > 1:
        raise ScoreFileError(
            f"{path}: outputs of {len(outputs)} prompts or providers side by side; hand in what "
            "tells them apart: promptfoo eval -o out.json"
        )
    found = []
    for number, cells in sheet.lines:
        if len(cells) != len(header):
            raise ScoreFileError(
                f"{path}: line {number}: {len(cells)} cells, but the header names {len(header)} "
                "columns; export the results again"
            )
        values = dict(zip(header[: outputs[0]], cells, strict=False))
        status, score = cells[outputs[0] + 1 : outputs[0] + 3]
        description = values.pop("Description", None)
        after = dict(zip(header[outputs[0] :], cells[outputs[0] :], strict=True))
        found.append(
            {
                "vars": values,
                "testCase": {"description": description or None},
                "success": status == "PASS",
                "score": score,
                "failureReason": _ERROR if status == "ERROR" else 0,
                "gradingResult": {"reason": after.get("Grader Reason")},
                "error": cells[outputs[0]],
                "prompt": {"label": header[outputs[0]]},
                "provider": "",
            }
        )
    return table(path, found, None)


def _one_provider(path: Path, found: Sequence[Any], wanted: str | None) -> Sequence[Any]:
    providers = list(dict.fromkeys(_provider(one) for one in found))
    if len(providers) == 1:
        return found
    if wanted is None:
        raise ScoreFileError(
            f"{path}: results of {len(providers)} providers: {', '.join(providers)}; name the one "
            f"to compare between the two files: --filter {providers[0]}; to compare one with "
            "another, write each into a file of its own: promptfoo eval --filter-providers NAME"
        )
    if wanted not in providers:
        raise ScoreFileError(
            f"{path}: --filter: unknown provider {wanted!r}; {near_misses(wanted, providers)}"
        )
    return [one for one in found if _provider(one) == wanted]


def _provider(result: Mapping[str, Any]) -> str:
    provider = result["provider"]
    if isinstance(provider, dict):
        provider = provider.get("label") or provider.get("id")
    return str(provider)


def _prompt(result: Mapping[str, Any]) -> str | None:
    """Return the prompt before variables are filled in, where the result says it."""
    prompt = result["prompt"]
    label = prompt.get("label") or prompt.get("display") if isinstance(prompt, dict) else None
    return None if label is None else str(label)


def _test(result: Mapping[str, Any]) -> Mapping[str, Any]:
    test = result.get("testCase")
    return test if isinstance(test, dict) else {}


def _failed(result: Mapping[str, Any]) -> bool:
    """Tell whether a test could not be run; version 2 has an error in place of a grade."""
    if "failureReason" in result:
        return bool(result["failureReason"] == _ERROR)
    return bool(result.get("error")) and not result.get("gradingResult")


def _ungraded(result: Mapping[str, Any]) -> bool:
    """Tell whether a test has no assertion, which promptfoo calls passed, with a score of 1."""
    grade = result.get("gradingResult")
    return isinstance(grade, dict) and grade.get("reason") == "No assertions"


def _asked(found: Sequence[Mapping[str, Any]], prompts: Sequence[str | None]) -> list[Any]:
    """Return what tells samples apart: variables; prompt or assertions where they alone do."""
    several = len(set(prompts)) > 1
    asked: list[Any] = []
    for one, prompt in zip(found, prompts, strict=True):
        values = one["vars"] if isinstance(one["vars"], dict) else {}
        kept = {k: v for k, v in values.items() if k != "sessionId" and not k.startswith("_")}
        asked.append([kept, prompt] if several else kept)
    checks: dict[str, set[str]] = {}
    for one, content in zip(found, asked, strict=True):
        checks.setdefault(digest(content), set()).add(digest(_test(one).get("assert")))
    return [
        [content, _test(one).get("assert")] if len(checks[digest(content)]) > 1 else content
        for one, content in zip(found, asked, strict=True)
    ]


def _text(result: Mapping[str, Any]) -> str:
    values = result["vars"]
    text = " ".join(map(str, values.values())) if isinstance(values, dict) else ""
    return text or str(_test(result).get("description") or "")


def _record(
    result: Mapping[str, Any], id_: str, content: Any, prompt: str | None
) -> dict[str, Any]:
    test, named = _test(result), result.get("namedScores")
    scores: dict[str, Any] = {}
    if not _failed(result) and not _ungraded(result):
        scores = {name: result[name] for name in _SCORES}
        if isinstance(named, dict):
            scores.update((f"namedScores.{name}", value) for name, value in named.items())
    if test.get("assert"):
        scores["target_hash"] = digest(test["assert"])
    return {
        **scores,
        "id": id_,
        "content_hash": digest(content),
        "description": test.get("description"),
        "prompt": prompt,
        "vars": result["vars"],
        "metadata": test.get("metadata"),
    }
