"""Figures of a tokenizer by itself: what it makes of texts, by capability and language."""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.observatory import tokenization
from pytest_modellab.visible import line

ALPHA = 2.5
"""The order of the Rényi entropy by which Zouhar et al. (2023) compare tokenizers."""

TEXTS = 2000
"""Texts of a group that are encoded, at most."""

PARALLEL: Mapping[str, str] = {
    "English": "All human beings are born free and equal in dignity and rights. They are endowed "
    "with reason and conscience and should act towards one another in a spirit of brotherhood.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit "
    "Vernunft und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont "
    "doués de raison et de conscience et doivent agir les uns envers les autres dans un esprit de "
    "fraternité.",
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados "
    "como están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
    "Portuguese": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. "
    "Dotados de razão e de consciência, devem agir uns para com os outros em espírito de "
    "fraternidade.",
    "Italian": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono "
    "dotati di ragione e di coscienza e devono agire gli uni verso gli altri in spirito di "
    "fratellanza.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "  # noqa: RUF001 - it is Russian
    "разумом и совестью и должны поступать в отношении друг друга в духе братства.",
    "Chinese": "人人生而自由\uff0c在尊严和权利上一律平等。"
    "他们赋有理性和良心\uff0c并应以兄弟关系的精神相对待。",
    "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、"
    "尊厳と権利とについて平等である。人間は、理性と良心とを授けられており、"
    "互いに同胞の精神をもって行動しなければならない。",
    "Arabic": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن "
    "يعامل بعضهم بعضا بروح الإخاء.",
}
"""Article 1 of the Universal Declaration of Human Rights: one meaning in ten languages."""

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight")
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")


@dataclasses.dataclass(frozen=True)
class Row:
    """What a tokenizer makes of a group of texts.

    Attributes:
        name: capability or language.
        texts: so many.
        bytes_per_token: of UTF-8; more is fewer tokens.
        tokens_per_word: fertility; a word of Chinese or Japanese is a character.
        unknown: share of tokens that stand for what the vocabulary lacks.
        bytes: share of tokens that are a byte, or a part of a character.
        lost: texts that do not come back from their ids.
        parity: tokens beside English, of the same meaning (Petrov et al. 2023); None elsewhere.
    """

    name: str
    texts: int
    bytes_per_token: float
    tokens_per_word: float
    unknown: float
    bytes: float
    lost: int
    parity: float | None = None


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Figures of a tokenizer.

    Attributes:
        size: of its vocabulary.
        rows: by group, then by language.
        efficiency: Rényi efficiency of the tokens of all texts: 1 where all are as frequent.
        overlap: share of the vocabulary that another one has too; None without another.
    """

    size: int
    rows: tuple[Row, ...]
    efficiency: float
    overlap: float | None = None


def measure(tokenizer: Any, groups: Mapping[str, Sequence[str]], other: Any = None) -> Tokens:
    """Measure a tokenizer.

    Args:
        tokenizer: of transformers.
        groups: name → texts, by capability.
        other: a tokenizer whose vocabulary is compared, or None.

    Returns:
        The figures, with those of :data:`PARALLEL`.

    Raises:
        DiagnosisError: it cannot encode a text.
    """
    counts: collections.Counter[int] = collections.Counter()
    languages = {name: [text] for name, text in PARALLEL.items()}
    rows = [
        _row(tokenizer, name, list(texts)[:TEXTS], counts)
        for name, texts in (*groups.items(), *languages.items())
        if texts
    ]
    english = len(_ids(tokenizer, PARALLEL["English"]))
    parities = {name: len(_ids(tokenizer, text)) / english for name, text in PARALLEL.items()}
    first = len(rows) - len(languages)
    rows = [
        dataclasses.replace(row, parity=parities[row.name]) if i >= first else row
        for i, row in enumerate(rows)
    ]
    vocabulary = set(tokenizer.get_vocab())
    theirs = None if other is None else set(other.get_vocab())
    return Tokens(
        size=len(vocabulary),
        rows=tuple(rows),
        efficiency=efficiency(list(counts.values()), len(vocabulary)),
        overlap=None if theirs is None else len(vocabulary & theirs) / max(len(vocabulary), 1),
    )


def efficiency(counts: Sequence[int], size: int, alpha: float = ALPHA) -> float:
    """Return the Rényi entropy of tokens, divided by that of tokens that are all as frequent.

    Args:
        counts: how often each token that occurs does.
        size: of the vocabulary.
        alpha: the order, not 1.
    """
    total = sum(counts)
    if not total or size < 2:
        return 0.0
    power = sum((count / total) ** alpha for count in counts)
    return math.log(power) / (1 - alpha) / math.log(size)


def rare_rows(sizes: Sequence[float]) -> tuple[int, ...]:
    """Return glitch candidates: the ids of the lowest per mille of the embedding's norms.

    Tokens that were never trained stay where they began (Land and Bartolo 2024).

    Args:
        sizes: norms of the embedding's rows.
    """
    number = math.ceil(len(sizes) / 1000)
    return tuple(sorted(range(len(sizes)), key=lambda i: (sizes[i], i))[:number])


def norms(folder: Path) -> list[float]:
    """Return the norms of the embedding's rows; none where the folder has no such tensor."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                names = [one for one in sorted(tensors.keys()) if one.endswith(_EMBEDDINGS)]
                if names:
                    rows = tensors.get_tensor(names[0])
                    return [float(one) for one in rows.float().norm(dim=-1)]
        except SafetensorError as error:
            raise DiagnosisError(f"{file}: is no file of safetensors: {error}") from error
    return []


def words(found: Tokens, rare: Sequence[str] = ()) -> list[str]:
    """Return the figures as lines: a table by capability and language, then the whole.

    Args:
        found: the figures.
        rare: tokens that are glitch candidates.
    """
    head = ["", "texts", "bytes/token", "tokens/word", "parity", "unknown", "bytes", "lost"]
    rows = [
        [
            row.name,
            str(row.texts),
            f"{row.bytes_per_token:.2f}",
            f"{row.tokens_per_word:.2f}",
            "" if row.parity is None else f"{row.parity:.2f}",
            f"{row.unknown:.1%}",
            f"{row.bytes:.1%}",
            str(row.lost),
        ]
        for row in found.rows
    ]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(widths[i]) for i, cell in enumerate(row) if i)]
        ).rstrip()
        for row in [head, *rows]
    ]
    lines.append(f"vocabulary {found.size:,}, Rényi efficiency {found.efficiency:.3f}")
    if found.overlap is not None:
        lines.append(f"{found.overlap:.1%} of its vocabulary stands in the other's, too")
    if rare:
        shown = ", ".join(repr(line(one, 24)) for one in rare[:12])
        lines.append(f"hardly trained, by the norms of their embeddings: {shown} ({len(rare)} so)")
    return lines


def _row(tokenizer: Any, name: str, texts: Sequence[str], counts: collections.Counter[int]) -> Row:
    sizes = tokens = spoken = unknown = pieces = lost = 0
    for text in texts:
        ids = _ids(tokenizer, text)
        counts.update(ids)
        sizes += len(text.encode("utf-8", "surrogatepass"))
        tokens += len(ids)
        spoken += len(_WORD.findall(text))
        unknown += sum(one == getattr(tokenizer, "unk_token_id", None) for one in ids)
        pieces += sum(_is_byte(tokenizer, one) for one in ids)
        lost += tokenizer.decode(list(ids), skip_special_tokens=False) != text
    return Row(
        name,
        len(texts),
        sizes / max(tokens, 1),
        tokens / max(spoken, 1),
        unknown / max(tokens, 1),
        pieces / max(tokens, 1),
        lost,
    )


def _ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    found = tokenization.encode(tokenizer, text)
    if isinstance(found, str):
        raise DiagnosisError(f"the tokenizer cannot encode a text: {found}")
    return found


def _is_byte(tokenizer: Any, token: int) -> bool:
    name = str(tokenizer.convert_ids_to_tokens(token))
    return bool(_BYTE.fullmatch(name)) or "\ufffd" in tokenizer.decode([token])
