"""Samples with pictures, from the task set to the reports: named, shown, and how they are prepared.

The kind names the colour that it sees, after it has subtracted its mean: with a wrong one it sees
another colour.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

pytest.importorskip("PIL")

CONFTEST = """
import functools

from pytest_modellab.extend import Kind, Output, Plan, check_options
from pytest_modellab.media import images
from pytest_modellab.variants.kinds.embedding import AS_IT_IS


class Looker:
    abilities = frozenset({"generate"})
    media = frozenset({"image"})

    def __init__(self, mean):
        self.mean = mean

    def render(self, messages):
        return messages[-1]["content"]

    def score_options(self, requests, *, budget, skip, done):
        assert not requests

    def generate(self, requests, *, budget, skip, done):
        for i, request in enumerate(requests):
            if i in skip:
                continue
            seen = images.opened(request.media[0]).getpixel((0, 0))
            left = [value / 255 - mean for value, mean in zip(seen, self.mean)]
            done({i: Output(text=["red", "green", "blue"][left.index(max(left))], tokens_out=1)})

    def parameter_bytes(self):
        return 0

    def close(self):
        pass


def opened(mean, plan, folder, cache):
    return Looker(mean)


def told(mean, plan, files):
    return {"image_mean": mean, "size": {"height": 8, "width": 8}}


def plan(spec, base, model, root):
    check_options(spec.options, {"mean": list})
    mean = spec.options.get("mean", [0.5, 0.5, 0.5])
    return Plan(
        model=model,
        prompt=AS_IT_IS,
        packages=(),
        engine="looker-1",
        open=functools.partial(opened, mean),
        media=frozenset({"image"}),
        preprocessing=functools.partial(told, mean),
    )


def pytest_modellab_kinds():
    return [Kind("looker", strategy="looking", marker="looker", plan=plan, needs_model=False)]
"""

CONFIG = """
[task_sets.colours]
path = "colours"
margin = 0.1
floor = 0.6
[variants.looks]
kind = "looker"
[variants.wrong_mean]
kind = "looker"
base = "looks"
mean = [1.9, 1.9, 0.5]
"""

SUITE = """
import pytest
pytestmark = pytest.mark.task_set("colours")

def test_floor(candidate, gate):
    gate.worst_bucket(candidate, by="difficulty")

@pytest.mark.variants("wrong_mean")
def test_base(candidate, gate):
    gate.no_regression(candidate, against="base")
"""

CHANGED = "image_mean: [1.9, 1.9, 0.5] here, [0.5, 0.5, 0.5] there"


@pytest.fixture
def colours(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    from PIL import Image

    monkeypatch.setenv("MODELLAB_CACHE", str(pytester.path / "cache"))
    for name in ("CI", "GITHUB_ACTIONS"):  # of the run that tests the package
        monkeypatch.delenv(name, raising=False)
    folder = pytester.path / "colours"
    folder.mkdir()
    samples = []
    for i in range(24):
        name = ("red", "green", "blue")[i % 3]
        Image.new("RGB", (8 + i, 8), name if name != "green" else "lime").save(folder / f"{i}.png")
        samples.append(
            {
                "id": f"c{i:02}",
                "input": "Which colour is it?",
                "image": f"{i}.png",
                "target": name,
                "scorer": "exact",
                "max_tokens": 4,
                "capability": "colours",
                "difficulty": "easy",
            }
        )
    (folder / "task_set.toml").write_text('name = "colours"\nversion = "1"\n')
    (folder / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    for name, text in (
        ("conftest.py", CONFTEST),
        ("modellab.toml", CONFIG),
        ("test_suite.py", SUITE),
    ):
        (pytester.path / name).write_text(text)
    result = pytester.runpytest_inprocess("--modellab-update", "-k", "looks")
    result.assert_outcomes(passed=1, deselected=2)
    return pytester


@pytest.mark.usefixtures("warmed")
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_wrong_mean_is_named_first_and_the_pictures_are_shown(
    colours: pytest.Pytester, tmp_path: Path, workers: str
) -> None:
    pytest.importorskip("xdist")
    pytest.importorskip("allure_pytest")
    folder, report = tmp_path / "results", tmp_path / "report.json"
    junit = tmp_path / "junit.xml"
    result = colours.runpytest_subprocess(
        workers,
        *("--alluredir", str(folder), "--modellab-json", str(report), "--junitxml", str(junit)),
    )
    result.assert_outcomes(passed=1, failed=2)
    message = [
        f"*preprocessing is not that of baseline of looks: {CHANGED}",
        "*blocked: the mean score fell from 1.00 to 0.33 *",
        "*16 flipped samples, 16 worse and 0 better*",
        "  c00  score 1 -> 0",
        "    shows              0.png, 8×8 png",
        "    asked              Which colour is it?",
        "    expected           red",
        "    baseline of looks  red",
        "    wrong_mean         blue",
        "*sample * shows * baseline of looks * wrong_mean*",
        "*c04 * 1 -> 0 * 4.png, 12×8 png * green * blue*",
    ]
    result.stdout.fnmatch_lines(_plain(message))
    result.stdout.fnmatch_lines(
        _plain([f"*preprocessing is not that of its base looks: {CHANGED}"])
    )
    result.stdout.fnmatch_lines(
        _plain(
            [
                f"wrong_mean: preprocessing is not that of baseline of looks: {CHANGED}",
                "[Looker] wrong_mean  success=0.33 *",
            ]
        )
    )
    said = f'value="preprocessing is not that of its base looks: {CHANGED}"'
    assert f'"modellab_preprocessing" {said}' in junit.read_text("utf-8")
    found = json.loads(report.read_text())
    told = {run["variant"]: run.get("preprocessing") for run in found["runs"]}
    assert told == {
        "looks": None,
        "wrong_mean": [{"other": "its base looks", "changed": [CHANGED]}],
    }
    flips = [c["flips"] for c in found["comparisons"] if c["assertion"] == "no_regression"]
    assert flips[0][0]["media"][0]["path"] == "0.png"
    assert (flips[0][0]["asked"], flips[0][0]["expected"]) == ("Which colour is it?", "red")
    results = [json.loads(path.read_text()) for path in folder.glob("*-result.json")]
    (blocked,) = [one for one in results if one["name"].startswith("test_base")]
    assert blocked["description"].startswith("**preprocessing is not that of baseline of looks: ")
    table, shown, *_ = blocked["attachments"]
    rows = list(csv.reader((folder / table["source"]).read_text("utf-8").splitlines()))
    assert rows[1][3] == "0.png, 8×8 png"
    assert shown["name"] == "What the flipped samples show: all samples against baseline of looks"
    assert shown["type"] == "text/html"
    page = (folder / shown["source"]).read_text("utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 16
    assert str(colours.path) not in page


def test_compare_tells_it_before_any_score_and_its_page_shows_them(
    colours: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from pytest_modellab import cli

    monkeypatch.chdir(colours.path)
    names = ["--variant", "looks", "--variant", "wrong_mean"]
    cli.main(["compare", *names, "--no-latency", "--html", "page.html"])
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"wrong_mean: preprocessing is not that of the reference looks: {CHANGED}"
    assert second.startswith("[Looker] looks success=1.00")
    page = (colours.path / "page.html").read_text("utf-8")
    assert page.index(CHANGED) < page.index("Recommendation")
    assert page.count('<img src="data:image/jpeg;base64,') == 16
    assert str(colours.path) not in page


def test_accepting_tells_what_is_prepared_otherwise(
    colours: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pytest_modellab import cli

    monkeypatch.chdir(colours.path)

    def accepted(*options: str, code: int = 0) -> list[str]:
        capsys.readouterr()
        assert cli.main(["accept", "wrong_mean", *options]) == code
        return capsys.readouterr().out.splitlines()[:2]

    first, second = accepted(code=1)  # refused: it is worse than its base
    assert first == f"wrong_mean: preprocessing is not that of its base looks: {CHANGED}"
    assert second == "wrong_mean on colours: success 0.333"
    first, second = accepted("--first")
    assert first == f"wrong_mean: preprocessing is not that of its base looks: {CHANGED}"
    assert second.startswith("wrong_mean on colours: success 0.333; wrote ")
    config = colours.path / "modellab.toml"
    config.write_text(CONFIG.replace("[1.9, 1.9, 0.5]", "[1.8, 1.9, 0.5]"))
    assert accepted() == [
        "wrong_mean: preprocessing is not that of the last accepted run: "
        "image_mean: [1.8, 1.9, 0.5] here, [1.9, 1.9, 0.5] there",
        "wrong_mean: preprocessing is not that of its base looks: "
        "image_mean: [1.8, 1.9, 0.5] here, [0.5, 0.5, 0.5] there",
    ]


def test_a_picture_that_went_during_a_run_is_said_in_its_place(
    colours: pytest.Pytester, tmp_path: Path
) -> None:
    pytest.importorskip("allure_pytest")
    folder = tmp_path / "results"
    colours.runpytest_inprocess("-k", "test_base")  # answered and stored
    suite = colours.path / "test_suite.py"
    gone = "    import pathlib; pathlib.Path('colours/0.png').unlink()\n    gate.no_regression"
    suite.write_text(SUITE.replace("    gate.no_regression", gone))
    result = colours.runpytest_inprocess("-k", "test_base", "--alluredir", str(folder))
    result.assert_outcomes(failed=1)
    (page,) = [
        text
        for path in folder.glob("*-attachment.html")
        if "Flipped samples: " in (text := path.read_text("utf-8"))
    ]
    assert page.count("<img ") == 15
    assert "not shown: no such file; put it there, or correct the path" in page


def _plain(lines: list[str]) -> list[str]:
    """Lines for fnmatch in which a bracket is only that."""
    return [line.replace("[", "[[]") for line in lines]
