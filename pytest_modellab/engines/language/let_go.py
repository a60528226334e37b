"""What stands in an engine in the place of a model that answers for another variant by now."""

from __future__ import annotations

from typing import NoReturn

from pytest_modellab.errors import ModelError


class LetGo:
    """Refuses whatever is asked of it; it would be another variant that answers."""

    def __getattr__(self, name: str) -> NoReturn:
        raise ModelError(
            "this engine was let go when another variant was loaded; ask for it again: "
            "candidate.engine, or lab.engine(variant)"
        )

    __call__ = __getattr__
