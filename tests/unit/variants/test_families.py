"""What shares a loaded model by its declaration shares it when it is loaded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.config import read
from pytest_modellab.config.find import FILE_NAME
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import VariantSpec
from pytest_modellab.variants import KINDS, sharing
from pytest_modellab.variants.families import device, family, together

TOML = """
[models.tiny]
source = "tiny"
[models.other]
source = "other"
[task_sets.words]
path = "words"
margin = 0.1
[variants]
bm25 = { kind = "lexical" }
plain = { kind = "prompted", model = "tiny", prompt = "p.jinja" }
again = { kind = "prompted", model = "tiny", prompt = "q.jinja", thinking_tokens = 3 }
another = { kind = "prompted", model = "other", prompt = "p.jinja" }
half = { kind = "prompted", model = "tiny", prompt = "p.jinja", dtype = "bfloat16" }
worded = { kind = "prompted", base = "plain", prompt = "q.jinja" }
halved = { kind = "prompted", base = "plain", prompt = "q.jinja", dtype = "bfloat16" }
found = { kind = "rag", base = "plain", retriever = "bm25", prompt = "r.jinja" }
one = { kind = "lora", base = "plain", adapter = "a" }
two = { kind = "lora", base = "worded", adapter = "b", scale = 0.5 }
three = { kind = "aligned", base = "found", adapter = "a" }
asked = { kind = "prompted", base = "one", prompt = "q.jinja" }
merged = { kind = "lora", base = "plain", adapter = "a", merge = true }
upon_merged = { kind = "lora", base = "merged", adapter = "b" }
beside_merged = { kind = "lora", base = "merged", adapter = "a" }
upon = { kind = "lora", base = "one", adapter = "b" }
upon_too = { kind = "aligned", base = "asked", adapter = "b" }
student = { kind = "distilled", base = "plain", layers = [0] }
nf4 = { kind = "quantized", base = "plain", method = "bitsandbytes-nf4" }
nf4_one = { kind = "qlora", base = "nf4", adapter = "a" }
nf4_asked = { kind = "prompted", base = "nf4", prompt = "q.jinja" }
int8 = { kind = "quantized", base = "plain", method = "bitsandbytes-int8" }
int8_one = { kind = "qlora", base = "int8", adapter = "a" }
baked = { kind = "quantized", base = "one", method = "bitsandbytes-nf4" }
cache = { kind = "quantized", base = "plain", method = "kv-cache" }
tuned = { kind = "finetuned", base = "plain", model = "other" }
"""

CONFIG = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    for name, block in {"p": "{{ input }}", "q": "Q {{ input }}", "r": "{{ passages }}"}.items():
        text = f"{{% block user %}}{block}{{% endblock %}}"
        (tmp_path / f"{name}.jinja").write_text(text)
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "adapter_config.json").write_text(json.dumps(CONFIG))
        (tmp_path / name / "adapter_model.safetensors").write_bytes(name.encode())
    for name in ("tiny", "other"):
        (tmp_path / name).mkdir()
        for file in ("model.safetensors", "config.json", "tokenizer.json"):
            (tmp_path / name / file).write_text(json.dumps({"name": name}))
    (tmp_path / FILE_NAME).write_text(TOML)
    return Lab(read.load(tmp_path / FILE_NAME), Settings(cache=tmp_path / "cache"))


def test_families_are_those_whose_models_are_shared(lab: Lab) -> None:
    bare = {name: sharing.bare(lab.variant(name).source) for name in lab.config.variants}
    guessed, shared = set(), set()
    for (one, its), (other, theirs) in itertools.combinations(bare.items(), 2):
        if lab.family(one) == lab.family(other):
            guessed.add((one, other))
        if its is not None and theirs is not None and sharing.alike(its, theirs):
            shared.add((one, other))
    assert len(guessed) > 30
    # options that say what the base's say come out as the same model
    assert guessed == shared - {("half", "halved")}


def test_families_follow_one_another_as_they_came(lab: Lab) -> None:
    names = ["nf4", "plain", "student", "nf4_one", "one", "worded", "nf4_asked", "two"]
    assert lab.together(names) == [
        *("nf4", "nf4_one", "nf4_asked"),
        *("plain", "one", "worded", "two"),
        "student",
    ]
    assert lab.together([]) == []


def _specs(**bases: tuple[str, str | None]) -> Mapping[str, VariantSpec]:
    return {
        name: VariantSpec(name, kind, "x", base=base, model=None if base else "tiny")
        for name, (kind, base) in bases.items()
    }


@pytest.mark.parametrize(
    "bases",
    [
        {"a": ("prompted", "b"), "b": ("prompted", "a")},
        {"a": ("prompted", "a")},
        {"a": ("lora", "b"), "b": ("prompted", "b")},
    ],
)
def test_a_circle_ends(bases: dict[str, Any]) -> None:
    """It is refused when a variant is planned, which may be after tests are ordered."""
    specs = _specs(**bases)
    assert together(specs, specs, KINDS)


def test_of_a_kind_that_is_not_known_nothing_is_shared() -> None:
    specs = _specs(a=("prompted", None), b=("odd", "a"), c=("odd", "a"))
    assert [family(name, specs, KINDS) for name in "bc"] == ["b", "c"]


def test_where_a_variant_computes_is_told_from_the_declarations() -> None:
    declared = [
        VariantSpec("gpu", "prompted", "x", options={"device": "cuda"}),
        VariantSpec("int8", "quantized", "x", base="gpu"),
        VariantSpec("back", "quantized", "x", base="int8", options={"device": "cpu"}),
        VariantSpec("plain", "prompted", "x"),
        VariantSpec("circle", "prompted", "x", base="circle"),
    ]
    variants = {one.name: one for one in declared}
    assert [device(name, variants) for name in variants] == ["cuda", "cuda", "cpu", "cpu", "cpu"]
