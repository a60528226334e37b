"""How likely a model holds a reply, per byte: what two tokenizers have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_modellab.observatory import rendering, tokenization
from pytest_modellab.observatory.rendering import Messages, Written

CHATS = 6
"""Chats that are asked, at most."""

_LONG = 512
"""Tokens of a prompt with its reply, at most: of a longer prompt, the end."""

_SYSTEM = {"role": "system", "content": "You are a helpful assistant. Be brief."}

REPLIES: tuple[Messages, ...] = tuple(
    (*first, {"role": "user", "content": question}, {"role": "assistant", "content": answer})
    for first in ((), (_SYSTEM,))
    for question, answer in (
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is 12 + 7?", "12 + 7 = 19"),
        ("Name three colours.", "Red, green and blue."),
    )
)
"""Chats with a reply, for where none are given."""


def with_reply(messages: Sequence[Messages]) -> tuple[Messages, ...]:
    """The first chats that end with a reply, or built-in ones."""
    found = [one for one in messages if len(one) > 1 and one[-1].get("role") == "assistant"]
    return tuple(found[:CHATS]) or REPLIES


def per_byte(
    model: Any, tokenizer: Any, chats: Sequence[Messages], day: str | None
) -> float | None:
    """Return S(model, text side): the replies' log-likelihood, divided by their bytes.

    Args:
        model: of transformers.
        tokenizer: the text side: it renders the prompt and makes the ids.
        chats: each ends with the reply.
        day: what a template is told that asks for the date; None to ask without a template.

    Returns:
        Nats a byte, or None where a text side writes nothing, or ids that the model has not.
    """
    import torch

    total, size = 0.0, 0
    entries = model.get_input_embeddings().weight.shape[0]
    for messages in chats:
        reply = str(messages[-1]["content"])
        written = _prompt(tokenizer, messages[:-1], day)
        if written.error or len(written.text) > rendering.MOST:
            return None
        ids = tokenization.encode(tokenizer, written.text)
        tail = tokenization.encode(tokenizer, reply[: tokenization.LENGTH])
        if isinstance(ids, str) or isinstance(tail, str) or not ids or not tail:
            return None
        if max(*ids, *tail) >= entries:
            return None
        tail = tail[: _LONG // 2]
        ids = ids[-(_LONG - len(tail)) :]
        with torch.no_grad():
            both = torch.tensor([[*ids, *tail]], device=model.device)
            logits = model(input_ids=both, use_cache=False).logits[0, len(ids) - 1 : -1]
        chosen = torch.log_softmax(logits.float(), dim=-1)
        targets = torch.tensor(tail, device=chosen.device)
        total += float(chosen.gather(1, targets[:, None]).double().sum())
        size += len(reply[: tokenization.LENGTH].encode("utf-8", "surrogatepass"))
    return total / size if size and math.isfinite(total) else None


def _prompt(tokenizer: Any, messages: Messages, day: str | None) -> Written:
    if day is None:
        return Written("".join(f"{one['content']}\n" for one in messages))
    return rendering.write(tokenizer, messages, True, day)
