"""What a language model with images consists of: vision encoder, connector, language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import VariantLoadError

NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "vision": frozenset(
            {
                "image_encoder",
                "image_tower",
                "vision_backbone",
                "vision_encoder",
                "vision_model",
                "vision_tower",
                "visual",
            }
        ),
        "connector": frozenset(
            {
                "aligner",
                "connector",
                "deepstack_merger_list",
                "embed_vision",
                "image_to_text_projection",
                "language_projection",
                "merger",  # of Qwen2-VL and GLM-4V, inside the encoder
                "mm_projector",
                "multi_modal_projector",
                "multimodal_projector",
                "projector",
                "qformer",
                "vision_embed_tokens",
            }
        ),
        "language": frozenset({"language_model", "lm_head", "text_model"}),
    }
)
"""Part → what models of transformers call its modules."""


def find(model: Any) -> dict[str, tuple[str, ...]]:
    """Find the modules of each part.

    Args:
        model: of transformers, on the meta device or with its weights.

    Returns:
        Their paths by part; none is inside another of its own part. A part that is not found is
        left out.
    """
    found: dict[str, list[str]] = {}
    for path, _ in model.named_modules():
        for part, names in NAMES.items():
            own = found.setdefault(part, [])
            if path.rpartition(".")[2] in names and not _holder(path, own):
                own.append(path)
    return {part: tuple(paths) for part, paths in found.items() if paths}


def part_of(path: str, found: Mapping[str, Sequence[str]]) -> str:
    """Return which part a module belongs to; empty for none.

    Args:
        path: of the module.
        found: see :func:`find`.
    """
    holders = {part: _holder(path, paths) for part, paths in found.items()}
    part = max(holders, key=lambda one: len(holders[one]), default="")
    return part if holders.get(part) else ""


def _holder(path: str, paths: Sequence[str]) -> str:
    """Return which of some modules holds another or is it; empty where none does."""
    held = (one for one in paths if path == one or path.startswith(f"{one}."))
    return max(held, key=len, default="")


def paths(model: Any, part: str, found: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Return the paths of a part's modules.

    Raises:
        VariantLoadError: the model has none.
    """
    if part not in found:
        known = ", ".join(sorted(NAMES[part]))
        raise VariantLoadError(
            f"{part}: no module of {type(model).__name__} is known as that part; known names are "
            f"{known}"
        )
    return found[part]


def exchange(ours: Any, theirs: Any, part: str) -> None:
    """Exchange a part of two models.

    Args:
        ours: a model.
        theirs: another of the same class.
        part: which.

    Raises:
        VariantLoadError: it does not fit; the message begins with the part.
    """
    if type(ours) is not type(theirs):
        raise VariantLoadError(
            f"{part}: of a {type(theirs).__name__}, which does not fit into a {type(ours).__name__}"
        )
    for what, here in widths(ours.config, part).items():
        if (there := widths(theirs.config, part)[what]) != here:
            raise VariantLoadError(f"{part}: {what} is {here} here, {there} in the other")
    found = find(ours)
    inner = [
        path
        for other, every in found.items()
        if other != part
        for path in every
        if _holder(path, found.get(part, ()))
    ]
    for path in (*paths(ours, part, found), *inner):  # what is another's inside comes back
        one, other = ours.get_submodule(path), theirs.get_submodule(path)
        _put(ours, path, other)
        _put(theirs, path, one)


def _put(model: Any, path: str, module: Any) -> None:
    holder, _, name = path.rpartition(".")
    setattr(model.get_submodule(holder), name, module)


def widths(config: Any, part: str) -> dict[str, Any]:
    """Return what has to be equal so that a part fits beside the others.

    Args:
        config: of a model of transformers.
        part: which.
    """
    sides = {"vision": ("vision",), "language": ("language",)}.get(part, ("vision", "language"))
    configs = {
        "vision": getattr(config, "vision_config", None),
        "language": config.get_text_config(),
    }
    names = {
        "vision": ("hidden_size", "embed_dim", "patch_size", "image_size"),
        "language": ("hidden_size", "vocab_size"),
    }
    return {
        f"{name} of {side}": getattr(configs[side], name, None)
        for side in sides
        for name in names[side]
    }
