"""Variant kinds, one file each: declaration → plan, without loading anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from pytest_modellab.engines.documents.networks import NETWORKS
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import Setting, resolve
from pytest_modellab.variants import runner
from pytest_modellab.variants.kinds import (
    aligned,
    distilled,
    embedding,
    endpoint,
    finetuned,
    lexical,
    lora,
    multimodal,
    prompted,
    quantized,
    rag,
    reader,
    transcriber,
)
from pytest_modellab.variants.plan import SCORING, Kind, Plan
from pytest_modellab.variants.steps import adapter

ASKED = MappingProxyType({"scoring": SCORING})
"""Options of every kind whose variants answer in words; planned here, whatever the kind."""

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind(
                "prompted",
                "prompting",
                "prompted",
                prompted.plan,
                adapts_prompt=True,
                shares=prompted.shares,
                options={**prompted.OPTIONS, **ASKED},
            ),
            Kind(
                "lora",
                "fine-tuning",
                "finetuned",
                lora.plan,
                shares=adapter.shares,
                options={**adapter.OPTIONS, **ASKED},
            ),
            Kind(
                "qlora",
                "fine-tuning",
                "finetuned",
                lora.plan,
                shares=adapter.shares,
                options={**adapter.OPTIONS, **ASKED},
            ),
            Kind(
                "finetuned",
                "fine-tuning",
                "finetuned",
                finetuned.plan,
                own_model=True,
                options=ASKED,
            ),
            Kind(
                "quantized",
                "quantization",
                "quantized",
                quantized.plan,
                own_model=True,
                adapts_pieces=True,
                options={**quantized.OPTIONS, **ASKED},
            ),
            Kind(
                "distilled",
                "distillation",
                "distilled",
                distilled.plan,
                own_model=True,
                options={**distilled.OPTIONS, **ASKED},
            ),
            Kind(
                "aligned",
                "alignment",
                "aligned",
                aligned.plan,
                own_model=True,
                shares=adapter.shares,
                options={**adapter.OPTIONS, **ASKED},
            ),
            Kind(
                "multimodal",
                "multimodal",
                "multimodal",
                multimodal.plan,
                adapts_prompt=True,
                shares=prompted.shares,
                options={**multimodal.OPTIONS, **ASKED},
            ),
            Kind(
                "rag",
                "retrieval",
                "rag",
                rag.plan,
                adapts_prompt=True,
                shares=rag.shares,
                options={**rag.OPTIONS, **ASKED},
            ),
            Kind(
                "embedding",
                "embedding",
                "embedding",
                embedding.plan,
                own_model=True,
                needs_model=False,
                searches=True,
                options=embedding.OPTIONS,
            ),
            Kind(
                "transcriber",
                "speech",
                "multimodal",
                transcriber.plan,
                own_model=True,
                options=transcriber.OPTIONS,
            ),
            Kind(
                "lexical",
                "lexical search",
                "embedding",
                lexical.plan,
                needs_model=False,
                searches=True,
                options={},
            ),
            Kind(
                "reader",
                "documents",
                "multimodal",
                reader.plan,
                needs_model=False,
                models=NETWORKS,
                options=reader.OPTIONS,
            ),
            Kind(
                "endpoint",
                "serving",
                "served",
                endpoint.plan,
                own_model=True,
                needs_model=False,
                options={**endpoint.OPTIONS, **ASKED},
            ),
        )
    }
)
"""The built-in kinds; plugins add theirs with the hook ``pytest_modellab_kinds``."""


def make_plan(
    kind: Kind, spec: VariantSpec, base: Plan | None, model: ModelSource, config: Path
) -> Plan:
    """Plan one variant on its base.

    Args:
        kind: the variant's.
        spec: as declared.
        base: the base variant's plan, or None where the variant starts from a model.
        model: the variant's own model, or its base's.
        config: path of the ``modellab.toml``, for messages and relative paths.

    Returns:
        All that is needed to fingerprint and to load the variant.

    Raises:
        ConfigError: an option of the kind is wrong; the message names file, key and value.
    """
    try:
        if base is not None and base.search is not None and not kind.searches:
            raise ConfigError(
                f"base: {spec.base!r} is a search, which {kind.name!r} does not adapt; name a "
                'variant that answers in words, or declare kind = "embedding"'
            )
        if base is not None and KINDS.get(kind.name) is kind:
            _check_adapts(spec, base)
        asked = resolve(_asked(kind), spec.options, others=True)
        own = {key: value for key, value in spec.options.items() if key not in asked}
        plain = runner.without(base) if base is not None else None
        plan = kind.plan(dataclasses.replace(spec, options=own), plain, model, config.parent)
        if not isinstance(plan, Plan):
            raise ConfigError(f"kind: {kind.name!r} plans {plan!r}, expected a Plan")
        if plan.search is not None and asked:
            raise ConfigError("scoring: it ranks documents, and answers no multiple choice")
        scoring = asked.get("scoring", plan.scoring if base is None else base.scoring)
        return runner.run(dataclasses.replace(plan, scoring=scoring), spec, base)
    except ConfigError as error:
        said = str(error)
        key = said.partition(": unknown key")[0]
        if base is not None and key in prompted.LOADING & spec.options.keys() and key != said:
            said = f"{key}: {kind.name!r} inherits it; set it on the base {spec.base!r}"
        raise ConfigError(f"{config}: variants.{spec.name}.{said}") from error


def _asked(kind: Kind) -> Mapping[str, Setting]:
    """Return what of :data:`ASKED` a kind has; one of somebody else may mean something else."""
    return {key: one for key, one in ASKED.items() if (kind.options or {}).get(key) is one}


def _check_adapts(spec: VariantSpec, base: Plan) -> None:
    """Refuse a kind that changes what a base does not have: a prompt, a model of transformers.

    Raises:
        ConfigError: the base is a transcriber or a reader, and the kind one of language models.
    """
    if not base.adapted_by or spec.kind in base.adapted_by:
        return
    (own, *_) = base.adapted_by
    if spec.kind == "quantized" and own == "transcriber":
        what = f"base: {spec.base!r} is a transcriber"
        if "method" in spec.options:
            method = spec.options["method"]
            what = f"method: {method!r} does not take a transcriber, as {spec.base!r} is"
        raise ConfigError(
            f'{what}; a transcriber is run in fewer bits by compute_type = "int8" in a variant of '
            "kind transcriber"
        )
    article = "an" if own[0] in "aeiou" else "a"
    raise ConfigError(
        f"base: {spec.base!r} is {article} {own}, which {spec.kind!r} does not adapt; declare what "
        f"is changed of it in a variant of kind {' or '.join(base.adapted_by)}"
    )
