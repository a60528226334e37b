"""A model card's text: made anew, or updated without losing what somebody else wrote.

Only two places of an existing card change: the ``model-index`` of its front matter, in which
results of other data sets stay, and what stands between the markers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_modellab.errors import CardError
from pytest_modellab.reports.card.section import BEGIN, END

KEY = "model-index"


_FRONT = re.compile(r"(?ms)\A(\ufeff?\s*---[ \t]*\r?\n)(.*?)(^---[ \t]*(?:\r?\n|\Z))")


_UNCLOSED = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n")


# Its lines: indented, list items (which YAML lets begin under their key) and blank ones between.
_INDEX = re.compile(
    r"^(?P<quote>['\"]?)model-index(?P=quote)[ \t]*:.*(?:\r?\n|\Z)"
    r"(?:(?:[ \t]*\r?\n)*(?:[ \t]+\S|-(?=[ \t\r\n])).*(?:\r?\n|\Z))*",
    re.MULTILINE,
)


def new(name: str, results: Sequence[Mapping[str, Any]], section: str) -> str:
    """A card with nothing but the evaluation.

    Args:
        name: the model's.
        results: of the model-index.
        section: the readable part.

    Raises:
        ImportError: huggingface_hub is missing.
    """
    return f"---\n{_dump([{'name': name, 'results': list(results)}])}---\n\n{section}"


def update(
    text: str, name: str, results: Sequence[Mapping[str, Any]], section: str, where: str
) -> str:
    """A card with its evaluation replaced.

    Args:
        text: the card.
        name: the model's; used where its model-index names none yet.
        results: of the model-index; those of the same data sets are replaced.
        section: the readable part; replaces what stands between the markers, else is appended.
        where: the card's file, for messages.

    Raises:
        CardError: the card is no card, or could not be updated without a loss.
        ImportError: huggingface_hub is missing.
    """
    line_end = "\r\n" if "\r\n" in text else "\n"
    found = _FRONT.match(text)
    if found is None and _UNCLOSED.match(text):
        raise CardError(f"{where}: its front matter begins and never ends; add its last line, ---")
    head, front, tail, body = ("---\n", "", "---\n", text)
    if found is not None:
        head, front, tail = found.groups()
        body = text[found.end() :]
    before = _read(front, where)
    index = _merged(before.get(KEY), name, results, where)
    _check(index, where)
    block = _dump(index)
    old = _INDEX.search(front)
    if old is not None:
        front = front[: old.start()] + block + front[old.end() :]
    else:
        front = f"{front}{block}"
    if not _is(front, {**before, KEY: index}):
        raise CardError(
            f"{where}: its front matter cannot be updated without changing more than {KEY!r}; "
            f"write one key a line, {KEY!r} as the last"
        )
    whole = head + front + tail + _placed(body, section, where)
    return re.sub(r"\r?\n", line_end, whole) if line_end == "\r\n" else whole


def _read(front: str, where: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(front)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" (line {mark.line + 2})"
        problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise CardError(f"{where}: its front matter is malformed YAML{line}: {problem}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise CardError(
            f"{where}: its front matter is {type(found).__name__}, expected keys with values"
        )
    return found


def _is(front: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return _read(front, "") == wanted
    except CardError:
        return False


def _merged(
    old: Any, name: str, results: Sequence[Mapping[str, Any]], where: str
) -> list[dict[str, Any]]:
    """The model-index with new results; those of other data sets and other entries stay."""
    if not old:
        return [{"name": name, "results": list(results)}]
    try:
        ours = {result["dataset"]["type"] for result in results}
        at = next((i for i, entry in enumerate(old) if entry["name"] == name), 0)
        others = [r for r in old[at]["results"] if r["dataset"]["type"] not in ours]
        entry = {**old[at], "results": [*others, *results]}
        return [*old[:at], entry, *old[at + 1 :]]
    except (KeyError, TypeError, AttributeError) as error:
        raise CardError(
            f"{where}: its {KEY} is none: {type(error).__name__}: {error}; mend or remove it"
        ) from error


def _check(index: Sequence[Mapping[str, Any]], where: str) -> None:
    """Let the hub's own library read it."""
    from huggingface_hub import ModelCardData

    try:
        ModelCardData(**{KEY: list(index)})
    except ValueError as error:
        raise CardError(f"{where}: its {KEY} is none: {error}; mend or remove it") from error


def _dump(index: Sequence[Mapping[str, Any]]) -> str:
    from huggingface_hub.utils import yaml_dump

    return str(yaml_dump({KEY: list(index)}, sort_keys=False))


def _placed(body: str, section: str, where: str) -> str:
    counts = (body.count(BEGIN), body.count(END))
    if counts == (0, 0):
        gap = "" if body.endswith("\n") or not body else "\n"
        return f"{body}{gap}\n{section}"
    begin, end = body.find(BEGIN), body.find(END)
    if counts != (1, 1) or end < begin:
        raise CardError(
            f"{where}: expected one {BEGIN} and after it one {END}, found {counts[0]} and "
            f"{counts[1]}; remove what is too much"
        )
    return f"{body[:begin]}{section.rstrip()}{body[end + len(END) :]}"
