"""Speech models of random weights, and recordings, for tests."""

from __future__ import annotations

import wave
from pathlib import Path

from pytest_modellab.media import sound
from pytest_modellab.records.media import Media

SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)

_PLAIN = 94
"""Letters that come first in the vocabulary: ASCII's."""


def whisper_folder(folder: Path, *, width: int = 16, seed: int = 0) -> Path:
    """Write a Whisper of one layer, with its processor."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    vocabulary = {letter: i for i, letter in enumerate(sorted(ByteLevel.alphabet()))}
    tokenizer = WhisperTokenizer(vocab=vocabulary, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    end, start, *_, plain = tokenizer.convert_tokens_to_ids(list(SPECIAL))
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=len(tokenizer) + 1501,  # timestamps come last
        d_model=width,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=width,
        decoder_ffn_dim=width,
        max_target_positions=32,
        init_std=1.0,  # so that what is heard decides about what is written
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config.no_timestamps_token_id = plain
    # plain letters alone, up to the limit: a random model writes anything
    model.generation_config.suppress_tokens = list(range(_PLAIN, config.vocab_size))
    model.generation_config._from_model_config = False
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def converted_folder(folder: Path, whisper: Path) -> Path:
    """Write a Whisper as CTranslate2 has it."""
    from ctranslate2.converters import TransformersConverter

    copied = ["tokenizer.json"]
    TransformersConverter(str(whisper), copy_files=copied).convert(str(folder))
    return folder


def aligner_folder(folder: Path, *, seed: int = 0) -> Path:
    """Write a wav2vec 2.0 of one layer, which aligns letters to frames (CTC)."""
    import json

    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    folder.mkdir()
    letters = ("<pad>", "<s>", "</s>", "<unk>", "|", *"ABC")
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        vocab_size=len(letters),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8, 8),
        conv_kernel=(10, 8),
        conv_stride=(5, 320),
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def recording(
    path: Path, *, seconds: float = 0.5, rate: int = 16000, pitch: float = 220.0
) -> Media:
    """Write a tone as WAV, and look at it."""
    import numpy as np

    time = np.arange(int(seconds * rate)) / rate
    tone = (8000 * np.sin(2 * np.pi * pitch * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(tone.tobytes())
    return sound.inspect(path)
