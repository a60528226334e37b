"""Method ``sft``: supervised fine-tuning on replies, the loss on the reply alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_modellab.recipes import data, magpie, training
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.setting import at_least, positive

SETTINGS = MappingProxyType(
    {
        **training.SETTINGS,
        "replay": at_least(int, 0, 0),
        "max_new_tokens": at_least(int, 1, 128),
        "temperature": positive(float, 1.0),
    }
)
"""``replay`` is a number of rows that the base writes itself (sampled at ``temperature``, replies
of at most ``max_new_tokens``) and that are mixed in, so that it does not forget what it could
before: self-synthesized rehearsal (Huang et al. 2024)."""


def train(order: Order) -> Outcome:
    """Train with TRL's SFTTrainer on rows of ``input`` and ``reply``."""
    from trl import SFTConfig, SFTTrainer

    assert order.data is not None  # read before the order is made
    rows = data.conversations(order.data, order.base.prompt)
    notes: tuple[str, ...] = ()
    if order.settings["replay"]:
        generating = {**order.settings, "generate": order.settings["replay"]}
        replayed, notes = magpie.write(dataclasses.replace(order, settings=generating))
        rows += data.conversations(replayed, order.base.prompt)
    trainer = SFTTrainer(
        model=training.prepared(order),
        args=SFTConfig(
            **training.arguments(
                order, max_length=order.settings["max_length"], completion_only_loss=True
            )
        ),
        train_dataset=training.dataset(rows),
        processing_class=order.tokenizer,
        peft_config=training.lora(order),
    )
    return training.run(order, trainer, order.data, notes=notes)


def _steps(settings: Mapping[str, Any], rows: int) -> int:
    return training.steps(settings, rows + settings["replay"])


RECIPE = Recipe(
    name="sft",
    packages=training.PACKAGES,
    settings=SETTINGS,
    keys=("input", "reply"),
    steps=_steps,
    train=train,
    check=training.check,
)
