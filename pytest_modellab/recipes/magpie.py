"""Data that a chat model writes itself (Xu et al. 2024, Magpie).

Given its template up to where the user begins to speak, an aligned model writes what a user might
say; given that in the template, it writes the reply. User turns are sampled, replies greedy, as in
the paper.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.language.chat import render
from pytest_modellab.errors import ModellabError
from pytest_modellab.recipes import data
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.recipe import Order
from pytest_modellab.records.hashing import digest
from pytest_modellab.store import folders

_MARK = "\x02"
"""Stands where the user's words begin, to find that place in the rendered template."""


_TRIES = 4
"""Give up after this many times the rows that are wanted."""


INPUT_TOKENS = 64


ROWS = 256
"""Turns that are sampled together at most; no setting, since what is drawn depends on it."""


def write(order: Order) -> tuple[Data, tuple[str, ...]]:
    """Let the base write the rows that ``generate`` asks for, once.

    Args:
        order: settings ``generate``, ``seed``, ``temperature`` and ``max_new_tokens``.

    Returns:
        The rows, and a note that names the file. It stays in the cache, so that a killed build
        does not write it again.

    Raises:
        ModellabError: the base writes nothing usable.
    """
    wanted = {
        key: order.settings[key] for key in ("generate", "seed", "temperature", "max_new_tokens")
    }
    base = [order.origin[key] for key in ("weights", "fingerprint")]  # who writes, for whomever
    key = digest([base, wanted, order.device])[:16]
    name = f"generated-{key}.jsonl"

    def fill(folder: Path) -> None:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(order))
        (folder / name).write_text(text, encoding="utf-8", newline="\n")

    folder = order.work.parent / f"generated-{key}"
    folder = folders.folder(folder, fill, what="the data that the base writes")
    written = data.read(folder, name, ("input", "reply"))
    note = f"{len(written.rows)} rows are the base's own words: {name} ({written.sha256})"
    return written, (note,)


def _rows(order: Order) -> Iterator[dict[str, str]]:
    import torch

    settings = order.settings
    number = settings["generate"]
    size = min(ROWS, _TRIES * number)
    messages = order.base.prompt.messages(_MARK)
    opening = render(order.tokenizer, messages, reply=False, day=order.base.day).split(_MARK)[0]
    torch.manual_seed(settings["seed"])
    seen: set[str] = set()
    for _ in range(0, _TRIES * number, size):
        sampled = _complete(
            order, [opening] * size, INPUT_TOKENS, temperature=settings["temperature"]
        )
        turns = [turn for turn in dict.fromkeys(filter(None, sampled)) if turn not in seen]
        prompts = [
            render(order.tokenizer, order.base.prompt.messages(turn), day=order.base.day)
            for turn in turns
        ]
        replies = _complete(order, prompts, settings["max_new_tokens"]) if prompts else []
        for turn, reply in zip(turns, replies, strict=True):
            if reply and len(seen) < number:
                seen.add(turn)
                yield {"input": turn, "reply": reply}
        order.progress(len(seen), number, what="row")
        if len(seen) == number:
            return
    raise ModellabError(
        f"{order.spec.name}: the base wrote {len(seen)} of {number} rows in {_TRIES * number} "
        "tries: too few that end by themselves; raise max_new_tokens in its recipe, or give data"
    )


def _complete(
    order: Order, texts: Sequence[str], tokens: int, temperature: float | None = None
) -> list[str]:
    """Continue each text; an empty string stands for one that did not end within ``tokens``."""
    import torch
    from transformers import GenerationConfig

    tokenizer, model = order.tokenizer, order.model
    batch = tokenizer(
        list(texts),
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=False,
    ).to(model.device)
    ends = model.generation_config.eos_token_id
    sampling: dict[str, Any] = (
        {"do_sample": False}
        if temperature is None
        else {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
    )
    with torch.no_grad():
        out = model.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            generation_config=GenerationConfig(
                max_new_tokens=tokens,
                eos_token_id=ends,
                pad_token_id=tokenizer.pad_token_id,
                **sampling,
            ),
        )
    ends = {*ends} if isinstance(ends, list) else {ends}
    found = []
    for row in out[:, batch.input_ids.shape[1] :].tolist():
        end = next((place for place, token in enumerate(row) if token in ends), None)
        found.append(tokenizer.decode(row[:end]).strip() if end is not None else "")
    return found
