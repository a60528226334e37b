"""Kind ``endpoint``: a model behind an HTTP address that speaks OpenAI's protocol."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.endpoints.address import Address, base_url
from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import openai
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, count, positive, resolve
from pytest_modellab.variants import prompt
from pytest_modellab.variants.plan import Plan

_DEFAULT = Address("", "")


def _is_variable(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None


OPTIONS = {
    "url": Setting(str, OPTIONAL),
    "url_env": Setting(
        str,
        OPTIONAL,
        check=_is_variable,
        wrong="{value!r} is no name of an environment variable; a URL stands in url",
    ),
    "served_model": Setting(
        str,
        check=lambda name: bool(name.strip()),
        wrong="{value!r} is no name",
        missing="give the name that requests ask for; the server's /v1/models lists it",
    ),
    "api": Setting(str, "chat", choices=("chat", "completions")),
    "canary": Setting(bool, True),
    "served_base": Setting(
        str, OPTIONAL, check=lambda name: bool(name.strip()), wrong="{value!r} is no name"
    ),
    "prompt": Setting(str, OPTIONAL, path=True),
    "shots": Setting(str, OPTIONAL, path=True),
    "n_shots": Setting(int, OPTIONAL),
    "key_env": Setting(
        str,
        "",
        check=_is_variable,
        wrong="this is no name of an environment variable; the key itself never stands here",
    ),
    "timeout_s": positive(float, _DEFAULT.timeout_s),
    "connect_timeout_s": positive(float, _DEFAULT.connect_timeout_s),
    "concurrency": count(_DEFAULT.concurrency),
    "requests_per_minute": positive(float, OPTIONAL),
    "retries": Setting(
        int,
        _DEFAULT.retries,
        rule="from 0 to 20",
        check=lambda value: 0 <= value <= 20,
    ),
    "certificate": Setting(str, "", path=True),
}


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a served model.

    Args:
        spec: the options of :data:`OPTIONS`.
        base: the plan of the variant that it is compared with, whose prompt it has; None where it
            has its own.
        model: whose tokenizer and template the server has, where one is declared.
        root: the folder that relative paths start from.

    Returns:
        The plan.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    options = resolve(OPTIONS, spec.options)
    for name in ("timeout_s", "connect_timeout_s"):
        if not math.isfinite(options[name]):
            raise ConfigError(f"{name}: {options[name]} is not a finite number")
    if base is not None and (base.media or base.grounding is not None):
        raise ConfigError(
            f"base: {spec.base!r} is shown images, recordings or passages, which a server is not "
            "sent yet; name a variant that reads text alone"
        )
    if options["api"] == "completions" and model is NO_MODEL:
        raise ConfigError(
            'api: "completions" sends token numbers; name the model whose tokenizer the server '
            'has, with model or a base, or send messages with api = "chat"'
        )
    if options.get("served_base") == options["served_model"]:
        raise ConfigError(
            "served_base: it is served_model, too; give the name by which the server answers with "
            "the model that the adapter was trained on"
        )
    thinking = base.thinking if base is not None else None
    if thinking is not None and options["api"] == "chat":
        raise ConfigError(
            f"base: {spec.base!r} thinks before it answers, which takes a reply that goes on; set "
            'api = "completions"'
        )
    return Plan(
        model=model,
        prompt=_prompt(options, base, root),
        paraphrases=base.paraphrases if base is not None else (),
        dtype="",
        packages=(
            *openai.PACKAGES,
            *(openai.TOKENIZING if options["api"] == "completions" else ()),
        ),
        thinking=thinking,
        engine=f"endpoint-{openai.VERSION}",
        open=_open,
        served=Served(
            _address(options, root),
            options["api"],
            options["canary"],
            options.get("served_base", ""),
        ),
        adapted_by=("endpoint", "prompted"),
        training=base.training if base is not None else None,
    )


def _address(options: Mapping[str, Any], root: Path) -> Address:
    certificate = options["certificate"]
    file = root / Path(certificate).expanduser()
    if certificate and not file.is_file():
        raise ConfigError(f"certificate: no such file: {file}")
    return Address(
        url=_url(options),
        model=options["served_model"],
        key_env=options["key_env"],
        timeout_s=options["timeout_s"],
        connect_timeout_s=options["connect_timeout_s"],
        concurrency=options["concurrency"],
        requests_per_minute=options.get("requests_per_minute", 0.0),
        retries=options["retries"],
        certificate=str(file) if certificate else "",
    )


def _url(options: Mapping[str, Any]) -> str:
    """Return the declared base URL, or the one that the environment names."""
    if ("url" in options) == ("url_env" in options):
        raise ConfigError(
            "url: give the server's base URL, which often ends with /v1, or the environment "
            "variable that holds it, url_env; one of the two"
        )
    if "url" in options:
        return base_url(options["url"])
    name = options["url_env"]
    if not (found := os.environ.get(name, "")):
        raise ConfigError(
            f"url_env: the environment variable {name} is not set; set it to the server's base URL"
        )
    try:
        return base_url(found)
    except ConfigError as error:
        raise ConfigError(f"url_env: {name} holds no such value: {error}") from error


def _prompt(options: Mapping[str, Any], base: Plan | None, root: Path) -> prompt.Prompt:
    """Read the declared prompt, or take the base's."""
    if "prompt" in options:
        shots = root / options["shots"] if "shots" in options else None
        return prompt.read(root / options["prompt"], shots, options.get("n_shots"))
    for name in ("shots", "n_shots"):
        if name in options:
            raise ConfigError(f"{name}: goes with a prompt: name the base's Jinja file, or another")
    if base is None:
        raise ConfigError("prompt: missing; name a Jinja file with {% block user %}, or a base")
    return base.prompt


def _open(plan: Plan, folder: Path, _cache: Path) -> Engine:
    assert plan.served is not None  # every plan of the kind has it
    found: Engine = openai.load(
        plan.served,
        None if plan.model is NO_MODEL else folder,
        trust_remote_code=plan.model.trust_remote_code,
    )
    return found
