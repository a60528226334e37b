"""An adapter's configuration, looked at before PEFT does what it says.

PEFT matches its names as regular expressions on every module of the model, and makes matrices as
large as it says before it reads those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

RANK = 256
"""A rank that any adapter may have; larger ones need a matrix of that size in its file."""

LENGTH = 2000
"""Characters of an expression."""

REPEATS = 4
"""``*``, ``+`` and ``{…}`` in an alternative of an expression, at most: as many as Unsloth writes.
None may repeat a group."""

_EXPRESSIONS = (
    "alpha_pattern exclude_modules feedforward_modules layers_pattern modules_to_save rank_pattern "
    "target_modules target_parameters"
).split()
_SIZES = (
    "boft_block_size encoder_hidden_size encoder_num_layers init_r num_attention_heads num_layers "
    "num_virtual_tokens oft_block_size r target_r token_dim"
).split()
_QUOTED = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def problem(config: Mapping[str, Any], largest: int) -> str | None:
    """Say what in a configuration would take PEFT for ever, or all memory; None where nothing.

    Args:
        config: of the adapter.
        largest: the largest side of a tensor in its file.
    """
    for key in _EXPRESSIONS:
        for text in _texts(config.get(key)):
            plain = _QUOTED.sub("x", text)
            repeats = max(len(re.findall(r"[*+{]", one)) for one in _alternatives(plain))
            if len(text) > LENGTH or repeats > REPEATS:
                return (
                    f"{key}: {text[:60]!r} is too long, or repeats more than {REPEATS} parts, to "
                    "be searched in every module's name; write the names out"
                )
            if re.search(r"\)[*+{]", plain):
                return (
                    f"{key}: {text[:60]!r} repeats a group, and may take for ever on a module's "
                    "name; write the names out"
                )
    sizes = [(key, config.get(key)) for key in _SIZES]
    ranks = config.get("rank_pattern")
    if isinstance(ranks, Mapping):
        sizes += [("rank_pattern", value) for value in ranks.values()]
    for key, value in sizes:
        if isinstance(value, int | float) and value > max(RANK, largest):
            return f"{key}: {value} is larger than any matrix in the adapter's file"
    return None


def _alternatives(plain: str) -> list[str]:
    """The parts of an expression between the bars that stand in no bracket."""
    found, depth = [""], 0
    for character in plain:
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            found.append("")
        else:
            found[-1] += character
    return found


def _texts(value: Any) -> Iterator[str]:
    """Names in a value: itself, a list's items or a mapping's keys."""
    for text in [value] if isinstance(value, str) else value or ():
        if isinstance(text, str):
            yield text
