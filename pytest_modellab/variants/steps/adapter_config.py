"""An adapter's configuration, looked at before PEFT does what it says.

It may ask for what no variant does, or what PEFT would do otherwise than where it was trained. PEFT
matches its names as regular expressions on every module of the model, and makes matrices as
large as it says before it reads those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
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
MERGE = (
    "merge it where it was trained (PEFT's merge_and_unload), save model and tokenizer, and "
    "declare that checkpoint as kind 'finetuned'"
)
"""What to do with an adapter that cannot be put on its base."""

_TASKS = {
    "FEATURE_EXTRACTION": "an encoder",
    "QUESTION_ANS": "a model that marks answers in a text",
    "SEQ_2_SEQ_LM": "an encoder with a decoder",
    "SEQ_CLS": "a classifier or reward model",
    "TOKEN_CLS": "a model that labels words",
}
"""PEFT's task types that are no causal language model's."""
_STARTS = {
    "corda": "changes the base by data that are not in its folder",
    "loftq": "rounds the base once more",
    "lora_ga": "changed the base by gradients that are not in its folder",
    "pissa_niter": "changes the base by numbers drawn at random",
}
"""How the value of ``init_lora_weights`` begins → what that does whenever the adapter is loaded.
``pissa`` and ``olora`` do the same to the base as in training; all else leaves the base alone."""
_OUTSIDE = ("POLY", "SHADOW", "XLORA")
"""Methods of which a part stays behind when the model is taken out of PEFT's."""
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


def refusal(config: Mapping[str, Any]) -> str | None:
    """Say why no variant can run an adapter, going on from its name; None where one can."""
    task, start = config.get("task_type"), config.get("init_lora_weights")
    if task in _TASKS:
        return (
            f"was trained on {_TASKS[task]} (task_type {task} in adapter_config.json): a language "
            "model lacks its head, and no variant answers with it; declare an adapter of task_type "
            "CAUSAL_LM"
        )
    if config.get("peft_type") in _OUTSIDE:
        return (
            f"is of PEFT's method {config['peft_type']}, a part of which works outside of the "
            "model's layers; only adapters that change the model's layers are run"
        )
    if tokens := config.get("alora_invocation_tokens"):
        return (
            f"works from its alora_invocation_tokens {tokens} on, which PEFT looks for outside of "
            "the model's layers; only adapters that change the model's layers are run"
        )
    if config.get("megatron_config"):  # PEFT would import the module that megatron_core names
        return (
            "changes layers of Megatron (megatron_config in adapter_config.json), which no variant "
            f"has; {MERGE}"
        )
    for begins, does in _STARTS.items():
        if isinstance(start, str) and start.startswith(begins):
            return (
                f"was saved with init_lora_weights {start!r}, which {does}: what is loaded is not "
                "what was trained; save it with path_initial_model_for_weight_conversion, or "
                f"{MERGE}"
            )
    return None


def unscalable(config: Mapping[str, Any]) -> str | None:
    """Say why what an adapter does cannot be multiplied, going on from its name; None if it can."""
    if config.get("peft_type") != "LORA":
        return f"is of PEFT's method {config.get('peft_type')}, and only a LoRA can be scaled"
    if config.get("use_dora"):
        return "is a DoRA, which changes the length of the base's rows, too"
    for key in ("modules_to_save", "trainable_token_indices", "layer_replication"):
        if config.get(key):
            return f"replaces parts of the base ({key} in adapter_config.json)"
    if config.get("bias", "none") != "none":
        return "replaces the base's biases (bias in adapter_config.json)"
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.startswith(("pissa", "olora")):
        return f"changes the base by its start (init_lora_weights {start!r}), too"
    return None


def newer(config: Mapping[str, Any], known: Iterable[str], version: str) -> str | None:
    """Say what a newer PEFT has written that the installed one would leave out; None if nothing.

    Args:
        config: of the adapter.
        known: the keys that the installed PEFT knows for its method.
        version: the installed PEFT's.
    """
    from packaging.version import InvalidVersion, Version

    left = {key: value for key, value in config.items() if key not in known and value}
    try:  # a development version has the commit behind an @
        wrote = Version(str(left.pop("peft_version", config.get("peft_version"))).split("@")[0])
    except InvalidVersion:  # older ones did not say
        return None
    if not left or wrote <= Version(version):  # then somebody else's keys
        return None
    key = min(left)
    return (
        f"{key}: {left[key]!r} was written by PEFT {wrote}; the installed {version} does not know "
        f"it and would leave it out: pip install 'peft>={wrote}'"
    )


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
