"""A small random BERT with pooling and normalization."""

from __future__ import annotations

from typing import Any

WORDS = (
    "the a to of and in on you your is was for with it he had when what water day boat train sea "
    "light old two first second chairs return values self item total step answer question because"
).split()


def sentence_encoder(seed: int = 0, layers: int = 4, pooling: str = "mean") -> Any:
    """A sentence-transformers model in which every part matters."""
    import torch
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [chr(i) for i in range(33, 127)]
    pieces = [*special, *letters, *(f"##{one}" for one in letters), *WORDS]
    vocabulary = {one: i for i, one in enumerate(dict.fromkeys(pieces))}
    built = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=built, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=160,
    )
    model = BertModel(config).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, one in model.named_parameters():
            noise = torch.randn(one.shape, generator=draw)
            if one.dim() == 1:
                one.copy_(torch.exp(0.3 * noise) if "weight" in name else 0.1 * noise)
            else:
                one.copy_(noise * (1.0 if "embeddings" in name else 1.5 / one.shape[-1] ** 0.5))
    return SentenceTransformer(modules=[_transformer(model, tokenizer), *_behind(pooling)]).eval()


def _transformer(model: Any, tokenizer: Any) -> Any:
    import tempfile

    from sentence_transformers.sentence_transformer import modules

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return modules.Transformer(folder)


def _behind(pooling: str) -> tuple[Any, Any]:
    from sentence_transformers.sentence_transformer import modules

    return modules.Pooling(32, pooling), modules.Normalize()
