"""What was made from the model by training: an adapter, or a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Callable

from pytest_modellab.starter.model import Model, quoted


def declared(kind: str, name: str) -> Callable[[Model | None], str]:
    """Return what declares a variant of a kind: its table in ``modellab.toml``, of what was tuned.

    Args:
        kind: of variants.
        name: of the variant, and of the model where it is a checkpoint.
    """

    def table(tuned: Model | None) -> str:
        assert tuned is not None
        weights = (
            f"adapter = {quoted(tuned.source)}" if tuned.adapter else f"model = {quoted(name)}"
        )
        return f"""
[variants.{name}]
kind = "{kind}"
base = "prompting"
{weights}
"""

    return table
