"""``modellab card``, as it is called."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab import scorers, testing
from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline, Repeat
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets import jsonl

CONFIG = """
[models.tiny]
source = "model"
[task_sets.words]
path = "words"
margin = 0.02
capability_margin = 0.05
floor = 0.3
[task_sets.other]
path = "other"
[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "prompt.jinja"
[variants.rounded]
kind = "quantized"
base = "plain"
method = "rtn"
"""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSet:
    """A project with two task sets of two capabilities, and nothing accepted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "modellab.toml").write_text(CONFIG)
    samples = testing.choice_samples(["alpha", "beta"], 20)
    testing.write_task_set(tmp_path / "other", samples[:60])
    return jsonl.read(testing.write_task_set(tmp_path / "words", samples), scorers.check)


@pytest.fixture
def card(words: TaskSet, call: Call) -> Call:
    return functools.partial(call, "card")


@pytest.fixture
def accept(words: TaskSet, record: Callable[..., RunRecord]) -> Callable[..., None]:
    """Write a baseline whose first `wrong` samples of 120 fail, and one flips in a second run."""

    def write(variant: str, wrong: int, *, task_set: TaskSet = words) -> None:
        base = None if variant == "plain" else "plain"
        scores = [0.0] * wrong + [1.0] * (120 - wrong)
        run = record(
            task_set,
            scores,
            variant={"name": variant, "kind": "x", "strategy": "y", "base": base},
        )
        again = Repeat((*scores[:-1], 0.0), {})
        path = file.path_of(Path("baselines"), "words", variant)
        file.write(path, Baseline(run, again))

    return write


def test_it_is_printed_from_the_accepted_runs(card: Call, accept: Callable[..., None]) -> None:
    hub = pytest.importorskip("huggingface_hub")
    accept("plain", 6)
    accept("rounded", 60)
    code, out, err = card("rounded")
    assert (code, err) == (0, "")
    read = hub.ModelCard(out)
    found = {r.metric_name: r.metric_value for r in read.data.eval_results}
    assert read.data.model_name == "rounded"
    assert found["success"] == 0.5
    assert found["churn"] == pytest.approx(1 / 120, abs=1e-4)
    assert {"capability: alpha", "capability: beta"} <= set(found)
    assert {r.dataset_type for r in read.data.eval_results} == {"words"}, "not accepted on other"
    assert "| success | 120 | 0.500 ± 0.046 | 0.950 ± 0.020 |" in out
    assert (
        "- **BLOCK** against baseline of plain, all samples: the mean score fell from 0.95 to 0.50"
        in out
    )
    assert "against baseline of plain, forgetting: " in out
    assert "against floor, worst bucket: " in out


def test_a_card_is_made_then_updated(card: Call, accept: Callable[..., None]) -> None:
    pytest.importorskip("huggingface_hub")
    accept("plain", 6)
    assert card("plain", "-o", "README.md") == (0, "wrote README.md: words\n", "")
    path = Path("README.md")
    mine = path.read_text().replace("---\nmodel-index", "---\nlicense: mit # mine\nmodel-index")
    path.write_text(f"{mine}\n## Mine\n")
    assert card("plain", "-o", "README.md") == (0, "README.md is unchanged\n", "")
    accept("plain", 30)
    assert card("plain", "-o", "README.md") == (0, "updated README.md: words\n", "")
    text = path.read_text()
    assert text.startswith("---\nlicense: mit # mine\nmodel-index:\n")
    assert text.endswith("\n## Mine\n")
    assert "| success | 120 | 0.750 " in text
    assert "value: 0.95" not in text


def test_a_linked_card_stays_a_link(card: Call, accept: Callable[..., None]) -> None:
    pytest.importorskip("huggingface_hub")
    accept("plain", 6)
    Path("cards").mkdir()
    Path("README.md").symlink_to("cards/real.md")
    assert card("plain", "-o", "README.md")[0] == 0
    assert Path("README.md").is_symlink()
    assert "## Evaluation" in Path("cards/real.md").read_text()


def test_what_is_not_accepted(card: Call, accept: Callable[..., None]) -> None:
    nothing = "modellab: nothing was accepted of 'plain' yet: modellab accept plain\n"
    assert card("plain") == (2, "", nothing)
    accept("plain", 6)
    code, _, err = card("plain", "--task-set", "other")
    assert code == 2
    assert err.startswith("modellab: no baseline of 'plain' on 'other': ")
    code, _, err = card("plane")
    assert (code, err) == (
        2,
        "modellab: unknown variant 'plane'; did you mean 'plain'? Known: plain, rounded\n",
    )


def test_a_baseline_of_another_version(
    card: Call, accept: Callable[..., None], words: TaskSet
) -> None:
    changed = dataclasses.replace(words.samples[0], input="changed")
    accept("plain", 6, task_set=dataclasses.replace(words, samples=(changed, *words.samples[1:])))
    assert card("plain") == (
        2,
        "",
        "modellab: the baseline of 'plain' on 'words' is of another version of the task set; "
        "accept it again: modellab accept plain --task-set words\n",
    )


def test_a_card_that_is_none_is_left_as_it_is(card: Call, accept: Callable[..., None]) -> None:
    pytest.importorskip("huggingface_hub")
    accept("plain", 6)
    Path("README.md").write_text("---\n- a\n---\n")
    assert card("plain", "-o", "README.md") == (
        2,
        "",
        "modellab: README.md: its front matter is list, expected keys with values\n",
    )
    assert Path("README.md").read_text() == "---\n- a\n---\n"
    Path("latin.md").write_bytes(b"caf\xe9")
    _, _, err = card("plain", "-o", "latin.md")
    assert err.endswith("latin.md: is not UTF-8 text: unexpected end of data\n")
    _, _, err = card("plain", "-o", ".")
    assert err.endswith(": cannot be read: Is a directory\n")
    _, _, err = card("plain", "-o", "latin.md/README.md")
    assert err.endswith("README.md: cannot be read: Not a directory\n")


def test_without_the_hubs_library(
    card: Call, accept: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    accept("plain", 6)
    monkeypatch.setitem(sys.modules, "huggingface_hub.repocard_data", None)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, out, err = card("plain")
    assert (code, out) == (2, "")
    assert err == (
        "modellab: a model card needs huggingface_hub: pip install 'pytest-modellab[transformers]'"
        "\n"
    )


GRADED = """
[task_sets.words.metrics.probability]
margin = 0.01
capability_margin = 0.02
floor = 0.5
"""


def test_it_says_what_a_metric_shows(
    card: Call, accept: Callable[..., None], record: Callable[..., RunRecord]
) -> None:
    pytest.importorskip("huggingface_hub")
    with Path("modellab.toml").open("a") as config:
        config.write(GRADED)
    for name, value in (("plain", 0.8), ("rounded", 0.7)):
        accept(name, 6)
        path = file.path_of(Path("baselines"), "words", name)
        found = file.read(path)
        assert found is not None
        samples = tuple(
            dataclasses.replace(one, metrics={"probability": value - 0.02 * (k % 2)})
            for k, one in enumerate(found.run.samples)
        )
        file.write(
            path,
            dataclasses.replace(found, run=dataclasses.replace(found.run, samples=samples)),
        )
    code, out, err = card("rounded", "--metric", "probability")
    assert (code, err) == (0, "")
    assert "| probability | – | 0.690 | 0.790 |" in out
    assert (
        "- **BLOCK** against baseline of plain, all samples by probability: the mean score "
        "fell from 0.79 to 0.69 (n = 120)"
    ) in out
    assert "against floor, worst bucket by probability: " in out
    assert "all samples: the mean" in out, "the score stays first"
    plain, _, _ = card("rounded")[1].partition("### Limits")
    assert "by probability" not in plain
    _, out, _ = card("rounded", "--metric", "likelihood")
    assert "- not judged: metric 'likelihood': the run of 'plain' on 'words' has none. " in out
    assert out.count("not judged: metric 'likelihood'") == 1
    code, out, err = card("rounded", "--metric", "probabilty")
    assert (code, out) == (2, "")
    assert err == (
        "modellab: --metric probabilty: no accepted run of 'rounded' has it, or it is not judged; "
        "did you mean 'probability'? Known: likelihood, probability\n"
    )
