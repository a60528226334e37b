"""Kind ``reader``: images of documents to their text, by RapidOCR on ONNX Runtime."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines.documents import reader
from pytest_modellab.engines.documents.networks import DETECTION, NETWORKS, RECOGNITION
from pytest_modellab.engines.documents.settings import Settings
from pytest_modellab.engines.interface import Engine
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.media import images
from pytest_modellab.models.files import NO_FILES, ModelFiles
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, count, resolve, share
from pytest_modellab.variants.kinds.embedding import AS_IT_IS
from pytest_modellab.variants.methods import pieces_int8
from pytest_modellab.variants.plan import Piece, Plan

PREPROCESSING = "preprocessing"


def _three(value: Any) -> bool:
    return len(value) == 3 and all(type(v) in (int, float) and math.isfinite(v) for v in value)


_CHANNELS = Setting(
    list,
    OPTIONAL,
    check=_three,
    items=object,
    wrong="{value!r} is not three numbers: of blue, green and red",
)

_PREPARED = {
    "limit_side_len": count(),
    "mean": _CHANNELS,
    "std": Setting(
        list,
        OPTIONAL,
        check=lambda value: _three(value) and all(one > 0 for one in value),
        items=object,
        wrong="{value!r} is not three numbers above 0: of blue, green and red",
    ),
    "text_score": share(OPTIONAL),
}

_MODEL = Setting(
    object,
    OPTIONAL,
    check=lambda value: isinstance(value, ModelSource),
    wrong="{value!r} is no name of a model in [models]",
)

OPTIONS = {**dict.fromkeys(NETWORKS, _MODEL), **_PREPARED}
"""What is not given is the base's, where there is one."""


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a reader.

    Args:
        spec: the options of :data:`OPTIONS`: a model a part, and how pages are prepared.
        base: the plan of the variant that it is compared with, or None.
        model: not used: each part has its own.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option, or a part is missing; the message begins with its name.
    """
    options = resolve(OPTIONS, spec.options)
    if spec.model is not None:
        raise ConfigError("model: a reader is made of several; name detection and recognition")
    if base is not None and not base.pieces:
        raise ConfigError(f"base: {spec.base!r} reads no documents; name a variant of kind reader")
    if base is not None and base.quantization and options.keys() & set(NETWORKS):
        raise ConfigError(f"base: {spec.base!r} is quantized, and its parts with it; name its base")
    pieces = dict(base.pieces) if base is not None else {}
    pieces |= {part: Piece(options[part], root) for part in NETWORKS if part in options}
    for part in (DETECTION, RECOGNITION):
        if part not in pieces:
            raise ConfigError(f"{part}: missing; name a model that is declared in [models]")
    prepared = (_settings(base) if base is not None else Settings()).told()
    prepared |= {key: value for key, value in options.items() if key in _PREPARED}
    settings = Settings.of(prepared)
    return Plan(
        model=NO_MODEL,
        prompt=AS_IT_IS,
        packages=reader.PACKAGES,
        quantization=base.quantization if base is not None else {},
        engine=f"rapidocr-{reader.VERSION}",
        open=_open,
        media=frozenset({"image"}),
        preprocessing=functools.partial(_told, settings),
        parts=(PREPROCESSING, *(part for part in NETWORKS if part in pieces)),
        consists=_consists,
        pieces={part: pieces[part] for part in NETWORKS if part in pieces},
        adapted_by=("reader", "quantized"),
    )


def _told(settings: Settings, _plan: Plan, _files: ModelFiles) -> Mapping[str, Any]:
    return settings.told()


def _consists(plan: Plan, _files: ModelFiles) -> Mapping[str, Any]:
    """Tell what each part is: its file, and whether it is quantized, and how."""
    quantized = plan.quantization.get("parts", ())
    how = {key: value for key, value in plan.quantization.items() if key != "parts"}
    return {
        PREPROCESSING: _settings(plan).told(),
        **{
            part: [piece.files.weights, how if part in quantized else {}]
            for part, piece in plan.pieces.items()
        },
    }


def _settings(plan: Plan) -> Settings:
    """Return how the pages of a reader are prepared."""
    assert plan.preprocessing is not None  # every reader's plan has it
    return Settings.of(plan.preprocessing(plan, NO_FILES))


def _recorded(plan: Plan) -> Mapping[str, Sequence[Any]]:
    """Return what each graph is given while the plain ones read the calibration's pages."""
    assert plan.calibration is not None  # asked for by the quantization alone
    pages = [images.inspect(path) for path in pieces_int8.pages(plan.calibration)]
    files = {part: piece.files.path for part, piece in plan.pieces.items()}
    return reader.record(files, _settings(plan), pages)


def _open(plan: Plan, _folder: Path, cache: Path) -> Engine:
    """Open every part: the variant's own, or the one that is lent."""
    owners = dict.fromkeys(plan.parts, plan)
    owners |= {part: lent.plan for part, lent in plan.borrowed.items()}
    for part, owner in owners.items():
        if part not in owner.parts or not owner.pieces:
            raise VariantLoadError(f"{part}: the variant that lends it is no reader that has one")
    graphs = {
        part: pieces_int8.graph(owner, part, cache, functools.partial(_recorded, owner))
        for part, owner in owners.items()
        if part != PREPROCESSING
    }
    return reader.load(graphs, _settings(owners[PREPROCESSING]))
