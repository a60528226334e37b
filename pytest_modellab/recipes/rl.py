"""Methods ``grpo`` and ``rloo``: reinforcement learning against a reward model.

``grpo`` is group relative policy optimization (Shao et al. 2024, DeepSeekMath), ``rloo`` REINFORCE
with a leave-one-out baseline (Ahmadian et al. 2024). Both answer every input several times and
reinforce the replies that the reward model prefers to the others.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes import artefact, data, provenance, reward, training
from pytest_modellab.recipes.recipe import Order, Outcome, Recipe
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.hashing import canonical_json
from pytest_modellab.records.setting import Setting, at_least, positive

SETTINGS = MappingProxyType(
    {
        **{key: value for key, value in training.SETTINGS.items() if key != "max_length"},
        "learning_rate": positive(float, 1e-5),
        "generations": at_least(int, 2, 4),
        "max_new_tokens": at_least(int, 1, 64),
        "temperature": positive(float, 1.0),
        "beta": at_least(float, 0, 0.04),
        "reward": Setting(
            dict,
            fields=MappingProxyType(
                {"adapter": Setting(str), "data": Setting(str, ""), **reward.SETTINGS}
            ),
            rule='a table: reward = { adapter = "adapters/reward", data = "preferences.jsonl" }',
        ),
    }
)
"""``generations`` replies of at most ``max_new_tokens`` for each input; ``batch_size`` counts
replies; ``beta`` is the weight of the KL divergence from the base. ``reward`` holds the settings of
the method ``reward``: its adapter is trained first where its folder is missing."""


def _train(order: Order, *, method: str) -> Outcome:
    import trl

    rows = order.data
    assert rows is not None  # read before the order is made
    settings, model = order.settings, training.prepared(order)
    order = dataclasses.replace(order, model=model)
    judge, note = _judge(order)
    tokenizer = copy.deepcopy(order.tokenizer)
    tokenizer.padding_side = "left"
    trainer = getattr(trl, f"{method.upper()}Trainer")(
        model=model if settings["lora"] else copy.deepcopy(model),
        reward_funcs=judge,
        reward_processing_classes=order.tokenizer,
        args=getattr(trl, f"{method.upper()}Config")(
            **training.arguments(
                order,
                num_generations=settings["generations"],
                max_completion_length=settings["max_new_tokens"],
                temperature=settings["temperature"],
                beta=settings["beta"],
            )
        ),
        train_dataset=training.dataset(data.conversations(rows, order.base.prompt)),
        processing_class=tokenizer,
        peft_config=training.lora(order),
    )
    return training.run(order, trainer, rows, {"reward": "mean reward"}, (note,))


def _judge(order: Order) -> tuple[Any, str]:
    """Return the reward model, built first where there is none, and what it is in words."""
    settings = {k: v for k, v in order.settings["reward"].items() if k not in ("adapter", "data")}
    folder = order.root / order.settings["reward"]["adapter"]
    if not folder.exists():
        if order.max_steps is not None:  # of a build cut short; no other is to be judged by it
            folder = order.work / "judge"
        _build_reward(order, settings, folder)
    made = provenance.read(folder)
    if made is None or made.method != "reward" or made.base["weights"] != order.origin["weights"]:
        was = "no provenance" if made is None else f"method {made.method!r} on {made.base}"
        raise ConfigError(
            f"recipe.reward.adapter: {folder} is no reward model of this base ({was}); remove the "
            "folder, and it is built again"
        )
    _same(order, settings, made, folder)
    note = f"reward model: {order.settings['reward']['adapter']}, trained on {made.data['name']}"
    return reward.load(order.model, order.tokenizer, folder), f"{note} ({made.data['sha256']})"


def _same(
    order: Order, settings: Mapping[str, Any], made: provenance.Provenance, folder: Path
) -> None:
    """Refuse a reward model that was made otherwise than is declared now."""
    asked, was = dict(settings), dict(made.settings)
    if name := order.settings["reward"]["data"]:
        asked["data"] = data.read(order.root, name, reward.RECIPE.keys).sha256
        was["data"] = made.data["sha256"]
    differs = [key for key in asked if canonical_json(asked[key]) != canonical_json(was.get(key))]
    if differs:
        raise ConfigError(
            f"recipe.reward.adapter: {folder} was made with another {', '.join(sorted(differs))} "
            "than is declared; remove the folder, and it is built again"
        )


def _build_reward(order: Order, settings: Mapping[str, Any], folder: Path) -> None:
    name = order.settings["reward"]["data"]
    if not name:
        raise ConfigError(
            f"recipe.reward.data: missing, and there is no reward model in {folder} yet; name a "
            'file of lines {"input": …, "chosen": …, "rejected": …}'
        )

    try:
        rows = data.read(order.root, name, reward.RECIPE.keys)
    except ConfigError as error:
        raise ConfigError(f"{order.spec.name}: recipe.reward.{error}") from error

    def progress(done: int, total: int, loss: float | None = None, *, what: str = "step") -> None:
        order.progress(done, total, loss, what=f"reward model's {what}")

    inner = dataclasses.replace(
        order,
        progress=progress,
        model=reward.shared(order.model),
        settings=settings,
        data=rows,
        work=order.work / "reward",
    )
    artefact.make(reward.RECIPE, inner, folder)


def _steps(settings: Mapping[str, Any], rows: int) -> int:
    """Every input is answered ``generations`` times; an incomplete last batch is left out."""
    per_step: int = settings["batch_size"] * settings["accumulate"] // settings["generations"]
    epochs: float = settings["epochs"]
    return math.ceil(epochs * max(rows // per_step, 1))


def _check(settings: Mapping[str, Any], spec: VariantSpec) -> None:
    training.check(settings, spec)
    replies = settings["batch_size"] * settings["accumulate"]
    if replies % settings["generations"]:
        raise ConfigError(
            f"recipe.generations: {settings['generations']} does not divide the {replies} replies "
            "of a step (batch_size times accumulate)"
        )


GRPO, RLOO = (
    Recipe(
        name=method,
        packages=training.PACKAGES,
        settings=SETTINGS,
        keys=("input",),
        steps=_steps,
        train=functools.partial(_train, method=method),
        check=_check,
    )
    for method in ("grpo", "rloo")
)
