"""Bad settings: each is a usage error with its message, and nothing is run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

WriteProject = Callable[[], pytest.Pytester]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modellab-alpha=2"], "*--modellab-alpha: '2' is not a number in (0, 1)"),
        (["--modellab-alpha=0"], "*--modellab-alpha: '0' is not a number in (0, 1)"),
        (["--modellab-alpha=nan"], "*--modellab-alpha: 'nan' is not a number in (0, 1)"),
        (["--modellab-alpha=0.0_5"], "*--modellab-alpha: '0.0_5' is not a number in (0, 1)"),
        (
            ["--modellab-margin=\u0660.\u0660\u0665"],
            "*--modellab-margin: '\u0660.\u0660\u0665' is not a number in [[]0, 1)",
        ),
        (["--modellab-margin=1"], "*--modellab-margin: '1' is not a number in [[]0, 1)"),
        (["--modellab-token-budget=0"], "*--modellab-token-budget: '0' is not a whole number*"),
        (["--modellab-token-budget=-512"], "*--modellab-token-budget: '-512' is not a whole *"),
        (["--modellab-token-budget=many"], "*--modellab-token-budget: 'many' is not a whole *"),
        (
            ["--modellab-token-budget=99999999999999999999"],
            "*'99999999999999999999' is not a whole number of tokens from 1 to 16,777,216; leave "
            "it out, so that the engine takes what its device holds",
        ),
        (["--modellab-on-inconclusive=never"], "*invalid choice: 'never'*"),
        (["--modellab-config=none.toml"], "*none.toml: cannot be read: No such file*"),
    ],
)
def test_options(write_project: WriteProject, arguments: list[str], message: str) -> None:
    result = write_project().runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_ini_value(write_project: WriteProject) -> None:
    pytester = write_project()
    pytester.makeini("[pytest]\nmodellab_on_inconclusive = never\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*modellab_on_inconclusive: 'never' is none of fail, warn, pass"])


def test_a_token_budget_of_the_ini_file_is_checked_too(write_project: WriteProject) -> None:
    pytester = write_project()
    pytester.makeini("[pytest]\nmodellab_token_budget = 1.5\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini setting modellab_token_budget: '1.5' is not a whole *"])


def test_malformed_configuration(write_project: WriteProject) -> None:
    pytester = write_project()
    (pytester.path / "modellab.toml").write_text("[variants\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*modellab.toml: malformed TOML: *line 1*"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"words"), pytest', '"wrods"), pytest', "*unknown task set 'wrods'*did you mean 'words'*"),
        ('"plain", "rounded"', '"plane"', "*unknown variant 'plane'*did you mean 'plain'*"),
        ('"plain", "rounded"', "knd='x'", "*unknown argument 'knd'; did you mean 'kind'?*"),
        ('"plain", "rounded"', "kind='prmpted'", "*unknown kind 'prmpted'; *mean 'prompted'*"),
        ('"plain", "rounded"', "kind='loraa'", "*unknown kind 'loraa'; *'lora'*"),
        ('"plain", "rounded"', "kind=['prompted', 'lora']", "*unknown kind ?'prompted', 'lora'?*"),
        ('"plain", "rounded"', "base='plan'", "*unknown base 'plan'; *did you mean 'plain'*"),
        ('"plain", "rounded"', "strategy='promptin'", "*unknown strategy 'promptin'; *"),
    ],
)
def test_markers_are_checked_at_collection(
    write_project: WriteProject, old: str, new: str, message: str
) -> None:
    pytester = write_project()
    suite = pytester.path / "test_suite.py"
    suite.write_text(suite.read_text().replace(old, new))
    result = pytester.runpytest_inprocess("--collect-only")
    result.stdout.fnmatch_lines([message])
    assert result.ret != 0


def test_a_known_kind_without_variants_is_a_skip(write_project: WriteProject) -> None:
    pytester = write_project()
    suite = pytester.path / "test_suite.py"
    suite.write_text(suite.read_text().replace('"plain", "rounded"', 'kind="lora", strategy=None'))
    result = pytester.runpytest_inprocess("-k", "overall")
    result.assert_outcomes(skipped=1, deselected=3)
    suite.write_text(suite.read_text().replace('kind="lora"', 'kind="quantized"'))
    result = pytester.runpytest_inprocess("-k", "overall", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*test_overall?rounded?*"])


def declare(pytester: pytest.Pytester, variants: str) -> None:
    config = pytester.path / "modellab.toml"
    config.write_text(config.read_text() + variants)


def test_a_base_selects_what_adapts_it_and_not_itself(write_project: WriteProject) -> None:
    pytester = write_project()
    declare(
        pytester,
        '[variants.shorter]\nkind = "prompted"\nbase = "rounded"\nprompt = "prompt.jinja"\n',
    )
    suite = pytester.path / "test_suite.py"
    suite.write_text(suite.read_text().replace('"plain", "rounded"', 'base="plain"'))
    result = pytester.runpytest_inprocess("-k", "overall", "--collect-only", "-q")
    assert [line for line in result.outlines if "::" in line] == [
        "test_suite.py::test_overall[rounded]",
        "test_suite.py::test_overall[shorter]",
    ]
    suite.write_text(suite.read_text().replace('base="plain"', 'base="plain", kind="quantized"'))
    result = pytester.runpytest_inprocess("-k", "overall", "--collect-only", "-q")
    assert [line for line in result.outlines if "::" in line] == [
        "test_suite.py::test_overall[rounded]"
    ]


def test_what_starts_from_a_multimodal_variant_has_its_marker(write_project: WriteProject) -> None:
    pytester = write_project()
    (pytester.path / "conftest.py").write_text(
        "from pytest_modellab.extend import Kind\n"
        "def pytest_modellab_kinds():\n"
        '    return [Kind("looking", "sight", "multimodal", lambda *asked: None)]\n'
    )
    declare(
        pytester,
        '[variants.sight]\nkind = "looking"\nmodel = "tiny"\n'
        '[variants.narrow]\nkind = "quantized"\nbase = "sight"\nmethod = "rtn"\nbits = 8\n'
        '[variants.asked]\nkind = "prompted"\nbase = "narrow"\nprompt = "prompt.jinja"\n',
    )
    suite = pytester.path / "test_suite.py"
    suite.write_text(suite.read_text().replace(', pytest.mark.variants("plain", "rounded")', ""))
    found = {}
    for marker in ("prompted", "quantized", "multimodal"):
        result = pytester.runpytest_inprocess("-m", marker, "-k", "overall", "--collect-only", "-q")
        names = [line.partition("[")[2][:-1] for line in result.outlines if "::" in line]
        found[marker] = names
    assert found == {
        "prompted": ["plain", "unloadable"],
        "quantized": ["rounded"],
        "multimodal": ["sight", "narrow", "asked"],
    }


def test_malformed_samples_are_named_at_collection(write_project: WriteProject) -> None:
    pytester = write_project()
    samples = pytester.path / "words" / "samples.jsonl"
    samples.write_text(samples.read_text() + "{not json\n")
    result = pytester.runpytest_inprocess("--collect-only")
    result.stdout.fnmatch_lines(["*samples.jsonl:133: malformed JSON, column 2*"])


def test_without_a_configuration_the_plugin_is_silent(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*modellab 0*")


def test_the_gate_without_a_configuration_says_what_to_write(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_gate(candidate, gate): pass")
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*no modellab.toml found beside or above the tests*"])


def test_without_a_configuration_a_project_keeps_its_own_names(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n"
        "@pytest.mark.parametrize('candidate', [1, 2])\n"
        "def test_own_parameter(candidate): assert candidate\n"
        "@pytest.fixture\n"
        "def gate(): return 'open'\n"
        "def test_own_fixture(gate): assert gate == 'open'\n"
    )
    pytester.runpytest_inprocess().assert_outcomes(passed=3)


def test_the_gate_alone_without_a_configuration_says_what_to_write(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_gate(gate): pass")
    result = pytester.runpytest_inprocess()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*no modellab.toml found beside or above the tests*"])


def test_calibrating_by_an_unknown_variant_names_it(
    write_project: WriteProject, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_modellab import cli

    config = write_project().path / "modellab.toml"
    assert cli.main(["tasks", "check", "--config", str(config), "--base", "plian"]) == 2
    assert "--base: unknown variant 'plian'; did you mean 'plain'?" in capsys.readouterr().err


def test_collection_imports_nothing_heavy(write_project: WriteProject) -> None:
    pytester = write_project()
    (pytester.path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_unconfigure():\n"
        "    heavy = {'torch', 'transformers', 'numpy', 'scipy', 'allure', 'rich'}\n"
        "    print('heavy:', sorted(heavy & set(sys.modules)))\n"
    )
    result = pytester.runpytest_subprocess("--collect-only", "-s", "-p", "no:allure_pytest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*8 tests collected*", "heavy: [[]]"])
