"""What is wrong with what the gate was given."""

from __future__ import annotations


class GateInputError(ValueError):
    """Something handed to the gate cannot be compared; the message says what to do."""


class SettingError(GateInputError):
    """A margin, floor, alpha or limit lies outside its range."""


class EmptyError(GateInputError):
    """Nothing is left to compare."""


class LengthError(GateInputError):
    """Arrays that belong together differ in length or shape."""


class ScoreError(GateInputError):
    """A score is not a number in [0, 1]."""


class MissingScoresError(GateInputError):
    """More candidate scores are missing than `max_missing` allows."""


class LabelError(GateInputError):
    """A bucket or cluster label cannot be used."""


class AlignmentError(GateInputError):
    """Series that belong together have different indexes."""


class MeasurementError(GateInputError):
    """A measured time or cost is missing or out of range."""
