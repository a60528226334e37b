"""What docs/extending.md shows, run as it stands there; and what is said where it goes wrong."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli
from pytest_modellab.baselines import file as baseline_file
from pytest_modellab.cli.common import discover
from pytest_modellab.config import read
from pytest_modellab.lab import registry
from pytest_modellab.plugin import hookspecs
from pytest_modellab.recipes import provenance
from pytest_modellab.records import diagnosed
from pytest_modellab.reports import json_file

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TITLE = "## An assertion of your own"
ASSERTION = TITLE + PAGE.partition(TITLE)[2].partition("\n## ")[0]
PROBE_TITLE = "## A probe of your own"
PROBE = PROBE_TITLE + PAGE.partition(PROBE_TITLE)[2].partition("\n## ")[0]
DRAWN_TITLE = "## A generator of your own"
DRAWN = DRAWN_TITLE + PAGE.partition(DRAWN_TITLE)[2].partition("\n## ")[0]
FILES = dict(BLOCK.findall(PAGE.replace(ASSERTION, "").replace(PROBE, "").replace(DRAWN, "")))
OWN = dict(BLOCK.findall(ASSERTION))
PROBES = dict(BLOCK.findall(PROBE))["conftest.py"]
GENERATED = dict(BLOCK.findall(DRAWN))
PYPROJECT, PACKAGE = FILES.pop("pyproject.toml"), FILES.pop("modellab_constant.py")
ALWAYS_PARIS = PAGE.partition("somebody's `modellab.toml`:\n\n```toml\n")[2].partition("```")[0]
DOCSTRINGS = [
    inspect.cleandoc(inspect.getdoc(hook).partition("Example:\n")[2])  # type: ignore[union-attr]
    for name, hook in sorted(vars(hookspecs).items())
    if name in registry.HOOKS
]


@pytest.fixture(autouse=True)
def same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command leaves the project's folder on the path, as pytest does; here it goes again."""
    monkeypatch.setattr(sys, "path", sys.path[:])


@pytest.fixture
def sketch(
    write_project: Callable[[], pytest.Pytester], monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """The page's files without a model, for what is said before one is loaded."""
    pytester = write_project()
    (pytester.path / "test_suite.py").unlink()
    for name, text in FILES.items():
        path = pytester.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(pytester.path)
    return pytester


@pytest.fixture(scope="session")
def datasets() -> None:
    """What a build imports where it is there, before pytester, which would forget it: pyarrow does
    not let it be imported a second time."""
    with contextlib.suppress(ImportError):
        import datasets  # noqa: F401


@pytest.fixture
def page(project: pytest.Pytester, sketch: pytest.Pytester) -> pytest.Pytester:
    """The page's files with the random model."""
    assert sketch is project
    replace(project, "capitals_v1/samples.jsonl", '"target": "Lima"', '"target": ""')  # in any text
    return project


def replace(project: pytest.Pytester, name: str, old: str, new: str) -> None:
    text = (project.path / name).read_text(encoding="utf-8")
    assert old in text
    (project.path / name).write_text(text.replace(old, new), encoding="utf-8")


def scores(project: pytest.Pytester, variant: str) -> list[float | None]:
    found = baseline_file.read(project.path / "baselines" / "capitals_v1" / f"{variant}.json")
    assert found is not None
    return [sample.score for sample in found.run.samples]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert cli.main(arguments) == 2
    return capsys.readouterr().err


# --- the page --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "conftest",
    [
        "\n\n".join([FILES["conftest.py"], OWN["conftest.py"], PROBES, GENERATED["conftest.py"]]),
        "\n\n".join(DOCSTRINGS),
    ],
)
def test_the_page_and_the_docstrings_do_what_they_say(
    datasets: None, page: pytest.Pytester, capsys: pytest.CaptureFixture[str], conftest: str
) -> None:
    assert all(f"def {name}()" in conftest for name in registry.HOOKS)
    (page.path / "conftest.py").write_text(conftest, encoding="utf-8")
    assert cli.main(["build", "tuned"]) == 0
    assert "tuned: norms on plain, 2 rows of train.jsonl, 2 steps -> tuned" in (
        capsys.readouterr().out
    )
    made = provenance.read(page.path / "tuned")
    assert made is not None
    assert (made.method, made.steps, made.settings["learning_rate"]) == ("norms", 2, 1e-3)
    assert cli.main(["tasks", "check"]) == 0
    assert cli.main(["accept", "plain", "half", "tuned"]) == 0
    assert scores(page, "half") == [0.0, 1.0, 0.0]
    result = page.runpytest_inprocess("--strict-markers")
    assert_outcomes(result, inconclusive=4)
    result.stdout.fnmatch_lines(["[[]Pruned] half *", "alpha 0.05 shared by 4 assertions: *"])
    result = page.runpytest_inprocess("--strict-markers", "-m", "pruned", "--modellab-no-cache")
    assert_outcomes(result, inconclusive=2, deselected=2)
    result.stdout.no_fnmatch_line("*plain on *")
    cli.main(["diagnose", "half", "--json", "half.json"])
    found = diagnosed.from_json((page.path / "half.json").read_text(encoding="utf-8"))
    detail = "its weights are 0.00 times as long"
    seen = [one.site for one in found.findings if one.detail == detail]
    assert seen[:2] == ["layer.0.input_norm", "layer.1.input_norm"]
    drawn = [one.sentence for one in found.pictures if one.name == "norms"]
    assert drawn == (["2 of 2 norms have another length"] if PROBES in conftest else [])


def test_the_generator_of_the_page_draws(
    sketch: pytest.Pytester, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL")
    monkeypatch.setenv("MODELLAB_CACHE", str(sketch.path / "store"))
    for name, text in GENERATED.items():
        (sketch.path / name).parent.mkdir(exist_ok=True)
        (sketch.path / name).write_text(text, encoding="utf-8")
    (sketch.path / "modellab.toml").write_text('[task_sets.dots_v1]\npath = "dots_v1"\n')
    assert cli.main(["tasks", "check"]) == 0
    shown = capsys.readouterr().out
    assert "dots_v1: 2 images (0.0 million pixels, 2 png), 0.0 MB" in shown
    assert "dots_v1: warning: unpinned-media: d1, d2: made by a generator" in shown
    kept = sorted((sketch.path / "store" / "generated").rglob("*.png"))
    assert len(kept) == 2
    replace(sketch, "dots_v1/samples.jsonl", '"seed": 7', f'"seed": 7, "sha256": "{"0" * 64}"')
    assert (
        "samples.jsonl:1: sample 'd1': image: generator 'dots' version 1, seed 7: made a file with "
        "sha256 "
    ) in refused(capsys, "tasks", "check")
    replace(sketch, "dots_v1/samples.jsonl", f', "sha256": "{"0" * 64}"', "")
    replace(sketch, "conftest.py", "rng = random", "rng = rnadom")
    replace(sketch, "conftest.py", "version=1", "version=2")
    assert (
        "image: generator 'dots' version 2, seed 7: NameError: name 'rnadom' is not defined"
    ) in refused(capsys, "tasks", "check")


PICKLED = """
import pickle

from pytest_modellab.lab.jobs import job_of


def test_pickled(candidate, lab, task_set):
    job = job_of(lab.variant(candidate.name), task_set, lab.extensions, reuse=True)
    again = pickle.loads(pickle.dumps(job))
    assert again.fingerprint == job.fingerprint
    assert again.source.open(lab.settings.cache).parameter_bytes() > 0
"""


def test_the_kind_of_the_page_pickles(page: pytest.Pytester) -> None:
    tests = page.path / "test_capitals.py"
    tests.write_text(FILES["test_capitals.py"].partition("@pytest")[0] + PICKLED, encoding="utf-8")
    result = page.runpytest_inprocess("-m", "pruned")
    result.assert_outcomes(passed=1, deselected=2)


@pytest.mark.usefixtures("warmed")
def test_workers_know_what_conftest_adds(page: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    chosen = ("--strict-markers", "-k", "not tuned")
    for workers in ("-n2", "-n0"):
        result = page.runpytest_inprocess(workers, *chosen, "--modellab-update")
        assert_outcomes(result, inconclusive=3)
        result.stdout.fnmatch_lines(["[[]Pruned] half *"])
    assert scores(page, "half") == [0.0, 1.0, 0.0]


def test_collection_with_hooks_imports_nothing_heavy(sketch: pytest.Pytester) -> None:
    with (sketch.path / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(
            "import sys\n"
            "def pytest_unconfigure():\n"
            "    heavy = {'torch', 'transformers', 'trl', 'peft', 'datasets', 'numpy', 'scipy'}\n"
            "    print('heavy:', sorted(heavy & set(sys.modules)))\n"
        )
    result = sketch.runpytest_subprocess("--collect-only", "-s", "-p", "no:allure_pytest")
    result.stdout.fnmatch_lines(["*4 tests collected*", "heavy: [[]]"])


POLITE = """

import dataclasses


def plan_polite(spec, base, model, root):
    template = "{% block user %}Please: {{ input }}{% endblock %}"
    return dataclasses.replace(base, prompt=dataclasses.replace(base.prompt, template=template))


def pytest_modellab_kinds():
    return [Kind("polite", strategy="prompting", marker="polite", plan=plan_polite)]
"""


def test_a_kind_may_adapt_the_prompt(page: pytest.Pytester) -> None:
    (page.path / "conftest.py").write_text(FILES["conftest.py"] + POLITE, encoding="utf-8")
    replace(page, "modellab.toml", 'kind = "pruned"', 'kind = "polite"')
    replace(page, "modellab.toml", "share = 0.5", "# no options")
    replace(page, "test_capitals.py", 'kind="pruned"', 'kind="polite"')
    assert cli.main(["accept", "plain", "half"]) == 0
    result = page.runpytest_inprocess("-k", "test_cost")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["*'half' cannot be compared with *: the prompt is not the one of plain's run*"]
    )
    replace(page, "conftest.py", "plan=plan_polite)", "plan=plan_polite, adapts_prompt=True)")
    result = page.runpytest_inprocess("-k", "test_cost")
    assert_outcomes(result, inconclusive=1, deselected=3)


# --- an assertion ----------------------------------------------------------------------------

REPLIES = """
[variants.short]
kind = "constant"
base = "plain"
reply = "Paris"

[variants.long]
kind = "constant"
base = "short"
reply = "Paris is the capital of France"

[variants.same]
kind = "constant"
base = "short"
reply = "Paris"
"""
LONGER = (
    "long replies at more length: reply length x5.17 of baseline of short, x1.20 is allowed; if "
    "that is wanted, raise limit"
)


@pytest.fixture
def lengths(page: pytest.Pytester) -> pytest.Pytester:
    """The assertion of the page, of twelve replies of a length that is known; nothing else."""
    conftest = (page.path / "conftest.py").read_text(encoding="utf-8")
    counted = PACKAGE.replace(
        "Output(self.reply)", "Output(self.reply, tokens_out=len(self.reply) + number % 3)"
    )
    kind = counted.replace("def pytest_modellab_kinds", "def constant_kinds")
    both = "\n\ndef pytest_modellab_kinds():\n    return [*pruned_kinds(), *constant_kinds()]\n"
    pruned = conftest.replace("def pytest_modellab_kinds", "def pruned_kinds")
    text = "\n\n".join([pruned, kind, both, OWN["conftest.py"]])
    (page.path / "conftest.py").write_text(text, encoding="utf-8")
    with (page.path / "modellab.toml").open("a", encoding="utf-8") as file:
        file.write(REPLIES)
    sample = json.loads(FILES["capitals_v1/samples.jsonl"].splitlines()[0])
    lines = [json.dumps({**sample, "id": f"c{k}", "input": f"Question {k}?"}) for k in range(12)]
    (page.path / "capitals_v1" / "samples.jsonl").write_text("\n".join(lines) + "\n")
    (page.path / "test_capitals.py").unlink()
    (page.path / "test_length.py").write_text(OWN["test_length.py"], encoding="utf-8")
    replace(page, "test_length.py", 'variants(kind="pruned")', 'variants("long", "same")')
    assert cli.main(["accept", "short"]) == 0
    return page


@pytest.mark.usefixtures("warmed")
def test_the_assertion_of_the_page_judges(
    lengths: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xdist")
    pytest.importorskip("allure_pytest")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    reports = []
    for workers in ("-n0", "-n2"):
        outputs = ["--modellab-json=r.json", "--modellab-markdown=r.md", "--junitxml=r.xml"]
        allure = ["--alluredir=allure", "--clean-alluredir"]
        result = lengths.runpytest_inprocess(workers, *outputs, *allure, "--modellab-github=auto")
        result.assert_outcomes(passed=1, failed=1)
        result.stdout.fnmatch_lines(
            [
                "*blocked: reply length is 5.17 times the reference's (12 samples; *",
                "*samples  reference  candidate  ratio *bound *limit *p  verdict",
                "[[]Constant] long *-> BLOCK",
                "  BLOCK reply length against baseline of short: reply length is 5.17 times *",
                "[[]Constant] same *-> PASS",
                "alpha 0.05 shared by 2 assertions: 0.025 each",
                "BLOCK: 1 of 2 comparisons: long (reply length).",
                f"  {LONGER}",
                "::error *title=modellab%3A long against baseline of short*reply length*",
            ]
        )
        reports.append((lengths.path / "r.json").read_text(encoding="utf-8"))
        markdown = (lengths.path / "r.md").read_text(encoding="utf-8")
        assert (
            "| variant | success | worst bucket | reply length | measured | verdict |" in markdown
        )
        assert f"- {LONGER}" in markdown
        junit = (lengths.path / "r.xml").read_text(encoding="utf-8")
        assert '<property name="modellab_assertion" value="no_longer_replies" />' in junit
        found = [
            json.loads(path.read_text(encoding="utf-8"))
            for path in (lengths.path / "allure").glob("*-result.json")
        ]
        labels = [{one["name"]: one["value"] for one in result["labels"]} for result in found]
        judged = {
            one["variant"]: (one["story"], one["verdict"]) for one in labels if "nodeid" in one
        }
        assert judged == {"long": ("reply length", "block"), "same": ("reply length", "pass")}
    data = [json.loads(report) for report in reports]
    assert data[0]["comparisons"] == data[1]["comparisons"], "whoever ran them"
    assert data[0]["measured"]["latency"] == [], "a length does not change from run to run"
    assert [c["words"]["subject"] for c in data[0]["comparisons"]] == ["reply length"] * 2
    assert LONGER in data[0]["next"]
    read_back = json_file.read(lengths.path / "r.json")
    assert json_file.dumps(*read_back) == reports[-1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"no_longer_replies"',
            '"no_longer_reply"',
            "unknown assertion 'no_longer_reply'; did you mean "
            "'no_longer_replies'? Known: no_longer_replies (pytest_modellab_assertions adds one)",
        ),
        (
            '"no_longer_replies"',
            '"no_drift"',
            "'no_drift' is built in: call gate.no_drift(candidate)",
        ),
        (
            'against="base", ',
            "",
            "no_longer_replies compares with another run; name its variant: against=…",
        ),
        (
            "limit=1.2",
            "limit=-1",
            "'same' against baseline of short on 'capitals_v1': limit is -1, *",
        ),
    ],
)
def test_an_assertion_that_is_asked_wrongly(
    lengths: pytest.Pytester, old: str, new: str, message: str
) -> None:
    replace(lengths, "test_length.py", old, new)
    result = lengths.runpytest_inprocess("-k", "same")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines([f"*{message}"])


def test_a_judge_that_answers_nothing(lengths: pytest.Pytester) -> None:
    replace(lengths, "conftest.py", "    return question.comparison(", "    question.comparison(")
    result = lengths.runpytest_inprocess("-k", "same")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(
        ["*'no_longer_replies': its judge returned None; expected question.comparison(…)"]
    )


# --- a package -------------------------------------------------------------------------------


def install(folder: Path, module: str, text: str) -> None:
    """Lay a module into a folder as pip would, named as a pytest plugin."""
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / f"{module}.py").write_text(text, encoding="utf-8")
    header = f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n"
    (metadata / "METADATA").write_text(header, encoding="utf-8")
    (metadata / "entry_points.txt").write_text(f"[pytest11]\n{module} = {module}\n")


@pytest.mark.parametrize("how", ["entry point", "-p"])
def test_the_package_of_the_page_has_an_engine_of_its_own(page: pytest.Pytester, how: str) -> None:
    assert '[project.entry-points.pytest11]\nmodellab_constant = "modellab_constant"' in PYPROJECT
    with (page.path / "modellab.toml").open("a", encoding="utf-8") as file:
        file.write(ALWAYS_PARIS)
    site = page.path / "site"
    page.syspathinsert(site)
    if how == "-p":
        site.mkdir()
        (site / "modellab_constant.py").write_text(PACKAGE, encoding="utf-8")
        named = ["-p", "modellab_constant", "--modellab-update"]
    else:
        install(site, "modellab_constant", PACKAGE)
        named = []
        assert cli.main(["accept", "plain", "always_paris"]) == 0
    result = page.runpytest_inprocess("--strict-markers", "-m", "control", *named)
    assert_outcomes(result, inconclusive=1, deselected=4)
    result.stdout.fnmatch_lines(["[[]Constant] always_paris *success=0.67 *"])
    assert scores(page, "always_paris") == [1.0, 1.0, 0.0]


def test_the_hooks_of_the_page_as_an_installed_package(
    sketch: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(sketch.path / "site", "modellab_pruned", FILES["conftest.py"])
    (sketch.path / "conftest.py").unlink()
    monkeypatch.setenv("PYTHONPATH", str(sketch.path / "site"))
    result = sketch.runpytest_subprocess("--collect-only", "-q", "-m", "pruned")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_cost[[]half]", "*test_overall[[]half]"])


def test_conftest_comes_before_plugin_before_built_in(pytester: pytest.Pytester) -> None:
    def scorers(*versions: tuple[str, int]) -> str:
        return (
            "from pytest_modellab.scorers.exact import Exact\n"
            "def scorer(name, version):\n"
            "    found = Exact()\n"
            "    found.name, found.version = name, version\n"
            "    return found\n"
            f"def pytest_modellab_scorers(): return [scorer(*v) for v in {versions}]\n"
        )

    pytester.makepyfile(own_plugin=scorers(("exact", 20), ("number", 21)))
    pytester.makeconftest(scorers(("exact", 30), ("added", 31)))
    pytester.syspathinsert()
    found = registry.collect(pytester.parseconfig("-p", "own_plugin", str(pytester.path)).hook)
    versions = {name: scorer.version for name, scorer in found.scorers.items()}
    assert (versions["exact"], versions["number"], versions["added"]) == (30, 21, 31)
    assert set(registry.BUILT_IN.scorers) < set(found.scorers)
    assert found.kinds == registry.BUILT_IN.kinds


# --- what the commands know ------------------------------------------------------------------


def test_a_command_asks_pytest_quietly(
    sketch: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    pytestconfig: pytest.Config,
) -> None:
    # a session of pytester's that ends while it is configured leaves pytest.mark without one
    monkeypatch.setattr(pytest.mark, "_config", pytestconfig)
    sketch.makeini(
        "[pytest]\naddopts = --no-such-option -n 2 --pdb\nfilterwarnings = error\n"
        "pythonpath = lib\nmodellab_alpha = 7\n"
    )
    monkeypatch.setenv("PYTEST_ADDOPTS", "--wrong-too -p no:modellab --collect-only")
    (sketch.path / "lib").mkdir()
    (sketch.path / "lib" / "found_by_pythonpath.py").write_text("")
    (sketch.path / "test_broken.py").write_text("raise RuntimeError('was collected')\n")
    with (sketch.path / "conftest.py").open("a", encoding="utf-8") as file:
        file.write("import found_by_pythonpath, warnings\nprint('noise')\nwarnings.warn('noise')\n")
    before = sys.meta_path[:], dict(os.environ)
    with pytest.warns(UserWarning, match="noise"):
        found = discover(read.load(sketch.path / "modellab.toml"))
    assert capfd.readouterr() == ("", "noise\n"), "pytest says nothing, the command has its stdout"
    assert (sys.meta_path, dict(os.environ)) == before
    assert "pruned" in found.kinds
    assert "contains" in found.scorers
    assert "norms" in found.recipes
    with pytest.raises(pytest.fail.Exception, match="no_such_marker"):  # still strict here
        _ = pytest.mark.no_such_marker
    assert not (sketch.path / ".pytest_cache").exists()


def test_a_command_needs_no_plugin_autoload(
    sketch: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert "pruned" in discover(read.load(sketch.path / "modellab.toml")).kinds


def test_a_command_reads_the_conftest_above_and_finds_the_config_from_elsewhere(
    sketch: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    sketch.makeini("[pytest]\n")
    (sketch.path / "suites").mkdir()
    for name in ("modellab.toml", "capitals_v1"):
        (sketch.path / name).rename(sketch.path / "suites" / name)
    assert cli.main(["tasks", "check", "--config", "suites/modellab.toml"]) == 0
    assert "capitals_v1 1 (" in capsys.readouterr().out


def test_a_sample_that_the_added_scorer_refuses(
    sketch: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(sketch, "capitals_v1/samples.jsonl", '"target": "Lima"', '"target": 3')
    assert "samples.jsonl:2: sample 'c2': target: expected a text" in (
        refused(capsys, "tasks", "check")
    )


# --- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "return [Contains()]",
            "return Contains()",
            "pytest_modellab_scorers returned <*.Contains object at *>; expected a list of Scorer "
            "objects",
        ),
        (
            "return [Contains()]",
            "return [Contains]",
            "pytest_modellab_scorers returned <class '*.Contains'> in a list; expected a list of "
            "Scorer objects",
        ),
        (
            "    return [Kind(",
            "    return ['pruned']\n    return [Kind(",
            "pytest_modellab_kinds returned 'pruned' in a list; expected a list of Kind objects",
        ),
        (
            'Kind("pruned"',
            "Kind(None",
            "pytest_modellab_kinds: Kind None: name: expected a text",
        ),
        (
            'marker="pruned"',
            'marker="my marker"',
            "pytest_modellab_kinds: Kind 'pruned': marker: 'my marker' is no name for -m: letters, "
            "digits and '_' only",
        ),
        (
            'Generator("dots", version=1, kind="image"',
            'Generator("dots", version=0, kind="image"',
            "pytest_modellab_generators: Generator 'dots': version: 0: expected a whole number of "
            "at least 1",
        ),
        (
            'kind="image"',
            'kind="picture"',
            "pytest_modellab_generators: Generator 'dots': kind: unknown 'picture'; Known: audio, "
            "image",
        ),
        (
            '"seed": at_least(int, 0, 0), ',
            "",
            "pytest_modellab_recipes: Recipe 'norms': settings: 'seed' is missing; "
            "provenance.json tells it",
        ),
        (
            '"no_longer_replies"',
            '"no_drift"',
            "pytest_modellab_assertions: Assertion 'no_drift': is built in; choose another name",
        ),
        (
            "judge=judge_length",
            "judge=None",
            "pytest_modellab_assertions: Assertion 'no_longer_replies': judge: None is no function "
            "of a Question",
        ),
        (
            'subject="reply length"',
            'subject=""',
            "pytest_modellab_assertions: Assertion 'no_longer_replies': words: subject: expected a "
            "text",
        ),
        (
            "words=Words(",
            "words=dict(",
            "pytest_modellab_assertions: Assertion 'no_longer_replies': words: expected "
            "Words(subject=…, heading=…, advice=…), not {*",
        ),
        (
            "{variant} replies",
            "{candidate} replies",
            "pytest_modellab_assertions: Assertion 'no_longer_replies': words: advice: cannot be "
            "filled in (KeyError: 'candidate'); it may use {variant}, {against}, {what}, "
            "{task_sets} and {margin}",
        ),
        (
            "judge=judge_length",
            "judge=judge_length, blocked=ValueError",
            "pytest_modellab_assertions: Assertion 'no_longer_replies': blocked: <class "
            "'ValueError'> is not derived from RegressionDetected",
        ),
    ],
)
def test_a_hook_that_returns_something_else(
    sketch: pytest.Pytester,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    message: str,
) -> None:
    with (sketch.path / "conftest.py").open("a", encoding="utf-8") as file:
        file.write(OWN["conftest.py"] + GENERATED["conftest.py"])
    replace(sketch, "conftest.py", old, new)
    where = str(sketch.path / "conftest.py")
    result = sketch.runpytest_inprocess("--collect-only")
    assert result.ret != 0
    pattern = f"*{where}: {message}".replace("[", "[[]")
    result.stdout.fnmatch_lines([pattern])
    error = refused(capsys, "accept", "half")
    assert error.startswith(f"modellab: {where}: ")
    pytest.LineMatcher(error.splitlines()).fnmatch_lines([pattern])


def test_a_conftest_that_fails_to_import(
    sketch: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    (sketch.path / "conftest.py").write_text("import no_such_module\n")
    error = refused(capsys, "accept", "half")
    assert f"ImportError while loading conftest '{sketch.path / 'conftest.py'}'" in error
    assert "No module named 'no_such_module'" in error
    assert error.endswith(
        f"modellab: {sketch.path}: pytest cannot be asked what plugins and conftest.py add (exit "
        "code 4); what keeps it stands above\n"
    )


def test_near_misses_include_what_was_added(
    sketch: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(sketch, "modellab.toml", 'kind = "pruned"', 'kind = "prunned"')
    message = (
        f"{sketch.path / 'modellab.toml'}: variants.half.kind: unknown kind 'prunned'; "
        "did you mean 'pruned'? Known: aligned, "
    )
    for command in (["accept", "half"], ["build", "tuned"], ["tasks", "check"]):
        assert refused(capsys, *command).startswith(f"modellab: {message}")
    result = sketch.runpytest_inprocess("--collect-only")
    result.stdout.fnmatch_lines([f"*{message}*"])
    replace(sketch, "modellab.toml", 'kind = "prunned"', 'kind = "pruned"')
    replace(sketch, "modellab.toml", 'method = "norms"', 'method = "norm"')
    assert "variants.tuned.recipe.method: unknown 'norm'; did you mean 'norms'? Known: " in (
        refused(capsys, "build", "tuned")
    )
    replace(sketch, "capitals_v1/samples.jsonl", '"contains"', '"contain"')
    assert "scorer: unknown 'contain'; did you mean 'contains'? " in (
        refused(capsys, "tasks", "check")
    )


def test_a_plan_that_refuses_an_option(
    sketch: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    replace(sketch, "modellab.toml", "share = 0.5", "share = 1.5")
    message = f"{sketch.path / 'modellab.toml'}: variants.half.share: 1.5 lies outside (0, 1)"
    assert refused(capsys, "accept", "half").endswith(f"'capitals_v1': {message}\n")
    (sketch.path / "model").mkdir()  # else that it is missing is told instead
    result = sketch.runpytest_inprocess("-m", "pruned", "-k", "overall", "--modellab-update")
    result.assert_outcomes(failed=1, deselected=3)
    result.stdout.fnmatch_lines([f"*variant 'half' on 'capitals_v1': {message}"])


def test_a_missing_library_fails_its_variant_and_no_other(page: pytest.Pytester) -> None:
    replace(page, "conftest.py", 'apply, packages=("torch",)', 'apply, packages=("no-such-lib",)')
    result = page.runpytest_inprocess("--modellab-update", "-k", "overall and not tuned")
    assert_outcomes(result, inconclusive=1, failed=1, deselected=2)
    result.stdout.fnmatch_lines(
        [
            "*variant 'half' on 'capitals_v1': no-such-lib is not installed: "
            "pip install no-such-lib",
            "[[]Prompted] plain *",
        ]
    )


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        (
            "a_below",  # read before the first test asks
            "ERROR: {root}/a_below/conftest.py: adds to pytest-modellab where not every test and "
            "no command would know it; move the hook to {root}/conftest.py, or into a plugin",
        ),
        ("z_below", "ERROR: {root}/z_below/conftest.py: adds to pytest-modellab where not every *"),
    ],
)
def test_a_hook_too_deep_says_where_to_move(
    sketch: pytest.Pytester, folder: str, message: str
) -> None:
    (sketch.path / folder).mkdir()
    (sketch.path / folder / "conftest.py").write_text(
        "def pytest_modellab_scorers():\n    return []\n"
    )
    (sketch.path / folder / "test_below.py").write_text("def test_it(): pass\n")
    result = sketch.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message.format(root=sketch.path)])


def test_a_conftest_that_is_read_too_late_says_what_to_name_first(
    sketch: pytest.Pytester,
) -> None:
    suites = sketch.path / "suites"
    suites.mkdir()
    for name in ("modellab.toml", "capitals_v1", "conftest.py"):
        (sketch.path / name).rename(suites / name)
    (suites / "test_in.py").write_text("def test_in(): pass\n")
    (sketch.path / "test_capitals.py").rename(sketch.path / "a_test.py")
    replace(sketch, "a_test.py", 'variants(kind="pruned")', 'variants("plain")')
    sketch.makeini("[pytest]\npython_files = *test*.py\n")
    result = sketch.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [
            f"ERROR: {suites / 'conftest.py'}: is read after a test that asks for variants; name "
            f"its folder first: pytest {suites} …"
        ]
    )
