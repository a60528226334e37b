"""`modellab compare` on a random model: what runs, what is printed and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pytest_modellab import cli, testing
from pytest_modellab.tradeoff import figures

PRICES = """
[performance]
requests = 2
rounds = 5
concurrency = 2
max_tokens = 2
[prices]
cpu = { usd_per_hour = 0.36 }
[scenarios.strict]
title = "what nothing can do"
weights = { quality = 1 }
limits = { quality = 0.999 }
"""


@pytest.fixture
def compare(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[[Sequence[str]], tuple[int, str, str]]:
    """Run a command in the project; returns exit code, output and errors."""
    path = project.path / "modellab.toml"
    path.write_text(path.read_text() + PRICES)
    monkeypatch.chdir(project.path)

    def run(arguments: Sequence[str]) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run


Compare = Callable[[Sequence[str]], tuple[int, str, str]]
BOTH = ["--variant", "plain", "--variant", "rounded"]


def test_one_line_a_variant_then_deltas_then_the_recommendation(compare: Compare) -> None:
    code, out, err = compare(["compare", *BOTH])
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("[Prompted] plain success=")
    for part in ("cost=$", "latency=", " (p95 ", "memory=", "worst=", "risk="):
        assert part in lines[0]
    assert lines[1].startswith("[Quantized] rounded success=")
    assert "against plain:" in lines
    assert any(line.startswith("  rounded latency ") for line in lines)
    (recommended,) = (line for line in lines if line.startswith("[Recommendation] "))
    assert "nothing for strict" in recommended
    assert any("no variant meets the limits" in line for line in lines)
    assert "forgetting is not judged: plain has no accepted second run" in out
    assert "plain on words: 0/132" in err


def test_the_report_holds_what_was_noted_of_the_models(compare: Compare) -> None:
    Path("model/chat_template.jinja").write_text(
        "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }}"
    )
    asked = ["compare", "--variant", "plain", "--no-latency", "--markdown", "t.md"]
    for _ in range(2):  # the second time from the store
        _, out, _ = compare([*asked, "--html", "t.html", "--json", "t.json"])
        (note,) = (line for line in out.splitlines() if "strftime_now" in line)
        assert note.startswith("note: model 'tiny' (source = 'model'): its chat template asks for")
        for name in ("t.md", "t.html", "t.json"):
            assert "(strftime_now)" in Path(name).read_text(), name


def test_the_second_time_nothing_is_run(compare: Compare) -> None:
    compare(["compare", *BOTH])
    _, first, _ = compare(["compare", *BOTH, "--json"])
    _, again, err = compare(["compare", *BOTH, "--json"])
    assert again == first
    assert "plain on words" not in err
    assert "latency of" not in err


def test_json_markdown_and_page_say_the_same(compare: Compare, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = {name: tmp_path / f"report.{name}" for name in ("json", "markdown", "html")}
    arguments = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    code, out, _ = compare(["compare", *BOTH, *arguments])
    assert code == 0
    assert out.startswith("[Prompted] plain")
    report = figures.loads(files["json"].read_text())
    assert [p.variant for p in report.profiles] == ["plain", "rounded"]
    assert report.profiles[0].latency is not None
    markdown = files["markdown"].read_text()
    assert markdown.startswith("### Recommendation: ")
    assert f"{report.profiles[0].success.value:.2f} ±" in markdown
    assert "<script" in files["html"].read_text()


def test_a_page_that_cannot_be_drawn_is_refused_before_anything_runs(
    compare: Compare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = compare(["compare", *BOTH, "--html", str(tmp_path / "page.html")])
    assert (code, out) == (2, "")
    assert "the trade-off page needs matplotlib" in err
    assert "pip install 'pytest-modellab[report]'" in err
    assert "plain on words" not in err


def test_markdown_is_printed_in_place_of_the_lines(compare: Compare) -> None:
    _, out, _ = compare(["compare", *BOTH, "--no-latency", "--markdown"])
    assert out.startswith("### Recommendation: ")
    assert "[Prompted]" not in out


def test_without_latency_there_is_no_cost_and_it_is_said(compare: Compare) -> None:
    _, out, err = compare(["compare", *BOTH, "--no-latency"])
    assert "latency=" not in out
    assert "cost=" not in out
    assert "(without cost, latency, which not every variant has)" in out
    assert "latency of" not in err


def test_a_variant_without_its_option_has_a_hint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["compare", "plain"])
    assert capsys.readouterr().err.endswith(
        "error: unknown: plain; a variant is named by --variant; modellab compare --help lists "
        "what there is\n"
    )


def test_a_named_scenario_that_nothing_meets_fails(compare: Compare) -> None:
    code, out, _ = compare(["compare", *BOTH, "--no-latency", "--scenario", "strict"])
    assert code == 1
    assert "prototype" not in out
    assert "is allowed" in out


def test_accepted_variants_are_the_default(compare: Compare) -> None:
    assert compare(["accept", "plain", "rounded"])[0] == 0
    code, out, _ = compare(["compare", "--no-latency"])
    assert code == 0
    assert out.startswith("[Prompted] plain")
    assert "rounded forgetting" in out or "forgetting NOT JUDGED" in out


def test_an_accepted_run_of_another_prompt_is_named(compare: Compare) -> None:
    assert compare(["accept", "plain"])[0] == 0
    prompt = Path("prompt.jinja")
    prompt.write_text("Now: " + prompt.read_text())
    _, out, _ = compare(["compare", "--variant", "plain", "--no-latency"])
    assert (
        "forgetting is not judged: the accepted run of plain on words is of another plain: its "
        "model, prompt or options have changed since; modellab accept plain --task-set words\n"
    ) in out
    assert "no accepted second run" not in out


def test_a_variant_that_cannot_run_is_left_out_and_named(compare: Compare) -> None:
    code, out, _ = compare(["compare", *BOTH, "--variant", "unloadable", "--no-latency"])
    assert code == 1
    assert "note: unloadable is left out: " in out
    assert "nowhere" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variant", "plian"], "unknown variant 'plian'; did you mean 'plain'?"),
        (["--scenario", "prototyp"], "unknown scenario 'prototyp'; did you mean 'prototype'?"),
        (["--task-set", "word"], "unknown task set 'word'; did you mean 'words'?"),
        (["--reference", "plian"], "unknown variant 'plian'; did you mean 'plain'?"),
        (["--json", "--markdown"], "--json and --markdown cannot both be printed"),
        ([], "no variant was accepted on 'words' yet; name those to compare (--variant NAME)"),
        (["--variant", "unloadable"], "nowhere"),
        (["--token-budget", "0"], "--token-budget: '0' is not a whole number of tokens from 1 to"),
    ],
)
def test_what_is_wrong_is_said(compare: Compare, arguments: list[str], message: str) -> None:
    code, out, err = compare(["compare", *arguments, "--no-latency"])
    assert code == 2
    assert message in err
    assert not out


def test_a_file_that_cannot_be_written_is_named(compare: Compare, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("")
    code, _, err = compare(["compare", *BOTH, "--no-latency", "--json", str(target / "x.json")])
    assert code == 2
    assert "x.json: cannot be written" in err


def test_damaged_stored_timings_are_measured_anew(
    compare: Compare, project: pytest.Pytester
) -> None:
    compare(["compare", *BOTH])
    for place in (project.path / "cache" / "performance").glob("*.json"):
        place.write_text('{"candidate": [')
    _, out, err = compare(["compare", *BOTH, "--json"])
    assert "latency of plain" in err
    assert json.loads(out)["profiles"][0]["latency"] is not None


def test_by_a_metric_all_variants_have_the_same_samples(
    compare: Compare, project: pytest.Pytester
) -> None:
    """Half of them are replies: no probability, and the reference's are read under likelihood."""
    reply = {"scorer": "exact", "target": "Paris", "choices": [], "max_tokens": 4}
    samples = testing.choice_samples(["alpha", "beta"], 4)
    testing.write_task_set(
        project.path / "words", [s | reply if k % 2 else s for k, s in enumerate(samples)]
    )
    quiet = ["compare", *BOTH, "--no-latency"]
    code, out, err = compare([*quiet, "--metric", "probability"])
    assert code == 0
    assert out.startswith("[Prompted] plain probability=")
    assert "  rounded probability " in out
    assert "note: probability is judged on 12 of 24 samples: 12 have no option that is right" in out
    assert "success" not in out
    _, out, err = compare([*quiet, "--metric", "likelihood", "--json"])
    assert "plain on words" in err, "the replies are read"
    report = figures.loads(out)
    assert [profile.n for profile in report.profiles] == [24, 24]
    assert report.metric == "likelihood"
    assert compare([*quiet, "--metric", "likelihood", "--json"])[1:] == (out, "")
    code, _, err = compare([*quiet, "--metric", "recall@10"])
    assert code == 2
    assert "metric 'recall@10': the run of 'plain' on 'words' has none" in err
