"""Results of tests that are none: the verdict of the whole session, and what else it has to say."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from pytest_modellab.reports.advice import next_step
from pytest_modellab.reports.allure_report.markdown import adapted
from pytest_modellab.reports.allure_report.settings import TITLE, VERDICT
from pytest_modellab.reports.session import SessionReport, headline
from pytest_modellab.reports.text import markdown
from pytest_modellab.visible import CELL, shortened, visible
from pytest_modellab.visible import message as shown

_STATUS = {"block": "failed", "error": "broken", "inconclusive": "unknown"}
"""What is no verdict to be glad of, in Allure's words; all else passed."""


_BYTES = 60_000


def entry(feature: str, story: str, start: int) -> dict[str, Any]:
    """A result without name and status; who it is depends on feature and story alone.

    Without the label that the tree is grouped by, it can be read before anything is opened.

    Args:
        feature: what it is; its environment and suite, too.
        story: what it is of.
        start: when it seems to have begun, in milliseconds since 1970, which is its place.
    """
    full_name = f"modellab.{feature.lower()}#{story}"
    key = hashlib.md5(full_name.encode(), usedforsecurity=False).hexdigest()
    labels = {
        "feature": feature,
        "story": story,
        "suite": feature,
        "severity": "critical",
        "framework": "pytest",
    }
    return {
        "uuid": identity(full_name),
        "fullName": full_name,
        "titlePath": [feature],
        "testCaseId": key,
        "historyId": key,
        "start": start,
        "stop": start,
        "labels": [{"name": name, "value": value} for name, value in labels.items()],
    }


def verdict(report: SessionReport, start: int) -> dict[str, Any]:
    """The verdict of the session: its name is the sentence, its description the whole report.

    Args:
        report: the session.
        start: of its first test, in milliseconds since 1970; it comes before all others.
    """
    found = report.verdict
    status = _STATUS.get(found, "passed")
    if found == "inconclusive" and report.on_inconclusive == "fail":
        status = "failed"
    where = report.configuration
    result = entry(VERDICT, where or "session", start - 2)
    said = f"{where}: {headline(report)}" if where else headline(report)
    if status != "passed":
        steps = next_step(report)
        told = [f"{TITLE}: {said}", *(["next:"] if steps else []), *(f"  {one}" for one in steps)]
        result["statusDetails"] = {"message": shown("\n".join(told))}
    return result | {
        "name": shortened(visible(said), CELL),
        "status": status,
        "description": adapted(markdown.render(report, most=_BYTES)),
    }


def identity(text: str) -> str:
    """The same UUID for the same text."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"pytest-modellab/{text}"))
