"""A variant is run by the engine that it names: ``engine = "vllm"``.

A kind plans as for transformers; then this looks whether the engine can do the same.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import torch_model as transformers_engine
from pytest_modellab.engines.language import vllm_engine, vllm_opening
from pytest_modellab.engines.language.vllm_engine import VllmEngine
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.store import checkout
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.steps import adapter_config, adapter_fit
from pytest_modellab.variants.steps.adapter_loading import CONFIG

VLLM = "vllm"

_INSTEAD = 'take a base and a method that vLLM runs, or set engine = "transformers"'

_MERGE = "add it to the weights (merge = true)"

_UNREAD = ("lora_bias", "use_bdlora", "use_qalora")
"""Keys of an adapter's configuration that vLLM refuses."""


def without(plan: Plan) -> Plan:
    """Return a plan as transformers runs it, where an engine was chosen in its place."""
    if not plan.chosen:
        return plan
    packages = tuple(name for name in plan.packages if name not in vllm_opening.DISTRIBUTIONS)
    return dataclasses.replace(
        plan,
        attention="",
        chosen="",
        engine=transformers_engine.name(plan.device),
        open=None,
        packages=packages,
        runtime={},
    )


def run(plan: Plan, spec: VariantSpec, base: Plan | None) -> Plan:
    """Return a plan as it is run by the engine that its variant or its base names.

    Args:
        plan: as transformers would run it.
        spec: the variant.
        base: the plan of its base, as that is run.

    Raises:
        ConfigError: that engine cannot run it; the message begins with ``engine``.
    """
    name = spec.engine or (base.chosen if base is not None else "")
    if not name:
        return plan
    whose = "" if spec.engine else f"the base {spec.base!r} is run by {name}: "
    if plan.open is not None:
        raise ConfigError(
            f"engine: {whose}{plan.engine} runs such a variant of kind {spec.kind!r}, and no other "
            f"engine; {'leave engine out' if spec.engine else 'name another base'}"
        )
    if name != VLLM:
        return plan
    plan, worn = _kept_apart(plan)
    if problem := _problem(plan) or (_adapter_problem(worn) if worn is not None else None):
        raise ConfigError(f"engine: {whose}{problem}")
    rank = _rank(worn) if worn is not None else vllm_opening.RANK
    return dataclasses.replace(
        plan,
        attention=vllm_opening.BACKENDS[plan.device],
        chosen=VLLM,
        engine=vllm_engine.NAME,
        open=_open,
        packages=(*plan.packages, vllm_opening.distribution()),
        runtime={
            "batch_invariant": vllm_opening.is_invariant(plan.device),
            "block_size": vllm_opening.BLOCKS[plan.device],
            "lora_rank": vllm_opening.room(rank),
            "prefix_caching": True,
        },
    )


def dressed(model: VllmEngine, plan: Plan) -> VllmEngine:
    """Return an engine on a model that vLLM has opened, with what a plan has of its own.

    Args:
        model: as it is.
        plan: whose adapter is put on, where it has one.

    Raises:
        VariantLoadError: it does not fit.
    """
    adapter = next((step.folder for step in plan.steps), None)
    if adapter is not None:
        adapter_fit.check(adapter, model.folder)
    for step in plan.steps:
        step.asked(model.tokenizer, model)
    return model.beside(adapter)


def _open(plan: Plan, folder: Path, _cache: Path) -> Engine:
    loaded = vllm_engine.load(
        folder,
        dtype=plan.dtype,
        device=plan.device,
        rank=plan.runtime["lora_rank"],
        trust_remote_code=plan.model.trust_remote_code,
        allow_pickle=plan.model.allow_pickle,
    )
    if not plan.steps:
        return loaded
    try:
        return dressed(loaded, plan)
    except BaseException:
        loaded.close()
        raise


def _kept_apart(plan: Plan) -> tuple[Plan, Step | None]:
    """Put all changes into the weights but an adapter at the end, which vLLM computes beside."""
    last = plan.steps[-1] if plan.steps else None
    if last is None or last.folder is None:
        return plan.merged(), None
    before = dataclasses.replace(plan, steps=plan.steps[:-1]).merged()
    return dataclasses.replace(before, steps=(last,)), last


def _problem(plan: Plan) -> str | None:
    """Say why vLLM cannot run a plan; None where it can."""
    method = plan.quantization.get("method")
    if plan.media or plan.parts or plan.borrowed:
        return f"vLLM is given texts alone here, and this variant is shown more; {_INSTEAD}"
    if plan.kernels or plan.attention:
        key = "kernels" if plan.kernels else "attention"
        return f"{key} belongs to transformers, and vLLM has its own; leave it out"
    if method == "kv-cache":
        return (
            "kv-cache rounds the keys and values that transformers keeps, and vLLM keeps its own; "
            f"{_INSTEAD}"
        )
    if method not in (None, "rtn"):
        return (
            f"{method} rounds weights while transformers loads them; vLLM loads a checkpoint that "
            f"was quantized before (a variant with a model of its own): {_INSTEAD}"
        )
    if plan.device not in vllm_opening.BACKENDS:
        return (
            f'device {plan.device!r}: vLLM takes "cpu", or "cuda" for the first GPU that it sees; '
            "choose which that is by the environment variable CUDA_VISIBLE_DEVICES"
        )
    if plan.device == "cpu" and plan.quantization.get("checkpoint") == "bitsandbytes":
        return f"vLLM runs no weights of bitsandbytes on the CPU; {_INSTEAD}"
    return None


def _config(step: Step) -> Any:
    assert step.folder is not None
    return json.loads(checkout.read(step.folder / CONFIG))  # read before, when it was planned


def _adapter_problem(step: Step) -> str | None:
    """Say why vLLM cannot compute an adapter beside the weights; None where it can."""
    config = _config(step)
    where = f"the adapter {step.folder}"
    if step.settings.get("scale", 1) != 1:
        return f"vLLM puts an adapter on as it was trained, and not at a scale; {_MERGE}"
    if reason := adapter_config.unscalable(config):
        return f"{where} {reason}, which vLLM does not compute beside the weights; {_MERGE}"
    if key := next((key for key in _UNREAD if config.get(key)), None):
        return f"{where} has {key}, which vLLM does not know; {_MERGE}"
    if vllm_opening.room(_rank(step)) is None:
        return f"{where} is of rank {_rank(step)}, and vLLM has room for {vllm_opening.RANKS[-1]}"
    return None


def _rank(step: Step) -> int:
    """Return the largest rank of an adapter's matrices."""
    config = _config(step)
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    return max((rank for rank in ranks if isinstance(rank, int)), default=1)
