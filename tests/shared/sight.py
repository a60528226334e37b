"""Small random models that look at images, one of each family, and pictures for them."""

from __future__ import annotations

import importlib
import random
from pathlib import Path
from typing import Any

import tiny

from pytest_modellab.media import images
from pytest_modellab.records.media import Media

_PARTS = (
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}"
    "{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    + _PARTS
    + "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

SIDE = 32
"""Pixels of a side, of which a patch has 8."""

_TEXT = {
    "hidden_size": 64,  # bitsandbytes' blocks are no smaller
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "initializer_range": 0.3,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_VISION = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
}
FAMILIES = ("gemma3", "idefics3", "llava", "smolvlm")
"""Those of which transformers makes a processor without torchvision."""


def write(folder: Path, family: str = "idefics3", *, seed: int = 0, **changes: Any) -> Path:
    """Write a random model with its processor.

    Args:
        folder: destination.
        family: one of :data:`FAMILIES`.
        seed: of the weights.
        changes: of the image processor.
    """
    tokenizer, token = _tokenizer(family)
    model(family, seed).save_pretrained(folder)
    _processor(family, tokenizer, token, changes).save_pretrained(folder)
    return folder


def model(family: str = "idefics3", seed: int = 0) -> Any:
    """Make a random model of a family."""
    import torch
    import transformers

    config = _config(family, *_tokenizer(family))
    named = type(config).__name__.removesuffix("Config")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = getattr(transformers, f"{named}ForConditionalGeneration")(config)
        for parameter in made.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    made.generation_config.eos_token_id = 1
    made.generation_config.pad_token_id = 1
    return made.eval()


def _tokenizer(family: str) -> tuple[Any, str]:
    """Return a tokenizer and what stands for a piece of an image."""
    if family == "gemma3":
        named = {"image_token": "<soft>", "boi_token": "<image>", "eoi_token": "<end>"}
        tokenizer = tiny.tokenizer(extra_special_tokens=named)
    else:
        tokenizer = tiny.tokenizer()
        more = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"]
        tokenizer.add_special_tokens({"additional_special_tokens": more})
    tokenizer.chat_template = TEMPLATE
    return tokenizer, "<soft>" if family == "gemma3" else "<image>"


def _config(family: str, tokenizer: Any, token: str) -> Any:
    import transformers

    number = tokenizer.convert_tokens_to_ids(token)
    text = {**_TEXT, "vocab_size": len(tokenizer)}
    if family in ("idefics3", "smolvlm"):
        cls = transformers.Idefics3Config if family == "idefics3" else transformers.SmolVLMConfig
        return cls(
            text_config={"model_type": "llama", **text},
            vision_config=_VISION,
            image_token_id=number,
            scale_factor=2,
            tie_word_embeddings=False,
        )
    if family == "llava":
        return transformers.LlavaConfig(
            text_config={"model_type": "llama", **text},
            vision_config={"model_type": "clip_vision_model", "projection_dim": 32, **_VISION},
            image_token_id=number,
            tie_word_embeddings=False,
        )
    window = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    return transformers.Gemma3Config(
        text_config={"model_type": "gemma3_text", **text, **window},
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False, **_VISION},
        mm_tokens_per_image=4,
        image_token_id=number,
        boi_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        eoi_token_id=tokenizer.convert_tokens_to_ids("<end>"),
    )


def _processor(family: str, tokenizer: Any, token: str, changes: dict[str, Any]) -> Any:
    import transformers

    square = {"height": SIDE, "width": SIDE}
    longest = {"longest_edge": SIDE}
    sizes: dict[str, dict[str, Any]] = {
        "gemma3": {"size": square},
        "idefics3": {"do_image_splitting": False, "size": longest, "max_image_size": longest},
        "llava": {"size": square, "crop_size": square, "do_center_crop": True},
    }
    own = "idefics3" if family == "smolvlm" else family
    module = importlib.import_module(f"transformers.models.{own}.image_processing_pil_{own}")
    named = {"idefics3": "Idefics3", "llava": "Llava", "gemma3": "Gemma3"}
    prepare = getattr(module, f"{named[own]}ImageProcessorPil")(**{**sizes[own], **changes})
    if own == "idefics3":
        return transformers.Idefics3Processor(prepare, tokenizer, image_seq_len=4)
    if own == "llava":
        return transformers.LlavaProcessor(
            prepare,
            tokenizer,
            patch_size=8,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            image_token=token,
        )
    return transformers.Gemma3Processor(prepare, tokenizer, image_seq_length=4)


def picture(folder: Path, seed: int, width: int = 40, height: int = 30) -> Media:
    """Draw a picture of random squares."""
    from PIL import Image

    drawn = random.Random(seed)
    small = Image.new("RGB", (4, 4))
    small.putdata([tuple(drawn.randrange(256) for _ in range(3)) for _ in range(16)])
    path = folder / f"{seed}-{width}x{height}.png"
    small.resize((width, height), Image.Resampling.NEAREST).save(path)
    return images.inspect(path)
