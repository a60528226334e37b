"""Helpers for people who test their own suites: small random models and small task sets."""

from __future__ import annotations

import io
import json
import math
import random
import struct
import wave
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.records.tasks import DIFFICULTIES

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_random_model(
    folder: Path,
    *,
    seed: int = 0,
    merges: Sequence[tuple[str, str]] = (),
    hidden_size: int = 32,
) -> Path:
    """Write a two-layer Llama with random weights and a byte tokenizer: loads in milliseconds.

    Its answers mean nothing; it is for testing a suite's wiring, never for a verdict.

    Args:
        folder: destination, made where missing.
        seed: of the weights.
        merges: pairs of symbols that the tokenizer joins, for tokens of more than a byte.
        hidden_size: width of a layer, in four heads; bitsandbytes wants multiples of 64.

    Returns:
        The folder, ready for ``source = …`` in ``[models.NAME]``.
    """
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)]
    vocabulary = {symbol: number for number, symbol in enumerate(symbols)}
    tokenizer = Tokenizer(BPE(vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(fast),
                hidden_size=hidden_size,
                intermediate_size=2 * hidden_size,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=2048,
                initializer_range=0.3,
                bos_token_id=fast.bos_token_id,
                eos_token_id=fast.eos_token_id,
                pad_token_id=fast.pad_token_id,
            )
        )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def choice_samples(
    capabilities: Iterable[str], each: int, *, seed: int = 0
) -> list[dict[str, Any]]:
    """Make multiple-choice samples of random words, ``each`` per capability and difficulty."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=4))

    return [
        {
            "id": f"{capability}-{difficulty}-{number:03d}",
            "input": f"{word()} {word()} {word()}?",
            "choices": [word(), word(), word()],
            "target": rng.randrange(3),
            "scorer": "choice",
            "capability": capability,
            "difficulty": difficulty,
        }
        for capability in capabilities
        for difficulty in DIFFICULTIES
        for number in range(each)
    ]


def write_task_set(
    folder: Path,
    samples: Iterable[Mapping[str, Any]],
    *,
    version: str = "1",
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a task set folder that :func:`pytest_modellab.tasksets.jsonl.read` reads.

    Args:
        folder: destination, made where missing; its name is the task set's.
        samples: one mapping a sample.
        version: the task set's.
        files: images and recordings that the samples name, by their path in the folder.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header = f'name = "{folder.name}"\nversion = "{version}"\n'
    (folder / "task_set.toml").write_text(header, encoding="utf-8")
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    (folder / "samples.jsonl").write_text(lines, encoding="utf-8")
    for name, content in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def small_image(colour: tuple[int, int, int], *, width: int = 32, height: int = 32) -> bytes:
    """Return a PNG of one colour: red, green and blue, each from 0 to 255."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)

    row = b"\0" + bytes(colour) * width
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * height))
        + chunk(b"IEND", b"")
    )


def small_recording(hertz: float, *, seconds: float = 0.5, rate: int = 16_000) -> bytes:
    """Return a WAV of one tone, mono, 16 bits a sample, at half of full strength."""
    written = io.BytesIO()
    with wave.open(written, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        steps = range(round(seconds * rate))
        values = [round(16383 * math.sin(2 * math.pi * hertz * k / rate)) for k in steps]
        file.writeframes(struct.pack(f"<{len(values)}h", *values))
    return written.getvalue()


def write_random_encoder(
    folder: Path, *, seed: int = 0, words: Sequence[str] = (), dimension: int = 32
) -> Path:
    """Write a two-layer BERT with random weights as a sentence-transformers folder.

    Its vectors mean little; it is for testing a suite's wiring, never for a verdict.

    Args:
        folder: destination, made where missing.
        seed: of the weights.
        words: what its tokenizer knows beside single letters, digits and signs.
        dimension: numbers in a vector, in four heads.

    Returns:
        The folder, ready for ``source = …`` in ``[models.NAME]``.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = list(
        dict.fromkeys([*special, *words, *letters, *(f"##{letter}" for letter in letters)])
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=dimension,
                intermediate_size=2 * dimension,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=64,
                initializer_range=0.3,
            )
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    transformer = modules.Transformer(str(folder), max_seq_length=64)
    pooling = modules.Pooling(dimension, pooling_mode="mean")
    SentenceTransformer(modules=[transformer, pooling], device="cpu").save(
        str(folder), create_model_card=False
    )
    return folder


def write_retrieval_set(
    folder: Path,
    documents: Mapping[str, str],
    queries: Mapping[str, tuple[str, Mapping[str, int]]],
    *,
    header: str = "",
    metadata: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write a retrieval task set in BEIR's layout.

    Args:
        folder: destination, made where missing; its name is the task set's.
        documents: id → text.
        queries: id → text, and the grade of each relevant document by its id.
        header: further lines of ``task_set.toml``.
        metadata: of queries, by id, for example ``{"q1": {"capability": "numbers"}}``.

    Returns:
        The folder.
    """
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    named = f'name = "{folder.name}"\nversion = "1"\nformat = "beir"\n'
    (folder / "task_set.toml").write_text(named + header, encoding="utf-8")
    corpus = [{"_id": id_, "text": text} for id_, text in documents.items()]
    asked = [
        {"_id": id_, "text": text, "metadata": dict((metadata or {}).get(id_, {}))}
        for id_, (text, _) in queries.items()
    ]
    for name, rows in (("corpus.jsonl", corpus), ("queries.jsonl", asked)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / name).write_text(lines, encoding="utf-8")
    judged = [
        f"{id_}\t{document}\t{grade}\n"
        for id_, (_, grades) in queries.items()
        for document, grade in grades.items()
    ]
    text = "query-id\tcorpus-id\tscore\n" + "".join(judged)
    (folder / "qrels" / "test.tsv").write_text(text, encoding="utf-8")
    return folder
