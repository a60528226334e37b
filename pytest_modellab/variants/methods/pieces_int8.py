"""Method ``onnxruntime-int8`` of the kind ``quantized`` for a base that is made of graphs."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.engines import graphs_int8
from pytest_modellab.errors import ConfigError, ModelError, near_misses, store_errors_as
from pytest_modellab.models.files import hash_files, named
from pytest_modellab.records.hashing import digest
from pytest_modellab.records.setting import OPTIONAL, Setting, resolve
from pytest_modellab.store import folders
from pytest_modellab.variants.methods import onnx_int8
from pytest_modellab.variants.plan import Plan

METHOD = "onnxruntime-int8"

PACKAGES = ("onnx", "onnxruntime")

GRAPH = "model.onnx"

OPTIONS = {
    "method": Setting(str, choices=(METHOD,)),
    "parts": Setting(list, OPTIONAL),
    "calibration": Setting(str, OPTIONAL, path=True),
}


def plan(base: Plan, options: Mapping[str, Any], root: Path) -> Plan:
    """Plan a variant some of whose graphs are computed in 8 bits.

    Args:
        base: the plan of the variant that is quantized.
        options: ``method``; ``parts``, all that are graphs unless given; ``calibration``, a folder
            of samples: with it scales are found once, without it anew in every run of the graph.
        root: the folder that relative paths start from.

    Returns:
        The base's plan with those graphs quantized.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    found = resolve({**OPTIONS, "parts": Setting(list, list(base.pieces))}, options)
    parts = found["parts"]
    for part in parts:
        if part not in base.pieces:
            raise ConfigError(f"parts: unknown {part!r}; {near_misses(part, base.pieces)}")
    if not parts:
        raise ConfigError("parts: empty; name what is quantized, or leave it out for all")
    how: Mapping[str, Any] = graphs_int8.DYNAMIC
    folder = None
    if "calibration" in found:
        folder = root / Path(found["calibration"]).expanduser()
        if not (folder.is_dir() and pages(folder)):
            raise ConfigError(f"calibration: {folder} is no folder of images")
        how = {
            **graphs_int8.STATIC,
            "calibration": hash_files(pages(folder))[:16],
            "reduce_range": onnx_int8.overflows(),
        }
    return dataclasses.replace(
        base,
        quantization={
            "method": METHOD,
            "parts": [part for part in base.pieces if part in parts],
            **how,
        },
        packages=tuple(dict.fromkeys((*base.packages, *PACKAGES))),
        calibration=folder,
    )


def pages(folder: Path) -> list[Path]:
    """Return the files of a folder of samples, in the order that they are read."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def graph(
    plan: Plan, part: str, cache: Path, record: Callable[[], Mapping[str, Sequence[Any]]]
) -> Path:
    """Return the file of a part, quantizing it once where the plan says so.

    Args:
        plan: of a variant that is made of graphs.
        part: one of its pieces.
        cache: the store's root.
        record: returns what each graph is given while the calibration's samples are read.

    Raises:
        ModelError: there is no space, or the file cannot be read.
    """
    files = plan.pieces[part].files
    if part not in plan.quantization.get("parts", ()):
        return files.path
    made_by = {name: importlib.metadata.version(name) for name in plan.packages}
    made_of: list[Any] = [files.weights]
    if plan.calibration is not None:  # what a graph is given depends on those before it
        told = plan.preprocessing(plan, files) if plan.preprocessing is not None else {}
        made_of = [part, {name: piece.files.weights for name, piece in plan.pieces.items()}, told]
    how = {key: value for key, value in plan.quantization.items() if key != "parts"}
    key = digest([made_of, how, made_by])[:16]

    def write(target: Path) -> None:
        if plan.calibration is None:
            graphs_int8.dynamic(files.path, target / GRAPH)
        else:
            graphs_int8.static(
                files.path,
                target / GRAPH,
                record()[part],
                reduce_range=plan.quantization["reduce_range"],
            )

    with store_errors_as(ModelError):
        kept = folders.folder(cache / "models" / f"{key}-int8", write, what=named(files.source))
    return kept / GRAPH
