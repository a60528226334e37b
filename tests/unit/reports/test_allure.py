from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_modellab.reports import allure

Make = Callable[..., Any]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands for the allure package and keeps what it is told."""
    told = SimpleNamespace(labels=[], attachments=[])
    dynamic = SimpleNamespace(
        label=lambda name, value: told.labels.append((name, value)),
        feature=lambda value: told.labels.append(("feature", value)),
        story=lambda value: told.labels.append(("story", value)),
        severity=lambda value: told.labels.append(("severity", value)),
    )
    package = SimpleNamespace(
        dynamic=dynamic,
        severity_level=SimpleNamespace(CRITICAL="critical", NORMAL="normal"),
        attachment_type=SimpleNamespace(TEXT="text", CSV="csv"),
        attach=lambda body, name, attachment_type: told.attachments.append(
            (name, attachment_type, body)
        ),
    )
    monkeypatch.setitem(sys.modules, "allure", package)
    return told


def result(folder: Path, name: str, **changes: Any) -> Path:
    path = folder / f"{name}-result.json"
    values = {
        "uuid": name,
        "status": "passed",
        "labels": [
            {
                "name": "nodeid",
                "value": "suites/test_quantized.py::test_capability[nf4-arithmetic]",
            },
            {"name": "variant", "value": "nf4"},
            {"name": "variant", "value": "nf4"},
        ],
    }
    path.write_text(json.dumps({**values, **changes}))
    return path


def test_the_module_imports_without_allure() -> None:
    code = (
        "import sys; sys.modules['allure'] = sys.modules['allure_commons'] = None\n"
        "import pytest_modellab.reports.allure"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_labels_of_a_capability(fake: SimpleNamespace, comparison: Make) -> None:
    allure.label(comparison("pass"))
    assert fake.labels == [
        ("nodeid", "suites/test_quantized.py::test_capability[nf4-arithmetic]"),
        ("variant", "nf4"),
        ("kind", "quantized"),
        ("task_set", "assistant_core_v2"),
        ("capability", "arithmetic"),
        ("feature", "nf4"),
        ("story", "arithmetic"),
        ("verdict", "pass"),
        ("severity", "normal"),
    ]


def test_what_judges_everything_is_critical(fake: SimpleNamespace, comparison: Make) -> None:
    allure.label(comparison("pass", capability=None))
    assert ("severity", "critical") in fake.labels
    assert ("story", "all samples") in fake.labels
    assert "capability" not in dict(fake.labels)


def test_two_attachments_however_many_samples(
    fake: SimpleNamespace, comparison: Make, flip: Make
) -> None:
    flips = (
        flip(before_output='say "a, b"\nand\x1b[0m <b>'),
        flip(id="a-2", after=None, after_output=" "),
        *(flip(id=f"s{i}", after_output="x" * 500) for i in range(40)),
    )
    allure.attach(comparison("block", flips=flips))
    (first, table), (second, samples) = [
        ((name, kind), body) for name, kind, body in fake.attachments
    ]
    assert first == ("BLOCK: arithmetic against own baseline", "text")
    assert table.startswith("blocked: arithmetic fell from 0.62 to 0.41 (n = 66);")
    assert table.endswith("42 flipped samples, 42 worse and 0 better")
    assert second == (
        "42 flipped samples, 42 worse and 0 better: arithmetic against own baseline",
        "csv",
    )
    assert samples.startswith(
        "sample,bucket,score,own baseline,nf4\n"
        'arithmetic-hard-003,hard,1 -> 0,"say ""a, b""\nand\\x1b[0m <b>",'
        "The answer is 11.\n"
        "a-2,hard,1 -> none,The answer is 12.,(empty)\n"
        "s0,hard,1 -> 0,The answer is 12.," + "x" * 399 + "…\n"
    )


def test_no_samples_no_second_attachment(fake: SimpleNamespace, comparison: Make) -> None:
    allure.attach(comparison("pass"))
    assert [name for name, _, _ in fake.attachments] == ["PASS: arithmetic against own baseline"]


def test_green_but_inconclusive_is_shown(report: Make, comparison: Make, tmp_path: Path) -> None:
    green = result(tmp_path, "green", description="What the test is for.")
    red = result(tmp_path, "red", status="failed", statusDetails={"message": "own"})
    other = result(tmp_path, "other", labels=[{"name": "nodeid", "value": "t.py::else"}])
    (tmp_path / "half-result.json").write_text('{"uuid": ')
    before = other.read_text()
    for _ in range(2):  # writing again changes nothing
        allure.write_session(tmp_path, report(comparisons=(comparison("inconclusive"),)))
    shown = json.loads(green.read_text())
    why = (
        "undecided: arithmetic fell from 0.62 to 0.59 (n = 66); with this many samples a drop of "
        "0.15 is noticed in 4 of 5 runs; about 376 samples would settle it"
    )
    assert shown["statusDetails"] == {"message": f"VerdictInconclusive: {why}"}
    assert shown["description"] == f"{why}\n\nWhat the test is for."
    assert shown["status"] == "passed"
    assert [label["name"] for label in shown["labels"]] == ["nodeid", "variant"]
    assert json.loads(red.read_text())["statusDetails"] == {"message": "own"}
    assert other.read_text() == before


def test_what_the_session_writes(report: Make, run: Make, tmp_path: Path) -> None:
    result(tmp_path, "earlier", labels=[{"name": "variant", "value": "fp4"}])
    runs = (
        run(environment={"python": "3.11.2", "device": "cpu", "plan": {"a": 1}}),
        run(variant="int8", environment={"python": "3.11.2", "device": "cuda:0\n\u00e9"}),
    )
    allure.write_session(tmp_path, report(runs=runs))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "allurerc.mjs",
        "categories.json",
        "earlier-result.json",
        "environment.properties",
    ]
    assert (tmp_path / "environment.properties").read_text() == (
        "alpha = 0.05\n"
        "assertions = 10\n"
        "device = cpu, cuda:0\\\\n\\u00e9\n"
        "on_inconclusive = warn\n"
        "python = 3.11.2\n"
        "verdict = inconclusive\n"
    )
    config = (tmp_path / "allurerc.mjs").read_text()
    for variant in ("fp4", "int8", "nf4"):
        assert f'"{variant}": {{ name: "{variant}", matcher: isVariant("{variant}") }},' in config
    assert 'name: "Model gate: INCONCLUSIVE",' in config
    assert "singleFile: true" in config


def test_environment_ids_are_what_allure_takes() -> None:
    config = allure.config(["q4.k", "q4-k", "a.b"], "pass")
    assert '"q4-k": { name: "q4.k", matcher: isVariant("q4.k") },' in config
    assert '"q4-k-2": { name: "q4-k", matcher: isVariant("q4-k") },' in config
    assert '"a-b": { name: "a.b"' in config


def test_categories() -> None:
    rules = {rule["name"]: rule for rule in json.loads(allure.categories_json())}
    assert list(rules) == [
        "regression",
        "floor",
        "inconclusive",
        "missing baseline",
        "infrastructure",
    ]
    assert rules["regression"] == {
        "name": "regression",
        "matchedStatuses": ["failed"],
        "messageRegex": r"[\s\S]*\bRegressionDetected\b[\s\S]*",
    }
    assert rules["inconclusive"]["matchedStatuses"] == ["failed", "passed"]
    assert rules["infrastructure"] == {"name": "infrastructure", "matchedStatuses": ["broken"]}


def test_names_in_the_categories_are_those_that_are_raised() -> None:
    from pytest_modellab import errors

    named = [error for _, _, error in allure._CATEGORIES if error is not None]
    assert all(issubclass(getattr(errors, name), AssertionError) for name in named)


@pytest.mark.parametrize(
    ("nodeid", "name", "full_name"),
    [
        ("suites/test_q.py::test_a[nf4-x::y]", "test_a[nf4-x::y]", "suites.test_q#test_a"),
        ("test_q.py::TestA::test_b", "test_b", "test_q.TestA#test_b"),
        ("suites/notes.txt", "suites/notes.txt", "suites.notes.txt#suites/notes.txt"),
    ],
)
def test_a_crashed_test_is_broken(nodeid: str, name: str, full_name: str, tmp_path: Path) -> None:
    path = allure.crashed(tmp_path, nodeid, "worker gw1 died", variant="nf4", task_set="t")
    written = json.loads(path.read_text())
    assert path.name == f"{written['uuid']}-result.json"
    assert (written["name"], written["fullName"]) == (name, full_name)
    assert written["status"] == "broken"
    assert written["statusDetails"] == {"message": "worker gw1 died"}
    labels = {label["name"]: label["value"] for label in written["labels"]}
    assert labels["variant"] == labels["feature"] == "nf4"
    assert labels["nodeid"] == nodeid
    assert labels["task_set"] == "t"
    assert "capability" not in labels


def test_with_the_real_listener(tmp_path: Path) -> None:
    if importlib.util.find_spec("allure_pytest") is None:
        pytest.skip("allure-pytest is not installed")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    conftest = Path(__file__).with_name("conftest.py")
    (tmp_path / "test_real.py").write_text(
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('hand', {str(conftest)!r})\n"
        "hand = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(hand)\n"
        "from pytest_modellab.reports import allure\n"
        "def test_it():\n"
        "    comparison = hand.make_comparison('pass', flips=(hand.make_flip(),))\n"
        "    allure.label_test('n', variant='nf4', kind='quantized', task_set='t')\n"
        "    allure.label(comparison)\n"
        "    allure.attach(comparison)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:modellab", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, "--alluredir", "results"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(allure.__file__).parents[2])},
        check=True,
        capture_output=True,
        timeout=120,
    )
    (written,) = [json.loads(p.read_text()) for p in tmp_path.glob("results/*-result.json")]
    assert [(a["name"], a["type"]) for a in written["attachments"]] == [
        ("PASS: arithmetic against own baseline", "text/plain"),
        ("1 flipped sample, 1 worse and 0 better: arithmetic against own baseline", "text/csv"),
    ]
    assert {"name": "verdict", "value": "pass"} in written["labels"]
