"""The graded metrics: evidence in [0, 1] of how sure a model is, beside right or wrong.

Names, and of which samples a task set can have them; :mod:`pytest_modellab.scorers.graded` has the
formulas.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_modellab.errors import GateUsageError
from pytest_modellab.records.runs import NOT_KEPT, RunRecord
from pytest_modellab.records.tasks import Sample
from pytest_modellab.records.windows import is_document

PROBABILITY = "probability"
"""What the model gives to the right option, of all that it gives to the options."""


LIKELIHOOD = "likelihood"
"""What the model gives to a byte of the right option, or of the accepted reply."""


DECISION_MARGIN = "decision_margin"
"""The right option's log-likelihood less the best wrong one's, per byte; shown and never judged."""


NAMED = "option_named"
"""Whether the reply to a multiple choice in words names an option: 1 or 0."""


READ = 4096
"""Bytes of a reply that are read; what follows them is not, whoever reads."""


GRADED = (PROBABILITY, LIKELIHOOD)
"""The graded metrics that can be judged. Other numerics move them a little: no margin of 0."""


NOISE = 1e-3
"""A graded metric that differs by more is another one; by less it does from machine to machine."""


def near(before: float | None, after: float | None) -> bool:
    """Whether two figures differ by :data:`NOISE` at most; a missing one is near to none."""
    return before is not None and after is not None and abs(after - before) <= NOISE


NUMERICS = (
    "batch size, threads and dtype move every {metric} a little in one direction, which a margin "
    "of 0 would block"
)
"""Why a graded metric needs a margin."""


def check_margin(
    metric: str | None,
    margin: float,
    task_set: str,
    rule: str = "margin",
    *,
    samples: Sequence[Sample] = (),
    asked: str | None = None,
) -> None:
    """Refuse to judge a graded metric at a margin of 0; the score of documents is one.

    Args:
        metric: what is judged; None for the score.
        margin: the drop that is allowed.
        task_set: the name of what is judged on.
        rule: ``margin``, or ``capability_margin`` where one capability is judged.
        samples: what was asked.
        asked: who asks for the margin, where that is not modellab.toml: ``the test``.

    Raises:
        GateUsageError: the metric is graded and no drop is allowed.
    """
    if margin != 0:
        return
    if metric is None and any(map(is_document, samples)):
        what, name, key = "documents", LIKELIHOOD, rule
    elif metric in GRADED:
        what, name, key = f"metric {metric!r}", metric, f"metrics.{metric}.{rule}"
    else:
        return
    mend = (
        f"set task_sets.{task_set}.{key} = 0.01 in modellab.toml, or what runs of an unchanged "
        "variant show, or ask for a margin above 0"
        if asked is None
        else f"{asked} asks for it: ask for 0.01, or what runs of an unchanged variant show, or "
        f"leave it out and set task_sets.{task_set}.{key} = 0.01 in modellab.toml"
    )
    raise GateUsageError(f"{what} at a margin of 0: {NUMERICS.format(metric=name)}; {mend}")


def is_choice(sample: Sample) -> bool:
    """Whether one of a sample's options is the right one."""
    target = sample.target
    return type(target) is int and 0 <= target < len(sample.choices)


def applies(metric: str | None, sample: Sample, *, replies: bool = True) -> bool:
    """Whether a sample can have a metric at all, whoever answers it.

    Args:
        metric: a metric's name; None for the score.
        sample: the sample.
        replies: False where the accepted replies are not known.

    Returns:
        Of ``probability``, ``decision_margin`` and ``option_named`` whether an option is right; of
        ``likelihood`` whether there is a text that the model can be asked for: the right option, a
        document, or a reply; True of every other metric.
    """
    if metric in (PROBABILITY, DECISION_MARGIN, NAMED):
        return is_choice(sample)
    if metric == LIKELIHOOD:
        return is_choice(sample) or is_document(sample) or (replies and is_reply(sample))
    return True


def is_reply(sample: Sample) -> bool:
    """Whether a sample is answered by a reply, which another variant can read."""
    return sample.max_tokens > 0 and not is_choice(sample) and not is_document(sample)


def replies(record: RunRecord | None, samples: Sequence[Sample]) -> dict[str, str]:
    """Return the replies of a run that another variant can read, by the sample's id.

    A reply is what a run keeps as its output: for most scorers all that was said, for others the
    part that is judged, as the first line for ``answer_f1``.

    Args:
        record: the run; None has none.
        samples: what was asked.

    Returns:
        The first :data:`READ` bytes of each reply, in whole characters. An empty one, one that was
        not kept and one that UTF-8 cannot say are left out.
    """
    asked = {sample.id for sample in samples if is_reply(sample)}
    found = {}
    for result in () if record is None else record.samples:
        text = _readable(result.output)
        if result.id in asked and result.output != NOT_KEPT and text.strip():
            found[result.id] = text
    return found


def unread(record: RunRecord, samples: Sequence[Sample]) -> bool:
    """Whether a run has replies, and tells of none of them how likely it is.

    Args:
        record: the run.
        samples: what was asked.
    """
    texts = replies(record, samples)
    told = (LIKELIHOOD in result.metrics for result in record.samples if result.id in texts)
    return bool(texts) and not any(told)


def _readable(text: str) -> str:
    """What of a text is read; empty where it holds half a surrogate pair."""
    try:
        return text.encode()[:READ].decode(errors="ignore")
    except UnicodeEncodeError:
        return ""


_UNREAD = "it is empty, was not kept, or no run is compared with"


def left_out(metric: str, asked: Sequence[Sample], samples: Sequence[Sample]) -> str:
    """Say of how many samples a metric tells nothing, and why; empty where it tells of all."""
    if len(asked) == len(samples):
        return ""
    unlike = sum(not applies(metric, sample) for sample in samples)
    unread = len(samples) - len(asked) - unlike
    nor = " and no reply" if metric == LIKELIHOOD else ""
    missing = [
        *([f"{unlike} have no option that is right{nor}"] if unlike else []),
        *([f"{unread} have no accepted reply to read ({_UNREAD})"] if unread else []),
    ]
    return f"{metric} is judged on {len(asked)} of {len(samples)} samples: {'; '.join(missing)}"
