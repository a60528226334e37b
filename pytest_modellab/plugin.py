"""The pytest plugin: options, markers, fixtures and hooks. Wiring only; nothing heavy imported."""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_modellab.assertions import Candidate, Gate
    from pytest_modellab.comparison import Comparison
    from pytest_modellab.config import LabConfig
    from pytest_modellab.extensions import Extensions
    from pytest_modellab.lab import Lab, Settings
    from pytest_modellab.records import RunSummary, TaskSet, VariantSpec
    from pytest_modellab.variants.plan import Kind

CONFIG: pytest.StashKey[LabConfig | None] = pytest.StashKey()
EXTENSIONS: pytest.StashKey[Extensions] = pytest.StashKey()
SOURCES: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()
LAB: pytest.StashKey[Lab] = pytest.StashKey()
WEIGHTS: pytest.StashKey[Mapping[str, float]] = pytest.StashKey()
CANDIDATES: pytest.StashKey[frozenset[tuple[str, str]]] = pytest.StashKey()
FINDINGS: pytest.StashKey[dict[str, list[str]]] = pytest.StashKey()

ON_INCONCLUSIVE = ("fail", "warn", "pass")
GITHUB = ("auto", "off")


# --- options -------------------------------------------------------------------------------------

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "config": ({"metavar": "PATH"}, "the modellab.toml (default: nearest to the tests)"),
    "update": (
        {"action": "store_true"},
        "record missing baselines and accept this run as the new baseline",
    ),
    "alpha": ({"metavar": "RISK"}, "risk of any false block in the whole run (default: 0.05)"),
    "margin": ({"metavar": "DROP"}, "allowed drop, replaces the margins of all task sets"),
    "on-inconclusive": (
        {"choices": ON_INCONCLUSIVE},
        "what an inconclusive verdict does to its test (default: warn)",
    ),
    "churn": (
        {"action": "store_true"},
        "run every variant a second time and flag one that flips abnormally many samples",
    ),
    "sequential": (
        {"action": "store_true"},
        "ask no more samples than a verdict needs, at the same error rates",
    ),
    "json": ({"metavar": "PATH"}, "write the report as JSON"),
    "markdown": ({"metavar": "PATH"}, "write the report as Markdown, for a pull request"),
    "github": (
        {"choices": GITHUB},
        "annotations and a step summary in a GitHub Actions run (default: auto)",
    ),
    "no-cache": ({"action": "store_true"}, "run every selected variant anew"),
}
"""Name → (argparse settings, help); each has the ini twin ``modellab_NAME``."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare every option with its ini twin."""
    group = parser.getgroup("modellab", "pytest-modellab: may this model ship?")
    for name, (settings, help_) in OPTIONS.items():
        dest = f"modellab_{name.replace('-', '_')}"
        group.addoption(f"--modellab-{name}", dest=dest, default=None, help=help_, **settings)
        if settings.get("action") == "store_true":
            parser.addini(dest, help_, type="bool", default=None)
        else:
            parser.addini(dest, help_, type="string", default=None)


def option(config: pytest.Config, name: str) -> Any:
    """Resolve an option: command line, then ini file, then None."""
    dest = f"modellab_{name.replace('-', '_')}"
    given = config.getoption(dest)
    return given if given is not None else (config.getini(dest) or None)


def _choice(
    config: pytest.Config, name: str, choices: tuple[str, ...], default: str | None = None
) -> str:
    """Resolve an option with choices, the first of which it is unless set."""
    found: str = option(config, name) or default or choices[0]
    if found not in choices:  # argparse has not seen the ini file's value
        dest = f"modellab_{name.replace('-', '_')}"
        raise pytest.UsageError(f"{dest}: {found!r} is none of {', '.join(choices)}")
    return found


def path_option(config: pytest.Config, name: str) -> Path | None:
    """Resolve a path: as called it starts from the working folder, in an ini file from the root."""
    dest = f"modellab_{name}"
    given: str | None = config.getoption(dest)
    if given is not None:
        return config.invocation_params.dir / given
    named: str | None = config.getini(dest)
    return config.rootpath / named if named else None


def _number(config: pytest.Config, name: str, *, zero: bool) -> float | None:
    text = option(config, name)
    if text is None:
        return None
    interval = "[0, 1)" if zero else "(0, 1)"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1 or (value == 0 and not zero):
        raise pytest.UsageError(f"--modellab-{name}: {text!r} is not a number in {interval}")
    return value


# --- configuration -------------------------------------------------------------------------------

MARKERS = (
    "task_set(*names): the task sets that a test's candidate is judged on",
    "variants(*names, kind=None, strategy=None): the variants that a test is run for",
    "alpha_weight(times): how many times the usual share of alpha a test's assertion gets",
    "prompted: tests of variants behind a prompt",
    "finetuned: tests of fine-tuned variants",
    "quantized: tests of quantized variants",
    "distilled: tests of distilled variants",
    "aligned: tests of variants after preference optimization",
    "embedding: tests of embedding models and other ways to search",
    "rag: tests of variants that answer from what a search found",
    "slow: tests of variants that are declared slow",
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the extension points."""
    from pytest_modellab import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the configuration; in a worker, take a share of the threads."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        # Before torch is imported: two workers with all threads each are slower than one.
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        threads = max(1, (cpus or 1) // int(worker["workercount"]))
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        if hasattr(config.option, "clean_alluredir"):  # else a replaced worker wipes the results
            config.option.clean_alluredir = False
    config.stash[CONFIG] = _load_config(config)
    if worker is None:
        _register_controller(config)


def _register_controller(config: pytest.Config) -> None:
    """Collect what the tests found, and distribute them, where a configuration is."""
    found = config.stash[CONFIG]
    if found is None:
        return
    from pytest_modellab.collector import Collector

    config.pluginmanager.register(
        Collector(
            config,
            variants=found.variants,
            settings=_settings(config),
            lab=functools.partial(_lab, config),
            json_path=path_option(config, "json"),
            markdown_path=path_option(config, "markdown"),
            github=_choice(config, "github", GITHUB) == "auto",
            mlflow=found.mlflow,
        ),
        "modellab_collector",
    )
    if config.pluginmanager.hasplugin("xdist"):
        from pytest_modellab.xdist_scheduler import Distribution

        config.pluginmanager.register(Distribution(found), "modellab_distribution")


def _settings(config: pytest.Config) -> Settings:
    from pytest_modellab import store
    from pytest_modellab.lab import Settings

    alpha = _number(config, "alpha", zero=False)
    on_inconclusive: Any = _choice(config, "on-inconclusive", ON_INCONCLUSIVE, default="warn")
    flags = {name: bool(option(config, name)) for name in ("update", "churn", "sequential")}
    for name in ("update", "churn"):
        if flags["sequential"] and flags[name]:
            raise pytest.UsageError(
                f"--modellab-sequential and --modellab-{name} exclude each other: an accepted run, "
                "and one that is run twice, is complete; leave one out (one that is set in an ini "
                "file: -o modellab_sequential=false)"
            )
    return Settings(
        cache=store.default_folder(),
        alpha=0.05 if alpha is None else alpha,
        margin=_number(config, "margin", zero=True),
        on_inconclusive=on_inconclusive,
        reuse=not option(config, "no-cache"),
        **flags,
    )


def _load_config(config: pytest.Config) -> LabConfig | None:
    from pytest_modellab import config as configuration
    from pytest_modellab.errors import ConfigError

    path = path_option(config, "config")
    if path is None:
        places = [config.invocation_params.dir / arg.split("::")[0] for arg in config.args]
        path = configuration.find(places, config.rootpath)
    if path is None:
        return None
    try:
        return configuration.load(path)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


def _extensions(config: pytest.Config) -> Extensions:
    """Return what plugins and conftest files add; asked once, when the first test is collected."""
    if EXTENSIONS not in config.stash:
        from pytest_modellab import extensions
        from pytest_modellab.errors import ConfigError

        try:
            found = extensions.collect(config.hook)
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error
        known = {marker.split(":")[0].split("(")[0] for marker in config.getini("markers")}
        for marker in sorted({kind.marker for kind in found.kinds.values()} - known):
            config.addinivalue_line("markers", f"{marker}: tests of variants of an added kind")
        config.stash[EXTENSIONS] = found
        config.stash[SOURCES] = extensions.sources(config.hook)
    return config.stash[EXTENSIONS]


def _required_config(config: pytest.Config) -> LabConfig:
    from pytest_modellab.errors import ConfigError

    found = config.stash[CONFIG]
    if found is None:
        raise pytest.UsageError(
            "no modellab.toml found beside or above the tests; write one (README: 'Your own "
            "suite') or name it: --modellab-config PATH"
        )
    try:
        return found.with_kinds(_extensions(config).kinds)
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


def _lab(config: pytest.Config) -> Lab:
    if LAB not in config.stash:
        from pytest_modellab.lab import Lab
        from pytest_modellab.progress import Progress

        config.stash[LAB] = Lab(
            _required_config(config), _settings(config), Progress(config), _extensions(config)
        )
    return config.stash[LAB]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Name the configuration."""
    found = config.stash.get(CONFIG, None)
    if found is None:
        return None
    from pytest_modellab import __version__

    return (
        f"modellab {__version__}: {found.path}, {len(found.variants)} variants, "
        f"{len(found.task_sets)} task sets"
    )


# --- collection ----------------------------------------------------------------------------------


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
    if not asked or (metafunc.config.stash[CONFIG] is None and not {"candidate", "gate"} <= asked):
        return
    config = _required_config(metafunc.config)
    task_sets = _marked_task_sets(metafunc, config)
    if "candidate" in asked:
        kinds = _extensions(metafunc.config).kinds
        variants = [
            pytest.param(name, id=name, marks=_marks(config.variants[name], kinds))
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
                for capability in _lab(metafunc.config).task_set(name).capabilities
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


def _marks(spec: VariantSpec, kinds: Mapping[str, Kind]) -> list[pytest.MarkDecorator]:
    names = [kinds[spec.kind].marker, *(["slow"] if spec.slow else [])]
    return [getattr(pytest.mark, name) for name in names]


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

    marker = metafunc.definition.get_closest_marker("variants")
    if marker is None:
        return list(config.variants)
    where = f"{metafunc.definition.nodeid}: @pytest.mark.variants"
    for key in marker.kwargs:
        if key not in ("kind", "strategy"):
            raise pytest.UsageError(f"{where}: unknown argument {key!r}; Known: kind, strategy")
    for name in marker.args:
        if name not in config.variants:
            raise pytest.UsageError(
                f"{where}: unknown variant {name!r} in {config.path}; "
                f"{near_misses(str(name), config.variants)}"
            )
    return [
        spec.name
        for spec in config.variants.values()
        if (not marker.args or spec.name in marker.args)
        and all(getattr(spec, key) == value for key, value in marker.kwargs.items())
    ]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the assertions that share alpha, after deselection, in every process alike."""
    _check_sources(session.config)
    weights, candidates = {}, set()
    for item in session.items:
        if isinstance(item, pytest.Function) and "gate" in item.fixturenames:
            params = _params(item)
            candidates.add((str(params.get("candidate")), str(params.get("task_set"))))
            weights[_assertion(item)] = _weight(item)
    session.config.stash[WEIGHTS] = weights
    session.config.stash[CANDIDATES] = frozenset(candidates)


def _check_sources(config: pytest.Config) -> None:
    """Refuse a conftest.py whose additions came too late, or that the commands would not read."""
    found = config.stash[CONFIG]
    if found is None or SOURCES not in config.stash:
        return
    from pytest_modellab import extensions

    now = extensions.sources(config.hook)
    if problem := extensions.misplaced(config.stash[SOURCES], now, found.root):
        raise pytest.UsageError(problem)


def _params(item: pytest.Item) -> dict[str, Any]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


def _assertion(item: pytest.Function) -> str:
    """One a test function and set of parameters; capabilities of a task set are one family."""
    others = {k: repr(v) for k, v in sorted(_params(item).items()) if k != "capability"}
    assert item.parent is not None  # a module or class
    return f"{item.parent.nodeid}::{item.originalname}{others}"


def _weight(item: pytest.Function) -> float:
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


# --- fixtures ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The session's lab: configuration, runs and baselines."""
    lab = _lab(request.config)
    yield lab
    lab.release()


@pytest.fixture(scope="session")
def candidate(request: pytest.FixtureRequest, lab: Lab) -> Iterator[Candidate]:
    """The variant under test, one after another; loaded on demand, freed before the next."""
    from pytest_modellab.assertions import Candidate

    yield Candidate(lab, lab.spec(request.param))
    lab.release()


@pytest.fixture
def task_set(request: pytest.FixtureRequest, lab: Lab) -> TaskSet:
    """The task set that the test is marked with."""
    return lab.task_set(request.param)


@pytest.fixture
def gate(request: pytest.FixtureRequest, lab: Lab, task_set: TaskSet) -> Gate:
    """The gate: ``gate.no_regression(candidate)``, ``gate.worst_bucket(candidate)``."""
    from pytest_modellab.assertions import Gate
    from pytest_modellab.comparator import Budget
    from pytest_modellab.gate import split_alpha

    alpha = lab.settings.alpha
    item: pytest.Function = request.node
    findings: dict[str, list[str]] = {}  # anew, should the test be run again
    item.stash[FINDINGS] = findings
    has_allure = request.config.pluginmanager.hasplugin("allure_listener")
    params = _params(item)
    if has_allure and "candidate" in params:
        # now, so that a test that fails before a verdict stands with its variant too
        from pytest_modellab.reports import allure

        allure.label_test(
            item.nodeid,
            variant=params["candidate"],
            kind=lab.spec(params["candidate"]).kind,
            task_set=task_set.name,
            capability=params.get("capability"),
        )

    def judged(comparison: Comparison, summary: RunSummary | None) -> None:
        findings.setdefault("comparisons", []).append(comparison.to_json())
        if summary is not None:
            findings.setdefault("runs", []).append(summary.to_json())
        item.user_properties.extend(_junit_properties(comparison))
        if has_allure:
            from pytest_modellab.comparison import Comparison
            from pytest_modellab.reports import allure

            allure.label(comparison)
            allure.describe(item, map(Comparison.from_json, findings["comparisons"]))
            allure.attach(comparison)

    share = split_alpha(alpha, request.config.stash[WEIGHTS])[_assertion(item)]
    budget = Budget(share=share, alpha=alpha)
    candidates = request.config.stash[CANDIDATES]
    accepted = {variant for variant, name in candidates if name == task_set.name}
    return Gate(lab, item.nodeid, task_set, budget, judged, accepted)


def _junit_properties(comparison: Comparison) -> list[tuple[str, object]]:
    """Name the verdict and its first figures, which JUnit XML keeps as properties."""
    found: dict[str, object] = {
        "assertion": comparison.assertion,
        "task_set": comparison.task_set,
        "candidate": comparison.candidate,
        "against": comparison.against,
        "capability": comparison.capability or "all",
        "verdict": comparison.verdict,
    }
    for worst in comparison.figures[:1]:  # a verdict on latency has none
        found["bucket"] = worst.name
        found["drop"] = f"{worst.drop:.6g}"
        found["p_adjusted"] = f"{worst.p_adjusted:.6g}"
    return [(f"modellab_{name}", value) for name, value in found.items()]


# --- reports -------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send what was judged along with the test's report, across xdist too: one JSON string."""
    report = yield
    if report.when == "setup":  # should the worker die in the test, no other report follows
        variant = _params(item).get("candidate")
        vars(report)["modellab_variant"] = variant if isinstance(variant, str) else None
    findings: dict[str, list[str]] = {}
    if report.when == "call" and FINDINGS in item.stash:
        judged: dict[str, list[str]] = item.stash[FINDINGS]
        findings.update(judged)
    is_gated = "gate" in getattr(item, "fixturenames", ())
    if report.failed and is_gated and call.excinfo is not None:
        from pytest_modellab.errors import FloorViolated, RegressionDetected, VerdictInconclusive

        settled = "comparisons" in item.stash.get(FINDINGS, {})
        blocked = (FloorViolated, RegressionDetected, VerdictInconclusive)
        if not (settled and call.excinfo.errisinstance(blocked)):
            params = _params(item)
            error = {
                "test": item.nodeid,
                "variant": params.get("candidate"),
                "message": ("after its verdict: " if settled else "") + str(call.excinfo.value),
                "kind": call.excinfo.typename,
                "command": getattr(call.excinfo.value, "command", ""),
            }
            findings["errors"] = [json.dumps(error)]
    if findings:
        findings["assertions"] = [str(len(item.config.stash[WEIGHTS]))]
        vars(report)["modellab"] = json.dumps(findings)  # travels with the report
    return report
