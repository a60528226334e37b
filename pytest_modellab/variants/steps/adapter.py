"""PEFT adapters: checked against their base, then applied or merged."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.engines import modules
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models.files import ModelFiles, hash_files
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, positive, resolve
from pytest_modellab.store import checkout
from pytest_modellab.variants.plan import Plan, Sharing, Step, Training
from pytest_modellab.variants.steps import (
    adapter_base,
    adapter_config,
    adapter_loading,
    adapter_prompt,
)
from pytest_modellab.variants.steps.adapter_loading import CONFIG, WEIGHTS

PARITY = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 2e-1}
"""Largest difference of logits, as a part of the largest logit, that merging may make. Adding
``B A`` to a weight rounds it once; half precision has 10, bfloat16 7 bits for that, and 30 layers
add up."""


PROBE_TOKENS = 32

SCALE = positive(float, OPTIONAL)
"""Option ``scale``: so many times the adapter's effect, where it was trained at 1."""


OPTIONS: Mapping[str, Setting] = MappingProxyType(
    {"adapter": Setting(str, OPTIONAL, path=True), "merge": Setting(bool, OPTIONAL), "scale": SCALE}
)
"""What a variant with an adapter may say of it."""


def step(
    folder: Path,
    spec: VariantSpec,
    before: Sequence[Step] = (),
    *,
    merge: bool,
    scale: float = 1.0,
) -> Step:
    """Make the step that puts an adapter on the model.

    Args:
        folder: what ``save_pretrained`` of PEFT wrote.
        spec: the variant, for messages.
        before: the changes to the model that come before, to compare with those that the adapter
            was trained on.
        merge: add the adapter to the weights, instead of computing it beside them.
        scale: so many times its effect.

    Returns:
        The step.

    Raises:
        ConfigError: there is no adapter, or it is pickled, or it cannot be scaled; the message
            begins with the option's name.
    """
    build = f"; build it: modellab build {spec.name}" if spec.recipe is not None else ""
    if not folder.is_dir():
        raise ConfigError(f"adapter: no such folder: {folder}{build}")
    if not (folder / WEIGHTS).is_file():
        pickled = " (pickled weights are not read)" if any(folder.glob("*.bin")) else ""
        below = sorted(path.parent.name for path in folder.glob(f"*/{WEIGHTS}"))
        named = f"; name one of the folders in it: {', '.join(below)}" if below else build
        raise ConfigError(f"adapter: {folder} holds no {WEIGHTS}{pickled}{named}")
    if said := checkout.absent(folder / WEIGHTS):
        raise ConfigError(f"adapter: {folder / WEIGHTS}: {said}")
    try:
        config = json.loads(checkout.read(folder / CONFIG))
        method = config["peft_type"]
    except checkout.Unready as error:
        raise ConfigError(f"adapter: {folder / CONFIG}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"adapter: {folder / CONFIG}: not what PEFT writes ({error}){build}"
        ) from error
    if scale != 1 and (reason := adapter_config.unscalable(config)):
        raise ConfigError(f"scale: the adapter {folder} {reason}; leave it at 1")
    words = adapter_prompt.files(folder)
    merged = functools.partial(_merge, folder, scale=scale)
    return Step(
        name="adapter",
        settings={
            "method": method,
            "hash": hash_files([folder / CONFIG, folder / WEIGHTS]),
            "merged": merge,
            **({"tokenizer": hash_files(words)} if words else {}),
            **({"scale": scale} if scale != 1 else {}),
        },
        apply=merged if merge else functools.partial(_attach, folder, scale=scale),
        bake=merged,
        packages=("peft",),
        check=functools.partial(_check, folder, config, changes(before)),
        asked=functools.partial(adapter_prompt.check, folder),
        # subtracting what was added rounds again, so a merged one has no way back
        attach=None if merge else functools.partial(_put_on, folder, scale=scale),
        reads=not _is_apart(config),
        folder=None if merge else folder,
    )


def changes(steps: Sequence[Step]) -> list[Any]:
    """Return what identifies the model that an adapter is put on, beside the weights' hash."""
    same = ("merged", "tokenizer")  # merged or apart, an adapter makes the same model
    return [
        [step.name, {key: value for key, value in step.settings.items() if key not in same}]
        for step in steps
    ]


def _is_apart(config: Mapping[str, Any]) -> bool:
    """Whether an adapter is matrices beside the base's, and makes nothing of those."""
    begins = config.get("init_lora_weights", True)
    return (
        config.get("peft_type") == "LORA"
        and (isinstance(begins, bool) or begins in ("eva", "gaussian", "orthogonal"))
        and not config.get("use_dora")
        and not config.get("target_parameters")
    )


def _check(folder: Path, config: Mapping[str, Any], expected: list[Any], files: ModelFiles) -> None:
    """Refuse an adapter that no variant can run, or that does not stand on its own base."""
    if said := adapter_config.refusal(config):
        raise VariantLoadError(f"the adapter {folder} {said}")
    adapter_base.check(folder, config, expected, files)


def _attach(folder: Path, model: Any, *, scale: float = 1.0) -> Any:
    """Compute the adapter beside the weights."""
    return _put_on(folder, model, scale=scale)[0]


def _put_on(folder: Path, model: Any, *, scale: float = 1.0) -> tuple[Any, Callable[[], None]]:
    """Compute the adapter beside the weights; return what takes it off, too."""
    trained = [tensor for tensor in model.parameters() if tensor.requires_grad]
    with modules.packed_as_they_are(model):  # PEFT makes a state_dict to see what it has loaded
        adapted = _scaled(adapter_loading.load(folder, model), scale)
    return adapted.get_base_model(), functools.partial(_take_off, adapted, trained)


def _take_off(adapted: Any, trained: Sequence[Any]) -> None:
    """Put the base's own layers back, and give the adapter's memory back at once."""
    before = [*adapted.modules()]
    adapted.delete_adapter(adapter_loading.NAME)  # else the modules that it saved whole stay
    base = {id(module) for module in adapted.unload().modules()}
    modules.forget_tensors(module for module in before if id(module) not in base)
    for tensor in trained:  # PEFT has switched it off
        tensor.requires_grad_(True)


def _scaled(adapted: Any, scale: float) -> Any:
    """Multiply what an adapter adds, in all of its layers."""
    if scale != 1:
        from peft.tuners.lora import LoraLayer

        for module in adapted.modules():
            if isinstance(module, LoraLayer):
                module.scale_layer(scale)
    return adapted


def _merge(folder: Path, model: Any, *, scale: float = 1.0) -> Any:
    """Add the adapter to the weights, and check that the model still says the same.

    Raises:
        VariantLoadError: PEFT cannot merge it, or logits differ by more than :data:`PARITY` allows.
    """
    import torch

    adapted = _scaled(adapter_loading.load(folder, model), scale)
    tokens = model.config.get_text_config().vocab_size
    ids = torch.arange(PROBE_TOKENS, device=model.device).remainder(tokens)[None]
    with torch.no_grad():
        apart = adapted(input_ids=ids).logits.float()
        try:
            _untie(adapted.get_base_model())
            merged = adapted.merge_and_unload()
        except (AttributeError, RuntimeError, TypeError, ValueError) as error:
            raise VariantLoadError(
                f"the adapter {folder} cannot be merged: {error}; run it unmerged (merge = false)"
            ) from error
        together = merged(input_ids=ids).logits.float()
    difference = float((apart - together).abs().max() / apart.abs().max())
    allowed = PARITY.get(str(merged.dtype).removeprefix("torch."), PARITY["float32"])
    if not difference <= allowed:
        raise VariantLoadError(
            f"the adapter {folder} cannot be merged: logits change by {difference:.2g} of the "
            f"largest, more than {allowed:g}; run it unmerged (merge = false), or in float32"
        )
    tables = _tables(merged)
    if len(tables) == 2 and tables[0] is not tables[1]:  # what is saved must say so
        merged.config.tie_word_embeddings = False
    return merged


def _untie(model: Any) -> None:
    """Give the head a matrix of its own where an adapter changes it or the embeddings.

    Where the two share one, each change would be added to both.
    """
    import torch

    shared = _tables(model)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    if (
        len(shared) == 2
        and shared[0] is shared[1]
        and any(hasattr(x, "base_layer") for x in layers)
    ):
        head = getattr(layers[1], "base_layer", layers[1])
        head.weight = torch.nn.Parameter(shared[1].detach().clone(), requires_grad=False)


def _tables(model: Any) -> list[Any]:
    """The matrices of a model's embeddings and of its head, those that it has."""
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    return [getattr(layer, "base_layer", layer).weight for layer in layers if layer is not None]


def shares(spec: VariantSpec) -> Sharing:
    """Tell how a variant with an adapter, or with a model of its own, is run on its base's."""
    return "" if spec.model is not None or spec.options.get("merge") else "adapted"


def adapted(plan: Plan, spec: VariantSpec, root: Path) -> Plan:
    """Put the adapter that a variant's options name on a plan.

    Args:
        plan: what the adapter changes.
        spec: options ``adapter`` (a folder), ``merge`` and ``scale``.
        root: the folder that a relative path starts from.

    Returns:
        The plan with one step more.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    if "adapter" not in spec.options:
        raise ConfigError("adapter: missing; name the folder of a PEFT adapter")
    # PEFT would put a second adapter beside the first one, which the first is not trained for
    below = tuple(
        one if one.bake is None else dataclasses.replace(one, apply=one.bake, attach=None)
        for one in plan.steps
    )
    merge = bool(spec.options.get("merge", False))
    scale = resolve({"scale": SCALE}, spec.options, others=True).get("scale", 1.0)
    folder = root / spec.options["adapter"]
    own = step(folder, spec, (*plan.baked, *below), merge=merge, scale=scale)
    training = Training(spec.name, plan.prompt, spec.recipe, folder, root)
    return dataclasses.replace(plan, steps=below, training=training).with_step(own)
