"""A diagnosis for a terminal, and in Markdown."""

from __future__ import annotations

import re

from pytest_modellab.records.diagnosed import finite
from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.reports import diagnosed
from pytest_modellab.reports.text.table import escape, markdown_table
from pytest_modellab.reports.words import size
from pytest_modellab.visible import line

_LABEL = 11


_FINDINGS = 8


_NOTES = 8


_PASTED = 1000  # lines; half a list would be worse than none


_TICKS = re.compile("`*")


Line = tuple[str, dict[str, bool]]
"""As in :mod:`pytest_modellab.reports.text.terminal`."""


def lines(diagnosis: Diagnosis, report: str = "") -> list[Line]:
    """What ``modellab diagnose`` prints.

    Args:
        diagnosis: the one.
        report: the file that holds the pictures, where one was written.

    Returns:
        Lines with the markup of pytest's terminal writer; nothing in them acts on a terminal.
    """
    found: list[Line] = [(f"[Diagnosis] {diagnosed.named(diagnosis)}", _markup(diagnosis))]
    facts = diagnosed.facts(diagnosis)
    width = max(_LABEL, *(len(name) for name, _ in facts))
    found += [(_row(name, text, width), {}) for name, text in facts]
    found += [(f"    {text}", {"bold": True}) for text in pasted(diagnosis)]
    notes = diagnosis.notes[:_NOTES]
    found += [(_row("note", note, width), {"yellow": True}) for note in notes]
    if rest := len(diagnosis.notes) - len(notes):
        found.append((_row("note", f"and {rest} more", width), {"yellow": True}))
    end = f"  {diagnosed.seconds_words(diagnosis)}" if diagnosis.seconds else ""
    if report:
        end = f"{end}, report: {report}" if end else f"  report: {report}"
    found += [(end, {})] if end else []
    return [(line(text), markup) for text, markup in found]


def text(diagnosis: Diagnosis, report: str = "") -> str:
    """As :func:`lines`, without colours."""
    return "\n".join(one for one, _ in lines(diagnosis, report)) + "\n"


def markdown(diagnosis: Diagnosis) -> str:
    """What a pull request or an Allure description shows; everything else stands in the page."""
    parts = [
        f"**{escape(diagnosis.candidate.name)} against {escape(diagnosis.base.name)}: "
        f"{escape(diagnosis.headline)}**",
        "",
        *(f"- {name}: {escape(text)}" for name, text in diagnosed.facts(diagnosis)),
    ]
    if block := pasted(diagnosis):
        fence = "`" * max(3, 1 + max(len(run) for one in block for run in _TICKS.findall(one)))
        parts += ["", f"{fence}toml", *block, fence]
    remedy = diagnosis.remedy
    if remedy is not None and remedy.curve:
        rows = [[str(k.modules), diagnosed.share(k.restored), size(k.bytes)] for k in remedy.curve]
        head = ["modules kept", "restored", "more bytes"]
        parts += ["", *markdown_table(head, rows, right={0, 1, 2})]
    if diagnosis.findings and diagnosis.blame is None:  # else the facts have said them
        parts += ["", *_findings(diagnosis)]
    if diagnosis.pictures:
        parts += ["", *(f"- {escape(f'{p.title}: {p.sentence}')}" for p in diagnosis.pictures)]
    parts += [f"\n<sub>note: {escape(note)}</sub>" for note in diagnosis.notes[:_NOTES]]
    return "\n".join(parts) + "\n"


def pasted(diagnosis: Diagnosis) -> list[str]:
    """The lines for ``modellab.toml``, each made harmless; none where none help."""
    if diagnosis.remedy is None:
        return []
    found = [one for one in diagnosis.remedy.paste.splitlines() if one.strip()]
    return [line(one) for one in found] if len(found) <= _PASTED else []


def _findings(diagnosis: Diagnosis) -> list[str]:
    rows = []
    for finding in diagnosis.findings[:_FINDINGS]:
        nats = "" if finding.nats is None else diagnosed.nats(finding.nats)
        restored = "" if finding.restored is None else diagnosed.share(finding.restored)
        rows.append(
            [escape(finding.site), escape(finding.fault), nats, restored, escape(finding.detail)]
        )
    head = ["place", "fault", "nats that enter", "restored", "seen"]
    table = markdown_table(head, rows, right={2, 3})
    rest = len(diagnosis.findings) - _FINDINGS
    return [*table, *(["", f"and {rest} more"] if rest > 0 else [])]


def _row(name: str, text: str, width: int) -> str:
    return f"  {name:<{width}}  {text}"


def _markup(diagnosis: Diagnosis) -> dict[str, bool]:
    if diagnosis.culprit is not None:
        return {"red": True, "bold": True}
    known = diagnosis.damage is not None and finite(diagnosis.damage)
    quiet = diagnosis.fault in ("none", "rewritten") and known
    return {"green": True} if quiet else {"yellow": True}
