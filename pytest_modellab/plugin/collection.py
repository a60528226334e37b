"""Tests are parametrized from the configuration, and their assertions counted."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_modellab.plugin import updating
from pytest_modellab.plugin.nodeids import from_here, params_of
from pytest_modellab.plugin.options import option
from pytest_modellab.plugin.projects import Project, project_of, projects_of

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig
    from pytest_modellab.records.declared import VariantSpec
    from pytest_modellab.variants.plan import Kind

NEXT: pytest.StashKey[tuple[Project, str] | None] = pytest.StashKey()
"""Project and variant of the test that comes next, while one is torn down."""


_NO_ASSERTION = frozenset({"capability", "lab"})
"""Parameters that make no other assertion of a test."""


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
    if not asked and "lab" not in metafunc.fixturenames:
        return
    projects = projects_of(metafunc.config)
    project = projects.of(metafunc.definition.path)
    # common names: in a project without a configuration they are most likely its own
    if project is None and not {"candidate", "gate"} <= asked:
        return
    project = project_of(metafunc.definition)
    if projects.first is None:
        place = from_here(project.name, metafunc.config)
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: {place} lies too deep below what pytest was called "
            f"with; name its folder: pytest {shlex.quote(os.path.dirname(place))}"  # noqa: PTH120 - text
        )
    project.collect(metafunc.definition.ihook)
    if project is not projects.first and "lab" in metafunc.fixturenames:
        others = [pytest.param(project, id=pytest.HIDDEN_PARAM)]
        metafunc.parametrize("lab", others, indirect=True, scope="session")
    if not asked:
        return
    config = project.checked
    task_sets = _marked_task_sets(metafunc, config)
    if "candidate" in asked:
        kinds = project.extensions.kinds
        variants = [
            pytest.param(name, id=name, marks=marks(config.variants[name], kinds, config.variants))
            for name in _marked_variants(metafunc, config, kinds)
        ]
        metafunc.parametrize("candidate", variants, indirect=True, scope="session")
    several = len(task_sets) > 1
    if "capability" in asked:
        from pytest_modellab.errors import TaskSetError

        try:
            pairs = [
                pytest.param(name, capability, id=f"{name}-{capability}" if several else capability)
                for name in task_sets
                for capability in project.lab.outline(name).capabilities
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

    definition = metafunc.definition
    marker = definition.get_closest_marker("task_set")
    on = [node for node, _ in definition.iter_markers_with_node("task_set")]
    if on[1:] and on[0] is on[1]:  # one on the class or the module is overridden, as pytest has it
        raise pytest.UsageError(
            f"{definition.nodeid}: it has two marks task_set, of which pytest gives one: name all "
            "in one, @pytest.mark.task_set(NAME, NAME)"
        )
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


def _marked_variants(
    metafunc: pytest.Metafunc, config: LabConfig, kinds: Mapping[str, Kind]
) -> list[str]:
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
    if not any(map(_under_test, items)):
        return
    from pytest_modellab.variants.families import family

    first: dict[tuple[Project, str], int] = {}

    def place(pair: tuple[int, pytest.Item]) -> int:
        index, item = pair
        found = _under_test(item)
        if found is None:
            return index
        project, name = found
        variants, kinds = project.declared.variants, project.extensions.kinds
        return first.setdefault((project, family(name, variants, kinds)), index)

    items[:] = [item for _, item in sorted(enumerate(items), key=place)]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Remember which variant comes next, so that what it shares with this one stays loaded.

    Where it shares nothing, a worker gives back the device that others may wait for.
    """
    following = None if nextitem is None else _under_test(nextitem)
    item.config.stash[NEXT] = following
    try:
        yield
    finally:
        if hasattr(item.config, "workerinput"):
            _pass_on(item, following)


def _pass_on(item: pytest.Item, following: tuple[Project, str] | None) -> None:
    both = (_under_test(item), following)
    for project in projects_of(item.config).known:
        if not project.begun:
            continue
        names = [one[1] for one in both if one is not None and one[0] is project]
        if len(names) < len(both) or len({*map(project.lab.family, names)}) > 1:
            project.lab.pass_on()


def _under_test(item: pytest.Item) -> tuple[Project, str] | None:
    """The declared variant that a test is for, and whose it is."""
    name = params_of(item).get("candidate")
    if not isinstance(name, str):
        return None
    project = projects_of(item.config).of(item.path)
    return None if project is None or name not in project.declared.variants else (project, name)


class Apart:
    """Plugin that keeps the tests of a project together, after all who order them.

    pytest itself puts tests with the same place among a parameter's values after one another, and
    with them those of other projects; between two of those a model is loaded anew.
    """

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Sort by project, where there are several."""
        projects = projects_of(config)
        if len(projects.known) < 2:
            return
        first: dict[Project | None, int] = {}
        whose = [None if (one := _under_test(item)) is None else one[0] for item in items]
        places = [
            index if project is None else first.setdefault(project, index)
            for index, project in enumerate(whose)
        ]
        items[:] = [items[index] for index in sorted(range(len(items)), key=places.__getitem__)]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the assertions that share alpha, after deselection, in every process alike."""
    projects = projects_of(session.config)
    gated = projects.of_items(session.items)
    check_baselines(gated)
    hooks: dict[Project | None, dict[Path, Any]] = {}
    for item in session.items if projects.known else ():
        hooks.setdefault(projects.known_of(item.path), {})[item.path.parent] = item.ihook
    for project in projects.known:
        check_sources(project, hooks.get(project, {}).values())
        weights, candidates = {}, set()
        for item in gated.get(project, ()):
            if isinstance(item, pytest.Function):
                params = params_of(item)
                candidates.add((str(params.get("candidate")), str(params.get("task_set"))))
                weights[assertion_of(item)] = weight_of(item)
        project.weights = weights
        project.candidates = frozenset(candidates)
        if candidates and option(session.config, "update"):
            updating.remember(project.lab, sorted(candidates))


def check_baselines(projects: Iterable[Project]) -> None:
    """Refuse two configurations that would accept into one file: the last would be both's."""
    whose: dict[tuple[Path, str], Project] = {}
    for project in projects:
        declared = project.declared
        for task_set in declared.task_sets:
            place = declared.baselines.resolve() / task_set
            others = {
                variant: other
                for variant in declared.variants
                if (other := whose.setdefault((place, variant), project)) is not project
            }
            if others:
                raise pytest.UsageError(
                    f"{project.name} and {next(iter(others.values())).name} both keep the accepted "
                    f"runs of {', '.join(sorted(others))} on {task_set} in {declared.baselines}: "
                    "give one of them a folder of its own, baselines = ..."
                )


def check_sources(project: Project, hooks: Iterable[Any]) -> None:
    """Refuse a conftest.py whose additions came too late, or that the commands would not read.

    Args:
        project: that is extended.
        hooks: of the folders of all tests that lie nearest to it.
    """
    if project.sources is None:
        return
    from pytest_modellab.lab import registry

    now = dict.fromkeys(name for hook in hooks for name in registry.sources(hook))
    if problem := registry.misplaced(project.sources, tuple(now), project.declared.root):
        raise pytest.UsageError(problem)


def assertion_of(item: pytest.Function) -> str:
    """One a test function and set of parameters; capabilities of a task set are one family."""
    others = {k: repr(v) for k, v in sorted(params_of(item).items()) if k not in _NO_ASSERTION}
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
