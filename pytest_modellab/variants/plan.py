"""What a variant is made of, before anything is loaded."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_modellab import models
from pytest_modellab.engines import transformers as engine
from pytest_modellab.errors import ConfigError, VariantLoadError, near_misses
from pytest_modellab.records import Engine, Fingerprint, ModelSource
from pytest_modellab.variants.prompt import Prompt


@dataclasses.dataclass(frozen=True)
class Plan:
    """A variant that is not loaded yet.

    Attributes:
        model: the base model.
        prompt: how a sample becomes chat messages.
        dtype: torch dtype that weights and activations are held in.
        device: ``cpu``, ``cuda`` …
        quantization: settings, empty where the weights are as they came.
        packages: distributions whose version may change a score.
        load_options: makes the extra arguments of ``from_pretrained``; called when loading.
        prepare: changes the loaded model in place, or None.
        inference_mode: False where the backend only allows ``torch.no_grad``.
    """

    model: ModelSource
    prompt: Prompt
    dtype: str = "float32"
    device: str = "cpu"
    quantization: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    packages: tuple[str, ...] = ("torch", "transformers", "tokenizers")
    load_options: Callable[[], Mapping[str, Any]] = dict
    prepare: Callable[[Any], None] | None = None
    inference_mode: bool = True


def fingerprint(plan: Plan, files: models.ModelFiles) -> Fingerprint:
    """Identify a variant by all that its answers depend on, without loading it.

    Args:
        plan: the variant.
        files: its base model's files.

    Returns:
        The fingerprint.

    Raises:
        VariantLoadError: a library is missing; the message has the command that installs it.
    """
    return Fingerprint(
        weights=files.weights,
        tokenizer=files.tokenizer,
        prompt=plan.prompt.hash,
        settings={
            "converter": models.CONVERTER if files.path.is_file() else None,
            "decoding": "greedy",
            "device": plan.device,
            "dtype": plan.dtype,
            "engine": f"transformers-{engine.VERSION}",
            "quantization": dict(plan.quantization),
            "versions": {name: _version(name) for name in plan.packages},
        },
    )


def load(plan: Plan, files: models.ModelFiles, cache: Path) -> Engine:
    """Load a variant.

    Args:
        plan: the variant.
        files: its base model's files.
        cache: where converted models are kept.

    Returns:
        The engine that answers for the variant.

    Raises:
        ModelError: the files cannot be read.
        VariantLoadError: a library is missing, or it refuses the model.
    """
    for name in plan.packages:
        _version(name)
    folder = models.folder(files, cache)
    with engine.quiet():
        options = plan.load_options()
    loaded = engine.load(
        folder,
        dtype=plan.dtype,
        device=plan.device,
        inference_mode=plan.inference_mode,
        trust_remote_code=plan.model.trust_remote_code,
        allow_pickle=plan.model.allow_pickle,
        **options,
    )
    if plan.prepare is not None:
        plan.prepare(loaded.model)
    return loaded


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        extra = "quantized" if package in ("bitsandbytes", "torchao") else "transformers"
        raise VariantLoadError(
            f"{package} is not installed: pip install 'pytest-modellab[{extra}]'"
        ) from error


def check_options(options: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """Check a kind's own settings.

    Args:
        options: key → value as read.
        known: key → type.

    Raises:
        ConfigError: an unknown key or a value of another type; the message begins with the key.
    """
    for key, value in options.items():
        if key not in known:
            raise ConfigError(f"{key}: unknown key; {near_misses(key, known)}")
        if type(value) is not known[key]:
            raise ConfigError(
                f"{key}: {value!r} is {type(value).__name__}, expected {known[key].__name__}"
            )
