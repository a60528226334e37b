"""Kind ``prompted``: the base model behind a prompt file.

Zero-shot, few-shot, with a chain of thought, with self-consistency, or over several wordings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.engines.language.reasoning import Thinking
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, count, resolve
from pytest_modellab.variants import prompt
from pytest_modellab.variants.plan import (
    ATTENTION,
    ATTENTIONS,
    DTYPE,
    KERNELS,
    PLAIN_KERNELS,
    Plan,
    Sharing,
)

OPTIONS = {
    "prompt": Setting(str, missing="name a Jinja file with {% block user %}", path=True),
    "shots": Setting(str, OPTIONAL, path=True),
    "n_shots": Setting(int, OPTIONAL),
    "paraphrases": Setting(list, (), items=object, path=True),
    "thinking_tokens": count(),
    "chains": count(),
    "temperature": Setting(
        float,
        OPTIONAL,
        check=lambda value: 0 <= value <= 10,
        wrong="{value} lies outside 0 to 10",
    ),
    "dtype": DTYPE,
    "device": Setting(str, OPTIONAL),
    "kernels": KERNELS,
    "attention": ATTENTION,
}


TEMPERATURE = 0.7
"""Of several chains, unless declared: what Wang et al. 2022 draw at."""


LOADING = frozenset({"dtype", "device", "kernels", "attention"})
"""Options that decide about what is loaded; all others about how it is asked."""


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a prompted variant.

    Args:
        spec: options ``prompt`` (a Jinja file), ``shots`` (a JSONL file), ``n_shots``,
            ``paraphrases`` (Jinja files: the same samples are asked in these wordings too, and
            scores averaged), ``thinking_tokens`` (chain of thought of at most so many tokens),
            ``chains`` (self-consistency: how many are drawn), ``temperature`` (of the draws),
            ``dtype``, ``device``, ``kernels`` (``liger``, or ``plain`` where the base has them) and
            ``attention``; a variant with a base may change any of them.
        base: the plan of the variant whose prompt is changed, or None.
        model: the model, where there is no base.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    if str(spec.options.get("attention")).startswith("flash"):
        raise ConfigError(
            f"attention: {spec.options['attention']!r} is not one of "
            f"{', '.join(ATTENTIONS)}: flash attention takes no mask, and packed texts need one; "
            "flex_attention skips what is masked as well"
        )
    options = resolve(OPTIONS, spec.options)
    if base is not None and base.grounding is not None:
        raise ConfigError(
            f'base: {spec.base!r} answers from passages; its prompt is changed by kind = "rag"'
        )
    if base is not None and base.quantization and "dtype" in options:
        raise ConfigError(f"dtype: belongs to the base {spec.base!r}, which is quantized")
    for name in ("kernels", "attention"):
        if base is not None and base.open is not None and name in options:
            raise ConfigError(
                f"{name}: belongs to transformers, and {base.engine} runs the base {spec.base!r}"
            )
    dtype = options.get("dtype", base.dtype if base is not None else "float32")
    fused = options.get("kernels", base.kernels if base is not None else "")
    shots = root / options["shots"] if "shots" in options else None
    text = prompt.read(root / options["prompt"], shots, options.get("n_shots"))
    paraphrases = [_paraphrase(text, root, name) for name in options["paraphrases"]]
    for number, other in enumerate(paraphrases):
        if other in (text, *paraphrases[:number]):
            name = options["paraphrases"][number]
            raise ConfigError(f"paraphrases: {name!r} says what another prompt says already")
    start = base if base is not None else Plan(model=model, prompt=text)
    return dataclasses.replace(
        start.on(options.get("device", start.device)),
        prompt=text,
        paraphrases=tuple(paraphrases),
        thinking=_thinking(options),
        dtype=dtype,
        kernels="" if fused == PLAIN_KERNELS else fused,
        attention=options.get("attention", base.attention if base is not None else ""),
    )


def shares(spec: VariantSpec) -> Sharing:
    """Tell how a variant is run on its base's model: asked otherwise, unless it is loaded anew."""
    return "" if spec.base and LOADING & spec.options.keys() else "asked"


def _paraphrase(text: prompt.Prompt, root: Path, name: Any) -> prompt.Prompt:
    if not isinstance(name, str):
        raise ConfigError(f"paraphrases: {name!r}: expected the names of Jinja files")
    try:
        return dataclasses.replace(text, template=prompt.read(root / name).template)
    except ConfigError as error:
        raise ConfigError(f"paraphrases: {error}") from error


def _thinking(options: Mapping[str, Any]) -> Thinking | None:
    tokens, chains = options.get("thinking_tokens"), options.get("chains", 1)
    if tokens is None:
        for name in ("chains", "temperature"):
            if name in options:
                raise ConfigError(f"{name}: needs 'thinking_tokens', the length of a chain")
        return None
    temperature = options.get("temperature", TEMPERATURE if chains > 1 else 0.0)
    if chains > 1 and temperature == 0:
        raise ConfigError(f"temperature: 0 makes {chains} equal chains; take one, or draw them")
    return Thinking(tokens=tokens, chains=chains, temperature=temperature)
