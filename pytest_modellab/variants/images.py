"""What variants that look at images share: how images are prepared, and what parts a model has.

Told from the model's files, nothing loaded.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.media import MediaKind
from pytest_modellab.records.setting import OPTIONAL, Setting
from pytest_modellab.store import checkout
from pytest_modellab.variants.plan import Plan

MEDIA: frozenset[MediaKind] = frozenset({"image"})

PACKAGES = ("pillow",)
"""Distributions whose version may change a score, beside those of every language model."""

PREPROCESSING = "preprocessing"

ROUNDED = ("vision", "connector", "language")
"""Parts whose weights may be quantized."""

PARTS = (PREPROCESSING, *ROUNDED)
"""In the order that an image goes through them."""

RESAMPLING: Mapping[str, int] = MappingProxyType(
    {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
)
"""How Pillow numbers its filters."""

_SIDES = Setting(
    (int, dict),
    OPTIONAL,
    check=lambda value: (
        value >= 1
        if isinstance(value, int)
        else bool(value) and all(type(side) is int and side >= 1 for side in value.values())
    ),
    wrong="{value!r}: expected pixels, or a table of them such as {{ height = 224, width = 224 }}",
)


def _finite(value: list[Any]) -> bool:
    return bool(value) and all(type(one) in (int, float) and math.isfinite(one) for one in value)


_MEANS = Setting(
    list,
    OPTIONAL,
    items=(int, float),
    check=_finite,
    wrong="{value!r}: expected a number for each channel, such as [0.5, 0.5, 0.5]",
)

_DEVIATIONS = Setting(
    list,
    OPTIONAL,
    items=(int, float),
    check=lambda value: _finite(value) and all(one > 0 for one in value),
    wrong="{value!r}: expected a number above 0 for each channel, such as [0.5, 0.5, 0.5]",
)

_SWITCH = Setting(bool, OPTIONAL)

FIELDS: Mapping[str, Setting] = MappingProxyType(
    {
        "crop_size": _SIDES,
        "do_center_crop": _SWITCH,
        "do_convert_rgb": _SWITCH,
        "do_image_splitting": _SWITCH,
        "do_normalize": _SWITCH,
        "do_pad": _SWITCH,
        "do_rescale": _SWITCH,
        "do_resize": _SWITCH,
        "image_mean": _MEANS,
        "image_std": _DEVIATIONS,
        "max_image_size": _SIDES,
        "max_pixels": Setting(int, OPTIONAL, "at least 1", lambda value: value >= 1),
        "min_pixels": Setting(int, OPTIONAL, "at least 1", lambda value: value >= 1),
        "resample": Setting(str, OPTIONAL, choices=RESAMPLING),
        "rescale_factor": Setting(float, OPTIONAL, "above 0", lambda value: 0 < value < math.inf),
        "size": _SIDES,
    }
)
"""Fields of an image processor that a variant may set otherwise."""

OPTION = Setting(dict, OPTIONAL, fields=FIELDS)
"""The option ``processor``."""

_FILES = ("preprocessor_config.json", "processor_config.json")
"""Where a processor is described; what the second says counts, as transformers reads them."""

MOST = 1 << 20
"""Bytes of such a file that is read out of a zip; one that is larger describes no processor."""

_NESTED = "image_processor"

_NAMES = {"image_processor_type": "image processor", "processor_class": "processor"}
"""Keys of the files, and what they are told as."""

_LEFT_OUT = ("auto_map", "chat_template", "feature_extractor_type", "transformers_version")


def preprocessing(plan: Plan, files: ModelFiles) -> Mapping[str, Any]:
    """Tell how images are prepared: processor, size, crop, resampling, mean, standard deviation.

    Of what the files leave out, the processor's own defaults hold; they come with transformers,
    whose version is in the fingerprint, too.

    Args:
        plan: the variant.
        files: its model's.
    """
    found: dict[str, Any] = {}
    for name in _FILES:
        told = _read(files.path, name)
        inner = told.pop(_NESTED, None)
        found |= told | (inner if isinstance(inner, dict) else {})
    told = {_NAMES.get(key, key): value for key, value in {**found, **plan.processor}.items()}
    words = {number: word for word, number in RESAMPLING.items()}
    if type(told.get("resample")) is int:
        told["resample"] = words.get(told["resample"], told["resample"])
    return {key: told[key] for key in sorted(told) if key not in _LEFT_OUT}


def _read(path: Path, name: str) -> dict[str, Any]:
    """Return a JSON file of a model's folder or zip; loading itself refuses a damaged one."""
    try:
        if path.is_dir():
            text = checkout.read(path / name)
        elif path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                inner = min(
                    (one for one in packed.namelist() if one.rpartition("/")[2] == name), key=len
                )
                if packed.getinfo(inner).file_size > MOST:
                    return {}
                text = packed.read(inner).decode("utf-8")
        else:
            return {}
        read = json.loads(text)
    except (OSError, ValueError, RecursionError, checkout.Unready, zipfile.BadZipFile):
        return {}
    return dict(read) if isinstance(read, dict) else {}


def consists(plan: Plan, files: ModelFiles) -> Mapping[str, Any]:
    """Tell what each part consists of: weights, precision, and what is put on it.

    An adapter or another change may be on any of them.

    Args:
        plan: the variant.
        files: its model's.
    """
    changes = [[step.name, dict(step.settings)] for step in (*plan.baked, *plan.steps)]
    rounded = plan.quantization.get("parts", ROUNDED) if plan.quantization else ()
    quantization = {key: value for key, value in plan.quantization.items() if key != "parts"}
    changes = [change for change in changes if change[0] != "rtn"]
    shared = [files.weights, plan.dtype, changes]
    return {
        PREPROCESSING: preprocessing(plan, files),
        **{part: [*shared, quantization if part in rounded else {}] for part in ROUNDED},
    }


def changes(plan: Plan) -> dict[str, Any]:
    """Return the fields of the processor that are set otherwise, as transformers calls values."""
    found = dict(plan.processor)
    if "resample" in found:
        found["resample"] = RESAMPLING[found["resample"]]
    return found
