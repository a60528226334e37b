"""Tests are parametrized from the configuration, and their assertions counted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin import updating
from pytest_modellab.plugin.options import option
from pytest_modellab.plugin.session import (
    CONFIG,
    SOURCES,
    check_nearest,
    extensions_of,
    lab_of,
    required_config,
)

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.records.declared import VariantSpec
    from pytest_modellab.variants.plan import Kind

WEIGHTS: pytest.StashKey[Mapping[str, float]] = pytest.StashKey()


CANDIDATES: pytest.StashKey[frozenset[tuple[str, str]]] = pytest.StashKey()


NEXT: pytest.StashKey[str | None] = pytest.StashKey()
"""The variant of the test that comes next, while one is torn down."""


MARKERS = (
    "task_set(*names): the task sets that a test's candidate is judged on",
    "variants(*names, kind=None, strategy=None, base=None): the variants that a test is run for",
    "alpha_weight(times): how many times the usual share of alpha a test's assertion gets",
    "slow: tests of variants that are declared slow",
)


MULTIMODAL = "multimodal"
"""The marker of kinds that take more than text, and of all variants that start from such a one."""


@pytest.hookimpl(tryfirst=True)  # a variant comes first in a node id: see config.variant_of
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each declared variant, task set and capability that a test asks for."""
    own = {
        name.strip()
        for mark in metafunc.definition.iter_markers("parametrize")
        for names in mark.args[:1]
        for name in (names.split(",") if isinstance(names, str) else names)
    }
    asked = {"candidate", "gate", "task_set", "capability"} & set(metafunc.fixturenames) - own
    # common names: in a project without a configuration they are most likely its own
    if metafunc.config.stash[CONFIG] is None and not {"candidate", "gate"} <= asked:
        return
    if asked or "lab" in metafunc.fixturenames:
        check_nearest(metafunc.config, metafunc.definition.path)
    if not asked:
        return
    config = required_config(metafunc.config)
    task_sets = _marked_task_sets(metafunc, config)
    if "candidate" in asked:
        kinds = extensions_of(metafunc.config).kinds
        variants = [
            pytest.param(name, id=name, marks=marks(config.variants[name], kinds, config.variants))
            for name in _marked_variants(metafunc, config)
        ]
        metafunc.parametrize("candidate", variants, indirect=True, scope="session")
    several = len(task_sets) > 1
    if "capability" in asked:
        from pytest_modellab.errors import TaskSetError

        try:
            pairs = [
                pytest.param(name, capability, id=f"{name}-{capability}" if several else capability)
                for name in task_sets
                for capability in lab_of(metafunc.config).outline(name).capabilities
            ]
        except TaskSetError as error:
            raise pytest.UsageError(str(error)) from error
        metafunc.parametrize("task_set, capability", pairs, indirect=["task_set"])
    elif "task_set" in asked:
        metafunc.parametrize(
            "task_set",
            [pytest.param(name, id=name if several else pytest.HIDDEN_PARAM) for name in task_sets],
            indirect=True,
        )


def marks(
    spec: VariantSpec, kinds: Mapping[str, Kind], variants: Mapping[str, VariantSpec]
) -> list[pytest.MarkDecorator]:
    """Return the markers that select a variant: its kind's, and ``slow`` where it is.

    What starts from a variant that takes more than text is with that one, whatever its kind: a
    quantized model that looks is no part of a run of the quantized models that read.
    """
    from pytest_modellab.records.declared import bases

    root = (spec, *bases(spec, variants))[-1]
    marker = kinds[spec.kind if kinds[root.kind].marker != MULTIMODAL else root.kind].marker
    return [getattr(pytest.mark, name) for name in (marker, *(["slow"] if spec.slow else []))]


def _marked_task_sets(metafunc: pytest.Metafunc, config: LabConfig) -> list[str]:
    from pytest_modellab.errors import near_misses

    marker = metafunc.definition.get_closest_marker("task_set")
    names = [str(name) for name in marker.args] if marker else list(config.task_sets)
    if marker is None and len(names) != 1:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: which task set? Mark it: @pytest.mark.task_set(NAME); "
            f"{near_misses('', config.task_sets)}"
        )
    for name in names:
        if name not in config.task_sets:
            raise pytest.UsageError(
                f"{metafunc.definition.nodeid}: unknown task set {name!r} in {config.path}; "
                f"{near_misses(name, config.task_sets)}"
            )
    return names


def _marked_variants(metafunc: pytest.Metafunc, config: LabConfig) -> list[str]:
    from pytest_modellab.errors import near_misses
    from pytest_modellab.records.declared import values

    marker = metafunc.definition.get_closest_marker("variants")
    if marker is None:
        return list(config.variants)
    where = f"{metafunc.definition.nodeid}: @pytest.mark.variants"
    for key in marker.kwargs:
        if key not in ("kind", "strategy", "base"):
            raise pytest.UsageError(
                f"{where}: unknown argument {key!r}; "
                f"{near_misses(key, ('kind', 'strategy', 'base'))}"
            )
    for name in marker.args:
        if name not in config.variants:
            raise pytest.UsageError(
                f"{where}: unknown variant {name!r} in {config.path}; "
                f"{near_misses(str(name), config.variants)}"
            )
    kinds = extensions_of(metafunc.config).kinds
    known = {
        "kind": set(kinds),
        "strategy": {kind.strategy for kind in kinds.values()}
        | {spec.strategy for spec in config.variants.values()},
        "base": set(config.variants),
    }
    asked = {key: value for key, value in marker.kwargs.items() if value is not None}
    for key, value in asked.items():
        if not isinstance(value, str) or value not in known[key]:
            raise pytest.UsageError(
                f"{where}: unknown {key} {value!r}; {near_misses(str(value), known[key])}"
            )
    return [
        spec.name
        for spec in config.variants.values()
        if (not marker.args or spec.name in marker.args)
        and all(value in values(spec, key, config.variants) for key, value in asked.items())
    ]


@pytest.hookimpl(tryfirst=True)  # whatever order others ask for comes after, and counts
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of variants that share a loaded model after one another.

    As pytest does for a fixture of the whole session, and for the same reason: each is set up once.
    """
    found = config.stash.get(CONFIG, None)
    if found is None or not any(_candidate(item, found) for item in items):
        return
    from pytest_modellab.variants.families import family

    kinds = extensions_of(config).kinds
    first: dict[str, int] = {}

    def place(pair: tuple[int, pytest.Item]) -> int:
        index, item = pair
        name = _candidate(item, found)
        return (
            index if name is None else first.setdefault(family(name, found.variants, kinds), index)
        )

    items[:] = [item for _, item in sorted(enumerate(items), key=place)]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Remember which variant comes next, so that what it shares with this one stays loaded."""
    found = item.config.stash.get(CONFIG, None)
    if found is not None:
        item.config.stash[NEXT] = None if nextitem is None else _candidate(nextitem, found)


def _candidate(item: pytest.Item, config: LabConfig) -> str | None:
    """The declared variant that a test is for."""
    name = params_of(item).get("candidate")
    return name if isinstance(name, str) and name in config.variants else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the assertions that share alpha, after deselection, in every process alike."""
    check_sources(session.config)
    weights, candidates = {}, set()
    for item in session.items:
        if isinstance(item, pytest.Function) and "gate" in item.fixturenames:
            params = params_of(item)
            candidates.add((str(params.get("candidate")), str(params.get("task_set"))))
            weights[assertion_of(item)] = weight_of(item)
    session.config.stash[WEIGHTS] = weights
    session.config.stash[CANDIDATES] = frozenset(candidates)
    if candidates and option(session.config, "update"):
        updating.remember(lab_of(session.config), sorted(candidates))


def check_sources(config: pytest.Config) -> None:
    """Refuse a conftest.py whose additions came too late, or that the commands would not read."""
    found = config.stash[CONFIG]
    if found is None or SOURCES not in config.stash:
        return
    from pytest_modellab.lab import registry

    now = registry.sources(config.hook)
    if problem := registry.misplaced(config.stash[SOURCES], now, found.root):
        raise pytest.UsageError(problem)


def params_of(item: pytest.Item) -> dict[str, Any]:
    """Return the parameters of a test."""
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


def assertion_of(item: pytest.Function) -> str:
    """One a test function and set of parameters; capabilities of a task set are one family."""
    others = {k: repr(v) for k, v in sorted(params_of(item).items()) if k != "capability"}
    assert item.parent is not None  # a module or class
    return f"{item.parent.nodeid}::{item.originalname}{others}"


def weight_of(item: pytest.Function) -> float:
    """Return how many shares of alpha an assertion has."""
    marker = item.get_closest_marker("alpha_weight")
    if marker is None:
        return 1.0
    weight = marker.args[0] if len(marker.args) == 1 else None
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise pytest.UsageError(
            f"{item.nodeid}: @pytest.mark.alpha_weight takes one number above 0: how many times "
            "the share of alpha of an assertion without it"
        )
    return float(weight)
