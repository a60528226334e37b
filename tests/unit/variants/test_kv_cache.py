"""Method ``kv-cache``: options and replies feel the quantized cache, and nothing else does."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import variants
from pytest_modellab.engines.interface import GenerationRequest, ScoringRequest
from pytest_modellab.engines.language import torch_model as engines
from pytest_modellab.engines.language.torch_model import TransformersEngine
from pytest_modellab.errors import ConfigError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.methods import kv_cache
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt

MODEL = ModelSource("tiny", "./tiny")
BASE = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
TEXTS = ("the then another", "x", "What is the capital of the land where the other man ran?")
OPTIONS = (("a", "the"), ("an answer of several words", "no"), ("the", "the other", "é"))


def quantize(base: Plan = BASE, **options: Any) -> Plan:
    spec = VariantSpec(
        "q", "quantized", "quantization", base="plain", options={"method": "kv-cache", **options}
    )
    toml = Path("modellab.toml")
    return variants.make_plan(variants.KINDS["quantized"], spec, base, MODEL, toml)


# --- declared -------------------------------------------------------------------------------------


def test_plan() -> None:
    step = Step("adapter", {}, lambda model: model)
    made = quantize(BASE.with_step(step))
    assert made.quantization == {
        "method": "kv-cache",
        "backend": "quanto",
        "bits": 4,
        "group_size": 64,
        "residual_length": 128,
    }
    assert made.packages == (*BASE.packages, "optimum-quanto")
    assert made.steps == (step,), "weights are not quantized, so nothing is merged"
    assert made.engine == BASE.engine


def test_settings_are_in_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1")
    files = ModelFiles(MODEL, tmp_path, weights="w", tokenizer="t")
    changes: list[dict[str, Any]] = [
        {},
        {"bits": 2},
        {"backend": "hqq"},
        {"group_size": 32},
        {"residual_length": 64},
    ]
    keys = {loading.fingerprint(quantize(**change), files).key for change in changes}
    assert len(keys) == len(changes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"backend": "qanto"},
            "backend: unknown 'qanto'; did you mean 'quanto'? Known: hqq, quanto",
        ),
        ({"bits": 8}, "bits: 8 is none that 'quanto' has: 2, 4"),
        ({"backend": "hqq", "bits": 5}, "bits: 5 is none that 'hqq' has: 1, 2, 3, 4, 8"),
        ({"group_size": 0}, "group_size: 0 must be at least 1"),
        ({"residual_length": 0}, "residual_length: 0 must be at least 1"),
        (
            {"residual": 3},
            "residual: unknown key; did you mean 'residual_length'? "
            "Known: backend, bits, group_size, method, residual_length",
        ),
    ],
)
def test_wrong_option(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        quantize(**options)
    assert str(caught.value) == f"modellab.toml: variants.q.{said}"


# --- loaded ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(model_folder: Path) -> TransformersEngine:
    return engines.load(model_folder)


def through(folder: Path, backend: str = "quanto", bits: int = 4, residual: int = 8) -> Any:
    """Load with a cache in groups of 8, which is the size of the model's heads."""
    pytest.importorskip({"quanto": "optimum.quanto"}.get(backend, backend))
    cache = functools.partial(
        kv_cache.new_cache, backend, bits=bits, group_size=8, residual_length=residual
    )
    return engines.load(folder, inference_mode=False, cache=cache)


def scored(
    engine: TransformersEngine, texts: Sequence[str] = TEXTS, budget: int = 100
) -> list[tuple[float, ...]]:
    seen: dict[int, Output] = {}
    requests = [
        ScoringRequest(engine.render([{"role": "user", "content": text}]), options)
        for text, options in zip(texts, OPTIONS, strict=False)
    ]
    engine.score_options(requests, budget=budget, skip=set(), done=seen.update)
    return [seen[k].option_logprobs for k in range(len(requests))]


def replies(engine: TransformersEngine, limit: int = 12, budget: int = 1000) -> list[str]:
    seen: dict[int, Output] = {}
    requests = [
        GenerationRequest(engine.render([{"role": "user", "content": text}]), limit)
        for text in TEXTS
    ]
    engine.generate(requests, budget=budget, skip=set(), done=seen.update)
    return [seen[k].text for k in range(len(requests))]


def test_a_cache_that_loses_nothing_changes_nothing(
    plain: TransformersEngine, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = through(model_folder)
    from transformers import cache_utils

    layer = cache_utils.QuantoQuantizedLayer
    monkeypatch.setattr(layer, "_quantize", lambda _self, tensor, axis: tensor)
    monkeypatch.setattr(layer, "_dequantize", lambda _self, tensor: tensor)
    for ours, theirs in zip(scored(engine), scored(plain), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-4)
    assert replies(engine) == replies(plain)


def test_fewer_bits_are_further_away(plain: TransformersEngine, model_folder: Path) -> None:
    wanted = [value for row in scored(plain) for value in row]

    def distance(bits: int) -> float:
        found = [value for row in scored(through(model_folder, bits=bits)) for value in row]
        assert all(a != b for a, b in zip(found, wanted, strict=True)), "first tokens too"
        return sum(abs(a - b) for a, b in zip(found, wanted, strict=True))

    assert 0 < distance(4) < distance(2)
    assert replies(through(model_folder, bits=2)) != replies(plain)


@pytest.mark.parametrize("budget", [1, 60])
def test_an_answer_does_not_depend_on_its_batch(model_folder: Path, budget: int) -> None:
    engine = through(model_folder, bits=2)
    whole = scored(engine)
    assert scored(engine, budget=budget) == whole
    assert scored(engine, TEXTS[:1]) == whole[:1]
    assert replies(engine, budget=budget) == replies(engine)


def test_a_reply_is_quantized_as_it_grows(model_folder: Path) -> None:
    """With room for two tokens, what is said later is quantized as well."""
    short, long = through(model_folder, residual=2), through(model_folder, residual=99)
    assert scored(short) == scored(long), "an option's own tokens are not"
    assert replies(short, limit=40) != replies(long, limit=40)


def test_hqq(plain: TransformersEngine, model_folder: Path) -> None:
    engine = through(model_folder, "hqq", bits=8)
    for ours, theirs in zip(scored(engine), scored(plain), strict=True):
        assert ours == pytest.approx(theirs, abs=0.3)
        assert ours != theirs


def test_a_group_stays_within_a_head(model_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("optimum.quanto")
    files = locate.locate(ModelSource("m", str(model_folder)), tmp_path)
    engine = loading.load(quantize(), files, tmp_path)
    assert isinstance(engine, TransformersEngine)
    with pytest.raises(VariantLoadError) as caught:
        scored(engine)
    assert str(caught.value) == (
        "group_size: 64 does not divide the model's head size, 8; take one that does"
    )
