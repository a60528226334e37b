"""What a failure shows of modellab's own errors, and how often."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab.plugin import misspelt

WRONG = "*modellab.toml: variants.plain.dtype: unknown 'bf16'; *"


@pytest.fixture
def broken(write_project: Callable[[], pytest.Pytester]) -> pytest.Pytester:
    """A project with a wrong option, which all variants share; no model is needed to see it."""
    pytester = write_project()
    path = pytester.path / "modellab.toml"
    text = path.read_text()
    path.write_text(
        text.replace('prompt = "prompt.jinja"', 'prompt = "prompt.jinja"\ndtype = "bf16"', 1)
    )
    return pytester


@pytest.mark.parametrize("style", ["auto", "long", "short", "native", "line", "no"])
def test_the_message_alone(broken: pytest.Pytester, style: str) -> None:
    result = broken.runpytest_inprocess(f"--tb={style}", "-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    text = result.stdout.str()
    assert "site-packages" not in text
    assert "Traceback" not in text
    assert "asking.py" not in text
    assert text.count("unknown 'bf16'") == {"no": 2, "line": 2}.get(style, 1)
    result.stdout.fnmatch_lines(["FAILED test_suite.py::test_overall*plain* - variant 'plain' *"])


@pytest.mark.parametrize("option", ["--modellab-traceback", "--full-trace"])
def test_the_way_through_the_code_is_shown_where_asked_for(
    broken: pytest.Pytester, option: str
) -> None:
    result = broken.runpytest_inprocess(option, "-k", "test_overall and plain")
    result.stdout.fnmatch_lines(["*asking.py:*", "*ConfigError: *unknown 'bf16'*"])


def test_an_error_that_is_not_ours_keeps_its_traceback(broken: pytest.Pytester) -> None:
    (broken.path / "test_suite.py").write_text(
        "def helper():\n    raise ValueError('theirs')\ndef test_a(lab):\n    helper()\n"
    )
    result = broken.runpytest_inprocess()
    result.stdout.fnmatch_lines([">*raise ValueError('theirs')", "test_suite.py:2: ValueError"])


def test_what_one_file_breaks_is_said_once(broken: pytest.Pytester) -> None:
    result = broken.runpytest_inprocess("--junitxml=junit.xml")
    result.stdout.fnmatch_lines(
        [
            "*FFFFFFFF*",
            f"variant 'plain' on 'words': {WRONG}",
            "ERROR: 8 tests reached no verdict (plain, rounded).",
            "next:",
            "  no verdict on plain, rounded until what test_suite.py::test_capability*plain-alpha* "
            "says above is put right",
            "*1 failed, 7 with the same error in *",
        ]
    )
    assert result.stdout.str().count("unknown 'bf16'") == 1, "once on the screen"
    suite = ET.parse(broken.path / "junit.xml").getroot()[0]  # noqa: S314 - pytest's
    assert suite.get("failures") == "8", "whoever counts tests counts all of them"
    told = [one.get("message", "") for one in suite.iter("failure")]
    assert all("variants.plain.dtype: unknown 'bf16'" in one for one in told)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_where_pytest_shows_no_failures_the_section_says_it(broken: pytest.Pytester) -> None:
    result = broken.runpytest_inprocess("--tb=no", "-rN")
    result.stdout.fnmatch_lines(
        [
            f"ERROR in 8 tests of plain, rounded: {WRONG}",
            f"  no verdict on plain, rounded until this is put right: {WRONG}",
        ]
    )


@pytest.mark.usefixtures("warmed")
def test_workers_say_it_once(broken: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    result = broken.runpytest_inprocess("-n2")
    result.stdout.fnmatch_lines(
        [f"variant '*' on 'words': {WRONG}", "*1 failed, 7 with the same error in *"]
    )
    result.stdout.fnmatch_lines(["FAILED test_suite.py::test_* - variant '*"])


def _write(pytester: pytest.Pytester, old: str, new: str) -> None:
    path = pytester.path / "modellab.toml"
    path.write_text(path.read_text().replace(old, new, 1))


def test_a_missing_file_is_told_at_collection(write_project: Callable[[], pytest.Pytester]) -> None:
    pytester = write_project()
    _write(pytester, 'prompt = "prompt.jinja"', 'prompt = "promt.jinja"')
    _write(pytester, 'source = "model"', 'source = "./model"')
    result = pytester.runpytest_inprocess()
    told = "modellab.toml: variants.plain.prompt: 'promt.jinja' does not exist; did you mean "
    result.stdout.fnmatch_lines(
        [
            "collected 8 items",
            f"missing: {told}'prompt.jinja'? (8 tests need it)",
            "missing: model 'tiny' (source = './model'): no such file or folder: * (8 tests need *",
            "*EEEEEEEE*",
            f"{told}'prompt.jinja'?",
            "*1 error, 7 with the same error in *",
        ]
    )
    assert len(result.outlines) <= 24, "one screen"
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    listed = pytester.runpytest_inprocess("--collect-only", "-k", "test_overall")
    listed.stdout.fnmatch_lines([f"missing: {told}*(2 tests need it)"])
    assert listed.ret == pytest.ExitCode.OK


def test_a_missing_task_set_is_told_with_its_key(
    write_project: Callable[[], pytest.Pytester],
) -> None:
    pytester = write_project()
    _write(pytester, 'path = "words"', 'path = "wrds"')
    (pytester.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('plain')\n"
        "def test_a(candidate, gate):\n"
        "    gate.worst_bucket(candidate)\n"
    )
    result = pytester.runpytest_inprocess()
    told = "modellab.toml: task_sets.words.path: 'wrds' does not exist; did you mean 'words'?"
    result.stdout.fnmatch_lines([f"missing: {told} (1 test needs it)", told])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--modellab-alhpa=0.1"],
            "ERROR: --modellab-alhpa: no such option; did you mean --modellab-alpha? Known, *",
        ),
        (
            ["--modellab_no_cache"],
            "ERROR: --modellab_no_cache: no such option; did you mean --mod*",
        ),
        (
            ["--modellab-\x1b[2J" + "x" * 99_999],
            "ERROR: --modellab-\\x1b[[]2Jxxx*… (100014 characters) …*: no such option; Known, *",
        ),
        (
            ["--modelab-alpha=0.1"],
            "ERROR: --modelab-alpha: no such option; did you mean --modellab-alpha? Known, *",
        ),
        (["--modellab-zzz"], "ERROR: --modellab-zzz: no such option; Known, after --modellab-: *"),
        (
            ["-o", "modellab_on_inconclusiv=fail"],
            "ERROR: modellab_on_inconclusiv: no such setting; did you mean "
            "modellab_on_inconclusive? *",
        ),
    ],
)
def test_a_misspelt_option_is_refused(
    write_project: Callable[[], pytest.Pytester], arguments: list[str], told: str
) -> None:
    result = write_project().runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([told])
    assert len(result.errlines) <= 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nmodellab_alhpa = 0.1\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nmodellab_alhpa = '0.1'\n"),
    ],
)
def test_a_misspelt_key_of_the_ini_file_is_refused(
    write_project: Callable[[], pytest.Pytester], name: str, text: str
) -> None:
    pytester = write_project()
    (pytester.path / name).write_text(text)
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        [f"ERROR: *{name}: modellab_alhpa: no such setting; did you mean *"]
    )


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("pytest.ini", "[pytest]\n" + "\n" * 200_000 + "modellab_x = 1\n", ["modellab_x"]),
        ("setup.cfg", "[pytest]\nmodellab_x = 1\n[tool:pytest]\nmodellab_y=2\n", ["modellab_y"]),
        ("tox.ini", "[mine]\nmodellab_x = 1\n", []),
        ("pytest.toml", "[pytest]\nmodellab_x = 1\n", ["modellab_x"]),
        ("pyproject.toml", "[tool.pytest]\nmodellab_x = 1\n", ["modellab_x"]),
        (
            "pyproject.toml",
            "[tool.mine]\nmodellab_x = 1\n[tool.pytest.ini_options]\n'modellab_y' = '2'\n",
            ["ini_options", "modellab_y"],
        ),
    ],
)
def test_keys_are_those_of_pytests_own_table(
    tmp_path: Path, name: str, text: str, found: list[str]
) -> None:
    (tmp_path / name).write_text(text)
    assert misspelt.keys(tmp_path / name) == found


def test_an_option_that_a_conftest_adds_is_known(
    write_project: Callable[[], pytest.Pytester],
) -> None:
    pytester = write_project()
    (pytester.path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--modellab-alphabet')\n"
    )
    result = pytester.runpytest_inprocess("--modellab-alphabet=x", "--collect-only")
    assert result.ret == pytest.ExitCode.OK


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('kind = "quantized"', 'knd = "quantized"', "variants.rounded.knd: *did you mean 'kind'?"),
        ('base = "plain"', 'bse = "plain"', "variants.rounded.bse: *did you mean 'base'?"),
        ("margin = 0.1", "margn = 0.1", "task_sets.words.margn: *did you mean 'margin'* Known: *"),
    ],
)
def test_a_misspelt_key_of_the_configuration(
    write_project: Callable[[], pytest.Pytester], old: str, new: str, told: str
) -> None:
    pytester = write_project()
    _write(pytester, old, new)
    result = pytester.runpytest_inprocess()
    (result.stdout if result.outlines else result.stderr).fnmatch_lines([f"*modellab.toml: {told}"])
    assert len(result.outlines) + len(result.errlines) <= 24, "one screen"
    assert "Traceback" not in result.stdout.str()


def test_no_configuration_is_said_once(pytester: pytest.Pytester) -> None:
    test = "def test_a(candidate, gate):\n    pass\n"
    pytester.makepyfile(test_one=test, test_two=test)
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(
        [
            "no modellab.toml found beside or above the tests; write one: modellab init, or name "
            "it: --modellab-config PATH",
            "as test_one.py: same error",
        ]
    )
    assert len(result.outlines) <= 24, "one screen"


def test_which_task_set_is_asked_in_a_line(write_project: Callable[[], pytest.Pytester]) -> None:
    pytester = write_project()
    _write(pytester, "[variants.plain]", '[task_sets.more]\npath = "words"\n[variants.plain]')
    (pytester.path / "test_suite.py").write_text("def test_a(candidate, gate):\n    pass\n")
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(
        [
            "test_suite.py::test_a: which task set? Mark it: @pytest.mark.task_set(NAME); Known: "
            "more, words"
        ]
    )
    assert len(result.outlines) <= 24, "one screen"


def test_two_marks_of_one_test_are_refused(write_project: Callable[[], pytest.Pytester]) -> None:
    pytester = write_project()
    (pytester.path / "test_suite.py").write_text(
        "import pytest\n\n@pytest.mark.task_set('words')\n@pytest.mark.task_set('words')\n"
        "def test_a(candidate, gate):\n    pass\n"
    )
    result = pytester.runpytest_inprocess("--collect-only")
    result.stdout.fnmatch_lines(
        [
            "test_suite.py::test_a: it has two marks task_set, of which pytest gives one: name all "
            "in one, @pytest.mark.task_set(NAME, NAME)"
        ]
    )


def test_a_missing_baseline_is_said_once(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("-k", "capability or overall")
    result.stdout.fnmatch_lines(
        [
            "no baseline of 'plain' on 'words': *plain.json does not exist.",
            "Record one and commit it: modellab accept plain",
            "ERROR: 6 tests reached no verdict (plain, rounded).",
            "next:",
            "  record the missing baselines: modellab accept plain rounded",
            "*1 failed, 2 deselected, 5 with the same error *",
        ]
    )


def test_missing_baselines_of_twelve_variants_are_told_on_one_screen(
    project: pytest.Pytester,
) -> None:
    names = [f"v{n:02}" for n in range(11)]
    path = project.path / "modellab.toml"
    path.write_text(
        path.read_text()
        + "".join(
            f'[variants.{name}]\nkind = "quantized"\nbase = "plain"\nmethod = "rtn"\nbits = 8\n'
            for name in names
        )
    )
    suite = project.path / "test_suite.py"
    marked = ", ".join(f'"{name}"' for name in names)
    suite.write_text(suite.read_text().replace('"rounded")', f"{marked})"))
    result = project.runpytest_inprocess("-k", "capability or overall")
    result.stdout.fnmatch_lines(
        [
            "collected 48 items / 12 deselected / 36 selected",
            f"  record the missing baselines: modellab accept plain {' '.join(names)}",
            "*1 failed, 12 deselected, 35 with the same error *",
        ]
    )
    assert len(result.outlines) <= 24, "one screen"


@pytest.mark.parametrize("arguments", ["candidate, gate", "candidate, capability, gate"])
def test_a_broken_line_of_samples_is_told_once(
    write_project: Callable[[], pytest.Pytester], arguments: str
) -> None:
    pytester = write_project()
    samples = pytester.path / "words" / "samples.jsonl"
    lines = samples.read_text().splitlines()
    lines[3] = lines[3][:40]
    samples.write_text("\n".join(lines))
    (pytester.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('plain', 'rounded')\n"
        f"def test_a({arguments}):\n"
        "    gate.no_regression(candidate)\n"
    )
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*samples.jsonl:4: malformed JSON, column *: Unterminated string"])
    assert result.stdout.str().count("samples.jsonl:4: malformed") == 1
    assert len(result.outlines) <= 24, "one screen"


def test_two_misspelt_keys_are_told_together(
    write_project: Callable[[], pytest.Pytester],
) -> None:
    pytester = write_project()
    _write(pytester, "margin = 0.1\ncapability_margin", "margn = 0.1\ncapabilty_margin")
    result = pytester.runpytest_inprocess()
    result.stderr.fnmatch_lines(
        [
            "ERROR: *modellab.toml: task_sets.words.margn: unknown key; did you mean 'margin'? "
            "Known: *; as unknown: capabilty_margin"
        ]
    )
    assert len(result.errlines) <= 2


def test_an_unknown_task_set_of_a_marker_is_told_once(
    write_project: Callable[[], pytest.Pytester],
) -> None:
    pytester = write_project()
    suite = pytester.path / "test_suite.py"
    suite.write_text(suite.read_text().replace('task_set("words")', 'task_set("wrds")'))
    result = pytester.runpytest_inprocess()
    told = "unknown task set 'wrds' in *modellab.toml; did you mean 'words'? Known: words"
    result.stdout.fnmatch_lines([f"test_suite.py::test_capability: {told}"])
    assert result.stdout.str().count("wrds") == 1
    assert len(result.outlines) <= 24, "one screen"
