"""Documents, and how they are read: in windows of so many tokens, after so many others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pytest_modellab.errors import ConfigError
from pytest_modellab.records.setting import check_options, count
from pytest_modellab.records.tasks import Sample

SCORER = "perplexity"
"""The scorer of a document, which asks how likely the input itself is."""


BITS, TOTAL = "bits_per_byte", "log_likelihood"
"""Metrics of a document beside its likelihood; only documents have them."""


VERSION = 1
"""Raised when a document's likelihood may change: stored runs of documents are run again."""


KEYS = {"window": count(), "context": count()}
"""Most tokens that a model is given at once (as many as it sees, where it is not said), and how
many it is given at least before one that it predicts (1)."""


def is_document(sample: Sample) -> bool:
    """Whether a sample is a document, which is read and not answered."""
    return sample.scorer == SCORER


def of(sample: Sample) -> dict[str, int]:
    """Return how a sample is read, as far as the target of a document says."""
    target = sample.target if is_document(sample) else None
    return {key: target[key] for key in KEYS if key in target} if target else {}


def problem(given: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a table of :data:`KEYS`, or None; it begins with the key."""
    try:
        found = check_options(given, KEYS)
    except ConfigError as error:
        return str(error)
    window, context = found.get("window", math.inf), found.get("context", 1)
    return f"context: {context} is more than the window, {window}" if context > window else None
