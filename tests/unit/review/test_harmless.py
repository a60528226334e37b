"""Pull requests that touch what decides and weaken nothing: the review says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from pull_requests import CONFIG, HEADER_FILE, TESTS, WORKFLOW, change, git, lines, save, write

from pytest_modellab.config import read as configuration
from pytest_modellab.review.review import review

PULLS: dict[str, Callable[[Path], None]] = {}


def harmless(pull: Callable[[Path], None]) -> None:
    """Register a pull request."""
    PULLS[pull.__name__] = pull


@harmless
def a_constant_renamed(root: Path) -> None:
    for path in (root / TESTS, root / "suites/limits.py"):
        path.write_text(path.read_text().replace("COST", "WHAT_IT_MAY_COST"))


@harmless
def a_constant_written_out(root: Path) -> None:
    change(root / TESTS, "margin=COST", "margin=0.1")
    change(root / TESTS, "from limits import COST\n", "")


@harmless
def a_test_moved_and_renamed(root: Path) -> None:
    change(root / TESTS, "def test_drift(candidate, gate):\n    gate.no_drift(candidate)\n", "")
    text = """
        import pytest

        @pytest.mark.task_set("words")
        @pytest.mark.variants("smaller", "small")
        def test_slow_decline(gate, candidate):
            '''Nothing has added up.'''
            gate.no_drift(candidate)
    """
    write(root, {"suites/drift/test_drift.py": dedent(text)})


@harmless
def a_helper_for_several_tests(root: Path) -> None:
    call = 'gate.no_regression(candidate, against="base", margin=COST)'
    change(root / TESTS, call, "cost(gate, candidate, most=COST)")
    helper = f"\n\ndef cost(door, model, *, most):\n    door.{call[5:]}\n"
    helper = helper.replace("candidate", "model").replace("margin=COST", "margin=most")
    with (root / TESTS).open("a") as file:
        file.write(helper)


@harmless
def a_loop(root: Path) -> None:
    call = 'gate.no_regression(candidate, against="base", margin=COST)'
    loop = f"for margin in (COST, 2 * COST):\n        {call.replace('=COST', '=margin')}"
    change(root / TESTS, call, loop)


@harmless
def samples_in_another_order(root: Path) -> None:
    save(root, lines(root)[::-1])


@harmless
def samples_added_in_a_new_version(root: Path) -> None:
    found = lines(root)
    more = [{**found[0], "id": f"new{k}", "input": f"And {k}?"} for k in range(3)]
    save(root, found + more)
    change(root / HEADER_FILE, '"1"', '"2"')


@harmless
def samples_replaced_in_a_new_version(root: Path) -> None:
    save(root, [*lines(root)[2:], {**lines(root)[0], "id": "n", "input": "Which?"}])
    change(root / HEADER_FILE, '"1"', '"2"')


@harmless
def tables_in_another_order_and_comments(root: Path) -> None:
    text = (root / CONFIG).read_text()
    start, end = text.index("[task_sets.words]"), text.index("[variants.plain]")
    moved = f"{text[:start]}{text[end:]}\n# --- what is asked\n{text[start:end]}"
    (root / CONFIG).write_text(moved.replace("margin = 0.02", "margin   =   2e-2  # of all"))


@harmless
def stricter_limits(root: Path) -> None:
    change(root / CONFIG, "\nmargin = 0.02", "\nmargin = 0.01")
    change(root / CONFIG, "floor = 0.30", "floor = 0.40")
    change(root / "suites/limits.py", "0.10", "0.05")
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\nmodellab_on_inconclusive = fail\n")


@harmless
def a_graded_metric_more(root: Path) -> None:
    table = "[task_sets.words.metrics.probability]\nmargin = 0.03\n\n[variants.plain]"
    change(root / CONFIG, "[variants.plain]", table)
    call = "gate.no_drift(candidate)"
    asked = 'gate.no_regression(candidate, metric="probability")'
    change(root / TESTS, call, f"{call}\n    {asked}")


@harmless
def a_workflow_more_and_its_words(root: Path) -> None:
    old = root / WORKFLOW
    text = old.read_text().replace("Gate", "The gate")
    (root / ".github/workflows/all.yml").write_text(text)
    (root / ".github/workflows/pages.yml").write_text("jobs: {}\n# || true\n")
    old.unlink()


def hook(root: Path, text: str) -> None:
    """Put a hook before the pull request."""
    write(root, {"suites/conftest.py": text})
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "a hook")
    git(root, "branch", "-f", "main")


@harmless
def a_hook_written_anew(root: Path) -> None:
    body = "(items):\n    few = [one for one in items if one.name]\n    items[:] = few\n"
    hook(root, f"def pytest_collection_modifyitems{body}")
    typed = body.replace("few", "kept").replace("(items)", "(items: list) -> None")
    text = typed.replace(":\n    kept", ':\n    """Those with a name."""\n    kept', 1)
    (root / "suites/conftest.py").unlink()
    write(root, {"conftest.py": f"def pytest_collection_modifyitems{text}"})


@harmless
def a_marker_declared(root: Path) -> None:
    line = '    config.addinivalue_line("markers", "nightly: at night")\n'
    write(root, {"suites/conftest.py": f"def pytest_configure(config):\n{line}"})
    change(root / "pytest.ini", "--strict-markers", "--strict-markers -p no:cacheprovider -q")


@harmless
def a_metric_beside_right_or_wrong(root: Path) -> None:
    """As this repository's own suites took it up."""
    change(root / TESTS, "pytestmark = [", "pytestmark = [pytest.mark.alpha_weight(10), ")
    change(root / TESTS, "alpha_weight(2)", "alpha_weight(20)")
    names = (
        'SCORE = pytest.param(None, id="score")\n'
        'PROBABILITY = pytest.param("probability", marks=pytest.mark.alpha_weight(1))\n'
        'right = pytest.mark.parametrize("metric", [SCORE, PROBABILITY])\n\n\n'
    )
    test = "def test_overall(candidate, gate):\n    gate.no_regression(candidate)"
    asked = test.replace("(candidate, gate)", "(candidate, metric, gate)")
    asked = asked.replace("(candidate)", "(candidate, metric=metric)")
    change(root / TESTS, test, f"{names}@right\n{asked}")


@harmless
def a_title_for_allure(root: Path) -> None:
    change(root / TESTS, "def test_drift", '@allure.title("Drift")\ndef test_drift')
    change(root / TESTS, "import pytest\n", "import allure\nimport pytest\n")


@harmless
def the_gate_by_its_name(root: Path) -> None:
    call = "def test_drift(candidate, gate):\n    gate.no_drift"
    other = 'def test_drift(candidate, request):\n    request.getfixturevalue("gate").no_drift'
    change(root / TESTS, call, other)


@harmless
def a_variant_more(root: Path) -> None:
    with (root / CONFIG).open("a") as file:
        file.write('\n[variants.smallest]\nkind = "quantized"\nbase = "plain"\nmethod = "rtn"\n')


@harmless
def a_test_more(root: Path) -> None:
    with (root / TESTS).open("a") as file:
        file.write("\n\ndef test_forgetting(candidate, gate):\n    gate.no_forgetting(candidate)\n")


@harmless
def words_and_formatting(root: Path) -> None:
    change(root / TESTS, '"""May a quantized model ship?"""', '"""May it ship?"""  # or not')
    change(
        root / TESTS,
        'gate.no_regression(candidate, against="base", margin=COST)',
        "gate.no_regression(\n        candidate,\n        margin=COST, against='base',\n    )",
    )
    change(root / "README.md", "A gate.", "A gate, margin = 0.9.")


@harmless
def marks_in_a_variable(root: Path) -> None:
    change(root / TESTS, '@pytest.mark.variants("plain", "small", "smaller")', "@every")
    every = 'every = pytest.mark.variants(*("plain", "small"), "smaller")\n\n\nclass TestFloors'
    change(root / TESTS, "class TestFloors", every)


@harmless
def a_unit_test_and_its_fixtures(root: Path) -> None:
    text = "import pytest\n\n@pytest.mark.skip\ndef test_it(tmp_path):\n    assert tmp_path\n"
    fixture = "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef seed():\n    return 1\n"
    write(root, {"tests/test_it.py": text, "suites/conftest.py": fixture})


@harmless
def another_prompt(root: Path) -> None:
    write(root, {"suites/prompts/plain.jinja": "{{ input }}"})
    change(root / CONFIG, 'kind = "prompted"', 'kind = "prompted"\nprompt = "prompts/plain.jinja"')


@harmless
def the_options_in_pyproject(root: Path) -> None:
    options = '[tool.pytest.ini_options]\naddopts = ["--strict-markers"]\npythonpath = ["suites"]\n'
    write(root, {"pyproject.toml": options})
    (root / "pytest.ini").unlink()


@harmless
def the_suites_under_another_name(root: Path) -> None:
    git(root, "mv", "suites", "gates")


@harmless
def a_helper_that_hands_on_what_it_is_given(root: Path) -> None:
    helper = "def ask(gate, candidate, **more):\n    gate.no_regression(candidate, **more)\n"
    write(root, {"suites/asking.py": helper})
    change(root / TESTS, "from limits", "from asking import ask\nfrom limits")
    call = 'gate.no_regression(candidate, against="base", margin=COST)'
    change(root / TESTS, call, 'ask(gate, candidate, against="base", margin=COST)')


@harmless
def a_file_that_a_workflow_names_renamed(root: Path) -> None:
    change(root / WORKFLOW, "pytest suites", "pytest suites/test_small.py")
    git(root, "commit", "-q", "-a", "-m", "by name")
    git(root, "branch", "-f", "main")
    git(root, "mv", TESTS, "suites/test_quantized.py")
    change(root / WORKFLOW, "test_small.py", "test_quantized.py")


@harmless
def the_suites_written_in_another_way(root: Path) -> None:
    change(root / WORKFLOW, "pytest suites", "pytest --junitxml suites/out.xml ./suites/")


@harmless
def a_file_that_a_command_names_becomes_a_test(root: Path) -> None:
    text = "import pytest\n\n\ndef test_far(candidate, gate):\n    gate.no_drift(candidate)\n"
    write(root, {"suites/nightly.py": text})
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "nightly")
    git(root, "branch", "-f", "main")
    git(root, "mv", "suites/nightly.py", "suites/test_nightly.py")
    write(root, {"suites/old.py": "print 'a gate of another Python'\ndef test(gate): pass\n"})


@pytest.mark.parametrize("name", PULLS)
def test_not_told(name: str, project: Path) -> None:
    PULLS[name](project)
    (config,) = project.glob("*/modellab.toml")
    found = review(configuration.load(config))
    assert [one.key for one in found.weaker] == []
