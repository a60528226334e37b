"""Method ``reward``: a reward model, the base with one number in place of its output head.

It learns the Bradley-Terry model of preferences (Christiano et al. 2017; Ouyang et al. 2022), and
its artefact is a LoRA adapter with the head. No variant answers with it: it is what ``grpo`` and
``rloo`` train against.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes import data, training
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.setting import Setting, at_least, positive, resolve

SETTINGS = MappingProxyType(
    {
        **training.SETTINGS,
        "learning_rate": positive(float, 1e-4),
        "center": at_least(float, 0, 0.0),
        "lora": Setting(dict, resolve(training.LORA, {}), fields=training.LORA),
    }
)
"""``center`` is the weight of a loss that keeps rewards around zero (Eisenstein et al. 2023)."""


def classifier(model: Any, tokenizer: Any) -> Any:
    """Return a one-number model over a causal language model's own weights, which are shared.

    The head's first values come from torch's generator: seed it first.
    """
    import torch
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(model.config)
    config.num_labels = 1
    config.pad_token_id = tokenizer.pad_token_id
    with torch.device("meta"):
        headed = AutoModelForSequenceClassification.from_config(config)
    setattr(headed, headed.base_model_prefix, shared(model.base_model))
    headed.score = torch.nn.Linear(
        headed.score.in_features, 1, bias=False, device=model.device, dtype=model.dtype
    )
    torch.nn.init.normal_(headed.score.weight, std=config.initializer_range)
    return headed.eval()


def shared(model: Any) -> Any:
    """Copy a model's modules, not its weights: an adapter on the copy leaves the model alone."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def load(model: Any, tokenizer: Any, folder: Path) -> Any:
    """Return the reward model that an adapter makes of a language model, sharing its weights.

    Raises:
        ConfigError: the adapter is not whole; PEFT would draw the rest at random.
    """
    from peft import PeftModel

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Found missing adapter keys")
            adapted = PeftModel.from_pretrained(classifier(model, tokenizer), str(folder))
    except (KeyError, OSError, RuntimeError, UserWarning, ValueError) as error:
        raise ConfigError(
            f"recipe.reward.adapter: {folder} cannot be loaded: {error}; remove the folder, and it "
            "is built again"
        ) from error
    return adapted.get_base_model().eval()


def train(order: Order) -> Outcome:
    """Train with TRL's RewardTrainer on rows of ``input``, ``chosen`` and ``rejected``."""
    from transformers import set_seed
    from trl import RewardConfig, RewardTrainer

    assert order.data is not None  # read before the order is made
    settings = order.settings
    set_seed(settings["seed"])
    trainer = RewardTrainer(
        model=classifier(training.prepared(order), order.tokenizer),
        args=RewardConfig(
            **training.arguments(
                order,
                max_length=settings["max_length"],
                center_rewards_coefficient=settings["center"] or None,
            )
        ),
        train_dataset=training.dataset(data.conversations(order.data, order.base.prompt)),
        processing_class=order.tokenizer,
        peft_config=training.lora(order, "SEQ_CLS"),
    )
    return training.run(order, trainer, order.data, {"accuracy": "pairs ranked as labelled"})


def _check(settings: Any, spec: VariantSpec) -> None:
    if "adapter" not in spec.options:
        raise ConfigError("adapter: missing; a reward model is an adapter and its head")


RECIPE = Recipe(
    name="reward",
    packages=training.PACKAGES,
    settings=SETTINGS,
    keys=("input", "chosen", "rejected"),
    steps=training.steps,
    train=train,
    check=_check,
)
