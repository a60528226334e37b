"""Two chat templates side by side, by what they write: white space in their source is nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab.engines.language import chat
from pytest_modellab.observatory import marked
from pytest_modellab.records.diagnosis import Sides
from pytest_modellab.visible import line, visible

DAY = "2001-02-03"
"""What a template is told that asks for the date: both sides the same."""

MOST = 200_000
"""Characters that one template may write before no more chats are put into it."""

FAILURES = 2
"""Chats that one template may fail on, where the base's does not, before it is believed."""

Messages = Sequence[Mapping[str, str]]

_USER = {"role": "user", "content": "What is the capital of France?"}
_SPACED = {"role": "user", "content": "  two spaces, and a line end \n"}
_SYSTEM = {"role": "system", "content": "Answer with one word."}
_TURNS = (
    _USER,
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Italy?"},
)


@dataclasses.dataclass(frozen=True)
class Written:
    """What a template makes of a chat.

    Attributes:
        text: empty where it failed.
        error: why, or empty.
    """

    text: str
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Rendering:
    """How two templates differ.

    Attributes:
        chats: so many were rendered.
        other: so many are written differently.
        reasons: what is different, most telling first.
        panels: the first chats that differ.
        texts: what the base wrote, for its tokenizer.
    """

    chats: int
    other: int
    reasons: tuple[str, ...]
    panels: tuple[Sides, ...]
    texts: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether any chat is written differently."""
        return self.other > 0


def compare(base: Any, candidate: Any, messages: Iterable[Messages], day: str = "") -> Rendering:
    """Compare what the chat templates of two tokenizers write.

    Args:
        base: a tokenizer of transformers.
        candidate: another.
        messages: chats of the task set; a reply at the end is left out.
        day: what a template is told that asks for the date.
    """
    if not has(base) and not has(candidate):
        return Rendering(0, 0, (), (), ())
    cases = [*_cases(), *_of_set(messages)]
    rows: list[tuple[str, Written, Written]] = []
    size = 0
    for name, one, reply in cases:
        ours, theirs = (write(side, one, reply, day or DAY) for side in (base, candidate))
        rows.append((name, ours, theirs))
        size += max(len(ours.text), len(theirs.text))
        lost = sum(bool(row[2].error) and not row[1].error for row in rows)
        if size > MOST or lost == FAILURES:  # of others: megabytes, or seconds, for every chat
            break
    other = [row for row in rows if _differ(row[1], row[2])]
    return Rendering(
        chats=len(rows),
        other=len(other),
        reasons=tuple(_reasons(rows, other)),
        panels=tuple(_panel(*row) for row in _two(other)),
        texts=tuple(ours.text for _, ours, _ in rows if ours.text),
    )


def write(tokenizer: Any, messages: Messages, reply: bool, day: str = DAY) -> Written:
    """Put a chat into a template, by the sandbox in which the gate renders."""
    if not has(tokenizer):
        return Written("", "there is no chat template")
    try:
        return Written(chat.render(tokenizer, messages, reply=reply, day=day))
    except Exception as error:  # noqa: BLE001 - code of others raises anything
        return Written("", line(str(error).removeprefix(": "), 300))


def has(tokenizer: Any) -> bool:
    """Whether a tokenizer writes chats, by a template or by code of its own."""
    return bool(getattr(tokenizer, "chat_template", None)) or not chat.rendered(tokenizer)


def _cases() -> list[tuple[str, Messages, bool]]:
    found: list[tuple[str, Messages, bool]] = []
    for name, messages in (
        ("a question", (_USER,)),
        ("a question with a system message", (_SYSTEM, _USER)),
        ("two turns", _TURNS),
        ("two turns with a system message", (_SYSTEM, *_TURNS)),
        ("a question with white space around it", (_SPACED,)),
    ):
        found += [(name, messages, True), (f"{name}, no generation prompt", messages, False)]
    return found


def _of_set(messages: Iterable[Messages]) -> list[tuple[str, Messages, bool]]:
    found: list[tuple[str, Messages, bool]] = []
    for number, one in enumerate(messages, start=1):
        if number > 16:
            break
        asked = one[:-1] if one and one[-1].get("role") == "assistant" else one
        if asked:
            found.append((f"chat {number} of the probes", asked, True))
    return found


def _differ(ours: Written, theirs: Written) -> bool:
    return ours.text != theirs.text or bool(ours.error) != bool(theirs.error)


def _reasons(
    rows: Sequence[tuple[str, Written, Written]], other: Sequence[tuple[str, Written, Written]]
) -> list[str]:
    if not other:
        return []
    by_name = {name: (ours, theirs) for name, ours, theirs in rows}
    found = []
    failed = [(name, theirs.error) for name, _, theirs in other if theirs.error]
    if failed:
        found.append(
            f"it writes nothing of {len(failed)} chats, first {failed[0][0]} ({failed[0][1]})"
        )
    refused = [name for name, ours, _ in other if ours.error]
    if refused:
        found.append(f"the base refuses {len(refused)} chats that it writes, first {refused[0]}")
    asked, bare = by_name.get("a question"), by_name.get("a question, no generation prompt")
    if asked and bare and asked[1].text and not asked[1].error:
        ours, theirs = (asked[side].text == bare[side].text for side in (0, 1))
        if theirs and not ours:
            found.append("it writes no generation prompt")
    system = by_name.get("a question with a system message")
    told = _SYSTEM["content"]
    if system and told in system[0].text and system[1].text and told not in system[1].text:
        found.append("it leaves the system message out")
    texts = [(ours.text, theirs.text) for _, ours, theirs in other if not theirs.error]
    if texts and all("".join(a.split()) == "".join(b.split()) for a, b in texts):
        found.append("only white space is different")
    if texts:
        found.append(_first(*texts[0]))
    return found


def _first(ours: str, theirs: str) -> str:
    """The first place where two renderings part, in words."""
    left, right = marked.units(ours), marked.units(theirs)
    stretches = marked.parted(left, right)
    if not stretches:
        return "they are written by different code"
    a, b, c, d = stretches[0]
    before = f"behind {_q(''.join(left[max(0, a - 4) : a]))}" if a else "at the start"
    wrote = _q("".join(left[a:b])) if b > a else "nothing"
    writes = _q("".join(right[c:d])) if d > c else "nothing"
    return f"{before} the base writes {wrote}, it writes {writes}"


def _two(
    other: Sequence[tuple[str, Written, Written]],
) -> list[tuple[str, Written, Written]]:
    """The first that differs, and the first of the task set."""
    own = [row for row in other if row[0].startswith("chat ")]
    return [*other[:1], *[row for row in own if row not in other[:1]][:1]]


def _panel(name: str, ours: Written, theirs: Written) -> Sides:
    left = marked.units(ours.text or f"({ours.error})")
    right = marked.units(theirs.text or f"({theirs.error})")
    stretches = marked.parted(left, right)
    return marked.sides(left, right, stretches, title=f"Rendering of {name}", joined=True)


def _q(text: str, most: int = 120) -> str:
    shown = visible(text)
    return f"'{shown if len(shown) <= most else shown[:most] + '…'}'"
