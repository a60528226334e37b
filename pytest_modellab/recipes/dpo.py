"""Method ``dpo``: direct preference optimization (Rafailov et al. 2023), against the base itself.

With an adapter the reference is the same model with the adapter off; a full fine-tune keeps a copy.
"""

from __future__ import annotations

import copy
from types import MappingProxyType

from pytest_modellab.recipes import data, training
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe, Setting, positive, share

SETTINGS = MappingProxyType(
    {
        **training.SETTINGS,
        "learning_rate": positive(float, 5e-5),
        "beta": positive(float, 0.1),
        "loss": Setting(str, "sigmoid", choices=("hinge", "ipo", "robust", "sigmoid")),
        "label_smoothing": share(0.0),
    }
)
"""``beta`` is how much leaving the reference costs; ``loss`` is one of TRL's, and
``label_smoothing`` the share of wrong labels that ``robust`` assumes."""


def train(order: Order) -> Outcome:
    """Train with TRL's DPOTrainer on rows of ``input``, ``chosen`` and ``rejected``."""
    from trl import DPOConfig, DPOTrainer

    assert order.data is not None  # read before the order is made
    settings, model = order.settings, training.prepared(order)
    trainer = DPOTrainer(
        model=model,
        ref_model=None if settings["lora"] else copy.deepcopy(model),
        args=DPOConfig(
            **training.arguments(
                order,
                max_length=settings["max_length"],
                beta=settings["beta"],
                loss_type=[settings["loss"]],
                label_smoothing=settings["label_smoothing"],
            )
        ),
        train_dataset=training.dataset(data.conversations(order.data, order.base.prompt)),
        processing_class=order.tokenizer,
        peft_config=training.lora(order),
    )
    return training.run(
        order, trainer, order.data, {"rewards/accuracies": "pairs ranked as labelled"}
    )


RECIPE = Recipe(
    name="dpo",
    packages=training.PACKAGES,
    settings=SETTINGS,
    keys=("input", "chosen", "rejected"),
    steps=training.steps,
    train=train,
    check=training.check,
)
