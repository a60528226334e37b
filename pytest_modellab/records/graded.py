"""The graded metrics: evidence in [0, 1] of how sure a model is, beside right or wrong.

Names, and of which samples a task set can have them; :mod:`pytest_modellab.scorers.graded` has the
formulas.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.errors import GateUsageError
from pytest_modellab.records.tasks import Sample
from pytest_modellab.records.windows import is_document

PROBABILITY = "probability"
"""What the model gives to the right option, of all that it gives to the options."""


LIKELIHOOD = "likelihood"
"""What the model gives to a byte of the right option, or of the accepted reply."""


DECISION_MARGIN = "decision_margin"
"""The right option's log-likelihood less the best wrong one's, per byte; shown and never judged."""


GRADED = (PROBABILITY, LIKELIHOOD)
"""The graded metrics that can be judged. Other numerics move them a little: no margin of 0."""


NUMERICS = (
    "batch size, threads and dtype move every {metric} a little in one direction, which a margin "
    "of 0 would block"
)
"""Why a graded metric needs a margin."""


def check_margin(metric: str | None, margin: float, task_set: str, rule: str = "margin") -> None:
    """Refuse to judge a graded metric at a margin of 0.

    Args:
        metric: what is judged; None for the score.
        margin: the drop that is allowed.
        task_set: the name of what is judged on.
        rule: ``margin``, or ``capability_margin`` where one capability is judged.

    Raises:
        GateUsageError: the metric is graded and no drop is allowed.
    """
    if metric in GRADED and margin == 0:
        raise GateUsageError(
            f"metric {metric!r} at a margin of 0: {NUMERICS.format(metric=metric)}; set "
            f"task_sets.{task_set}.metrics.{metric}.{rule} = 0.01 in modellab.toml, or what runs "
            "of an unchanged variant show, or ask for a margin above 0"
        )


def is_choice(sample: Sample) -> bool:
    """Whether one of a sample's options is the right one."""
    return bool(sample.choices) and type(sample.target) is int


def applies(metric: str | None, sample: Sample, *, replies: bool = True) -> bool:
    """Whether a sample can have a metric at all, whoever answers it.

    Args:
        metric: a metric's name; None for the score.
        sample: the sample.
        replies: False where the accepted replies are not known.

    Returns:
        Of ``probability`` and ``decision_margin`` whether an option is right; of ``likelihood``
        whether there is a text that the model can be asked for: the right option, a document, or a
        reply; True of every other metric.
    """
    if metric in (PROBABILITY, DECISION_MARGIN):
        return is_choice(sample)
    if metric == LIKELIHOOD:
        return is_choice(sample) or is_document(sample) or (replies and sample.max_tokens > 0)
    return True


def left_out(
    metric: str, asked: Sequence[Sample], samples: Sequence[Sample], *, replies: bool = True
) -> str:
    """Say of how many samples a metric tells nothing, and why; empty where it tells of all."""
    if len(asked) == len(samples):
        return ""
    missing = f"{len(samples) - len(asked)} have no option that is right"
    nor = ""
    if metric == LIKELIHOOD:
        nor = " and no reply" if replies else ", and the texts of these replies are not kept"
    return f"{metric} is judged on {len(asked)} of {len(samples)} samples: {missing}{nor}"
