"""How the samples of a task set are cut into buckets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pytest_modellab.errors import GateUsageError, near_misses
from pytest_modellab.records.tasks import Sample, TaskSet


def slice_by(task_set: TaskSet, by: str) -> Callable[[Sample], str]:
    """Return what names a sample's bucket.

    Args:
        task_set: the samples.
        by: ``"bucket"`` (capability × difficulty), ``"capability"``, ``"difficulty"``, or a key of
            the samples' metadata.

    Raises:
        GateUsageError: samples lack the key.
    """
    if by in ("bucket", "capability", "difficulty"):
        return lambda sample: str(getattr(sample, by))
    lacking = [s.id for s in task_set.samples if by not in s.metadata]
    if lacking:
        known: Mapping[str, None] = {
            **dict.fromkeys(("bucket", "capability", "difficulty")),
            **{key: None for s in task_set.samples for key in s.metadata},
        }
        hint = "give it to every sample" if by in known else near_misses(by, known)
        count = "1 sample lacks" if len(lacking) == 1 else f"{len(lacking)} samples lack"
        raise GateUsageError(
            f"cannot slice {task_set.name!r} by {by!r}: {count} it, {lacking[0]!r} first; {hint}"
        )
    return lambda sample: str(sample.metadata[by])
