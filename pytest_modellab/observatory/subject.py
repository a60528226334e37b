"""A model that is examined, whatever it was loaded by."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from pytest_modellab.records.diagnosis import Side
from pytest_modellab.variants.plan import Plan


@dataclasses.dataclass(frozen=True)
class Subject:
    """A loaded model with its tokenizer.

    Attributes:
        side: what reports call it.
        model: a ``torch.nn.Module`` of transformers, in eval mode; whatever wraps its modules.
        tokenizer: its tokenizer.
        cache: makes its own kind of empty key-value cache for a config, or None for the usual one.
        plan: how it was declared, or None for a plain model.
    """

    side: Side
    model: Any
    tokenizer: Any
    cache: Callable[[Any], Any] | None = None
    plan: Plan | None = None


def plain(model: Any) -> Any:
    """The model of transformers in what adapters, compilers or tracers wrap around it."""
    for _ in range(4):
        inner = None
        if hasattr(model, "peft_config") and hasattr(model, "get_base_model"):
            inner = model.get_base_model()
        for name in ("_orig_mod", "_module"):
            inner = (
                inner
                if inner is not None
                else vars(model).get(name) or getattr(model, "_modules", {}).get(name)
            )
        if inner is None or inner is model:
            break
        model = inner
    return model
