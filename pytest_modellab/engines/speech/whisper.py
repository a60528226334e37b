"""Whisper by CTranslate2, through faster-whisper."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_modellab.engines import device as devices
from pytest_modellab.engines import environment
from pytest_modellab.engines.loading import reading
from pytest_modellab.engines.packages import needed, required
from pytest_modellab.engines.speech.settings import Settings
from pytest_modellab.engines.speech.transcriber import Heard
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.models import ctranslate2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGES = ("faster-whisper", "ctranslate2", "tokenizers", "av", "numpy")
"""Whose versions may change a transcript; numpy's transforms are what features are made by."""

VAD_PACKAGES = ("onnxruntime",)
"""What runs the voice activity detector that faster-whisper brings."""

COMPUTE_TYPES = (
    "float32",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
)

WINDOW = 448
"""Tokens that Whisper's decoder sees at once, prompt included."""

_ASKS = ("<|startoftranscript|>", "<|transcribe|>", "<|notimestamps|>", "<|startofprev|>")
"""Tokens without which nothing is asked."""

_PROMPT = 4
"""Tokens that ask for a transcript: start, language, task, timestamps."""

_BEFORE = WINDOW // 2
"""Tokens of the window before that may come first, with the token that says so."""

SILENCE = {"no_speech_threshold": 0.6, "log_prob_threshold": -1.0}
"""A window is taken for silent where the first is likelier and the words less likely than this."""

VAD = {"threshold": 0.5, "min_silence_duration_ms": 2000, "speech_pad_ms": 400}
"""Silero's: what counts as speech, and how much silence is left; faster-whisper's own choice."""

FEATURES = {
    "sampling_rate": 16000,
    "n_fft": 400,
    "hop_length": 160,
    "feature_size": 80,
    "chunk_length": 30,
}
"""faster-whisper's, where the model's folder says nothing else."""

_WHOLE_NUMBERS = (1, 2, 3)
_SCALED = {"int8": 1, "int16": 2}
_PLAIN = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model of CTranslate2, loaded.

    Attributes:
        model: faster-whisper's.
        head: what its file holds.
        settings: how it hears and decodes.
        folder: for messages.
    """

    model: Any
    head: ctranslate2.Head
    settings: Settings
    folder: Path

    def width(self, part: str) -> int:
        """Return how wide what the encoder hands on is, or what the decoder takes."""
        return sum(self.head.shape(f"{part}/layer_norm/gamma"))

    def size(self, part: str) -> int:
        """Return the bytes of a part's weights in memory, by their count and the compute type."""
        held = str(self.model.model.compute_type)
        weight, _, rest = held.partition("_")
        whole = _PLAIN[rest or ("float32" if weight in _SCALED else weight)]
        return sum(
            _held(tensor, weight, whole)
            for name, tensor in self.head.tensors.items()
            if name.startswith(f"{part}/")
        )


def load(folder: Path, settings: Settings, *, device: str) -> Loaded:
    """Load a model.

    Args:
        folder: with ``model.bin``, ``config.json``, ``tokenizer.json`` and a vocabulary.
        settings: the compute type, and how it hears and decodes.
        device: ``cpu``, ``cuda`` …

    Raises:
        ModelError: its files cannot be read.
        VariantLoadError: a library is missing, or the processor does not compute in that type.
    """
    file = folder / ctranslate2.NAME
    try:
        head = ctranslate2.head(file)
    except (OSError, ctranslate2.Damaged) as error:
        raise ModelError(f"{file}: {error}; copy or download it again") from error
    if head.architecture != "WhisperSpec":
        raise ModelError(
            f"{file} holds a {head.architecture.removesuffix('Spec')}, which does not transcribe; "
            "name a Whisper that ct2-transformers-converter made"
        )
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{folder} holds no tokenizer.json, which else is downloaded; copy it there from the "
            "model that it was converted from"
        )
    with needed("Whisper by CTranslate2", extra="speech"):
        import ctranslate2 as library
        from faster_whisper import WhisperModel
    kind, _, index = devices.exact(device).partition(":")
    able = library.get_supported_compute_types(kind)
    if settings.compute_type not in able:
        raise VariantLoadError(
            f"compute_type: CTranslate2 does not compute in {settings.compute_type!r} on this "
            f"{kind}: {', '.join(sorted(able))}"
        )
    with reading(folder, "CTranslate2 cannot load it", Exception):  # tokenizers' is no other
        model = WhisperModel(
            str(folder),
            device=kind,
            device_index=int(index or 0),
            compute_type=settings.compute_type,
            cpu_threads=environment.threads(),
            local_files_only=True,
        )
    lacking = [name for name in _ASKS if model.hf_tokenizer.token_to_id(name) is None]
    if lacking:
        raise ModelError(
            f"{folder / 'tokenizer.json'} has no {lacking[0]}: it is of no Whisper; copy the one "
            "of the model that this was converted from"
        )
    if settings.language is not None and settings.language not in model.supported_languages:
        known = model.supported_languages
        raise VariantLoadError(
            f"language: {settings.language!r} is none that {folder} hears: "
            + (", ".join(known) if len(known) == 1 else f"{len(known)} of ISO 639-1, as 'en'")
        )
    return Loaded(model, head, settings, folder)


class Whisper:
    """Features, encoder and decoder, which may be of three models.

    Args:
        preprocessing: whose sample rate, silence detector and features are heard.
        encoder: whose encoder hears them.
        decoder: whose decoder writes, in the way of its settings.

    Raises:
        VariantLoadError: they do not fit together.
    """

    def __init__(self, *, preprocessing: Loaded, encoder: Loaded, decoder: Loaded) -> None:
        if encoder.width("encoder") != decoder.width("decoder"):
            raise VariantLoadError(
                f"encoder: {encoder.width('encoder')} wide in {encoder.folder}, and the decoder of "
                f"{decoder.folder} takes {decoder.width('decoder')}; only parts of one size swap"
            )
        bands = preprocessing.model.feature_extractor.mel_filters.shape[0]
        if bands != encoder.model.model.n_mels:
            raise VariantLoadError(
                f"preprocessing: {bands} mel bands in {preprocessing.folder}, and the encoder of "
                f"{encoder.folder} takes {encoder.model.model.n_mels}"
            )
        self._heard = preprocessing.settings
        self._settings = decoder.settings
        self._bytes = encoder.size("encoder") + decoder.size("decoder")
        self._model: Any = decoder.model
        self._loaded = (preprocessing.model, encoder.model, decoder.model)
        if encoder is not decoder:
            decoder.model.encode = encoder.model.encode
        decoder.model.feature_extractor = preprocessing.model.feature_extractor

    @property
    def sample_rate(self) -> int:
        """What recordings are resampled to, in Hz."""
        return self._heard.sample_rate

    def hear(self, waveform: NDArray[np.float32], most: int) -> Heard:
        """Write down what is said, at temperature 0: nothing is drawn, and nothing tried again.

        Args:
            waveform: mono, in [-1, 1].
            most: tokens of a window of 30 seconds.
        """
        settings = self._settings
        before = _BEFORE if settings.condition_on_previous_text else 0
        segments, _ = self._model.transcribe(
            waveform,
            language=settings.language,
            beam_size=settings.beam_size,
            temperature=0.0,
            compression_ratio_threshold=None,
            condition_on_previous_text=settings.condition_on_previous_text,
            max_new_tokens=min(most, WINDOW - _PROMPT - before),
            vad_filter=self._heard.vad,
            vad_parameters=dict(VAD),
            **SILENCE,
        )
        found = list(segments)
        text = "".join(segment.text for segment in found).strip()
        return Heard(text, sum(len(segment.tokens) for segment in found))

    def environment(self) -> Mapping[str, Any]:
        """Versions of libraries, and the threads that CTranslate2 was given."""
        versions = {name: required(name) for name in ("ctranslate2", "faster-whisper")}
        return {"threads": environment.threads(), **versions}

    def parameter_bytes(self) -> int:
        """Bytes of the encoder's and the decoder's weights, by their count and compute type."""
        return self._bytes

    def close(self) -> None:
        """Give the memory back."""
        for model in self._loaded:
            model.model.unload_model()


def features(config: Mapping[str, Any]) -> Mapping[str, int]:
    """Return what features are made of, as faster-whisper reads a ``preprocessor_config.json``."""
    return {name: int(config.get(name, default)) for name, default in FEATURES.items()}


def _held(tensor: ctranslate2.Tensor, weight: str, whole: int) -> int:
    """Return a tensor's bytes in memory: as CTranslate2 decides what is quantized."""
    if tensor.type in _WHOLE_NUMBERS and not tensor.name.endswith("weight"):
        return tensor.count * ctranslate2.SIZES[tensor.type]
    if weight in _SCALED and tensor.name.endswith("weight") and "conv" not in tensor.name:
        return tensor.count * _SCALED[weight] + 4 * tensor.shape[0]  # a scale each row
    return tensor.count * whole
