"""Pull requests that weaken the gate, each in another way: every one is found by its rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from pull_requests import CONFIG, TESTS, WORKFLOW, change, git, lines, save, write

from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Despite, Fall
from pytest_modellab.review.review import Review

PULLS: dict[str, tuple[str, Callable[[Path], None]]] = {}


def weakens(found: str) -> Callable[[Callable[[Path], None]], None]:
    """Register a pull request, and what the review says of it."""

    def register(pull: Callable[[Path], None]) -> None:
        PULLS[pull.__name__] = found, pull

    return register


@weakens("task_sets.words.margin 0.02 -> 0.05")
def a_wider_margin(root: Path) -> None:
    change(root / CONFIG, "\nmargin = 0.02", "\nmargin = 0.05")


@weakens("task_sets.words.capability_margin 0.05 -> 0.2")
def a_wider_margin_of_capabilities(root: Path) -> None:
    change(root / CONFIG, "capability_margin = 0.05", "capability_margin = 0.20")


@weakens("task_sets.words.floor 0.3 -> none")
def a_floor_taken_out(root: Path) -> None:
    change(root / CONFIG, "floor = 0.30\n", "")


def graded(root: Path, margin: float) -> None:
    table = f"[task_sets.words.metrics.probability]\nmargin = {margin}\n\n[variants.plain]"
    change(root / CONFIG, "[variants.plain]", table)
    call = "gate.no_drift(candidate)"
    asked = "gate.no_regression(candidate, metric=PROBABILITY)"
    change(root / TESTS, call, f"{call}\n    {asked}")
    imported = "import pytest\n\nfrom pytest_modellab.records.graded import PROBABILITY\n"
    change(root / TESTS, "import pytest\n", imported)


@weakens("task_sets.words.metrics.probability.margin 0.01 -> 0.03")
def a_wider_margin_of_a_metric(root: Path) -> None:
    graded(root, 0.01)
    git(root, "commit", "-q", "-a", "-m", "graded")
    git(root, "branch", "-f", "main")
    change(root / CONFIG, "margin = 0.01", "margin = 0.03")


@weakens("margin of small, smaller on words 0.01 -> 0.02")
def a_metric_without_a_margin_of_its_own(root: Path) -> None:
    graded(root, 0.01)
    git(root, "commit", "-q", "-a", "-m", "graded")
    git(root, "branch", "-f", "main")
    change(root / CONFIG, "[task_sets.words.metrics.probability]\nmargin = 0.01\n", "")


@weakens("variants.small.targets spelling -> meaning, spelling")
def a_target_more(root: Path) -> None:
    change(root / CONFIG, 'targets = ["spelling"]', 'targets = ["spelling", "meaning"]')


@weakens("variants.smaller.slow false -> true")
def a_variant_called_slow(root: Path) -> None:
    change(root / CONFIG, "[variants.smaller]", "[variants.smaller]\nslow = true")


@weakens("variants.smaller declared -> not declared")
def a_variant_taken_out(root: Path) -> None:
    with_smaller = '[variants.smaller]\nkind = "quantized"\nbase = "plain"\nmethod = "rtn"\n'
    change(root / CONFIG, with_smaller, "")
    change(root / TESTS, '"plain", "small", "smaller"', '"plain", "small"')
    (root / "baselines/words/smaller.json").unlink()


@weakens("scenarios.shop.limits.churn 0.02 -> 0.2")
def a_limit_of_a_scenario(root: Path) -> None:
    change(root / CONFIG, "churn = 0.02", "churn = 0.2")


@weakens("scenarios.shop.weights.cost 0.5 -> 0.8")
def the_weights_of_a_scenario(root: Path) -> None:
    change(root / CONFIG, "cost = 1 }", "cost = 4 }")


@weakens("performance.rounds 5 -> 2")
def fewer_rounds(root: Path) -> None:
    with (root / CONFIG).open("a") as file:
        file.write("\n[performance]\nrounds = 2\n")


@weakens("margin of small, smaller on words 0.1 -> 0.4")
def a_constant_of_another_module(root: Path) -> None:
    change(root / "suites/limits.py", "0.10", "0.40")


@weakens("margin of small, smaller on words 0.1 -> 0.3")
def a_margin_that_a_function_returns(root: Path) -> None:
    change(root / TESTS, "margin=COST)", "margin=cost())")
    with (root / TESTS).open("a") as file:
        file.write("\n\ndef cost():\n    return 3 * COST\n")


@weakens("margin of small, smaller on words 0.1 -> float(os.environ['COST'])")
def a_margin_that_only_a_run_tells(root: Path) -> None:
    change(root / TESTS, "margin=COST)", 'margin=float(os.environ["COST"]))')
    change(root / TESTS, "import pytest\n", "import os\n\nimport pytest\n")


@weakens("margin of small, smaller on words 0.02 -> 0.9")
def a_margin_of_its_own(root: Path) -> None:
    change(
        root / TESTS,
        "gate.no_regression(candidate)\n",
        "gate.no_regression(candidate, margin=0.9)\n",
    )


@weakens("margin of smaller on words 0.1 -> 0.5")
def a_margin_for_one_variant(root: Path) -> None:
    call = 'gate.no_regression(candidate, against="base", margin=COST)'
    more = f'margin = 0.5 if candidate.name == "smaller" else COST\n    {call}'
    change(root / TESTS, call, more.replace("margin=COST", "margin=margin"))


@weakens("test_drift: no_drift of small, smaller on words asked -> not asked")
def a_test_taken_out(root: Path) -> None:
    change(root / TESTS, "def test_drift(candidate, gate):\n    gate.no_drift(candidate)\n", "")


@weakens("no_drift of small, smaller on words asked -> not asked")
def a_test_that_is_no_test_any_more(root: Path) -> None:
    change(root / TESTS, "def test_drift", "def check_drift")


@weakens("no_drift of small, smaller on words asked -> not asked")
def a_call_commented_out(root: Path) -> None:
    change(root / TESTS, "    gate.no_drift(candidate)", "    # gate.no_drift(candidate)\n    pass")


@weakens("no_drift of small, smaller on words asked -> skipped")
def a_skip(root: Path) -> None:
    change(root / TESTS, "def test_drift", '@pytest.mark.skip(reason="flaky")\ndef test_drift')


@weakens("no_regression(capability=each capability) of small, smaller on words asked -> skipped")
def a_skip_of_a_module(root: Path) -> None:
    change(root / TESTS, "pytestmark = [", "pytestmark = [pytest.mark.skip, ")


@weakens("no_drift asked of small, smaller on words always -> xfail")
def an_xfail(root: Path) -> None:
    change(root / TESTS, "def test_drift", "@pytest.mark.xfail\ndef test_drift")


@weakens("no_drift asked of small, smaller on words always -> skipif 'win32' in platform")
def a_condition(root: Path) -> None:
    mark = "@pytest.mark.skipif(\"'win32' in platform\", reason='there')\n"
    change(root / TESTS, "def test_drift", f"{mark}def test_drift")


@weakens("no_drift asked of small, smaller on words always -> mark slow")
def a_test_called_slow(root: Path) -> None:
    change(root / TESTS, "def test_drift", "@pytest.mark.slow\ndef test_drift")


@weakens("no_drift of smaller on words asked -> not asked")
def a_variant_sent_home(root: Path) -> None:
    leave = '    if candidate.name == "smaller":\n        pytest.skip("known")\n'
    change(root / TESTS, "    gate.no_drift", f"{leave}    gate.no_drift")


@weakens("no_drift asked of small, smaller on words always -> unless os.environ.get('FAST')")
def a_way_out(root: Path) -> None:
    leave = '    if os.environ.get("FAST"):\n        return\n'
    change(root / TESTS, "    gate.no_drift", f"{leave}    gate.no_drift")
    change(root / TESTS, "import pytest\n", "import os\n\nimport pytest\n")


@weakens("no_drift asked of small, smaller on words always -> in try, except AssertionError")
def a_block_caught(root: Path) -> None:
    call = "gate.no_drift(candidate)"
    caught = f"try:\n        {call}\n    except AssertionError:\n        pass"
    change(root / TESTS, call, caught)


@weakens("no_regression(against=plain) of smaller on words asked -> not asked")
def fewer_variants(root: Path) -> None:
    mark = '@pytest.mark.variants("small")\n@pytest.mark.alpha_weight(2)'
    change(root / TESTS, "@pytest.mark.alpha_weight(2)", mark)


@weakens("alpha_weight of suites/test_small.py::test_cost 2 -> 0.001")
def a_small_share_of_alpha(root: Path) -> None:
    change(root / TESTS, "alpha_weight(2)", "alpha_weight(0.001)")


@weakens("suites/test_small.py::test_overall 0.846 -> 0.00548")
def a_share_that_starves_the_others(root: Path) -> None:
    change(root / TESTS, "alpha_weight(2)", "alpha_weight(1000)")


@weakens("task_sets.words.samples 8 -> 6, 2 removed (s1, s6)")
def samples_taken_out(root: Path) -> None:
    save(root, [one for one in lines(root) if one["id"] not in ("s1", "s6")])


@weakens("task_sets.words.samples 8 -> 8, 1 changed (s3)")
def a_sample_made_easier(root: Path) -> None:
    found = lines(root)
    found[3]["input"] += " It is the first."
    save(root, found)


@weakens("task_sets.words.samples 8 -> 10, 2 doubled (again0, again1)")
def samples_doubled(root: Path) -> None:
    found = lines(root)
    save(root, found + [{**found[0], "id": f"again{k}"} for k in range(2)])


@weakens("task_sets.words declared -> not declared")
def a_task_set_taken_out(root: Path) -> None:
    text = (root / CONFIG).read_text()
    start, end = text.index("[task_sets.words]"), text.index("[variants.plain]")
    other = '[task_sets.other]\npath = "tasks/words"\n\n'
    (root / CONFIG).write_text(text[:start] + other + text[end:])
    change(root / TESTS, 'SET = "words"', 'SET = "other"')


@weakens(
    "baselines.words.more.accepted_despite none -> worse than its base plain beyond chance: all "
    "samples 0.75 -> 0.25"
)
def a_bad_first_baseline(root: Path) -> None:
    added = '\n[variants.more]\nkind = "quantized"\nbase = "plain"\nmethod = "rtn"\n'
    (root / CONFIG).write_text((root / CONFIG).read_text() + added)
    known = file.read(root / "baselines/words/small.json")
    assert known is not None
    named = dataclasses.replace(known.run, variant={**known.run.variant, "name": "more"})
    despite = Despite("plain", (Fall("all", 0.75, 0.25),))
    bad = dataclasses.replace(known, run=named, despite=despite)
    file.write(root / "baselines/words/more.json", bad)


@weakens("baselines.words.small accepted -> removed")
def a_baseline_taken_out(root: Path) -> None:
    (root / "baselines/words/small.json").unlink()


@weakens("ini modellab_compare_to none -> old")
def another_commit_in_the_ini_file(root: Path) -> None:
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\nmodellab_compare_to = old\n")


@weakens("ini modellab_margin none -> 0.5")
def a_margin_in_the_ini_file(root: Path) -> None:
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\nmodellab_margin = 0.5\n")


@weakens("ini modellab_limit none -> 50")
def a_limit_in_the_ini_file(root: Path) -> None:
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\nmodellab_limit = 50\n")


@weakens("task_sets.words.limit none -> 4")
def a_limit(root: Path) -> None:
    change(root / CONFIG, "\nmargin = 0.02", "\nlimit = 4\nmargin = 0.02")


@weakens("ini modellab_alpha 0.05 -> 0.001")
def an_alpha_in_addopts(root: Path) -> None:
    change(root / "pytest.ini", "--strict-markers", "--strict-markers --modellab-alpha=0.001")


@weakens("ini modellab_update false -> true")
def an_update_in_the_ini_file(root: Path) -> None:
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\nmodellab_update = true\n")


@weakens("ini modellab_on_inconclusive warn -> pass")
def inconclusive_passes(root: Path) -> None:
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\nmodellab_on_inconclusive = pass\n")


@weakens("ini addopts --deselect suites/test_small.py::test_drift not given -> given")
def a_test_deselected(root: Path) -> None:
    more = "--strict-markers --deselect suites/test_small.py::test_drift"
    change(root / "pytest.ini", "--strict-markers", more)


@weakens("no_drift of small, smaller on words asked -> not asked")
def files_that_are_not_collected(root: Path) -> None:
    change(root / "pytest.ini", "[pytest]\n", "[pytest]\npython_files = check_*.py\n")


@weakens("conftest pytest_collection_modifyitems none -> ")
def a_conftest_that_deselects(root: Path) -> None:
    hook = "def pytest_collection_modifyitems(items):\n    items[:] = items[:1]\n"
    write(root, {"suites/conftest.py": hook})


@weakens("no_drift asked of small, smaller on words always -> fixture that may end or change it")
def a_fixture_that_skips(root: Path) -> None:
    fixture = "import pytest\n\n\n@pytest.fixture(autouse=True)\ndef fast():\n    pytest.skip()\n"
    write(root, {"suites/conftest.py": fixture})


@weakens("no_drift asked of small, smaller on words always -> with a fixture gate of its own")
def another_gate(root: Path) -> None:
    fixture = "import pytest\n\n\n@pytest.fixture\ndef gate(gate):\n    return Lenient(gate)\n"
    write(root, {"suites/conftest.py": fixture})


@weakens("no_drift asked of small, smaller on words always -> decorated <")
def a_decorator(root: Path) -> None:
    calm = "def calm(test):\n    return lambda candidate, gate: None\n\n\n@calm\ndef test_drift"
    change(root / TESTS, "def test_drift", calm)


@weakens("no_regression(against=plain) of small, smaller on words asked -> not asked")
def an_argument_with_a_default(root: Path) -> None:
    change(
        root / TESTS, "def test_cost(candidate, gate)", "def test_cost(candidate, gate, do=False)"
    )
    call = 'gate.no_regression(candidate, against="base", margin=COST)'
    change(root / TESTS, call, f"if do:\n        {call}")


@weakens("no_drift of small, smaller on words asked -> not asked")
def a_module_that_leaves(root: Path) -> None:
    leave = 'pytest.skip("later", allow_module_level=True)\n\nSET ='
    change(root / TESTS, "SET =", leave)


@weakens("no_drift asked of small, smaller on words always -> unless os.environ.get('GATE')")
def a_module_that_may_leave(root: Path) -> None:
    leave = (
        'import os\n\nif os.environ.get("GATE"):\n    pytest.skip(allow_module_level=True)\n\nSET ='
    )
    change(root / TESTS, "SET =", leave)


@weakens("no_drift of small, smaller on words asked -> not asked")
def a_folder_that_is_not_looked_into(root: Path) -> None:
    (root / "suites/build").mkdir()
    (root / TESTS).rename(root / "suites/build/test_small.py")


@weakens("asked of small, smaller on words always -> variants of <")
def variants_that_only_a_run_tells(root: Path) -> None:
    mark = "pytest.mark.variants(*chosen())"
    change(root / TESTS, 'pytest.mark.variants(kind="quantized")', mark)
    chosen = "import os\n\n\ndef chosen():\n    return os.environ['CHOSEN'].split()\n\n\nSET ="
    change(root / TESTS, "SET =", chosen)


@weakens("margin of small, smaller on words 0.1 -> 0.4")
def tests_from_elsewhere(root: Path) -> None:
    (root / "gates").mkdir()
    for name in ("test_small.py", "limits.py"):
        (root / "suites" / name).rename(root / "gates" / name)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "elsewhere")
    git(root, "branch", "-f", "main")
    change(root / "gates/limits.py", "0.10", "0.40")


@weakens("margin of small, smaller on words 0.02 -> 0.5")
def a_fixture_that_asks(root: Path) -> None:
    test = "def test_drift(candidate, gate):\n    gate.no_drift(candidate)"
    asks = (
        "@pytest.fixture\ndef judged(candidate, gate):\n    return gate.no_drift(candidate)\n\n\n"
        "@pytest.fixture\ndef words(judged):\n    return str(judged)\n\n\n"
        "def test_drift(words):\n    assert words"
    )
    change(root / TESTS, test, asks)
    git(root, "commit", "-q", "-a", "-m", "a fixture")
    git(root, "branch", "-f", "main")
    change(root / TESTS, "no_drift(candidate)", "no_drift(candidate, margin=0.5)")


@weakens("no_drift of smaller on words asked -> not asked")
def a_helper_that_skips(root: Path) -> None:
    helper = (
        'def settle(model):\n    if model.name == "smaller":\n        pytest.skip("known")\n\n\n'
    )
    change(
        root / TESTS,
        "def test_drift(candidate, gate):\n",
        f"{helper}def test_drift(candidate, gate):\n    settle(candidate)\n",
    )


@weakens("no_drift asked of small, smaller on words always -> behind <")
def a_helper_that_may_skip(root: Path) -> None:
    helper = "def settle(model):\n    if model.load() > 3:\n        pytest.skip()\n\n\n"
    change(
        root / TESTS,
        "def test_drift(candidate, gate):\n",
        f"{helper}def test_drift(candidate, gate):\n    settle(candidate)\n",
    )


@weakens("ini addopts -p calm not given -> given")
def another_plugin(root: Path) -> None:
    change(root / "pytest.ini", "--strict-markers", "--strict-markers -p calm")


@weakens("command -k not drift not given -> given")
def a_workflow_that_selects(root: Path) -> None:
    change(root / WORKFLOW, "pytest suites", 'pytest suites -k "not drift"')


@weakens("command modellab_margin none -> 0.3")
def a_workflow_with_a_margin(root: Path) -> None:
    change(root / WORKFLOW, "gate.md", "gate.md\n          --modellab-margin 0.3")


@weakens("command modellab_on_inconclusive fail -> warn")
def a_workflow_that_lets_inconclusive_pass(root: Path) -> None:
    change(root / WORKFLOW, "          --modellab-on-inconclusive=fail\n", "")


@weakens('command pytest suites -m "not nightly" --modellab-markdown gate.md')
def a_workflow_taken_out(root: Path) -> None:
    (root / WORKFLOW).unlink()


@weakens("commands continue-on-error: true 0 -> 1")
def a_workflow_that_may_fail(root: Path) -> None:
    change(root / WORKFLOW, "- name: Gate\n", "- name: Gate\n        continue-on-error: true\n")


@weakens("command modellab_margin none -> 0.9")
def a_variable_of_a_workflow(root: Path) -> None:
    variable = 'env:\n  PYTEST_ADDOPTS: "--modellab-margin 0.9"\njobs:'
    change(root / WORKFLOW, "jobs:", variable)


@weakens("changed on import none -> Gate.no_drift = ")
def a_gate_that_is_patched(root: Path) -> None:
    patch = "from pytest_modellab import Gate\n\nGate.no_drift = lambda *_: None\n"
    write(root, {"suites/conftest.py": patch})


@weakens("no_drift asked of small, smaller on words always -> fixture that may end or change it")
def a_fixture_that_patches(root: Path) -> None:
    fixture = (
        "import pytest\nfrom pytest_modellab import Gate\n\n\n@pytest.fixture(autouse=True)\n"
        "def calm(monkeypatch):\n    monkeypatch.setattr(Gate, 'no_drift', print)\n"
    )
    write(root, {"suites/conftest.py": fixture})


@weakens("command modellab_margin 0.02 -> 0.2")
def a_wider_margin_for_scores(root: Path) -> None:
    change(root / WORKFLOW, "--margin 0.02", "--margin 0.2")


@weakens("command modellab gate scores/base.csv scores/new.csv --modellab-margin 0.02 run")
def scores_that_are_not_gated(root: Path) -> None:
    gate = "      - run: modellab gate scores/base.csv scores/new.csv --margin 0.02\n"
    change(root / WORKFLOW, gate, "")


@weakens("command modellab review 1 -> not run")
def the_review_taken_out(root: Path) -> None:
    change(root / WORKFLOW, "      - run: modellab review\n", "")


@weakens("margin of small, smaller on words float(os.environ.get('COST', '0.10')) -> float(")
def a_constant_that_only_a_run_tells(root: Path) -> None:
    text = "import os\n\nCOST = float(os.environ.get('COST', '0.10'))\n"
    write(root, {"suites/limits.py": text})
    git(root, "commit", "-q", "-a", "-m", "from outside")
    git(root, "branch", "-f", "main")
    change(root / "suites/limits.py", "0.10", "0.50")


@weakens("margin of small, smaller on words 0.1 -> 0.4")
def a_constant_among_all_of_a_module(root: Path) -> None:
    change(root / TESTS, "from limits import COST", "from limits import *")
    git(root, "commit", "-q", "-a", "-m", "all of it")
    git(root, "branch", "-f", "main")
    change(root / "suites/limits.py", "0.10", "0.40")


@weakens("margin of small, smaller on words 0.1 -> 0.9")
def a_package_before_a_module(root: Path) -> None:
    write(root, {"suites/limits/__init__.py": "COST = 0.9\n"})


NIGHTLY = """
import pytest

@pytest.mark.task_set("words")
@pytest.mark.variants("small")
def test_far(candidate, gate):
    gate.fidelity(candidate, kl=0.25)
"""


def nightly(root: Path) -> None:
    """Put a file before the pull request that is run where a command names it."""
    write(root, {"suites/nightly.py": NIGHTLY})
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "nightly")
    git(root, "branch", "-f", "main")


@weakens("suites/nightly.py::test_far: kl of small on words 0.25 -> 5")
def a_limit_in_a_file_that_a_command_names(root: Path) -> None:
    nightly(root)
    change(root / "suites/nightly.py", "0.25", "5.0")


@weakens("test_overall: no_regression of small, smaller on words asked -> not asked")
def tests_in_a_file_that_is_not_collected(root: Path) -> None:
    git(root, "mv", TESTS, "suites/small.py")


@weakens("command pytest of the suites all -> test_small.py::test_drift")
def a_workflow_that_runs_less(root: Path) -> None:
    change(root / WORKFLOW, "pytest suites", "pytest suites/test_small.py::test_drift")


@weakens("commands || true 0 -> 1")
def a_workflow_that_shrugs(root: Path) -> None:
    change(root / WORKFLOW, "conclusive=fail\n", "conclusive=fail || echo 'look at it'\n")


@weakens("test_drift: kl of small, smaller on words 0.05 -> 5")
def a_limit_in_the_place_of_the_declared_one(root: Path) -> None:
    change(root / CONFIG, "floor = 0.30", "floor = 0.30\nkl = 0.05")
    call = "gate.no_drift(candidate)"
    change(root / TESTS, call, f"{call}\n    gate.fidelity(candidate)")
    git(root, "commit", "-q", "-a", "-m", "fidelity")
    git(root, "branch", "-f", "main")
    change(root / TESTS, "gate.fidelity(candidate)", "gate.fidelity(candidate, kl=5.0)")


@pytest.mark.parametrize("name", PULLS)
def test_found(name: str, project: Path, reviewed: Callable[..., Review]) -> None:
    expected, pull = PULLS[name]
    pull(project)
    found = [one.key for one in reviewed().weaker]
    assert any(expected in key for key in found), found
