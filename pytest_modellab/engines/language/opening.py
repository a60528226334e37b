"""A model of transformers is loaded from its folder, and its weights are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pytest_modellab.engines import device as devices
from pytest_modellab.engines.loading import loading, quiet, with_attention
from pytest_modellab.engines.packages import needed
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.models import weights

PROBLEM = "transformers cannot load it"

Auto = Literal["AutoModelForCausalLM", "AutoModelForImageTextToText"]
"""What transformers calls the class that opens a model: one of text alone, or one with images."""

_HEARS = 'writes down what it hears: declare it by kind = "transcriber"'

_OTHER: dict[Auto, tuple[Auto, str]] = {
    "AutoModelForCausalLM": (
        "AutoModelForImageTextToText",
        'is a language model with images: declare it by kind = "multimodal"',
    ),
    "AutoModelForImageTextToText": (
        "AutoModelForCausalLM",
        'is a language model that reads text alone: declare it by kind = "prompted"',
    ),
}


def load_model(
    folder: Path,
    auto: Auto,
    *,
    dtype: str,
    device: str,
    trust_remote_code: bool,
    allow_pickle: bool,
    attention: str | None,
    **options: Any,
) -> Any:
    """Load a model, ready to answer.

    Args:
        folder: what ``save_pretrained`` wrote.
        auto: what opens it.
        dtype: name of a torch dtype.
        device: ``cpu``, ``cuda`` …
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.
        attention: what transformers calls ``attn_implementation``; None for the best that is there.
        **options: passed to ``from_pretrained``.

    Raises:
        ModelError: transformers cannot read the folder, or its weights are not all there.
        VariantLoadError: a library, the device or the attention is missing, or another kind of
            variants opens such a model.
    """
    with quiet():
        with needed("running a model", extra="transformers"):
            import torch
            import transformers
        with loading(folder, PROBLEM, device=device, code=trust_remote_code) as fits:
            weights.check_files(folder)
            check_kind(folder, auto, trust_remote_code=trust_remote_code)
            model = with_attention(
                lambda taken: getattr(transformers, auto).from_pretrained(
                    folder,
                    dtype=getattr(torch, dtype),
                    device_map=devices.exact(device),
                    attn_implementation=taken,
                    use_safetensors=None if allow_pickle else True,
                    trust_remote_code=trust_remote_code,
                    **options,
                ),
                attention,
            )
        for fit in fits:
            weights.check(folder, fit)
    return model.eval()


def check_kind(folder: Path, auto: Auto, *, trust_remote_code: bool) -> None:
    """Refuse a model that transformers opens by another class alone.

    Args:
        folder: the model's.
        auto: what is to open it.
        trust_remote_code: whether the model's own Python code may run.

    Raises:
        VariantLoadError: the message names the kind of variants that it is for.
    """
    import transformers

    if not (folder / "config.json").is_file():
        return
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    if _opens(auto, config):
        return
    other, said = _OTHER[auto]
    hears = _opens("AutoModelForSpeechSeq2Seq", config)
    if hears or _opens(other, config):
        name = type(config).__name__.removesuffix("Config")
        raise VariantLoadError(f"{folder}: {name} {_HEARS if hears else said}")


def _opens(auto: Auto | Literal["AutoModelForSpeechSeq2Seq"], config: Any) -> bool:
    import transformers

    opener = getattr(transformers, auto)
    own = getattr(config, "auto_map", None) or {}
    return auto in own or type(config) in opener._model_mapping  # noqa: SLF001
