"""Whether what decides is weaker in the working tree than where it branched off: one line."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pytest_modellab.errors import ModellabError

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig


def lines(config: LabConfig) -> list[str]:
    """Say what became weaker since the merge base, and what of it was agreed to.

    Nothing is said where it cannot be told: without git, in a shallow clone, in a repository too
    large to be read in passing. ``modellab review`` says why.
    """
    from pytest_modellab.review.review import review
    from pytest_modellab.review.words import session

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return list(session(review(config, offline=True)))
    except (ModellabError, OSError, ValueError, RecursionError):
        return []
