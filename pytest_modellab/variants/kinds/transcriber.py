"""Kind ``transcriber``: a model that writes down what is said in recordings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.speech import torch_speech, whisper
from pytest_modellab.engines.speech.settings import Runtime, Settings
from pytest_modellab.engines.speech.transcriber import VERSION, Transcriber
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError
from pytest_modellab.models import archive, convert, ctranslate2, locate, opened, reads
from pytest_modellab.models.files import ModelFiles, named
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, count, resolve
from pytest_modellab.variants.plan import Lent, Plan
from pytest_modellab.variants.prompt import Prompt

AS_IT_IS = Prompt("{% block user %}{{ input }}{% endblock %}")
"""What a sample says in text stands in the record, and is not heard."""

PARTS = ("preprocessing", "encoder", "decoder")

_RATES = (4_000, 48_000)

OPTIONS = {
    "runtime": Setting(str, OPTIONAL, choices=get_args(Runtime)),
    "compute_type": Setting(str, OPTIONAL, choices=whisper.COMPUTE_TYPES),
    "sample_rate": Setting(
        int,
        OPTIONAL,
        check=lambda value: _RATES[0] <= value <= _RATES[1],
        wrong="{value!r} Hz lies outside 4000 to 48000",
    ),
    "vad": Setting(bool, OPTIONAL),
    "language": Setting(
        str,
        OPTIONAL,
        check=lambda value: 2 <= len(value) <= 3 and value.isascii() and value.islower(),
        wrong='{value!r} is no code of a language, such as "en"',
    ),
    "beam_size": count(),
    "condition_on_previous_text": Setting(bool, OPTIONAL),
    "device": Setting(str, OPTIONAL),
}
"""What is not given is the base's, where there is one."""

_FEATURES = ("preprocessor_config.json", "processor_config.json")
"""Where a model's folder says what features are made of; the second is transformers' newer form."""


@dataclasses.dataclass(frozen=True)
class Opening:
    """Loads a transcriber, with the parts that others lend.

    Attributes:
        settings: how it hears and decodes.
    """

    settings: Settings

    def __call__(self, plan: Plan, folder: Path, cache: Path) -> Engine:
        """Load what a plan says, as :attr:`~pytest_modellab.variants.plan.Plan.open` does."""
        own = self.load(plan, folder)
        parts = dict.fromkeys(PARTS, own)
        for part, lent in plan.borrowed.items():
            parts[part] = self._lent(part, lent, plan, own, cache)
        if self.settings.runtime == "ctranslate2":
            return Transcriber(whisper.Whisper(**parts))
        return Transcriber(torch_speech.Speech(**parts))

    def load(self, plan: Plan, folder: Path) -> Any:
        """Load a plan's own model, as parts are taken of it."""
        if self.settings.runtime == "ctranslate2":
            return whisper.load(folder, self.settings, device=plan.device)
        return torch_speech.load(
            folder,
            self.settings,
            device=plan.device,
            trust_remote_code=plan.model.trust_remote_code,
            allow_pickle=plan.model.allow_pickle,
        )

    def _lent(self, part: str, lent: Lent, plan: Plan, own: Any, cache: Path) -> Any:
        other = lent.plan.open
        if part not in PARTS or not isinstance(other, Opening):
            raise VariantLoadError(
                f"{part}: {named(lent.plan.model)} lends no such part to a transcriber; its parts "
                f"are {', '.join(PARTS)}, of transcribers"
            )
        if other.settings.runtime != self.settings.runtime:
            raise VariantLoadError(
                f"{part}: {named(lent.plan.model)} runs by {other.settings.runtime}, and this "
                f"variant by {self.settings.runtime}; parts are lent within one"
            )
        if part == "preprocessing" and lent.plan.model == plan.model:
            return dataclasses.replace(own, settings=other.settings)
        folder = convert.folder(lent.files, cache)
        with opened.checked(lent.files):
            return other.load(lent.plan, folder)


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a transcriber.

    Args:
        spec: the options of :data:`OPTIONS`; a variant with a base takes over what it leaves out.
        base: the plan of the variant that it is compared with, or None.
        model: its model.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    options = resolve(OPTIONS, spec.options)
    before = base.open if base is not None else None
    if base is not None and not isinstance(before, Opening):
        raise ConfigError(f"base: {spec.base!r} is no transcriber; name one that is")
    if model == NO_MODEL:
        raise ConfigError("model: missing; name the speech model, declared in [models]")
    inherited = before.settings if isinstance(before, Opening) else Settings()
    own = base is None or spec.model is not None
    runtime = options.get("runtime") or (_runtime(model, root) if own else inherited.runtime)
    if runtime != inherited.runtime:  # a compute type of the other one means nothing here
        inherited = dataclasses.replace(inherited, compute_type="float32", vad=False)
    device = options.pop("device", base.device if base is not None else "cpu")
    settings = dataclasses.replace(inherited, **{**options, "runtime": runtime})
    if runtime == "transformers":
        _check_transformers(settings)
    by_library = {"ctranslate2": whisper.PACKAGES, "transformers": torch_speech.PACKAGES}
    quantized = settings.compute_type.startswith("int")
    return Plan(
        model=model,
        prompt=AS_IT_IS,
        dtype="float32" if quantized else settings.compute_type,
        device=device,
        quantization={"compute_type": settings.compute_type} if quantized else {},
        packages=(*by_library[runtime], *(whisper.VAD_PACKAGES if settings.vad else ())),
        engine=f"transcriber-{VERSION}-{runtime}",
        open=Opening(settings),
        media=frozenset({"audio"}),
        preprocessing=_preprocessing,
        consists=_consists,
        decoding=_decoding(settings),
        parts=PARTS,
        adapted_by=("transcriber",),
    )


def _check_transformers(settings: Settings) -> None:
    """Refuse what CTranslate2 alone does."""
    if settings.compute_type not in torch_speech.COMPUTE_TYPES:
        raise ConfigError(
            f"compute_type: transformers has no {settings.compute_type!r} of speech models, only "
            f"{', '.join(torch_speech.COMPUTE_TYPES)}; convert the model with "
            "ct2-transformers-converter, and name the folder that it writes"
        )
    if settings.vad:
        raise ConfigError("vad: transformers cuts no silence out; CTranslate2's models can")


def _runtime(model: ModelSource, root: Path) -> Runtime:
    """Tell who runs a model from what its folder holds; a hub id is for transformers."""
    for name in (model.source, *model.more):
        try:
            place = locate.place(dataclasses.replace(model, source=name, more=()), root)
        except ModelError:
            continue  # what is missing is told when the model is looked for
        if place is not None and ctranslate2.is_in(place):
            return "ctranslate2"
    return "transformers"


def _preprocessing(plan: Plan, files: ModelFiles) -> Mapping[str, Any]:
    """Tell how a recording becomes what the encoder is given."""
    assert isinstance(plan.open, Opening)
    settings = plan.open.settings
    found = {"sample_rate": settings.sample_rate, "channels": "mean of all"}
    if settings.runtime == "transformers":
        told = {k: v for k, v in _config(files).items() if isinstance(v, bool | int | float | str)}
        return {**found, **told}
    made = whisper.features(_config(files))
    silence = {"vad": dict(whisper.VAD)} if settings.vad else {}
    return {**found, "feature_extractor_type": "faster-whisper", **made, **silence}


def _decoding(settings: Settings) -> Mapping[str, Any]:
    """Tell how a decoder is asked."""
    return {
        "beam_size": settings.beam_size,
        "language": settings.language,
        "condition_on_previous_text": settings.condition_on_previous_text,
    }


def _consists(plan: Plan, files: ModelFiles) -> Mapping[str, Any]:
    """Tell what each part consists of; encoder and decoder share the model's files."""
    assert isinstance(plan.open, Opening)
    settings = plan.open.settings
    weights = [files.weights, settings.runtime, settings.compute_type, plan.device]
    return {
        "preprocessing": _preprocessing(plan, files),
        "encoder": weights,
        "decoder": [*weights, files.tokenizer, dict(_decoding(settings))],
    }


def _config(files: ModelFiles) -> Mapping[str, Any]:
    """Return what a model's files say of features; loading says what is wrong with them."""
    for name in _FEATURES:
        try:
            if files.path.is_file():
                content = json.loads(archive.member(files.path, name) or b"")
            else:
                (path, *_) = files.pieces.get(name, (files.path / name,))
                content = reads.read_json(path)
            found = content.get("feature_extractor", content)
            if isinstance(found, dict):
                return found
        except (AttributeError, OSError, RecursionError, ValueError):
            continue
    return {}
