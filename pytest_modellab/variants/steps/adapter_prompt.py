"""What an adapter's folder says of the prompts that it was trained with.

Trainers save the tokenizer beside the adapter. The base's is the one that is asked, so the two must
write the same.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.engines.language import chat
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.models import reads
from pytest_modellab.records.reading import shown
from pytest_modellab.store import checkout
from pytest_modellab.variants.steps.adapter_config import MERGE

_SETTINGS, _TEMPLATE = "tokenizer_config.json", "chat_template.jinja"

_USER = {"role": "user", "content": "Which one?"}
_CHATS: tuple[list[dict[str, str]], ...] = (
    [_USER],
    [
        {"role": "system", "content": "Be brief."},
        _USER,
        {"role": "assistant", "content": "This one."},
        _USER,
    ],
)
"""Chats that two templates are compared by; templates may refuse the second."""


def files(folder: Path) -> list[Path]:
    """Return a tokenizer's files that lie beside an adapter."""
    return sorted(path for path in folder.iterdir() if reads.of_tokenizer(path.name))


def check(folder: Path, tokenizer: Any, model: Any) -> None:
    """Refuse an adapter that was trained with other prompts than its base is asked.

    Args:
        folder: the adapter's.
        tokenizer: the base's, as transformers has loaded it.
        model: the base, whose generation configuration says where a reply ends.

    Raises:
        VariantLoadError: the folder has another chat template, tokens that the base lacks, or an
            end of replies that the base does not end at.
    """
    found = [path.name for path in files(folder)]
    if not found:
        return
    try:
        settings = _json(folder / _SETTINGS)
        said = _other_tokens(folder, settings, tokenizer.get_vocab())
        said = said or _other_end(settings, tokenizer, model)
        said = said or _other_template(folder, settings, tokenizer)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise VariantLoadError(
            f"the adapter {folder} brings a tokenizer that cannot be read, so whether it was "
            f"trained with the base's prompts is not known: {error}; restore it, or take it out of "
            "the folder"
        ) from error
    if said is not None:
        raise VariantLoadError(
            f"the adapter {folder} {said}; {MERGE}. If it is meant to be asked as its base is, "
            f"take the tokenizer out of the folder ({', '.join(found)})"
        )


def _other_tokens(
    folder: Path, settings: Mapping[str, Any], known: Mapping[str, int]
) -> str | None:
    for token, number in _tokens(folder, settings):
        own = known.get(token)
        if own != number and token != _text(settings.get("pad_token")):  # no prompt has a padding
            has = f"the number {own} for it" if own is not None else "no such token"
            return (
                f"was trained with the token {shown(token)}, number {number} of the tokenizer in "
                f"its folder, and its base has {has}"
            )
    return None


def _other_end(settings: Mapping[str, Any], tokenizer: Any, model: Any) -> str | None:
    """Say that a reply would go on after what the adapter was trained to end it with."""
    end, ends = _text(settings.get("eos_token")), model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    if end is None or None in ends or tokenizer.convert_tokens_to_ids(end) in ends:
        return None
    return (
        f"was trained to end a reply with {shown(end)}, by the tokenizer in its folder, and its "
        f"base ends one with {shown(tokenizer.decode(ends))} alone (eos_token_id in "
        "generation_config.json, where it can be added)"
    )


def _other_template(folder: Path, settings: Mapping[str, Any], tokenizer: Any) -> str | None:
    template = _template(folder, settings)
    if template is None or not tokenizer.chat_template or not chat.rendered(tokenizer):
        return None
    if template == tokenizer.get_chat_template():
        return None
    other = copy.deepcopy(tokenizer)
    other.chat_template = template
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        if special := _text(settings.get(name)):
            setattr(other, name, special)
    for messages, needed in zip(_CHATS, (True, False), strict=True):
        theirs, ours = _rendered(other, messages), _rendered(tokenizer, messages)
        if theirs != ours and (needed or None not in (theirs, ours)):
            start = max(0, _alike(theirs or "", ours or "") - 9)
            return (
                "was trained with another chat template than its base's: the one in its folder "
                f"writes {shown((theirs or '')[start:])} where the base's writes "
                f"{shown((ours or '')[start:])}"
            )
    return None


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> str | None:
    try:
        return chat.render(tokenizer, messages)
    except ModelError:
        return None


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The chat template in a folder, where transformers looks for it."""
    if (folder / _TEMPLATE).is_file():
        return checkout.read(folder / _TEMPLATE)
    found = settings.get("chat_template", _json(folder / "chat_template.json").get("chat_template"))
    if isinstance(found, list):  # of several, by name
        found = {one["name"]: one["template"] for one in found}.get("default")
    return found if isinstance(found, str) else None


def _tokens(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Tokens of the tokenizer in a folder with their numbers, those that were added first."""
    for number, token in settings.get("added_tokens_decoder", {}).items():
        yield token["content"], int(number)
    yield from _json(folder / "added_tokens.json").items()
    whole = _json(folder / "tokenizer.json")
    for token in whole.get("added_tokens", ()):
        yield token["content"], token["id"]
    vocabulary = whole.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # Unigram: pieces with their scores
        yield from ((piece, number) for number, (piece, _) in enumerate(vocabulary))
    else:
        yield from vocabulary.items()


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found = json.loads(checkout.read(path))
    if not isinstance(found, dict):
        raise ValueError(f"{path.name}: {shown(found)}: expected an object")
    return found


def _text(token: Any) -> str | None:
    """A special token, which is a text or a table with one."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None
