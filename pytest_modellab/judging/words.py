"""What reports say of an assertion."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Words:
    """What reports say of an assertion; built-in types only, since a comparison carries it.

    Attributes:
        subject: what was judged, in a word or two: ``forgetting``. Empty where it is the scores of
            the capability, or of all samples.
        heading: the column of the Markdown report; assertions of one heading share it, and the
            advice after a block.
        advice: what to do where the gate blocks. It may use ``{variant}``, ``{against}`` (the
            references), ``{what}`` (what fell, in figures), ``{task_sets}`` (the ``--task-set``
            options of a command) and ``{margin}`` (the settings that would allow the drop).
    """

    subject: str
    heading: str
    advice: str

    def advise(
        self, *, variant: str, against: str, what: str, task_sets: str, margin: str = ""
    ) -> str:
        """Return the advice, filled in."""
        return self.advice.format(
            variant=variant, against=against, what=what, task_sets=task_sets, margin=margin
        )
