"""A served model is declared in full, and asked nothing before it is fingerprinted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_modellab.engines.language.reasoning import Thinking
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.variants import KINDS, make_plan
from pytest_modellab.variants.plan import Plan

pytest.importorskip("jinja2")

GIVEN = {"url": "http://h:1/v1/", "served_model": "m", "prompt": "p.jinja"}
TINY = ModelSource("tiny", "./tiny")


def planned(
    folder: Path, options: dict[str, Any], base: Plan | None = None, model: ModelSource = NO_MODEL
) -> Plan:
    (folder / "p.jinja").write_text("{% block user %}{{ input }}{% endblock %}")
    spec = VariantSpec("v", "endpoint", "serving", base="b" if base else None, options=options)
    return make_plan(KINDS["endpoint"], spec, base, model, folder / "modellab.toml")


def test_a_plan_knows_the_address(tmp_path: Path) -> None:
    plan = planned(tmp_path, {**GIVEN, "key_env": "KEY", "requests_per_minute": 30})
    assert plan.served is not None
    address = plan.served.address
    assert (address.url, address.model, address.key_env) == ("http://h:1/v1", "m", "KEY")
    assert (address.concurrency, address.requests_per_minute, address.retries) == (4, 30.0, 6)
    assert (plan.served.api, plan.model, plan.packages) == ("chat", NO_MODEL, ("httpx2",))


def test_the_prompt_is_the_bases(tmp_path: Path) -> None:
    base = planned(tmp_path, GIVEN)
    mine = {"url": "http://h:2/v1", "served_model": "m", "api": "completions"}
    plan = planned(tmp_path, mine, base, TINY)
    assert (plan.prompt, plan.model) == (base.prompt, TINY)
    assert plan.packages == ("httpx2", "transformers", "tokenizers")


def test_the_address_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"url_env": "THE_URL", "served_model": "m", "prompt": "p.jinja"}
    told = "v.url_env: the environment variable THE_URL is not set; set it to the server's base URL"
    with pytest.raises(ConfigError, match=told):
        planned(tmp_path, options)
    monkeypatch.setenv("THE_URL", "https://me:hunter2@h/v1")
    with pytest.raises(ConfigError, match=r"v.url_env: THE_URL holds no such value: ") as caught:
        planned(tmp_path, options)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("THE_URL", "https://h/v1")
    plan = planned(tmp_path, options)
    assert plan.served is not None
    assert plan.served.address.url == "https://h/v1"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"url": None}, "url: give the server's base URL, which often ends with /v1, or the env"),
        ({"url_env": "URL"}, "or the environment variable that holds it, url_env; one of the two"),
        ({"served_model": None}, "served_model: missing; give the name that requests ask for"),
        ({"served_model": " "}, "served_model: ' ' is no name"),
        ({"api": "responses"}, "api: unknown 'responses'; Known: chat, completions"),
        ({"api": "completions"}, 'api: "completions" sends token numbers; name the model whose'),
        ({"prompt": None}, "prompt: missing; name a Jinja file with"),
        ({"prompt": None, "shots": "s.jsonl"}, "shots: goes with a prompt"),
        ({"timeout_s": 0}, "timeout_s: 0.0 is not above 0"),
        ({"timeout_s": float("inf")}, "timeout_s: inf is not a finite number"),
        ({"concurrency": 0}, "concurrency: 0 must be at least 1"),
        ({"served_base": "m"}, "served_base: it is served_model, too; give the name by which the"),
        ({"served_base": " "}, "served_base: ' ' is no name"),
        ({"retries": 21}, "retries: 21 is not from 0 to 20"),
        ({"certificate": "ca.pem"}, "certificate: no such file: "),
        ({"api_key": "sk-1"}, "api_key: unknown key; did you mean "),
        ({"dtype": "float16"}, "dtype: unknown key"),
    ],
)
def test_a_wrong_option_is_told(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    given = {key: value for key, value in {**GIVEN, **options}.items() if value is not None}
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, given)
    assert str(caught.value).startswith(f"{tmp_path / 'modellab.toml'}: variants.v.")
    assert told in str(caught.value)


def test_a_key_in_the_place_of_its_variables_name_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is no name of an environment variable") as caught:
        planned(tmp_path, {**GIVEN, "key_env": "sk-0123"})
    assert "sk-0123" not in str(caught.value)


def test_what_a_server_cannot_be_sent_is_no_base(tmp_path: Path) -> None:
    base = planned(tmp_path, GIVEN)
    seeing = dataclasses.replace(base, media=frozenset({"image"}))
    with pytest.raises(ConfigError, match="base: 'b' is shown images, recordings or passages"):
        planned(tmp_path, GIVEN, seeing)
    thinking = dataclasses.replace(base, thinking=Thinking(tokens=8))
    with pytest.raises(ConfigError, match="base: 'b' thinks before it answers"):
        planned(tmp_path, GIVEN, thinking)


def test_only_prompts_and_addresses_are_changed_on_it(tmp_path: Path) -> None:
    base = planned(tmp_path, GIVEN)
    spec = VariantSpec("q", "quantized", "q", base="b", options={"method": "rtn"})
    with pytest.raises(ConfigError, match="base: 'b' is an endpoint, which 'quantized' does not"):
        make_plan(KINDS["quantized"], spec, base, NO_MODEL, tmp_path / "modellab.toml")
    other = VariantSpec("p", "prompted", "p", base="b", options={"prompt": "p.jinja"})
    plan = make_plan(KINDS["prompted"], other, base, NO_MODEL, tmp_path / "modellab.toml")
    assert plan.served == base.served
