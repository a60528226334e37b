"""``modellab diff``, as it is called: accepted runs, no model."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hostile import REPLIES, TEXTS, check_inert

from pytest_modellab import scorers, testing
from pytest_modellab.baselines import file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.records.runs import Fingerprint, RunRecord, SampleResult
from pytest_modellab.records.tasks import TaskSet
from pytest_modellab.tasksets import jsonl

CONFIG = """
[models.tiny]
source = "model"
[task_sets.words]
path = "words"
margin = 0.02
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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "modellab.toml").write_text(CONFIG)
    samples = testing.choice_samples(["alpha", "beta"], 2)
    return jsonl.read(testing.write_task_set(tmp_path / "words", samples), scorers.check)


@pytest.fixture
def diff(words: TaskSet, call: Call) -> Call:
    return functools.partial(call, "diff")


def accept(
    task_set: TaskSet,
    variant: str,
    wrong: Mapping[str, float],
    replies: Mapping[str, str] | None = None,
) -> None:
    """Accept a run that is right but for some samples, with what it gave to the right option."""
    results = []
    for sample in task_set.samples:
        place = (int(sample.target) + (sample.id in wrong)) % 3
        results.append(
            SampleResult(
                sample.id,
                sample.content_hash,
                float(sample.id not in wrong),
                (replies or {}).get(sample.id, f"it is {sample.choices[place]}"),
                1,
                1,
                metrics={"probability": wrong.get(sample.id, 0.9)},
            )
        )
    run = RunRecord(
        task_set=task_set.identity,
        variant={"name": variant, "kind": "k", "strategy": "s", "base": None},
        fingerprint=Fingerprint("w", "t", "p", {"versions": {}}),
        scorers={"choice": 1},
        samples=tuple(results),
        probes={},
        environment={"recorded": "2026-11-22"},
    )
    file.write(file.path_of(Path("baselines"), task_set.name, variant), Baseline(run))


@pytest.fixture
def accepted(words: TaskSet) -> TaskSet:
    accept(words, "plain", {"beta-easy-001": 0.4})
    accept(words, "rounded", {"alpha-easy-000": 0.45, "alpha-hard-001": 0.8, "beta-hard-000": 0.01})
    return words


def ids(out: str) -> list[str]:
    return [line.split()[2] for line in out.splitlines() if line[:1] in "▼▲=" and line]


def test_both_replies_stand_below_the_question(accepted: TaskSet, diff: Call) -> None:
    code, out, err = diff("plain", "rounded", "--sample", "alpha-easy-000")
    assert (code, err) == (0, "")
    sample = next(s for s in accepted.samples if s.id == "alpha-easy-000")
    right, wrong = (sample.choices[(int(sample.target) + i) % 3] for i in (0, 1))
    assert out.splitlines() == [
        "words, 12 samples",
        "A  plain: accepted run of 2026-11-22, mean 0.917",
        "B  rounded: accepted run of 2026-11-22, mean 0.750",
        "3 worse, 1 better, 8 with the same score",
        "",
        "▼ worse  alpha-easy-000  alpha/easy",
        f"  asked     {sample.input}",
        f"  expected  {right}",
        f"  A         it is [-{right}-]  (score 1, right option 90%)",
        f"  B         it is {{+{wrong}+}}  (score 0, right option 45%)",
    ]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([], ["alpha-easy-000", "alpha-hard-001", "beta-hard-000", "beta-easy-001"]),
        (["--flipped", "worse"], ["alpha-easy-000", "alpha-hard-001", "beta-hard-000"]),
        (["--flipped", "better"], ["beta-easy-001"]),
        (["--capability", "beta"], ["beta-hard-000", "beta-easy-001"]),
        (["--sort", "sure", "--limit", "2"], ["beta-hard-000", "beta-easy-001"]),
        (["--sort", "id", "--flipped", "replies", "--limit", "1"], ["alpha-easy-000"]),
        (["--sample", "alpha-easy-001"], ["alpha-easy-001"]),
    ],
)
def test_what_is_shown_can_be_chosen(
    accepted: TaskSet, diff: Call, arguments: list[str], shown: list[str]
) -> None:
    code, out, _ = diff("plain", "rounded", *arguments)
    assert code == 0
    assert ids(out) == shown


def test_more_samples_than_are_shown_are_counted(accepted: TaskSet, diff: Call) -> None:
    _, out, _ = diff("plain", "rounded", "--limit", "1")
    assert out.endswith("\nand 3 more samples: --limit 4\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plain", "--limit", "0"], "--limit 0: expected 1 or more"),
        (["plain@now"], "'plain@now': which run is 'now'? say @accepted or @stored"),
        (["plain", "plain@accepted"], "plain plain@accepted: that is one run twice"),
        (["plain", "roundd"], "unknown variant 'roundd'"),
        (["plain", "rounded", "--sample", "alpha-easy-00"], "has no 'alpha-easy-00' that both"),
        (["plain", "rounded", "--flipped", "wrse"], "--flipped: unknown 'wrse'; did you mean 'w"),
        (["plain", "--sample", "-x"], "begins with a dash is written --sample=VALUE"),
        (["plain", "plain", "x\x1b[2J"], "error: unknown: x\\x1b[2J; modellab diff --help lists"),
        (["plain", "rounded", "--capability", "gamma"], "--capability: 'words' has no 'gamma'"),
    ],
)
def test_wrong_calls_are_refused(
    accepted: TaskSet, diff: Call, arguments: list[str], message: str
) -> None:
    code, out, err = diff(*arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_missing_run_has_its_command(words: TaskSet, diff: Call) -> None:
    accept(words, "plain", {})
    code, _, err = diff("plain", "rounded@accepted")
    assert code == 2
    assert err == (
        "modellab: 'rounded' on 'words' has no accepted run; modellab accept rounded --task-set "
        "words accepts one\n"
    )
    code, _, err = diff("plain")  # its model is not here, so nothing stored can be looked up
    assert code == 2
    assert "'plain' on 'words' has no stored run: variant 'plain' on 'words': " in err


def test_changed_samples_are_left_out(accepted: TaskSet, diff: Call) -> None:
    first = accepted.samples[0]
    changed = dataclasses.replace(first, input="another question?")
    lines = Path("words/samples.jsonl").read_text().splitlines()
    lines[0] = lines[0].replace(first.input, changed.input)
    Path("words/samples.jsonl").write_text("\n".join(lines) + "\n")
    _, out, _ = diff("plain@accepted", "rounded@accepted")
    assert out.startswith("words, 11 samples\n")
    assert "note: 1 sample of today's task set left out, which A or B was not asked like" in out
    assert diff("plain", "rounded", f"--sample={first.id}")[2].startswith(
        f"modellab: --sample: 'words' has no '{first.id}' that both runs were asked as it is today;"
    )


def test_runs_of_an_older_version_say_so(accepted: TaskSet, diff: Call) -> None:
    lines = Path("words/samples.jsonl").read_text().splitlines()
    Path("words/samples.jsonl").write_text("\n".join(lines[:-2]) + "\n")
    head = Path("words/task_set.toml")
    head.write_text(head.read_text().replace(f'"{accepted.version}"', '"9"'))
    _, out, _ = diff("plain@accepted", "rounded@accepted")
    assert out.splitlines()[:7] == [
        "words, 10 samples",
        "A  plain: accepted run of 2026-11-22, mean 0.917",
        "B  rounded: accepted run of 2026-11-22, mean 0.750",
        "2 worse, 1 better, 7 with the same score",
        "note: 2 samples of A or B left out, which today's task set does not have",
        f"note: A was asked version {accepted.version} of the task set; today's is 9",
        f"note: B was asked version {accepted.version} of the task set; today's is 9",
    ]


def test_a_damaged_accepted_run_is_refused(accepted: TaskSet, diff: Call) -> None:
    path = file.path_of(Path("baselines"), "words", "rounded")
    path.write_bytes(path.read_bytes()[:-300])
    code, out, err = diff("plain", "rounded@accepted")
    assert (code, out) == (2, "")
    assert err.startswith(f"modellab: {path.resolve()}:")
    assert "truncated" in err


@pytest.fixture
def hostile(words: TaskSet) -> TaskSet:
    """Runs of which one replied what acts in a terminal, a browser or a CI service."""
    samples = testing.choice_samples(["alpha", "beta"], 10)
    samples[0]["id"] = "-x \u202e"
    task_set = jsonl.read(testing.write_task_set(Path("words"), samples), scorers.check)
    every = [text for text in (*REPLIES, *TEXTS, "right\x1b[31m" * 10**5) if "\ud800" not in text]
    names = [sample.id for sample in task_set.samples]
    accept(task_set, "plain", {})
    accept(task_set, "rounded", dict.fromkeys(names, 0.1), dict(zip(names, every, strict=False)))
    return task_set


def test_an_id_is_found_as_it_is_shown(hostile: TaskSet, diff: Call) -> None:
    code, out, err = diff("plain", "rounded", "--sample=-x \\u202e")
    assert (code, err) == (0, "")
    assert ids(out) == ["-x"]


@pytest.mark.parametrize("columns", [None, 20, 40, 120])
@pytest.mark.parametrize("plain", [True, False])
def test_nothing_of_a_reply_acts_in_a_terminal(
    hostile: TaskSet,
    diff: Call,
    monkeypatch: pytest.MonkeyPatch,
    columns: int | None,
    *,
    plain: bool,
) -> None:
    if columns is not None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.delenv("NO_COLOR", raising=False)
    code, out, err = diff("plain", "rounded", "--limit", "60")
    assert (code, err) == (0, "")
    bare = re.sub(r"\x1b\[[0-9;]*m", "", out)
    check_inert(bare, 40_000)
    assert (bare == out) == (columns is None)
    if columns is not None:
        head = bare.index(
            "▼"
        )  # rich knows how wide a terminal is; what stands above is a line each
        assert max(map(len, bare[head:].splitlines())) <= columns
    if not plain and columns is not None:
        assert "[-" not in bare


def test_a_page_is_written_instead(accepted: TaskSet, diff: Call, tmp_path: Path) -> None:
    code, out, err = diff("plain", "rounded", "--flipped", "better", "--html", "d.html")
    assert (code, out, err) == (0, "", "wrote d.html\n")
    text = Path("d.html").read_text(encoding="utf-8")
    assert "beta-easy-001" in text
    assert "alpha-easy-000" not in text
    code, _, err = diff("plain", "rounded", "--html", str(tmp_path / "words"))
    assert code == 2
    assert "cannot be written" in err
