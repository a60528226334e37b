"""What a served variant was trained to is read from its recipe and its adapter's files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.errors import ConfigError, ModelError
from pytest_modellab.lab import trained
from pytest_modellab.models.files import NO_FILES
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.variants import KINDS, make_plan
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Plan, Training
from pytest_modellab.variants.prompt import Prompt

pytest.importorskip("jinja2")

PROMPT = Prompt(
    "{% block system %}Be brief.{% endblock %}{% block user %}{{ input }}{% endblock %}"
)

RECIPE = {"method": "sft", "data": "train.jsonl"}


def source(folder: Path, recipe: Mapping[str, Any] | None, adapter: Path | None = None) -> Loadable:
    training = Training("tuned", PROMPT, recipe, adapter, folder)
    return Loadable(Plan(NO_MODEL, PROMPT, training=training), NO_FILES)


def test_a_server_is_asked_the_shortest_prompts_of_the_data(tmp_path: Path) -> None:
    rows = [{"input": "x" * n, "reply": str(n)} for n in (9, 3, 3000, 5, 1, 7)]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = trained.found(source(tmp_path, RECIPE), tmp_path)
    assert found is not None
    assert [one.reply for one in found.rows] == ["1", "3", "5", "7"]
    assert [*found.rows[0].messages] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "x"},
    ]
    assert (found.variant, found.tensors, found.weights) == ("tuned", None, None)


def test_what_is_preferred_is_what_was_trained(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"input": "a", "chosen": "b", "rejected": "c"}')
    found = trained.found(source(tmp_path, {**RECIPE, "method": "dpo"}), tmp_path)
    assert found is not None
    assert [one.reply for one in found.rows] == ["b"]


@pytest.mark.parametrize("recipe", [None, {}, {"method": "own", "data": "x"}, {"method": "sft"}])
def test_without_data_there_are_no_prompts(
    tmp_path: Path, recipe: Mapping[str, Any] | None
) -> None:
    found = trained.found(source(tmp_path, recipe), tmp_path)
    assert found is not None
    assert found.rows == ()


def test_data_that_cannot_be_read_is_said_with_the_variant(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the recipe of 'tuned': data: .*train.jsonl: cannot be"):
        trained.found(source(tmp_path, RECIPE), tmp_path)


def test_what_was_never_trained_is_nothing(tmp_path: Path) -> None:
    assert trained.found(Loadable(Plan(NO_MODEL, PROMPT), NO_FILES), tmp_path) is None


def test_an_adapter_tells_its_modules(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    import numpy as np
    from safetensors.numpy import save_file

    config, weights = tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors"
    save_file({"base_model.model.a.lora_A.weight": np.zeros((1, 1), "f4")}, weights)
    for method, tensors in (("LORA", ("base_model.model.a.lora_A.weight",)), ("IA3", None)):
        config.write_text(json.dumps({"peft_type": method}))
        found = trained.found(source(tmp_path, None, tmp_path), tmp_path)
        assert found is not None
        assert found.tensors == tensors
    config.write_text('{"peft_type": "LORA"}')
    weights.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"the adapter .* cannot be read: "):
        trained.found(source(tmp_path, None, tmp_path), tmp_path)


def test_a_served_variant_knows_what_its_base_was_trained_to(tmp_path: Path) -> None:
    tiny = ModelSource("tiny", "./tiny")
    config = tmp_path / "modellab.toml"
    spec = VariantSpec("tuned", "finetuned", "tuning", "b", "tiny", recipe=RECIPE)
    tuned = make_plan(KINDS["finetuned"], spec, Plan(tiny, PROMPT), tiny, config)
    options = {"url": "http://h/v1", "served_model": "m", "served_base": "b"}
    spec = VariantSpec("there", "endpoint", "serving", "tuned", options=options)
    plan = make_plan(KINDS["endpoint"], spec, tuned, tiny, config)
    assert plan.training == Training("tuned", PROMPT, RECIPE, None, tmp_path)
    assert plan.served is not None
    assert plan.served.base == "b"
