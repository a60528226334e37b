"""Jobs are data: they pickle, and what is unpickled is the same run."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Asked, Said, scripted

from pytest_modellab import testing, variants
from pytest_modellab.config import read
from pytest_modellab.errors import ConfigError, ModelError, VariantLoadError
from pytest_modellab.lab.jobs import job_of
from pytest_modellab.lab.lab import Lab
from pytest_modellab.lab.registry import BUILT_IN
from pytest_modellab.lab.settings import Settings
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.runs.corpus import depth_of
from pytest_modellab.runs.job import Job
from pytest_modellab.store.runs import RunEntry
from pytest_modellab.variants import loading
from pytest_modellab.variants.kinds.quantized import KNOWN
from pytest_modellab.variants.loading import Loadable
from pytest_modellab.variants.plan import Grounding, Kind, Plan

for library in ("torch", "transformers", "jinja2"):
    pytest.importorskip(library, reason="a fingerprint has its version")

SUITES = Path(__file__).parents[3] / "suites"

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "prompted": {"model": "tiny", "prompt": "p.jinja", "thinking_tokens": 4},
    "quantized": {"base": "prompted", "method": "rtn"},
    "lora": {"base": "prompted", "adapter": "adapter"},
    "qlora": {"base": "quantized", "adapter": "adapter"},
    "finetuned": {"base": "prompted", "model": "tiny"},
    "distilled": {"base": "prompted", "layers": [0], "adapter": "adapter", "merge": True},
    "aligned": {"base": "prompted", "adapter": "adapter"},
    "embedding": {"model": "tiny", "fusion": {}, "index": {"kind": "hnsw"}},
    "lexical": {},
    "multimodal": {"model": "tiny", "prompt": "p.jinja", "processor": {"image_mean": [0.5]}},
    "transcriber": {"model": "tiny", "runtime": "ctranslate2", "vad": True},
    "rag": {"base": "prompted", "retriever": "lexical", "prompt": "rag.jinja"},
    "reader": {"detection": "graph", "recognition": "graph"},
    "endpoint": {
        "model": "tiny",
        "prompt": "p.jinja",
        "url_env": "SERVED_URL",
        "served_model": "m",
        "retries": 0,
    },
}
"""A variant of every kind, named as its kind."""


def toml(values: Any) -> str:
    if isinstance(values, Mapping):
        return "{" + ", ".join(f"{key} = {toml(value)}" for key, value in values.items()) + "}"
    return str(values).lower() if isinstance(values, bool) else repr(values)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that lists one model."""
    listed = {"data": [{"id": "m", "owned_by": "me"}]}

    def answer(asked: Asked) -> Said:
        return Said(listed) if asked.path == "/v1/models" else Said({}, 404)

    with scripted(answer) as url:
        monkeypatch.setenv("SERVED_URL", url)
        yield


@pytest.fixture
def lab(tmp_path: Path, server: None) -> Lab:
    """A search task set, and every kind; the model's files say nothing."""
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        (tmp_path / "tiny").mkdir(exist_ok=True)
        (tmp_path / "tiny" / name).write_text("{}")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (tmp_path / "adapter" / "adapter_model.safetensors").write_text("{}")
    (tmp_path / "tiny.gguf").write_text("GGUF")
    (tmp_path / "graph.onnx").write_text("ONNX")
    (tmp_path / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    (tmp_path / "rag.jinja").write_text(
        "{% block user %}{% for p in passages %}{{ p }}{% endfor %}{{ input }}{% endblock %}"
    )
    documents = {"gold": "the gold card has no annual fee", "tent": "a tent for two"}
    queries = {"q1": ("which card is free", {"gold": 1}), "q2": ("a tent", {"tent": 1})}
    testing.write_retrieval_set(tmp_path / "search", documents, queries)
    lines = ['[models.tiny]\nsource = "./tiny"\n[models.graph]\nsource = "./graph.onnx"\n']
    lines.append('[task_sets.search]\npath = "search"\n')
    for kind, options in OPTIONS.items():
        lines.append(f'[variants.{kind}]\nkind = "{kind}"\n')
        lines += [f"{key} = {toml(value)}\n" for key, value in options.items()]
    (tmp_path / "modellab.toml").write_text("".join(lines))
    return Lab(read.load(tmp_path / "modellab.toml"), Settings(cache=tmp_path / "cache"))


def job(lab: Lab, variant: str, task_set: str) -> Job:
    """The job of a variant, unless a library or a model is not installed."""
    try:
        found = lab.variant(variant)
    except (ModelError, VariantLoadError) as error:
        if "is not installed" not in str(error):
            raise
        pytest.skip(str(error))
    return job_of(found, lab.task_set(task_set), lab.extensions, reuse=True)


def check(made: Job, cache: Path) -> None:
    """A job that went through pickle is of the same variant, on the same samples, kept alike."""
    again: Job = pickle.loads(pickle.dumps(made))  # noqa: S301 - made just now
    assert again is not made
    assert again.fingerprint == made.fingerprint
    assert again.task_set.hash == made.task_set.hash
    entries = [
        RunEntry(cache, one.task_set, one.fingerprint, depth_of(one.task_set))
        for one in (again, made)
    ]
    assert entries[0].key == entries[1].key
    assert again.prompt.messages("x", ("y",)) == made.prompt.messages("x", ("y",))
    for one in (again, made):
        assert isinstance(one.source, Loadable)
    recomputed = loading.fingerprint(again.source.plan, again.source.files)  # type: ignore[attr-defined]
    expected = loading.fingerprint(made.source.plan, made.source.files)  # type: ignore[attr-defined]
    assert recomputed.key == expected.key
    if made.search is not None:
        assert again.search is not None
        check(made.search, cache)


def test_every_kind_is_here() -> None:
    assert set(OPTIONS) == set(variants.KINDS)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_job_of_every_kind_pickles(lab: Lab, tmp_path: Path, kind: str) -> None:
    made = job(lab, kind, "search")
    check(made, tmp_path)
    assert (made.search is not None) == (kind == "rag")


@pytest.mark.parametrize("method", KNOWN)
def test_a_job_of_every_quantization_pickles(lab: Lab, tmp_path: Path, method: str) -> None:
    options = {"method": method, **({"file": "tiny.gguf"} if method == "gguf" else {})}
    spec = dataclasses.replace(lab.spec("quantized"), options=options)
    config = dataclasses.replace(lab.config, variants={**lab.config.variants, "quantized": spec})
    check(job(Lab(config, lab.settings), "quantized", "search"), tmp_path)


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    cache = tmp_path_factory.mktemp("cache")
    return Lab(read.load(SUITES / "modellab.toml"), Settings(cache=cache))


DECLARED = tomllib.loads((SUITES / "modellab.toml").read_text(encoding="utf-8"))["variants"]


@pytest.mark.parametrize("variant", DECLARED)
def test_a_job_of_every_variant_of_the_suites_pickles(
    suites: Lab, tmp_path: Path, variant: str
) -> None:
    check(job(suites, variant, "help_centre_v1"), tmp_path)


def test_a_job_says_what_its_samples_need(lab: Lab) -> None:
    made = job(lab, "rag", "search")
    assert {made.need(sample) for sample in made.task_set.samples} == {"rank"}
    assert made.search is not None
    assert made.search.needs == {"ndcg@10": "rank"}
    assert {sample.max_tokens for sample in made.search.task_set.samples} == {0}


# --- circles --------------------------------------------------------------------------------------


def plan_asking(
    spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path, *, option: str
) -> Plan:
    """A kind whose search stands under a name that the configuration does not know."""
    assert base is not None
    return dataclasses.replace(base, grounding=Grounding(spec.options[option], 1))


def test_a_circle_by_another_option_is_refused(lab: Lab) -> None:
    plan = functools.partial(plan_asking, option="source")
    kinds = {**BUILT_IN.kinds, "asking": Kind("asking", "retrieval", "asking", plan)}
    one = VariantSpec("one", "asking", "", base="prompted", options={"source": "two"})
    two = VariantSpec("two", "asking", "", base="prompted", options={"source": "one"})
    config = dataclasses.replace(
        lab.config, variants={**lab.config.variants, "one": one, "two": two}
    )
    other = Lab(config, lab.settings, extensions=dataclasses.replace(BUILT_IN, kinds=kinds))
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            other.variant("one")
        assert str(caught.value) == (
            f"{lab.config.path}: variants.one.source: circular: one -> two -> one; "
            "name another source in one of them"
        )
