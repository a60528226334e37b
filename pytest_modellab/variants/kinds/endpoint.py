"""Kind ``endpoint``: a model behind an HTTP address that speaks OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_modellab.endpoints.served import Served
from pytest_modellab.engines import servers
from pytest_modellab.engines.interface import Engine
from pytest_modellab.engines.language import openai
from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import NO_MODEL, ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, resolve
from pytest_modellab.variants import addresses, prompt
from pytest_modellab.variants.plan import Plan

OPTIONS = {
    **addresses.OPTIONS,
    "api": Setting(str, "chat", choices=("chat", "completions")),
    "fleet": Setting(bool, False),
    "served_base": Setting(
        str, OPTIONAL, check=lambda name: bool(name.strip()), wrong="{value!r} is no name"
    ),
    "prompt": Setting(str, OPTIONAL, path=True),
    "shots": Setting(str, OPTIONAL, path=True),
    "n_shots": Setting(int, OPTIONAL),
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
            *servers.PACKAGES,
            *(openai.TOKENIZING if options["api"] == "completions" else ()),
        ),
        thinking=thinking,
        engine=f"endpoint-{openai.VERSION}",
        open=_open,
        served=Served(
            addresses.address(options, root),
            options["api"],
            options["canary"],
            base=options.get("served_base", ""),
            fleet=options["fleet"],
        ),
        adapted_by=("endpoint", "prompted"),
        training=base.training if base is not None else None,
    )


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
