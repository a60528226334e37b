"""Two tokenizers side by side: which texts become other ids, and what in them is the reason."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_modellab.observatory import marked
from pytest_modellab.records.diagnosis import Sides
from pytest_modellab.visible import line, raised

LENGTH = 4000
"""Characters of a text that is encoded, at most."""

SUSPECTS = 48
"""Tokens, or merges, that are tried because both tokenizers hold them differently."""

WRITTEN = 200
"""Characters that a part of a tokenizer may put in for one: more is another text, and no memory."""

HARD = (
    "The quick brown fox jumps over the lazy dog.",
    "  two  spaces\tand a tab\n\nand  lines \n",
    "Numbers 1234567890, 3.14159 and 2026-11-29; prices €9.99, £5 or $3",
    "def f(x):\n    return [i ** 2 for i in range(x)]  # code\n",
    "Über Größe, déjà vu, piñata, Ærø, İstanbul ŁÓDŹ",
    "cafe\u0301 \ufb01ne \u212b \uff21\uff22\uff23 x\u00b2 \u2460",
    "Привет, как дела? Доброе утро, Ёлка",
    "今天天气很好。日本語のテキスト 한국어",
    "مرحبا بالعالم שלום עולם नमस्ते",
    "🙂👩‍👩‍👧 ❤️ — “quotes” … it's don't I'LL",
)
"""Texts in which normalizers, pre-tokenizers and byte fallbacks show."""

Ids = tuple[int, ...] | str
"""What a text becomes, or why it becomes nothing."""


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """How two tokenizers differ.

    Attributes:
        differs: whether a text becomes other ids, or does not come back as it was.
        texts: so many were encoded.
        other: so many of them become other ids.
        reasons: what is different inside, most telling first; also where it has no effect.
        evidence: figures.
        panel: the first text that differs, both splits.
    """

    differs: bool
    texts: int
    other: int
    reasons: tuple[str, ...]
    evidence: Mapping[str, float | str]
    panel: Sides | None = None


def compare(base: Any, candidate: Any, texts: Iterable[str]) -> Tokenization:
    """Compare what two tokenizers make of texts.

    Args:
        base: a tokenizer of transformers.
        candidate: another.
        texts: plain ones, or renderings of chats.

    Returns:
        The differences. Beside the texts, :data:`HARD` ones are encoded, the base's special tokens,
        and tokens that the two hold differently, so that one swapped pair is not missed.
    """
    if said := _explodes(candidate):
        return Tokenization(True, 0, 0, (said,), {})
    inside, suspects = _inside(base, candidate)
    tried = [text[:LENGTH] for text in (*texts, *HARD, *_special(base), *suspects) if text]
    tried = list(dict.fromkeys(tried))
    rows = [(text, encode(base, text), encode(candidate, text)) for text in tried]
    other = [row for row in rows if row[1] != row[2]]
    lost = [
        text
        for text, ids, theirs in rows
        if _decode(base, ids) == text and _decode(candidate, theirs) != text
    ]
    added = _added(base, candidate)
    reasons = [*_failures(other), *added, *inside]
    if lost:
        many = "1 text does" if len(lost) == 1 else f"{len(lost)} texts do"
        reasons.insert(0, f"{many} not come back from its ids, as {_q(lost[0])}")
    return Tokenization(
        differs=bool(other or lost or added),
        texts=len(rows),
        other=len(other),
        reasons=tuple(reasons),
        evidence={
            "texts": len(rows),
            "texts_with_other_ids": len(other),
            "texts_that_do_not_come_back": len(lost),
            "tokens_per_byte_base": _density(rows, 1),
            "tokens_per_byte_candidate": _density(rows, 2),
        },
        panel=_panel(base, candidate, other),
    )


def encode(tokenizer: Any, text: str, *, special: bool = False) -> Ids:
    """Return a text's ids, or the error, in words, that came instead."""
    try:
        return tuple(int(one) for one in tokenizer(text, add_special_tokens=special).input_ids)
    except Exception as error:  # noqa: BLE001 - code of others raises anything
        return raised(error)


def _decode(tokenizer: Any, ids: Ids) -> str | None:
    if isinstance(ids, str):
        return None
    try:
        return str(tokenizer.decode(list(ids), skip_special_tokens=False))
    except Exception:  # noqa: BLE001 - as above
        return None


def _added(base: Any, candidate: Any) -> list[str]:
    """What is put around a text where special tokens are asked for."""
    around = []
    for tokenizer in (base, candidate):
        ids, plain = (encode(tokenizer, HARD[0], special=special) for special in (True, False))
        if isinstance(ids, str) or isinstance(plain, str):
            return []
        more = [_token(tokenizer, one) for one in ids if one not in plain]
        around.append((" ".join(more[:4]) or "nothing", len(ids) - len(plain)))
    if around[0] == around[1]:
        return []
    ours, theirs = around[0][0], around[1][0]
    return [
        f"it puts {theirs} around a text where special tokens are asked for, the base {ours}"
        " (the gate asks for none, training and other servers may)"
    ]


def _failures(other: Sequence[tuple[str, Ids, Ids]]) -> list[str]:
    failed = [ids for _, _, ids in other if isinstance(ids, str)]
    return [f"it cannot encode {len(failed)} texts ({failed[0]})"] if failed else []


def _density(rows: Sequence[tuple[str, Ids, Ids]], side: int) -> float:
    pairs = [(row[0], row[side]) for row in rows if not isinstance(row[side], str)]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text, _ in pairs)
    return round(sum(len(ids) for _, ids in pairs) / max(size, 1), 4)


def _panel(base: Any, candidate: Any, other: Sequence[tuple[str, Ids, Ids]]) -> Sides | None:
    for text, ours, theirs in other:
        if isinstance(ours, str):
            continue
        if isinstance(theirs, str):
            theirs = ()
        stretches = marked.parted(ours, theirs)
        split = [[_text(base, one) for one in ours], [_text(candidate, one) for one in theirs]]
        for a, b, c, d in stretches:
            if split[0][a:b] == split[1][c:d]:  # other ids of the same text
                split[0][a:b] = [f"{_text(base, one)}⟨{one}⟩" for one in ours[a:b]]
                split[1][c:d] = [f"{_text(candidate, one)}⟨{one}⟩" for one in theirs[c:d]]
        title = f"Tokens of {_q(text, 40)}"
        return marked.sides(split[0], split[1], stretches, title=title, joined=False)
    return None


def _text(tokenizer: Any, token: int) -> str:
    return (_decode(tokenizer, (token,)) or "")[:WRITTEN] or _token(tokenizer, token)


def _token(tokenizer: Any, token: int) -> str:
    try:
        return line(str(tokenizer.convert_ids_to_tokens(token)), 40)
    except Exception:  # noqa: BLE001 - an id of another vocabulary
        return str(token)


def _special(base: Any) -> list[str]:
    found = dict.fromkeys(str(one) for one in getattr(base, "all_special_tokens", ()))
    return [f"one{token}two {token}" for token in list(found)[:32]]


def _inside(base: Any, candidate: Any) -> tuple[list[str], list[str]]:
    """What is different inside, in words, and texts in which it would show."""
    reasons = _special_differences(base, candidate)
    parts = [_json(base), _json(candidate)]
    if parts[0] and parts[0] == parts[1]:
        return reasons, []
    ours, theirs = _vocabulary(base), _vocabulary(candidate)
    moved = sorted(
        (ours[one], one) for one in ours.keys() & theirs.keys() if ours[one] != theirs[one]
    )
    lost = sorted((ours[one], one) for one in ours.keys() - theirs.keys())
    more = sorted((theirs[one], one) for one in theirs.keys() - ours.keys())
    if moved:
        few = ", ".join(f"{_q(one, 24)} {number} → {theirs[one]}" for number, one in moved[:3])
        reasons.append(f"{_count(len(moved), 'token')} with another id ({few})")
    for words, tokens in (("lost", lost), ("added", more)):
        if tokens:
            few = ", ".join(_q(one, 24) for _, one in tokens[:3])
            reasons.append(f"{_count(len(tokens), 'token')} {words} ({few})")
    merges = [_merges(one) for one in parts]
    gone = [one for one in merges[0] if one not in merges[1]]
    new = [one for one in merges[1] if one not in merges[0]]
    for words, pairs in (("lost", gone), ("added", new)):
        if pairs:
            few = ", ".join(_q(" + ".join(pair), 40) for pair in pairs[:3])
            reasons.append(f"{_count(len(pairs), 'merge')} {words} ({few})")
    if not gone and not new and list(merges[0]) != list(merges[1]):
        reasons.append("the merges are in another order")
    for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if parts[0].get(name) != parts[1].get(name):
            both = [one.get(name) for one in parts]
            kinds = [_kind(one) for one in both]
            if kinds[0] == kinds[1]:
                kinds[1] += f" with other settings{_settings(*both)}"
            reasons.append(f"{name}: {kinds[1]}, the base has {kinds[0]}")
    joined = ["".join(pair) for pair in (*gone[:SUSPECTS], *new[:SUSPECTS])]
    named = [one for _, one in (*moved[:SUSPECTS], *lost[:SUSPECTS])] + joined
    shown = [_decode(base, (ours[one],)) for one in named if one in ours]
    return reasons, [text for text in shown if text and "\ufffd" not in text]


def _special_differences(base: Any, candidate: Any) -> list[str]:
    found = []
    maps = [dict(getattr(one, "special_tokens_map", {})) for one in (base, candidate)]
    for name in sorted(maps[0].keys() | maps[1].keys()):
        ours, theirs = (one.get(name) for one in maps)
        if ours != theirs:
            said = f"{name}: {_named(theirs)}, the base has {_named(ours)}"
            found.append(line(said, 300))
    special = [_specials(one) for one in (base, candidate)]
    lost = sorted(special[0] - special[1])
    if lost:
        few = ", ".join(_q(one, 30) for one in lost[:4])
        found.append(f"{_count(len(lost), 'special token')} lost ({few})")
    return found


def _named(value: Any) -> str:
    return "none" if value is None else _q(str(value), 60)


def _specials(tokenizer: Any) -> set[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {str(one.content) for one in added.values() if one.special}


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    try:
        return dict(tokenizer.get_vocab())
    except Exception:  # noqa: BLE001 - code of others may have none
        return {}


def _json(tokenizer: Any) -> dict[str, Any]:
    """A fast tokenizer's ``tokenizer.json``, as it is in memory; of a slow one, nothing."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return {}
    try:
        found = json.loads(backend.to_str())
    except Exception:  # noqa: BLE001 - parts that are written in Python are in no JSON
        return {}
    return found if isinstance(found, dict) else {}


def _merges(parts: Mapping[str, Any]) -> dict[tuple[str, ...], int]:
    model = parts.get("model") or {}
    pairs = (
        tuple(one.split(" ", 1)) if isinstance(one, str) else tuple(one)
        for one in model.get("merges") or ()
    )
    return {pair: place for place, pair in enumerate(pairs)}


def _kind(part: Any) -> str:
    if not isinstance(part, dict):
        return "none"
    for key in ("normalizers", "pretokenizers", "processors", "decoders"):
        if isinstance(part.get(key), list):
            return line(f"{part.get('type')}({', '.join(map(_kind, part[key][:8]))})", 200)
    return line(str(part.get("type")), 60)


def _settings(ours: Any, theirs: Any) -> str:
    """The plain settings of a part that differ, in words."""
    found = [
        f"{key}: {json.dumps(theirs.get(key))}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
        and isinstance(theirs.get(key), bool | int | float | str | None)
    ]
    return f" ({line(', '.join(found[:4]), 200)})" if found else ""


def _explodes(tokenizer: Any) -> str:
    """Why a tokenizer is not asked at all: what it puts in for a character is no character."""
    pending: list[Any] = [_json(tokenizer).get(key) for key in ("normalizer", "pre_tokenizer")]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            for key in ("content", "prepend", "replacement"):
                if isinstance(part.get(key), str) and len(part[key]) > WRITTEN:
                    size = len(part[key])
                    return f"its {part.get('type')} writes {size:,} characters at once: not asked"
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("s" if number != 1 else "")


def _q(text: str, most: int = 60) -> str:
    return f"'{line(text, most)}'"
