"""A model's chat template, which comes with the model and is rendered within limits."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_modellab.errors import ModelError
from pytest_modellab.models.clock import NAME
from pytest_modellab.records.reading import shown
from pytest_modellab.store import checkout

if TYPE_CHECKING:
    from pytest_modellab.templates.template import Template

_DAYS = ("2001-02-03", "2001-02-04")
"""Two days, one after the other."""


def render(
    tokenizer: Any, messages: Sequence[Mapping[str, Any]], *, reply: bool = True, day: str = ""
) -> str:
    """Put chat messages into a model's template, as transformers would.

    Args:
        tokenizer: of transformers, with a chat template.
        messages: of the chat; a content may be a list of parts, where the template takes them.
        reply: whether the model is to speak next.
        day: what a template is told that asks for the date (``2026-11-29``); empty for today.

    Returns:
        The text.

    Raises:
        ModelError: the template is wrong, or reaches a limit of :mod:`pytest_modellab.templates`.
    """
    if not rendered(tokenizer):
        return str(
            tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=reply
            )
        )
    from pytest_modellab.templates.template import clock

    return compiled(tokenizer).render(
        strftime_now=clock(day),
        messages=[dict(message) for message in messages],
        tools=None,
        documents=None,
        add_generation_prompt=reply,
        **tokenizer.special_tokens_map,
    )


def rendered(tokenizer: Any) -> bool:
    """Whether a tokenizer writes a chat by its template, and not by code of its own."""
    from transformers import PreTrainedTokenizerBase

    usual = PreTrainedTokenizerBase.apply_chat_template
    return getattr(type(tokenizer), "apply_chat_template", None) is usual


def moves(tokenizer: Any) -> bool:
    """Whether a tokenizer's chat template writes another text on another day."""
    if not tokenizer.chat_template or not rendered(tokenizer):
        return False
    if NAME not in tokenizer.get_chat_template():
        return False
    chat = [{"role": "user", "content": "probe"}]
    return render(tokenizer, chat, day=_DAYS[0]) != render(tokenizer, chat, day=_DAYS[1])


def compiled(tokenizer: Any) -> Template:
    """Compile a tokenizer's chat template, once.

    Raises:
        ModelError: it is no text, cannot be compiled, or is too long.
    """
    try:
        source = tokenizer.get_chat_template()
    except ValueError as error:
        raise ModelError(f"{tokenizer.name_or_path}: chat template: {error}") from error
    if not isinstance(source, str):  # tokenizer_config.json may hold anything
        raise ModelError(
            f"{tokenizer.name_or_path}: chat template: {shown(source)} is no text; "
            "add chat_template.jinja"
        )
    return _compile(source, f"{tokenizer.name_or_path}: chat template")


@functools.lru_cache(maxsize=16)
def _compile(source: str, name: str) -> Template:
    if source.startswith(checkout.BYTE_ORDER_MARK):
        raise ModelError(
            f"{name}: starts with a byte order mark, which transformers would put before every "
            "prompt; save it without"
        )
    if said := checkout.conflict(source.encode("utf-8", "replace")):
        raise ModelError(f"{name}: {said}")
    from pytest_modellab.templates import template

    return template.chat(source, name, ModelError)
