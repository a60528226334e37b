"""Method ``onnxruntime-int8``: the graph says what the model says; int8 says nearly that."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab import variants
from pytest_modellab.engines.interface import (
    Engine,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
    predicting,
    reading,
)
from pytest_modellab.engines.language import onnx_export, torch_model
from pytest_modellab.engines.language import onnx_graph as engines
from pytest_modellab.engines.language.onnx_graph import OnnxEngine
from pytest_modellab.engines.tokens import encode_texts
from pytest_modellab.errors import (
    ConfigError,
    ModelError,
    OutOfMemory,
    ScoringError,
    VariantLoadError,
)
from pytest_modellab.models import locate
from pytest_modellab.models.files import ModelFiles
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.methods import onnx_int8
from pytest_modellab.variants.plan import Plan, Step
from pytest_modellab.variants.prompt import Prompt

MODEL = ModelSource("tiny", "./tiny")
BASE = Plan(model=MODEL, prompt=Prompt("{% block user %}{{ input }}{% endblock %}"))
TEXTS = ("the then another", "x", "What is the capital of the land where the other man ran?")
OPTIONS = (("a", "the"), ("an answer of several words", "no"), ("the", "the other", "é"))


def quantize(base: Plan = BASE, **options: Any) -> Plan:
    spec = VariantSpec(
        "q",
        "quantized",
        "quantization",
        base="plain",
        options={"method": "onnxruntime-int8", **options},
    )
    toml = Path("modellab.toml")
    return variants.make_plan(variants.KINDS["quantized"], spec, base, MODEL, toml)


# --- declared -------------------------------------------------------------------------------------


def test_plan() -> None:
    step = Step("adapter", {}, lambda model: model)
    made = quantize(Plan(model=MODEL, prompt=BASE.prompt, device="cuda").with_step(step))
    assert made.quantization["method"] == "onnxruntime-int8"
    assert made.quantization["reduce_range"] in (True, False)
    assert made.packages == (*BASE.packages, "onnx", "onnxruntime", "onnxscript")
    assert (made.engine, made.device, made.dtype) == ("onnxruntime-1", "cpu", "float32")
    assert (made.baked, made.steps) == ((step,), ())


def test_wrong_option() -> None:
    with pytest.raises(ConfigError) as caught:
        quantize(bits=4)
    assert str(caught.value) == "modellab.toml: variants.q.bits: unknown key; Known: method"


@pytest.mark.parametrize(
    ("machine", "flags", "overflows"),
    [
        ("x86_64", "avx2 fma", True),
        ("x86_64", "avx2 avx512_vnni", False),
        ("x86_64", "avx2 avx_vnni", False),
        ("x86_64", None, True),
        ("aarch64", None, False),
    ],
)
def test_seven_bits_where_eight_overflow(
    machine: str,
    flags: str | None,
    overflows: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    assert onnx_int8.overflows(tmp_path / "cpuinfo") is overflows


def test_missing_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.metadata

    def version(name: str) -> str:
        if name.startswith("onnx"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(importlib.metadata, "version", version)
    files = ModelFiles(MODEL, tmp_path, weights="w", tokenizer="t")
    with pytest.raises(VariantLoadError) as caught:
        loading.fingerprint(quantize(), files)
    assert str(caught.value) == "onnx is not installed: pip install 'pytest-modellab[onnx]'"


# --- loaded ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def needed() -> None:
    for package in ("torch", "transformers", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)


@pytest.fixture(scope="module")
def plain(needed: None, model_folder: Path) -> Engine:
    return torch_model.load(model_folder)


@pytest.fixture(scope="module")
def graph(needed: None, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as a float32 graph."""
    path = tmp_path_factory.mktemp("onnx") / "float32.onnx"
    onnx_export.export(model_folder, path)
    return path


@pytest.fixture(scope="module")
def exact(graph: Path, model_folder: Path) -> Iterator[OnnxEngine]:
    engine = engines.load(graph, model_folder)
    yield engine
    engine.close()


@pytest.fixture(scope="module", params=[False, True], ids=["8 bits", "7 bits"])
def rounded(
    request: pytest.FixtureRequest, graph: Path, model_folder: Path
) -> Iterator[OnnxEngine]:
    path = graph.with_name(f"int8-{request.param}.onnx")
    onnx_export.quantize(graph, path, reduce_range=request.param)
    engine = engines.load(path, model_folder)
    yield engine
    engine.close()


def scored(engine: Engine, budget: int = 100) -> list[Output]:
    seen: dict[int, Output] = {}
    requests = [
        ScoringRequest(engine.render([{"role": "user", "content": text}]), options)
        for text, options in zip(TEXTS, OPTIONS, strict=True)
    ]
    engine.score_options(requests, budget=budget, skip=set(), done=seen.update)
    return [seen[k] for k in range(len(requests))]


def replies(engine: Engine, budget: int = 100, **changes: Any) -> list[Output]:
    seen: dict[int, Output] = {}
    requests = [
        GenerationRequest(engine.render([{"role": "user", "content": text}]), limit, **changes)
        for text, limit in zip(TEXTS, (12, 1, 5), strict=True)
    ]
    engine.generate(requests, budget=budget, skip=set(), done=seen.update)
    return [seen[k] for k in range(len(requests))]


def test_the_graph_says_what_the_model_says(plain: Engine, exact: OnnxEngine) -> None:
    for ours, theirs in zip(scored(exact), scored(plain), strict=True):
        assert ours.option_logprobs == pytest.approx(theirs.option_logprobs, abs=1e-3)
        assert (ours.tokens_in, ours.tokens_out) == (theirs.tokens_in, theirs.tokens_out)
        assert ours.seconds > 0
    for ours, theirs in zip(replies(exact), replies(plain), strict=True):
        assert (ours.text, ours.tokens_in, ours.tokens_out, ours.failed) == (
            theirs.text,
            theirs.tokens_in,
            theirs.tokens_out,
            "",
        )


def test_distributions_are_those_of_the_model(plain: Engine, exact: OnnxEngine) -> None:
    requests = [
        ScoringRequest(exact.render([{"role": "user", "content": text}]), options[:1])
        for text, options in zip(TEXTS, OPTIONS, strict=True)
    ]
    texts = encode_texts(exact.tokenizer, requests)
    ours, theirs = (
        dict(able.predict(texts, budget=64, skip={1}))
        for able in map(predicting, (exact, plain))
        if able is not None
    )
    assert sorted(ours) == sorted(theirs) == [0, 2]
    for i in ours:
        assert ours[i] == pytest.approx(theirs[i], abs=1e-3)
    last = dataclasses.replace(texts, places=(1, 1, 2))
    found = dict(exact.predict(last, budget=64, skip={1}))
    assert [len(found[i]) for i in (0, 2)] == [1, 2]
    assert found[2] == pytest.approx(ours[2][-2:], abs=1e-6)


def test_documents_are_read_as_by_the_model(plain: Engine, exact: OnnxEngine) -> None:
    requests = [ReadingRequest(text, window) for text in TEXTS for window in (None, 8)]
    ours, theirs = dict[int, Output](), dict[int, Output]()
    for engine, found in ((exact, ours), (plain, theirs)):
        reading(engine).read_documents(requests, budget=16, skip=set(), done=found.update)
    assert sorted(ours) == list(range(6))
    for k, output in ours.items():
        assert output.option_logprobs == pytest.approx(theirs[k].option_logprobs, rel=1e-4)
        assert (output.tokens_in, output.tokens_out) == (theirs[k].tokens_in, theirs[k].tokens_out)
    with pytest.raises(ScoringError, match="window: 4096 tokens are more than the 2048"):
        exact.read_documents([ReadingRequest("x", 4096)], budget=16, skip=set(), done=ours.update)


def test_int8_says_nearly_that(plain: Engine, exact: OnnxEngine, rounded: OnnxEngine) -> None:
    for ours, theirs in zip(scored(rounded), scored(plain), strict=True):
        assert ours.option_logprobs == pytest.approx(theirs.option_logprobs, abs=3)
        assert ours.option_logprobs != theirs.option_logprobs
    assert rounded.parameter_bytes() < 0.6 * exact.parameter_bytes()


def test_an_answer_does_not_depend_on_its_batch(rounded: OnnxEngine) -> None:
    def said(budget: int) -> list[Any]:
        return [a.option_logprobs for a in scored(rounded, budget)] + [
            a.text for a in replies(rounded, budget)
        ]

    assert said(1) == said(1000)


def test_a_temperature_draws_the_same_again(exact: OnnxEngine) -> None:
    def drawn(seed: int, temperature: float) -> list[str]:
        return [a.text for a in replies(exact, temperature=temperature, seed=seed)]

    greedy = [answer.text for answer in replies(exact)]
    assert drawn(1, 1.0) == drawn(1, 1.0)
    assert drawn(1, 1.0) != drawn(2, 1.0)
    assert drawn(1, 1e-6) == greedy


def test_draws_follow_the_model(exact: OnnxEngine) -> None:
    """The first token's share among 300 draws is its probability."""
    context = exact.render([{"role": "user", "content": "x"}])
    requests = [GenerationRequest(context, 1, temperature=1.0, seed=seed) for seed in range(300)]
    seen: dict[int, Output] = {}
    exact.generate(requests, budget=10_000, skip=set(), done=seen.update)
    texts = [answer.text for answer in seen.values()]
    likely = max((text for text in texts if text and text.isascii()), key=texts.count)
    exact.score_options(
        [ScoringRequest(context, (likely,))], budget=99, skip=set(), done=seen.update
    )
    share = math.exp(seen[0].option_logprobs[0])
    assert abs(texts.count(likely) / 300 - share) < 4 * math.sqrt(share * (1 - share) / 300)


def test_a_reply_ends_at_the_end_token(exact: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_ends", range(len(exact.tokenizer)))
    assert [(a.text, a.tokens_out) for a in replies(exact)] == [("", 0)] * len(TEXTS)


def test_nan_is_noticed(exact: OnnxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = exact._session.run

    class Broken:
        def run(self, *arguments: Any) -> Any:
            logits, present = run(*arguments)
            return logits * math.nan, present

    monkeypatch.setattr(exact, "_session", Broken())
    assert replies(exact)[0].failed == "the model's logits are NaN"
    assert all(map(math.isnan, scored(exact)[0].option_logprobs))


def out_of_memory() -> list[Exception]:
    """What ONNX Runtime raises where memory runs out."""
    errors = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    return [
        errors.RuntimeException("Failed to allocate memory for requested buffer of size 9"),
        errors.Fail("std::bad_alloc"),
        errors.Fail("bad allocation"),
        MemoryError(),
    ]


@pytest.mark.parametrize("number", range(4))
def test_memory_that_runs_out(
    exact: OnnxEngine, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Full:
        def run(self, *_: Any) -> Any:
            raise out_of_memory()[number]

    monkeypatch.setattr(exact, "_session", Full())
    message = r"Failed to allocate memory|std::bad_alloc|bad allocation|no memory left"
    with pytest.raises(OutOfMemory, match=message):
        scored(exact)
    with pytest.raises(OutOfMemory, match=message):
        replies(exact)


def test_another_error_is_not_taken_for_memory(
    exact: OnnxEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")

    class Broken:
        def run(self, *_: Any) -> Any:
            raise errors.RuntimeException("another shape")

    monkeypatch.setattr(exact, "_session", Broken())
    with pytest.raises(errors.RuntimeException, match="another shape"):
        scored(exact)


def test_a_graph_that_does_not_fit(
    graph: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")

    def full(*_: Any, **__: Any) -> None:
        raise out_of_memory()[0]

    monkeypatch.setattr(onnxruntime, "InferenceSession", full)
    with pytest.raises(OutOfMemory, match=r"float32\.onnx: does not fit into memory: .*allocate"):
        engines.load(graph, model_folder)


def test_a_graph_that_cannot_be_loaded(graph: Path, model_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "int8.onnx"

    def refused() -> str:
        with pytest.raises(ModelError) as caught:
            engines.load(path, model_folder)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert message.endswith(f"; delete {tmp_path} and run again, which makes it anew")
        return message

    assert "ONNX Runtime cannot load it: " in refused(), "no file"
    path.write_bytes(b"no graph")
    assert "ONNX Runtime cannot load it: " in refused()
    shutil.copy(graph, path)  # its weights are left behind
    assert "ONNX Runtime cannot load it: " in refused()


def test_a_graph_of_something_else(model_folder: Path, tmp_path: Path) -> None:
    onnx_ = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "int8.onnx"
    value = onnx_.helper.make_tensor_value_info("x", onnx_.TensorProto.FLOAT, [1])
    result = onnx_.helper.make_tensor_value_info("y", onnx_.TensorProto.FLOAT, [1])
    node = onnx_.helper.make_node("Neg", ["x"], ["y"])
    made = onnx_.helper.make_graph([node], "negative", [value], [result])
    opset = [onnx_.helper.make_opsetid("", 17)]
    onnx_.save(onnx_.helper.make_model(made, opset_imports=opset, ir_version=8), path)
    with pytest.raises(ModelError) as caught:
        engines.load(path, model_folder)
    assert str(caught.value) == (
        f"{path}: takes x, but is asked with input_ids, position_ids, mask, keep, past; delete "
        f"{tmp_path} and run again, which makes it anew"
    )


def test_an_option_without_a_token(exact: OnnxEngine) -> None:
    with pytest.raises(ScoringError) as caught:
        exact.score_options([ScoringRequest("x", ("a", ""))], budget=9, skip=set(), done=print)
    assert str(caught.value) == "the tokenizer makes no token of the option ''"


def test_the_graph_is_made_once(
    needed: None, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = locate.locate(ModelSource("m", str(model_folder)), tmp_path)
    first = loading.load(quantize(), files, tmp_path)
    (kept,) = (tmp_path / "models").glob("*-onnx")
    made = ["manifest.json", "model.onnx", "model.onnx.data"]
    assert sorted(file.name for file in kept.iterdir()) == made

    def again(*_: Any, **__: Any) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(onnx_export, "export", again)
    second = loading.load(quantize(), files, tmp_path)
    assert scored(first)[0].option_logprobs == scored(second)[0].option_logprobs


def test_a_model_that_torch_cannot_export(
    needed: None, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def refuse(*_: Any, **__: Any) -> None:
        raise torch.onnx.OnnxExporterError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(VariantLoadError) as caught:
        onnx_export.export(model_folder, tmp_path / "x.onnx")
    assert str(caught.value) == (
        f"{model_folder}: torch cannot export it to ONNX: no such operator"
    )


@pytest.mark.parametrize(
    ("config", "have"),
    [
        (
            {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8},
            "sliding_attention",
        ),
        ({"sliding_window": 8, "model_type": "mistral"}, "a sliding window of 8 tokens"),
    ],
    ids=["by layer", "everywhere"],
)
def test_a_model_with_other_attention(
    needed: None, model_folder: Path, tmp_path: Path, config: dict[str, Any], have: str
) -> None:
    folder = shutil.copytree(model_folder, tmp_path / "copy")
    stored = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**stored, **config}))
    with pytest.raises(VariantLoadError) as caught:
        onnx_export.export(folder, tmp_path / "x.onnx")
    assert str(caught.value) == (
        f"{folder}: its layers have {have}, but the graph gives all layers one mask; "
        "quantize it by another method"
    )
