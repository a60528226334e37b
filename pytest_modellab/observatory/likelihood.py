"""How likely a model holds a reply, per byte: what two tokenizers have in common."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from pytest_modellab.observatory import rendering, tokenization
from pytest_modellab.observatory.rendering import Messages, Written

CHATS = 4
"""Chats that are asked, at most."""

_LONG = 512
"""Tokens of a prompt with its reply, at most: of a longer prompt, the end."""

_SYSTEM = {"role": "system", "content": "You are a helpful assistant. Be brief."}

REPLIES: tuple[Messages, ...] = tuple(
    (*first, {"role": "user", "content": question}, {"role": "assistant", "content": answer})
    for first in ((), (_SYSTEM,))
    for question, answer in (
        ("What is the capital of France?", "The capital of France is Paris."),
        ("Name three colours, and 12 + 7.", "Red, green and blue. 12 + 7 = 19."),
    )
)
"""Chats with a reply, for where none are given."""


def with_reply(messages: Sequence[Messages]) -> tuple[Messages, ...]:
    """The first chats that end with a reply, or built-in ones."""
    found = [one for one in messages if len(one) > 1 and one[-1].get("role") == "assistant"]
    return tuple(found[:CHATS]) or REPLIES


@dataclasses.dataclass(frozen=True)
class Asked:
    """Chats as a text side makes them.

    Attributes:
        rows: of each chat the ids of the prompt and of the reply.
        size: bytes of all replies.
    """

    rows: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    size: int


def asked(tokenizer: Any, chats: Sequence[Messages], day: str | None) -> Asked | None:
    """Render and encode chats.

    Args:
        tokenizer: the text side.
        chats: each ends with the reply.
        day: what a template is told that asks for the date; None to ask without a template.

    Returns:
        The ids, or None where it writes nothing.
    """
    rows, size = [], 0
    for messages in chats:
        reply = str(messages[-1]["content"])[: tokenization.LENGTH]
        written = _prompt(tokenizer, messages[:-1], day)
        if written.error or len(written.text) > rendering.MOST:
            return None
        ids = tokenization.encode(tokenizer, written.text)
        tail = tokenization.encode(tokenizer, reply)
        if isinstance(ids, str) or isinstance(tail, str) or not ids or not tail:
            return None
        rows.append((ids, tail))
        size += len(reply.encode("utf-8", "surrogatepass"))
    return Asked(tuple(rows), size)


def per_byte(model: Any, chats: Asked | None) -> float | None:
    """Return S(model, text side): the replies' log-likelihood, divided by their bytes.

    Args:
        model: of transformers.
        chats: as the text side makes them.

    Returns:
        Nats a byte, or None where there are none, or ids that the model has not.
    """
    import torch

    entries = model.get_input_embeddings().weight.shape[0]
    if chats is None or max(one for row in chats.rows for part in row for one in part) >= entries:
        return None
    total = 0.0
    for prompt, reply in chats.rows:
        tail = reply[: _LONG // 2]
        ids = prompt[-(_LONG - len(tail)) :]
        with torch.no_grad():
            both = torch.tensor([[*ids, *tail]], device=model.device)
            logits = model(input_ids=both, use_cache=False).logits[0, len(ids) - 1 : -1]
        chosen = torch.log_softmax(logits.float(), dim=-1)
        targets = torch.tensor(tail, device=chosen.device)
        total += float(chosen.gather(1, targets[:, None]).double().sum())
    return total / chats.size if chats.size and math.isfinite(total) else None


def _prompt(tokenizer: Any, messages: Messages, day: str | None) -> Written:
    if day is None:
        return Written("".join(f"{one['content']}\n" for one in messages))
    return rendering.write(tokenizer, messages, True, day)
