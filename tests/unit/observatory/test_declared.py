"""What was declared is made of the base, and what is something else is told from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import cli, testing, variants
from pytest_modellab.errors import VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.observatory import (
    conclude,
    diagnose,
    expected,
    forced,
    remedy,
    rounding,
    sites,
    whole,
)
from pytest_modellab.observatory import probes as probing
from pytest_modellab.observatory import run as running
from pytest_modellab.observatory import weights as weighing
from pytest_modellab.observatory.subject import Subject
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.diagnosis import Diagnosis, Kept, Side
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds import quantized
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

# PEFT asks transformers for a name that is on its way out
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")

MODEL = ModelSource("tiny", "./tiny")
BASE = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))

Make = Callable[..., Subject]


def declare(kind: str, root: Path, base: Plan = BASE, **options: Any) -> Plan:
    known = variants.KINDS[kind]
    spec = VariantSpec("v", kind, known.strategy, base="plain", options=options)
    return variants.make_plan(known, spec, base, MODEL, root / "modellab.toml")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small model and an adapter of it."""
    folder = tmp_path_factory.mktemp("declared")
    testing.write_random_model(folder / "tiny", seed=7, hidden_size=128)
    config = peft.LoraConfig(
        r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = peft.get_peft_model(
            transformers.AutoModelForCausalLM.from_pretrained(folder / "tiny"), config
        )
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.03)
    made.save_pretrained(folder / "a")
    return folder


@pytest.fixture(scope="module")
def make(root: Path) -> Make:
    """Load a plan."""
    files = locate.locate(ModelSource("tiny", str(root / "tiny")), root)

    def go(plan: Plan = BASE, name: str = "v") -> Subject:
        engine: Any = loading.load(plan, files, root / "cache")
        return Subject(Side(name), engine.model, engine.tokenizer, None, plan)

    return go


@pytest.fixture(scope="module")
def base(make: Make) -> Subject:
    return make(BASE, "base")


def run_of(subject: Subject) -> running.BaseRun:
    probes = probing.built_in(subject.tokenizer, tokens=128, long=48)
    return running.base_run(subject, probes, sites.leaves(subject.model))


def concluded(
    base: Subject, candidate: Subject
) -> tuple[conclude.AsDeclared, conclude.Concluded, float]:
    run = run_of(base)
    found = running.damage(run, candidate.model)
    beside = conclude.as_declared(run, candidate, found)
    passes = forced.leaf_pass(run, found, candidate.model)
    weights = weighing.compare(base.model, candidate.model, run.leaves)
    said = conclude.whole(run, candidate, found, passes, weights, beside)
    return beside, said, found.nats


# --- rounding -------------------------------------------------------------------------------------

EXACT = [name for name in quantized.METHODS if not name.startswith("bitsandbytes")]


@pytest.mark.parametrize("method", [*quantized.METHODS, "rtn"])
def test_the_declared_rounding_is_the_library_s(
    method: str, root: Path, make: Make, base: Subject
) -> None:
    pytest.importorskip(
        {"torchao": "torchao", "quanto": "optimum.quanto"}.get(
            method.split("-", maxsplit=1)[0], "bitsandbytes"
        )
    )
    candidate = make(declare("quantized", root, method=method))
    made = expected.expected(candidate, base)
    assert made is not None
    leaves = sites.leaves(base.model)
    due = weighing.compare(base.model, made.model, leaves)
    off = weighing.compare(made.model, candidate.model, leaves)
    linear = [one for one in due.changes if one.leaf.branch and not one.leaf.norm]
    assert len(linear) == 14
    assert all(one.relative > 0.005 for one in linear), "rounded"
    # bitsandbytes computes in half precision, and says its weights in it
    most = 0 if method in (*EXACT, "rtn") else 0.005 if "int8" not in method else 1e-3
    assert max(one.relative for one in off.changes) <= most


def test_a_rounding_that_is_not_known() -> None:
    assert rounding.of({"method": "kv-cache"}) is None
    assert rounding.of({}) is None


def test_what_is_kept_in_full_precision_is_not_rounded(
    root: Path, make: Make, base: Subject
) -> None:
    kept = ["model.layers.0.mlp"]
    candidate = make(declare("quantized", root, method="rtn", bits=3, skip_modules=kept))
    made = expected.expected(candidate, base)
    assert made is not None
    for path, module in made.model.named_parameters():
        assert torch.equal(module, candidate.model.get_parameter(path)), path


# --- what a plan says -----------------------------------------------------------------------------


def test_nothing_is_declared_of_a_plain_model_or_the_same_one(base: Subject) -> None:
    assert expected.declared(None, BASE) == expected.Declared()
    assert expected.declared(BASE, None) == expected.Declared()
    assert expected.declared(BASE, BASE) == expected.Declared()
    assert expected.expected(dataclasses.replace(base, plan=None), base) is None
    assert expected.expected(base, base) is None


def test_changes_that_both_have_are_left_out(root: Path) -> None:
    tuned = declare("lora", root, adapter="a")
    rounded = declare("quantized", root, tuned, method="rtn")
    said = expected.declared(rounded, tuned)
    assert (said.before, said.after) == ((), ())
    assert dict(said.settings)["method"] == "rtn"
    whole_way = expected.declared(rounded, BASE)
    assert [step.name for step in whole_way.before] == ["adapter"]
    assert len(whole_way.adapters) == 1
    on_top = declare("qlora", root, declare("quantized", root, method="rtn"), adapter="a")
    assert [step.name for step in expected.declared(on_top, BASE).after] == ["adapter"]
    assert expected.declared(on_top, BASE).rounds


def test_what_cannot_be_made_is_noted(root: Path) -> None:
    def note(plan: Plan, base: Plan = BASE) -> str:
        said = expected.declared(plan, base)
        assert not said.changes
        return said.note

    other = dataclasses.replace(BASE, model=ModelSource("other", "./other"))
    assert note(other) == (
        "it has weights of its own, and no plan says how they follow from the base"
    )
    graph = declare("quantized", root, method="onnxruntime-int8")
    assert note(graph) == "another engine runs it, so its weights cannot be made here"
    tuned = declare("lora", root, adapter="a")
    assert note(BASE, tuned) == "its base has changes that it has not"
    rounded = declare("quantized", root, method="rtn")
    assert note(rounded, tuned) == "its base has changes that it has not, or has them rounded"
    finer = declare("quantized", root, method="rtn", bits=8)
    assert note(finer, rounded) == "its base is quantized in another way"
    unknown = dataclasses.replace(BASE, quantization={"method": "own"})
    assert note(unknown) == "how 'own' rounds is not known here"


# --- what is not as declared ----------------------------------------------------------------------


def test_an_adapter_as_declared(root: Path, make: Make, base: Subject) -> None:
    candidate = make(declare("lora", root, adapter="a"), "tuned")
    beside, said, nats = concluded(base, candidate)
    assert nats > 0.01
    assert not beside.differs(nats)
    assert said.whole.fault == "adapter"
    assert said.whole.sentence == (
        "6 of 14 projections differ, each in few directions: 100% of the change lies in 40; the "
        "adapter is applied once, as declared"
    )
    assert said.whole.evidence["times"] == pytest.approx(1, abs=1e-3)
    assert said.remedy is not None
    assert said.remedy.paste == "[variants.tuned]\nscale = 0.5\n"
    assert said.remedy.sentence.startswith("layers 0, 1 pay 100% of ")
    assert " nats; scale = 0.25 costs " in said.remedy.sentence


@pytest.mark.parametrize("rounded", [False, True])
def test_a_wrong_alpha_is_told_under_a_rounding_too(
    rounded: bool, root: Path, make: Make, base: Subject
) -> None:
    as_said, as_is = (declare("lora", root, adapter="a", scale=scale) for scale in (1, 2))
    if rounded:
        as_said, as_is = (
            declare("quantized", root, one, method="rtn", bits=8) for one in (as_said, as_is)
        )
    candidate = dataclasses.replace(make(as_is), plan=as_said)
    beside, said, nats = concluded(base, candidate)
    assert beside.differs(nats)
    assert said.whole.evidence["times"] == pytest.approx(2, abs=0.02)
    assert said.whole.sentence.endswith("the adapter is applied twice")
    assert said.remedy is not None
    if not rounded:
        assert said.remedy.sentence == (
            "the adapter is applied twice: it was merged and then put on once more: merge it into "
            "the plain base"
        )
        assert said.remedy.paste == "[variants.v]\nscale = 0.5\n"


def test_a_missing_adapter(root: Path, make: Make, base: Subject) -> None:
    candidate = dataclasses.replace(base, plan=declare("lora", root, adapter="a"))
    run = run_of(base)
    beside = conclude.as_declared(run, candidate, running.damage(run, candidate.model))
    assert beside.differs(0.0)
    assert beside.expected is not None
    times = whole.applied(base.model, base.model, beside.expected.model, run.leaves)
    assert times == 0
    assert whole._times(0.0)[0] == "the adapter is missing"
    assert whole._times(0.5) == (
        "the adapter is applied 0.50 times",
        "another alpha or scale than adapter_config.json says: 0.50 times of it",
    )


def test_a_damaged_shard_of_a_rounded_model_stands_alone(
    root: Path, make: Make, base: Subject
) -> None:
    candidate = make(declare("quantized", root, method="torchao-int4-weight-only"))
    assert not concluded(base, candidate)[0].differs(1.0)
    rtn = make(declare("quantized", root, method="rtn"))
    with torch.no_grad():
        rtn.model.get_submodule("model.layers.1.mlp.down_proj").weight.zero_()
    beside, _, nats = concluded(base, rtn)
    assert beside.differs(nats)
    assert beside.expected is not None
    off = weighing.compare(beside.expected.model, rtn.model, sites.leaves(base.model))
    assert [one.leaf.site for one in off.changed] == ["layer.1.mlp.down_proj"]


def test_a_student_is_compared_with_the_layers_that_it_keeps(
    root: Path, make: Make, base: Subject
) -> None:
    student = make(declare("distilled", root, layers=[1]))
    run = run_of(base)
    found = running.damage(run, student.model)
    beside = conclude.as_declared(run, student, found)
    assert beside.expected is not None
    assert len(beside.expected.model.model.layers) == 1
    assert beside.beyond == 0
    assert beside.changes == {}
    with torch.no_grad():
        student.model.model.layers[0].mlp.up_proj.weight.mul_(0.5)
    beside = conclude.as_declared(run, student, running.damage(run, student.model))
    assert beside.differs(found.nats)
    assert len(base.model.model.layers) == 2, "the base is left as it was"


def test_an_adapter_that_does_not_fit_is_a_note(root: Path, base: Subject) -> None:
    plan = declare("lora", root, adapter="a")
    run = run_of(base)
    found = running.damage(run, base.model)

    def fail(_model: Any) -> Any:
        raise VariantLoadError("the adapter was trained on another model")

    step = Step("adapter", dict(plan.steps[0].settings), fail)
    candidate = dataclasses.replace(base, plan=dataclasses.replace(BASE, steps=(step,)))
    beside = conclude.as_declared(run, candidate, found)
    assert beside.notes == (
        "not compared with what was declared: the adapter was trained on another model",
    )
    assert not beside.differs(1.0)


# --- the remedy -----------------------------------------------------------------------------------


def test_a_pasted_list_restores_what_was_measured(root: Path, make: Make, base: Subject) -> None:
    plan = declare("quantized", root, method="quanto-int4")
    pytest.importorskip("optimum.quanto")
    candidate = make(plan, "four")
    before = {path: id(module) for path, module in candidate.model.named_modules()}
    _, said, nats = concluded(base, candidate)
    assert {path: id(module) for path, module in candidate.model.named_modules()} == before
    assert said.whole.fault == "uniform"
    assert said.whole.sentence.endswith("1 times what the declared rounding makes: as expected")
    found = said.remedy
    assert found is not None
    assert [one.modules for one in found.curve] == [1, 2, 4, 8, len(found.modules)]
    assert [one.bytes for one in found.curve] == sorted(one.bytes for one in found.curve)
    assert found.curve[-1].restored > 0.9, "nearly all of them"

    kept = [line.strip('", ') for line in found.paste.splitlines()[2:-1]]
    assert kept == list(found.modules[: len(kept)])
    point = next(one for one in found.curve if one.modules == len(kept))
    assert point.restored >= 0.5
    assert f"{len(kept)} of 14 modules kept in full precision restore" in found.sentence
    again = make(declare("quantized", root, method="quanto-int4", skip_modules=kept))
    left = running.damage(run_of(base), again.model).nats
    assert 1 - left / nats == pytest.approx(point.restored, abs=2e-3)


def subject(plan: Plan | None) -> Subject:
    return Subject(Side("four"), None, None, None, plan)


def test_a_list_that_does_not_help_is_not_pasted(root: Path) -> None:
    plan = declare("quantized", root, method="rtn", skip_modules=["a.b"])
    said = remedy.advice(subject(plan), 0.26, ["x", "y"], [Kept(1, 0.01, 9), Kept(2, 0.04, 18)], 99)
    assert said.paste == ""
    assert said.sentence == (
        "no list helps: 2 modules in full precision restore 4% of 0.26 nats; the rounding costs a "
        "little everywhere: take more bits, smaller groups, or another method"
    )
    assert said.modules == ("x", "y")


def test_a_list_goes_beside_what_is_kept_already(root: Path) -> None:
    plan = declare("quantized", root, method="rtn", skip_modules=["a.b"])
    curve = [Kept(1, 0.2, 900), Kept(2, 0.6, 2_500_000), Kept(4, 0.9, 5_000_000)]
    said = remedy.advice(subject(plan), 0.26, ["x", "y", "z", "w"], curve, 99)
    assert said.paste == ('[variants.four]\nskip_modules = [\n    "a.b",\n    "x",\n    "y",\n]\n')
    assert said.sentence == (
        "2 of 99 modules kept in full precision restore 60% of 0.26 nats, for 2.5 MB more"
    )
    weak = remedy.advice(subject(plan), 0.26, ["x", "y"], curve[:1], 99)
    assert weak.sentence.endswith("restore 20% of 0.26 nats, for 0.9 kB more")


@pytest.mark.parametrize(
    "plan", [None, BASE, dataclasses.replace(BASE, quantization={"checkpoint": "awq"})]
)
def test_nothing_is_pasted_for_what_takes_no_names(plan: Plan | None) -> None:
    assert remedy.paste(subject(plan), ["x"]) == ""


def test_an_adapter_on_a_quantized_base_keeps_its_adapter(
    root: Path, make: Make, base: Subject
) -> None:
    four = declare("quantized", root, method="rtn", bits=3)
    candidate = make(declare("qlora", root, four, adapter="a"), "tuned")
    _, said, nats = concluded(base, candidate)
    assert said.whole.fault == "uniform"
    assert said.whole.evidence["times"] == pytest.approx(1, abs=0.05)
    assert said.remedy is not None
    assert said.remedy.paste == "", "its base is the one to be declared otherwise"
    tuned = running.damage(run_of(base), make(declare("lora", root, adapter="a")).model).nats
    assert said.remedy.curve[-1].restored < 1 - tuned / nats + 0.01, "the adapter stays"


# --- the whole way --------------------------------------------------------------------------------


def diagnosed(base: Subject, candidate: Subject) -> Diagnosis:
    found: Diagnosis = diagnose(base, candidate, tokens=128, long=48, pictures=False)
    return found


def test_a_damaged_projection_under_an_adapter_is_named_first(
    root: Path, make: Make, base: Subject
) -> None:
    candidate = make(declare("lora", root, adapter="a", merge=True), "tuned")
    with torch.no_grad():
        candidate.model.get_submodule("model.layers.1.mlp.up_proj").weight.mul_(0.9)
    said = diagnosed(base, candidate)
    assert said.culprit == "layer.1.mlp.up_proj"
    assert said.fault == "scaled(0.9)"
    assert said.restored == pytest.approx(1, abs=1e-3)
    (note,) = (note for note in said.notes if "beyond what was declared" in note)
    assert note.endswith("by comparing with the base as the plan changes it")
    assert said.remedy is None


def test_a_coarser_rounding_than_declared(root: Path, make: Make, base: Subject) -> None:
    candidate = make(declare("quantized", root, method="rtn", bits=3), "four")
    said = diagnosed(
        base, dataclasses.replace(candidate, plan=declare("quantized", root, method="rtn"))
    )
    assert said.culprit is None
    assert said.headline == "it is different everywhere, and more than its rounding needs"
    assert said.remedy is not None
    assert said.remedy.sentence == (
        "2.1 times what the declared rounding makes: worse than rounding needs; wrong scales, "
        "another group size, or rounded twice: quantize the base again"
    )


def test_what_is_as_declared_is_told_as_a_whole(root: Path, make: Make, base: Subject) -> None:
    said = diagnosed(base, make(declare("quantized", root, method="rtn"), "four"))
    assert (said.culprit, said.fault) == (None, "uniform")
    assert said.headline == "it is different everywhere, as its rounding makes it"
    assert said.remedy is not None
    assert said.remedy.paste.startswith("[variants.four]\nskip_modules = [\n")
    rounded = [one for one in said.weights if one.site.endswith("_proj")]
    assert {one.site: one.expected for one in rounded} == pytest.approx(
        {one.site: one.relative for one in rounded}, rel=1e-3
    )
    kept = [f"model.layers.{layer}.self_attn.{name}_proj" for layer in (0, 1) for name in "qko"]
    plan = declare("quantized", root, method="rtn", bits=2, skip_modules=kept)
    mended = diagnosed(base, make(plan, "two"))
    assert (mended.culprit, mended.fault, mended.findings) == (None, "uniform", ())
    assert mended.headline == "it is different everywhere, as its rounding makes it"
    assert mended.remedy is not None
    assert kept[0] in mended.remedy.paste
    tuned = diagnosed(base, make(declare("lora", root, adapter="a"), "tuned"))
    assert (tuned.culprit, tuned.fault) == ("adapter", "adapter")
    assert tuned.notes == said.notes == ()


Capture = pytest.CaptureFixture[str]


def test_an_adapter_that_was_merged_twice_elsewhere(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """`modellab diagnose BASE FOLDER --adapter ADAPTER`."""
    twice = make(declare("lora", root, adapter="a", merge=True, scale=2))
    twice.model.save_pretrained(root / "twice")
    twice.tokenizer.save_pretrained(root / "twice")
    monkeypatch.setenv("MODELLAB_CACHE", str(root / "store"))
    monkeypatch.chdir(root)
    asked = ["diagnose", "tiny", "twice", "--tokens", "128", "--long", "48", "--adapter"]
    assert cli.main([*asked, "a", "--json", "d.json"]) == 1
    assert "twice against tiny: the adapter changes the model as a whole" in capsys.readouterr().out
    found = json.loads((root / "d.json").read_text(encoding="utf-8"))
    assert found["remedy"]["sentence"] == (
        "the adapter is applied twice: it was merged and then put on once more: merge it into the "
        "plain base"
    )
    assert found["remedy"]["paste"] == "", "no variant has it"

    assert cli.main([*asked, "none"]) == 2
    assert capsys.readouterr().err == "modellab: --adapter: no such folder: none\n"
    assert cli.main([*asked, "a", "--bundle", "d.zip"]) == 2
    assert capsys.readouterr().err == (
        "modellab: --adapter: its weights are in no bundle; leave --bundle out\n"
    )
