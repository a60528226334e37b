"""Whether an adapter fits a model, told from the two folders alone, without loading either.

For engines that leave out in silence what an adapter has for layers that the model lacks.
"""

from __future__ import annotations

from pathlib import Path

from pytest_modellab.errors import VariantLoadError
from pytest_modellab.variants.steps.adapter_loading import PREFIX, WEIGHTS, Shapes, shapes

_HEADS = ("lm_head", "embed_tokens")


def check(adapter: Path, folder: Path) -> None:
    """Refuse an adapter of which a part would be left out.

    Args:
        adapter: of PEFT, a LoRA.
        folder: of the model, in safetensors.

    Raises:
        VariantLoadError: a matrix of it belongs to no layer of the model, or is of another size.
    """
    model: dict[str, tuple[int, ...]] = {}
    for file in sorted(folder.glob("*.safetensors")):
        model.update(shapes(file))
    found = shapes(adapter / WEIGHTS)
    if not found:
        raise VariantLoadError(f"the adapter {adapter} holds no matrix, so it would change nothing")
    for key in found:
        if said := _misfit(key, found, model):
            raise VariantLoadError(f"the adapter {adapter} {said}")


def _misfit(key: str, found: Shapes, model: Shapes) -> str | None:
    name, _, side = key.removeprefix(PREFIX).rpartition(".lora_")
    if side not in ("A.weight", "B.weight") or name.endswith(_HEADS):
        return (
            f"changes {key.removeprefix(PREFIX)}, which vLLM does not compute beside the weights; "
            "add it to them (merge = true)"
        )
    weight = model.get(f"{name}.weight")
    if weight is None:
        return f"was made for another model: {name} is none of its layers"
    axis = 1 if side == "A.weight" else 0  # the side that the layer has, too
    if found[key][axis] != weight[axis]:
        return (
            f"was made for another model: its {name} is {found[key][axis]} wide, and the model's "
            f"is {weight[axis]}"
        )
    return None
