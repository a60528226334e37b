"""Whether what decides is weaker in the working tree than where it branched off: one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_modellab.config.lab_config import LabConfig


def lines(config: LabConfig) -> list[str]:
    """Say what became weaker since the merge base, and what of it was agreed to.

    Nothing is said where it cannot be told.
    """
    from pytest_modellab.config.find import named
    from pytest_modellab.review.review import in_passing
    from pytest_modellab.review.words import session

    found = in_passing(config)
    return [] if found is None else list(session(found, named(config.path)))
