"""What both models are asked: windows of the base's tokens, all of one width, and a long one."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_modellab.errors import DiagnosisError
from pytest_modellab.records.tasks import Sample

WIDTH = 40
"""Tokens of a window."""


SHORT = 16
"""Tokens of a text that an encoder reads: about a query's."""


TEXTS = (
    "<user> Could you tell me what to see in Lisbon in two days? <assistant> Of course! On the "
    "first day, walk through Alfama up to the castle and take the old tram 28 back down. On the "
    "second day, visit the monastery in Belém, try a custard tart, and watch the sun set over the "
    "river. Would you like some advice on where to eat as well?",
    "The lighthouse keeper had not spoken to anyone for eleven days when the storm came. He lit "
    "the lamp early, because the clouds over the bay were already black, and counted the boats "
    "that were still outside. Water is made of hydrogen and oxygen, and it boils at a lower "
    "temperature on a mountain than at the sea, since the pressure of the air is lower there.",
    "def median(values: list[float]) -> float:\n    ordered = sorted(values)\n    middle = "
    "len(ordered) // 2\n    if len(ordered) % 2:\n        return ordered[middle]\n    return "
    "(ordered[middle - 1] + ordered[middle]) / 2\n\n\nclass Stack:\n    def __init__(self):\n"
    "        self.items = []\n\n    def push(self, item):\n        self.items.append(item)\n",
    "12 + 30 = 42; 7 * 8 = 56; 144 / 12 = 12; 2^10 = 1024. Invoice 20413: 3 chairs at 79.90 make "
    "239.70, 2 tables at 310.00 make 620.00, the total is 859.70, due on 2024-06-30. Step 1: 5, "
    "8, 13, 21, 34, 55, 89. The remainder of 1000 divided by 7 is 6, and pi is about 3.14159.",
    "Der Zug nach Hamburg fährt heute von Gleis sieben ab und hat ungefähr zwanzig Minuten "
    "Verspätung. Wer umsteigen möchte, sollte sich an der Auskunft melden, denn der letzte Bus "
    "wartet nicht länger als bis Mitternacht.",
    "La bibliothèque ouvre à neuf heures et ferme à dix-huit heures, sauf le dimanche. Les élèves "
    "peuvent emprunter cinq livres pour trois semaines, mais il faut présenter une carte avec une "
    "photographie récente.",
    "El mercado abre los martes y los viernes en la plaza mayor. Hay naranjas, queso fresco, pan "
    "recién hecho y flores, y por la tarde un músico toca la guitarra hasta que se marcha el "
    "último cliente.",
    "Il treno notturno attraversa le montagne mentre i passeggeri dormono. Al mattino si vede il "
    "mare, azzurro e calmo, e in stazione qualcuno vende il caffè con un biscotto alle mandorle.",
    "O museu guarda mapas antigos, relógios e instrumentos de navegação. Quem o visita pela "
    "primeira vez costuma ficar muito tempo diante do globo de madeira, que foi feito por um "
    "carpinteiro há trezentos anos.",
    "Question: which of the following is a mammal? A) trout B) bat C) lizard D) wasp\nAnswer: B, "
    "because a bat has fur and feeds its young with milk.\nQuestion: if all roses are flowers and "
    "some flowers fade quickly, do all roses fade quickly?\nAnswer: no, that does not follow.",
)
"""Chat, prose, code, digits, five languages, and questions."""


@dataclasses.dataclass(frozen=True)
class Probes:
    """Token ids that both models read, and the texts that they come from.

    Attributes:
        windows: token ids of the base's tokenizer; no padding.
        texts: as they were tokenized.
        messages: chats, for the comparison of templates.
        samples: of the task set, where the probes come from one.
    """

    windows: tuple[tuple[int, ...], ...]
    texts: tuple[str, ...] = ()
    messages: tuple[tuple[Mapping[str, str], ...], ...] = ()
    samples: tuple[Sample, ...] = ()

    @property
    def digest(self) -> str:
        """Hash of the token ids and of the texts."""
        content = json.dumps([self.windows, self.texts], sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def tokens(self) -> int:
        """Positions in all windows."""
        return sum(map(len, self.windows))

    def batches(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """Windows of one width together, in the order of the widths' first windows."""
        rows: dict[int, list[tuple[int, ...]]] = {}
        for window in self.windows:
            rows.setdefault(len(window), []).append(window)
        return tuple(map(tuple, rows.values()))


def of_texts(texts: Sequence[str], tokenizer: Any, *, tokens: int = 448, long: int = 128) -> Probes:
    """Cut texts into windows: of each text the first, then of each the second, and so on.

    Args:
        texts: any.
        tokenizer: the base's.
        tokens: in all windows.
        long: width of the last window; 0 for none.

    Returns:
        The probes.

    Raises:
        DiagnosisError: the texts have fewer tokens than a window.
    """
    ids = [_encode(tokenizer, text) for text in texts]
    return dataclasses.replace(of_ids(ids, tokens=tokens, long=long), texts=tuple(texts))


def of_ids(ids: Sequence[Sequence[int]], *, tokens: int = 448, long: int = 128) -> Probes:
    """Cut rows of token ids into windows, as :func:`of_texts` does."""
    stream = list(itertools.chain.from_iterable(ids))
    long = min(long, len(stream), max(tokens - WIDTH, 0))
    if len(stream) < 2:
        raise DiagnosisError(
            "the probes hold no text of two tokens or more: give texts, samples or token ids"
        )
    width = min(WIDTH, len(stream))
    pieces = list(_round_robin([_cut(row, width) for row in ids])) or _cut(stream, width)
    count = max((tokens - long) // width, 1)
    windows = pieces[:count]
    # windows in one width until the budget is full, from the texts joined where they are short
    for piece in _cut(stream, width):
        if len(windows) < count and piece not in windows:
            windows.append(piece)
    if long > width:
        windows.append(tuple(stream[:long]))
    return Probes(tuple(windows))


def of_samples(
    samples: Sequence[Sample],
    texts: Sequence[str],
    tokenizer: Any,
    *,
    messages: Sequence[Sequence[Mapping[str, str]]] = (),
    tokens: int = 448,
    long: int = 128,
) -> Probes:
    """Make probes of a task set's samples, rendered with the base's replies.

    Each is read from its end: replies are what flipped, and prompts begin alike.

    Args:
        samples: in order of their importance: those that flipped first.
        texts: a rendering each, with the base's reply at its end.
        tokenizer: the base's.
        messages: a chat each.
        tokens: see :func:`of_texts`.
        long: see :func:`of_texts`.

    Returns:
        The probes.
    """
    rows = [_encode(tokenizer, text) for text in texts]
    ends = [[token for piece in _from_end(row, WIDTH) for token in piece] for row in rows]
    far = next((row[-long:] for row in rows if len(row) >= long > 0), None)
    probes = of_ids(
        [*ends, *(_encode(tokenizer, text) for text in TEXTS)], tokens=tokens, long=long
    )
    windows = probes.windows
    if far is not None and len(windows[-1]) == long:
        windows = (*windows[:-1], tuple(far))
    return Probes(windows, tuple(texts), tuple(map(tuple, messages)), tuple(samples))


def built_in(tokenizer: Any, *, tokens: int = 448, long: int = 128) -> Probes:
    """Make probes of the built-in texts."""
    return of_texts(TEXTS, tokenizer, tokens=tokens, long=long)


def encoded_texts(
    tokenizer: Any, texts: Sequence[str] = (), *, tokens: int = 448, long: int = 128
) -> Probes:
    """Make probes of an encoder: whole texts, then pieces of the built-in ones, and a long one.

    Args:
        tokenizer: the base's; what it puts around a text is in every window.
        texts: as they are, as far as half the tokens go.
        tokens: in all windows, about.
        long: of the last window.

    Returns:
        The probes.
    """
    before, behind = _around(tokenizer)
    rows = [_encode(tokenizer, text)[:long] for text in texts]
    built_in_rows = [_encode(tokenizer, text) for text in TEXTS]
    stream = list(itertools.chain.from_iterable(built_in_rows))
    chosen: list[Sequence[int]] = []
    for row in rows:
        if row and sum(map(len, chosen)) + len(row) <= tokens // 2:
            chosen.append(row)
    far = stream[: min(long, max(tokens - WIDTH, 1))]
    pieces = _round_robin([_cut(row, SHORT) for row in built_in_rows])
    for piece in pieces:
        if sum(map(len, chosen)) + len(far) + SHORT > tokens:
            break
        chosen.append(piece)
    windows = [(*before, *row, *behind) for row in [*chosen, far]]
    return Probes(tuple(dict.fromkeys(windows)), tuple(texts) or TEXTS)


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts in front of a text, and behind it."""
    plain, whole = _encode(tokenizer, "a"), [int(i) for i in tokenizer("a")["input_ids"]]
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    return [], []


def drawn(vocabulary: int, *, tokens: int = 448, long: int = 128) -> Probes:
    """Make probes of seeded token ids, for a model without a tokenizer."""
    import numpy as np

    ids = np.random.default_rng(0).integers(0, vocabulary, size=tokens).tolist()
    return of_ids([ids], tokens=tokens, long=long)


def _encode(tokenizer: Any, text: str) -> list[int]:
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def _cut(row: Sequence[int], width: int) -> list[tuple[int, ...]]:
    return [tuple(row[i : i + width]) for i in range(0, len(row) - width + 1, width)]


def _from_end(row: Sequence[int], width: int) -> list[Sequence[int]]:
    """Whole pieces of a row, the last first."""
    return [row[end - width : end] for end in range(len(row), width - 1, -width)]


def _round_robin(pieces: list[list[tuple[int, ...]]]) -> Iterator[tuple[int, ...]]:
    for row in itertools.zip_longest(*pieces):
        yield from (piece for piece in row if piece is not None)
