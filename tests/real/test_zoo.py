"""The adapters that the suites ship: what they were made from, and what the gate says of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_modellab import scorers, testing
from pytest_modellab.config import read
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.judging.forgetting import no_forgetting
from pytest_modellab.judging.question import Question
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.recipes import provenance
from pytest_modellab.records.asked import Budget
from pytest_modellab.records.runs import Output
from pytest_modellab.scorers.interface import Scorer
from pytest_modellab.variants import loading
from pytest_modellab.variants.steps import adapter

SUITES = Path(__file__).parents[2] / "suites"
TRAINED = ("support", "overtrained", "dpo", "grpo", "student")
SHARE = 0.05 / 8


@pytest.fixture(scope="session", autouse=True)
def peft() -> None:
    pytest.importorskip("peft")


@pytest.mark.parametrize("name", TRAINED)
def test_provenance_names_what_is_there(name: str, make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    spec = lab.spec(name)
    made = provenance.read(SUITES / spec.options["adapter"])
    assert made is not None
    assert made.base["weights"] == lab.config.models["smollm2"].sha256
    assert spec.recipe is not None
    assert made.method == spec.recipe["method"]
    for key, value in spec.recipe.items():
        if key in made.settings and not isinstance(value, dict):
            assert made.settings[key] == value, key
    data = SUITES / spec.recipe["data"]
    assert made.data["name"] == spec.recipe["data"]
    assert made.data["sha256"] == hashlib.sha256(data.read_bytes()).hexdigest()


def forgotten(lab: Lab, name: str) -> Comparison:
    task_set = lab.task_set("assistant_core_v2")
    base = lab.baseline("prompting", task_set.name)
    second = base.second_run()
    assert second is not None
    question = Question(
        assertion="no_forgetting",
        test="",
        spec=lab.spec(name),
        task_set=task_set,
        against="baseline of prompting",
        budget=Budget(share=SHARE, alpha=0.05),
        candidate=lab.baseline(name, task_set.name).run,
        reference=base.run,
    )
    return no_forgetting(question, second=second, targeted=set(), margin=0.10)


def test_the_overtrained_adapter_is_blocked_and_the_good_one_is_not(
    make_lab: Callable[[], Lab],
) -> None:
    lab = make_lab()
    lost = forgotten(lab, "overtrained")
    assert lost.verdict == "block"
    assert {f.name for f in lost.figures if f.verdict == "block"} >= {"arithmetic"}
    assert forgotten(lab, "support").verdict != "block"


def test_fine_tuning_beats_prompting_at_its_own_job(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    scores = {
        name: [s.score or 0.0 for s in lab.baseline(name, "support_triage_v1").run.samples]
        for name in ("prompting", "support")
    }
    means = {name: sum(values) / len(values) for name, values in scores.items()}
    assert means["support"] > means["prompting"] + 0.3


def test_merged_and_unmerged_say_the_same(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    plan = lab.variant("support").plan
    spec = lab.spec("support")
    merged = lab.variant("prompting").plan.with_step(
        adapter.step(SUITES / spec.options["adapter"], spec, merge=True)
    )
    samples = lab.task_set("support_triage_v1").samples
    chosen = [s for s in samples if s.choices][::4]
    written = [s for s in samples if s.scorer == "exact"][::10]
    answers = []
    for one in (plan, merged):
        engine = loading.load(one, lab.variant("support").files, lab.settings.cache)
        scored: dict[int, Output] = {}
        replied: dict[int, Output] = {}
        contexts = [engine.render(plan.prompt.messages(s.input)) for s in chosen]
        engine.score_options(
            [ScoringRequest(c, s.choices) for c, s in zip(contexts, chosen, strict=True)],
            budget=512,
            skip=set(),
            done=scored.update,
        )
        engine.generate(
            [
                GenerationRequest(engine.render(plan.prompt.messages(s.input)), s.max_tokens)
                for s in written
            ],
            budget=4096,
            skip=set(),
            done=replied.update,
        )
        engine.close()
        answers.append((scored, replied))
    (apart, apart_replies), (together, together_replies) = answers
    for number, sample in enumerate(chosen):
        assert apart[number].option_logprobs == pytest.approx(
            together[number].option_logprobs, abs=1e-2
        )
        choice = scorers.SCORERS["choice"]
        assert isinstance(choice, Scorer)
        assert choice.score(sample, apart[number]) == choice.score(sample, together[number])
    assert [apart_replies[i].text for i in range(len(written))] == [
        together_replies[i].text for i in range(len(written))
    ]


def test_an_adapter_for_another_base_is_refused(tmp_path: Path) -> None:
    testing.write_random_model(tmp_path / "other")
    (tmp_path / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    toml = tmp_path / "modellab.toml"
    toml.write_text(
        '[models.other]\nsource = "./other"\n'
        '[variants.plain]\nkind = "prompted"\nmodel = "other"\nprompt = "p.jinja"\n'
        '[variants.wrong]\nkind = "lora"\nbase = "plain"\n'
        f"adapter = {json.dumps(str(SUITES / 'adapters' / 'support'))}\n"
    )
    lab = Lab(read.load(toml), Settings(cache=tmp_path / "cache"))
    with pytest.raises(VariantLoadError, match="was trained on a base with weights b179c9523d0e"):
        lab.variant("wrong")


def test_the_student_is_half_as_deep(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    engine = lab.engine(lab.variant("student"))
    assert len(engine.model.get_decoder().layers) == 15  # type: ignore[attr-defined]
    answers: dict[int, Output] = {}
    context = engine.render([{"role": "user", "content": "Say hello."}])
    engine.generate([GenerationRequest(context, 8)], budget=256, skip=set(), done=answers.update)
    assert answers[0].text


def test_chains_of_thought_are_the_same_in_any_batch(make_lab: Callable[[], Lab]) -> None:
    lab = make_lab()
    variant = lab.variant("self_consistency")
    engine, prompt = lab.engine(variant), variant.plan.prompt
    samples = [s for s in lab.task_set("assistant_core_v2").samples if s.choices][::150]
    requests = [ScoringRequest(engine.render(prompt.messages(s.input)), s.choices) for s in samples]

    def score(budget: int) -> dict[int, Output]:
        found: dict[int, Output] = {}
        engine.score_options(requests, budget=budget, skip=set(), done=found.update)
        return found

    together, apart = score(512), score(1)
    for number in range(len(samples)):
        assert together[number].option_logprobs == pytest.approx(
            apart[number].option_logprobs, abs=1e-2
        )
        assert together[number].tokens_out == apart[number].tokens_out
