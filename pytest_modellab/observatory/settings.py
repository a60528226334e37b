"""Two configurations side by side: how replies are made, and what explains other findings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_modellab.visible import line

_DEFAULTS: Mapping[str, Any] = {
    "eos_token_id": None,
    "do_sample": False,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "max_length": 20,
    "max_new_tokens": None,
    "min_new_tokens": None,
    "suppress_tokens": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "bad_words_ids": None,
}
"""What is compared of a generation configuration, and what each means where it is left out."""

_SAMPLED = ("temperature", "top_k", "top_p")
"""What changes nothing where nothing is drawn."""

_NO_MATTER = frozenset(
    "_name_or_path name_or_path transformers_version torch_dtype dtype architectures auto_map "
    "_attn_implementation attn_implementation use_cache return_dict output_attentions "
    "output_hidden_states id2label label2id".split()
)
"""Keys of ``config.json`` that are names, versions, dtypes, or say how something is computed."""

KEYS = 40
"""Keys of ``config.json`` that are told, at most."""


def generation(base: Any, candidate: Any) -> dict[str, tuple[str, str]]:
    """Find what makes replies end or be chosen in another way.

    Args:
        base: a model of transformers.
        candidate: another.

    Returns:
        Key → the base's value and the candidate's, in words; only what differs.
    """
    ours, theirs = _generation(base), _generation(candidate)
    if not ours or not theirs:
        return {}
    sampled = ours["do_sample"] or theirs["do_sample"]
    return {
        key: (_said(ours[key]), _said(theirs[key]))
        for key in _DEFAULTS
        if ours[key] != theirs[key] and (sampled or key not in _SAMPLED)
    }


def _generation(model: Any) -> dict[str, Any]:
    own = getattr(model, "generation_config", None)
    if own is None:
        return {}
    found = {}
    for key, usual in _DEFAULTS.items():
        value = getattr(own, key, None)
        found[key] = usual if value is None else value
    ends = found["eos_token_id"]
    ids = ends if isinstance(ends, list | tuple) else [] if ends is None else [ends]
    found["eos_token_id"] = sorted({int(one) for one in ids})
    return found


def configuration(base: Any, candidate: Any) -> dict[str, tuple[str, str]]:
    """Find every key of ``config.json`` that differs, apart from names, versions and dtypes.

    Args:
        base: a model of transformers.
        candidate: another.

    Returns:
        Key → the base's value and the candidate's, in words. They explain a finding, for example of
        ``rope``, and are none.
    """
    ours, theirs = _flat(base), _flat(candidate)
    keys = sorted(ours.keys() | theirs.keys())
    found = {
        line(key, 80): (_said(ours.get(key)), _said(theirs.get(key)))
        for key in keys
        if ours.get(key) != theirs.get(key)
    }
    return dict(list(found.items())[:KEYS])


def _flat(model: Any) -> dict[str, Any]:
    config = getattr(model, "config", None)
    if config is None or not hasattr(config, "to_dict"):
        return {}
    found: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = [("", config.to_dict())]
    while pending:
        prefix, part = pending.pop()
        for key, value in part.items():
            if str(key) in _NO_MATTER:
                continue
            if isinstance(value, dict) and value:
                pending.append((f"{prefix}{key}.", value))
            else:
                found[f"{prefix}{key}"] = value
    return found


def _said(value: Any) -> str:
    if value is None:
        return "none"
    return line(json.dumps(value, default=str, ensure_ascii=False), 80)
