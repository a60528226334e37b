"""A model that is made of parts is blocked: which of them it is, is told by putting them back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from outcomes import assert_outcomes

from pytest_modellab import cli
from pytest_modellab.records import diagnosed
from pytest_modellab.records.diagnosis import Diagnosis
from pytest_modellab.reports.diagnosed import one_line

CONFTEST = """
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.extend import Kind, Output, Plan, Setting, check_options
from pytest_modellab.variants import prompt

# how many of ten numbers each part loses by itself; "thin" loses all where both are thin
PARTS = {"ear": Setting(str, "0"), "mouth": Setting(str, "0")}


def made_of(plan):
    return {"preprocessing": str(plan.quantization["rate"]), **plan.quantization}


class Repeating:
    abilities = frozenset({"generate"})

    def __init__(self, plan):
        own = made_of(plan)
        for part, lent in plan.borrowed.items():
            theirs = made_of(lent.plan)
            if "wide" in (own[part], theirs[part]):
                raise VariantLoadError(f"{part}: 384 wide here, 512 in the base's")
            own[part] = theirs[part]
        self.parts = {name: own[name] for name in ("preprocessing", "ear", "mouth")}
        self.bias = plan.quantization["bias"]

    def render(self, messages):
        return messages[-1]["content"]

    def generate(self, requests, *, budget, skip, done):
        numbers = [r.context.removeprefix("say ") for r in requests]
        done({k: Output(self.reply(number)) for k, number in enumerate(numbers)})

    def score_options(self, requests, *, budget, skip, done):
        assert not requests

    def reply(self, number):
        rate, ear, mouth = self.parts.values()
        if self.bias or rate != "16000" or (ear == mouth == "thin"):
            return "?"
        worst = max(int(one) if one.isdigit() else 0 for one in (ear, mouth))
        return "?" if int(number) % 10 < worst else number

    def parameter_bytes(self):
        return 0

    def close(self):
        pass


def plan(spec, base, model, root):
    known = {"rate": Setting(int, 16000), "bias": Setting(int, 0), **PARTS}
    found = check_options(spec.options, known)
    return Plan(
        model=model,
        prompt=prompt.read(root / "prompt.jinja"),
        packages=(),
        quantization=found,
        engine="repeating-1",
        open=lambda plan, folder, cache: Repeating(plan),
        preprocessing=lambda plan, files: {"rate": plan.quantization["rate"]},
        parts=("preprocessing", "ear", "mouth"),
        consists=lambda plan, files: {part: plan.quantization[part] for part in PARTS},
    )


def pytest_modellab_kinds():
    return [Kind("repeating", "repeating", "repeating", plan, needs_model=False)]
"""

VARIANTS = {
    "deaf": 'ear = "9"\nmouth = "1"',
    "slow": "rate = 8000",
    "thin": 'ear = "thin"\nmouth = "thin"',
    "both": 'ear = "9"\nmouth = "9"',
    "wide": 'ear = "wide"\nrate = 8000',
    "biased": "bias = 1",
    "broad": 'ear = "wide"\nmouth = "1"\nbias = 1',
    "alone": 'ear = "wide"\nbias = 1',
}

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("numbers"), pytest.mark.variants(base="plain")]

def test_cost(candidate, gate):
    gate.no_regression(candidate, against="base")
"""


@pytest.fixture(scope="session")
def repeating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose base answers everything right."""
    folder = tmp_path_factory.mktemp("repeating")
    declared = "".join(
        f'[variants.{name}]\nkind = "repeating"\nbase = "plain"\n{options}\n'
        for name, options in {"same": "", **VARIANTS}.items()
    )
    (folder / "modellab.toml").write_text(
        '[task_sets.numbers]\npath = "numbers"\nmargin = 0.02\n'
        f'[variants.plain]\nkind = "repeating"\n{declared}'
    )
    (folder / "prompt.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_suite.py").write_text(SUITE)
    samples = [
        {
            "id": f"{capability}-{n:02}",
            "input": f"say {n}",
            "target": str(n),
            "scorer": "exact",
            "max_tokens": 4,
            "capability": capability,
            "difficulty": "easy",
        }
        for capability in ("alpha", "beta")
        for n in range(20)
    ]
    (folder / "numbers").mkdir()
    (folder / "numbers" / "task_set.toml").write_text('name = "numbers"\nversion = "1"\n')
    (folder / "numbers" / "samples.jsonl").write_text(
        "".join(json.dumps(one) + "\n" for one in samples)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELLAB_CACHE", str(folder / "cache"))
        assert cli.main(["accept", "plain", "--config", str(folder / "modellab.toml")]) == 0
    return folder


Diagnose = Callable[[str], Diagnosis]


@pytest.fixture
def diagnose(repeating: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Diagnose:
    monkeypatch.chdir(repeating)
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))

    def run(candidate: str) -> Diagnosis:
        file = tmp_path / f"{candidate}.json"
        arguments = ["diagnose", "plain", candidate, "--task-set", "numbers", "--json", str(file)]
        ended = cli.main([*arguments, "--html", str(tmp_path / f"{candidate}.html")])
        found = diagnosed.from_json(file.read_text())
        assert ended == (found.culprit is not None)
        return found

    return run


def told(found: Diagnosis) -> list[tuple[str, int | None, int | None, str]]:
    assert found.blame is not None
    return [(one.part, one.right_again, one.lost_alone, one.why) for one in found.blame.parts]


SAME = "as the base's, not put back"


def test_the_part_that_most_answers_come_back_with_is_named(
    diagnose: Diagnose, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diagnose("deaf")
    assert found.headline == "the ear accounts for 10 of 12 lost answers"
    assert told(found) == [
        ("preprocessing", None, None, SAME),
        ("ear", 10, 12, ""),
        ("mouth", 0, 2, ""),
    ]
    assert found.blame is not None
    assert found.blame.of == 36
    assert found.blame.whole is not None
    assert found.blame.whole.right_again == 12
    assert found.notes == ()
    out = capsys.readouterr().out.splitlines()
    assert out[:5] == [
        "[Diagnosis] deaf against plain: the ear accounts for 10 of 12 lost answers",
        "  lost           12 of 36 lost answers asked again; their mean score: 1.00 -> 0.00",
        "  preprocessing  as the base's, not put back",
        "  ear            put back, 10 of 12 right again (mean score: 0.00 -> 0.83); alone in the "
        "base, the candidate's loses 12",
        "  mouth          put back, 0 of 12 right again (mean score: 0.00 -> 0.00); alone in the "
        "base, the candidate's loses 2",
    ]
    page = (tmp_path / "deaf.html").read_text()
    assert "deaf is made of 3 parts." in page
    assert "With the ear put back, 10 are right again; the other way round, plain with" in page


def test_what_is_prepared_otherwise_is_a_part(diagnose: Diagnose) -> None:
    found = diagnose("slow")
    assert found.headline == "the preprocessing accounts for 12 of 12 lost answers"
    assert told(found) == [
        ("preprocessing", 12, None, ""),
        ("ear", None, None, SAME),
        ("mouth", None, None, SAME),
    ]
    assert found.findings[0].likely == (
        "media are prepared otherwise: rate: 8000 here, 16000 there"
    )


def test_of_parts_that_act_together_none_is_named(diagnose: Diagnose) -> None:
    found = diagnose("thin")
    assert found.culprit is None
    assert found.fault == "together"
    assert found.headline == (
        "ear or mouth put back brings back 12 of 12 lost answers: they act together"
    )
    assert told(found)[1:] == [("ear", 12, 0, ""), ("mouth", 12, 0, "")]


def test_of_parts_that_each_lose_the_answers_none_is_named(diagnose: Diagnose) -> None:
    found = diagnose("both")
    assert found.culprit is None
    assert found.headline == "ear and mouth each lose most of the 12 lost answers by themselves"
    assert told(found)[1:] == [("ear", 0, 12, ""), ("mouth", 0, 12, "")]


def test_a_part_that_does_not_fit_is_said_with_the_reason(diagnose: Diagnose) -> None:
    found = diagnose("wide")
    assert found.culprit == "preprocessing"
    assert told(found) == [
        ("preprocessing", 12, 12, ""),
        ("ear", None, None, "ear: 384 wide here, 512 in the base's"),
        ("mouth", None, None, SAME),
    ]
    assert "(of 40 in all; alone in the base, it loses 12 of 12; not put back: ear)" in one_line(
        found
    )
    found = diagnose("alone")
    assert found.headline == "no part could be put back, the 12 lost answers stay unexplained"
    found = diagnose("broad")
    assert found.blame is not None
    assert found.blame.whole is None
    assert found.headline == (
        "no part that could be put back accounts for the 12 lost answers; the ear could not be"
    )


def test_what_lies_in_no_part_is_said(diagnose: Diagnose) -> None:
    found = diagnose("biased")
    assert found.culprit is None
    assert found.headline == (
        "all parts are as the base's, the 12 lost answers lie in none of them"
    )


def test_a_variant_that_lost_nothing_is_refused(
    diagnose: Diagnose, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["diagnose", "plain", "same", "--task-set", "numbers"]
    assert cli.main(arguments) == 2
    assert "no answer of same is worse than plain's on samples" in capsys.readouterr().err


def test_two_that_share_no_samples_are_refused(
    diagnose: Diagnose, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diagnose", "plain", "same"]) == 2
    assert (
        "no samples are known that both plain and same were asked, so that there is nothing to "
        "ask again; name a task set that both can be asked: --task-set NAME"
    ) in capsys.readouterr().err


def test_a_bundle_is_refused(diagnose: Diagnose, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["diagnose", "plain", "deaf", "--task-set", "numbers", "--bundle", "deaf.zip"]
    assert cli.main(arguments) == 2
    assert "--bundle: deaf is made of parts" in capsys.readouterr().err


def test_a_blocked_test_says_which_part_it_is(
    repeating: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    report = pytester.path / "report.json"
    result = pytester.runpytest_inprocess(
        f"--rootdir={repeating}",
        str(repeating),
        "-k",
        "deaf or slow or same",
        f"--modellab-json={report}",
    )
    assert_outcomes(result, inconclusive=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*diagnosis: the ear accounts for 10 of 12 lost answers (of 36 in all; alone in the "
            "base, it loses 12 of 12)",
            "*part by part: modellab diagnose plain deaf --task-set numbers --config *",
            "*diagnosis: the preprocessing accounts for 12 of 12 lost answers (of 40 in all; no "
            "other part differs); media are prepared otherwise: rate: 8000 here, 16000 there",
        ]
    )
    written = json.loads(report.read_text())["diagnoses"]
    assert sorted(written) == ["deaf", "slow"]
    assert written["slow"]["blame"]["parts"][0]["right_again"] == 12


def test_without_time_it_is_said_what_it_would_take(
    repeating: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    result = pytester.runpytest_inprocess(
        f"--rootdir={repeating}", str(repeating), "-k", "deaf", "--modellab-diagnose-budget=5"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*deaf was not diagnosed: it takes about 6 s and 5 s of --modellab-diagnose-budget are*"]
    )
    result.stdout.no_fnmatch_line("*diagnosis: the ear*")
