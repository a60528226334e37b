"""Recipes, one file each: how ``modellab build`` makes a variant's artefact."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.recipes import calibrate, distill, dpo, reward, rl, sft, vision
from pytest_modellab.recipes.recipe import Recipe

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        recipe.name: recipe
        for recipe in (
            sft.RECIPE,
            dpo.RECIPE,
            reward.RECIPE,
            rl.GRPO,
            rl.RLOO,
            distill.RECIPE,
            calibrate.RECIPE,
            vision.RECIPE,
        )
    }
)


def find(method: object, recipes: Mapping[str, Recipe] = RECIPES) -> Recipe:
    """Return the recipe of a method.

    Args:
        method: as declared.
        recipes: all there are, by name.

    Raises:
        ConfigError: there is none of that name; the message begins with the key.
    """
    if isinstance(method, str) and method in recipes:
        return recipes[method]
    problem = "missing" if method is None else f"unknown {method!r}"
    raise ConfigError(f"recipe.method: {problem}; {near_misses(str(method), recipes)}")
