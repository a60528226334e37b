"""The kinds, scorers and recipes that there are: built in, and added by plugins."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_modellab import recipes, scorers, variants
from pytest_modellab.errors import ConfigError
from pytest_modellab.recipes.recipe import Recipe
from pytest_modellab.records import Sample, Scorer
from pytest_modellab.variants.plan import Kind

T = TypeVar("T", Kind, Scorer, Recipe)


@dataclasses.dataclass(frozen=True)
class Extensions:
    """What a configuration may name.

    Attributes:
        kinds: of variants, by name.
        scorers: by name.
        recipes: by the name of their method.
    """

    kinds: Mapping[str, Kind]
    scorers: Mapping[str, Scorer]
    recipes: Mapping[str, Recipe]

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with a sample in its scorer's eyes, or None."""
        return scorers.check(sample, self.scorers)


BUILT_IN = Extensions(variants.KINDS, scorers.SCORERS, recipes.RECIPES)


def collect(hook: Any) -> Extensions:
    """Ask the plugins and conftest files what they add.

    Args:
        hook: ``config.hook`` of pytest.

    Returns:
        The built-in ones with the added ones; an added one replaces a built-in one of
        the same name, and a conftest's one a plugin's.

    Raises:
        ConfigError: a hook returned something else than it should.
    """
    return Extensions(
        kinds=_merged(BUILT_IN.kinds, hook.pytest_modellab_kinds, Kind),
        scorers=_merged(BUILT_IN.scorers, hook.pytest_modellab_scorers, Scorer),
        recipes=_merged(BUILT_IN.recipes, hook.pytest_modellab_recipes, Recipe),
    )


def _merged(built_in: Mapping[str, T], hook: Any, type_: Any) -> Mapping[str, T]:
    found = dict(built_in)
    for several in reversed(hook()):  # pluggy asks the last registered first
        for one in several:
            if not isinstance(one, type_):
                raise ConfigError(
                    f"{hook.name} returned {one!r}; expected a list of {type_.__name__} objects"
                )
            found[one.name] = one
    return MappingProxyType(found)
