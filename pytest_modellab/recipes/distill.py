"""Method ``distill``: a student of some of the base's layers, healed by the base's own logits.

The student is cut as the variant's option ``layers`` says (Gromov et al. 2024, "The Unreasonable
Ineffectiveness of the Deeper Layers", heal such a cut with an adapter) and trained to predict what
the whole base predicts: knowledge distillation (Hinton et al. 2015) with the divergence of
generalized knowledge distillation (Agarwal et al. 2024), as TRL's GKDTrainer computes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes import data, magpie, training
from pytest_modellab.recipes.data import Data
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.recipes.reward import shared
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import at_least, positive, share

SETTINGS = MappingProxyType(
    {
        **training.SETTINGS,
        "beta": share(0.0),
        "on_policy": share(0.0),
        "max_new_tokens": at_least(int, 1, 128),
        "temperature": positive(float, 1.0),
        "generate": at_least(int, 0, 0),
    }
)
"""``beta`` 0 is the KL divergence from the teacher, 1 the reverse, between them Jensen-Shannon's.
``on_policy`` is the share of batches whose replies the student writes itself. ``generate`` is a
number of rows that the base writes instead of ``data``, with replies of at most
``max_new_tokens``; ``temperature`` is what is sampled with, in both."""


def train(order: Order) -> Outcome:
    """Train with TRL's GKDTrainer on rows of ``input`` and ``reply``, the whole base as teacher."""
    from pytest_modellab.variants.steps.layers import keep_layers

    learned, notes = _data(order)
    teacher, settings = training.prepared(order), order.settings
    student = keep_layers(shared(teacher), order.spec.options["layers"])
    with _experimental():
        from trl.experimental.gkd import GKDConfig, GKDTrainer

        trainer = GKDTrainer(
            model=student,
            teacher_model=teacher,
            args=GKDConfig(
                **training.arguments(
                    order,
                    # its batches are padded on the left, and attention in bfloat16 made NaN of that
                    bf16=False,
                    max_length=settings["max_length"],
                    beta=settings["beta"],
                    lmbda=settings["on_policy"],
                    temperature=settings["temperature"],
                    max_new_tokens=settings["max_new_tokens"],
                )
            ),
            train_dataset=training.dataset(
                [
                    {"messages": row["prompt"] + row["completion"]}
                    for row in data.conversations(learned, order.base.prompt)
                ]
            ),
            processing_class=order.tokenizer,
            peft_config=training.lora(order),
        )
    return training.run(order, trainer, learned, notes=notes)


def _data(order: Order) -> tuple[Data, tuple[str, ...]]:
    if order.data is not None:
        return order.data, ()
    return magpie.write(order)


@contextlib.contextmanager
def _experimental() -> Iterator[None]:
    """TRL warns of a module whose interface may change; its version is in the provenance."""
    name = "TRL_EXPERIMENTAL_SILENCE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _check(settings: Mapping[str, Any], spec: VariantSpec) -> None:
    training.check(settings, spec)
    if "layers" not in spec.options:
        raise ConfigError("layers: missing; name the base's layers that the student keeps")
    if settings["lora"] is None:
        raise ConfigError(
            "recipe.lora: missing; a student's weights are the base's, and an adapter heals the cut"
        )


RECIPE = Recipe(
    name="distill",
    packages=training.PACKAGES,
    settings=SETTINGS,
    keys=("input", "reply"),
    steps=training.steps,
    train=train,
    generates="generate",
    check=_check,
)
