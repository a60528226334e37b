"""Variants that share a loaded model: what each says, and what is left of it on the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loras import write_adapter

from pytest_modellab import testing, variants
from pytest_modellab.engines import state
from pytest_modellab.engines.interface import Engine, GenerationRequest, ScoringRequest
from pytest_modellab.engines.language.reasoning import Thinking
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.errors import ModelError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading, sharing
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt

torch = pytest.importorskip("torch")
peft = pytest.importorskip("peft")
pytest.importorskip("transformers")

OPTIONS = ("the", "an other", "one")
CHAT = [{"role": "user", "content": "What is the capital of the land?"}]


def lora(*targets: str, **changes: Any) -> Any:
    return peft.LoraConfig(**{"target_modules": targets, "task_type": "CAUSAL_LM", **changes})


ADAPTERS: dict[str, Callable[[], Any]] = {
    "dropout": lambda: lora("q_proj", "v_proj", "down_proj", r=4, lora_dropout=0.5),
    "saved": lambda: lora("o_proj", "gate_proj", r=8, modules_to_save=["lm_head"]),
    "dora": lambda: lora("q_proj", "up_proj", r=2, use_dora=True),
    "embeds": lambda: lora("embed_tokens", "q_proj", r=2),
    "olora": lambda: lora("q_proj", r=2, init_lora_weights="olora"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model wide enough for bitsandbytes, and the adapters of :data:`ADAPTERS`."""
    folder = tmp_path_factory.mktemp("sharing")
    model = testing.write_random_model(folder / "tiny", seed=7, hidden_size=64)
    for seed, (name, config) in enumerate(ADAPTERS.items()):
        write_adapter(folder / name, model, seed=seed, config=config())
    return folder


@pytest.fixture
def files(root: Path) -> ModelFiles:
    return locate.locate(ModelSource("tiny", str(root / "tiny")), root)


Declare = Callable[..., Loadable]


@pytest.fixture
def declare(root: Path, files: ModelFiles) -> Declare:
    """Declare a variant: ``declare(kind, base, option=…)``."""

    def go(kind: str, base: Loadable, **options: Any) -> Loadable:
        spec = VariantSpec("v", kind, variants.KINDS[kind].strategy, base="plain", options=options)
        made = variants.make_plan(
            variants.KINDS[kind], spec, base.plan, files.source, root / "modellab.toml"
        )
        return Loadable(made, files)

    return go


@pytest.fixture
def plain(files: ModelFiles) -> Loadable:
    plan = Plan(model=files.source, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
    return Loadable(plan, files)


def said(engine: Engine) -> tuple[tuple[float, ...], str]:
    """The likelihoods of options, and a reply."""
    context, seen = engine.render(CHAT), dict[int, Output]()
    request = ScoringRequest(context, OPTIONS)
    engine.score_options([request], budget=99, skip=set(), done=seen.update)
    values = seen[0].option_logprobs
    engine.generate([GenerationRequest(context, 5)], budget=99, skip=set(), done=seen.update)
    return values, seen[0].text


@pytest.fixture
def share(tmp_path: Path) -> Callable[[Loadable], sharing.Shared]:
    def go(source: Loadable) -> sharing.Shared:
        bare = sharing.bare(source)
        assert bare is not None
        return sharing.Shared(bare, tmp_path)

    return go


Share = Callable[[Loadable], sharing.Shared]


METHODS = (
    "",
    "bitsandbytes-nf4",
    "bitsandbytes-int8",
    "torchao-int8-weight-only",
    "quanto-int8",
    "rtn",
)


@pytest.mark.parametrize("method", METHODS, ids=lambda name: name or "plain")
def test_every_variant_says_what_it_says_alone_and_leaves_the_base_as_it_was(
    method: str, plain: Loadable, declare: Declare, share: Share, tmp_path: Path
) -> None:
    if method:
        package = method.partition("-")[0]
        pytest.importorskip({"quanto": "optimum.quanto", "rtn": "torch"}.get(package, package))
    base = declare("quantized", plain, method=method) if method else plain
    adapters = ["dropout", "saved"] if "bitsandbytes" in method else ["dropout", "saved", "dora"]
    kind = "qlora" if base.plan.quantization else "lora"
    shared = share(base)
    engine: Any = shared.dress(base)
    first = said(engine)
    told = state.hashes(engine.model)
    assert shared.undress()
    for name in (*adapters, adapters[0]):
        adapted = declare(kind, base, adapter=name)
        found = said(shared.dress(adapted))
        assert shared.undress()
        alone: Any = loading.load(adapted.plan, adapted.files, tmp_path)
        assert found == said(alone)
        assert found != first
        between: Any = shared.dress(base)
        assert state.hashes(between.model) == told
        assert said(between) == first
        assert shared.undress()


@pytest.mark.parametrize("adapter", ["embeds", "olora"])
def test_what_writes_to_the_base_is_noticed(
    adapter: str, plain: Loadable, declare: Declare, share: Share
) -> None:
    """PEFT saves the matrix of adapted embeddings, too, and puts it into the base's place.

    OLoRA takes what it begins with from the base's own matrices.
    """
    shared = share(plain)
    shared.dress(declare("lora", plain, adapter=adapter))
    assert not shared.undress()


@pytest.mark.parametrize(
    ("adapter", "apart"), [("dropout", True), ("dora", False), ("olora", False)]
)
def test_what_is_made_of_packed_weights_gets_them_as_they_were_loaded(
    adapter: str, apart: bool, plain: Loadable, declare: Declare, share: Share
) -> None:
    """4-bit weights of bitsandbytes lie otherwise once the model has answered."""
    pytest.importorskip("bitsandbytes")
    base = declare("quantized", plain, method="bitsandbytes-nf4")
    assert share(base).fits(declare("qlora", base, adapter=adapter)) is apart
    assert share(plain).fits(declare("lora", plain, adapter=adapter))


def test_what_cannot_be_taken_off_is_noticed(plain: Loadable, share: Share) -> None:
    def fails() -> None:
        raise NotImplementedError

    shared = share(plain)
    stays = Step("stays", {}, lambda model: model, attach=lambda model: (model, fails))
    shared.dress(dataclasses.replace(plain, plan=plain.plan.with_step(stays)))
    assert not shared.undress()


def _hooked(model: Any) -> tuple[Any, Callable[[], None]]:
    model.lm_head.register_forward_hook(lambda *_: None)
    return model, lambda: None


def _replaced(model: Any) -> tuple[Any, Callable[[], None]]:
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    return model, lambda: None


def _written(model: Any) -> tuple[Any, Callable[[], None]]:
    with torch.no_grad():
        model.lm_head.weight.mul_(2)
    return model, lambda: None


def _given_other_data(model: Any) -> tuple[Any, Callable[[], None]]:
    model.lm_head.weight.data = model.lm_head.weight.data * 2  # as PiSSA does
    return model, lambda: None


def _written_unseen(model: Any) -> tuple[Any, Callable[[], None]]:
    model.lm_head.weight.data[-1, -1] *= 2  # in place, but torch does not count it: as OLoRA does
    return model, lambda: None


def _written_when_taken_off(model: Any) -> tuple[Any, Callable[[], None]]:
    def take_off() -> None:
        model.model.norm.weight.data.mul_(2)

    return model, take_off


LEAVE = [
    _hooked,
    _replaced,
    _written,
    _given_other_data,
    _written_unseen,
    _written_when_taken_off,
]


@pytest.mark.parametrize("attach", LEAVE)
def test_what_is_left_behind_is_noticed(attach: Any, plain: Loadable, share: Share) -> None:
    shared = share(plain)
    leaves = Step("leaves", {}, lambda model: model, attach=attach)
    shared.dress(dataclasses.replace(plain, plan=plain.plan.with_step(leaves)))
    assert not shared.undress()


def test_gradients_are_asked_for_as_before(plain: Loadable, declare: Declare, share: Share) -> None:
    shared = share(plain)
    engine: Any = shared.dress(plain)
    model = engine.model
    before = [tensor.requires_grad for tensor in model.parameters()]
    assert any(before)
    shared.undress()
    shared.dress(declare("lora", plain, adapter="saved"))
    shared.undress()
    assert [tensor.requires_grad for tensor in model.parameters()] == before


def test_an_adapters_memory_is_given_back_whoever_holds_it(
    plain: Loadable, declare: Declare, share: Share
) -> None:
    shared = share(plain)
    engine: Any = shared.dress(declare("lora", plain, adapter="saved"))
    layer = engine.model.model.layers[0].self_attn.o_proj
    assert engine.parameter_bytes() > shared._engine.parameter_bytes() * 0.99
    kept = [layer.base_layer, *layer.lora_A.values()]
    shared.undress()
    assert kept[0].weight is not None
    assert all(module.weight is None for module in kept[1:])


def test_an_engine_of_another_variant_answers_no_more(
    plain: Loadable, declare: Declare, share: Share
) -> None:
    shared = share(plain)
    stale = shared.dress(plain)
    shared.undress()
    shared.dress(declare("lora", plain, adapter="dropout"))
    with pytest.raises(ModelError) as caught:
        said(stale)
    assert str(caught.value) == (
        "this engine was let go when another variant was loaded; ask for it again: "
        "candidate.engine, or lab.engine(variant)"
    )
    shared.close()


def test_an_engine_beside_another_is_made_as_it_was(plain: Loadable, tmp_path: Path) -> None:
    def cache(_config: Any) -> None:
        return None

    loaded: Any = loading.load(plan=plain.plan, files=plain.files, cache=tmp_path)
    made = TransformersEngine(
        loaded.model, loaded.tokenizer, inference_mode=False, cache=cache, attention="eager"
    )
    assert vars(made.beside()) == vars(made)
    used: Any = made.beside()
    used.remembers = "a batch"
    assert vars(used.beside()) == vars(made)


# --- who shares -----------------------------------------------------------------------------------


def test_how_a_model_is_asked_makes_no_other_model(plain: Loadable, share: Share) -> None:
    shared = share(plain)
    for changes in (
        {"prompt": Prompt("{% block user %}Q: {{ input }}{% endblock %}")},
        {"paraphrases": (plain.plan.prompt,)},
        {"thinking": Thinking(tokens=4)},
        {"day": "2026-01-02"},
    ):
        other = dataclasses.replace(plain, plan=dataclasses.replace(plain.plan, **changes))
        assert shared.fits(other)
    thinks = shared.dress(
        dataclasses.replace(
            plain,
            plan=dataclasses.replace(plain.plan, thinking=Thinking(tokens=4), day="2026-01-02"),
        )
    )
    inner: Any = thinks
    assert inner.engine.day == "2026-01-02"
    shared.undress()
    with pytest.raises(ModelError, match="this engine was let go"):
        said(thinks)
    inner = shared.dress(plain)
    assert inner.day == ""


def test_what_makes_another_model_is_not_shared(
    plain: Loadable, declare: Declare, share: Share, files: ModelFiles
) -> None:
    shared = share(plain)
    adapted = declare("lora", plain, adapter="dropout")
    merged = declare("lora", plain, adapter="dropout", merge=True)
    upon = declare("lora", adapted, adapter="saved")
    assert shared.fits(adapted)
    others = [
        merged,
        upon,
        declare("quantized", plain, method="bitsandbytes-nf4"),
        declare("quantized", plain, method="kv-cache"),
        declare("distilled", plain, layers=[0]),
        dataclasses.replace(plain, plan=dataclasses.replace(plain.plan, dtype="bfloat16")),
        dataclasses.replace(plain, plan=dataclasses.replace(plain.plan, inference_mode=False)),
        dataclasses.replace(plain, files=dataclasses.replace(files, weights="w" * 64)),
    ]
    assert [shared.fits(other) for other in others] == [False] * len(others)
    # what is put on an adapter is put on the model that it was merged into
    assert share(upon).fits(declare("lora", adapted, adapter="dora"))


def test_other_engines_share_nothing(plain: Loadable, share: Share) -> None:
    anything: Any = object()
    opened = dataclasses.replace(plain.plan, open=lambda *_: anything)
    assert sharing.bare(dataclasses.replace(plain, plan=opened)) is None
    shared = share(plain)
    assert not shared.fits(dataclasses.replace(plain, plan=opened))
    assert not shared.fits(anything)


def test_a_missing_library_is_said_before_anything_is_put_on(plain: Loadable, share: Share) -> None:
    shared = share(plain)
    needs = Step("needs", {}, lambda model: model, packages=("no-such-thing",))
    step = dataclasses.replace(needs, attach=lambda model: (model, lambda: None))
    with pytest.raises(VariantLoadError, match="no-such-thing is not installed"):
        shared.dress(dataclasses.replace(plain, plan=plain.plan.with_step(step)))
