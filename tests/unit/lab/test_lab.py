"""One session over declared variants: with engines that answer what the test wants."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import gate as statistics
from pytest_modellab.baselines import chain, file
from pytest_modellab.baselines.accepted import Baseline
from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.engines.budget import DEFAULT_BUDGET
from pytest_modellab.engines.interface import Done, GenerationRequest, ScoringRequest
from pytest_modellab.errors import (
    BaselineInvalid,
    BaselineMissing,
    CapabilityForgotten,
    ComparisonRefused,
    ConfigError,
    FloorViolated,
    GateUsageError,
    ModelError,
    ModellabError,
    OutOfMemory,
    RegressionDetected,
    ScoringError,
    TaskSetError,
    VariantLoadError,
    VerdictInconclusive,
)
from pytest_modellab.judging.assertions import ASSERTIONS, Assertion
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.question import Question
from pytest_modellab.judging.words import Words
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.loaded import Loaded
from pytest_modellab.lab.settings import Settings
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.plugin.assertions import Gate
from pytest_modellab.plugin.under_test import Candidate
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.progress import Advance, Work
from pytest_modellab.records.runs import Output, RunSummary
from pytest_modellab.runs.executor import InProcess
from pytest_modellab.runs.job import Job
from pytest_modellab.store.runs import StoredRun
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan

pytest.importorskip("torch", reason="a fingerprint has its version")
pytest.importorskip("transformers", reason="its version is part of a fingerprint")

TOML = """
[models.tiny]
source = "./tiny"

[task_sets.core]
path = "tasks"
margin = 0.2
capability_margin = 0.4

[task_sets.strict]
path = "tasks"
floor = 0.5

[task_sets.nowhere]
path = "none"

[variants.plain]
kind = "prompted"
model = "tiny"
prompt = "p.jinja"

[variants.rtn]
kind = "quantized"
base = "plain"
method = "rtn"

[variants.broken]
kind = "quantized"
base = "plain"
method = "nonesuch"
"""


class World:
    """What the engines of a test do, and what was done with them."""

    def __init__(self) -> None:
        self.wrong: dict[str, range] = {}
        self.nan: dict[str, range] = {}
        self.unsure: dict[str, range] = {}
        self.flaky: dict[str, range] = {}
        self.asked: Counter[tuple[str, int]] = Counter()
        self.error: Exception | None = None
        self.loaded: list[str] = []
        self.closed: list[str] = []

    def load(self, plan: Plan, files: ModelFiles, cache: Path) -> Engine:
        assert files.path.is_dir()
        assert cache.name == "cache"
        assert self.loaded == self.closed, "one variant at a time"
        name = "rtn" if plan.quantization else "plain"
        self.loaded.append(name)
        return Engine(self, name)


class Engine:
    """Prefers the first option but where the world says otherwise; flaky: every second time."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        return messages[-1]["content"]

    def score_options(
        self, requests: Sequence[ScoringRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        if self.world.error is not None:
            raise self.world.error
        for k, request in enumerate(requests):
            number = int("".join(filter(str.isdigit, request.context)))
            self.world.asked[self.name, number] += 1
            wrong = number in self.world.wrong.get(self.name, ())
            if number in self.world.flaky.get(self.name, ()):
                wrong = self.world.asked[self.name, number] % 2 == 0
            unsure = number in self.world.unsure.get(self.name, ())
            first = -3.0 if wrong else -1.9 if unsure else -1.0
            if number in self.world.nan.get(self.name, ()):
                first = math.nan
            done({k: Output("", (first, -2.0), tokens_in=3, tokens_out=2, seconds=0.01)})

    def generate(
        self, requests: Sequence[GenerationRequest], *, budget: int, skip: Set[int], done: Done
    ) -> None:
        assert not requests

    def seed(self, seed: int) -> None:
        pass

    def environment(self) -> Mapping[str, Any]:
        return {"threads": 1}

    def parameter_bytes(self) -> int:
        return 10

    def close(self) -> None:
        self.world.closed.append(self.name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(loading, "load", world.load)
    return world


@pytest.fixture
def toml(tmp_path: Path, write_samples: Callable[..., Path], sample: Callable[..., Any]) -> Path:
    """A project of 60 samples: 30 of ``sums``, then 30 of ``words``."""
    root = tmp_path / "project"
    (root / "tiny").mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (root / "tiny" / name).write_text("{}")
    (root / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    samples = [
        sample(
            k,
            capability="sums" if k < 30 else "words",
            difficulty="easy" if k % 2 else "hard",
            metadata={"language": "en" if k < 45 else "fr", **({"late": True} if k else {})},
        )
        for k in range(60)
    ]
    write_samples(samples, 'name = "header"\nversion = "1"\n', root / "tasks")
    (root / FILE_NAME).write_text(TOML)
    return root / FILE_NAME


Make = Callable[..., Lab]


@pytest.fixture
def make(toml: Path, tmp_path: Path, world: World) -> Make:
    """Make a lab: ``make(setting=…)``; every one is a session of its own."""

    def new(**changes: Any) -> Lab:
        return Lab(read.load(toml), Settings(**{"cache": tmp_path / "cache", **changes}))

    return new


Judged = list[tuple[Comparison, RunSummary | None]]


def gate(
    lab: Lab,
    *,
    judged: Judged | None = None,
    name: str = "core",
    accepted: Set[str] = frozenset(),
) -> Gate:
    """A gate for one test."""
    kept: Judged = [] if judged is None else judged
    return Gate(
        lab,
        "test_it",
        lab.task_set(name),
        Budget(share=0.05, alpha=0.05),
        lambda comparison, summary: kept.append((comparison, summary)),
        accepted,
    )


def candidate(lab: Lab, name: str = "plain") -> Candidate:
    return Candidate(lab, lab.spec(name))


def record(make: Make, *names: str) -> None:
    """Accept the runs of variants as they answer now."""
    lab = make(update=True)
    for name in names:
        lab.accept(*lab.asked(name, "core"))
    lab.release()


# --- the token budget ---


def test_a_token_budget_that_is_set_is_every_runs(make: Make, toml: Path) -> None:
    def budget(**changes: Any) -> int:
        lab = make(reuse=False, **changes)
        found = lab.record(*lab.asked("plain", "core"))
        lab.release()
        return int(found.environment["token_budget"])

    assert budget() == DEFAULT_BUDGET
    assert budget(token_budget=64) == 64
    toml.write_text(toml.read_text() + "\n[engine]\ntoken_budget = 32\n")
    assert budget() == 32
    assert budget(token_budget=64) == 64, "the option wins"


# --- an assertion that is one file and one line ---


def test_a_built_in_assertion_needs_no_method(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def answered(question: Question, *, floor: float) -> Comparison:
        results = question.after.samples
        rows = statistics.floor_family(
            [float(bool(result.output)) for result in results],
            ["all"] * len(results),
            floor=floor,
            alpha=question.budget.share,
            pass_alpha=question.budget.alpha,
        )
        return question.comparison(rows)

    words = Words("answers", "answered", "{variant} is silent: {what}")
    listed = {**ASSERTIONS, "answers": Assertion("answers", answered, words)}
    monkeypatch.setattr("pytest_modellab.judging.assertions.ASSERTIONS", listed)
    lab = make()
    lab.extensions = dataclasses.replace(lab.extensions, assertions=listed)
    passed = gate(lab).judge("answers", candidate(lab), floor=0.5)
    assert (passed.verdict, passed.words) == ("pass", words)
    with pytest.raises(GateUsageError, match="'no_drift' is built in"):
        gate(lab).judge("no_drift", candidate(lab))


# --- what is declared -----------------------------------------------------------------------------


def test_unknown_variant(make: Make, toml: Path) -> None:
    with pytest.raises(GateUsageError) as caught:
        make().spec("plian")
    assert str(caught.value) == (
        f"unknown variant 'plian' in {toml}; did you mean 'plain'? Known: broken, plain, rtn"
    )


def test_unknown_task_set(make: Make, toml: Path) -> None:
    with pytest.raises(GateUsageError) as caught:
        make().task_set("cores")
    assert str(caught.value) == (
        f"unknown task set 'cores' in {toml}; did you mean 'core'? Known: core, nowhere, strict"
    )


def test_a_task_set_has_the_name_of_the_configuration(make: Make) -> None:
    """Its margins and baselines are found by that name, whatever the header says."""
    lab = make()
    assert lab.task_set("core").name == "core"
    assert lab.task_set("core") is lab.task_set("core"), "read once"
    assert lab.task_set("strict").name == "strict"
    assert lab.task_set("strict").hash == lab.task_set("core").hash


def test_plans_begin_with_the_base(make: Make) -> None:
    lab = make()
    rtn = lab.variant("rtn").plan
    assert rtn.quantization["method"] == "rtn"
    assert rtn.prompt is lab.variant("plain").plan.prompt
    assert lab.variant("rtn").files is lab.variant("plain").files, (
        "one model's files are hashed once"
    )


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_is_made_once(make: Make, world: World) -> None:
    lab = make()
    first = lab.record(*lab.asked("plain", "core"))
    assert lab.record(*lab.asked("plain", "core")) is first
    assert not lab.summary(*lab.asked("plain", "core")).cached
    later = make()
    assert later.record(*later.asked("plain", "core")) == first
    assert later.summary(*later.asked("plain", "core")).cached
    assert later.record(*later.asked("plain", "strict")).samples == first.samples, (
        "the same samples"
    )
    assert world.loaded == ["plain"]
    lab.release()
    (made := make(reuse=False)).record(*made.asked("plain", "core"))
    assert world.loaded == ["plain", "plain"]


def test_one_variant_is_loaded_at_a_time(make: Make, world: World) -> None:
    lab = make()
    lab.record(*lab.asked("plain", "core"))
    assert (world.loaded, world.closed) == (["plain"], [])
    assert candidate(lab).engine is lab.engine(lab.variant("plain")), "not loaded again"
    lab.record(*lab.asked("rtn", "core"))
    assert (world.loaded, world.closed) == (["plain", "rtn"], ["plain"])
    lab.release()
    lab.release()
    assert world.closed == ["plain", "rtn"]


def test_progress(toml: Path, tmp_path: Path, world: World) -> None:
    seen: list[Advance] = []
    lab = Lab(read.load(toml), Settings(cache=tmp_path / "cache"), seen.append)
    lab.record(*lab.asked("plain", "core"))
    assert seen[0] == Advance(Work.RUN, "plain", "core", 0, 60)
    assert seen[-1] == Advance(Work.RUN, "plain", "core", 60, 60)
    lab.repeat(*lab.asked("plain", "core"))
    assert seen[-1] == Advance(Work.REPEAT, "plain", "core", 60, 60)


def test_a_model_that_cannot_be_timed_may_answer(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ModelError("no replies")

    monkeypatch.setattr(Engine, "generate", fail)
    lab = make()
    asked = lab.asked("plain", "core")
    for _ in range(2):
        with pytest.raises(ModelError) as caught:
            lab.performance(*asked, asked[0])
        assert str(caught.value) == "variant 'plain' on 'core': no replies"
        monkeypatch.setattr(Engine, "generate", lambda *_, **__: None)
    assert len(lab.record(*asked).samples) == 60


@pytest.mark.parametrize("prompts", [1, 3])
def test_progress_of_stages(toml: Path, tmp_path: Path, world: World, prompts: int) -> None:
    """Every wording is asked every sample; stages do not begin to count anew."""
    for name in ("q", "r"):
        text = f"{{% block user %}}{name}: {{{{ input }}}}{{% endblock %}}"
        (toml.parent / f"{name}.jinja").write_text(text)
    wordings = ["q.jinja", "r.jinja"][: prompts - 1]
    toml.write_text(toml.read_text().replace('"p.jinja"', f'"p.jinja"\nparaphrases = {wordings}'))
    steps: list[Advance] = []
    settings = Settings(cache=tmp_path / "cache", sequential=True)
    lab = Lab(read.load(toml), settings, progress=steps.append)
    for number in range(1, len(lab.stages(lab.task_set("core")).sets) + 1):
        lab.prefix(*lab.asked("plain", "core"), number)
        assert steps[-1] == Advance(
            Work.RUN,
            "plain",
            "core",
            prompts * len(lab.stages(lab.task_set("core")).first(number).samples),
            prompts * 60,
        )
    done = [step.done for step in steps]
    assert done == sorted(done)


class Elsewhere:
    """Obtains runs as another machine would: a job and its answers travel as bytes."""

    def __init__(self, cache: Path) -> None:
        self.there = InProcess(cache, Loaded(cache).engine)
        self.jobs: list[Job] = []

    def obtain(self, job: Job) -> StoredRun:
        self.jobs.append(pickle.loads(pickle.dumps(job)))  # noqa: S301 - made just now
        found: StoredRun = pickle.loads(pickle.dumps(self.there.obtain(self.jobs[-1])))  # noqa: S301
        return found

    def recall(self, job: Job) -> StoredRun | None:
        return self.there.recall(job)


def test_runs_may_be_obtained_elsewhere(
    toml: Path, make: Make, world: World, tmp_path: Path
) -> None:
    here = make()
    expected = here.record(*here.asked("plain", "core"))
    here.release()
    elsewhere = Elsewhere(tmp_path / "elsewhere" / "cache")
    lab = Lab(read.load(toml), make().settings, executor=elsewhere)
    assert lab.record(*lab.asked("plain", "core")) == expected
    assert lab.repeat(*lab.asked("plain", "core")).scores == tuple(
        s.score for s in expected.samples
    )
    assert [job.work for job in elsewhere.jobs] == [Work.RUN, Work.REPEAT]
    assert [job.budget for job in elsewhere.jobs] == [None, 256]
    lab.release()
    assert world.loaded == ["plain"] * 3
    assert world.closed == ["plain"] * 2, "this lab had loaded nothing"


def test_a_failed_run_names_the_variant_and_is_not_tried_again(make: Make, world: World) -> None:
    world.error = ScoringError("no good")
    lab = make()
    for _ in range(2):
        with pytest.raises(ScoringError) as caught:
            lab.record(*lab.asked("plain", "core"))
        assert str(caught.value) == "variant 'plain' on 'core': no good"
        world.error = None
    assert world.loaded == ["plain"]


def test_a_wrong_option_names_the_variant(make: Make) -> None:
    lab = make()
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            lab.variant("broken", lab.task_set("core"))
        assert str(caught.value).startswith("variant 'broken' on 'core': ")
        assert "method: unknown 'nonesuch'; " in str(caught.value)


def test_a_task_set_that_cannot_be_read(make: Make) -> None:
    with pytest.raises(TaskSetError) as caught:
        make().asked("plain", "nowhere")
    assert str(caught.value).startswith("variant 'plain' on 'nowhere': ")
    assert "task_set.toml: cannot be read: " in str(caught.value)


def test_a_missing_model(make: Make, toml: Path) -> None:
    (toml.parent / "tiny").rename(toml.parent / "gone")
    with pytest.raises(ModelError) as caught:
        (made := make()).record(*made.asked("plain", "core"))
    assert str(caught.value) == (
        "variant 'plain' on 'core': model 'tiny' (source = './tiny'): "
        f"no such file or folder: {toml.parent / 'tiny'}"
    )


def test_memory_runs_out_is_a_message(make: Make, world: World) -> None:
    world.error = OutOfMemory("no room")
    with pytest.raises(OutOfMemory) as caught:
        (made := make()).record(*made.asked("plain", "core"))
    assert str(caught.value).startswith("variant 'plain' on 'core': ")
    assert "memory runs out even with one sample a batch, of which " in str(caught.value)


def test_a_cache_that_cannot_be_written(make: Make, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(ModellabError) as caught:
        (made := make()).record(*made.asked("plain", "core"))
    assert str(caught.value).startswith("variant 'plain' on 'core': [Errno ")
    assert str(caught.value).endswith(
        f"; runs are stored in {tmp_path / 'cache'}, MODELLAB_CACHE=/some/folder chooses another"
    )


# --- baselines ------------------------------------------------------------------------------------


def test_missing_baseline(make: Make, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toml.parent.parent)
    lab = make()
    with pytest.raises(BaselineMissing) as caught:
        lab.baseline("plain", "core")
    path = toml.parent / "baselines" / "core" / "plain.json"
    assert str(caught.value) == (
        f"no baseline of 'plain' on 'core': {path} does not exist.\n"
        "Record one and commit it: modellab accept plain --task-set core "
        "--config project/modellab.toml"
    )
    assert lab.baseline_path("plain", "core") == path


def test_a_model_that_is_another_one_each_time_it_is_loaded_is_not_accepted(
    make: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Engine, "state", lambda engine: {"head": str(len(engine.world.loaded))}, raising=False
    )
    lab = make(update=True)
    with pytest.raises(VariantLoadError) as caught:
        lab.accept(*lab.asked("plain", "core"))
    assert str(caught.value).startswith(
        "variant 'plain' on 'core': loaded twice, it is not the same model: 'head' of 1 tensors "
    )
    assert world.loaded == ["plain", "plain"]
    assert not lab.baseline_path("plain", "core").exists()
    lab.release()


def test_accept(make: Make, world: World) -> None:
    lab = make(update=True)
    path = lab.baseline_path("plain", "core")
    lab.accept(*lab.asked("plain", "core"))
    assert lab.baseline("plain", "core").run.samples[0].score == 1.0
    assert lab.summary(*lab.asked("plain", "core")).recorded == str(path)
    lab.release()
    text = path.read_text()
    again = make(update=True, reuse=False)
    again.accept(*again.asked("plain", "core"))
    assert path.read_text() == text, "equal answers leave it as it is"
    assert again.summary(*again.asked("plain", "core")).recorded is None
    again.release()
    world.wrong["plain"] = range(1)
    changed = make(update=True, reuse=False)
    changed.accept(*changed.asked("plain", "core"))
    assert changed.baseline("plain", "core").run.samples[0].score == 0.0
    assert changed.summary(*changed.asked("plain", "core")).recorded == str(path)


def test_churn(make: Make, world: World) -> None:
    world.flaky["plain"] = range(2)
    record(make, "plain")
    assert make().baseline("plain", "core").churn == pytest.approx(2 / 60)
    made = make()
    assert made.churn(*made.asked("plain", "core")).words == (
        "2 of 60 samples (3.3%) flipped though nothing changed; "
        "2 of 60 did when plain was last accepted"
    )
    made = make()
    assert made.summary(*made.asked("plain", "core")).churn is None, "not asked for"
    steady = (made := make(churn=True)).summary(*made.asked("plain", "core"))
    assert steady.churn == pytest.approx(2 / 60)
    assert not steady.abnormal_churn
    world.flaky["rtn"] = range(7)
    flaky = (made := make(churn=True)).summary(*made.asked("rtn", "core"))
    assert flaky.churn == pytest.approx(7 / 60)
    assert flaky.abnormal_churn
    made = make()
    assert made.churn(*made.asked("rtn", "core")).words == (
        "7 of 60 samples (11.7%) flipped though nothing changed; "
        "2 of 60 did when plain was last accepted; "
        "ABNORMAL, more than three times as many: its verdicts are less sure"
    )


def test_a_run_accepted_again_keeps_its_second_run(make: Make, world: World) -> None:
    record(make, "plain")
    lab = make(update=True)
    path = lab.baseline_path("plain", "core")
    file.write(path, Baseline(lab.baseline("plain", "core").run))
    old, new = lab.accept(*lab.asked("plain", "core"))
    assert old is not None
    assert (old.churn, new.churn) == (None, 0.0), "one that was missing is added"
    text = path.read_text()
    world.flaky["plain"] = range(5)
    (made := make(update=True, reuse=False)).accept(*made.asked("plain", "core"))
    assert path.read_text() == text


def test_a_damaged_baseline_is_replaced_only_by_a_new_anchor(make: Make) -> None:
    """Its anchor would be lost unseen."""
    record(make, "plain")
    lab = make(update=True)
    path = lab.baseline_path("plain", "core")
    path.write_text("{")
    said = r"accept plain --task-set core --new-anchor\)$"
    with pytest.raises(BaselineInvalid, match=said):
        lab.baseline("plain", "core")
    with pytest.raises(BaselineInvalid, match=said):
        lab.accept(*lab.asked("plain", "core"))
    lab.accept(*lab.asked("plain", "core"), new_anchor=True)
    assert lab.baseline("plain", "core").run.samples[0].score == 1.0


def test_a_copied_baseline_is_refused(make: Make, toml: Path) -> None:
    record(make, "plain")
    lab = make()
    copied = lab.baseline_path("rtn", "core")
    copied.write_bytes(lab.baseline_path("plain", "core").read_bytes())
    with pytest.raises(BaselineInvalid) as caught:
        lab.baseline("rtn", "core")
    assert str(caught.value) == (
        f"{copied}: is the run of 'plain' on 'core', not of 'rtn' on 'core': copied or renamed; "
        f"record it again: modellab accept rtn --task-set core --config {os.path.relpath(toml)}"
    )


def test_a_run_with_missing_scores_is_not_accepted(make: Make, world: World) -> None:
    world.nan["plain"] = range(2)
    lab = make(update=True)
    with pytest.raises(ScoringError) as caught:
        lab.accept(*lab.asked("plain", "core"))
    assert str(caught.value) == (
        "'plain' on 'core': not accepted as a baseline: 2 of 60 scores are missing (3.3%, allowed "
        "2.0%), 's0' first: (the model's likelihoods are NaN)"
    )
    assert not lab.baseline_path("plain", "core").exists()


def test_a_folder_of_baselines_that_cannot_be_written(make: Make) -> None:
    lab = make(update=True)
    path = lab.baseline_path("plain", "core")
    path.parent.parent.mkdir()
    path.parent.symlink_to("nowhere")
    with pytest.raises(ModellabError) as caught:
        lab.accept(*lab.asked("plain", "core"))
    assert str(caught.value) == f"{path}: cannot be written: File exists"


# --- the gate fixture -----------------------------------------------------------------------------


def test_an_unchanged_run_passes(make: Make) -> None:
    record(make, "plain")
    judged: Judged = []
    lab = make()
    found = gate(lab, judged=judged).no_regression(candidate(lab))
    assert (found.verdict, found.against, found.test) == ("pass", "own baseline", "test_it")
    assert found.figures[0].margin == 0.2
    assert [(c, s and s.variant) for c, s in judged] == [(found, "plain")]


def test_a_regression_blocks(make: Make, world: World) -> None:
    record(make, "plain")
    world.wrong["plain"] = range(40)
    judged: Judged = []
    lab = make(reuse=False)
    with pytest.raises(RegressionDetected) as caught:
        gate(lab, judged=judged).no_regression(candidate(lab))
    assert str(caught.value).startswith("blocked: the mean score fell from 1.00 to 0.33")
    assert judged[0][0].verdict == "block", "it is reported before it is raised"


@pytest.mark.parametrize(
    ("asked", "setting", "capability", "margin"),
    [
        (None, None, None, 0.2),
        (None, None, "sums", 0.4),
        (None, 0.1, None, 0.1),
        (None, 0.1, "sums", 0.1),
        (0.3, 0.1, "sums", 0.3),
        (0.0, 0.1, None, 0.0),
    ],
)
def test_margin(
    make: Make, asked: float | None, setting: float | None, capability: str | None, margin: float
) -> None:
    record(make, "plain")
    lab = make(margin=setting)
    found = gate(lab).no_regression(candidate(lab), capability=capability, margin=asked)
    assert [figures.margin for figures in found.figures] == [margin]


def test_a_margin_of_the_command_line_may_be_zero(make: Make) -> None:
    record(make, "plain")
    lab = make(margin=0.0)
    assert gate(lab).no_regression(candidate(lab)).figures[0].margin == 0.0


NUMERICS = (
    "batch size, threads and dtype move every probability a little in one direction, which a "
    "margin of 0 would block; {who} asks for it: ask for 0.01, or what runs of an unchanged "
    "variant show, or leave it out and set task_sets.core.metrics.probability.{rule} = 0.01 in "
    "modellab.toml"
)


@pytest.mark.parametrize(
    ("asked", "setting", "capability", "rule"),
    [
        (0.0, None, None, "margin"),
        (0, 0.1, "sums", "capability_margin"),
        (None, 0.0, None, "margin"),
    ],
)
def test_a_graded_metric_needs_a_margin(
    make: Make,
    world: World,
    asked: float | None,
    setting: float | None,
    capability: str | None,
    rule: str,
) -> None:
    record(make, "plain")
    lab = make(margin=setting)
    with pytest.raises(GateUsageError) as caught:
        gate(lab).no_regression(
            candidate(lab), capability=capability, margin=asked, metric="probability"
        )
    who = "the session" if asked is None else "the test"
    assert str(caught.value) == (
        f"metric 'probability' at a margin of 0: {NUMERICS.format(rule=rule, who=who)}"
    )


def test_a_margin_next_to_zero(make: Make) -> None:
    record(make, "plain")
    found = gate(make()).no_regression(candidate(make()), margin=1e-300, metric="probability")
    assert found.verdict == "inconclusive"


def test_a_graded_metric_has_its_own_margins(make: Make, toml: Path) -> None:
    record(make, "plain")
    declared = "\n[task_sets.core.metrics.probability]\nmargin = 0.01\ncapability_margin = 0.03\n"
    toml.write_text(toml.read_text() + declared)

    def found(capability: str | None = None, **asked: Any) -> tuple[float, list[str]]:
        lab = make(**asked)
        judged = gate(lab).no_regression(
            candidate(lab), capability=capability, metric="probability"
        )
        return judged.figures[0].margin, [str(one) for one in judged.overrides]

    assert found() == (0.01, [])
    assert found("sums") == (0.03, [])
    assert found("sums", margin=0.1) == (
        0.1,
        [
            "metrics.probability.capability_margin 0.1 instead of 0.03 on core (asked of the "
            "session)"
        ],
    )


def test_a_graded_metric_has_its_own_floor(make: Make, toml: Path) -> None:
    record(make, "plain")
    lab = make()
    with pytest.raises(GateUsageError) as caught:
        gate(lab, name="strict").worst_bucket(candidate(lab), metric="probability")
    assert str(caught.value) == (
        f"no floor: set it in {toml}: task_sets.strict.metrics.probability.floor, or call "
        "gate.worst_bucket(candidate, floor=…)"
    )
    toml.write_text(toml.read_text() + "\n[task_sets.strict.metrics.probability]\nfloor = 0.5\n")
    lab = make()
    found = gate(lab, name="strict").worst_bucket(candidate(lab), metric="probability")
    assert (found.figures[0].floor, found.verdict) == (0.5, "pass")


def test_against_the_base(make: Make, world: World) -> None:
    record(make, "plain")
    world.wrong["rtn"] = range(40)
    lab = make()
    with pytest.raises(RegressionDetected):
        gate(lab).no_regression(candidate(lab, "rtn"), against="base")
    found = gate(lab).no_regression(candidate(lab, "rtn"), against="base", margin=0.9)
    assert found.against == "baseline of plain"
    with pytest.raises(BaselineMissing, match=r"^no baseline of 'rtn' on 'core': "):
        gate(lab).no_regression(candidate(lab, "rtn"))
    assert gate(lab).no_regression(candidate(lab), against="plain").against == "own baseline"


def test_drift(make: Make, world: World) -> None:
    """Two accepted drops, each within the margin, are not within it together."""
    record(make, "plain")
    for wrong in (7, 14):
        world.wrong["plain"] = range(wrong)
        lab = make(update=True, reuse=False)
        assert gate(lab).no_regression(candidate(lab), margin=0.2).verdict == "pass"
        lab.release()
    lab = make(reuse=False)
    found = gate(lab).no_drift(candidate(lab), margin=0.5)
    assert found.assertion == "no_drift"
    assert found.against.startswith("anchor of ")
    assert found.against.endswith(" (2 changes accepted since)")
    assert found.figures[0].drop == pytest.approx(14 / 60)
    with pytest.raises(
        RegressionDetected, match=r"^blocked: the mean score fell from 1.00 to 0.77 "
    ):
        gate(lab).no_drift(candidate(lab), margin=0.1)
    with pytest.raises(RegressionDetected):
        gate(make(update=True)).no_drift(candidate(make(update=True)), margin=0.1)
    (made := make(update=True)).accept(*made.asked("plain", "core"), new_anchor=True)
    lab = make()
    assert gate(lab).no_drift(candidate(lab)).against == "anchor (the baseline itself)"


def without_metrics(path: Path, *, anchor: bool = False) -> None:
    """Make a baseline of one that was recorded when no metric was kept."""
    kept = file.read(path)
    assert kept is not None
    run = kept.run if anchor else chain.without_metrics(kept.run)
    first = kept.anchor and dataclasses.replace(kept.anchor, metrics={})
    again = kept.repeat and dataclasses.replace(kept.repeat, metrics={})
    file.write(path, Baseline(run, again, first))


def test_graded_metrics_are_judged_by_every_assertion(make: Make, world: World) -> None:
    """The candidate is right everywhere, and less sure of each: 0.73 becomes 0.52."""
    record(make, "plain", "rtn")
    world.unsure["rtn"] = range(60)
    lab = make(reuse=False)
    of = candidate(lab, "rtn")
    assert gate(lab).no_regression(of, against="base", margin=0.05).verdict == "pass"
    fell = r"^blocked: {} fell from 0.73 to 0.52 (?s:.)* by probability"
    with pytest.raises(RegressionDetected, match=fell.format("the mean score")):
        gate(lab).no_regression(of, metric="probability", margin=0.05)
    with pytest.raises(RegressionDetected, match=fell.format("sums")):
        gate(lab).no_regression(of, metric="probability", margin=0.05, capability="sums")
    with pytest.raises(RegressionDetected, match=fell.format("the mean score")):
        gate(lab).no_drift(of, metric="probability", margin=0.05)
    with pytest.raises(CapabilityForgotten, match=fell.format("sums")):
        gate(lab).no_forgetting(of, metric="probability", margin=0.05)
    with pytest.raises(FloorViolated):
        gate(lab).worst_bucket(of, metric="probability", floor=0.7)
    assert gate(lab).worst_bucket(of, floor=0.7).verdict == "pass"
    with pytest.raises(ComparisonRefused) as caught:
        gate(lab).no_regression(of, metric="decision_margin")
    assert str(caught.value) == (
        "metric 'decision_margin': it has no range, so it is shown and never judged; judge "
        "'probability' or 'likelihood'"
    )


def test_drift_of_a_metric(make: Make, world: World) -> None:
    record(make, "plain")
    world.unsure["plain"] = range(60)
    (made := make(update=True, reuse=False)).accept(*made.asked("plain", "core"))
    lab = make()
    kept = lab.baseline("plain", "core").anchor
    assert kept is not None
    assert kept.accepted == 1, "no answer has changed, but how sure it is of them"
    passed = gate(lab).no_drift(candidate(lab), margin=0.1)
    assert passed.verdict == "pass", "nothing right or wrong has changed"
    with pytest.raises(
        RegressionDetected, match=r"^blocked: the mean score fell from 0.73 to 0.52 "
    ):
        gate(lab).no_drift(candidate(lab), metric="probability", margin=0.1)


def test_a_baseline_without_the_metric_says_what_adds_it(
    make: Make, world: World, toml: Path
) -> None:
    record(make, "plain", "rtn")
    lab = make()
    path = lab.baseline_path("plain", "core")
    without_metrics(path)
    world.asked.clear()
    said = (
        "the baseline of 'plain' on 'core' has no probability, which was not kept when it was "
        f"recorded: {path}.\nRecord one and commit it: modellab accept plain --task-set core "
        f"--config {os.path.relpath(toml)}"
    )
    lab = make(reuse=False)
    asks: list[Callable[[], Comparison]] = [
        lambda: gate(lab).no_regression(candidate(lab), metric="probability"),
        lambda: gate(lab).no_drift(candidate(lab), metric="probability"),
        lambda: gate(lab).no_forgetting(candidate(lab, "rtn"), metric="probability"),
        lambda: gate(lab).no_regression(
            candidate(lab, "rtn"), against="base", metric="probability"
        ),
    ]
    for ask in asks:
        with pytest.raises(BaselineMissing) as caught:
            ask()
        assert str(caught.value) == said
    assert not world.asked, "nothing was run for it"
    (made := make(update=True)).accept(*made.asked("plain", "core"))
    kept = file.read(path)
    assert kept is not None
    assert kept.anchor is None, "that was no accepted change"
    assert kept.repeat is not None
    assert kept.repeat.metrics.keys() == {"likelihood", "probability"}
    lab = make()
    assert gate(lab).no_regression(candidate(lab), metric="probability").verdict == "pass"


def test_an_anchor_without_the_metric_says_what_begins_anew(make: Make, world: World) -> None:
    record(make, "plain")
    world.wrong["plain"] = range(2)
    (made := make(update=True, reuse=False)).accept(*made.asked("plain", "core"))
    lab = make()
    path = lab.baseline_path("plain", "core")
    without_metrics(path, anchor=True)
    with pytest.raises(BaselineMissing) as caught:
        gate(lab).no_drift(candidate(lab), metric="probability")
    assert str(caught.value).startswith(
        "the anchor of 'plain' on 'core' has no probability: it was accepted before baselines "
        f"kept it, so drift cannot be measured from there: {path}.\nRecord one and commit it: "
        "modellab accept plain --task-set core --config "
    )
    assert str(caught.value).endswith(" --new-anchor")
    assert gate(lab).no_regression(candidate(lab), metric="probability").verdict == "pass"


def test_forgetting(make: Make, world: World, toml: Path) -> None:
    record(make, "plain")
    world.wrong["rtn"] = range(30)
    lab = make()
    with pytest.raises(CapabilityForgotten) as caught:
        gate(lab).no_forgetting(candidate(lab, "rtn"))
    assert str(caught.value).startswith("blocked: sums fell from 1.00 to 0.00 (n = 30); ")
    found = gate(lab).no_forgetting(candidate(lab, "rtn"), targeted=["sums"])
    assert (found.verdict, found.family) == ("pass", 1)
    assert found.notes == ("sums is not judged: targeted by the adaptation",)
    assert found.flips == ()
    text = toml.read_text().replace('method = "rtn"', 'method = "rtn"\ntargets = ["sums", "other"]')
    toml.write_text(text)
    lab = make()
    assert gate(lab).no_forgetting(candidate(lab, "rtn")).notes == (
        *found.notes,
        "target 'other' is no capability of 'core'",
    )
    with pytest.raises(GateUsageError) as misspelt:
        gate(lab).no_forgetting(candidate(lab, "rtn"), targeted=["sum"])
    assert str(misspelt.value) == (
        "targeted: 'core' has no capability 'sum'; did you mean 'sums'? Known: sums, words"
    )
    with pytest.raises(
        GateUsageError, match=r"^targeted takes several names: targeted=\['sums'\]$"
    ):
        gate(lab).no_forgetting(candidate(lab, "rtn"), targeted="sums")


def test_what_the_base_cannot_do_is_not_forgotten(make: Make, world: World) -> None:
    """Scope is decided on the second run alone: here the first was lucky, or unlucky."""
    world.flaky["plain"] = range(30)  # sums: right in the first run, wrong in the second
    record(make, "plain")
    world.wrong["rtn"] = range(30)
    lab = make()
    found = gate(lab).no_forgetting(candidate(lab, "rtn"))
    assert found.verdict == "pass"
    assert found.notes == (
        "sums is not judged: the base does not show it: 0.00 (n = 30), chance 0.50",
    )


def test_forgetting_needs_a_second_run_of_the_base(make: Make) -> None:
    lab = make(update=True)
    path = lab.baseline_path("plain", "core")
    file.write(path, Baseline(lab.record(*lab.asked("plain", "core"))))
    with pytest.raises(BaselineMissing) as caught:
        gate(lab).no_forgetting(candidate(lab, "rtn"))
    assert str(caught.value).startswith(
        "the baseline of 'plain' on 'core' has no second run, which decides what capabilities it "
        f"has: {path}.\nRecord one and commit it: modellab accept plain --task-set core"
    )


def test_against_nothing(make: Make) -> None:
    lab = make()
    with pytest.raises(ComparisonRefused) as caught:
        gate(lab).no_regression(candidate(lab), against="base")
    assert str(caught.value) == (
        "variant 'plain' has no base; name a variant: against=…, or select variants with a base: "
        "@pytest.mark.variants(kind=…)"
    )
    with pytest.raises(GateUsageError, match=r"^unknown variant 'rnt' in .*did you mean 'rtn'\?"):
        gate(lab).no_regression(candidate(lab), against="rnt")


def test_update_accepts_and_then_compares(make: Make, world: World) -> None:
    record(make, "plain")
    world.wrong["plain"] = range(40)
    lab = make(reuse=False, update=True, on_inconclusive="fail")
    found = gate(lab).no_regression(candidate(lab), margin=0.0)
    assert found.verdict == "inconclusive", "nothing passes a margin of 0, and it is excused"
    assert found.figures[0].drop == 0.0


def test_update_compares_with_a_base_that_is_accepted_too(make: Make, world: World) -> None:
    """Whichever test comes first: the base's baseline may not be written yet."""
    lab = make(update=True)
    with pytest.raises(BaselineMissing):
        gate(lab).no_regression(candidate(lab, "rtn"), against="base")
    found = gate(lab, accepted={"plain"}).no_regression(candidate(lab, "rtn"), against="base")
    assert found.verdict == "pass"


def test_update_accepts_whatever_the_assertion(make: Make) -> None:
    lab = make(update=True, on_inconclusive="fail")
    assert gate(lab, name="strict").worst_bucket(candidate(lab)).verdict == "pass"
    assert lab.baseline_path("plain", "strict").exists()
    record(make, "plain")
    gate(lab).no_regression(candidate(lab, "rtn"), against="base")
    assert lab.baseline_path("rtn", "core").exists()
    found = gate(lab).no_drift(candidate(lab, "rtn"), margin=0.0)
    assert found.verdict == "inconclusive", "its own anchor, so it is excused"


@pytest.mark.parametrize("setting", ["warn", "pass"])
def test_inconclusive_may_pass(make: Make, setting: str) -> None:
    record(make, "plain")
    lab = make(on_inconclusive=setting)
    assert gate(lab).no_regression(candidate(lab), margin=0.0).verdict == "inconclusive"


def test_inconclusive_may_fail(make: Make) -> None:
    record(make, "plain")
    lab = make(on_inconclusive="fail")
    with pytest.raises(VerdictInconclusive) as caught:
        gate(lab).no_regression(candidate(lab), margin=0.0)
    assert str(caught.value).startswith("undecided: the mean score stayed at 1.00 (n = 60)")


def test_one_verdict_a_test(make: Make) -> None:
    record(make, "plain")
    lab = make()
    asked = gate(lab, name="strict")
    asked.worst_bucket(candidate(lab))
    for ask in (asked.worst_bucket, asked.no_regression):
        with pytest.raises(GateUsageError) as caught:
            ask(candidate(lab))
        assert str(caught.value) == (
            "test_it: asks the gate twice, but its share of the run's risk pays for one verdict; "
            "write a test for each"
        )


# --- floors ---------------------------------------------------------------------------------------


def test_no_floor(make: Make, toml: Path) -> None:
    lab = make()
    with pytest.raises(GateUsageError) as caught:
        gate(lab).worst_bucket(candidate(lab))
    assert str(caught.value) == (
        f"no floor: set it in {toml}: task_sets.core.floor, or call "
        "gate.worst_bucket(candidate, floor=…)"
    )
    assert gate(lab).worst_bucket(candidate(lab), floor=0.1).figures[0].floor == 0.1
    strict = gate(lab, name="strict").worst_bucket(candidate(lab))
    assert strict.figures[0].floor == 0.5, "the task set's own"


def test_a_bucket_under_the_floor_blocks(make: Make, world: World) -> None:
    world.wrong["plain"] = range(30)
    judged: Judged = []
    lab = make()
    with pytest.raises(FloorViolated) as caught:
        gate(lab, judged=judged).worst_bucket(candidate(lab), floor=0.5, by="capability")
    assert str(caught.value).startswith(
        "blocked: sums scores 0.00 (n = 30), below the floor of 0.5"
    )
    assert [figures.name for figures in judged[0][0].figures] == ["sums", "words"]


@pytest.mark.parametrize(
    ("by", "buckets"),
    [
        ("bucket", {"sums/easy", "sums/hard", "words/easy", "words/hard"}),
        ("capability", {"sums", "words"}),
        ("difficulty", {"easy", "hard"}),
        ("language", {"en", "fr"}),
    ],
)
def test_slices(make: Make, by: str, buckets: set[str]) -> None:
    lab = make()
    found = gate(lab).worst_bucket(candidate(lab), floor=0.1, by=by)
    assert {figures.name for figures in found.figures} == buckets


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (
            "langauge",
            "60 samples lack it, 's0' first; did you mean 'language'? "
            "Known: bucket, capability, difficulty, language, late",
        ),
        ("late", "1 sample lacks it, 's0' first; give it to every sample"),
    ],
)
def test_a_slice_that_samples_lack(make: Make, by: str, said: str) -> None:
    lab = make()
    with pytest.raises(GateUsageError) as caught:
        gate(lab).worst_bucket(candidate(lab), floor=0.1, by=by)
    assert str(caught.value) == f"cannot slice 'core' by {by!r}: {said}"


def test_too_many_missing_scores(make: Make, world: World) -> None:
    record(make, "plain")
    world.nan["plain"] = range(2)
    lab = make(reuse=False)
    said = "2 of 60 "
    with pytest.raises(ComparisonRefused, match=said):
        gate(lab).no_regression(candidate(lab))
    with pytest.raises(ComparisonRefused, match=said):
        gate(lab, name="strict").worst_bucket(candidate(lab))


def test_records_are_frozen(make: Make) -> None:
    found = candidate(make())
    for frozen in (found, found.lab.settings, found.spec):
        with pytest.raises(dataclasses.FrozenInstanceError):
            frozen.name = "x"  # type: ignore[misc, union-attr]
    made = found.record(found.lab.task_set("core"))
    assert file.same_answers(made, found.lab.record(*found.lab.asked("plain", "core")))
