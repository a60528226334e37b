"""Speech models of transformers: Whisper and others that generate, and those that align (CTC)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import device as devices
from pytest_modellab.engines import environment, state
from pytest_modellab.engines.loading import loading, quiet
from pytest_modellab.engines.memory import running_out
from pytest_modellab.engines.modules import forget_tensors
from pytest_modellab.engines.packages import needed
from pytest_modellab.engines.speech.settings import SAMPLE_RATE, Settings
from pytest_modellab.engines.speech.transcriber import Heard
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.models import weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGES = ("torch", "transformers", "tokenizers", "av", "numpy")

COMPUTE_TYPES = ("float32", "bfloat16", "float16")

_PROMPT = 4
"""Tokens that ask Whisper for a transcript: start, language, task, no timestamps."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A speech model of transformers, loaded.

    Attributes:
        model: of torch.
        processor: features of sound, and text of tokens.
        settings: how it hears and decodes.
        folder: for messages.
    """

    model: Any
    processor: Any
    settings: Settings
    folder: Path

    @property
    def aligns(self) -> bool:
        """Whether each frame is a token or none (CTC), and nothing is generated."""
        return not hasattr(self.model, "generate") or not self.model.can_generate()

    @property
    def encoder(self) -> str:
        """The name of the module that hears: of a model that aligns, all but its last layer."""
        if self.aligns:
            return str(self.model.base_model_prefix)
        found = self.model.get_encoder()
        return next(str(name) for name, module in self.model.named_modules() if module is found)

    @property
    def width(self) -> int:
        """How wide what the encoder hands on is."""
        return int(self.model.config.hidden_size)

    @property
    def bands(self) -> int | None:
        """How many numbers a frame of features has; None where a model hears the waveform."""
        found = getattr(self.processor.feature_extractor, "feature_size", 1)
        return None if found == 1 else int(found)


def load(
    folder: Path,
    settings: Settings,
    *,
    device: str,
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
) -> Loaded:
    """Load a model.

    Args:
        folder: what ``save_pretrained`` wrote, of the model and of its processor.
        settings: the dtype, and how it hears and decodes.
        device: ``cpu``, ``cuda`` …
        trust_remote_code: whether the model's own Python code may run.
        allow_pickle: whether pickled weights may be read.

    Raises:
        ModelError: transformers cannot read the folder, or its weights are not all there.
        VariantLoadError: a library or the device is missing, or recordings are resampled to another
            rate than its features are made of.
    """
    problem = "transformers cannot load it as a speech model"
    with quiet():
        with needed("running a model", extra="transformers"):
            import torch
            from transformers import (
                AutoConfig,
                AutoModelForCTC,
                AutoModelForSpeechSeq2Seq,
                AutoProcessor,
            )

        with loading(folder, problem, device=device, code=trust_remote_code) as fits:
            weights.check_files(folder)
            processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
            if not (hasattr(processor, "feature_extractor") and hasattr(processor, "tokenizer")):
                raise ValueError("its processor has no feature extractor and tokenizer of speech")
            config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
            aligns = any(str(name).endswith("CTC") for name in config.architectures or ())
            model = (AutoModelForCTC if aligns else AutoModelForSpeechSeq2Seq).from_pretrained(
                folder,
                dtype=getattr(torch, settings.compute_type),
                device_map=devices.exact(device),
                attn_implementation="eager",
                use_safetensors=None if allow_pickle else True,
                trust_remote_code=trust_remote_code,
            )
        for fit in fits:
            weights.check(folder, fit)
    rate = getattr(processor.feature_extractor, "sampling_rate", SAMPLE_RATE)
    if settings.sample_rate == SAMPLE_RATE != rate:
        raise VariantLoadError(
            f"sample_rate: {folder} makes features of {rate} samples a second, and recordings are "
            f"resampled to {SAMPLE_RATE}; set sample_rate = {rate}"
        )
    return Loaded(model.eval(), processor, settings, folder)


class Speech:
    """Features, encoder and decoder, which may be of three models.

    Args:
        preprocessing: whose sample rate and features are heard.
        encoder: whose encoder hears them.
        decoder: whose decoder writes, in the way of its settings.

    Raises:
        VariantLoadError: they do not fit together.
    """

    def __init__(self, *, preprocessing: Loaded, encoder: Loaded, decoder: Loaded) -> None:
        if encoder.aligns != decoder.aligns or encoder.width != decoder.width:
            raise VariantLoadError(
                f"encoder: {_put(encoder)} wide in {encoder.folder}, and the decoder of "
                f"{decoder.folder} takes {_put(decoder)}; only parts of one size swap"
            )
        if preprocessing.bands != encoder.bands:
            raise VariantLoadError(
                f"preprocessing: {preprocessing.bands or 'no'} mel bands in "
                f"{preprocessing.folder}, and the encoder of {encoder.folder} takes "
                f"{encoder.bands or 'none'}"
            )
        self._loaded = decoder
        self._processor = preprocessing.processor
        self._heard = preprocessing.settings
        self._model: Any = decoder.model
        if encoder is not decoder:
            parent, _, name = decoder.encoder.rpartition(".")
            lent = encoder.model.get_submodule(encoder.encoder)
            setattr(decoder.model.get_submodule(parent), name, lent)

    @property
    def sample_rate(self) -> int:
        """What recordings are resampled to, in Hz."""
        return self._heard.sample_rate

    def hear(self, waveform: NDArray[np.float32], most: int) -> Heard:
        """Write down what is said, greedy or by beams.

        Args:
            waveform: mono, in [-1, 1].
            most: tokens that are generated at most.
        """
        import torch

        with quiet(), running_out(), torch.inference_mode():
            ids = self._align(waveform) if self._loaded.aligns else self._generate(waveform, most)
        decoded = self._loaded.processor.batch_decode(ids, skip_special_tokens=True)
        return Heard(" ".join(decoded[0].split()), int(ids.shape[-1]))

    def _features(self, waveform: NDArray[np.float32], **options: Any) -> dict[str, Any]:
        found = self._processor.feature_extractor(
            waveform,
            # the rate that it was made for; another one is refused by it, and heard here
            sampling_rate=self._processor.feature_extractor.sampling_rate,
            return_tensors="pt",
            **options,
        )
        model = self._model
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in found.items()
        }

    def _align(self, waveform: NDArray[np.float32]) -> Any:
        return self._model(**self._features(waveform)).logits.argmax(-1)

    def _generate(self, waveform: NDArray[np.float32], most: int) -> Any:
        settings = self._loaded.settings
        options: dict[str, Any] = {"num_beams": settings.beam_size, "do_sample": False}
        told: dict[str, Any] = {}
        if self._model.config.model_type == "whisper":
            most = min(most, self._model.config.max_target_positions - _PROMPT)
            if getattr(self._model.generation_config, "is_multilingual", False):
                options |= {"task": "transcribe", "language": settings.language}
            extractor = self._processor.feature_extractor
            if len(waveform) > extractor.n_samples:  # heard window after window
                told = {"truncation": False, "return_attention_mask": True}
                options |= {
                    "return_timestamps": True,
                    "condition_on_prev_tokens": settings.condition_on_previous_text,
                }
        features = self._features(waveform, **told)
        return self._model.generate(**features, max_new_tokens=most, **options)

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and torch's threads."""
        return environment.libraries()

    def state(self) -> state.State:
        """Return the hash of each tensor."""
        return state.hashes(self._model)

    def parameter_bytes(self) -> int:
        """Bytes of parameters and buffers as they are held in memory."""
        tensors = (*self._model.parameters(), *self._model.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def close(self) -> None:
        """Give the memory back at once."""
        forget_tensors(self._model.modules())


def _put(loaded: Loaded) -> str:
    return f"{loaded.width}{' (CTC)' if loaded.aligns else ''}"
