"""A processor of transformers: what makes tokens of a text with images, and pixels of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.language import chat
from pytest_modellab.engines.language.opening import check_kind
from pytest_modellab.engines.loading import quiet, reading
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import ModelError, ScoringError, VariantLoadError
from pytest_modellab.media import images
from pytest_modellab.models import ctranslate2
from pytest_modellab.records.media import Media

PROBLEM = "transformers cannot load its processor"

_PROBE = 64
"""Pixels of a side."""

_REFUSALS = (
    IndexError,
    KeyError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    ZeroDivisionError,
)
"""What a processor raises of a picture that it cannot prepare."""


def load_processor(
    folder: Path, changes: Mapping[str, Any], *, trust_remote_code: bool = False
) -> Any:
    """Load a model's processor, which prepares images by Pillow whatever else is installed.

    Args:
        folder: the model's.
        changes: fields of its image processor that are set otherwise.
        trust_remote_code: whether the processor's own Python code may run.

    Raises:
        ModelError: transformers cannot read it, or its chat template is wrong.
        VariantLoadError: it has no field of a name that is changed, or takes no images.
    """
    if ctranslate2.is_in(folder):
        raise VariantLoadError(
            f"{folder} is for CTranslate2, of a model that writes down what it hears: declare it "
            'by kind = "transcriber"'
        )
    with quiet(), needed("looking at images", extra="vision"):
        import PIL  # noqa: F401
        from transformers import AutoProcessor
    with quiet(), reading(folder, PROBLEM):
        processor = AutoProcessor.from_pretrained(
            folder, trust_remote_code=trust_remote_code, backend="pil"
        )
    if getattr(processor, "image_processor", None) is None or not token(processor):
        with quiet(), reading(folder, PROBLEM):
            check_kind(folder, "AutoModelForImageTextToText", trust_remote_code=trust_remote_code)
        raise VariantLoadError(
            f"{folder}: its {type(processor).__name__} prepares no images: save the model's own "
            "processor there with save_pretrained()"
        )
    template = getattr(processor, "chat_template", None)
    if template:
        processor.tokenizer.chat_template = template
    if processor.tokenizer.chat_template and chat.rendered(processor.tokenizer):
        chat.compiled(processor.tokenizer)
    if changes:
        processor.image_processor = changed(processor.image_processor, changes)
    return processor


def token(processor: Any) -> str:
    """Return what stands for an image in a text; empty where nothing does."""
    return str(getattr(processor, "image_token", "") or "")


def changed(image_processor: Any, changes: Mapping[str, Any]) -> Any:
    """Return an image processor with some fields set otherwise.

    Raises:
        VariantLoadError: it has no such field, or not such a value.
    """
    name = type(image_processor).__name__
    known = image_processor.to_dict()
    for field in changes:
        if field not in known:
            has = ", ".join(sorted(key for key in known if not key.endswith("_type")))
            raise VariantLoadError(f"processor.{field}: {name} has no such field; it has {has}")
    try:
        return type(image_processor)(**{**known, **changes})
    except (TypeError, ValueError, KeyError) as error:
        raise VariantLoadError(f"processor: {name} refuses {dict(changes)}: {error}") from error


def prepare(processor: Any, text: str, media: Sequence[Media]) -> Any:
    """Return what a model is given of a text and its images.

    Args:
        processor: see :func:`load_processor`.
        text: in the chat template, in which each image's token stands once.
        media: the images, in order.

    Raises:
        ScoringError: an image cannot be read or prepared.
    """
    pictures = [images.opened(one) for one in media]
    return _prepared(processor, text, pictures, [Path(one.path).name for one in media])


def image_tokens(processor: Any, width: int, height: int) -> list[int]:
    """Return the tokens that an image of a size becomes."""
    from PIL import Image

    blank = Image.new("RGB", (width, height))
    named = [f"an image of {width} × {height} pixels"]
    made = _prepared(processor, token(processor), [blank], named)
    return list(made["input_ids"][0].tolist())


def check_tokens(processor: Any, model: Any, folder: Path) -> None:
    """Refuse a processor that writes images by other tokens than the model looks for.

    Args:
        processor: see :func:`load_processor`.
        model: of transformers.
        folder: of both, for the message.

    Raises:
        ModelError: it does.
    """
    ids = image_tokens(processor, _PROBE, _PROBE)
    config, rows = model.config, model.get_input_embeddings().weight.shape[0]
    wanted = getattr(config, "image_token_id", None)
    if max(ids) >= rows:
        raise ModelError(
            f"{folder}: of an image its processor makes the token {max(ids)}, and the model has "
            f"embeddings for {rows}: save tokenizer and model as they were trained together"
        )
    if wanted is not None and wanted not in ids:
        raise ModelError(
            f"{folder}: config.json has image_token_id = {wanted}, which its processor does not "
            f"write: of an image it makes the tokens {sorted({*ids})}; save both as they were "
            "trained together"
        )


def _prepared(processor: Any, text: str, pictures: Sequence[Any], names: Sequence[str]) -> Any:
    try:
        with quiet():
            made = processor(
                text=[text],
                images=[list(pictures)] if pictures else None,
                add_special_tokens=False,
                return_tensors="pt",
            )
    except _REFUSALS as error:
        raise ScoringError(
            f"{', '.join(names)}: {type(processor).__name__} cannot prepare it: {error}"
        ) from error
    _seen(made)
    return made


def _seen(made: Any) -> None:
    """Let no image be all zeros: Idefics3 and SmolVLM take such a one for padding, and drop it."""
    import torch

    pixels = made.get("pixel_values")
    if isinstance(pixels, torch.Tensor) and pixels.ndim == 5:
        blank = ~pixels.flatten(2).any(dim=-1)
        pixels[..., 0, 0, 0][blank] = torch.finfo(pixels.dtype).tiny


def takes_parts(processor: Any, day: str) -> bool:
    """Whether a chat template takes a content of parts, and not only a text."""
    parts = [{"type": "image"}, {"type": "text", "text": "probe"}]
    try:
        said = chat.render(processor.tokenizer, [{"role": "user", "content": parts}], day=day)
    except ModelError:
        return False
    return said.count(token(processor)) == 1 and "probe" in said and "'type'" not in said
