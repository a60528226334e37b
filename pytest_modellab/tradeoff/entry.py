"""What is known of one variant before it is weighed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from pytest_modellab.judging.comparison import Comparison
from pytest_modellab.records.declared import Price, VariantSpec
from pytest_modellab.records.preprocessing import Unlike
from pytest_modellab.records.runs import RunRecord
from pytest_modellab.records.timings import Performance


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of one variant.

    Attributes:
        spec: the variant as declared.
        record: its run.
        source: where the run comes from.
        performance: its timings beside the reference's, or None where they were not measured.
        price: what computing costs where it runs, or None.
        training_usd: what making it cost; 0 where nothing was trained, None where not known.
        disk_bytes: files that are shipped, or None where there is no model.
        churn: flip rate of a second run, or None.
        baseline: its accepted run's mean score by capability, empty without one.
        history: means of its accepted runs, the oldest first.
        elsewhere: forgetting against the reference on other task sets, from accepted runs.
        dollars: what the run's probes cost at today's prices, by name; reports show them as probes.
        preprocessing: where media are not prepared as for its base.
    """

    spec: VariantSpec
    record: RunRecord
    source: Literal["run", "stored", "accepted"]
    performance: Performance | None = None
    price: Price | None = None
    training_usd: float | None = 0.0
    disk_bytes: float | None = None
    churn: float | None = None
    baseline: Mapping[str, float] = dataclasses.field(default_factory=dict)
    history: tuple[tuple[str, float], ...] = ()
    elsewhere: tuple[Comparison, ...] = ()
    dollars: Mapping[str, float] = dataclasses.field(default_factory=dict)
    preprocessing: tuple[Unlike, ...] = ()
