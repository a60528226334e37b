"""Kind ``prompted``: the base model behind a prompt file, zero-shot or few-shot."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records import ModelSource, VariantSpec
from pytest_modellab.variants import prompt
from pytest_modellab.variants.plan import Plan, check_options

OPTIONS = {"prompt": str, "shots": str, "n_shots": int, "dtype": str, "device": str}
DTYPES = ("bfloat16", "float16", "float32")


def plan(spec: VariantSpec, base: Plan | ModelSource, root: Path) -> Plan:
    """Plan a prompted variant.

    Args:
        spec: options ``prompt`` (a Jinja file), ``shots`` (a JSONL file), ``n_shots``, ``dtype``
            and ``device``; a variant with a base may change any of them.
        base: the model, or the plan of the variant whose prompt is changed.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    options = spec.options
    check_options(options, OPTIONS)
    over = base if isinstance(base, Plan) else None
    if over is not None and over.quantization and "dtype" in options:
        raise ConfigError(f"dtype: belongs to the base {spec.base!r}, which is quantized")
    dtype = options.get("dtype", over.dtype if over is not None else "float32")
    if dtype not in DTYPES:
        raise ConfigError(f"dtype: unknown {dtype!r}; {near_misses(dtype, DTYPES)}")
    if "prompt" not in options:
        raise ConfigError("prompt: missing; name a Jinja file with {% block user %}")
    shots = root / options["shots"] if "shots" in options else None
    text = prompt.read(root / options["prompt"], shots, options.get("n_shots"))
    if isinstance(base, Plan):
        device = options.get("device", base.device)
        return dataclasses.replace(base, prompt=text, dtype=dtype, device=device)
    return Plan(model=base, prompt=text, dtype=dtype, device=options.get("device", "cpu"))
