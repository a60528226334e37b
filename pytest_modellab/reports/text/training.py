"""What is said of a training run."""

from __future__ import annotations

from pytest_modellab.observatory.pictures.numbers import short
from pytest_modellab.observatory.training import Training


def text(training: Training, name: str) -> str:
    """Say what went wrong in a run, for a terminal.

    Args:
        training: what was found.
        name: of the log.
    """
    events = training.events
    head = f"{events[0].kind} at step {events[0].step}" if events else "nothing stands out"
    lines = [
        f"[Training] {name}: {head}",
        f"  loss         {short(training.first)} at first, {short(training.last)} at last, "
        f"{training.steps} steps",
    ]
    for event in events:
        lines += [f"  {event.kind:<12} {event.detail}", f"  {'likely':<12} {event.likely}"]
    return "\n".join(lines)
