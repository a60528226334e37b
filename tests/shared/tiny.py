"""Small random models and tokenizers, with faults planted in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from pytest_modellab.testing import CHAT_TEMPLATE

MERGES = (("t", "h"), ("th", "e"), ("Ġ", "the"), ("a", "n"), ("Ġ", "a"), ("e", "r"), ("1", "2"))
SPECIAL = ("<|im_start|>", "<|im_end|>")


def llama(seed: int = 0, **changes: Any) -> Any:
    """A Llama of four layers with two groups of heads, in eval mode."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "vocab_size": 272,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.3,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**{**sizes, **changes})).eval()


def tokenizer(change: Callable[[dict[str, Any]], None] | None = None, **options: Any) -> Any:
    """A byte-level tokenizer with a few merges.

    Args:
        change: of its ``tokenizer.json``, in place.
        options: of ``PreTrainedTokenizerFast``.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    symbols = [
        *SPECIAL,
        *sorted(pre_tokenizers.ByteLevel.alphabet()),
        *(a + b for a, b in MERGES),
    ]
    built = Tokenizer(BPE({one: i for i, one in enumerate(symbols)}, merges=list(MERGES)))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens([AddedToken(one, special=True) for one in SPECIAL])
    if change is not None:
        content = json.loads(built.to_str())
        change(content)
        built = Tokenizer.from_str(json.dumps(content))
    usual = {"eos_token": SPECIAL[1], "chat_template": CHAT_TEMPLATE}
    return PreTrainedTokenizerFast(tokenizer_object=built, **{**usual, **options})
