"""Method ``dpo``: direct preference optimization (Rafailov et al. 2023), against the base itself.

With an adapter the reference is the same model with the adapter off; a full fine-tune keeps a copy.
"""

from __future__ import annotations

import copy
from types import MappingProxyType

from pytest_modellab.recipes import data, training
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.setting import Setting, at_least, positive, share

SETTINGS = MappingProxyType(
    {
        **training.SETTINGS,
        "learning_rate": positive(float, 5e-5),
        "beta": positive(float, 0.1),
        "loss": Setting(str, "sigmoid", choices=("hinge", "ipo", "robust", "sigmoid")),
        "label_smoothing": share(0.0),
        "sft_weight": at_least(float, 0, 0.0),
    }
)
"""``beta`` is how much leaving the reference costs; ``loss`` is one of TRL's, and
``label_smoothing`` the share of wrong labels that ``robust`` assumes. ``sft_weight`` is the weight
of the likelihood of the chosen reply beside it (Pang et al. 2024, Iterative Reasoning Preference
Optimization): a preference alone may be learned by making the rejected reply unlikely."""


def train(order: Order) -> Outcome:
    """Train with TRL's DPOTrainer on rows of ``input``, ``chosen`` and ``rejected``."""
    from trl import DPOConfig, DPOTrainer

    assert order.data is not None  # read before the order is made
    settings, model = order.settings, training.prepared(order)
    losses = {settings["loss"]: 1.0, "sft": settings["sft_weight"]}
    losses = {name: weight for name, weight in losses.items() if weight}
    trainer = DPOTrainer(
        model=model,
        ref_model=None if settings["lora"] else copy.deepcopy(model),
        args=DPOConfig(
            **training.arguments(
                order,
                max_length=settings["max_length"],
                beta=settings["beta"],
                loss_type=list(losses),
                loss_weights=list(losses.values()),
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
