"""Random models written as GGUF, whole or damaged on purpose."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines.language import gguf_tokenizer

TENSORS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    folder: Path,
    path: Path,
    change: Callable[[dict[str, Any]], object] = lambda _: None,
    *,
    architecture: str = "llama",
    leave_out: Container[str] = (),
    more: Mapping[str, Any] = MappingProxyType({}),
    layers: int | None = None,
    **options: Any,
) -> Path:
    """Write a random model of ``testing`` as GGUF, as llama.cpp's converter would.

    Args:
        folder: the model's.
        path: the file.
        change: takes tokens, merges, bos and eos, and may damage them.
        architecture: named in the head, for keys and tensors of the llama's.
        leave_out: names of tensors, and ``context_length`` or ``merges``.
        more: tensors by name.
        layers: how many the head says that there are, if not as many as there are.
        **options: of ``GGUFWriter``: parts, byte order.
    """
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    known = gguf_tokenizer.vocabulary(tokenizer)
    special = set(tokenizer.all_special_tokens)
    vocabulary: dict[str, Any] = {
        "tokens": list(known.tokens),
        "merges": list(known.merges),
        **known.special,
    }
    change(vocabulary)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture, **options)
    if "context_length" not in leave_out:
        writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(layers or config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(
        [
            gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL
            for token in vocabulary["tokens"]
        ]
    )
    if "merges" not in leave_out:
        writer.add_token_merges(vocabulary["merges"])
    writer.add_bos_token_id(vocabulary["bos"])
    writer.add_eos_token_id(vocabulary["eos"])
    tensors = {
        "token_embd.weight": model.model.embed_tokens.weight.detach().numpy(),
        "output_norm.weight": model.model.norm.weight.detach().numpy(),
        "output.weight": model.lm_head.weight.detach().numpy(),
    }
    for number, layer in enumerate(model.model.layers):
        for theirs, ours in TENSORS.items():
            weight = layer.get_submodule(theirs).weight.detach()
            heads = {
                "attn_q": config.num_attention_heads,
                "attn_k": config.num_key_value_heads,
            }.get(ours)
            if heads is not None:  # llama.cpp rotates neighbours, transformers the two halves
                halves = weight.reshape(heads, 2, config.head_dim // 2, -1)
                weight = halves.swapaxes(1, 2).reshape(weight.shape)
            tensors[f"blk.{number}.{ours}.weight"] = weight.numpy().copy()
    for name, tensor in {**tensors, **more}.items():
        if name not in leave_out:
            writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
