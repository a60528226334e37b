"""A user's session: record, judge, block, report."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli, testing
from pytest_modellab.baselines.file import read, write
from pytest_modellab.judging import comparable
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.store import hashes


def better_baseline(project: pytest.Pytester, variant: str) -> None:
    """Rewrite a recorded baseline as if every sample had been right."""
    path = project.path / "baselines" / "words" / f"{variant}.json"
    baseline = read(path)
    assert baseline is not None
    samples = tuple(dataclasses.replace(s, score=1.0, output="right") for s in baseline.run.samples)
    run = dataclasses.replace(baseline.run, samples=samples)
    write(path, dataclasses.replace(baseline, run=run))


def test_missing_baseline_fails_and_says_how_to_record_one(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(
        [
            "*no baseline of 'plain' on 'words': *plain.json does not exist.",
            "*Record one and commit it: modellab accept plain",
            "*ERROR: 1 test reached no verdict*",
        ]
    )


def test_update_records_and_the_next_run_passes_from_the_store(project: pytest.Pytester) -> None:
    first = project.runpytest_inprocess("--modellab-update", "-k", "plain")
    first.assert_outcomes(passed=4, deselected=4)
    path = project.path / "baselines" / "words" / "plain.json"
    text = path.read_text()
    assert len(text.splitlines()) > 132, "one sample a line"
    second = project.runpytest_inprocess("-k", "plain", "--modellab-json", "report.json")
    second.assert_outcomes(passed=4, deselected=4)
    report = json.loads((project.path / "report.json").read_text())
    assert [run["variant"] for run in report["runs"]] == ["plain"]
    assert project.runpytest_inprocess("--modellab-update", "-k", "plain").ret == 0
    assert path.read_text() == text, "an unchanged run leaves its baseline alone"


def test_regression_blocks_with_a_table_and_the_flipped_samples(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    better_baseline(project, "plain")
    result = project.runpytest_inprocess(
        "-k", "plain", "--modellab-markdown", "report.md", "--junitxml", "junit.xml"
    )
    result.assert_outcomes(failed=3, passed=1, deselected=4)
    result.stdout.fnmatch_lines(
        [
            "*blocked: alpha fell from 1.00 to 0.*(n = 66)*",
            "*alpha-easy-*right*",
        ]
    )
    result.stdout.fnmatch_lines(["*= modellab =*", "*plain*BLOCK*"])
    assert "blocked" in (project.path / "report.md").read_text().lower()
    junit = (project.path / "junit.xml").read_text()
    assert '<property name="modellab_assertion" value="no_regression" />' in junit
    assert '<property name="modellab_verdict" value="block" />' in junit
    assert '<property name="modellab_capability" value="alpha" />' in junit


def test_update_accepts_a_changed_run(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    better_baseline(project, "plain")
    result = project.runpytest_inprocess("--modellab-update", "-k", "plain")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*recorded*"])
    project.runpytest_inprocess("-k", "plain").assert_outcomes(passed=4, deselected=4)


def test_alpha_is_shared_by_the_selected_assertions(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update()
    result = project.runpytest_inprocess("--modellab-alpha=0.06")
    result.stdout.fnmatch_lines(["alpha 0.06 shared by 6 assertions: 0.01 each"])
    result = project.runpytest_inprocess("-k", "plain")
    result.stdout.fnmatch_lines(["alpha 0.05 shared by 3 assertions: 0.0167 each"])


def test_alpha_is_shared_by_weight(project: pytest.Pytester) -> None:
    text = (project.path / "test_suite.py").read_text()
    weighed = text.replace("def test_overall", "@pytest.mark.alpha_weight(3)\ndef test_overall")
    (project.path / "test_suite.py").write_text(weighed)
    arguments = ("--modellab-update", "-k", "plain", "--modellab-json", "report.json")
    result = project.runpytest_inprocess(*arguments)
    result.stdout.fnmatch_lines(["alpha 0.05 shared by 3 assertions: 0.01 to 0.03 each, by weight"])
    report = json.loads((project.path / "report.json").read_text())
    shares = {c["test"]: c["share"] for c in report["comparisons"]}  # capabilities share one
    assert sorted(set(shares.values())) == pytest.approx([0.01, 0.03])
    figures = [c["figures"][0]["alpha"] for c in report["comparisons"] if "overall" in c["test"]]
    assert figures == [pytest.approx(0.03)]
    (project.path / "test_suite.py").write_text(weighed.replace("weight(3)", "weight(0)"))
    result = project.runpytest_inprocess("-k", "plain")
    result.stderr.fnmatch_lines(
        ["ERROR: *test_overall?plain?: @pytest.mark.alpha_weight takes one number above 0: *"]
    )


def test_churn_is_measured_when_asked_for(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    result = project.runpytest_inprocess("-k", "plain")
    assert "churn=" not in result.stdout.str()
    result = project.runpytest_inprocess("-k", "plain", "--modellab-churn")
    result.stdout.fnmatch_lines(["*memory=0.000GB  churn=0.0%  -> PASS"])
    result = project.runpytest_inprocess("--modellab-churn", "--modellab-sequential")
    result.stderr.fnmatch_lines(["ERROR: --modellab-sequential and --modellab-churn exclude *"])


def test_every_parameter_but_the_capability_takes_a_share_of_alpha(
    project: pytest.Pytester,
) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "pytestmark = pytest.mark.variants('plain')\n"
        "@pytest.mark.parametrize('options', [{'by': 'difficulty'}, {'by': 'capability'}])\n"
        "def test_slice(candidate, gate, options):\n"
        "    gate.worst_bucket(candidate, **options)\n"
        "@pytest.mark.parametrize('margin', [0.1, 0.2])\n"
        "def test_capability(candidate, capability, gate, margin):\n"
        "    gate.no_regression(candidate, capability=capability, margin=margin)\n"
    )
    result = project.runpytest_inprocess("--modellab-update")
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["alpha 0.05 shared by 4 assertions: 0.0125 each"])


@pytest.mark.parametrize(
    ("mode", "ended"), [("fail", "failed"), ("warn", "inconclusive"), ("pass", "passed")]
)
def test_on_inconclusive(
    project: pytest.Pytester, update: Callable[..., None], mode: str, ended: str
) -> None:
    update("-k", "plain")
    result = project.runpytest_inprocess(
        f"--modellab-on-inconclusive={mode}",
        "--modellab-margin=0",  # nothing can pass at an allowed drop of 0
        "-k",
        "test_overall and plain",
    )
    assert_outcomes(result, **{ended: 1}, deselected=7)
    if mode == "fail":
        result.stdout.fnmatch_lines(["*undecided: the mean score stayed at *"])


def test_marker_of_the_kind_selects_and_the_rest_is_never_loaded(
    project: pytest.Pytester,
) -> None:
    suite = project.path / "test_suite.py"
    suite.write_text(suite.read_text().replace(', pytest.mark.variants("plain", "rounded")', ""))
    result = project.runpytest_inprocess("--modellab-update", "-m", "quantized")
    result.assert_outcomes(passed=4, deselected=8)
    runs = list((project.path / "cache" / "runs").iterdir())
    assert len(runs) == 2, "only the selected variant was run, and run again for its churn"
    result = project.runpytest_inprocess("-k", "unloadable and test_worst_bucket")
    result.assert_outcomes(errors=1, deselected=11)
    result.stdout.fnmatch_lines(["model 'broken' (source = './nowhere'): no such *"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ('dtype = "bf16"', "*variants.plain.dtype: unknown 'bf16'; did you mean *"),
        ('attention = "egaer"', "*variants.plain.attention: *did you mean 'eager'?*"),
        ('kernels = "liger"', '*kernels: *device = "cuda"*'),
        (
            'device = "cuda:99"',
            "*variant 'plain' on 'words': device = 'cuda:99'*",
        ),
    ],
)
def test_a_variant_that_cannot_be_run_is_told_before_a_missing_baseline(
    project: pytest.Pytester, option: str, said: str
) -> None:
    config = project.path / "modellab.toml"
    text = config.read_text()
    config.write_text(text.replace("[variants.plain]\n", f"[variants.plain]\n{option}\n"))
    for variant in ("plain", "rounded"):
        result = project.runpytest_inprocess("-k", f"test_overall and {variant}")
        result.assert_outcomes(failed=1, deselected=7)
        result.stdout.no_fnmatch_line("*no baseline of*")
        if variant == "plain":
            result.stdout.fnmatch_lines([said])


def test_comparison_with_the_base(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants(kind='quantized')\n"
        "def test_cost(candidate, gate):\n"
        "    comparison = gate.no_regression(candidate, against='base')\n"
        "    assert comparison.against == 'baseline of plain'\n"
        "@pytest.mark.variants('plain')\n"
        "def test_plain(candidate, gate):\n"
        "    gate.no_regression(candidate)\n"
    )
    project.runpytest_inprocess("-m", "quantized").stdout.fnmatch_lines(
        ["*no baseline of 'plain' on 'words'*"]
    )
    project.runpytest_inprocess("--modellab-update", "-m", "prompted").assert_outcomes(
        passed=1, deselected=1
    )
    project.runpytest_inprocess("-m", "quantized").assert_outcomes(passed=1, deselected=1)


def test_one_verdict_a_test(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('plain')\n"
        "def test_twice(candidate, gate):\n"
        "    gate.worst_bucket(candidate)\n"
        "    gate.worst_bucket(candidate, by='difficulty')\n"
    )
    result = project.runpytest_inprocess()
    result.stdout.fnmatch_lines(["*test_twice*: asks the gate twice*"])


def test_slices_by_metadata_name_what_is_lacking(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('plain')\n"
        "@pytest.mark.parametrize('by', ['difficulty', 'dificulty'])\n"
        "def test_slice(candidate, gate, by):\n"
        "    gate.worst_bucket(candidate, by=by)\n"
    )
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*cannot slice 'words' by 'dificulty': 132 samples lack it*did you mean 'difficulty'?*"]
    )


def test_baseline_of_another_version_is_refused(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    header = project.path / "words" / "task_set.toml"
    header.write_text(header.read_text().replace('version = "1"', 'version = "2"'))
    result = project.runpytest_inprocess("-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(
        [
            "*'plain' cannot be compared with own baseline on 'words': task set "
            "'words' has version 2, the reference was run on 1*accept plain --task-set words"
        ]
    )


def test_another_tokenizer_and_library_version_are_noted(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "test_overall and plain")
    baseline = read(project.path / "baselines" / "words" / "plain.json")
    assert baseline is not None
    record = baseline.run

    def run(tokenizer: str, **versions: str) -> RunRecord:
        settings = {**record.fingerprint.settings, "versions": versions}
        fingerprint = dataclasses.replace(
            record.fingerprint, tokenizer=tokenizer, settings=settings
        )
        return dataclasses.replace(record, fingerprint=fingerprint)

    spec = VariantSpec("plain", "prompted", "prompting")
    now, then = run("a", torchao="2", bitsandbytes="1"), run("b", torchao="1")
    assert comparable.check_comparable(spec, now, then, "own baseline") == (
        "the tokenizer or its chat template is not the reference's",
        "torchao: 2 here, 1 in the reference",
    )
    assert comparable.check_comparable(spec, now, now, "own baseline") == ()


def test_edited_baseline_is_refused(project: pytest.Pytester, update: Callable[..., None]) -> None:
    update("-k", "plain")
    path = project.path / "baselines" / "words" / "plain.json"
    path.write_text(path.read_text().replace('"score":0.0', '"score":1.0', 1))
    result = project.runpytest_inprocess("-k", "test_overall and plain")
    result.stdout.fnmatch_lines(["*plain.json: digest: *edited*"])


def test_a_model_that_answers_nan_is_not_accepted(project: pytest.Pytester) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(project.path / "model")
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    model.save_pretrained(project.path / "model")
    result = project.runpytest_inprocess("--modellab-update", "-k", "test_overall and plain")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(
        [
            "*'plain' on 'words': not accepted as a baseline: 132 of 132 scores are "
            "missing (100.0%, allowed 2.0%), 'alpha-easy-000' first: (*NaN)"
        ]
    )
    assert not (project.path / "baselines").exists()


def test_no_cache_runs_anew(project: pytest.Pytester, update: Callable[..., None]) -> None:
    update("-k", "plain")
    runs = sorted((project.path / "cache" / "runs").glob("*/run.json"))
    before = [run.stat().st_mtime_ns for run in runs]
    project.runpytest_inprocess("-k", "plain")
    assert [run.stat().st_mtime_ns for run in runs] == before
    project.runpytest_inprocess("-k", "plain", "--modellab-no-cache").assert_outcomes(
        passed=4, deselected=4
    )
    anew = [run.stat().st_mtime_ns > then for run, then in zip(runs, before, strict=True)]
    assert sorted(anew) == [False, True], "the second run is made only when a run is accepted"


def test_model_files_are_read_once_unless_asked_for_anew(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digest = hashes._digest

    def counted(file: Any) -> str:
        read.append(Path(file.name).name)
        return digest(file)

    monkeypatch.setattr(hashes, "_digest", counted)
    monkeypatch.setattr(hashes, "LARGE", (project.path / "model/model.safetensors").stat().st_size)
    monkeypatch.setattr(hashes, "RACY", -60.0)
    monkeypatch.chdir(project.path)
    chosen = ("-k", "test_overall and (plain or rounded)")

    def weights(*options: str) -> int:
        del read[:]
        project.runpytest_inprocess(*chosen, *options).assert_outcomes(passed=2, deselected=6)
        return read.count("model.safetensors")

    assert weights("--modellab-update") == 1
    assert weights() == 0
    assert weights("--modellab-rehash") == 1
    assert weights("-o", "modellab_rehash=true") == 1
    assert weights("--modellab-no-cache") == 1, "what is remembered is not reused either"
    assert weights() == 0
    del read[:]
    assert cli.main(["accept", "plain"]) == 0
    assert read.count("model.safetensors") == 0
    assert cli.main(["accept", "plain", "--rehash"]) == 0
    assert read.count("model.safetensors") == 1


def test_models_are_freed_before_the_next_is_loaded(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "seen = []\n"
        "@pytest.mark.variants('plain', 'rounded')\n"
        "def test_engine(candidate, gate):\n"
        "    seen.append(candidate.engine.model)\n"
        "    assert sum(p.numel() for p in seen[-1].parameters()) > 0\n"
        "    assert all(not list(m.parameters()) for m in seen[:-1])\n"
        "    assert False, 'the traceback keeps the model'\n"
        "def test_all_freed(lab):\n"
        "    assert len(seen) == 2\n"
    )
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.no_fnmatch_line("*for m in seen*AssertionError*")


def test_ini_twins(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nmodellab_alpha = 0.03\nmodellab_update = true\n")
    result = project.runpytest_inprocess("-k", "plain")
    result.assert_outcomes(passed=4, deselected=4)
    result.stdout.fnmatch_lines(["alpha 0.03 shared by 3 assertions: 0.01 each"])


def test_incomplete_run_writes_no_half_report(project: pytest.Pytester, tmp_path: Path) -> None:
    result = project.runpytest_inprocess(
        "-x", "-k", "plain", "--modellab-json", str(tmp_path / "report.json")
    )
    assert result.ret == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["complete"] is False
    assert report["verdict"] == "error"


def test_a_run_without_verdicts_replaces_an_older_report(project: pytest.Pytester) -> None:
    path = project.path / "report.json"
    project.runpytest_inprocess("--modellab-update", "-k", "plain", "--modellab-json", str(path))
    assert json.loads(path.read_text())["verdict"] == "pass"
    project.runpytest_inprocess("-k", "mistyped", "--modellab-json", str(path))
    report = json.loads(path.read_text())
    assert (report["verdict"], report["comparisons"]) == ("inconclusive", [])
    assert report["headline"].startswith("INCONCLUSIVE: nothing was compared")


def test_a_report_that_cannot_be_written_fails_the_run_with_a_note(
    project: pytest.Pytester,
) -> None:
    result = project.runpytest_inprocess(
        "--modellab-update", "-k", "plain", "--modellab-json=words", "--modellab-markdown=words/a"
    )
    result.assert_outcomes(passed=4, deselected=4)
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR  # 1 is a block's
    result.stdout.fnmatch_lines(["note: --modellab-json: '*words': not written: Is a directory"])
    assert (project.path / "words" / "a").is_file()


def test_a_test_that_is_collected_twice_is_no_missing_one(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    result = project.runpytest_inprocess(
        "--keep-duplicates", "-k", "plain", "test_suite.py", "test_suite.py"
    )
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*did not complete*")


def test_a_test_that_fails_after_its_verdict_is_an_error_of_the_report(
    project: pytest.Pytester,
) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('plain')\n"
        "def test_own(candidate, gate):\n"
        "    gate.worst_bucket(candidate)\n"
        "    assert False, 'the reply was late'\n"
    )
    result = project.runpytest_inprocess("--modellab-json", "report.json")
    result.assert_outcomes(failed=1)
    report = json.loads((project.path / "report.json").read_text())
    assert report["verdict"] == "error"
    assert len(report["comparisons"]) == 1
    assert report["errors"][0]["message"].startswith("after its verdict: the reply was late")


def test_baseline_of_another_variant_is_refused(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    folder = project.path / "baselines" / "words"
    (folder / "plain.json").rename(folder / "rounded.json")
    result = project.runpytest_inprocess("-k", "test_overall and rounded")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(
        ["*rounded.json: is the run of 'plain' on 'words', not of 'rounded' on*"]
    )


def test_a_store_that_cannot_be_written_says_how_to_choose_another(
    project: pytest.Pytester,
) -> None:
    (project.path / "cache").write_text("a file where the folder should be")
    result = project.runpytest_inprocess("-k", "test_worst_bucket and plain")
    result.assert_outcomes(failed=1, deselected=7)
    result.stdout.fnmatch_lines(
        ["*variant 'plain' on 'words': *MODELLAB_CACHE=/some/folder chooses another"]
    )


def test_base_and_adapted_variant_are_recorded_together(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('rounded')\n"
        "def test_cost(candidate, gate):\n"
        "    gate.no_regression(candidate, against='base')\n"
        "@pytest.mark.variants('plain', 'rounded')\n"
        "def test_overall(candidate, gate):\n"
        "    gate.no_regression(candidate)\n"
    )
    project.runpytest_inprocess("--modellab-update").assert_outcomes(passed=3)
    names = {path.name for path in (project.path / "baselines" / "words").iterdir()}
    assert names == {"plain.json", "rounded.json"}


def test_update_on_another_task_set_accepts_nothing_of_the_base(project: pytest.Pytester) -> None:
    testing.write_task_set(project.path / "other", testing.choice_samples(["gamma"], 5))
    with (project.path / "modellab.toml").open("a") as file:
        file.write('[task_sets.other]\npath = "other"\n')
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.variants('rounded')\n"
        "@pytest.mark.task_set('words')\n"
        "def test_cost(candidate, gate):\n"
        "    gate.no_regression(candidate, against='base')\n"
        "@pytest.mark.variants('plain')\n"
        "@pytest.mark.task_set('other')\n"
        "def test_overall(candidate, gate):\n"
        "    gate.no_regression(candidate)\n"
    )
    result = project.runpytest_inprocess("--modellab-update")
    assert_outcomes(result, inconclusive=1, failed=1)
    result.stdout.fnmatch_lines(["*no baseline of 'plain' on 'words': *"])


def test_parameters_of_the_same_names_are_left_alone(project: pytest.Pytester) -> None:
    (project.path / "test_suite.py").write_text(
        "import pytest\n"
        "@pytest.mark.parametrize('candidate, capability', [(1, 2)])\n"
        "def test_own(candidate, capability):\n"
        "    assert (candidate, capability) == (1, 2)\n"
    )
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_variant_that_cannot_be_run_is_tried_once(project: pytest.Pytester) -> None:
    suite = project.path / "test_suite.py"
    suite.write_text(suite.read_text().replace('"plain", "rounded"', '"unloadable"'))
    (project.path / "conftest.py").write_text(
        "from pytest_modellab.models import locate\n"
        "original = locate.locate\n"
        "def counted(*arguments):\n"
        "    print('looked for the model')\n"
        "    return original(*arguments)\n"
        "locate.locate = counted\n"
    )
    (project.path / "nowhere").mkdir()  # one that is missing is not looked for at all
    result = project.runpytest_subprocess("-s", "--modellab-update")
    result.assert_outcomes(failed=1)  # and 3 with the same error
    assert result.stdout.str().count("looked for the model") == 1
    result.stdout.fnmatch_lines(["*nowhere*", "*ERROR *test_capability* and 3 more, told above"])


def test_an_inconclusive_verdict_may_go_unlisted(
    project: pytest.Pytester, update: Callable[..., None]
) -> None:
    update("-k", "plain")
    chosen = ("--modellab-margin=0", "-k", "test_overall and plain")
    shown = project.runpytest_inprocess(*chosen)
    shown.stdout.fnmatch_lines(["*INCONCLUSIVE 1 of 1 undecided*"])
    hidden = project.runpytest_inprocess(*chosen, "--modellab-on-inconclusive=pass")
    hidden.stdout.no_fnmatch_line("*undecided*")
