"""``gate.fidelity`` inside pytest, on a small random model and its rounded copy."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.usefixtures("warmed")

SUITE = """
import pytest
pytestmark = [pytest.mark.task_set("words"), pytest.mark.variants({names})]

def test_fidelity(candidate, gate):
    gate.fidelity(candidate, {limits})
"""


def write(project: pytest.Pytester, limits: str, names: str = "'rounded'") -> None:
    (project.path / "test_suite.py").write_text(SUITE.format(limits=limits, names=names))


def test_moved_further_than_allowed_is_blocked(project: pytest.Pytester) -> None:
    write(project, "kl=1e-6, agreement=0.5")
    result = project.runpytest_inprocess(
        "--modellab-json", "out.json", "--modellab-markdown", "out.md", "--junitxml", "out.xml"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*blocked: KL is 0.00* nats a token (n = 132), and 1e-06 is allowed; *",
            "*measure * n *limit *candidate *bound *adjusted p *verdict",
            "*KL *132 *0.000001 *>= 0.00* *<0.0001 *block",
            "*agreement *132 *0.5 *0.9* *>= 0.9* *1.0000 *pass",
            "*note: 4* tokens: KL 0.00* nats a token, the same first choice in 9*%; *",
            "*note: worst capability: *, KL 0.00*",
            "*note: moved most: *-* (KL 0.0*), *",
            "*note: the divergence is a lower bound: the base's 256 largest probabilities *",
            "*BLOCK fidelity against plain: KL is 0.00*",
            "*rounded moved away from plain: KL 0.00* nats a token, 1e-06 allowed; look at the *",
        ]
    )
    report = json.loads((project.path / "out.json").read_text())
    (comparison,) = report["comparisons"]
    divergence, agreement = comparison["figures"]
    assert (comparison["verdict"], comparison["family"]) == ("block", 2)
    assert (divergence["name"], divergence["verdict"]) == ("KL", "block")
    assert divergence["drop"] == divergence["candidate"] > divergence["margin"] == 1e-6
    assert (agreement["name"], agreement["verdict"]) == ("agreement", "pass")
    assert agreement["floor"] == 0.5
    assert "block, KL 0.00" in (project.path / "out.md").read_text()
    assert "fidelity" in (project.path / "out.xml").read_text()


def test_within_the_limits_passes_and_is_measured_once(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another machine, with a store of its own, shares one."""
    write(project, "kl=0.01, agreement=0.9")
    monkeypatch.setenv("MODELLAB_CACHE", f"file://{project.path / 'team'}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / "one"))
    first = project.runpytest_inprocess("--modellab-json", "first.json")
    first.assert_outcomes(passed=1)
    first.stdout.fnmatch_lines(["*fidelity of plain on words: 132/132 samples*"])
    first.stdout.fnmatch_lines(["PASS: the comparison of 1 variant passed."])
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.path / "two"))
    second = project.runpytest_inprocess("--modellab-json", "second.json")
    second.assert_outcomes(passed=1)
    second.stdout.no_fnmatch_line("*fidelity of*")
    told = [(project.path / name).read_bytes() for name in ("first.json", "second.json")]
    assert told[0] == told[1]


def test_documents_are_read_as_running_text(project: pytest.Pytester) -> None:
    (project.path / "prose").mkdir()
    (project.path / "prose" / "task_set.toml").write_text(
        'name = "prose"\nversion = "1"\nformat = "documents"\nwindow = 16\ncontext = 9\n'
    )
    lines = [
        json.dumps(
            {"id": f"d{k}", "text": " ".join(["the rain falls on hill", str(k)] * (1 + k % 5))}
        )
        for k in range(40)
    ]
    (project.path / "prose" / "documents.jsonl").write_text("\n".join(lines) + "\n")
    with (project.path / "modellab.toml").open("a") as file:
        file.write('[task_sets.prose]\npath = "prose"\n')
    write(project, "kl=0.02, agreement=0.8")
    suite = project.path / "test_suite.py"
    suite.write_text(suite.read_text().replace('"words"', '"prose"'))
    result = project.runpytest_inprocess("--modellab-json", "out.json", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*fidelity of plain on prose: 40/40 samples*"])
    (comparison,) = json.loads((project.path / "out.json").read_text())["comparisons"]
    assert [(f["name"], f["n"], f["verdict"]) for f in comparison["figures"]] == [
        ("KL", 40, "pass"),
        ("agreement", 40, "pass"),
    ]
    write(project, "kl=1e-6")
    suite.write_text(suite.read_text().replace('"words"', '"prose"'))
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*blocked: KL is * nats a token (n = 40), *"])


def test_workers_find_what_one_process_finds(project: pytest.Pytester) -> None:
    write(project, "kl=0.01")
    project.runpytest_inprocess("--modellab-json", "alone.json").assert_outcomes(passed=1)
    result = project.runpytest_inprocess(
        "-n", "2", "--modellab-no-cache", "--modellab-json", "n2.json"
    )
    result.assert_outcomes(passed=1)
    told = [json.loads((project.path / n).read_text()) for n in ("alone.json", "n2.json")]
    means = [one["comparisons"][0]["figures"][0]["candidate"] for one in told]
    assert means[0] == pytest.approx(means[1], rel=1e-3)


def test_declared_limits_are_taken_and_others_are_told(project: pytest.Pytester) -> None:
    path = project.path / "modellab.toml"
    path.write_text(
        path.read_text().replace("floor = 0.02", "floor = 0.02\nkl = 0.01\nagreement = 0.9")
    )
    write(project, "")
    result = project.runpytest_inprocess("--modellab-json", "out.json")
    result.assert_outcomes(passed=1)
    (comparison,) = json.loads((project.path / "out.json").read_text())["comparisons"]
    assert [(f["name"], f["verdict"]) for f in comparison["figures"]] == [
        ("KL", "pass"),
        ("agreement", "pass"),
    ]
    write(project, "kl=0.02")
    result = project.runpytest_inprocess()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*overridden: kl 0.02 instead of 0.01 on words."])


@pytest.mark.parametrize(
    ("limits", "names", "message"),
    [
        (
            "",
            "'rounded'",
            "*gate.fidelity: no limit; say how far the candidate may move: kl=0.05 "
            "(nats a token), agreement=0.95 (share of tokens with the same first choice), or both; "
            "or declare it in *modellab.toml: task_sets.words.kl",
        ),
        (
            "kl=0",
            "'rounded'",
            "*gate.fidelity: kl is 0, but must lie above 0: it is the "
            "largest mean divergence from the base that is allowed, *",
        ),
        (
            "agreement=1.0",
            "'rounded'",
            "*gate.fidelity: agreement is 1, but must lie above 0 and below 1: *",
        ),
        ("kl=0.1", "'plain'", "*variant 'plain' has no base; name a variant: *"),
        (
            "kl=0.1, against='plain'",
            "'plain'",
            "*'plain' cannot move away from itself; name another variant: *",
        ),
    ],
)
def test_what_cannot_be_judged_says_what_to_do(
    project: pytest.Pytester, limits: str, names: str, message: str
) -> None:
    write(project, limits, names)
    result = project.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*{message.removeprefix('*')}"])
