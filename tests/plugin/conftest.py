"""A small project with a random model, for running the plugin inside pytest."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import importlib
import pkgutil
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import warm

import pytest_modellab
from pytest_modellab import testing

# pytester forgets what a run in this process was the first to import, while packages keep it as an
# attribute: a second run would mix the modules of both. So all of them are there before the first.
_package = pkgutil.walk_packages(pytest_modellab.__path__, "pytest_modellab.")
_drawing = ("matplotlib.figure", "matplotlib.ticker", "matplotlib.backends.backend_svg")
_printing = ("rich.console", "rich.table", "rich.text")
for _module in (*(found.name for found in _package), *_drawing, *_printing):
    with contextlib.suppress(ModuleNotFoundError):  # an optional library's
        importlib.import_module(_module)

CONFIG = """
[models.tiny]
source = "model"
[models.broken]
source = "./nowhere"
[task_sets.words]
path = "words"
margin = 0.1
capability_margin = 0.2
floor = 0.02
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "prompt.jinja"
[variants.rounded]
kind = "quantized"
base = "plain"
method = "rtn"
bits = 8
[variants.unloadable]
kind = "prompted"
model = "broken"
prompt = "prompt.jinja"
"""

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants("plain", "rounded")]

def test_capability(candidate, capability, gate):
    gate.no_regression(candidate, capability=capability)

def test_overall(candidate, gate):
    gate.no_regression(candidate)

def test_worst_bucket(candidate, gate):
    gate.worst_bucket(candidate)
"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = testing.write_random_model(tmp_path_factory.mktemp("tiny"))
    # an engine that is let go collects garbage, and most of that time goes to what libraries are
    gc.collect()
    gc.freeze()
    return folder


@pytest.fixture(scope="session")
def warm_python() -> Iterator[Path]:
    with warm.python() as path:
        yield path


@pytest.fixture
def warmed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that a test starts have torch imported already, which takes each of them seconds.

    Not for tests of what is imported, of signals or of how many threads there are.
    """
    if warm.POSSIBLE:
        monkeypatch.setattr(sys, "executable", str(request.getfixturevalue("warm_python")))


@pytest.fixture
def write_project(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], pytest.Pytester]:
    """Write the project without its model; its cache is a folder of its own."""

    def write() -> pytest.Pytester:
        monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        for name in ("CI", "GITHUB_ACTIONS"):  # of the run that tests the package
            monkeypatch.delenv(name, raising=False)
        samples = testing.choice_samples(["alpha", "beta"], 22)
        testing.write_task_set(pytester.path / "words", samples)
        (pytester.path / "modellab.toml").write_text(CONFIG)
        (pytester.path / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
        (pytester.path / "test_suite.py").write_text(SUITE)
        return pytester

    return write


@pytest.fixture
def project(write_project: Callable[[], pytest.Pytester], tiny_model: Path) -> pytest.Pytester:
    """The project with its model."""
    pytester = write_project()
    shutil.copytree(tiny_model, pytester.path / "model")
    return pytester


Keep = Callable[[pytest.Pytester, str, Callable[[], pytest.RunResult]], None]


@pytest.fixture(scope="session")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Keep:
    """Makes what several tests begin with once: ``keep(project, name, make)``.

    The first test that asks for the name runs a session that passes; the project's folder as it
    then is, its store included, is what the others get a copy of.
    """
    kept = tmp_path_factory.mktemp("kept")

    def begin(project: pytest.Pytester, name: str, make: Callable[[], pytest.RunResult]) -> None:
        if (kept / name).exists():
            shutil.copytree(kept / name, project.path, dirs_exist_ok=True)
        else:
            assert make().ret == pytest.ExitCode.OK
            shutil.copytree(project.path, kept / name)

    return begin


@pytest.fixture
def update(project: pytest.Pytester, keep: Keep) -> Callable[..., None]:
    """Accepts runs of the project as it was written: ``update("-k", "overall")``."""

    def accept(*arguments: str) -> None:
        name = " ".join(["update", *arguments])
        keep(project, name, lambda: project.runpytest_inprocess("--modellab-update", *arguments))

    return accept


@pytest.fixture
def raise_baseline(project: pytest.Pytester) -> Callable[[str], None]:
    """Rewrites a variant's recorded baseline as if every sample had been right."""
    from pytest_modellab.baselines.file import read, write

    def rewrite(variant: str) -> None:
        path = project.path / "baselines" / "words" / f"{variant}.json"
        baseline = read(path)
        assert baseline is not None
        samples = (dataclasses.replace(s, score=1.0, output="right") for s in baseline.run.samples)
        run = dataclasses.replace(baseline.run, samples=tuple(samples))
        write(path, dataclasses.replace(baseline, run=run))

    return rewrite
