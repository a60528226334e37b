"""An adapter on a model: PEFT takes up all that its file holds, or it is refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_modellab.errors import VariantLoadError
from pytest_modellab.store import checkout
from pytest_modellab.variants.steps import adapter_config

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

NAME = "default"
"""What PEFT calls an adapter that nobody named."""

PREFIX = "base_model.model."
"""What PEFT puts before the name of a model's module."""

SIDES = {"A.weight": (1, "in_features"), "B.weight": (0, "out_features")}
"""Matrix of a LoRA → the axis that is as wide as the module, and how the module calls it."""

_WRONG = (  # what PEFT raises where a value of a configuration is of another type
    AttributeError,
    ImportError,
    IndexError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

Shapes = Mapping[str, tuple[int, ...]]


def load(folder: Path, model: Any) -> Any:
    """Put an adapter on a model, as ``PeftModel.from_pretrained`` does.

    Args:
        folder: what ``save_pretrained`` of PEFT wrote.
        model: its base; changed in place.

    Returns:
        PEFT's model.

    Raises:
        VariantLoadError: it cannot be read, was made for another model, or PEFT would leave out a
            part of it, or draw one at random.
    """
    from peft import PeftModel
    from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
    from safetensors import SafetensorError

    found = None
    held: Shapes = {}
    try:
        held = shapes(folder / WEIGHTS)
        # what PEFT warns of is looked for here: keys that it does not know, tensors left out
        with warnings.catch_warnings(action="ignore"):
            config = _config(folder, held)
            if config.is_prompt_learning:  # it stays behind when the model is taken out
                raise VariantLoadError(
                    f"the adapter {folder} is of PEFT's method {config.peft_type.value}, which "
                    "adds tokens to the prompt; only adapters that change the model's layers are "
                    "run"
                )
            config.inference_mode = True
            found = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type, PeftModel)(model, config)
            taken = found.load_adapter(
                str(folder),
                NAME,
                torch_device=str(model.device),
                key_mapping=getattr(model, "_checkpoint_conversion_mapping", None),
            )
            _check_taken(folder, held, found, taken)
    except KeyError as error:  # PEFT looks for what modules_to_save names
        raise VariantLoadError(_lacks(folder, [str(error.args[0])])) from error
    except (*_WRONG, SafetensorError) as error:
        raise VariantLoadError(
            _misfit(folder, held, found) or f"the adapter {folder} cannot be loaded: {error}"
        ) from error
    return found


def shapes(file: Path) -> Shapes:
    """Return the shapes of the tensors in a file, by their names."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        return {key: tuple(tensors.get_slice(key).get_shape()) for key in sorted(tensors.keys())}


def _config(folder: Path, shapes: Shapes) -> Any:
    """Read an adapter's configuration; refuse what PEFT would misread, or be lost in."""
    import peft
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    config = json.loads(checkout.read(folder / CONFIG))
    largest = max((side for shape in shapes.values() for side in shape), default=0)
    if said := adapter_config.problem(config, largest):
        raise VariantLoadError(f"{folder / CONFIG}: {said}")
    if said := adapter_config.refusal(config):
        raise VariantLoadError(f"the adapter {folder} {said}")
    kind = PEFT_TYPE_TO_CONFIG_MAPPING.get(config["peft_type"])
    if kind is None:
        raise VariantLoadError(
            f"the adapter {folder} is of the method {config['peft_type']!r}, which the installed "
            f"PEFT {peft.__version__} does not know; pip install -U peft"
        )
    if said := adapter_config.newer(config, kind.__dataclass_fields__, peft.__version__):
        raise VariantLoadError(f"{folder / CONFIG}: {said}")
    config.pop("runtime_config", None)  # of the process that saved it
    return kind.from_peft_type(**kind.check_kwargs(**config))


def _own(found: Any, *, embeddings: bool) -> dict[str, Any]:
    """What PEFT would save: name in the file → tensor."""
    from peft import get_peft_model_state_dict

    own: dict[str, Any] = get_peft_model_state_dict(found, save_embedding_layers=embeddings)
    return own


def _check_taken(folder: Path, shapes: Shapes, found: Any, taken: Any) -> None:
    """Refuse an adapter of which PEFT left something out, or that lacks something."""
    from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

    if taken.unexpected_keys:
        names = [_plain(key) for key in taken.unexpected_keys]
        mark = PEFT_TYPE_TO_PREFIX_MAPPING[found.peft_config[NAME].peft_type]
        name, adapts, _ = names[0].partition(f".{mark}")
        if not any(key.startswith(PREFIX) for key in shapes):
            why = f"PEFT's names begin with {PREFIX!r}: save it with PEFT's save_pretrained"
        elif adapts and ".experts" in name:
            why = (
                "it was trained on another model, or PEFT cannot rename its experts' matrices for "
                f"this transformers; {adapter_config.MERGE}"
            )
        elif adapts:
            why = "it was trained on another model"
        else:
            why = "it was trained on another model, or with a head that no variant answers with"
        raise VariantLoadError(
            f"the adapter {folder} {'changes' if adapts else 'holds'} {name!r}, which this base "
            f"does not have{_more(names)}: {why}"
        )
    missing = list(taken.missing_keys)
    if shapes.keys() <= _own(found, embeddings=True).keys():  # else PEFT has renamed them
        missing = [key for key in _own(found, embeddings=False) if key not in shapes]
    if missing:
        raise VariantLoadError(_lacks(folder, missing))


def _lacks(folder: Path, keys: Sequence[str]) -> str:
    names = [_plain(key) for key in keys]
    return (
        f"the adapter {folder} cannot be loaded: {WEIGHTS} lacks {names[0]!r}{_more(names)}, which "
        f"{CONFIG} asks for: the file is damaged, or it was trained on another model"
    )


def _plain(key: str) -> str:
    return key.removeprefix(PREFIX).replace(f".{NAME}.", ".")


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _misfit(folder: Path, shapes: Shapes, found: Any) -> str | None:
    """Say which tensor does not fit the model, and what that means; None where all do."""
    if found is None:
        return None
    model = found.get_base_model()
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    embeds = tuple(f"{name}." for name, module in model.named_modules() if module in tables)
    own = _own(found, embeddings=True)
    for key, theirs in shapes.items():
        ours = tuple(own[key].shape) if key in own else theirs
        if theirs == ours:
            continue
        name = _plain(key)
        if 0 in theirs:
            return (
                f"the adapter {folder} cannot be loaded: {name!r} is empty in {WEIGHTS}, as where "
                "DeepSpeed or FSDP saves a part of what it has spread; gather it, and save it again"
            )
        differs = [pair for pair in zip(theirs, ours, strict=False) if pair[0] != pair[1]]
        if name.startswith(embeds) and [pair[1] for pair in differs] == [tables[0].weight.shape[0]]:
            return (
                f"the adapter {folder} was trained on a model of {differs[0][0]} tokens, this base "
                f"has {differs[0][1]}; {adapter_config.MERGE}"
            )
        module, lora, side = name.partition(".lora_")
        axis, features = SIDES.get(side, (0, ""))
        if lora and features and theirs[axis] != ours[axis]:
            return (
                f"the adapter {folder} was trained on another model: at {module!r} it has "
                f"{features} {theirs[axis]}, this base {ours[axis]}"
            )
        return (
            f"the adapter {folder} cannot be loaded: {name!r} is of shape {list(theirs)} in "
            f"{WEIGHTS}, and of {list(ours)} by {CONFIG} and this base: they do not belong together"
        )
    return None
