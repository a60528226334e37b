"""Kind ``rag``: a prompted model that is shown what a search found (Lewis et al. 2020)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.declared import ModelSource, VariantSpec
from pytest_modellab.records.setting import OPTIONAL, Setting, count, resolve
from pytest_modellab.variants import prompt
from pytest_modellab.variants.plan import Grounding, Plan, Sharing

PASSAGES = 3


OPTIONS = {
    "retriever": Setting(str, OPTIONAL),
    "passages": count(),
    "prompt": Setting(str, OPTIONAL, path=True),
    "shots": Setting(str, OPTIONAL, path=True),
}


def plan(spec: VariantSpec, base: Plan | None, model: ModelSource, root: Path) -> Plan:
    """Plan a variant that answers from the best passages of the task set's corpus.

    Args:
        spec: options ``retriever`` (a variant of kind ``embedding`` or ``lexical``), ``passages``
            (how many it is shown) and ``prompt`` (a Jinja file whose user block sees ``input`` and
            ``passages``) and ``shots`` (examples, which see no passages but their own text); with a
            base of kind ``rag`` what is not given is the base's.
        base: the plan of the variant that answers: a language model's, or another ``rag``.
        model: not used.
        root: the folder that relative paths start from.

    Returns:
        The base's plan with the search before it.

    Raises:
        ConfigError: a wrong option; the message begins with its name.
    """
    options = resolve(OPTIONS, spec.options)
    if base is None:
        raise ConfigError("base: missing; name the variant that answers")
    before = base.grounding
    retriever = options.get("retriever", before.retriever if before else None)
    if retriever is None:
        raise ConfigError("retriever: missing; name a variant of kind embedding or lexical")
    passages = options.get("passages", before.passages if before else PASSAGES)
    text = base.prompt
    if "prompt" in options:
        shots = root / options["shots"] if "shots" in options else None
        text = prompt.read(root / options["prompt"], shots)
    elif "shots" in options:
        raise ConfigError("shots: needs 'prompt', which they are shown in")
    elif before is None:
        raise ConfigError("prompt: missing; name a Jinja file that shows passages and input")
    probe = text.messages("input", ("a passage of the probe",))
    if not any("a passage of the probe" in message["content"] for message in probe):
        raise ConfigError(
            "prompt: shows no passages: {% for passage in passages %}{{ passage }}{% endfor %}"
        )
    return dataclasses.replace(
        base, prompt=text, paraphrases=(), grounding=Grounding(retriever, passages)
    )


def shares(_spec: VariantSpec) -> Sharing:
    """Tell that the base's model answers, from what is found."""
    return "asked"
