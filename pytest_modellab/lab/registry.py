"""Kinds, scorers, recipes, assertions, probes, generators: built in, and added by plugins."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pytest_modellab import recipes, scorers, variants
from pytest_modellab.errors import ConfigError
from pytest_modellab.judging import assertions
from pytest_modellab.judging.assertions import ASSERTIONS, Assertion
from pytest_modellab.media.generators import Generator
from pytest_modellab.observatory.added import Probe
from pytest_modellab.recipes.recipe import Recipe
from pytest_modellab.records.tasks import Sample
from pytest_modellab.scorers.interface import Scorer, SetScorer
from pytest_modellab.variants.plan import Kind

T = TypeVar("T", Kind, Scorer | SetScorer, Recipe, Assertion, Probe, Generator)


@dataclasses.dataclass(frozen=True)
class Extensions:
    """What a configuration may name.

    Attributes:
        kinds: of variants, by name.
        scorers: by name.
        recipes: by the name of their method.
        assertions: by name; named by tests.
        probes: by name; each has its look at every examination.
        generators: of images and recordings, by name; named by samples.
    """

    kinds: Mapping[str, Kind]
    scorers: Mapping[str, Scorer | SetScorer]
    recipes: Mapping[str, Recipe]
    assertions: Mapping[str, Assertion]
    probes: Mapping[str, Probe] = dataclasses.field(default_factory=lambda: MappingProxyType({}))
    generators: Mapping[str, Generator] = dataclasses.field(
        default_factory=lambda: MappingProxyType({})
    )

    def check(self, sample: Sample) -> str | None:
        """Say what is wrong with a sample in its scorer's eyes, or None."""
        return scorers.check(sample, self.scorers)

    def scorer(self, name: str) -> Scorer | SetScorer:
        """Return the scorer that a checked sample names."""
        found = scorers.find(name, self.scorers)
        assert found is not None  # check() has seen every sample
        return found


BUILT_IN = Extensions(variants.KINDS, scorers.SCORERS, recipes.RECIPES, ASSERTIONS)


HOOKS = (
    "pytest_modellab_assertions",
    "pytest_modellab_kinds",
    "pytest_modellab_scorers",
    "pytest_modellab_recipes",
    "pytest_modellab_probes",
    "pytest_modellab_generators",
)


_MARKER = re.compile(r"[A-Za-z]\w*")


def collect(hook: Any) -> Extensions:
    """Ask the plugins and conftest files what they add.

    Args:
        hook: ``config.hook`` of pytest.

    Returns:
        The built-in ones with the added ones; an added one replaces a built-in one of
        the same name, and a conftest's one a plugin's. A built-in assertion is not replaced.

    Raises:
        ConfigError: a hook returned something else than it should; the message names where the
            hook is written.
    """
    return Extensions(
        kinds=_merged(BUILT_IN.kinds, hook.pytest_modellab_kinds, Kind),
        scorers=_merged(BUILT_IN.scorers, hook.pytest_modellab_scorers, Scorer, SetScorer),
        recipes=_merged(BUILT_IN.recipes, hook.pytest_modellab_recipes, Recipe),
        assertions=_merged(BUILT_IN.assertions, hook.pytest_modellab_assertions, Assertion),
        probes=_merged(BUILT_IN.probes, hook.pytest_modellab_probes, Probe),
        generators=_merged(BUILT_IN.generators, hook.pytest_modellab_generators, Generator),
    )


def sources(hook: Any) -> tuple[str, ...]:
    """Return where the hooks are written: names of plugins, paths of conftest files.

    Args:
        hook: ``config.hook`` of pytest.
    """
    found = [impl.plugin_name for name in HOOKS for impl in getattr(hook, name).get_hookimpls()]
    return tuple(dict.fromkeys(found))


def misplaced(asked: tuple[str, ...], now: tuple[str, ...], root: Path) -> str | None:
    """Say which conftest.py adds something that not every test and command would know, or None.

    Args:
        asked: the :func:`sources` when the hooks were called.
        now: the :func:`sources` when all tests are collected.
        root: the folder of ``modellab.toml``.
    """
    for source in now:
        path = Path(source)
        if path.name == "conftest.py" and path.parent not in (root, *root.parents):
            return (
                f"{path}: adds to pytest-modellab where not every test and no command would know "
                f"it; move the hook to {root / 'conftest.py'}, or into a plugin"
            )
        if source not in asked:
            return (
                f"{path}: is read after a test that asks for variants; name its folder first: "
                f"pytest {path.parent} …"
            )
    return None


def _merged(built_in: Mapping[str, T], hook: Any, *types: Any) -> Mapping[str, T]:
    found = dict(built_in)
    name = types[0].__name__
    where = " or ".join(impl.plugin_name for impl in hook.get_hookimpls())
    for several in reversed(hook()):  # pluggy asks the last registered first
        expected = f"expected a list of {name} objects"
        if not isinstance(several, Iterable):
            raise ConfigError(f"{where}: {hook.name} returned {several!r}; {expected}")
        for one in several:
            if isinstance(one, type) or not isinstance(one, types):  # a class has a scorer's names
                raise ConfigError(f"{where}: {hook.name} returned {one!r} in a list; {expected}")
            if problem := _problem(one):
                raise ConfigError(f"{where}: {hook.name}: {name} {one.name!r}: {problem}")
            found[one.name] = one
    return MappingProxyType(found)


def _problem(one: Any) -> str | None:
    """Say what would fail later, far from its cause, or None."""
    if not isinstance(one.name, str) or not one.name:
        return "name: expected a text"
    if isinstance(one, Kind) and not _MARKER.fullmatch(str(one.marker)):
        return f"marker: {one.marker!r} is no name for -m: letters, digits and '_' only"
    if isinstance(one, Recipe) and "seed" not in one.settings:
        return "settings: 'seed' is missing; provenance.json tells it"
    if isinstance(one, Generator):
        return one.problem()
    return assertions.problem(one) if isinstance(one, Assertion) else None
