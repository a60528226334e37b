"""A variant that names its engine: what vLLM is given, and what it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from loras import write_adapter

from pytest_modellab import testing, variants
from pytest_modellab.engines.language import vllm_opening
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.variants import families, loading, runner, sharing
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan
from pytest_modellab.variants.prompt import Prompt
from pytest_modellab.variants.steps import adapter_fit

peft = pytest.importorskip("peft")
pytest.importorskip("transformers")

PROMPT = Prompt("{% block user %}{{ input }}{% endblock %}")
PLAIN = Plan(model=ModelSource("tiny", "tiny"), prompt=PROMPT)

RUN = {
    "batch_invariant": False,
    "block_size": 32,
    "lora_rank": 16,
    "prefix_caching": True,
}


def lora(*targets: str, **changes: Any) -> Any:
    return peft.LoraConfig(**{"target_modules": targets, "task_type": "CAUSAL_LM", **changes})


ADAPTERS = {
    "plain": lora("q_proj", r=4),
    "large": lora("q_proj", r=4, rank_pattern={"q_proj": 40}),
    "huge": lora("q_proj", r=600),
    "dora": lora("q_proj", r=2, use_dora=True),
    "saved": lora("q_proj", r=2, modules_to_save=["lm_head"]),
    "pissa": lora("q_proj", r=2, init_lora_weights="pissa"),
    "biased": lora("q_proj", r=2, lora_bias=True),
    "ia3": peft.IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runner")
    model = testing.write_random_model(folder / "tiny", seed=7)
    for name, config in ADAPTERS.items():
        write_adapter(folder / name, model, config=config)
    (folder / "p.jinja").write_text(PROMPT.template)
    return folder


Declare = Callable[..., Plan]


@pytest.fixture
def declare(root: Path) -> Declare:
    """Plan a variant: ``declare(kind, base, engine, option=…)``."""

    def go(kind: str, base: Plan | None, engine: str = "", **options: Any) -> Plan:
        spec = VariantSpec(
            "v",
            kind,
            variants.KINDS[kind].strategy,
            base="b" if base is not None else None,
            model=options.pop("model", None),
            options=options,
            engine=engine,
        )
        model = ModelSource("tiny", str(root / "tiny"))
        return variants.make_plan(variants.KINDS[kind], spec, base, model, root / "modellab.toml")

    return go


@pytest.fixture
def vllm(declare: Declare) -> Plan:
    return declare("prompted", None, "vllm", prompt="p.jinja")


def test_what_it_is_run_by_is_part_of_the_plan_and_inherited(declare: Declare, vllm: Plan) -> None:
    adapted = declare("lora", vllm, adapter="plain")
    trained = declare("finetuned", vllm, model="tiny")
    for plan in (vllm, adapted, trained, declare("lora", PLAIN, "vllm", adapter="plain")):
        assert (plan.engine, plan.attention, plan.runtime) == ("vllm-1", "CPU_ATTN", RUN)
        assert plan.packages[-1] == vllm_opening.distribution()
    assert [step.name for step in adapted.steps] == ["adapter"]
    large = declare("lora", vllm, adapter="large")
    assert large.runtime == {**RUN, "lora_rank": 64}
    halved = declare("prompted", vllm, prompt="p.jinja", dtype="bfloat16")
    assert (halved.dtype, halved.chosen) == ("bfloat16", "vllm")


def test_it_can_be_left_again(declare: Declare, vllm: Plan) -> None:
    plain = declare("prompted", None, prompt="p.jinja")
    assert declare("prompted", vllm, "transformers", prompt="p.jinja") == plain
    assert runner.without(vllm) == plain


def test_on_a_gpu_batches_change_nothing_unless_the_environment_says_so(
    declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VLLM_BATCH_INVARIANT", raising=False)
    made = declare("prompted", None, "vllm", prompt="p.jinja", device="cuda", dtype="bfloat16")
    assert made.attention == "FLASH_ATTN"
    assert made.runtime == {**RUN, "block_size": 16, "batch_invariant": True}
    monkeypatch.setenv("VLLM_BATCH_INVARIANT", "0")
    made = declare("prompted", None, "vllm", prompt="p.jinja", device="cuda", dtype="bfloat16")
    assert made.runtime == {**RUN, "block_size": 16}


def test_changes_of_weights_are_made_before_it_loads_them(declare: Declare, vllm: Plan) -> None:
    merged = declare("lora", vllm, adapter="plain", merge=True)
    assert ([step.name for step in merged.baked], merged.steps) == (["adapter"], ())
    scaled = declare("lora", vllm, adapter="plain", merge=True, scale=0.5)
    second = declare("lora", scaled, adapter="plain")
    assert [len(second.baked), len(second.steps)] == [1, 1]
    rounded = declare("quantized", vllm, method="rtn")
    assert [step.name for step in rounded.baked] == ["rtn"]
    shorter = declare("distilled", vllm, layers=[0])
    assert [step.name for step in shorter.baked] == ["layers"]


MERGE = r"add it to the weights \(merge = true\)$"
INSTEAD = 'take a base and a method that vLLM runs, or set engine = "transformers"$'


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("quantized", {"method": "kv-cache"}, rf"kv-cache rounds the keys .*; {INSTEAD}"),
        (
            "quantized",
            {"method": "bitsandbytes-nf4"},
            "bitsandbytes-nf4 rounds weights while transformers loads them; vLLM loads a "
            rf"checkpoint that was quantized before .*: {INSTEAD}",
        ),
        (
            "quantized",
            {"method": "onnxruntime-int8"},
            "onnxruntime-1 runs such a variant of kind 'quantized', and no other engine; leave "
            "engine out$",
        ),
        ("prompted", {"prompt": "p.jinja", "kernels": "liger"}, "kernels belongs to transformers"),
        ("prompted", {"prompt": "p.jinja", "attention": "sdpa"}, "attention belongs to transfor"),
        (
            "prompted",
            {"prompt": "p.jinja", "device": "cuda:1"},
            r"""device 'cuda:1': vLLM takes "cpu", or "cuda" for the first GPU that it sees""",
        ),
        ("lora", {"adapter": "plain", "scale": 0.5}, f"not at a scale; {MERGE}"),
        ("lora", {"adapter": "dora"}, rf"dora is a DoRA, .* vLLM does not compute .*; {MERGE}"),
        ("lora", {"adapter": "saved"}, rf"replaces parts of the base \(modules_to_save .*{MERGE}"),
        ("lora", {"adapter": "pissa"}, rf"init_lora_weights 'pissa'\), too, which .*{MERGE}"),
        ("lora", {"adapter": "biased"}, f"has lora_bias, which vLLM does not know; {MERGE}"),
        ("lora", {"adapter": "ia3"}, rf"is of PEFT's method IA3, .*{MERGE}"),
        ("lora", {"adapter": "huge"}, "is of rank 600, and vLLM has room for 512$"),
    ],
)
def test_what_it_cannot_run_is_refused(
    kind: str, options: Mapping[str, Any], message: str, declare: Declare, vllm: Plan
) -> None:
    plain = declare("prompted", None, prompt="p.jinja")
    with pytest.raises(ConfigError, match=rf"modellab\.toml: variants\.v\.engine: .*{message}"):
        declare(kind, plain, "vllm", **options)
    if "kernels" in options or "attention" in options or "device" in options:
        return
    with pytest.raises(ConfigError, match=r"v\.engine: the base 'b' is run by vllm: .*"):
        declare(kind, vllm, **options)
    # for transformers, or the kind's own engine, it is a variant like any
    assert declare(kind, plain, **options).chosen == ""


def test_what_is_shown_more_than_texts_is_refused(declare: Declare) -> None:
    looks = dataclasses.replace(PLAIN, media=frozenset({"image"}))
    with pytest.raises(ConfigError, match="engine: vLLM is given texts alone here"):
        declare("prompted", looks, "vllm", prompt="p.jinja")


def test_a_kind_with_an_engine_of_its_own_takes_no_other(declare: Declare) -> None:
    with pytest.raises(ConfigError, match="engine: endpoint-1 runs such a variant of kind 'endp"):
        declare("endpoint", PLAIN, "vllm", url="http://127.0.0.1:1/v1", served_model="m")


def test_variants_share_it_where_only_an_adapter_differs(
    root: Path, declare: Declare, vllm: Plan
) -> None:
    files = locate.locate(ModelSource("tiny", str(root / "tiny")), root)
    own = [vllm, declare("lora", vllm, adapter="plain"), declare("aligned", vllm, adapter="plain")]
    bare = [sharing.bare(Loadable(plan, files)) for plan in own]
    first = bare[0]
    assert first is not None
    assert all(one is not None and sharing.alike(first, one) for one in bare)
    for other in (
        declare("lora", vllm, adapter="large"),
        declare("lora", vllm, adapter="plain", merge=True),
        runner.without(vllm),
    ):
        found = sharing.bare(Loadable(other, files))
        assert found is not None
        assert not sharing.alike(first, found)


def test_its_family_begins_where_it_is_named() -> None:
    specs = {
        "torch": VariantSpec("torch", "prompted", "p", model="m"),
        "served": VariantSpec("served", "prompted", "p", base="torch", engine="vllm"),
        "adapted": VariantSpec("adapted", "lora", "f", base="served"),
    }
    found = [families.family(name, specs, variants.KINDS) for name in specs]
    assert found[1] == found[2] != found[0]


def test_a_library_that_is_missing_is_named(root: Path, vllm: Plan) -> None:
    files = locate.locate(ModelSource("tiny", str(root / "tiny")), root)
    missing = dataclasses.replace(vllm, packages=("vllm-that-is-not-there",))
    with pytest.raises(VariantLoadError, match="pip install vllm-that-is-not-there"):
        loading.fingerprint(missing, files)
    made = loading.fingerprint(dataclasses.replace(vllm, packages=("torch",)), files)
    assert made.settings["runtime"] == RUN
    assert made.settings["attention"] == "CPU_ATTN"
    assert made.settings["engine"] == "vllm-1"


def test_an_adapter_that_would_be_left_out_is_refused(root: Path, tmp_path: Path) -> None:
    adapter_fit.check(root / "plain", root / "tiny")
    wide = testing.write_random_model(tmp_path / "wide", hidden_size=64)
    with pytest.raises(VariantLoadError, match=r"q_proj is 32 wide, and the model's is 64$"):
        adapter_fit.check(root / "plain", wide)
    other = write_adapter(
        tmp_path / "embeds", root / "tiny", config=lora("embed_tokens", "q_proj", r=2)
    )
    with pytest.raises(VariantLoadError, match=r"embed_tokens.*; add it to them \(merge = true\)"):
        adapter_fit.check(other, root / "tiny")
