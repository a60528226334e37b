"""Whether a mean lies above a floor, told without figures: what `floor_family` says."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_modellab.gate import floor_family
from pytest_modellab.gate.floor import above

SCORES = st.lists(
    st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.sampled_from([0.0, 1.0, float("nan")]),
    min_size=1,
    max_size=40,
)


@given(SCORES, st.sampled_from([0.0, 0.25, 0.5]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_as_the_family_of_one_bucket_says(
    values: list[float], floor: float, clustered: bool
) -> None:
    scores = np.array(values)
    clusters = [number // 2 for number in range(len(values))] if clustered else None
    (one,) = floor_family(
        scores, None, floor=floor, clusters=clusters, pass_alpha=0.05, max_missing=1.0
    )
    found = above(scores, floor=floor, clusters=clusters, pass_alpha=0.05)
    assert found == (one.verdict == "pass", one.n, one.candidate)
