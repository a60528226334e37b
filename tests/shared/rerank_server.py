"""llama.cpp's own server with a small random cross-encoder, in a process of its own.

``python rerank_server.py FILE`` prints its base URL and serves until its input ends.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from gguf_server import running, settings

MODEL = "cross"

ROOM = 64
"""Tokens of query and document together."""

WORDS = (
    "the a to of and in on you your is was for with it he had when what water day boat train sea "
    "light old two first second chairs"
).split()


@contextlib.contextmanager
def serving(file: Path) -> Iterator[str]:
    """Serve a file, and yield the base URL."""
    with running(__file__, str(file)) as url:
        yield url


def write(folder: Path) -> Path:
    """Write a cross-encoder to a folder, and return the same as a GGUF file.

    llama.cpp knows no second type of token, so that both types are one here.
    """
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    vocabulary = {one: k for k, one in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    built = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    built.normalizer = normalizers.BertNormalizer()
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=built,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=ROOM,
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=ROOM,
        num_labels=1,
        hidden_act="gelu_new",
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        types = model.bert.embeddings.token_type_embeddings.weight
        types[1] = types[0]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    file = folder.with_suffix(".gguf")
    _write_gguf(file, model, list(vocabulary))
    return file


def _write_gguf(file: Path, model: object, tokens: list[str]) -> None:
    import gguf

    config = model.config  # type: ignore[attr-defined]
    writer = gguf.GGUFWriter(file, "bert")
    writer.add_context_length(ROOM)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(config.num_attention_heads)
    writer.add_layer_norm_eps(config.layer_norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    special = tokens[:4]
    writer.add_token_list([one if one in special else f"\u2581{one}" for one in tokens])
    kinds = {"[UNK]": gguf.TokenType.UNKNOWN, **dict.fromkeys(special, gguf.TokenType.CONTROL)}
    writer.add_token_types([kinds.get(one, gguf.TokenType.NORMAL) for one in tokens])
    writer.add_token_type_count(2)
    writer.add_pad_token_id(0)
    writer.add_unk_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_array("bert.classifier.output_labels", ["relevance"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():  # type: ignore[attr-defined]
        inner, kind = name.removeprefix("bert.").rsplit(".", 1)
        if inner in ("pooler.dense", "classifier"):
            place = f"cls.{kind}" if inner == "pooler.dense" else f"cls.output.{kind}"
        else:
            place = f"{names.get_name(inner)}.{kind}"
        writer.add_tensor(place, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    import xllamacpp

    _, file = sys.argv
    params = settings(file, MODEL, ROOM)
    params.embedding = True
    params.n_ubatch = params.n_batch = ROOM
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    server = xllamacpp.Server(params)
    print(f"{server.listening_address}/v1", flush=True)
    sys.stdin.read()
