"""A folder that no configuration declares, as a variant."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from pytest_modellab.lab.resolved import Resolved
from pytest_modellab.records.declared import ModelSource, VariantSpec

KIND = "folder"
"""The kind of such a variant, which no configuration can name."""


PROMPT = "{% block user %}{{ input }}{% endblock %}"
"""The input as it is."""


DAY = "2026-01-01"
"""What a chat template is told that asks for the date."""


def resolve(named: str, like: Resolved | None = None, day: str = "") -> Resolved:
    """Find and hash a model's files; nothing is loaded.

    Args:
        named: a folder of transformers, a GGUF file or a zipped folder, as a user says it.
        like: the variant whose prompt is asked, or None for the input as it is.
        day: what a chat template is told that asks for the date; empty for :data:`DAY`.

    Returns:
        The folder as a variant of that name.

    Raises:
        ModelError: it holds no model; the message says what is missing.
    """
    from pytest_modellab.models import clock, locate
    from pytest_modellab.variants import loading
    from pytest_modellab.variants.plan import Plan
    from pytest_modellab.variants.prompt import Prompt

    source = ModelSource(named, str(Path(named).expanduser().absolute()))
    files = locate.locate(source, Path.cwd())
    plan = Plan(model=source, prompt=Prompt(PROMPT) if like is None else like.plan.prompt)
    if clock.asked(files):
        plan = dataclasses.replace(plan, day=day or DAY)
    spec = VariantSpec(named, KIND, "folder", model=named)
    return Resolved(spec, loading.Loadable(plan, files), loading.fingerprint(plan, files))
