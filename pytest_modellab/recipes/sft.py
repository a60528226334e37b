"""Method ``sft``: supervised fine-tuning on replies, the loss on the reply alone."""

from __future__ import annotations

from pytest_modellab.recipes import data, training
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe


def train(order: Order) -> Outcome:
    """Train with TRL's SFTTrainer on rows of ``input`` and ``reply``."""
    from trl import SFTConfig, SFTTrainer

    assert order.data is not None  # read before the order is made
    trainer = SFTTrainer(
        model=training.prepared(order),
        args=SFTConfig(
            **training.arguments(
                order, max_length=order.settings["max_length"], completion_only_loss=True
            )
        ),
        train_dataset=training.dataset(data.conversations(order.data, order.base.prompt)),
        processing_class=order.tokenizer,
        peft_config=training.lora(order),
    )
    return training.run(order, trainer, order.data)


RECIPE = Recipe(
    name="sft",
    packages=training.PACKAGES,
    settings=training.SETTINGS,
    keys=("input", "reply"),
    steps=training.steps,
    train=train,
    check=training.check,
)
