"""Workers: the same verdicts, no variant run twice, nothing lost when one dies."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from pytest_modellab.plugin.nodeids import variant_of

pytest.importorskip("xdist")

pytestmark = pytest.mark.usefixtures("warmed")

COUNT_LOADS = """
import os
from pytest_modellab.variants import loading

original = loading.load

def counted(*arguments):
    with open(os.environ["LOADS"], "a") as file:
        file.write(f"{os.environ.get('OMP_NUM_THREADS')}\\n")
    return original(*arguments)

loading.load = counted
"""


def run(project: pytest.Pytester, *arguments: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    path = project.path / "report.json"
    result = project.runpytest_subprocess("--modellab-json", str(path), *arguments)
    return result, json.loads(path.read_text())


def without_measurements(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_measurements(v) for k, v in value.items() if k != "measured"}
    return [without_measurements(v) for v in value] if isinstance(value, list) else value


def without_last_digits(report: Any) -> Any:
    """Graded metrics to five digits: other threads change the last ones."""
    for one in report["runs"]:
        one["metrics"] = {name: pytest.approx(v, abs=1e-5) for name, v in one["metrics"].items()}
    return report


def test_two_workers_give_the_serial_report_and_load_each_variant_once(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "conftest.py").write_text(COUNT_LOADS)
    monkeypatch.setenv("LOADS", str(project.path / "loads"))
    monkeypatch.delenv("OMP_NUM_THREADS")
    project.runpytest_subprocess("--modellab-update").assert_outcomes(passed=8)
    serial, report = run(project, "--modellab-no-cache")
    serial.assert_outcomes(passed=8)
    (project.path / "loads").unlink()
    parallel, parallel_report = run(project, "-n2", "--modellab-no-cache")
    parallel.assert_outcomes(passed=8)
    expected = without_last_digits(without_measurements(report))
    assert without_measurements(parallel_report) == expected
    loads = (project.path / "loads").read_text().split()
    assert len(loads) == 2, "each variant once"
    assert all(threads.isdigit() for threads in loads), "workers share the threads"


def test_a_dead_worker_loses_no_result(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--modellab-update").assert_outcomes(passed=8)
    (project.path / "test_deadly.py").write_text(
        "import os, pathlib, pytest\n"
        "@pytest.mark.variants('rounded')\n"
        "def test_dies(candidate, gate):\n"
        "    gate.worst_bucket(candidate)\n"
        "    os._exit(1)\n"
    )
    result, report = run(project, "-n2")
    result.assert_outcomes(passed=8, failed=1)
    assert len(report["comparisons"]) == 8
    assert [error["variant"] for error in report["errors"]] == ["rounded"]
    assert "the worker died while running this test" in report["errors"][0]["message"]
    assert report["verdict"] == "error"


def test_without_restarts_the_run_fails_as_incomplete(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--modellab-update").assert_outcomes(passed=8)
    (project.path / "test_a_deadly.py").write_text(
        "import os, pytest\n"
        "@pytest.mark.variants('plain')\n"
        "def test_dies(candidate, gate):\n"
        "    os._exit(1)\n"
    )
    result, report = run(project, "-n1", "--max-worker-restart=0")
    assert result.ret != 0
    assert report["complete"] is False


DEADLY = """
import os
from pytest_modellab.variants import loading
original = loading.load
def deadly(plan, files, cache):
    if plan.quantization:
        os._exit(1)
    return original(plan, files, cache)
loading.load = deadly
"""


def test_what_ends_its_worker_twice_is_not_tried_again(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--modellab-update").assert_outcomes(passed=8)
    shutil.rmtree(project.path / "cache" / "runs")
    (project.path / "conftest.py").write_text(DEADLY)
    result, report = run(project, "-n2")
    assert [c["candidate"] for c in report["comparisons"]] == ["plain"] * 4
    messages = [error["message"] for error in report["errors"] if error["variant"] == "rounded"]
    assert sum("the worker died while running this test" in one for one in messages) == 2
    told = "it has ended its process 2 times in this session, and is not run again: a library"
    assert sum(told in one for one in messages) == 2, "of both tests that are left"
    result.stdout.fnmatch_lines(["*3 failed, 4 passed, 1 with the same error in *"])


LOADED_BY = """
import os
from pytest_modellab.variants import loading
original = loading.load
def noted(plan, files, cache):
    name = "rounded" if plan.quantization else "plain"
    with open(os.environ["LOADS"], "a") as file:
        file.write(f"{name} {os.environ['PYTEST_XDIST_WORKER']}\\n")
    return original(plan, files, cache)
loading.load = noted

def pytest_generate_tests(metafunc):
    if "mode" in metafunc.fixturenames:
        metafunc.parametrize("mode", ["rounded"])
"""


def test_folders_with_brackets_and_a_parameter_named_as_another_variant(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files that hold the same variants' tests: each variant still goes to one worker."""
    (project.path / "conftest.py").write_text(LOADED_BY)
    suite = (project.path / "test_suite.py").read_text()
    (project.path / "test_suite.py").unlink()
    for name in ("b", "c"):
        folder = project.path / f"a[{name}]"
        folder.mkdir()
        (folder / f"test_{name}.py").write_text(suite.replace("gate):", "mode, gate):"))
    monkeypatch.setenv("LOADS", str(project.path / "loads"))
    project.runpytest_subprocess("-n2", "--modellab-update").assert_outcomes(passed=16)
    pairs = {tuple(line.split()) for line in (project.path / "loads").read_text().splitlines()}
    assert len(pairs) == len({name for name, _ in pairs}) == 2, "one worker a variant"
    assert len({worker for _, worker in pairs}) == 2
    _, report = run(project, "-n0")
    assert report["assertions"] == 12, "two files, three tests of two variants each"


def test_a_crash_is_told_of_the_tests_own_variant(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").unlink()
    (project.path / "test_deadly.py").write_text(
        "import os, pytest\n"
        "pytestmark = pytest.mark.task_set('words')\n"
        "@pytest.mark.parametrize('candidate', ['plain'], indirect=True)\n"
        "@pytest.mark.parametrize('mode', ['rounded'])\n"
        "def test_dies(candidate, gate, mode):\n"
        "    os._exit(1)\n"
    )
    _, report = run(project, "-n1")
    (error,) = report["errors"]
    assert error["test"] == "test_deadly.py::test_dies[rounded-plain]"
    assert error["variant"] == "plain"


@pytest.mark.parametrize(
    ("nodeid", "variant"),
    [
        ("suites/test_a.py::test_b[nf4-arithmetic]", "nf4"),
        ("suites/test_a.py::test_b[x-nf4]", "nf4"),
        ("suites/test_a.py::test_nf4", None),
        ("suites/nf4/test_a.py::test_b[1]", None),
        ("suites/a[b]/test_a.py::test_b[nf4-arithmetic]", "nf4"),
        ("suites/a[int8]/test_a.py::test_b", None),
        ("suites/a[int8]/test_a.py::TestA::test_b[nf4-[int8]]", "nf4"),
        ("suites/test_a.py::test_b[nf4-x::y]", "nf4"),
        ("suites/test_a.py::test_b[nf4-int8]", "nf4"),
    ],
)
def test_variant_of(nodeid: str, variant: str | None) -> None:
    assert variant_of(nodeid, ["nf4", "int8"]) == variant


ONE_DEVICE = """
import dataclasses, json, os, sys, time
from pytest_modellab.extend import Kind, Output, check_options

sys.modules["torch"] = None  # an engine may do without, and loading it would take seconds

class Engine:
    def __init__(self, name):
        self.name = name
        self.note("opens")

    def note(self, what):
        with open(os.environ["HOLDING"], "a") as file:
            worker = os.environ["PYTEST_XDIST_WORKER"]
            file.write(json.dumps([time.monotonic(), worker, self.name, what]) + chr(10))

    def render(self, messages):
        return messages[-1]["content"]

    def score_options(self, requests, *, budget, skip, done):
        time.sleep(0.1)
        done({n: Output("", (0.0, -1.0)) for n, _ in enumerate(requests)})

    generate = score_options

    def parameter_bytes(self):
        return 0

    def close(self):
        self.note("closes")

def plan(spec, base, model, root):
    check_options(spec.options, {"device": str})
    return dataclasses.replace(
        base, device=spec.options["device"], packages=(), quantization={"name": spec.name},
        engine="slow-1", open=lambda *_: Engine(spec.name),
    )

def pytest_modellab_kinds():
    return [Kind("slow", strategy="control", marker="control", plan=plan)]
"""


def test_workers_hold_one_device_one_after_another(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any device but the processor; and each wants runs that the other may be at."""
    config = (project.path / "modellab.toml").read_text()
    names = ("one", "two", "three")
    (project.path / "modellab.toml").write_text(
        config.partition("[variants.rounded]")[0]
        + "".join(
            f'[variants.{name}]\nkind = "slow"\nbase = "plain"\ndevice = "mps"\n' for name in names
        )
    )
    (project.path / "conftest.py").write_text(ONE_DEVICE)
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "pytestmark = [pytest.mark.task_set('words'), pytest.mark.variants(kind='slow')]\n"
        "def test_run(candidate, lab, task_set):\n"
        "    lab.record(lab.variant(candidate.name), task_set)\n"
        "@pytest.mark.parametrize('other', ['one', 'two'])\n"
        "def test_beside(candidate, lab, task_set, other):\n"
        "    for name in (other, candidate.name):\n"
        "        lab.record(lab.variant(name), task_set)\n"
        "        lab.engine(lab.variant(name))\n"
    )
    (project.path / "test_more.py").write_text("def test_nothing():\n    pass\n")
    monkeypatch.setenv("HOLDING", str(project.path / "holding"))
    result, report = run(project, "-n2")
    result.assert_outcomes(passed=10)
    lines = (project.path / "holding").read_text().splitlines()
    held = [what for _, *what in sorted(map(json.loads, lines))]
    pairs = [(worker, name) for worker, name, what in held if what == "opens"]
    assert held == [[*pair, what] for pair in pairs for what in ("opens", "closes")], "never two"
    assert {worker for worker, _ in pairs} == {"gw0", "gw1"}
    told = [note for note in report["notes"] if "takes turns on mps with" in note]
    assert 1 <= len(told) <= 2, "once a worker"
