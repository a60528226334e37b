"""What plugins and conftest files can add to pytest-modellab.

A hook lives in a package's pytest plugin (entry point ``pytest11``), or in the ``conftest.py``
beside ``modellab.toml``; there the ``modellab`` command finds it too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modellab.recipes.recipe import Recipe
    from pytest_modellab.records import Scorer
    from pytest_modellab.variants.plan import Kind


def pytest_modellab_kinds() -> Iterable[Kind]:  # type: ignore[empty-body]
    """Return kinds of variants, to be named by ``kind = "…"`` in modellab.toml.

    Example:
        import dataclasses
        from pytest_modellab.extend import Kind, Step

        def plan(spec, base, model, root):
            scale = spec.options.get("scale", 1.0)

            def apply(loaded):
                loaded.get_output_embeddings().weight.data.mul_(scale)
                return loaded

            return base.with_step(Step("scaled_head", {"scale": scale}, apply))

        def pytest_modellab_kinds():
            return [Kind("scaled", strategy="fine-tuning", marker="finetuned", plan=plan)]
    """


def pytest_modellab_scorers() -> Iterable[Scorer]:  # type: ignore[empty-body]
    """Return scorers, to be named by ``"scorer": "…"`` in a task set.

    Example:
        class Shouted:
            name = "shouted"
            version = 1
            likelihood = False  # a reply is generated

            def check(self, sample):
                return None if sample.target is True else "target: expected true"

            def score(self, sample, output):
                return float(output.text.isupper()), output.text

        def pytest_modellab_scorers():
            return [Shouted()]
    """


def pytest_modellab_recipes() -> Iterable[Recipe]:  # type: ignore[empty-body]
    """Return recipes, to be named by ``method = "…"`` in ``[variants.NAME.recipe]``.

    Example:
        from pytest_modellab.extend import Outcome, Recipe, Setting

        def train(order):
            order.model.get_input_embeddings().weight.data.mul_(order.settings["scale"])
            order.model.save_pretrained(order.output)
            order.tokenizer.save_pretrained(order.output)
            return Outcome(order.data, steps=1, seconds=0.0)

        def pytest_modellab_recipes():
            return [
                Recipe(
                    name="rescale",
                    packages=("torch",),
                    settings={"seed": Setting(int, 0), "scale": Setting(float, 1.0)},
                    keys=("input",),
                    steps=lambda settings, rows: 1,
                    train=train,
                    artefact="model",
                )
            ]
    """
