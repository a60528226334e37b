"""``modellab plan``, as it is called."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli, gate, scorers, testing
from pytest_modellab.baselines.accepted import Baseline, Repeat
from pytest_modellab.baselines.file import path_of, write
from pytest_modellab.gate.planner import PLAN_UP_TO
from pytest_modellab.lab.declared import Declared
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.records.runs import Output, RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.store.place import default_folder
from pytest_modellab.store.runs import RunEntry, StoredRun
from pytest_modellab.tasksets import jsonl

CONFIG = """
[models.tiny]
source = "model"
[task_sets.words]
path = "words"
margin = 0.02
capability_margin = 0.05
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "prompt.jinja"
"""

Plan = Callable[..., str]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSet:
    """A project whose task set has two capabilities of 60 and 30 samples, and no baseline."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "modellab.toml").write_text(CONFIG)
    samples = [
        *testing.choice_samples(["alpha"], 20),
        *testing.choice_samples(["beta"], 10, seed=1),
    ]
    return jsonl.read(testing.write_task_set(tmp_path / "words", samples), scorers.check)


@pytest.fixture
def plan(words: TaskSet, capsys: pytest.CaptureFixture[str]) -> Plan:
    def run(*arguments: str, code: int = 0) -> str:
        assert cli.main(["plan", *arguments]) == code
        shown = capsys.readouterr()
        return shown.err if code else shown.out

    return run


@pytest.fixture
def accepted(words: TaskSet, record: Callable[..., RunRecord]) -> RunRecord:
    """Its baseline, of nine tokens a sample and 0.1 s a token; 9 of 90 samples flipped."""
    run = record(words, probes={"seconds": 81.0, "tokens": 810.0})
    again = Repeat(tuple([0.0] * 9 + [1.0] * 81), {})
    write(path_of(Path("baselines"), "words", "plain"), Baseline(run, again))
    return run


def row(text: str, name: str) -> list[str]:
    (line,) = [line for line in text.split("\n") if line.startswith(f"{name} ")]
    return line.split()


def test_a_declared_task_set(plan: Plan, accepted: RunRecord) -> None:
    text = plan("--drop", "0.3", "--usd-per-hour", "2")
    needed = gate.samples_for(0.3, churn=0.1, margin=0.05, level=0.0125)
    assert needed is not None
    power = gate.power(30, 0.3, churn=0.1, margin=0.05, level=0.0125)
    found = row(text, "beta")
    assert found[1:4] == ["30", "30", "0.013"]
    assert found[5:9] == [
        f"{power:.2f}",
        str(needed),
        str(needed - 30),
        f"{0.9 * (needed - 30):.0f}",
    ]
    assert row(text, "alpha")[7] == str(max(needed - 60, 0))
    assert row(text, "all")[1:4] == ["90", "90", "0.025"]
    for line in (
        "words 1: 90 samples, by capability",
        "  asked: a drop of 0.3 noticed with power 0.8; allowed: 0.02 of the mean, 0.05 of a bucket"
        "",
        "  churn 0.1, as measured on 'plain', run twice",
        "  times by tokens, from the baseline of 'plain' of an unknown day",
        "a run takes 81 s for one variant now",
        "to pass with power 0.8 if nothing changes: too few samples in 3: alpha, beta, all",
    ):
        assert line in text.split("\n")
    assert (
        "  alpha 0.05 shared by 2 assertions, the mean and the family of buckets; a suite" in text
    )
    lacking = max(needed - 60, 0) + needed - 30
    assert f"to add, so that every capability notices it: {lacking} samples, " in text
    assert f" and ${0.9 * lacking / 3600 * 2:.2g} more in every run of one variant" in text


def test_without_a_baseline(plan: Plan) -> None:
    text = plan()
    assert "a drop of 0.1 noticed" in text  # twice the capability's margin
    assert "churn 0.1, assumed: none was measured (modellab accept does)" in text
    assert "no times: there is no baseline of these samples" in text
    assert "samples; --seconds-per-sample tells what they cost" in text
    assert "a run takes" not in text
    assert row(text, "beta")[-2] == "–"


def test_a_baseline_of_other_samples_does_not_count(
    plan: Plan, accepted: RunRecord, words: TaskSet
) -> None:
    path = Path(words.path) / jsonl.SAMPLES
    path.write_text(path.read_text().replace("alpha-easy-000", "alpha-easy-new"))
    assert "no times: there is no baseline of these samples" in plan()


def test_times_of_a_stored_run_go_first(plan: Plan, accepted: RunRecord, words: TaskSet) -> None:
    outputs = tuple(
        Output("one", seconds=2.0 if sample.capability == "beta" else 0.5)
        for sample in words.samples
    )
    entry = RunEntry(default_folder(), words, accepted.fingerprint)
    entry.write(StoredRun(outputs, {}, {}))
    text = plan()
    assert "times as stored here of 'plain'" in text
    assert "a run takes 90 s for one variant now" in text
    alpha, beta = row(text, "alpha"), row(text, "beta")
    assert int(alpha[-2]) == pytest.approx(0.5 * int(alpha[-3]), abs=0.5)
    assert int(beta[-2]) == 2 * int(beta[-3])


def test_what_a_time_pays_for(
    plan: Plan, accepted: RunRecord, words: TaskSet, tmp_path: Path
) -> None:
    text = plan("--minutes", "30", "--json", str(tmp_path / "plan.json"))
    settings: dict[str, Any] = {
        "churn": 0.1,
        "margin": 0.02,
        "level": 0.025,
        "enumerate_up_to": PLAN_UP_TO,
    }
    notices = gate.detectable_drop(2000, **settings)
    (found,) = json.loads((tmp_path / "plan.json").read_text())["words"]["affordable"]
    assert found == {
        "variant": "plain",
        "device": "cpu",
        "rate": pytest.approx(90 / 81),
        "source": "accepted",
        "samples": 2000,
        "notices": pytest.approx(notices, abs=1e-9),
    }
    asked = gate.detectable_drop(90, **settings)
    table = text.partition("what 30 min of one variant pay for, of samples like these:\n")[2]
    assert row(table, "plain") == ["plain", "cpu", "1.11", "2,000", f"{notices:.3f}", "accepted"]
    assert (
        "notices: the smallest drop of the mean that blocks with power 0.8; 0.02 is allowed, and "
        f"the 90 samples that are asked notice {asked:.2f}\n"
    ) in table
    assert "limit" not in table
    short = plan("--minutes", "1").partition("what 1 min of one variant")[2]
    assert "\nlimit = 66 keeps plain on cpu within 1 min\n" in short


def test_a_variant_is_found_once_for_all_task_sets(
    plan: Plan, words: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("modellab.toml").open("a") as toml:
        toml.write('[task_sets.again]\npath = "words"\n')
    (default_folder() / "runs").mkdir(parents=True)
    found: list[str] = []
    known = Declared._found

    def counted(self: Declared, spec: VariantSpec) -> Resolved:
        found.append(spec.name)
        return known(self, spec)

    monkeypatch.setattr(Declared, "_found", counted)
    assert plan().count("by capability") == 2
    assert found == ["plain"]


def test_each_device_has_a_line(
    plan: Plan, accepted: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = dataclasses.replace(
        accepted,
        probes={"seconds": 0.5},
        environment={"device": "cuda", "accelerator": "NVIDIA H200", "recorded": "2026-11-29"},
    )
    monkeypatch.setattr(Lab, "variant", lambda *_: None)
    monkeypatch.setattr(Lab, "stored", lambda *_: fast)
    (default_folder() / "runs").mkdir(parents=True)
    table = plan().partition("what 5 min of one variant pay for")[2]
    here, there = [line for line in table.split("\n") if line.startswith("plain ")]
    assert here.split()[1:5] == ["NVIDIA", "H200", "180", "54,000"]
    assert here.endswith("stored here")
    assert there.split()[1:4] == ["cpu", "1.11", "333"]


def test_nothing_is_known_of_the_time(plan: Plan) -> None:
    assert "not known how fast" not in plan()
    said = "not known how fast: plain; accept them on the device that judges them: modellab accept "
    assert plan("--minutes", "4").rstrip().endswith(f"{said}plain")


@pytest.mark.parametrize("minutes", ["0", "-1", "soon", "nan", "1e7"])
def test_minutes_that_are_none(capsys: pytest.CaptureFixture[str], minutes: str) -> None:
    with pytest.raises(SystemExit):
        cli.main(["plan", f"--minutes={minutes}"])
    assert f"'{minutes}' is not a number of minutes above 0" in capsys.readouterr().err


def test_settings_given(plan: Plan, accepted: RunRecord) -> None:
    text = plan(
        *("--churn", "0.03", "--margin", "0", "--alpha", "0.1", "--assertions", "5"),
        *("--power", "0.9", "--by", "difficulty", "--seconds-per-sample", "0.2"),
    )
    assert "asked: a drop of 0.05 noticed with power 0.9; allowed: 0 of the mean, 0 of a b" in text
    assert "  churn 0.03, as given\n  alpha 0.1 shared by 5 assertions\n" in text
    assert "  0.2 s a sample, as given\n" in text
    needed = gate.samples_for(0.05, churn=0.03, level=0.02 / 3, power=0.9, in_family=True)
    assert row(text, "hard")[1] == "30"
    assert row(text, "hard")[6] == str(needed)
    assert "to pass: no difficulty can at an allowed drop of 0" in text


def test_an_allowed_drop(plan: Plan) -> None:
    text = plan("--drop", "0.05")
    assert row(text, "beta")[6:9] == ["–", "–", "–"]
    assert (
        "to add: nothing helps, for one capability may drop by 0.05; ask for more (--drop) or "
        "allow less (--margin)"
    ) in text


def test_sizes_alone(plan: Plan) -> None:
    text = plan("--sizes", "400,60", "--churn", "0.02", "--drop", "0.1")
    assert "460 samples in 2 buckets" in text
    assert row(text, "1")[7] == "0"
    assert f"{gate.power(60, 0.1, churn=0.02, level=0.0125, in_family=True):.2f}" in row(text, "2")
    assert " (2) to " in text
    even = plan("--sizes", "400,400", "--drop", "0.2")
    assert "nothing, every bucket notices it" in even
    assert (
        "power of the run, a lower bound: >.99 if every bucket falls by 0.2; >.99 if one alone does"
    ) in even


def test_what_to_keep_is_written(plan: Plan, accepted: RunRecord, words: TaskSet) -> None:
    text = plan("--time-budget", "36s", "--write", "small", "--json", "plan.json")
    assert "to keep within 36 s for one variant: 40 of 90 samples, equally many of each" in text
    kept = text[text.index("to keep within") :]
    assert row(kept, "alpha")[1:4] == ["60", "20", "18.0"]
    assert row(kept, "beta")[1:4] == ["30", "20", "18.0"]
    assert "the mean over all samples then weighs each capability otherwise than now" in text
    assert "wrote small: words_40 1+kept40, 40 samples; declare it under [task_sets]" in text
    written = jsonl.read(Path("small"), scorers.check)
    data: dict[str, Any] = json.loads(Path("plan.json").read_text())["words"]
    assert data["kept"]["samples"] == sorted(s.id for s in written.samples)
    assert data["kept"]["seconds"] == pytest.approx(36.0)
    assert [s for s in words.samples if s in written.samples] == list(written.samples)
    assert cli.main(["tasks", "check", "small"]) == 0
    assert "small: exists and is not an empty folder" in plan(
        "--time-budget", "36s", "--write", "small", code=2
    )


def test_a_longer_time_keeps_more_of_the_same(plan: Plan, accepted: RunRecord) -> None:
    found = []
    for budget in ("10s", "0.5m", "1h"):
        plan("--time-budget", budget, "--json", "plan.json")
        found.append(set(json.loads(Path("plan.json").read_text())["words"]["kept"]["samples"]))
    assert found[0] < found[1] < found[2]
    assert len(found[2]) == 90


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--time-budget", "30s"], "--time-budget: the time of a sample is not known; accept a"),
        (["--write", "x"], "--write: needs --time-budget and a declared task set"),
        (["--task-set", "wrods"], "unknown task set 'wrods'; did you mean 'words'?"),
        (["--variant", "plane"], "unknown variant 'plane'; did you mean 'plain'?"),
        (["--by", "topic"], "cannot slice 'words' by 'topic': 90 samples lack it"),
        (["--churn", "1.5"], "churn is 1.5, but must lie between 0 and 1"),
        (["--drop", "0.95"], "drop is 0.95, but must lie between 0 and 0.9"),
        (["--power", "1"], "power is 1, but must lie above 0 and below 1: it is the chance that"),
        (["--alpha", "0"], "alpha is 0, but must lie above 0 and below 1"),
        (["--margin", "1"], "margin is 1, but must be at least 0 and below 1"),
        (["--config", "none.toml"], "none.toml: cannot be read"),
        (["--json", "modellab.toml/x"], "modellab.toml/x: cannot be written: "),
        (
            ["--time-budget", "1s", "--seconds-per-sample", "1"],
            "1 s do not pay for two independent samples of each of 2 buckets; they take 4.0 s",
        ),
    ],
)
def test_what_cannot_be_planned(plan: Plan, arguments: list[str], message: str) -> None:
    assert message in plan(*arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "66,x"], "'x' is not a whole number above 0"),
        (["--sizes", "66,"], "'' is not a whole number above 0"),
        (["--assertions", "0"], "'0' is not a whole number above 0"),
        (["--time-budget", "soon"], "'soon' is not a time such as 30s, 5m or 1h"),
        (["--time-budget", "0s"], "'0s' is not a time such as 30s, 5m or 1h"),
        (["--time-budget", "\u0665m"], "'\u0665m' is not a time such as 30s, 5m or 1h"),
        (["--margin", "0_0.05"], "argument --margin: invalid decimal value: '0_0.05'"),
        (
            ["--drop", "\u0660.\u0660\u0665"],
            "argument --drop: invalid decimal value: '\u0660.\u0660\u0665'",
        ),
        (["--usd-per-hour", "-1"], "'-1' is not a number above 0"),
        (["--seconds-per-sample", "fast"], "'fast' is not a number above 0"),
    ],
)
def test_arguments(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["plan", *arguments])
    assert message in capsys.readouterr().err


def test_several_task_sets(plan: Plan, words: TaskSet) -> None:
    with Path("modellab.toml").open("a") as file:
        file.write('[task_sets.more]\npath = "words"\n')
    text = plan("--json", "plan.json")
    assert "words 1: 90 samples" in text
    assert "more 1: 90 samples" in text
    assert list(json.loads(Path("plan.json").read_text())) == ["words", "more"]
    assert "--write: 2 task sets; choose one: --task-set NAME" in plan(
        "--time-budget", "9s", "--write", "x", code=2
    )


# --- a graded metric -----------------------------------------------------------------------------

GRADED = """
[task_sets.words.metrics.probability]
margin = 0.01
capability_margin = 0.03
[variants.terse]
kind = "prompted"
base = "plain"
prompt = "prompt.jinja"
"""


@pytest.fixture
def changed(words: TaskSet, record: Callable[..., RunRecord]) -> list[float]:
    """Accepted runs of a variant and its base; how far the probability of each sample fell."""
    with Path("modellab.toml").open("a") as file:
        file.write(GRADED)
    falls = [0.02 + 0.06 * ((7 * k) % 5) / 4 for k in range(90)]

    def with_probability(run: RunRecord, values: list[float]) -> RunRecord:
        samples = [
            dataclasses.replace(one, metrics={"probability": value})
            for one, value in zip(run.samples, values, strict=True)
        ]
        return dataclasses.replace(run, samples=tuple(samples))

    plain = with_probability(record(words), [0.9] * 90)
    second = Repeat(tuple([1.0] * 90), {}, {"probability": tuple([0.9001, 0.8999] * 45)})
    terse = with_probability(
        record(words, [0.0] * 9 + [1.0] * 81, variant={**plain.variant, "name": "terse"}),
        [0.9 - fall for fall in falls],
    )
    write(path_of(Path("baselines"), "words", "plain"), Baseline(plain, second))
    write(path_of(Path("baselines"), "words", "terse"), Baseline(terse))
    return falls


def test_a_metric_has_the_spread_that_was_measured(plan: Plan, changed: list[float]) -> None:
    text = plan("--metric", "probability", "--drop", "0.06")
    spread = gate.Spread.of([-fall for fall in changed])
    for line in (
        "words 1: by probability, 90 samples, by capability",
        "  asked: a drop of 0.06 of probability noticed with power 0.8; allowed: 0.01 of the mean, "
        "0.03 of a bucket",
        f"  spread {spread.sd:.3g}, the standard deviation of the paired differences, as measured "
        f"(accepted runs) of terse against plain, which fell by {spread.drop:.3g}, the nearest to "
        "the drop that is asked about",
        "  numerics alone: 0.0001, 'plain' run twice",
        "samples that settle a change as measured, the mean of all of them, with power 0.8:",
    ):
        assert line in text.split("\n")
    assert "churn" not in text
    own = gate.Spread.of([-fall for fall in changed[60:]])
    needed = gate.graded_size(0.06, own, margin=0.03, level=0.0125)
    passing = gate.graded_pass_size(own, margin=0.03)
    found = row(text, "beta")
    assert found[3:5] == [f"{own.sd:.3f}", "0.013"]
    assert (found[7], found[-1]) == (str(needed), str(passing))
    whole = gate.graded_drop(90, spread, margin=0.01, level=0.025)
    assert row(text, "all")[5] == f"{whole:.3f}"


def test_which_metric_settles_a_change(plan: Plan, changed: list[float], tmp_path: Path) -> None:
    text = plan("--metric", "probability", "--json", str(tmp_path / "plan.json"))
    score, probability = json.loads((tmp_path / "plan.json").read_text())["words"]["changes"][
        "terse against plain"
    ]
    assert (score["metric"], score["n"], score["verdict"]) == ("score", 90, "block")
    assert score["needed"] == gate.samples_for(0.1, churn=0.0, margin=0.02, level=0.025)
    spread = gate.Spread.of([-fall for fall in changed])
    needed = gate.graded_size(spread.drop, spread, margin=0.01, level=0.025)
    assert (probability["margin"], probability["needed"]) == (0.01, needed)
    settled = text.partition("what 5 min of one variant")[0]
    assert row(settled, "terse")[2:5] == ["plain", "score", "90"]
    assert f"{needed} to block" in row_of(text, "probability", "90")


def row_of(text: str, *words: str) -> str:
    (line,) = [line for line in text.split("\n") if line.split()[: len(words)] == list(words)]
    return line


def test_a_metric_that_nobody_measured(plan: Plan) -> None:
    with Path("modellab.toml").open("a") as file:
        file.write(GRADED)
    text = plan("--metric", "probability")
    assert (
        "spread 0.25, the standard deviation of the paired differences, assumed: no change was "
        "measured; accept a variant and its base, or give it: --sd"
    ) in text
    assert "a drop of 0.06 of probability noticed" in text  # twice the capability's margin
    assert "settle a change" not in text
    given = plan("--metric", "probability", "--sd", "0.1")
    assert "spread 0.1, the standard deviation of the paired differences, as given" in given
    assert row(given, "all")[3] == "0.10"
    alone = plan("--metric", "likelihood", "--sd", "0.05", "--sizes", "60,60", "--margin", "0.01")
    assert row(alone, "1")[3] == "0.050"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sd", "0.1"], "--change and --sd: are about a metric; name it: --metric probability"),
        (
            ["--metric", "probability", "--churn", "0.1"],
            "--churn: is of right-or-wrong scores; of a metric give the standard deviation",
        ),
        (
            ["--metric", "probability", "--time-budget", "9s", "--write", "part"],
            "--write: a part planned by probability would lack the samples that it tells nothing",
        ),
        (["--metric", "probability", "--margin", "0"], "metric 'probability' at a margin of 0"),
        (
            ["--metric", "probabilty"],
            "--metric probabilty: no run on 'words' has it; did you mean 'probability'? Known: "
            "likelihood, probability; of a metric to come give the standard deviation",
        ),
        (
            ["--metric", "probability", "--sizes", "60,60"],
            "a margin of 0 would block; with --sizes say what may be lost: --margin 0.01",
        ),
        (
            ["--metric", "probability", "--margin", "0"],
            "; --margin asks for it: ask for 0.01, or what runs of an unchanged variant show",
        ),
        (["--metric", "probability", "--sd", "0.9"], "sd is 0.9, but must lie between 0 and 0.5"),
        (["--metric", "probability", "--change", "tersely"], "unknown change 'tersely'"),
    ],
)
def test_what_a_metric_cannot_be_planned_with(
    plan: Plan, changed: list[float], arguments: list[str], message: str
) -> None:
    assert message in plan(*arguments, code=2)


def test_what_a_metric_keeps_within_a_time(plan: Plan, changed: list[float]) -> None:
    text = plan("--metric", "probability", "--time-budget", "40s", "--seconds-per-sample", "1")
    assert "to keep within 40 s for one variant: 40 of 90 samples" in text


def test_a_task_set_without_the_metric_is_left_out(
    plan: Plan, changed: list[float], tmp_path: Path
) -> None:
    reply = {"scorer": "exact", "target": "Paris", "choices": [], "max_tokens": 6}
    samples = [one | reply for one in testing.choice_samples(["alpha"], 3)]
    testing.write_task_set(tmp_path / "replies", samples)
    with (tmp_path / "modellab.toml").open("a") as config:
        config.write('[task_sets.replies]\npath = "replies"\nmargin = 0.02\n')
    why = "metric 'probability': 'replies' has no sample with an option that is right"
    text = plan("--metric", "probability")
    assert text.startswith(f"replies is left out: {why}")
    assert "\nwords 1: by probability, 90 samples" in text
    assert why in plan("--metric", "probability", "--task-set", "replies", code=2)


@pytest.mark.parametrize("arguments", [[], ["--metric", "probability"]])
def test_nothing_is_declared(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "modellab.toml").write_text("")
    assert cli.main(["plan", *arguments]) == 2
    assert capsys.readouterr().err == (
        f"modellab: {tmp_path}/modellab.toml: declares no task set: add [task_sets.NAME] with a "
        "path\n"
    )
