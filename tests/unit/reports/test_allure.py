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

from pytest_modellab.reports import allure_report
from pytest_modellab.reports.allure_report.markdown import adapted

Make = Callable[..., Any]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands for the allure package and keeps what it is told."""
    told = SimpleNamespace(labels=[], attachments=[], descriptions=[])
    dynamic = SimpleNamespace(
        label=lambda name, value: told.labels.append((name, value)),
        feature=lambda value: told.labels.append(("feature", value)),
        story=lambda value: told.labels.append(("story", value)),
        description=told.descriptions.append,
        severity=lambda value: told.labels.append(("severity", value)),
    )
    package = SimpleNamespace(
        dynamic=dynamic,
        severity_level=SimpleNamespace(CRITICAL="critical", NORMAL="normal"),
        attachment_type=SimpleNamespace(CSV="csv"),
        attach=lambda body, name, attachment_type: told.attachments.append(
            (name, attachment_type, body)
        ),
    )
    monkeypatch.setitem(sys.modules, "allure", package)
    return told


def test_the_module_imports_without_allure() -> None:
    code = (
        "import sys; sys.modules['allure'] = sys.modules['allure_commons'] = None\n"
        "import pytest_modellab.reports.allure_report"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_labels_of_a_capability(fake: SimpleNamespace, comparison: Make) -> None:
    allure_report.label(comparison("pass"))
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
    allure_report.label(comparison("pass", capability=None))
    assert ("severity", "critical") in fake.labels
    assert ("story", "all samples") in fake.labels
    assert "capability" not in dict(fake.labels)


def test_all_flipped_samples_of_a_block_are_one_attachment(
    fake: SimpleNamespace, comparison: Make, flip: Make
) -> None:
    flips = (
        flip(before_output='say "a, b"\nand\x1b[0m <b>'),
        flip(id="a-2", after=None, after_output=" "),
        *(flip(id=f"s{i}", after_output="x" * 500) for i in range(40)),
    )
    allure_report.attach(comparison("block", flips=flips))
    ((name, kind, samples),) = fake.attachments
    assert (name, kind) == (
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


@pytest.mark.parametrize("verdict", ["pass", "inconclusive"])
def test_only_a_block_is_worth_a_file(
    fake: SimpleNamespace, comparison: Make, flip: Make, verdict: str
) -> None:
    allure_report.attach(comparison(verdict, flips=(flip(),)))
    allure_report.attach(comparison("block"))
    assert fake.attachments == []


class Item:
    """As much of a pytest item as a description takes."""

    def __init__(self, doc: str | None = None, mark: str | None = None) -> None:
        self.function = lambda: None
        self.function.__doc__ = doc
        self._mark = None if mark is None else SimpleNamespace(args=(mark,))

    def get_closest_marker(self, name: str) -> SimpleNamespace | None:
        assert name == "allure_description"
        return self._mark


def described(fake: SimpleNamespace, item: Any, *comparisons: Any) -> str:
    allure_report.describe(item, comparisons)
    return str(fake.descriptions[-1])


def test_the_table_is_the_description(fake: SimpleNamespace, comparison: Make, flip: Make) -> None:
    judged = comparison("block", flips=(flip(),))
    text = described(fake, Item("What the test is for.\n\n    Indented."), judged)
    assert text.startswith("blocked: arithmetic fell from 0.62 to 0.41 (n = 66);")
    row = "| arithmetic | 66 | 0.620 | 0.410 | +0.210 | ≥ +0.090 | 0.0020 | block |"
    assert row.replace(" | ", "&emsp; | ") in text
    assert "1 flipped sample, 1 worse and 0 better." in text
    assert "The answer is 12" not in text  # the error has it
    assert text.endswith("What the test is for.\n\nIndented.")


def test_what_is_undecided_shows_its_first_samples_without_tags(
    fake: SimpleNamespace, comparison: Make, flip: Make
) -> None:
    flips = tuple(flip(id=f"s{i}", after_output="<b>") for i in range(12))
    text = described(fake, Item(), comparison("inconclusive", flips=flips))
    assert "12 flipped samples, 12 worse and 0 better, the first 10:" in text
    assert "| s9&emsp; | 1 -> 0&emsp; | The answer is 12.&emsp; | &#60;b> |" in text
    assert "s10" not in text
    assert "<" not in text
    assert "| s0&emsp;" not in described(fake, Item(), comparison("pass", flips=flips))


def test_two_verdicts_of_a_test_stand_below_each_other(
    fake: SimpleNamespace, comparison: Make
) -> None:
    judged = [comparison("pass"), comparison("pass", capability="reading")]
    text = described(fake, Item("Doc.", mark="Marked."), *judged)
    assert 0 < text.index("arithmetic: PASS") < text.index("reading: PASS")
    assert text.endswith("Marked.")


@pytest.mark.parametrize(
    ("tagged", "plain"),
    [
        ("x <code>a &#60;sub></code> | <code>b</code>", "x a &#60;sub> | b"),
        (
            "| <code>a</code> | *empty* | c |\n|---|---: | --- |",
            "| a&emsp; | *empty*&emsp; | c |\n|---|---: | --- |",
        ),
        ("<details>\n<summary>2 x</summary>\n\n- a\n\n</details>\n", "\n**2 x**\n\n- a\n\n\n"),
        ("<sub>note: a</sub>\n<sub>b</sub>", "note: a\nb"),
    ],
)
def test_tags_go_and_cells_are_apart(tagged: str, plain: str) -> None:
    assert adapted(tagged) == plain


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
        "from pytest_modellab.reports import allure_report\n"
        "def test_it(request):\n"
        "    comparison = hand.make_comparison('block', flips=(hand.make_flip(),))\n"
        "    allure_report.label_test('n', variant='nf4', kind='quantized', task_set='t')\n"
        "    allure_report.label(comparison)\n"
        "    allure_report.describe(request.node, [comparison])\n"
        "    allure_report.attach(comparison)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:modellab", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, "--alluredir", "results"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(allure_report.__file__).parents[3])},
        check=True,
        capture_output=True,
        timeout=120,
    )
    (written,) = [json.loads(p.read_text()) for p in tmp_path.glob("results/*-result.json")]
    assert [(a["name"], a["type"]) for a in written["attachments"]] == [
        ("1 flipped sample, 1 worse and 0 better: arithmetic against own baseline", "text/csv"),
    ]
    assert {"name": "verdict", "value": "block"} in written["labels"]
    assert written["description"].startswith("blocked: arithmetic fell")
